//! The circuit breaker: while most of what is sent to Devin fails, hardly anything is sent. Pure.
//!
//! Closed, it watches how much of what was sent in the last half minute failed. Open, it lets nothing through. Half-open,
//! it lets a few requests through to see: when these succeed it closes, when one fails it opens for twice as long.

use std::time::Duration;

use super::recent::Recent;

/// Over how many seconds it is looked at what failed.
const SECONDS: u16 = 30;
/// How many answers and failures that takes.
pub const FEWEST: u32 = 10;
/// How much of it fails when it opens, in percent: with half of all requests served, serving goes on.
pub const PERCENT: u32 = 75;
/// How long it stays open the first time.
const FIRST: Duration = Duration::from_secs(2);
/// How long at most.
pub const LONGEST: Duration = Duration::from_secs(30);
/// How many requests try at the same time, and how many have to succeed.
pub const PROBES: u32 = 3;
/// How long others wait for those who try: then they are given up, and others try. What spends may take minutes.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is said to those who come while others try.
const WHILE_TRIED: Duration = Duration::from_secs(1);

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything goes.
    Closed,
    /// Nothing goes.
    Open,
    /// A few go, to see.
    HalfOpen,
}

impl State {
    /// For operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum At {
    Closed,
    Open {
        until: Duration,
    },
    HalfOpen {
        since: Duration,
        trying: u32,
        succeeded: u32,
    },
}

/// One for each upstream.
#[derive(Clone, Debug)]
pub struct Breaker {
    at: At,
    all: Recent,
    failed: Recent,
    /// How long it was open last; zero while it is closed.
    length: Duration,
    /// Counts its openings and its tries: what left before one says nothing about what comes after it.
    era: u64,
}

/// That a request may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Let {
    era: u64,
    is_probe: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            at: At::Closed,
            all: Recent::of_seconds(SECONDS),
            failed: Recent::of_seconds(SECONDS),
            length: Duration::ZERO,
            era: 0,
        }
    }
}

impl Breaker {
    /// What it does.
    pub fn state(&self, now: Duration) -> State {
        match self.at {
            At::Closed => State::Closed,
            At::Open { until } if now < until => State::Open,
            At::Open { .. } | At::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// How long a request has to wait that would come now; none if it may leave.
    pub fn refuses(&self, now: Duration) -> Option<Duration> {
        match self.at {
            At::Closed => None,
            At::Open { until } => Some(until.saturating_sub(now)).filter(|it| !it.is_zero()),
            At::HalfOpen { since, trying, .. } => {
                let are_given_up = now >= since.saturating_add(PATIENCE);
                (trying >= PROBES && !are_given_up).then_some(WHILE_TRIED)
            }
        }
    }

    /// Lets a request leave.
    ///
    /// # Errors
    /// It may not; it is told how long to wait.
    pub fn pass(&mut self, now: Duration) -> Result<Let, Duration> {
        if let Some(wait) = self.refuses(now) {
            return Err(wait);
        }
        let begins = match self.at {
            At::Closed => false,
            At::Open { .. } => true,
            At::HalfOpen { trying, .. } => trying >= PROBES,
        };
        if begins {
            self.era = self.era.wrapping_add(1);
            self.at = At::HalfOpen {
                since: now,
                trying: 0,
                succeeded: 0,
            };
        }
        let mut is_probe = false;
        if let At::HalfOpen { trying, .. } = &mut self.at {
            *trying = trying.saturating_add(1);
            is_probe = true;
        }
        Ok(Let {
            era: self.era,
            is_probe,
        })
    }

    /// Nobody will hear how it went.
    pub fn gone(&mut self, it: Let) {
        if let At::HalfOpen { trying, .. } = &mut self.at
            && it.is_probe
            && it.era == self.era
        {
            *trying = trying.saturating_sub(1);
        }
    }

    /// Devin has answered, or has failed to.
    pub fn ended(&mut self, now: Duration, it: Let, has_failed: bool) {
        if it.era != self.era {
            return;
        }
        match &mut self.at {
            At::Closed => {
                self.all.add(now);
                if !has_failed {
                    return;
                }
                self.failed.add(now);
                let (all, failed) = (self.all.sum(now), self.failed.sum(now));
                if all >= FEWEST && failed.saturating_mul(100) >= all.saturating_mul(PERCENT) {
                    self.open(now);
                }
            }
            At::HalfOpen {
                trying, succeeded, ..
            } if it.is_probe => {
                if has_failed {
                    self.open(now);
                    return;
                }
                *trying = trying.saturating_sub(1);
                *succeeded = succeeded.saturating_add(1);
                if *succeeded >= PROBES {
                    self.at = At::Closed;
                    self.length = Duration::ZERO;
                    self.all.clear();
                    self.failed.clear();
                }
            }
            At::Open { .. } | At::HalfOpen { .. } => {}
        }
    }

    fn open(&mut self, now: Duration) {
        self.length = self.length.saturating_mul(2).clamp(FIRST, LONGEST);
        self.at = At::Open {
            until: now.saturating_add(self.length),
        };
        self.era = self.era.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(it: u64) -> Duration {
        Duration::from_secs(it)
    }

    fn send(breaker: &mut Breaker, now: Duration, fails: bool) {
        let it = breaker.pass(now).unwrap();
        breaker.ended(now, it, fails);
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FEWEST {
            send(&mut breaker, secs(0), true);
        }
        breaker
    }

    #[test]
    fn r17_it_opens_when_most_fails_and_not_before() {
        let mut breaker = Breaker::default();
        for count in 0..100 {
            send(&mut breaker, secs(count / 10), count % 2 == 0);
        }
        assert_eq!(breaker.state(secs(10)), State::Closed, "half is served");
        let mut breaker = Breaker::default();
        for _ in 1..FEWEST {
            send(&mut breaker, secs(1), true);
        }
        assert_eq!(breaker.state(secs(1)), State::Closed);
        // Long ago does not count.
        send(&mut breaker, secs(60), true);
        assert_eq!(breaker.state(secs(60)), State::Closed);
        assert_eq!(open().refuses(secs(0)), Some(FIRST));
    }

    #[test]
    fn r17_a_few_try_and_close_it() {
        let mut breaker = open();
        assert_eq!(breaker.pass(secs(1)), Err(secs(1)));
        let tries: Vec<Let> = (0..PROBES)
            .map(|_| breaker.pass(secs(2)).unwrap())
            .collect();
        assert_eq!(breaker.pass(secs(2)), Err(WHILE_TRIED));
        for it in tries {
            breaker.ended(secs(3), it, false);
        }
        assert_eq!(breaker.state(secs(3)), State::Closed);
    }

    #[test]
    fn r17_one_that_fails_opens_it_for_twice_as_long() {
        let mut breaker = open();
        let mut now = secs(2);
        for wanted in [4, 8, 16, 30, 30] {
            send(&mut breaker, now, true);
            assert_eq!(breaker.refuses(now), Some(secs(wanted)));
            now += secs(wanted);
        }
    }

    #[test]
    fn whoever_leaves_makes_room_for_another_try() {
        let mut breaker = open();
        let tries: Vec<Let> = (0..PROBES)
            .map(|_| breaker.pass(secs(2)).unwrap())
            .collect();
        assert!(breaker.pass(secs(2)).is_err());
        breaker.gone(tries[0]);
        assert!(breaker.pass(secs(2)).is_ok());
    }

    #[test]
    fn r17_those_who_try_and_hang_are_given_up() {
        let mut breaker = open();
        let hung: Vec<Let> = (0..PROBES)
            .map(|_| breaker.pass(secs(2)).unwrap())
            .collect();
        assert!(breaker.pass(secs(11)).is_err());
        let other = breaker.pass(secs(12)).unwrap();
        breaker.ended(secs(13), hung[0], false);
        breaker.gone(hung[1]);
        assert_eq!(breaker.state(secs(13)), State::HalfOpen);
        breaker.ended(secs(13), other, true);
        assert_eq!(breaker.refuses(secs(13)), Some(secs(4)));
    }

    #[test]
    fn what_left_before_says_nothing_after() {
        let mut breaker = Breaker::default();
        let early = breaker.pass(secs(0)).unwrap();
        for _ in 0..FEWEST {
            send(&mut breaker, secs(0), true);
        }
        let probe = breaker.pass(secs(2)).unwrap();
        breaker.ended(secs(2), early, true);
        breaker.gone(early);
        assert_eq!(breaker.state(secs(2)), State::HalfOpen);
        breaker.ended(secs(2), probe, true);
        assert_eq!(breaker.refuses(secs(2)), Some(secs(4)));
    }

    proptest! {
        #[test]
        fn it_is_never_shut_for_ever_and_never_lets_many_try(
            steps in proptest::collection::vec((0..3_u8, 0..3_000_u64, any::<bool>()), 0..400),
        ) {
            let mut breaker = Breaker::default();
            let mut out = Vec::new();
            let mut now = Duration::ZERO;
            for (what, millis, fails) in steps {
                now += Duration::from_millis(millis);
                match what {
                    0 | 1 => if let Ok(it) = breaker.pass(now) { out.push(it); },
                    _ => if let Some(it) = out.pop() {
                        if millis % 5 == 0 { breaker.gone(it) } else { breaker.ended(now, it, fails) }
                    },
                }
                let trying = out.iter().filter(|it| it.is_probe && it.era == breaker.era).count();
                prop_assert!(trying <= PROBES as usize);
                prop_assert!(breaker.refuses(now).is_none_or(|it| it <= LONGEST));
            }
            for it in out { breaker.gone(it); }
            prop_assert!(breaker.pass(now + LONGEST).is_ok());
        }
    }
}
