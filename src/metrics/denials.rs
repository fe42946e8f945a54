//! How often each caller was denied, and who is denied so often that somebody should look.
//!
//! A caller that is refused again and again is broken, or somebody else has its key, or an agent does what a text told
//! it to. Nothing is decided here: what is denied stays denied, and what is granted stays granted. Counted where the
//! log line is written; pure, and told the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use tokio::time::Instant;

use crate::problem::Code;

/// How many callers have a series of their own. Those beyond are counted together, under a name that no caller can have.
const CALLERS: usize = 1_000;
const THE_REST: &str = "";
/// The time in which denials are counted together, and from one line of the process's log to the next.
const WINDOW: Duration = Duration::from_secs(60);
/// So many in it are told of.
const MANY: u32 = 100;

/// Whether a request that ended with this code was one that its caller may not make.
pub(super) fn is_denial(code: Code) -> bool {
    matches!(
        code,
        Code::OperationDenied | Code::OrganizationDenied | Code::FieldDenied | Code::SessionDenied
    )
}

/// Counts denials; clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Denials(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// [`CALLERS`] at most, and the rest.
    callers: BTreeMap<Arc<str>, OfCaller>,
    /// When somebody was told of last.
    told: Option<Instant>,
}

#[derive(Debug)]
struct OfCaller {
    total: u64,
    since: Instant,
    recent: u32,
}

impl Denials {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a denial. How many there were of late, if there were so many that it is to be told; all callers together
    /// are told of once in a [`WINDOW`] at most.
    pub(super) fn count(&self, caller: &Arc<str>, now: Instant) -> Option<u32> {
        let mut counts = self.counts();
        let has_own = counts.callers.contains_key(caller) || counts.callers.len() < CALLERS;
        let name = match has_own {
            true => Arc::clone(caller),
            false => Arc::from(THE_REST),
        };
        let of_caller = counts.callers.entry(name).or_insert(OfCaller {
            total: 0,
            since: now,
            recent: 0,
        });
        of_caller.total = of_caller.total.saturating_add(1);
        if now.saturating_duration_since(of_caller.since) >= WINDOW {
            (of_caller.since, of_caller.recent) = (now, 0);
        }
        of_caller.recent = of_caller.recent.saturating_add(1);
        let recent = of_caller.recent;
        let is_due = counts
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= WINDOW);
        let is_told = recent >= MANY && is_due && has_own;
        if is_told {
            counts.told = Some(now);
        }
        is_told.then_some(recent)
    }

    /// Another policy set runs: callers that it does not have lose their series.
    pub(super) fn keep(&self, callers: &BTreeSet<&str>) {
        self.counts()
            .callers
            .retain(|name, _| **name == *THE_REST || callers.contains(&**name));
    }
}

impl Collector for Denials {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let totals: Vec<(Arc<str>, u64)> = self
            .counts()
            .callers
            .iter()
            .map(|(name, it)| (Arc::clone(name), it.total))
            .collect();
        let mut family = encoder.encode_descriptor(
            "denials",
            "Requests that their caller may not make: an operation, an organization, a field or a session",
            None,
            MetricType::Counter,
        )?;
        for (name, total) in totals {
            let labels = [("caller", &*name)];
            ConstCounter::new(total).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    #[tokio::test(start_paused = true)]
    async fn a16_many_denials_of_one_caller_are_told_of_once_a_minute() {
        let denials = Denials::default();
        let (agent, other) = (name("agent"), name("other"));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        // Now and then is what people do.
        for second in 0..300 {
            assert_eq!(denials.count(&other, at(second)), None);
        }
        let told: Vec<u32> = (0..1_000)
            .filter_map(|_| denials.count(&agent, at(300)))
            .collect();
        assert_eq!(told, [MANY]);
        // Nor does another caller make a second line of the same minute.
        for _ in 0..1_000 {
            assert_eq!(denials.count(&other, at(301)), None);
        }
        assert!(denials.count(&agent, at(359)).is_none());
        assert!(denials.count(&agent, at(360)).is_none(), "a new window");
        for _ in 0..MANY {
            denials.count(&agent, at(361));
        }
        assert_eq!(denials.counts().callers[&agent].total, 1_102);
    }

    #[tokio::test(start_paused = true)]
    async fn a16_r8_no_caller_makes_the_page_grow() {
        let denials = Denials::default();
        let now = Instant::now();
        for ix in 0..3 * CALLERS {
            denials.count(&name(&format!("c{ix}")), now);
        }
        let kept = denials.counts().callers.len();
        assert_eq!(kept, CALLERS + 1);
        assert_eq!(
            denials.counts().callers[THE_REST].total,
            2 * u64::try_from(CALLERS).unwrap()
        );
        denials.keep(&BTreeSet::from(["c1", "c2"]));
        let names: Vec<String> = denials
            .counts()
            .callers
            .keys()
            .map(|it| it.to_string())
            .collect();
        assert_eq!(names, ["", "c1", "c2"]);
    }
}
