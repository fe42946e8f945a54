//! Rate limits, with governor's GCRA in memory.
//!
//! One bucket per caller that has a limit, made when the policy is loaded: the
//! table is as large as the policy, and no request can make it grow. A set that
//! follows another takes over the buckets of limits that have not changed, so
//! that a reload gives nobody a fresh burst. What is left of a limit stays in
//! memory only, so a restart can give a caller one burst more (M22).

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::policy::{CallerIx, Policy};

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// What makes two buckets the same one. Places in a set differ from set to set; names do not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    caller: Arc<str>,
    limit: Arc<str>,
    period: Duration,
    burst: NonZeroU32,
}

#[derive(Debug)]
struct Bucket<C: Clock> {
    key: Key,
    limiter: Arc<Limiter<C>>,
}

/// The limiters of one policy set.
#[derive(Debug)]
pub struct Limiters<C: Clock = DefaultClock> {
    clock: C,
    buckets: Vec<Option<Bucket<C>>>,
}

impl Limiters {
    /// For the callers of this set, on the machine's clock.
    pub fn new(policy: &Policy) -> Self {
        Self::with_clock(policy, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limiters<C> {
    /// For the callers of this set, on this clock.
    pub fn with_clock(policy: &Policy, clock: C) -> Self {
        Self::build(policy, clock, &HashMap::new())
    }

    /// For the callers of this set; a bucket that `self` has as well goes on as it is, for both.
    pub fn followed_by(&self, policy: &Policy) -> Self {
        let buckets = self.buckets.iter().flatten();
        let known = buckets.map(|it| (&it.key, &it.limiter)).collect();
        Self::build(policy, self.clock.clone(), &known)
    }

    fn build(policy: &Policy, clock: C, known: &HashMap<&Key, &Arc<Limiter<C>>>) -> Self {
        let bucket = |caller: CallerIx| {
            let limit = policy.limit(policy.limit_of(caller)?)?;
            let key = Key {
                caller: Arc::clone(policy.caller(caller).name()),
                limit: Arc::clone(&limit.name),
                period: limit.period,
                burst: limit.burst,
            };
            let limiter = if let Some(limiter) = known.get(&key) {
                Arc::clone(limiter)
            } else {
                // A period of zero cannot be read from a policy, so there is always a quota.
                let quota = Quota::with_period(limit.period)?.allow_burst(limit.burst);
                Arc::new(RateLimiter::direct_with_clock(quota, clock.clone()))
            };
            Some(Bucket { key, limiter })
        };
        Self {
            buckets: policy.caller_ixs().map(bucket).collect(),
            clock,
        }
    }

    /// Takes one request from the caller's limit.
    ///
    /// # Errors
    /// How long until one fits.
    pub fn take(&self, caller: CallerIx) -> Result<(), Duration> {
        match self.buckets.get(caller.get()) {
            Some(Some(Bucket { limiter, .. })) => limiter
                .check()
                .map_err(|until| until.wait_time_from(self.clock.now())),
            Some(None) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::document::Report;
    use crate::policy::{PolicyFiles, compile};

    fn policy(text: &str) -> Policy {
        let mut report = Report::default();
        let files = PolicyFiles::from_texts([("t.yaml", text)], &mut report);
        compile(&files, &[], &mut report).unwrap_or_else(|| panic!("{}", report.plain()))
    }

    fn limiters(rate: &str, burst: u32, clock: FakeRelativeClock) -> Limiters<FakeRelativeClock> {
        let text = format!(
            "team: t\ncallers: {{ one: {{}}, two: {{}} }}\nlimits: [{{ name: l, per: caller, rate: {rate}, burst: {burst} }}]\n"
        );
        Limiters::with_clock(&policy(&text), clock)
    }

    #[test]
    fn an_hour_admits_exactly_what_the_policy_says() {
        for (rate, burst, wanted) in [
            ("60/min", 20, 3600 + 20),
            ("2/min", 2, 122),
            ("7/s", 1, 7 * 3600 + 1),
            ("1000/h", 5, 1005),
        ] {
            let clock = FakeRelativeClock::default();
            let limiters = limiters(rate, burst, clock.clone());
            let (mut admitted, mut elapsed) = (0u32, Duration::ZERO);
            // A client that always has a request, and waits as long as it is told.
            while elapsed < Duration::from_secs(3600) {
                match limiters.take(CallerIx::for_tests(0)) {
                    Ok(()) => admitted += 1,
                    Err(wait) => {
                        clock.advance(wait);
                        elapsed += wait;
                    }
                }
            }
            // The instant at the end of the hour is not asked, and a rate is never rounded up.
            assert!(
                (wanted - 1..=wanted).contains(&admitted),
                "{rate}: {admitted}"
            );
        }
    }

    #[test]
    fn the_wait_that_is_told_is_enough_and_no_caller_takes_from_another() {
        let clock = FakeRelativeClock::default();
        let limiters = limiters("2/min", 1, clock.clone());
        let (one, two) = (CallerIx::for_tests(0), CallerIx::for_tests(1));
        assert!(limiters.take(one).is_ok());
        let wait = limiters.take(one).unwrap_err();
        assert!(limiters.take(two).is_ok());
        clock.advance(wait);
        assert!(limiters.take(one).is_ok());
    }

    #[test]
    fn a2_a_reload_gives_nobody_a_fresh_burst() {
        let before = policy(
            "team: t\ncallers: { one: {}, two: {}, three: {} }\nlimits:\n  - { name: l, per: caller, callers: [one, two], rate: 2/min, burst: 2 }\n  - { name: m, per: caller, callers: [three], rate: 2/min, burst: 2 }\n",
        );
        // `one` stands elsewhere, and has the limit that it had; that of `two` is smaller, that of `three` another.
        let after = policy(
            "team: t\ncallers: { new: {}, three: {}, two: {}, one: {} }\nlimits:\n  - { name: l, per: caller, callers: [one, new], rate: 2/min, burst: 2 }\n  - { name: s, per: caller, callers: [two], rate: 2/min, burst: 1 }\n  - { name: n, per: caller, callers: [three], rate: 2/min, burst: 2 }\n",
        );
        let place = |policy: &Policy, name: &str| {
            let mut all = policy.caller_ixs();
            all.find(|ix| &**policy.caller(*ix).name() == name).unwrap()
        };
        let old = Limiters::with_clock(&before, FakeRelativeClock::default());
        for name in ["one", "one", "two", "two", "three", "three"] {
            assert!(old.take(place(&before, name)).is_ok());
        }
        let new = old.followed_by(&after);
        let left = |name: &str| {
            let caller = place(&after, name);
            (0..9).take_while(|_| new.take(caller).is_ok()).count()
        };
        assert_eq!(left("one"), 0, "unchanged: as used up as it was");
        assert_eq!(left("two"), 1, "changed: a new limit");
        assert_eq!(left("three"), 2, "another name: a new limit");
        assert_eq!(left("new"), 2, "a new caller");
        // A request that still has the old set takes from the same bucket.
        let again = new.followed_by(&before);
        assert!(again.take(place(&before, "one")).is_err());
    }

    #[test]
    fn a2_both_sets_take_from_one_bucket() {
        let text = "team: t\ncallers: { one: {} }\nlimits: [{ name: l, per: caller, rate: 2/min, burst: 2 }]\n";
        let (old, one) = (
            limiters("2/min", 2, FakeRelativeClock::default()),
            CallerIx::for_tests(0),
        );
        let new = old.followed_by(&policy(text));
        assert!(new.take(one).is_ok());
        assert!(old.take(one).is_ok());
        assert!(new.take(one).is_err() && old.take(one).is_err());
    }
}
