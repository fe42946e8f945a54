//! Playbooks (Devin's API reference, playbooks). Updates are `PUT`; there is no `PATCH`.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::documents::{self, Kind};
use super::fields::Fields;
use super::page::page;
use super::problem::Problem;
use super::state::World;

fn read(world: &World, call: &Call) -> Result<Map<String, Value>, Problem> {
    let mut fields = Fields::new(call.object()?);
    let mut playbook = Map::new();
    for name in ["title", "body"] {
        playbook.insert(name.to_owned(), json!(fields.required_text(name)));
    }
    let short = fields.text("macro");
    if short.as_deref().is_some_and(|short| !is_macro(short)) {
        let message = "String should match pattern '^![A-Za-z0-9_-]+$'";
        fields.refuse("macro", message, "string_pattern_mismatch");
    }
    playbook.insert("macro".to_owned(), json!(short));
    let schema = fields.any("structured_output_schema");
    playbook.insert("structured_output_schema".to_owned(), schema);
    for name in ["created_by", "updated_by"] {
        playbook.insert(name.to_owned(), json!(world.me));
    }
    fields.finish()?;
    Ok(playbook)
}

fn is_macro(text: &str) -> bool {
    let body = text.strip_prefix('!').unwrap_or_default();
    let allowed = |symbol: char| symbol.is_ascii_alphanumeric() || matches!(symbol, '_' | '-');
    !body.is_empty() && body.chars().all(allowed)
}

/// `GET …/playbooks`, both scopes
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let playbooks = documents::visible(world, call, Kind::Playbook)?;
    page(documents::entries(playbooks), &call.query)
}

/// `POST …/playbooks`
pub(super) fn create(world: &mut World, call: &Call) -> Reply {
    world.scope(call)?;
    let playbook = read(world, call)?;
    let body = documents::create(world, call, Kind::Playbook, "create_playbook", playbook)?;
    Ok(Answer::ok(&body))
}

/// `GET …/playbooks/{playbook_id}`
pub(super) fn get(world: &mut World, call: &Call) -> Reply {
    documents::find(world, call, Kind::Playbook).map(|playbook| Answer::ok(&playbook.view()))
}

/// `PUT …/playbooks/{playbook_id}`
pub(super) fn update(world: &mut World, call: &Call) -> Reply {
    documents::find(world, call, Kind::Playbook)?;
    let playbook = read(world, call)?;
    let body = documents::replace(world, call, Kind::Playbook, "update_playbook", playbook)?;
    Ok(Answer::ok(&body))
}

/// `DELETE …/playbooks/{playbook_id}`
pub(super) fn delete(world: &mut World, call: &Call) -> Reply {
    documents::delete(world, call, Kind::Playbook, "delete_playbook")
}
