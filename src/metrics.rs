//! What is counted, for the operator's port (`/metrics`).
//!
//! One value, handed to whoever counts; there is no global recorder. Every label
//! comes from a table of ours (operations, codes) or from the policy that runs,
//! never from a request, so that no caller can make the page grow. What is known
//! of the policy set is not kept here a second time: it is asked for when the
//! page is.

mod capacity;
mod denials;
mod money;
mod pressure;
mod upstream;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::catalogue::OperationIx;
use crate::problem::Code;
use crate::ruleset::{Current, Loaded};
use crate::trail::Trail;

pub(crate) use capacity::{NoHandshake, OfCapacity, TurnedAway};
use denials::{Denials, is_denial};
pub use money::Counted;
use money::OfMoney;
pub(crate) use pressure::{OfPressure, Refused};
pub use upstream::OfUpstream;
use upstream::Shown;

/// The media type of [`Metrics::page`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In seconds: from a refusal of our own to the longest time that a request may take.
const BUCKETS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0,
];

/// Everything that is counted.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Families>);

#[derive(Debug)]
struct Families {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram>,
    queued: Histogram,
    internal_errors: Counter,
    shadows: Family<ShadowLabels, Counter>,
    reads: Family<ReadLabels, Counter>,
    money: OfMoney,
    pressure: OfPressure,
    capacity: OfCapacity,
    denials: Denials,
    policies: Current,
    upstream: Shown,
}

/// Small numbers, so that counting a request makes no text; the page does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: Named<OperationIx>,
    decision: Named<bool>,
    code: Named<Code>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    answered_by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShadowLabels {
    rule: String,
    effect: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadLabels {
    cache: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    hash: String,
}

/// What has a name, or `none`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Named<T>(Option<T>);

trait Name {
    fn name(&self) -> &'static str;
}

impl Name for OperationIx {
    fn name(&self) -> &'static str {
        self.row().id
    }
}

impl Name for Code {
    fn name(&self) -> &'static str {
        Self::name(*self)
    }
}

impl Name for bool {
    fn name(&self) -> &'static str {
        if *self { "allow" } else { "deny" }
    }
}

impl<T: Name> EncodeLabelValue for Named<T> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.as_ref().map_or("none", Name::name).encode(encoder)
    }
}

impl Metrics {
    /// Nothing counted yet; the page will tell of these policies.
    pub fn new(policies: Current) -> Self {
        let mut registry = Registry::with_prefix("tollgate");
        let requests = Family::default();
        let durations = Family::new_with_constructor(histogram as fn() -> Histogram);
        let queued = histogram();
        let internal_errors = Counter::default();
        let shadows = Family::default();
        registry.register(
            "requests",
            "Requests that are over, by operation, by what the policy said and by the code of the refusal or failure",
            Family::clone(&requests),
        );
        registry.register_with_unit(
            "request_duration",
            "From a request's head to the end of its answer",
            Unit::Seconds,
            Family::clone(&durations),
        );
        registry.register_with_unit(
            "queue_duration",
            "How long requests waited for their turn, those that waited",
            Unit::Seconds,
            queued.clone(),
        );
        registry.register(
            "internal_errors",
            "Requests that failed by a bug of the gateway",
            Counter::clone(&internal_errors),
        );
        registry.register(
            "shadow_decisions",
            "What rules on trial would have done, since the policy set was loaded",
            Family::clone(&shadows),
        );
        let reads = Family::default();
        registry.register(
            "reads",
            "Reads of which several can have one answer: hit had a kept one, shared that of the same read under way, miss asked Devin",
            Family::clone(&reads),
        );
        registry.register_collector(Box::new(OfPolicy(policies.clone())));
        let money = OfMoney::default();
        registry.register_collector(Box::new(money.clone()));
        let pressure = OfPressure::default();
        pressure.register(&mut registry);
        let capacity = OfCapacity::default();
        capacity.register(&mut registry);
        let denials = Denials::default();
        registry.register_collector(Box::new(denials.clone()));
        let upstream = Shown::default();
        registry.register_collector(Box::new(upstream.clone()));
        Self(Arc::new(Families {
            registry,
            requests,
            durations,
            queued,
            internal_errors,
            shadows,
            reads,
            money,
            pressure,
            capacity,
            denials,
            policies,
            upstream,
        }))
    }

    /// Counts a request that is over.
    pub fn request(&self, trail: &Trail, answered_by: &'static str, duration: Duration) {
        let code = trail.code.get().copied();
        let labels = RequestLabels {
            operation: Named(trail.operation.get().copied()),
            decision: Named(trail.decided.get().map(|it| it.allow)),
            code: Named(code),
        };
        self.0.requests.get_or_create(&labels).inc();
        let labels = DurationLabels { answered_by };
        let histogram = self.0.durations.get_or_create(&labels);
        histogram.observe(duration.as_secs_f64());
        let queued = trail.queued.load(Ordering::Relaxed);
        if queued > 0 {
            let queued = Duration::from_micros(queued);
            self.0.queued.observe(queued.as_secs_f64());
        }
        if code == Some(Code::Internal) {
            self.0.internal_errors.inc();
        }
        if let (Some(caller), true) = (trail.caller.get(), code.is_some_and(is_denial)) {
            let ended = trail.started.checked_add(duration).unwrap_or(trail.started);
            if let Some(denials) = self.0.denials.count(&caller.name, ended) {
                tracing::warn!(
                    caller = &*caller.name,
                    team = &*caller.team,
                    denials,
                    "a caller is denied again and again: see its lines in the access log"
                );
            }
        }
        if let Some(cache) = trail.cache.get() {
            let labels = ReadLabels {
                cache: cache.as_str(),
            };
            self.0.reads.get_or_create(&labels).inc();
        }
        if let Some(shadow) = trail.shadow.get()
            && let Some(rule) = &shadow.rule
        {
            self.shadow(rule, if shadow.allow { "allow" } else { "deny" });
        }
    }

    /// Counts what a rule on trial (`team/name`) would have done.
    pub fn shadow(&self, rule: &str, effect: &'static str) {
        let rule = rule.to_owned();
        let labels = ShadowLabels { rule, effect };
        self.0.shadows.get_or_create(&labels).inc();
    }

    /// Another policy set runs: rules of the one before are counted no more, nor are callers that it does
    /// not have, and their names go.
    pub fn policy_replaced(&self) {
        self.0.shadows.clear();
        let set = self.0.policies.load();
        let callers: BTreeSet<&str> = set.policy().callers().map(|it| &**it.name()).collect();
        self.0.denials.keep(&callers);
    }

    /// What is counted of the pressure on Devin.
    pub(crate) fn pressure(&self) -> &OfPressure {
        &self.0.pressure
    }

    /// What is counted of connections and requests in flight.
    pub(crate) fn capacity(&self) -> &OfCapacity {
        &self.0.capacity
    }

    /// The page will tell of this client of Devin's.
    pub fn show_upstream(&self, counted: OfUpstream) {
        self.0.upstream.0.store(Some(Arc::new(counted)));
    }

    /// The page will say this of the ledger.
    pub fn show(&self, counted: Counted) {
        self.0.money.0.store(Some(Arc::new(counted)));
    }

    /// Everything, as OpenMetrics text.
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to memory cannot fail.
        let _ = text::encode(&mut page, &self.0.registry);
        page
    }
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// What is known of the policy set, at the time of asking: a set that is gone leaves no series behind.
#[derive(Debug)]
struct OfPolicy(Current);

impl Collector for OfPolicy {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Loaded {
            hash,
            callers,
            loaded_at,
            reloads,
            refused,
            last_refused,
            last_change: _,
        } = self.0.loaded();
        let info = Info::new(PolicyLabels { hash });
        let of_info = encoder.encode_descriptor(
            "policy",
            "The policy set that runs",
            None,
            MetricType::Info,
        )?;
        info.encode(of_info)?;
        let mut gauge = |name, help, unit: Option<&Unit>, value: i64| {
            let encoder = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(encoder)
        };
        gauge(
            "policy_loaded_timestamp",
            "Since when it runs",
            Some(&Unit::Seconds),
            loaded_at.as_second(),
        )?;
        gauge(
            "policy_callers",
            "How many callers it has",
            None,
            i64::try_from(callers).unwrap_or(i64::MAX),
        )?;
        gauge(
            "policy_last_reload_refused",
            "1 while the files hold mistakes and an older set runs",
            None,
            i64::from(last_refused.is_some()),
        )?;
        let of_limits = self.0.load().limiters().limits().counts();
        for (name, help, value) in [
            (
                "limit_waiting",
                "Requests that wait for a limit",
                of_limits.waiting,
            ),
            (
                "limit_places",
                "Places in line at limits: requests that wait, and promises to those that were refused",
                of_limits.places,
            ),
            (
                "limit_accounts",
                "Accounts of limits that are not as good as unused, or were not a while ago",
                of_limits.accounts,
            ),
        ] {
            gauge(name, help, None, i64::try_from(value).unwrap_or(i64::MAX))?;
        }
        let mut of_reloads = encoder.encode_descriptor(
            "policy_reloads",
            "Policy sets that followed the first one, and those that were refused",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in [("accepted", reloads), ("refused", refused)] {
            let labels = [("result", result)];
            ConstCounter::new(count).encode(of_reloads.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::SystemClock;
    use http::Request;
    use jiff::Timestamp;

    use super::*;
    use crate::document::Report;
    use crate::policy::{Policy, PolicyFiles, compile};
    use crate::ruleset::Refused;
    use crate::trail::Decided;

    fn policy(team: &str) -> Policy {
        let text = format!("team: {team}\ncallers: {{ {team}: {{}} }}\n");
        let mut report = Report::default();
        let files = PolicyFiles::from_texts([("t.yaml", text.as_str())], &mut report);
        compile(&files, &[], &mut report).unwrap()
    }

    fn trail() -> Trail {
        Trail::begin(&Request::new(()), None, None, &SystemClock)
    }

    #[test]
    fn a_page_says_what_was_counted() {
        let current = Current::new(policy("a"), Timestamp::from_second(7).unwrap());
        let metrics = Metrics::new(current);
        metrics.request(&trail(), "gateway", Duration::from_millis(2));
        let known = trail();
        let operation = OperationIx::served().find(|ix| ix.row().id == "sessions.create");
        known.operation.set(operation.unwrap()).unwrap();
        let (allow, rule) = (true, None);
        known.decided.set(Decided { allow, rule }).unwrap();
        known.code.set(Code::Internal).unwrap();
        metrics.request(&known, "upstream", Duration::from_secs(400));
        metrics.shadow("a/\"x\"\n", "deny");
        let page = metrics.page();
        for line in [
            "tollgate_requests_total{operation=\"none\",decision=\"none\",code=\"none\"} 1",
            "tollgate_requests_total{operation=\"sessions.create\",decision=\"allow\",code=\"internal\"} 1",
            "# UNIT tollgate_request_duration_seconds seconds",
            "tollgate_request_duration_seconds_bucket{le=\"0.001\",answered_by=\"gateway\"} 0",
            "tollgate_request_duration_seconds_bucket{le=\"0.0025\",answered_by=\"gateway\"} 1",
            "tollgate_request_duration_seconds_bucket{le=\"300.0\",answered_by=\"upstream\"} 0",
            "tollgate_request_duration_seconds_count{answered_by=\"upstream\"} 1",
            "tollgate_internal_errors_total 1",
            "tollgate_shadow_decisions_total{rule=\"a/\\\"x\\\"\\n\",effect=\"deny\"} 1",
            "tollgate_policy_loaded_timestamp_seconds 7",
            "tollgate_policy_callers 1",
            "tollgate_policy_last_reload_refused 0",
            "tollgate_policy_reloads_total{result=\"accepted\"} 0",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}:\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_set_that_is_gone_leaves_no_series_behind() {
        let (one, two) = (policy("a"), policy("b"));
        let [first, second] = [&one, &two].map(|it| it.hash().to_owned());
        let current = Current::new(one, Timestamp::UNIX_EPOCH);
        let metrics = Metrics::new(current.clone());
        metrics.shadow("a/x", "deny");
        current.refuse(Refused {
            at: Timestamp::UNIX_EPOCH,
            count: 1,
            mistakes: Vec::new(),
        });
        let page = metrics.page();
        assert!(page.contains(&format!("tollgate_policy_info{{hash=\"{first}\"}} 1\n")));
        assert!(page.contains("tollgate_policy_last_reload_refused 1\n"));
        assert!(page.contains("tollgate_policy_reloads_total{result=\"refused\"} 1\n"));
        current.replace(two, Timestamp::UNIX_EPOCH);
        metrics.policy_replaced();
        let page = metrics.page();
        assert!(page.contains(&format!("tollgate_policy_info{{hash=\"{second}\"}} 1\n")));
        assert!(page.contains("tollgate_policy_last_reload_refused 0\n"));
        assert!(page.contains("tollgate_policy_reloads_total{result=\"accepted\"} 1\n"));
        assert!(!page.contains(&first) && !page.contains("a/x"), "{page}");
    }
}
