//! The ledger: what is held, what is spent, and whose each session is.
//!
//! The budget stage of the request path takes a hold here before a request that
//! can spend leaves; the reconciler settles it by what Devin says. Ownership and
//! self-service read here too, so that there is one number (L10).

mod answers;
pub mod book;
mod cache;
mod commands;
mod consumption;
mod handle;
#[cfg(test)]
mod model;
pub mod moment;
mod motion;
mod objects;
mod open;
mod reads;
mod session;
mod store;
pub mod tag;
#[cfg(test)]
mod tests;
mod turn;
mod writer;

use std::sync::Arc;

pub use commands::{
    Adjustment, Alike, Birth, Budgeted, Held, Holding, NoRoomIn, NotHeld, OnTrial, Passed,
    Remaining, Sought, Swept, Unsure, UnsureKind, What,
};
pub use consumption::{ComparedDay, Unattributed, Unreadable};
pub use handle::Ledger;
pub use motion::Motion;
pub use objects::{Costs, ObjectKey, Standing};
pub use open::{HAND_OVER, HandOver, OpenError, Options, check};
pub use session::{Known, Position, SessionId, is_same_organization};
pub use store::{Aliases, Balance, Holder, Verdict};

/// The store cannot be used now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ledger cannot be used: {0}")]
pub struct StoreError(pub Arc<str>);

impl StoreError {
    /// It did not say in time how it went.
    pub fn late() -> Self {
        Self("the disk takes too long".into())
    }
}

/// What a hold is known by; it stands in the tag of a session that is created, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldId(pub uuid::Uuid);

impl HoldId {
    /// A new one; later ones are greater.
    #[expect(clippy::new_without_default, reason = "two of them are never equal")]
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7())
    }
}

impl std::fmt::Display for HoldId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// How a hold whose outcome was unknown was resolved (L5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was carried out: of a create, Devin's record of the session, as JSON; of a message, its session's.
    Accepted(bytes::Bytes),
    /// It was never carried out: the hold is released, and the attempt is over.
    Absent,
    /// It was carried out as far as anybody can tell, and no record of it can be given.
    Unresolvable,
}
