//! Whether a caller may touch a session. Pure.

use crate::ledger::Known;
use crate::pipeline::Permitted;
use crate::policy::bounds::Reach;

/// Who asks, about sessions of which organization, and how far the grant lets it reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'p> {
    pub(crate) caller: &'p str,
    pub(crate) team: &'p str,
    /// The organization of the path; none where the path names none.
    pub(crate) organization: Option<&'p str>,
    pub(crate) reach: Reach,
    /// Whether the operation can make the session spend.
    pub(crate) spends: bool,
}

impl<'p> Asker<'p> {
    /// Of a request that is permitted.
    pub(crate) fn of(permitted: &'p Permitted) -> Self {
        let policy = permitted.policy();
        let caller = policy.caller(permitted.caller());
        Self {
            caller: caller.name(),
            team: caller.team(),
            organization: permitted.organization(),
            reach: policy.applied(permitted.grant()).reach(),
            spends: permitted.operation().row().spends.is_some(),
        }
    }

    /// Whether the session is where the path says. One that is elsewhere is as one that is not there.
    pub(crate) fn is_here(&self, known: &Known) -> bool {
        let at = &*known.payer.organization;
        self.organization.is_none_or(|it| it == at)
    }

    /// Whether this session may be touched; none is one that the ledger does not know.
    ///
    /// `any` reaches every session, but where it spends: what a session spends is its creator's, so another team's is
    /// out of reach there, and nobody's is charged as `uncapped` says.
    pub(crate) fn may_touch(&self, known: Option<&Known>) -> bool {
        let Some(known) = known.filter(|it| self.is_here(it)) else {
            return self.reach == Reach::Any;
        };
        let is_team = *known.payer.team == *self.team;
        match self.reach {
            Reach::Own => is_team && *known.payer.caller == *self.caller,
            Reach::Team => is_team,
            Reach::Any => is_team || !self.spends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Payer;
    use crate::ledger::Position;

    fn known(organization: &str, team: &str, caller: &str) -> Known {
        Known {
            position: Position(1),
            payer: Payer {
                organization: organization.into(),
                team: team.into(),
                caller: caller.into(),
            },
            cap: None,
            tag: None,
        }
    }

    #[test]
    fn g11_whose_sessions_a_caller_may_touch() {
        let (own, mate) = (known("org-a", "t", "one"), known("org-a", "t", "two"));
        let (foreign, moved) = (known("org-a", "u", "three"), known("org-a", "u", "one"));
        let elsewhere = known("org-b", "t", "one");
        let foreign_elsewhere = known("org-b", "u", "three");
        let all = [
            Some(&own),
            Some(&mate),
            Some(&foreign),
            // Created before the caller came to this team: moving a caller moves no sessions.
            Some(&moved),
            Some(&elsewhere),
            Some(&foreign_elsewhere),
            None,
        ];
        for (reach, spends, organization, wanted) in [
            (Reach::Own, false, Some("org-a"), [1, 0, 0, 0, 0, 0, 0]),
            (Reach::Own, true, Some("org-a"), [1, 0, 0, 0, 0, 0, 0]),
            (Reach::Own, false, None, [1, 0, 0, 0, 1, 0, 0]),
            (Reach::Team, false, Some("org-a"), [1, 1, 0, 0, 0, 0, 0]),
            (Reach::Team, true, Some("org-a"), [1, 1, 0, 0, 0, 0, 0]),
            (Reach::Team, false, None, [1, 1, 0, 0, 1, 0, 0]),
            (Reach::Any, false, Some("org-a"), [1, 1, 1, 1, 1, 1, 1]),
            // Of another organization's, as of none: Devin says that it is not there.
            (Reach::Any, true, Some("org-a"), [1, 1, 0, 0, 1, 1, 1]),
            (Reach::Any, true, None, [1, 1, 0, 0, 1, 0, 1]),
        ] {
            let asker = Asker {
                caller: "one",
                team: "t",
                organization,
                reach,
                spends,
            };
            let may = all.map(|it| u8::from(asker.may_touch(it)));
            assert_eq!(may, wanted, "{reach:?} {spends} {organization:?}");
        }
    }
}
