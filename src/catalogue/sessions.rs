//! Which operations are about sessions, and where they name them.
//!
//! Computed from the rows, so that a new row is held to ownership without another line anywhere.

use super::{Field, Meaning, Operation, Takes};

/// The parameters of a path that name a session.
pub const SESSION_PARAMETERS: [&str; 2] = ["devin_id", "session_id"];

impl Operation {
    /// Whether its path names one session.
    pub fn names_session(&self) -> bool {
        let mut segments = self.path.split('/');
        segments.any(|it| {
            let parameter = it.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
            parameter.is_some_and(|it| SESSION_PARAMETERS.contains(&it))
        })
    }

    /// The keys of its query that name sessions.
    pub fn session_keys(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.query_fields()
            .filter(|field| field.meaning == Meaning::Session)
    }

    /// The fields of its body that name sessions.
    pub fn session_fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.body_fields()
            .filter(|field| field.meaning == Meaning::Session)
    }

    /// The fields of its body that hold a session's tags.
    pub fn tag_fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.body_fields()
            .filter(|field| field.meaning == Meaning::Tags)
    }

    /// Whether a grant's `sessions:` says anything of it.
    pub fn touches_sessions(&self) -> bool {
        self.names_session()
            || self.lists_sessions
            || self.session_keys().next().is_some()
            || self.session_fields().next().is_some()
    }

    /// Whether its JSON body has to be read whatever the policy says: for guarded fields, for sessions that it
    /// names, or for tags that are the gateway's own.
    pub fn governs_body(&self) -> bool {
        self.takes == Some(Takes::Json)
            && (self.guards_body()
                || self.session_fields().next().is_some()
                || self.tag_fields().next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::{OperationIx, OrgAt, Verb};

    fn ids(which: impl Fn(&super::Operation) -> bool) -> Vec<&'static str> {
        OperationIx::served()
            .map(OperationIx::row)
            .filter(|row| which(row))
            .map(|row| row.id)
            .collect()
    }

    #[test]
    fn what_is_below_a_session_names_it() {
        for row in OperationIx::served().map(OperationIx::row) {
            let is_below = row.path.contains("/sessions/{");
            assert_eq!(row.names_session(), is_below, "{}", row.id);
            assert!(!(row.names_session() && row.lists_sessions), "{}", row.id);
        }
        assert_eq!(ids(|row| row.names_session()).len(), 26);
    }

    #[test]
    fn the_lists_of_sessions_are_these_four() {
        let lists = ids(|row| row.lists_sessions);
        assert_eq!(
            lists,
            [
                "sessions.list",
                "sessions.insights.list",
                "enterprise.sessions.list",
                "enterprise.sessions.insights.list",
            ]
        );
        // Every row that answers several sessions at once is among them.
        let by_path = ids(|row| {
            let sessions = row.path.ends_with("/sessions") && !row.path.contains("/metrics/");
            row.verb == Verb::Get && (sessions || row.path.ends_with("/sessions/insights"))
        });
        assert_eq!(lists, by_path);
        for row in OperationIx::served().map(OperationIx::row) {
            assert!(!row.lists_sessions || row.org_at != OrgAt::AtBody);
        }
    }

    #[test]
    fn p13_fields_that_name_sessions_are_known() {
        let named: Vec<(&str, &str)> = OperationIx::served()
            .map(OperationIx::row)
            .flat_map(|row| {
                let all = row.session_keys().chain(row.session_fields());
                all.map(|field| (row.id, field.path)).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(
            named,
            [
                ("sessions.list", "parent_session_id"),
                ("sessions.create", "devin_id"),
                ("sessions.create", "session_links"),
                ("sessions.insights.list", "parent_session_id"),
                ("enterprise.sessions.list", "parent_session_id"),
                ("enterprise.sessions.insights.list", "parent_session_id"),
                ("schedules.create", "target_devin_id"),
                ("schedules.update", "target_devin_id"),
            ]
        );
    }

    #[test]
    fn b12_bodies_with_tags_are_always_read() {
        assert_eq!(
            ids(|row| row.tag_fields().next().is_some()),
            [
                "sessions.create",
                "sessions.tags.append",
                "sessions.tags.replace",
                "enterprise.sessions.tags.append",
                "enterprise.sessions.tags.replace",
                "schedules.create",
                "schedules.update",
                "automations.create",
                "automations.update",
            ]
        );
        for row in OperationIx::served().map(OperationIx::row) {
            assert!(row.tag_fields().next().is_none() || row.governs_body());
        }
    }
}
