//! Stage 8: rate limits, with governor's GCRA in memory.
//!
//! One limiter per caller that has a limit, made when the policy is loaded: the
//! table is as large as the policy, and no request can make it grow. What is
//! left of a limit stays in memory only, so a restart can give a caller one
//! burst more (M22).

use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::Permitted;
use super::stage::Stage;
use crate::exchange::Exchange;
use crate::policy::{CallerIx, Policy};
use crate::rejection::Rejection;

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

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
        let bucket = |limit: &crate::policy::Limit| {
            // A period of zero cannot be read from a policy, so there is always a quota.
            let quota = Quota::with_period(limit.period)?.allow_burst(limit.burst);
            Some(RateLimiter::direct_with_clock(quota, clock.clone()))
        };
        let buckets = policy
            .caller_ixs()
            .map(|caller| {
                policy
                    .limit_of(caller)
                    .and_then(|ix| policy.limit(ix))
                    .and_then(bucket)
            })
            .collect();
        Self { clock, buckets }
    }

    /// Takes one request from the caller's limit.
    ///
    /// # Errors
    /// How long until one fits.
    fn take(&self, caller: CallerIx) -> Result<(), std::time::Duration> {
        match self.buckets.get(caller.get()) {
            Some(Some(bucket)) => bucket
                .check()
                .map_err(|until| until.wait_time_from(self.clock.now())),
            Some(None) | None => Ok(()),
        }
    }
}

/// The stage.
#[derive(Debug)]
pub struct Limit<C: Clock = DefaultClock> {
    limiters: Arc<Limiters<C>>,
}

impl<C: Clock> Clone for Limit<C> {
    fn clone(&self) -> Self {
        Self {
            limiters: Arc::clone(&self.limiters),
        }
    }
}

impl<C: Clock> Limit<C> {
    /// With these limiters.
    pub fn new(limiters: Arc<Limiters<C>>) -> Self {
        Self { limiters }
    }
}

impl<C: Clock + Clone> Stage<Permitted> for Limit<C> {
    type Out = Permitted;

    fn judge(&self, exchange: Exchange<Permitted>) -> Result<Exchange<Permitted>, Rejection> {
        let caller = exchange.proof.caller();
        let policy = exchange.proof.policy();
        let Some(limit) = policy.limit_of(caller).and_then(|ix| policy.limit(ix)) else {
            return Ok(exchange);
        };
        let _ = exchange.trail.limit.set(Arc::clone(&limit.name));
        match self.limiters.take(caller) {
            Ok(()) => Ok(exchange),
            Err(retry_after) => Err(Rejection::RateLimited {
                limit: Arc::clone(&limit.name),
                retry_after,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::document::Report;
    use crate::policy::{PolicyFiles, compile};

    fn limiters(rate: &str, burst: u32, clock: FakeRelativeClock) -> Limiters<FakeRelativeClock> {
        let text = format!(
            "team: t\ncallers: {{ one: {{}}, two: {{}} }}\nlimits: [{{ name: l, per: caller, rate: {rate}, burst: {burst} }}]\n"
        );
        let mut report = Report::default();
        let files = PolicyFiles::from_texts([("t.yaml", text.as_str())], &mut report);
        Limiters::with_clock(&compile(&files, &[], &mut report).unwrap(), clock)
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
}
