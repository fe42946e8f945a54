//! What the fake knows: organizations, sessions, documents, members and the audit log.

use http::StatusCode;
use serde_json::Value;

use super::attachments::{Attachment, Link};
use super::audit::{self, Entry};
use super::call::Call;
use super::clock::Moment;
use super::consumption::{self, OtherUse};
use super::documents::Document;
use super::ids::{self, SessionIds};
use super::life::{ACU, Allowance, Milli, Pace, Session};
use super::members::{self, Person};
use super::options::Options;
use super::organizations::Organization;
use super::problem::Problem;
use super::registry::Sessions;
use super::repositories::Indexed;
use super::service_users::ServiceUser;

/// The whole state, behind one lock.
#[derive(Debug)]
pub(super) struct World {
    pub(super) options: Options,
    pub(super) began: Moment,
    /// Id of the service user that the token belongs to.
    pub(super) me: String,
    pub(super) organizations: Vec<Organization>,
    pub(super) sessions: Sessions,
    pub(super) documents: Vec<Document>,
    pub(super) attachments: Vec<Attachment>,
    pub(super) links: Vec<Link>,
    pub(super) service_users: Vec<ServiceUser>,
    pub(super) people: Vec<Person>,
    pub(super) audit: Vec<Entry>,
    pub(super) indexed: Vec<Indexed>,
    pub(super) other_use: Vec<OtherUse>,
    pub(super) session_ids: SessionIds,
    rate: (Moment, u32),
}

impl World {
    pub(super) fn new(options: Options, now: Moment) -> Self {
        let me = ids::fresh("service-user-");
        let organizations: Vec<Organization> = options
            .organizations
            .iter()
            .map(|(id, name)| {
                let mut allowed = options.allowed_tags.iter();
                let tags = allowed.find(|(org, _)| org == id).map(|(_, tags)| &**tags);
                Organization::new(id, name, tags.unwrap_or_default(), now)
            })
            .collect();
        let names: Vec<&str> = organizations.iter().map(|org| org.id.as_str()).collect();
        Self {
            began: now,
            audit: audit::seed(&options, &names, &me, now),
            other_use: consumption::seed(&names),
            people: members::seed(),
            service_users: vec![ServiceUser::owner(&me, &options, now)],
            organizations,
            sessions: Sessions::default(),
            documents: Vec::new(),
            attachments: Vec::new(),
            links: Vec::new(),
            indexed: Vec::new(),
            me,
            session_ids: SessionIds::new(options.seed),
            options,
            rate: (now, 0),
        }
    }

    /// The organization that the path names.
    ///
    /// Below `/organizations/` an unknown one is refused like one that the caller has no rights in;
    /// below `/enterprise/organizations/` it is simply not there.
    pub(super) fn organization(&self, call: &Call) -> Result<&Organization, Problem> {
        let id = call.organization().unwrap_or_default();
        let found = self.organizations.iter().find(|org| org.id == id);
        found.ok_or_else(|| {
            if call.enterprise {
                Problem::not_found("Organization")
            } else {
                Problem::forbidden()
            }
        })
    }

    /// The organization in the path, if the path has one; none means the whole enterprise.
    pub(super) fn scope(&self, call: &Call) -> Result<Option<String>, Problem> {
        match call.organization() {
            None => Ok(None),
            Some(_) => self.organization(call).map(|org| Some(org.id.clone())),
        }
    }

    /// A session by either form of its id, unless it is to look as if there were none.
    pub(super) fn session(&self, id: &str) -> Option<&Session> {
        let session = self.sessions.get(id)?;
        (!session.odd.vanished).then_some(session)
    }

    /// The session that a call names, if it lies within the call's scope.
    pub(super) fn session_for(&self, call: &Call) -> Result<&Session, Problem> {
        let scope = self.scope(call)?;
        let within = scope.as_deref().or_else(|| call.query.one("org_id"));
        self.session(call.param("devin_id"))
            .filter(|session| within.is_none_or(|org| session.org == org))
            .ok_or_else(|| Problem::not_found("Session"))
    }

    /// The same, to be changed.
    pub(super) fn session_for_mut(&mut self, call: &Call) -> Result<&mut Session, Problem> {
        let id = self.session_for(call)?.id.clone();
        self.sessions
            .get_mut(&id)
            .ok_or_else(|| Problem::not_found("Session"))
    }

    /// How sessions move on, as the options set it.
    pub(super) fn pace(&self) -> Pace {
        Pace {
            claim: 2.0,
            start: 5.0,
            resume: 5.0,
            work: self.options.work_minutes * 60.0,
            idle: self.options.idle_minutes * 60.0,
            acus_per_second: self.options.acus_per_minute / 60.0,
        }
    }

    /// What a wake of a session in `org` may spend, beginning now.
    pub(super) fn allowance(&self, org: &str, cap: Option<i64>, now: Moment) -> Allowance {
        let organization = self.organizations.iter().find(|known| known.id == org);
        let session_limit = organization.and_then(|org| org.session_limit);
        let cycle_limit = organization.and_then(|org| org.cycle_limit);
        let spent = || -> Milli {
            let sessions = self.sessions.iter().filter(|session| session.org == org);
            sessions.map(|session| session.spent(now)).sum()
        };
        let milli = |acus: i64| acus.saturating_mul(ACU);
        let left = |limit: i64| milli(limit).saturating_sub(spent()).max(0);
        Allowance {
            cap: cap.into_iter().chain(session_limit).min().map(milli),
            overrun: self.options.overrun_milli_acus,
            organization: cycle_limit.map(left),
        }
    }

    /// Adds to the audit log what the shared service user just did.
    pub(super) fn log(&mut self, now: Moment, action: &str, org: Option<&str>, data: Value) {
        let entry = Entry::by_service_user(action, now, org, &self.me, data);
        self.audit.push(entry);
    }

    /// Counts a request against the simulated rate limit.
    pub(super) fn admit(&mut self, now: Moment) -> Result<(), Problem> {
        let Some(limit) = self.options.rate_limit_per_minute else {
            return Ok(());
        };
        let (since, seen) = self.rate;
        let (since, seen) = if now - since >= 60.0 {
            (now, 0)
        } else {
            (since, seen)
        };
        self.rate = (since, seen.saturating_add(1));
        if seen < limit {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Rate limit exceeded",
        ))
    }
}

/// A session id without its prefix.
pub(super) fn bare(id: &str) -> &str {
    id.strip_prefix("devin-").unwrap_or(id)
}
