//! The time of day, and how long the process has been up, as an edge: the core is handed them, tests hold them still.

use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use uuid::Uuid;

/// Where time comes from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day now. It can be set back and forth.
    fn now(&self) -> Timestamp;
    /// How long the process has been up. It only goes on.
    fn up(&self) -> Duration;
    /// A name that nothing else has; mostly, later ones are greater. It is the clock's, since it is made of the time.
    fn id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that asks the machine"
        )]
        Timestamp::now()
    }

    fn up(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FakeClock(Mutex<(Timestamp, Duration)>);

impl FakeClock {
    /// Starts at this instant.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new((now, Duration::ZERO)))
    }

    /// Moves on (or back: then only the time of day is); at the end of time it stays there.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.0 = now.0.checked_add(by).unwrap_or(Timestamp::MAX);
        now.1 += Duration::try_from(by).unwrap_or_default();
    }

    /// Sets the time of day, as an operator does.
    pub fn set(&self, to: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = to;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn up(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}
