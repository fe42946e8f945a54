//! Instants as the ledger orders them. Pure.
//!
//! The time of day says in which window an entry counts, and nothing else: it can be set back and forth. What came
//! before what is said by [`Tick`]s, which the process hands out; how long ago something was, by a clock that does
//! not jump.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;

/// A place in the order of what this ledger has seen happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub i64);

/// Hands out ticks, each greater than all before it.
#[derive(Debug)]
pub struct Ticks(AtomicI64);

impl Ticks {
    /// Going on behind the last one that was recorded.
    pub fn after(Tick(last): Tick) -> Self {
        Self(AtomicI64::new(last.saturating_add(1)))
    }

    /// From now on none that is not behind this one, which another process has recorded.
    pub fn go_behind(&self, Tick(last): Tick) {
        self.0.fetch_max(last.saturating_add(1), Ordering::SeqCst);
    }

    /// The next one.
    pub fn next(&self) -> Tick {
        Tick(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// When a request for what is read left: nothing that is read is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Begun {
    /// Its place in the order of events.
    pub tick: Tick,
    /// The time since this process began.
    pub up: Duration,
}

/// When something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    /// The time of day.
    pub at: Timestamp,
    /// The time since this process began.
    pub up: Duration,
}

impl Moment {
    /// Now.
    pub fn now(clock: &dyn Clock) -> Self {
        Self {
            at: clock.now(),
            up: clock.up(),
        }
    }
}
