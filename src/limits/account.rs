//! Which account of a limit a request is taken from.

use std::sync::Arc;

use crate::catalogue::OperationIx;
use crate::policy::LimitPer;

/// An account of a limit. Names, not places: those differ from one policy set to the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// The one for all.
    Everyone,
    /// An organization's; none for requests whose path names none.
    Organization(Option<Arc<str>>),
    /// A team's.
    Team(Arc<str>),
    /// A caller's.
    Caller(Arc<str>),
    /// A caller's, for one operation.
    CallerAndOperation(Arc<str>, OperationIx),
    /// The one that all share for which there is no room.
    Rest,
}

impl Account {
    /// Of a request by this caller of this team. None where the limit is split by what the request does not have:
    /// a caller's own pages are no operation, and are about no organization.
    pub fn of(
        per: LimitPer,
        team: &Arc<str>,
        caller: &Arc<str>,
        about: Option<(OperationIx, Option<&str>)>,
    ) -> Option<Self> {
        Some(match (per, about) {
            (LimitPer::Everyone, _) => Self::Everyone,
            (LimitPer::Team, _) => Self::Team(Arc::clone(team)),
            (LimitPer::Caller, _) => Self::Caller(Arc::clone(caller)),
            (LimitPer::Organization, Some((_, organization))) => {
                Self::Organization(organization.map(Into::into))
            }
            (LimitPer::CallerAndOperation, Some((operation, _))) => {
                Self::CallerAndOperation(Arc::clone(caller), operation)
            }
            (LimitPer::Organization | LimitPer::CallerAndOperation, None) => return None,
        })
    }
}
