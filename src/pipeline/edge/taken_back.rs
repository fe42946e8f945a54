//! Requests that an HTTP/2 connection takes back before they are answered, and how many of them are too many. Pure, and told
//! the time; part of [`super::pulse`].

use std::time::Duration;

use tokio::time::Instant;

/// From so many on in a while, they may not be most of the requests that end: each has made work, here and at Devin
/// (CVE-2023-44487). h2 counts those alone that were not begun.
const MOST: u64 = 500;
/// The while. A connection may be open for days, and its client give up on a slow answer now and then.
const WITHIN: Duration = Duration::from_secs(60);

/// Counts them.
#[derive(Debug)]
pub(super) struct TakenBack {
    since: Instant,
    ended: u64,
    taken_back: u64,
}

impl TakenBack {
    /// None yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            ended: 0,
            taken_back: 0,
        }
    }

    /// A request ended, with an answer or without.
    pub(super) fn ends(&mut self, is_answered: bool, now: Instant) {
        if now >= self.since + WITHIN {
            *self = Self::new(now);
        }
        self.ended += 1;
        self.taken_back += u64::from(!is_answered);
    }

    /// Whether they are too many.
    pub(super) fn is_too_much(&self) -> bool {
        self.taken_back > MOST && self.taken_back > self.ended / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn r3_many_that_are_taken_back_are_too_many_at_once_and_not_over_days() {
        let start = Instant::now();
        let mut at_once = TakenBack::new(start);
        for _ in 0..MOST {
            at_once.ends(false, start);
        }
        assert!(!at_once.is_too_much());
        at_once.ends(false, start);
        assert!(at_once.is_too_much());
        // Where as many are answered, somebody changes its mind often.
        for _ in 0..=MOST {
            at_once.ends(true, start);
        }
        assert!(!at_once.is_too_much());
        // One in a second is a client that does not wait long.
        let mut slowly = TakenBack::new(start);
        for second in 0..100_000 {
            slowly.ends(false, start + Duration::from_secs(second));
            assert!(!slowly.is_too_much());
        }
    }
}
