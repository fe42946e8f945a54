//! What notes, playbooks, secrets and schedules have in common: an id, an owner and fields.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::{Moment, epoch};
use super::ids;
use super::page::Entries;
use super::problem::Problem;
use super::state::World;

/// Which kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Note,
    Playbook,
    Secret,
    Schedule,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Note => "note-",
            Self::Playbook => "playbook-",
            Self::Secret => "secret-",
            Self::Schedule => "sched-",
        }
    }

    /// The name of the id in paths and objects.
    fn id_name(self) -> &'static str {
        match self {
            Self::Note => "note_id",
            Self::Playbook => "playbook_id",
            Self::Secret => "secret_id",
            Self::Schedule => "schedule_id",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Note => "Note",
            Self::Playbook => "Playbook",
            Self::Secret => "Secret",
            Self::Schedule => "Schedule",
        }
    }
}

/// A document; without an organization it belongs to the enterprise.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) org: Option<String>,
    pub(super) fields: Map<String, Value>,
    created: Moment,
    updated: Moment,
}

impl Document {
    /// All fields, with ids and times.
    pub(super) fn view(&self) -> Value {
        let mut fields = self.fields.clone();
        let access = if self.org.is_some() {
            "org"
        } else {
            "enterprise"
        };
        fields.insert(self.kind.id_name().into(), json!(self.id));
        fields.insert("org_id".into(), json!(self.org));
        fields.insert("access_type".into(), json!(access));
        fields.insert("created_at".into(), json!(epoch(self.created)));
        fields.insert("updated_at".into(), json!(epoch(self.updated)));
        Value::Object(fields)
    }
}

/// Keeps a new document in the call's scope and answers it.
pub(super) fn create(
    world: &mut World,
    call: &Call,
    kind: Kind,
    action: &str,
    fields: Map<String, Value>,
) -> Result<Value, Problem> {
    let document = Document {
        kind,
        id: ids::fresh(kind.prefix()),
        org: world.scope(call)?,
        fields,
        created: call.now,
        updated: call.now,
    };
    let (body, org) = (document.view(), document.org.clone());
    let data = json!({ kind.id_name(): document.id });
    world.documents.push(document);
    world.log(call.now, action, org.as_deref(), data);
    Ok(body)
}

/// All documents of a kind in the call's scope; the enterprise sees everybody's.
pub(super) fn visible<'w>(
    world: &'w World,
    call: &Call,
    kind: Kind,
) -> Result<Vec<&'w Document>, Problem> {
    let scope = world.scope(call)?;
    let all = world
        .documents
        .iter()
        .filter(|document| document.kind == kind);
    Ok(all
        .filter(|document| scope.is_none() || document.org == scope)
        .collect())
}

/// Documents as entries of a page.
pub(super) fn entries(documents: Vec<&Document>) -> Entries {
    let all = documents.into_iter();
    all.map(|document| (document.id.clone(), document.view()))
        .collect()
}

/// The document that the path names.
pub(super) fn find<'w>(world: &'w World, call: &Call, kind: Kind) -> Result<&'w Document, Problem> {
    let id = call.param(kind.id_name());
    let all = visible(world, call, kind)?;
    let found = all.into_iter().find(|document| document.id == id);
    found.ok_or_else(|| Problem::not_found(kind.title()))
}

/// Puts new fields in place of the old ones and answers the document.
pub(super) fn replace(
    world: &mut World,
    call: &Call,
    kind: Kind,
    action: &str,
    fields: Map<String, Value>,
) -> Result<Value, Problem> {
    let id = find(world, call, kind)?.id.clone();
    let mut all = world.documents.iter_mut();
    let document = all
        .find(|document| document.id == id)
        .ok_or_else(|| Problem::not_found(kind.title()))?;
    document.fields = fields;
    document.updated = call.now;
    let (body, org) = (document.view(), document.org.clone());
    world.log(
        call.now,
        action,
        org.as_deref(),
        json!({ kind.id_name(): id }),
    );
    Ok(body)
}

/// Removes the document and answers it.
pub(super) fn delete(world: &mut World, call: &Call, kind: Kind, action: &str) -> Reply {
    let document = find(world, call, kind)?;
    let (body, id, org) = (document.view(), document.id.clone(), document.org.clone());
    world.documents.retain(|document| document.id != id);
    world.log(
        call.now,
        action,
        org.as_deref(),
        json!({ kind.id_name(): id }),
    );
    Ok(Answer::ok(&body))
}
