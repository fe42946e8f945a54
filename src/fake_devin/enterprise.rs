//! The small read-only calls: who am I, roles, queue, hypervisors (Devin's API reference, self and
//! other endpoint groups).

use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::epoch;
use super::page::page;
use super::problem::Problem;
use super::state::World;

/// `GET /self` and `GET /enterprise/self`; `name` and `role` are the early page's.
pub(super) fn who_am_i(world: &mut World, _: &Call) -> Reply {
    Ok(Answer::ok(&json!({
        "principal_type": "service_user",
        "service_user_id": world.me,
        "service_user_name": world.options.service_user_name,
        "org_id": null,
        "name": world.options.service_user_name,
        "role": world.options.role,
    })))
}

const ROLES: &[(&str, &str, &str)] = &[
    ("account_admin", "Enterprise Admin", "enterprise"),
    ("account_member", "Enterprise Member", "enterprise"),
    ("org_admin", "Admin", "org"),
    ("org_member", "Member", "org"),
];

/// A role as it stands in assignments. One that is not known, such as the early page's
/// `developer`, is taken for an organization's.
pub(super) fn role(id: &str) -> Value {
    let known = ROLES.iter().find(|(known, _, _)| *known == id);
    let (_, name, kind) = known.copied().unwrap_or((id, id, "org"));
    json!({ "role_id": id, "role_name": name, "role_type": kind })
}

/// `GET /enterprise/roles`
pub(super) fn roles(_: &mut World, call: &Call) -> Reply {
    let entries = ROLES.iter().map(|(id, _, _)| ((*id).to_owned(), role(id)));
    page(entries.collect(), &call.query)
}

/// `GET /enterprise/queue`: sessions that are not running yet.
pub(super) fn queue(world: &mut World, call: &Call) -> Reply {
    let waiting = |status| matches!(status, "new" | "claimed" | "resuming");
    let sessions = world.sessions.iter();
    let size = sessions
        .filter(|one| waiting(one.state(call.now).status))
        .count();
    let status = match size {
        0..=10 => "normal",
        11..=50 => "elevated",
        _ => "high",
    };
    Ok(Answer::ok(&json!({ "queue_size": size, "status": status })))
}

/// `GET /enterprise/hypervisors`
pub(super) fn hypervisors(world: &mut World, call: &Call) -> Reply {
    const STATES: [&str; 6] = [
        "available",
        "restarting",
        "disconnected",
        "terminated",
        "draining",
        "all",
    ];
    let wanted = call.query.one("status").unwrap_or("all");
    if !STATES.contains(&wanted) {
        let message = "Input should be a known status";
        return Err(Problem::invalid_query("status", message, "enum"));
    }
    let shown = ["hypervisor-1", "hypervisor-2"].iter();
    let shown = shown.filter(|_| matches!(wanted, "all" | "available"));
    let entries = shown.map(|id| {
        let item = json!({
            "hypervisor_id": id,
            "status": "available",
            "utilization_percentage": 0.0,
            "cloud_provider_instance_id": null,
            "created_at": epoch(world.began),
            "last_heartbeat": epoch(call.now),
        });
        ((*id).to_owned(), item)
    });
    page(entries.collect(), &call.query)
}
