//! Organizations and their allowed tags (Devin's API reference, organizations). Both spellings
//! stand in the same objects: `org_id` and `id`, `max_cycle_acu_limit` and `acu_limit`.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::{Moment, epoch};
use super::conversation::read_tags;
use super::fields::Fields;
use super::ids;
use super::page::page_with_alias;
use super::problem::Problem;
use super::state::World;

/// An organization.
#[derive(Debug)]
pub(super) struct Organization {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) cycle_limit: Option<i64>,
    pub(super) session_limit: Option<i64>,
    created: Moment,
    updated: Moment,
    tags: Vec<String>,
    default_tag: Option<String>,
}

impl Organization {
    pub(super) fn new(id: &str, name: &str, tags: &[String], now: Moment) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            cycle_limit: None,
            session_limit: None,
            created: now,
            updated: now,
            tags: tags.to_vec(),
            default_tag: None,
        }
    }

    /// Refuses tags that a session here may not have. An organization that lists none allows all.
    pub(super) fn check_tags(&self, tags: &[String]) -> Result<(), Problem> {
        let mut unknown = tags.iter().filter(|tag| !self.tags.contains(tag));
        match unknown.next() {
            Some(tag) if !self.tags.is_empty() => {
                let detail = format!("Tag '{tag}' is not among this organization's allowed tags");
                Err(Problem::new(StatusCode::BAD_REQUEST, &detail))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn view(&self) -> Value {
        json!({
            "org_id": self.id,
            "id": self.id,
            "name": self.name,
            "max_cycle_acu_limit": self.cycle_limit,
            "acu_limit": self.cycle_limit,
            "max_session_acu_limit": self.session_limit,
            "created_at": epoch(self.created),
            "updated_at": epoch(self.updated),
        })
    }
}

/// `GET /enterprise/organizations`
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let entries = world
        .organizations
        .iter()
        .map(|org| (org.id.clone(), org.view()));
    page_with_alias(entries.collect(), &call.query, "organizations")
}

/// `POST /enterprise/organizations`
pub(super) fn create(world: &mut World, call: &Call) -> Reply {
    let mut fields = Fields::new(call.object()?);
    let name = fields.required_name("name", 256);
    let limits = Limits::read(&mut fields);
    fields.finish()?;
    let mut org = Organization::new(&ids::fresh("org-"), &name, &[], call.now);
    limits.apply(&mut org);
    let (body, id) = (org.view(), org.id.clone());
    world.organizations.push(org);
    world.log(call.now, "create_org", Some(&id), json!({ "name": name }));
    Ok(Answer::ok(&body))
}

/// `GET /enterprise/organizations/{org_id}`
pub(super) fn get(world: &mut World, call: &Call) -> Reply {
    world.organization(call).map(|org| Answer::ok(&org.view()))
}

/// `PATCH /enterprise/organizations/{org_id}`: a merge in which null clears.
pub(super) fn update(world: &mut World, call: &Call) -> Reply {
    world.organization(call)?;
    let mut fields = Fields::new(call.object()?);
    let name = fields
        .has("name")
        .then(|| fields.required_name("name", 256));
    let limits = Limits::read(&mut fields);
    fields.finish()?;
    change(world, call, "update_org", |org| {
        if let Some(name) = name {
            org.name = name;
        }
        limits.apply(org);
    })?;
    get(world, call)
}

/// `DELETE /enterprise/organizations/{org_id}`
pub(super) fn delete(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?;
    let (body, id) = (org.view(), org.id.clone());
    world.organizations.retain(|org| org.id != id);
    world.log(call.now, "delete_org", Some(&id), json!({}));
    Ok(Answer::ok(&body))
}

/// The limits that a body names. The outer option says whether a field is there at all.
struct Limits {
    cycle: Option<Option<i64>>,
    session: Option<Option<i64>>,
}

impl Limits {
    fn read(fields: &mut Fields) -> Self {
        let mut limit = |name: &str| fields.has(name).then(|| fields.integer(name, 0));
        let early = limit("acu_limit");
        Self {
            cycle: limit("max_cycle_acu_limit").or(early),
            session: limit("max_session_acu_limit"),
        }
    }

    fn apply(&self, org: &mut Organization) {
        org.cycle_limit = self.cycle.unwrap_or(org.cycle_limit);
        org.session_limit = self.session.unwrap_or(org.session_limit);
    }
}

fn change(
    world: &mut World,
    call: &Call,
    action: &str,
    how: impl FnOnce(&mut Organization),
) -> Result<(), Problem> {
    let id = world.organization(call)?.id.clone();
    if let Some(org) = world.organizations.iter_mut().find(|org| org.id == id) {
        how(org);
        org.updated = call.now;
    }
    world.log(call.now, action, Some(&id), json!({}));
    Ok(())
}

/// `GET …/tags`
pub(super) fn tags(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?;
    Ok(Answer::ok(&json!({ "tags": org.tags })))
}

/// `POST …/tags`
pub(super) fn append_tags(world: &mut World, call: &Call) -> Reply {
    let new = read_tags(call)?;
    set_tags(world, call, |tags| tags.extend(new))
}

/// `PUT …/tags`
pub(super) fn replace_tags(world: &mut World, call: &Call) -> Reply {
    let new = read_tags(call)?;
    set_tags(world, call, |tags| *tags = new)
}

/// `DELETE …/tags`
pub(super) fn clear_tags(world: &mut World, call: &Call) -> Reply {
    set_tags(world, call, Vec::clear)
}

/// `DELETE …/tags/{tag}`
pub(super) fn remove_tag(world: &mut World, call: &Call) -> Reply {
    if !world
        .organization(call)?
        .tags
        .iter()
        .any(|tag| tag == call.param("tag"))
    {
        return Err(Problem::not_found("Tag"));
    }
    set_tags(world, call, |tags| {
        tags.retain(|tag| tag != call.param("tag"))
    })
}

/// Tags are kept sorted, and a default that is no longer among them is cleared.
fn set_tags(world: &mut World, call: &Call, how: impl FnOnce(&mut Vec<String>)) -> Reply {
    change(world, call, "update_org_settings", |org| {
        how(&mut org.tags);
        org.tags.sort();
        org.tags.dedup();
        org.default_tag = org.default_tag.take().filter(|tag| org.tags.contains(tag));
    })?;
    tags(world, call)
}

/// `GET …/tags/default`
pub(super) fn default_tag(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?;
    Ok(Answer::ok(&json!({ "tag": org.default_tag })))
}

/// `PUT …/tags/default`
pub(super) fn set_default_tag(world: &mut World, call: &Call) -> Reply {
    let mut fields = Fields::new(call.object()?);
    let tag = fields.required_text("tag");
    fields.finish()?;
    if !world.organization(call)?.tags.contains(&tag) {
        return Err(Problem::not_found("Tag"));
    }
    change(world, call, "update_org_settings", |org| {
        org.default_tag = Some(tag)
    })?;
    default_tag(world, call)
}

/// `DELETE …/tags/default`
pub(super) fn clear_default_tag(world: &mut World, call: &Call) -> Reply {
    change(world, call, "update_org_settings", |org| {
        org.default_tag = None
    })?;
    default_tag(world, call)
}
