//! What is counted of the way to Devin, and how much the process has under way in all.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

/// Gauges of one client of Devin's; clones count together.
#[derive(Clone, Debug, Default)]
pub struct OfUpstream {
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Requests that were sent and whose answers have not ended.
    pub(crate) requests: Gauge,
    /// Answers in which the service token stood.
    pub(crate) echoes: Counter,
}

/// The client that the page tells of, once there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown(pub(super) Arc<ArcSwapOption<OfUpstream>>);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let upstream = self.0.load_full().unwrap_or_default();
        let tasks = tokio::runtime::Handle::try_current();
        let tasks = tasks.map_or(0, |it| it.metrics().num_alive_tasks());
        for (name, help, value) in [
            (
                "upstream_connections",
                "Connections to Devin that are open",
                upstream.connections.get(),
            ),
            (
                "upstream_requests",
                "Requests that were sent to Devin and whose answers have not ended",
                upstream.requests.get(),
            ),
            (
                "tasks",
                "Tasks of the process that are alive",
                i64::try_from(tasks).unwrap_or(i64::MAX),
            ),
        ] {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(encoder)?;
        }
        let encoder = encoder.encode_descriptor(
            "token_echoes",
            "Answers of Devin's in which the service token stood, and was masked",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(upstream.echoes.get()).encode(encoder)
    }
}
