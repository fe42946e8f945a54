//! Service users and their keys (Devin's API reference, service users). A key is shown once, in the
//! answer that makes it. The early page's `id` and `api_key` stand beside `service_user` and
//! `token`.

use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::{Moment, epoch};
use super::enterprise::role;
use super::fields::Fields;
use super::ids;
use super::options::Options;
use super::page::page;
use super::problem::Problem;
use super::state::World;

/// A year, the longest life of a key.
const LONGEST_LIFE: i64 = 31_536_000;

/// A service user.
#[derive(Debug)]
pub(super) struct ServiceUser {
    pub(super) id: String,
    pub(super) name: String,
    org: Option<String>,
    role: String,
    created: Moment,
    expires: Option<i64>,
    deleted: Option<Moment>,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: String,
    name: String,
    created: Moment,
    expires: Option<i64>,
    revoked: Option<Moment>,
}

impl Key {
    fn new(name: &str, expires: Option<i64>, now: Moment) -> Self {
        Self {
            id: ids::fresh("api-key-"),
            name: name.to_owned(),
            created: now,
            expires,
            revoked: None,
        }
    }

    fn view(&self) -> Value {
        json!({
            "api_key_id": self.id,
            "id": self.id,
            "name": self.name,
            "created_at": epoch(self.created),
            "expires_at": self.expires,
            "revoked_at": self.revoked.map(epoch),
        })
    }

    /// The only answer in which the token stands.
    fn view_with_token(&self) -> Value {
        let (mut body, token) = (self.view(), ids::token());
        if let Some(fields) = body.as_object_mut() {
            fields.insert("api_key".into(), self.view());
            fields.insert("token".into(), json!(token));
        }
        body
    }
}

impl ServiceUser {
    /// The one that the accepted token belongs to.
    pub(super) fn owner(id: &str, options: &Options, now: Moment) -> Self {
        Self {
            id: id.to_owned(),
            name: options.service_user_name.clone(),
            org: None,
            role: options.role.clone(),
            created: now,
            expires: None,
            deleted: None,
            keys: vec![Key::new("default", None, now)],
        }
    }

    fn view(&self) -> Value {
        json!({
            "service_user_id": self.id,
            "id": self.id,
            "name": self.name,
            "service_user_name": self.name,
            "role": self.role,
            "org_id": self.org,
            "created_at": epoch(self.created),
            "expires_at": self.expires,
            "deleted_at": self.deleted.map(epoch),
            "role_assignments": [{
                "role": role(&self.role),
                "org_id": self.org,
            }],
        })
    }
}

/// `POST …/service-users`, both scopes
pub(super) fn provision(world: &mut World, call: &Call) -> Reply {
    make(world, call, Form::Reference)
}

/// `POST …/members/service-users` of the early page
pub(super) fn create_early(world: &mut World, call: &Call) -> Reply {
    make(world, call, Form::Early)
}

/// Which body a new service user comes in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `{name, role_id, ttl_seconds}`
    Reference,
    /// `{name, role}`
    Early,
}

fn make(world: &mut World, call: &Call, form: Form) -> Reply {
    let org = world.scope(call)?;
    let mut fields = Fields::new(call.object()?);
    let name = fields.required_name("name", 256);
    let role = fields.required_text(match form {
        Form::Reference => "role_id",
        Form::Early => "role",
    });
    if form == Form::Reference && !fields.has("ttl_seconds") {
        fields.missing("ttl_seconds");
    }
    let life = fields.integer("ttl_seconds", 1);
    if life.is_some_and(|life| life > LONGEST_LIFE) {
        let message = format!("Input should be less than or equal to {LONGEST_LIFE}");
        fields.refuse("ttl_seconds", &message, "less_than_equal");
    }
    fields.finish()?;
    let expires = life.map(|life| epoch(call.now) + life);
    let user = ServiceUser {
        id: ids::fresh("service-user-"),
        name,
        org: org.clone(),
        role,
        created: call.now,
        expires,
        deleted: None,
        keys: vec![Key::new("default", expires, call.now)],
    };
    let (mut body, view, token) = (user.view(), user.view(), ids::token());
    if let Some(fields) = body.as_object_mut() {
        fields.insert("service_user".into(), view);
        fields.insert("token".into(), json!(token));
        fields.insert("api_key".into(), json!(token));
    }
    let data = json!({ "service_user_id": user.id, "name": user.name });
    world.service_users.push(user);
    world.log(call.now, "create_service_user", org.as_deref(), data);
    Ok(Answer::ok(&body))
}

/// `GET …/members/service-users`
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let scope = world.scope(call)?;
    let inactive = call.query.flag("include_inactive")?.unwrap_or(false);
    let shown = world.service_users.iter().filter(|user| {
        (inactive || user.deleted.is_none()) && (scope.is_none() || user.org == scope)
    });
    let entries = shown.map(|user| (user.id.clone(), user.view()));
    page(entries.collect(), &call.query)
}

/// `GET …/members/service-users/{service_user_id}`
pub(super) fn get(world: &mut World, call: &Call) -> Reply {
    find(world, call).map(|user| Answer::ok(&user.view()))
}

/// `POST` and `PATCH …/members/service-users/{service_user_id}`
pub(super) fn assign(world: &mut World, call: &Call) -> Reply {
    let scope = world.scope(call)?;
    let mut fields = Fields::new(call.object()?);
    let role = fields.required_text("role_id");
    fields.finish()?;
    find(world, call)?.role = role;
    let data = json!({ "service_user_id": call.param("service_user_id") });
    world.log(call.now, "assign_service_user_role", scope.as_deref(), data);
    get(world, call)
}

/// `DELETE …/members/service-users/{service_user_id}`
pub(super) fn delete(world: &mut World, call: &Call) -> Reply {
    let scope = world.scope(call)?;
    let user = find(world, call)?;
    user.deleted = Some(call.now);
    let body = user.view();
    let data = json!({ "service_user_id": call.param("service_user_id") });
    world.log(call.now, "delete_service_user", scope.as_deref(), data);
    Ok(Answer::ok(&body))
}

/// `GET …/service-users/{service_user_id}/api-keys`
pub(super) fn list_keys(world: &mut World, call: &Call) -> Reply {
    let keys = find(world, call)?.keys.iter();
    let shown = keys.filter(|key| key.revoked.is_none());
    page(
        shown.map(|key| (key.id.clone(), key.view())).collect(),
        &call.query,
    )
}

/// `POST …/service-users/{service_user_id}/api-keys`
pub(super) fn create_key(world: &mut World, call: &Call) -> Reply {
    let mut fields = Fields::new(call.object_or_empty()?);
    let name = fields.text("name").unwrap_or_else(|| "unnamed".to_owned());
    let expires = fields.integer("expires_at", 0);
    fields.finish()?;
    let key = Key::new(&name, expires, call.now);
    let body = key.view_with_token();
    find(world, call)?.keys.push(key);
    log_key(world, call, "create_service_user_api_key");
    Ok(Answer::ok(&body))
}

/// `POST …/api-keys/{api_key_id}/rotate`: a new key; the old one is revoked unless told otherwise.
pub(super) fn rotate_key(world: &mut World, call: &Call) -> Reply {
    let mut fields = Fields::new(call.object_or_empty()?);
    let revoke = fields.flag("revoke_current").unwrap_or(true);
    fields.finish()?;
    let old = find_key(world, call)?;
    let key = Key::new(&old.name, old.expires, call.now);
    if revoke {
        old.revoked = Some(call.now);
    }
    let body = key.view_with_token();
    find(world, call)?.keys.push(key);
    log_key(world, call, "rotate_service_user_api_key");
    Ok(Answer::ok(&body))
}

/// `DELETE …/api-keys/{api_key_id}`
pub(super) fn revoke_key(world: &mut World, call: &Call) -> Reply {
    let key = find_key(world, call)?;
    key.revoked = Some(call.now);
    let body = key.view();
    log_key(world, call, "revoke_service_user_api_key");
    Ok(Answer::ok(&body))
}

fn log_key(world: &mut World, call: &Call, action: &str) {
    let data = json!({ "service_user_id": call.param("service_user_id") });
    world.log(call.now, action, None, data);
}

fn find<'w>(world: &'w mut World, call: &Call) -> Result<&'w mut ServiceUser, Problem> {
    let id = call.param("service_user_id");
    let mut users = world.service_users.iter_mut();
    users
        .find(|user| user.id == id && user.deleted.is_none())
        .ok_or_else(|| Problem::not_found("Service user"))
}

fn find_key<'w>(world: &'w mut World, call: &Call) -> Result<&'w mut Key, Problem> {
    let id = call.param("api_key_id");
    let mut keys = find(world, call)?.keys.iter_mut();
    keys.find(|key| key.id == id && key.revoked.is_none())
        .ok_or_else(|| Problem::not_found("API key"))
}
