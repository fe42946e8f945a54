//! Schedules (Devin's API reference, schedules): paged by limit and offset, with times as text.
//! The fake keeps them but never fires one.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::iso;
use super::documents::{self, Kind};
use super::fields::Fields;
use super::page::page_by_offset;
use super::problem::Problem;
use super::state::World;

/// Reads a body over what is there already (nothing, on create).
fn read(call: &Call, before: Option<&Map<String, Value>>) -> Result<Map<String, Value>, Problem> {
    let given = call.object()?;
    let mut merged = before.cloned().unwrap_or_default();
    merged.extend(given);
    let mut fields = Fields::new(merged);
    let mut schedule = Map::new();
    for name in ["name", "prompt"] {
        schedule.insert(name.into(), json!(fields.required_text(name)));
    }
    let kind = fields.choice("schedule_type", &["recurring", "one_time"]);
    let kind = kind.unwrap_or_else(|| "recurring".to_owned());
    let required = if kind == "recurring" {
        "frequency"
    } else {
        "scheduled_at"
    };
    let when = fields.required_text(required);
    for name in [
        "frequency",
        "scheduled_at",
        "playbook_id",
        "platform",
        "created_by",
    ] {
        schedule.insert(name.into(), json!(fields.text(name)));
    }
    let agent = fields.choice("agent", &["devin", "data_analyst"]);
    let notify = fields.choice("notify_on", &["always", "failure", "never"]);
    schedule.insert(
        "agent".into(),
        json!(agent.unwrap_or_else(|| "devin".into())),
    );
    schedule.insert(
        "notify_on".into(),
        json!(notify.unwrap_or_else(|| "failure".into())),
    );
    schedule.insert(
        "interval_count".into(),
        json!(fields.integer("interval_count", 1).unwrap_or(1)),
    );
    schedule.insert(
        "tags".into(),
        json!(fields.texts("tags", 50).unwrap_or_default()),
    );
    schedule.insert(
        "bypass_approval".into(),
        json!(fields.flag("bypass_approval")),
    );
    // A schedule cannot be created switched off.
    let enabled = before.is_none() || fields.flag("enabled").unwrap_or(true);
    schedule.insert("enabled".into(), json!(enabled));
    for (field, name) in [
        ("create_as_user_id", "user_id"),
        ("run_as_user_id", "user_id"),
    ] {
        if let Some(user) = fields.text(field) {
            schedule.insert(name.into(), json!(user));
        }
    }
    for name in ["slack_channel_id", "slack_team_id", "target_devin_id"] {
        schedule.insert(name.into(), json!(fields.text(name)));
    }
    for name in [
        "last_error_at",
        "last_error_message",
        "last_executed_at",
        "playbook",
    ] {
        schedule.insert(name.into(), json!(null));
    }
    schedule.insert("consecutive_failures".into(), json!(0));
    fields.finish()?;
    if kind == "recurring" && when.split_whitespace().count() != 5 {
        let detail = "Invalid frequency: not a cron expression";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    schedule.insert("schedule_type".into(), json!(kind));
    Ok(schedule)
}

/// The document with its times as text, and its id under the name that the official client reads.
fn shown(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut() {
        let id = fields.get("schedule_id").cloned();
        fields.insert("scheduled_session_id".into(), json!(id));
        for name in ["created_at", "updated_at"] {
            let seconds = fields.get(name).and_then(Value::as_f64).unwrap_or_default();
            fields.insert(name.into(), json!(iso(seconds)));
        }
    }
    document
}

/// `GET …/schedules`
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let schedules = documents::visible(world, call, Kind::Schedule)?;
    let entries = documents::entries(schedules).into_iter();
    let entries = entries.map(|(id, item)| (id, shown(item)));
    page_by_offset(entries.collect(), &call.query)
}

/// `POST …/schedules`
pub(super) fn create(world: &mut World, call: &Call) -> Reply {
    world.scope(call)?;
    let mut schedule = read(call, None)?;
    schedule.insert("created_by".into(), json!(world.me));
    let action = "create_schedule";
    let body = documents::create(world, call, Kind::Schedule, action, schedule)?;
    Ok(Answer::ok(&shown(body)))
}

/// `GET …/schedules/{schedule_id}`
pub(super) fn get(world: &mut World, call: &Call) -> Reply {
    let schedule = documents::find(world, call, Kind::Schedule)?;
    Ok(Answer::ok(&shown(schedule.view())))
}

/// `PATCH …/schedules/{schedule_id}`
pub(super) fn update(world: &mut World, call: &Call) -> Reply {
    let before = &documents::find(world, call, Kind::Schedule)?.fields;
    let schedule = read(call, Some(before))?;
    let action = "update_schedule";
    let body = documents::replace(world, call, Kind::Schedule, action, schedule)?;
    Ok(Answer::ok(&shown(body)))
}

/// `DELETE …/schedules/{schedule_id}`
pub(super) fn delete(world: &mut World, call: &Call) -> Reply {
    let schedule = documents::find(world, call, Kind::Schedule)?;
    let body = shown(schedule.view());
    documents::delete(world, call, Kind::Schedule, "delete_schedule")?;
    Ok(Answer::ok(&body))
}
