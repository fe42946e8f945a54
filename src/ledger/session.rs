//! Sessions as the ledger knows them.

use std::fmt;

use super::HoldId;
use crate::acu::Cap;
use crate::budget::Payer;

/// A session's id in its bare form: what is the same whether Devin or a caller writes `devin-` in front or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Box<str>);

impl SessionId {
    /// Of either form. `None` for what can be no id: empty, longer than 128 bytes, or of other letters than
    /// `A-Z a-z 0-9 _ -`.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix("devin-").unwrap_or(text);
        let fits = |it: u8| it.is_ascii_alphanumeric() || b"-_".contains(&it);
        let is_id = (1..=128).contains(&bare.len()) && bare.bytes().all(fits);
        is_id.then(|| Self(bare.into()))
    }

    /// The bare form.
    pub fn bare(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    /// As Devin's paths have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "devin-{}", self.0)
    }
}

/// What stands in the ledger about where a session comes from. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) position: Position,
    /// Under the names of then.
    pub(super) payer: Payer,
    pub(super) hold: Option<HoldId>,
    pub(super) cap: Option<Cap>,
}

/// What does not change about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where it stands among all sessions.
    pub position: Position,
    /// Who created it, and pays for it; of a child, who created its parent. Under the names of today.
    pub payer: Payer,
    /// What Devin was told as its cap; none of a session without one (a child).
    pub cap: Option<Cap>,
    /// Our tag on it, if it has one: a caller's tag replacement keeps it.
    pub tag: Option<Box<str>>,
}

/// A session's place in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub i64);

/// Whether two ids are of the same organization, with or without what Devin writes in front.
pub fn is_same_organization(one: &str, other: &str) -> bool {
    fn bare(id: &str) -> &str {
        id.strip_prefix("org-").unwrap_or(id)
    }
    bare(one) == bare(other)
}
