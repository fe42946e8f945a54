//! The fake clock: real time at a settable pace, plus whatever a test has moved it on by.
//!
//! Everything in the fake that depends on time reads it here, so that hours of a session's life fit
//! into a test of milliseconds.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A moment of fake time: seconds since the epoch, with fractions.
pub(super) type Moment = f64;

/// One billing day is this many seconds.
pub(super) const DAY: f64 = 86_400.0;

/// Billing days turn at 08:00 UTC, the whole year.
const TURN_OF_DAY: f64 = 8.0 * 3_600.0;

/// Where fake time stands.
#[derive(Debug)]
pub(super) struct Clock {
    began: Moment,
    real: Instant,
    speed: f64,
    moved: Mutex<f64>,
}

impl Clock {
    /// A clock that starts at `start` (epoch seconds), or at the real time.
    pub(super) fn new(start: Option<i64>, speed: f64) -> Self {
        Self {
            began: start.map_or_else(real_now, |seconds| seconds as f64),
            real: Instant::now(),
            speed,
            moved: Mutex::new(0.0),
        }
    }

    /// Fake time now.
    pub(super) fn now(&self) -> Moment {
        let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        self.began + self.real.elapsed().as_secs_f64() * self.speed + moved
    }

    /// Moves the clock on.
    pub(super) fn advance(&self, by: Duration) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) += by.as_secs_f64();
    }
}

/// The beginning of the billing day that holds `at`.
pub(super) fn day_of(at: Moment) -> Moment {
    ((at - TURN_OF_DAY) / DAY).floor() * DAY + TURN_OF_DAY
}

/// Whole epoch seconds, as Devin writes its time stamps.
pub(super) fn epoch(at: Moment) -> i64 {
    at.floor() as i64
}

/// ISO 8601, which schedules use in place of epoch seconds.
pub(super) fn iso(at: Moment) -> String {
    jiff::Timestamp::from_second(epoch(at)).map_or_else(|_| String::new(), |time| time.to_string())
}

/// A date as HTTP headers have it, so many real seconds from now.
pub(super) fn http_date(seconds: u64) -> String {
    let at = jiff::Timestamp::from_second(epoch(real_now()).saturating_add_unsigned(seconds));
    at.map_or_else(
        |_| String::new(),
        |at| at.strftime("%a, %d %b %Y %T GMT").to_string(),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the fake reads the real time"
)]
fn real_now() -> Moment {
    jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_billing_day_turns_at_eight_utc() {
        let turn = 1_733_385_600.0; // 2024-12-05T08:00:00Z, the reference's own example
        assert_eq!(day_of(turn), turn);
        assert_eq!(day_of(turn - 1.0), turn - DAY);
        assert_eq!(day_of(turn + DAY - 1.0), turn);
    }
}
