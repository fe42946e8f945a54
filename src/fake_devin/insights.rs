//! Session insights: counts at once, an analysis once it was asked for (Devin's API reference,
//! sessions).

use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::Moment;
use super::life::{ACU, Session};
use super::page::page_rendered;
use super::sessions::{choose, shown_id, view};
use super::state::World;

fn insight(world: &World, session: &Session, now: Moment) -> Value {
    let conversation = session.conversation(now);
    let said_by = |source: &str| {
        conversation
            .iter()
            .filter(|said| said.source == source)
            .count()
    };
    let size = match session.spent(now) / ACU {
        ..1 => "xs",
        1..3 => "s",
        3..8 => "m",
        8..20 => "l",
        20.. => "xl",
    };
    let analysis = session.analysed.then(|| {
        json!({
            "action_items": [],
            "classification": { "category": "other", "confidence": 0.5 },
            "issues": [],
            "note_usage": {},
            "suggested_prompt": null,
            "timeline": [],
        })
    });
    let mut insight = view(world, session, now);
    if let Some(fields) = insight.as_object_mut() {
        fields.insert("num_user_messages".into(), json!(said_by("user")));
        fields.insert("num_devin_messages".into(), json!(said_by("devin")));
        fields.insert("session_size".into(), json!(size));
        fields.insert("analysis".into(), json!(analysis));
    }
    insight
}

/// `GET …/sessions/insights`, both scopes
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let chosen = choose(world, call)?.into_iter();
    let entries = chosen.map(|session| (session.id.as_str(), session));
    page_rendered(entries.collect(), &call.query, |session| {
        insight(world, session, call.now)
    })
}

/// `GET …/sessions/{devin_id}/insights`
pub(super) fn get(world: &mut World, call: &Call) -> Reply {
    let session = world.session_for(call)?;
    Ok(Answer::ok(&insight(world, session, call.now)))
}

/// `POST …/sessions/{devin_id}/insights/generate`
pub(super) fn generate(world: &mut World, call: &Call) -> Reply {
    let session = world.session_for_mut(call)?;
    let known = std::mem::replace(&mut session.analysed, true);
    let (id, org) = (session.id.clone(), session.org.clone());
    let id = shown_id(world, &id);
    if !known {
        let data = json!({ "session_id": id });
        world.log(call.now, "generate_session_insights", Some(&org), data);
    }
    let status = if known { "already_exists" } else { "started" };
    Ok(Answer::ok(&json!({ "session_id": id, "status": status })))
}
