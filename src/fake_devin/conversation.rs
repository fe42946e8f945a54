//! Messages and tags of a session (Devin's API reference, sessions). A message wakes a session that
//! sleeps, and its spending begins anew.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::epoch;
use super::fields::Fields;
use super::page::page;
use super::problem::Problem;
use super::sessions::{MOST_TAGS, deduplicated, get, shown_id};
use super::state::World;

/// `GET …/messages`
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let said = world.session_for(call)?.conversation(call.now);
    let entries = said.into_iter().map(|said| {
        let item = json!({
            "event_id": said.id,
            "source": said.source,
            "message": said.text,
            "created_at": epoch(said.at),
        });
        (said.id, item)
    });
    page(entries.collect(), &call.query)
}

/// `POST …/messages`
pub(super) fn send(world: &mut World, call: &Call) -> Reply {
    let (org, cap) = world.session_for(call)?.billed_to();
    let mut fields = Fields::new(call.object()?);
    let text = fields.required_text("message");
    fields.text("message_as_user_id");
    let attachments = fields
        .texts("attachment_urls", usize::MAX)
        .unwrap_or_default();
    fields.finish()?;
    let allowance = world.allowance(&org, cap, call.now);
    let session = world.session_for_mut(call)?;
    if !session.message(text, allowance, false, call.now) {
        let detail = "Session has ended and cannot be resumed";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    session.wishes.attachments.extend(attachments);
    let id = session.id.clone();
    let data = json!({ "session_id": shown_id(world, &id) });
    world.log(call.now, "send_message", Some(&org), data);
    get(world, call)
}

/// `GET …/tags`
pub(super) fn tags(world: &mut World, call: &Call) -> Reply {
    let session = world.session_for(call)?;
    Ok(Answer::ok(&json!({ "tags": session.tags() })))
}

/// `POST …/tags`
pub(super) fn append_tags(world: &mut World, call: &Call) -> Reply {
    set_tags(world, call, true)
}

/// `PUT …/tags`
pub(super) fn replace_tags(world: &mut World, call: &Call) -> Reply {
    set_tags(world, call, false)
}

fn set_tags(world: &mut World, call: &Call, keep: bool) -> Reply {
    let session = world.session_for(call)?;
    let mut all = if keep {
        session.tags().to_vec()
    } else {
        Vec::new()
    };
    all.extend(read_tags(call)?);
    let all = deduplicated(all);
    if all.len() > MOST_TAGS {
        let message = format!("A session can have at most {MOST_TAGS} tags");
        let error = super::problem::invalid_at(&["body", "tags"], &message, "too_long");
        return Err(Problem::invalid(vec![error]));
    }
    let session = world.session_for(call)?;
    let (id, org) = (session.id.clone(), session.org.clone());
    if let Some(organization) = world.organizations.iter().find(|known| known.id == org) {
        organization.check_tags(&all)?;
    }
    let body: Value = json!({ "tags": all });
    world.session_for_mut(call)?.touched = call.now;
    world.sessions.retag(&id, all);
    let data = json!({ "session_id": shown_id(world, &id) });
    world.log(call.now, "update_session_tags", Some(&org), data);
    Ok(Answer::ok(&body))
}

/// The body `{tags}`.
pub(super) fn read_tags(call: &Call) -> Result<Vec<String>, Problem> {
    let mut fields = Fields::new(call.object()?);
    if !fields.has("tags") {
        fields.missing("tags");
    }
    let tags = fields.texts("tags", MOST_TAGS).unwrap_or_default();
    fields.finish()?;
    Ok(tags)
}
