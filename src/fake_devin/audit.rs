//! The audit log (Devin's API reference, audit logs): seeded at the start, one entry for every
//! change made through the API after that.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::Reply;
use super::call::Call;
use super::clock::{DAY, Moment, epoch};
use super::ids;
use super::options::Options;
use super::page::page_rendered;
use super::problem::Problem;
use super::state::World;

/// The longest window that may be asked for.
const LONGEST: i64 = 100 * 86_400;

/// 2024-01-01T00:00:00Z
const JANUARY_2024: f64 = 1_704_067_200.0;

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    id: String,
    action: String,
    at: Moment,
    org: Option<String>,
    service_user: Option<String>,
    user: Option<(String, String)>,
    data: Value,
}

impl Entry {
    /// Something that a service user did.
    pub(super) fn by_service_user(
        action: &str,
        at: Moment,
        org: Option<&str>,
        service_user: &str,
        data: Value,
    ) -> Self {
        Self {
            id: ids::fresh("audit-"),
            action: action.to_owned(),
            at,
            org: org.map(str::to_owned),
            service_user: Some(service_user.to_owned()),
            user: None,
            data,
        }
    }

    fn view(&self, world: &World) -> Value {
        let service_user = self.service_user.as_deref();
        let name = world
            .service_users
            .iter()
            .find(|known| Some(known.id.as_str()) == service_user)
            .map(|known| known.name.as_str());
        json!({
            "audit_log_id": self.id,
            "action": self.action,
            "created_at": epoch(self.at),
            "data": self.data,
            "org_id": self.org,
            "service_user_id": self.service_user,
            "service_user_name": name,
            "user_id": self.user.as_ref().map(|(id, _)| id),
            "user_email": self.user.as_ref().map(|(_, email)| email),
        })
    }
}

/// As many entries in January 2024 as in the 45 days before `now`, oldest first.
pub(super) fn seed(options: &Options, organizations: &[&str], me: &str, now: Moment) -> Vec<Entry> {
    const ACTIONS: [&str; 6] = [
        "login",
        "create_session",
        "send_message",
        "update_org_settings",
        "create_knowledge",
        "terminate_session",
    ];
    let count = options.audit_entries;
    let spread = |begin: Moment, span: f64| {
        (0..count).map(move |number| begin + span * (number as f64 + 0.5) / count as f64)
    };
    let january = spread(JANUARY_2024, 31.0 * DAY);
    let recent = spread(now - 45.0 * DAY, 45.0 * DAY);
    let orgs = organizations.iter().cycle();
    january
        .chain(recent)
        .zip(ACTIONS.iter().cycle())
        .zip(orgs)
        .map(|((at, action), org)| {
            let mut entry = Entry::by_service_user(action, at, Some(org), me, json!({}));
            if *action == "login" {
                // People log in, service users do not.
                let user = ("user-aiko".to_owned(), "aiko@example.com".to_owned());
                entry.user = Some(user);
                entry.service_user = None;
            }
            entry
        })
        .collect()
}

/// `GET …/audit-logs`, both scopes
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let scope = world.scope(call)?;
    let query = &call.query;
    let after = query.integer("time_after")?;
    let before = query.integer("time_before")?;
    let end = before.unwrap_or_else(|| epoch(call.now));
    match after {
        None if before.is_some() => {
            return Err(refuse("time_before requires time_after"));
        }
        Some(after) if after > end => {
            return Err(refuse("time_after must not be later than time_before"));
        }
        Some(after) if end.saturating_sub(after) > LONGEST => {
            return Err(refuse("The time range must not exceed 100 days"));
        }
        Some(_) | None => {}
    }
    let ascending = match query.one("order") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => {
            let message = "Input should be 'asc' or 'desc'";
            return Err(Problem::invalid_query("order", message, "enum"));
        }
    };
    let mut chosen: Vec<&Entry> = world
        .audit
        .iter()
        .filter(|entry| {
            scope
                .as_ref()
                .is_none_or(|org| entry.org.as_ref() == Some(org))
        })
        .filter(|entry| {
            query
                .one("action")
                .is_none_or(|action| entry.action == action)
        })
        .filter(|entry| after.is_none_or(|after| epoch(entry.at) >= after))
        .filter(|entry| before.is_none_or(|before| epoch(entry.at) <= before))
        .collect();
    if !ascending {
        chosen.reverse();
    }
    let entries = chosen.into_iter().map(|entry| (entry.id.clone(), entry));
    page_rendered(entries.collect(), query, |entry| entry.view(world))
}

fn refuse(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}
