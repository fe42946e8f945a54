//! What is counted of the pressure on Devin. No label is a caller's or a team's.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::pressure::breaker::State;

/// Why a request did not leave for Devin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its turn would have come too late.
    TooLate,
    /// The breaker was open.
    CoolingDown,
}

/// Counts and gauges; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfPressure {
    waiting: Gauge,
    rate: Gauge<f64, AtomicU64>,
    breaker: Family<StateLabels, Gauge>,
    refused: Family<WhyLabels, Counter>,
    retries: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabels {
    why: &'static str,
}

impl OfPressure {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "upstream_waiting",
            "Requests that wait for their turn at Devin",
            self.waiting.clone(),
        );
        registry.register(
            "upstream_rate_per_second",
            "Requests a second that may leave for Devin; 0 while nothing limits them",
            self.rate.clone(),
        );
        registry.register(
            "upstream_breaker",
            "1 for what the circuit breaker does: closed, open or half-open",
            self.breaker.clone(),
        );
        registry.register(
            "upstream_refused",
            "Requests that did not leave for Devin: their turn would have come too late, or the breaker was open",
            self.refused.clone(),
        );
        registry.register(
            "upstream_retries",
            "Requests that were sent to Devin again",
            self.retries.clone(),
        );
        self.show(0, None);
        self.show_breaker(State::Closed);
    }

    /// How it stands now.
    pub(crate) fn show(&self, waiting: usize, rate: Option<f64>) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.rate.set(rate.unwrap_or(0.0));
    }

    /// What the breaker does now.
    pub(crate) fn show_breaker(&self, breaker: State) {
        for state in [State::Closed, State::Open, State::HalfOpen] {
            let labels = StateLabels {
                state: state.as_str(),
            };
            let gauge = self.breaker.get_or_create(&labels);
            gauge.set(i64::from(state == breaker));
        }
    }

    /// One did not leave.
    pub(crate) fn refused(&self, why: Refused) {
        let why = match why {
            Refused::TooLate => "rate",
            Refused::CoolingDown => "breaker",
        };
        self.refused.get_or_create(&WhyLabels { why }).inc();
    }

    /// One is sent again.
    pub(crate) fn retried(&self) {
        self.retries.inc();
    }
}
