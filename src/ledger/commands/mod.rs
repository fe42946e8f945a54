//! What the ledger does, each in one transaction: the store's rows in, the pure core's answer, rows out.

mod adjust;
mod adopt;
mod alerts;
mod hold;
mod look;
mod settle;
mod unsure;

pub(super) use adjust::adjusted;
pub use adjust::{Adjustment, Budgeted};
pub use alerts::Passed;
pub(super) use alerts::{passed, told, untold};
pub use hold::{Held, Holding, NoRoomIn, NotHeld, OnTrial, Remaining, What};
pub use look::Birth;
pub(super) use look::{birth, ended, origin, sessions_of, unknown_holds, usage};
pub use unsure::{Alike, Sought, Swept, Unsure, UnsureKind};
pub(super) use unsure::{MOST, alike, open_sessions, organizations, swept, unsure};
