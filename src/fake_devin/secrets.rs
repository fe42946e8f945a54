//! Secrets (Devin's API reference, secrets). The value goes in and never comes out again; the fake
//! does not even keep it.

use http::StatusCode;
use serde_json::{Map, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::documents::{self, Kind};
use super::fields::Fields;
use super::page::page;
use super::problem::Problem;
use super::state::World;

const TYPES: &[&str] = &["cookie", "key-value", "totp"];

/// `GET …/secrets`
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let secrets = documents::visible(world, call, Kind::Secret)?;
    page(documents::entries(secrets), &call.query)
}

/// `POST …/secrets`
pub(super) fn create(world: &mut World, call: &Call) -> Reply {
    world.scope(call)?;
    let mut fields = Fields::new(call.object()?);
    if !fields.has("type") {
        fields.missing("type");
    }
    let kind = fields.choice("type", TYPES);
    let key = fields.required_name("key", 256);
    fields.required_text("value");
    let sensitive = fields.flag("is_sensitive").unwrap_or(true);
    let note = fields.text("note");
    fields.finish()?;
    let mut secret = Map::new();
    secret.insert("secret_type".into(), json!(kind));
    secret.insert("type".into(), json!(kind));
    secret.insert("key".into(), json!(key));
    secret.insert("is_sensitive".into(), json!(sensitive));
    secret.insert("note".into(), json!(note));
    secret.insert("created_by".into(), json!(world.me));
    let body = documents::create(world, call, Kind::Secret, "create_secret", secret)?;
    Ok(Answer::ok(&body))
}

/// `DELETE …/secrets/{secret_id}`; an unknown id answers 403, as Devin's own client notes.
pub(super) fn delete(world: &mut World, call: &Call) -> Reply {
    world.scope(call)?;
    if documents::find(world, call, Kind::Secret).is_err() {
        return Err(Problem::new(StatusCode::FORBIDDEN, "Secret access denied"));
    }
    documents::delete(world, call, Kind::Secret, "delete_secret")
}
