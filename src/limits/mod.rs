//! Rate limits: what is left of each, and whose turn it is.
//!
//! Stage 8 of the request path (limit) asks [`Limits`] whether a request may go on now. All of a request's
//! limits are charged, or none is: they are looked at under one short lock. How much fits is governor's GCRA
//! (`meter`), over states that are kept here so that what was taken from one limit can be put back when
//! the next one refuses (`table`).
//!
//! Whoever has to wait stands in a `line`, one for each account, in which callers take turns; whoever is refused
//! keeps a place there for when it was told to come back. `waiting` is the only part that sleeps.
//!
//! What is left of a limit is kept in memory only, so a restart can give each account one burst more (M22).

mod account;
mod line;
mod meter;
mod table;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::Limit;
use table::Table;

pub use account::Account;
pub use meter::Meter;
pub use table::{MOST_ACCOUNTS, MOST_PLACES};
pub use waiting::{Asked, Granted, Refused};

/// What is left of every limit. Cheap to clone: all clones are one.
#[derive(Clone, Debug)]
pub struct Limits {
    table: Arc<Mutex<Table>>,
    waiting: Arc<AtomicUsize>,
    began: Instant,
}

/// What a request is taken from: an account of a limit.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The limit.
    pub meter: Arc<Meter>,
    /// Which of its accounts.
    pub account: Account,
}

/// How a limit stands after a request was taken from it, or refused by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limit's name.
    pub limit: Arc<str>,
    /// How many requests fit at once.
    pub quota: u32,
    /// In which time as many are earned back.
    pub window: Duration,
    /// How many fit now.
    pub remaining: u32,
    /// How long until all of them fit again.
    pub reset: Duration,
}

/// How many stand in line, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accounts that are not as good as unused.
    pub accounts: usize,
    /// Places in all lines: requests that wait, and promises to whoever was refused.
    pub places: usize,
    /// Requests that wait.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            table: Arc::default(),
            waiting: Arc::default(),
            began: Instant::now(),
        }
    }
}

impl Limits {
    /// With every limit unused.
    pub fn new() -> Self {
        Self::default()
    }

    /// What measures this limit, with every account unused; none of a limit that is of no rate.
    pub fn meter(&self, limit: &Limit) -> Option<Meter> {
        let id = self.table().next_id();
        Meter::new(id, limit)
    }

    /// How many stand in line now.
    pub fn counts(&self) -> Counts {
        let (accounts, places) = self.table().counts();
        Counts {
            accounts,
            places,
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // What is done under the lock does not panic; if it did, what is left would still be a count of requests.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instant as the table counts it.
    fn nanos(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.began))
    }
}

/// A time in nanoseconds; 584 years at most.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
