//! What a list of sessions is asked to leave out (Devin's API reference, list filters). The query
//! is read once for the whole list, not once for each of its many sessions.

use super::call::Query;
use super::clock::{Moment, epoch};
use super::life::Session;
use super::problem::Problem;
use super::state::bare;

/// The filters of one call.
pub(super) struct Filter<'q> {
    pub(super) ids: Option<Vec<&'q str>>,
    pub(super) tags: Option<Vec<&'q str>>,
    created: Span,
    updated: Span,
    archived: Option<bool>,
    pub(super) parent: Option<&'q str>,
    playbook: Option<&'q str>,
    category: Option<&'q str>,
    repos: Option<Vec<&'q str>>,
    orgs: Option<Vec<&'q str>>,
    users: Option<Vec<&'q str>>,
    service_users: Option<Vec<&'q str>>,
    origins: Option<Vec<&'q str>>,
    /// It asks for sessions of a schedule or an automation, which the fake has none of.
    nothing: bool,
}

/// Whole epoch seconds, both ends included.
struct Span {
    after: Option<i64>,
    before: Option<i64>,
}

impl Span {
    fn holds(&self, at: i64) -> bool {
        self.after.is_none_or(|after| at >= after) && self.before.is_none_or(|before| at <= before)
    }

    fn is_open(&self) -> bool {
        self.after.is_none() && self.before.is_none()
    }
}

impl<'q> Filter<'q> {
    pub(super) fn read(query: &'q Query) -> Result<Self, Problem> {
        let ids = query.list("session_ids");
        Ok(Self {
            ids: ids.map(|ids| ids.into_iter().map(bare).collect()),
            tags: query.list("tags"),
            created: Span {
                after: query.integer("created_after")?,
                before: query.integer("created_before")?,
            },
            updated: Span {
                after: query.integer("updated_after")?,
                before: query.integer("updated_before")?,
            },
            archived: query.flag("is_archived")?,
            parent: query.one("parent_session_id").map(bare),
            playbook: query.one("playbook_id"),
            category: query.one("category"),
            repos: query.list("repo_names"),
            orgs: query.list("org_ids"),
            users: query.list("user_ids"),
            service_users: query.list("service_user_ids"),
            origins: query.list("origins"),
            nothing: query.list("automation_ids").is_some() || query.one("schedule_id").is_some(),
        })
    }

    pub(super) fn keeps(&self, session: &Session, now: Moment) -> bool {
        let wishes = &session.wishes;
        !self.nothing
            && self.created.holds(epoch(session.created))
            && self.archived.is_none_or(|it| it == session.archived)
            && equal(self.parent, wishes.parent.as_deref())
            && equal(self.playbook, wishes.playbook.as_deref())
            && equal(self.category, wishes.category.as_deref())
            && listed(self.ids.as_ref(), Some(&session.id))
            && listed(self.orgs.as_ref(), Some(&session.org))
            && listed(self.users.as_ref(), wishes.user.as_deref())
            && listed(self.service_users.as_ref(), wishes.service_user.as_deref())
            && listed(self.origins.as_ref(), Some(&wishes.origin))
            && any_of(self.tags.as_ref(), session.tags())
            && any_of(self.repos.as_ref(), &wishes.repos)
            && (self.updated.is_open() || self.updated.holds(epoch(session.updated(now))))
    }
}

fn equal(wanted: Option<&str>, value: Option<&str>) -> bool {
    wanted.is_none() || wanted == value
}

fn listed(wanted: Option<&Vec<&str>>, value: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| value.is_some_and(|value| wanted.contains(&value)))
}

fn any_of(wanted: Option<&Vec<&str>>, values: &[String]) -> bool {
    wanted.is_none_or(|wanted| values.iter().any(|it| wanted.contains(&it.as_str())))
}
