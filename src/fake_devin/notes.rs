//! Knowledge notes and folders (Devin's API reference, notes). An update replaces the whole note:
//! what the body leaves out is cleared.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::documents::{self, Kind};
use super::fields::Fields;
use super::page::page;
use super::problem::Problem;
use super::state::World;

fn read(call: &Call) -> Result<Map<String, Value>, Problem> {
    let mut fields = Fields::new(call.object()?);
    let mut note = Map::new();
    for name in ["name", "body", "trigger"] {
        note.insert(name.to_owned(), json!(fields.required_text(name)));
    }
    for name in ["folder_id", "pinned_repo"] {
        note.insert(name.to_owned(), json!(fields.text(name)));
    }
    // Folders cannot be made through the API: every note lies in the root.
    note.insert("folder_path".to_owned(), json!(""));
    note.insert("macro".to_owned(), json!(null));
    let enabled = fields.flag("is_enabled").unwrap_or(true);
    note.insert("is_enabled".to_owned(), json!(enabled));
    fields.finish()?;
    Ok(note)
}

/// `GET …/knowledge/notes`, both scopes
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let mut notes = documents::visible(world, call, Kind::Note)?;
    let text = |note: &documents::Document, name: &str| {
        let value = note.fields.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_lowercase()
    };
    if let Some(search) = call.query.one("search").map(str::to_lowercase) {
        notes.retain(|note| {
            let mut searched = ["name", "body", "trigger"].iter();
            searched.any(|name| text(note, name).contains(&search))
        });
    }
    if let Some(repo) = call.query.one("pinned_repo").map(str::to_lowercase) {
        notes.retain(|note| text(note, "pinned_repo") == repo);
    }
    page(documents::entries(notes), &call.query)
}

/// `POST …/knowledge/notes`
pub(super) fn create(world: &mut World, call: &Call) -> Reply {
    world.scope(call)?;
    let note = read(call)?;
    let body = documents::create(world, call, Kind::Note, "create_knowledge", note)?;
    Ok(Answer::ok(&body))
}

/// `GET …/knowledge/notes/{note_id}`
pub(super) fn get(world: &mut World, call: &Call) -> Reply {
    documents::find(world, call, Kind::Note).map(|note| Answer::ok(&note.view()))
}

/// `PUT …/knowledge/notes/{note_id}`
pub(super) fn update(world: &mut World, call: &Call) -> Reply {
    documents::find(world, call, Kind::Note)?;
    let note = read(call)?;
    let body = documents::replace(world, call, Kind::Note, "edit_knowledge", note)?;
    Ok(Answer::ok(&body))
}

/// `DELETE …/knowledge/notes/{note_id}`
pub(super) fn delete(world: &mut World, call: &Call) -> Reply {
    documents::delete(world, call, Kind::Note, "delete_knowledge")
}

/// `GET …/knowledge/folders`: the API has no call that makes one, so there are none.
pub(super) fn folders(world: &mut World, call: &Call) -> Reply {
    let notes = documents::visible(world, call, Kind::Note)?;
    Ok(Answer::ok(
        &json!({ "folders": [], "root_note_count": notes.len() }),
    ))
}
