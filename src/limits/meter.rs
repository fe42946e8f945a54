//! How much fits: governor's GCRA over a state that is handed in and out.
//!
//! GCRA keeps one number, the *theoretical arrival time* (TAT): when all that was taken will have been earned back.
//! governor keeps it where nobody else can read it, and cannot give anything back. Here it stands in a
//! table of ours ([`super::table`]): it is put into the [`Hand`], governor decides, and it is taken out again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::{Standing, nanos};
use crate::policy::{Limit, Rate};

/// What governor looks at: one state, and the instant. Used under the lock of the table, by one request at a time.
#[derive(Clone, Debug, Default)]
struct Hand(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    now: AtomicU64,
    tat: AtomicU64,
}

impl Clock for Hand {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.now.load(Ordering::Relaxed).into()
    }
}

impl StateStore for Hand {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // An account that was never used has a TAT of zero, which is as good as none.
        let tat = self.0.tat.load(Ordering::Relaxed);
        let (said, next) = measure(Some(tat.into()))?;
        self.0.tat.store(next.as_u64(), Ordering::Relaxed);
        Ok(said)
    }
}

/// A limit of a rate.
#[derive(Debug)]
pub struct Meter {
    /// What no other meter has; its accounts are found by it.
    pub(super) id: u32,
    name: Arc<str>,
    rate: Rate,
    shadow: bool,
    period: u64,
    hand: Hand,
    limiter: RateLimiter<NotKeyed, Hand, Hand, NoOpMiddleware<Nanos>>,
}

impl Meter {
    /// Of this limit, with accounts of its own; none of one that is of no rate.
    pub(super) fn new(id: u32, limit: &Limit) -> Option<Self> {
        let rate = limit.rate()?;
        let hand = Hand::default();
        // A period of zero cannot be read from a policy, so there is always a quota.
        let quota = Quota::with_period(rate.period)?.allow_burst(rate.burst);
        Some(Self {
            id,
            name: Arc::clone(&limit.name),
            rate,
            shadow: limit.shadow,
            period: nanos(rate.period).max(1),
            limiter: RateLimiter::new(quota, hand.clone(), hand.clone()),
            hand,
        })
    }

    /// Whether this limit is what the meter measures: then what was used of it stays used.
    pub fn is_of(&self, limit: &Limit) -> bool {
        let same = |rate: Rate| rate.period == self.rate.period && rate.burst == self.rate.burst;
        self.name == limit.name && limit.rate().is_some_and(same)
    }

    /// The same accounts, for a limit that [`Self::is_of`] it and may differ in the rest.
    pub fn followed_by(&self, limit: &Limit) -> Option<Self> {
        Self::new(self.id, limit)
    }

    /// The limit's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How long a request may wait for its turn.
    pub fn wait(&self) -> Duration {
        self.rate.wait
    }

    /// Evaluated and logged, never enforced.
    pub fn is_shadowed(&self) -> bool {
        self.shadow
    }

    /// The time in which one request is earned back, in nanoseconds.
    pub(super) fn period(&self) -> u64 {
        self.period
    }

    /// Takes one request: the TAT then; none if it does not fit.
    pub(super) fn take(&self, tat: u64, now: u64) -> Option<u64> {
        self.hand.0.now.store(now, Ordering::Relaxed);
        self.hand.0.tat.store(tat, Ordering::Relaxed);
        self.limiter.check().ok()?;
        Some(self.hand.0.tat.load(Ordering::Relaxed))
    }

    /// The TAT once so many requests are put back.
    pub(super) fn put_back(&self, tat: u64, count: u64) -> u64 {
        tat.saturating_sub(count.saturating_mul(self.period))
    }

    /// How many requests fit now.
    pub(super) fn free(&self, tat: u64, now: u64) -> u64 {
        let used = tat.saturating_sub(now).div_ceil(self.period);
        u64::from(self.rate.burst.get()).saturating_sub(used)
    }

    /// From when on one request fits beside `ahead` others, if nobody else takes any.
    pub(super) fn from(&self, tat: u64, now: u64, ahead: u64) -> u64 {
        let burst = u64::from(self.rate.burst.get());
        let base = tat.max(now);
        let more = (ahead + 1).saturating_mul(self.period);
        let less = burst.saturating_mul(self.period);
        base.saturating_add(more).saturating_sub(less).max(now)
    }

    /// How it stands, for the caller.
    pub(super) fn standing(&self, tat: u64, now: u64) -> Standing {
        let free = u32::try_from(self.free(tat, now)).unwrap_or(u32::MAX);
        Standing {
            limit: Arc::clone(&self.name),
            quota: self.rate.burst.get(),
            window: self.rate.period.saturating_mul(self.rate.burst.get()),
            remaining: free,
            reset: Duration::from_nanos(tat.saturating_sub(now)),
        }
    }
}
