//! Sessions: create, list, get, terminate, archive (Devin's API reference, sessions).

use std::collections::HashSet;

use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::{Moment, epoch};
use super::fields::Fields;
use super::filter::Filter;
use super::life::{Session, Wishes, acus};
use super::page::page_rendered;
use super::problem::Problem;
use super::state::{World, bare};

/// At most this many tags on a session.
pub(super) const MOST_TAGS: usize = 50;

const MODES: &[&str] = &["normal", "fast", "lite", "ultra", "fusion"];
const PLATFORMS: &[&str] = &["linux", "windows"];

/// A session as every call answers it.
pub(super) fn view(world: &World, session: &Session, now: Moment) -> Value {
    let state = session.state(now);
    let wishes = &session.wishes;
    let finished = session.has_finished(now);
    let children: Vec<String> = world
        .sessions
        .children(&session.id)
        .map(|child| shown_id(world, &child.id))
        .collect();
    let pull_requests: Vec<Value> = wishes
        .repos
        .iter()
        .filter(|_| finished)
        .map(|repo| json!({ "pr_url": format!("https://github.com/{repo}/pull/1"), "pr_state": "open" }))
        .collect();
    let structured = (finished && wishes.structured).then(|| json!({ "result": "done" }));
    let view = json!({
        "session_id": shown_id(world, &session.id),
        "url": format!("https://app.devin.ai/sessions/{}", session.id),
        "status": state.status,
        "status_detail": state.detail,
        "tags": session.tags(),
        "org_id": session.org,
        "created_at": epoch(session.created),
        "updated_at": epoch(session.updated(now)),
        "acus_consumed": acus(session.spent(now)),
        "pull_requests": pull_requests,
        "structured_output": structured,
        "title": wishes.title,
        "user_id": wishes.user,
        "service_user_id": wishes.service_user,
        "playbook_id": wishes.playbook,
        "parent_session_id": wishes.parent.as_deref().map(|id| shown_id(world, id)),
        "child_session_ids": children,
        "is_archived": session.archived,
        "origin": wishes.origin,
        "devin_mode": wishes.mode,
        "category": wishes.category,
        "subcategory": null,
        "automation_id": null,
        "is_advanced": false,
    });
    session.odd.distort(view)
}

/// The id in the form that the options ask for.
pub(super) fn shown_id(world: &World, id: &str) -> String {
    if world.options.bare_session_ids {
        id.to_owned()
    } else {
        format!("devin-{id}")
    }
}

/// `POST …/sessions`
pub(super) fn create(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?.id.clone();
    let mut fields = Fields::new(call.object()?);
    let prompt = fields.required_text("prompt");
    let tags = fields.texts("tags", MOST_TAGS).unwrap_or_default();
    let mut wishes = Wishes {
        title: fields.text("title"),
        cap: fields.integer("max_acu_limit", 1),
        mode: fields.choice("devin_mode", MODES),
        parent: call.query.one("devin_id").map(|id| bare(id).to_owned()),
        user: fields.text("create_as_user_id"),
        service_user: Some(world.me.clone()),
        origin: "api".to_owned(),
        elsewhere: false,
        playbook: fields.text("playbook_id"),
        category: None,
        repos: fields.texts("repos", usize::MAX).unwrap_or_default(),
        attachments: fields
            .texts("attachment_urls", usize::MAX)
            .unwrap_or_default(),
        structured: fields.any("structured_output_schema").is_object(),
    };
    fields.texts("knowledge_ids", usize::MAX);
    fields.texts("secret_ids", usize::MAX);
    fields.texts("session_links", usize::MAX);
    let child_playbook = fields.text("child_playbook_id");
    for name in ["bypass_approval", "resumable", "structured_output_required"] {
        fields.flag(name);
    }
    let secrets = fields.objects("session_secrets").unwrap_or_default();
    let is_text = |secret: &serde_json::Map<String, Value>, key: &str| {
        secret.get(key).is_some_and(Value::is_string)
    };
    if !secrets
        .iter()
        .all(|secret| is_text(secret, "key") && is_text(secret, "value"))
    {
        fields.refuse("session_secrets", "Field required", "missing");
    }
    let platform = fields.text("platform");
    fields.finish()?;
    if platform.is_some_and(|platform| !PLATFORMS.contains(&platform.as_str())) {
        let detail = format!("Unknown platform; valid labels: {}", PLATFORMS.join(", "));
        return Err(Problem::new(http::StatusCode::BAD_REQUEST, &detail));
    }
    let tags = deduplicated(tags);
    world.organization(call)?.check_tags(&tags)?;
    if let Some(user) = &wishes.user
        && !world.people.iter().any(|person| &person.id == user)
    {
        return Err(Problem::new(
            http::StatusCode::FORBIDDEN,
            "create_as_user_id does not name a member of this organization",
        ));
    }
    if let Some(id) = &wishes.parent {
        let parent = world.session(id).filter(|parent| parent.org == org);
        let parent = parent.ok_or_else(|| Problem::not_found("Parent session"))?;
        wishes.user = wishes.user.or_else(|| parent.wishes.user.clone());
        wishes.playbook = wishes.playbook.or(child_playbook);
        wishes.playbook = wishes.playbook.or_else(|| parent.wishes.playbook.clone());
    }
    let (pace, now) = (world.pace(), call.now);
    let allowance = world.allowance(&org, wishes.cap, now);
    let id = world.session_ids.next();
    let session = Session::new(
        id.clone(),
        org.clone(),
        prompt,
        wishes,
        pace,
        allowance,
        now,
    );
    world.sessions.add(session, tags);
    let created = world.sessions.get(&id).map(|it| view(world, it, now));
    let body = created.unwrap_or_default();
    let data = json!({ "session_id": shown_id(world, &id) });
    world.log(now, "create_session", Some(&org), data);
    Ok(Answer::ok(&body))
}

/// `GET …/sessions`, both scopes
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let chosen = choose(world, call)?.into_iter();
    let entries = chosen.map(|session| (session.id.as_str(), session));
    page_rendered(entries.collect(), &call.query, |session| {
        view(world, session, call.now)
    })
}

/// The sessions that scope and filters leave, newest first.
pub(super) fn choose<'w>(world: &'w World, call: &Call) -> Result<Vec<&'w Session>, Problem> {
    let scope = world.scope(call)?;
    let filter = Filter::read(&call.query)?;
    let (ids, tags) = (filter.ids.as_deref(), filter.tags.as_deref());
    let candidates = world.sessions.newest_first(ids, filter.parent, tags);
    let within = |session: &&Session| scope.as_ref().is_none_or(|org| &session.org == org);
    Ok(candidates
        .filter(|session| !session.odd.vanished)
        .filter(within)
        .filter(|session| filter.keeps(session, call.now))
        .collect())
}

/// `GET …/sessions/{devin_id}`, both scopes
pub(super) fn get(world: &mut World, call: &Call) -> Reply {
    let session = world.session_for(call)?;
    Ok(Answer::ok(&view(world, session, call.now)))
}

/// `DELETE …/sessions/{devin_id}`
pub(super) fn terminate(world: &mut World, call: &Call) -> Reply {
    let archive = call.query.flag("archive")?.unwrap_or(false);
    change(world, call, "terminate_session", |session, now| {
        session.end("exit", now);
        session.archived |= archive;
    })
}

/// `POST …/sessions/{devin_id}/archive`
pub(super) fn archive(world: &mut World, call: &Call) -> Reply {
    change(world, call, "sleep_session", Session::archive)
}

/// `POST …/sessions/{devin_id}/unarchive`
pub(super) fn unarchive(world: &mut World, call: &Call) -> Reply {
    change(world, call, "unarchive_session", |session, now| {
        session.archived = false;
        session.touched = now;
    })
}

/// Changes a session, notes it in the audit log and answers the session.
pub(super) fn change(
    world: &mut World,
    call: &Call,
    action: &str,
    how: impl FnOnce(&mut Session, Moment),
) -> Reply {
    let session = world.session_for_mut(call)?;
    how(session, call.now);
    let (id, org) = (session.id.clone(), session.org.clone());
    let data = json!({ "session_id": shown_id(world, &id) });
    world.log(call.now, action, Some(&org), data);
    get(world, call)
}

/// Each tag once, in the order given.
pub(super) fn deduplicated(tags: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    tags.into_iter()
        .filter(|tag| seen.insert(tag.clone()))
        .collect()
}
