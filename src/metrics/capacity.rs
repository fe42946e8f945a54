//! What is counted of connections and requests in flight.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use arc_swap::ArcSwapOption;
use std::fmt;
use std::sync::Arc;

use crate::capacity::Room;

/// Why a connection was closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// As many are open as may be.
    All,
    /// As many are of one peer.
    Peer,
}

impl TurnedAway {
    /// As metrics and log have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Peer => "peer",
        }
    }
}

/// Why a client did not get to speak HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHandshake {
    /// What it sent was no TLS that is spoken here, or it would not have our certificate.
    Refused,
    /// It left in the middle.
    Gone,
    /// It took too long.
    Late,
}

impl NoHandshake {
    const ALL: [Self; 3] = [Self::Refused, Self::Gone, Self::Late];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Late => "late",
        }
    }
}

/// Counts and gauges; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfCapacity {
    connections: Gauge,
    turned_away: Family<WhyLabels, Counter>,
    accept_failures: Counter,
    no_handshake: Family<WhyLabels, Counter>,
    room: InFlight,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabels {
    why: &'static str,
}

/// The room that requests are in, once there is one.
#[derive(Clone, Debug, Default)]
struct InFlight(Arc<ArcSwapOption<Room>>);

impl Collector for InFlight {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let taken = self.0.load().as_ref().map_or(0, |it| it.taken());
        let encoder = encoder.encode_descriptor(
            "requests_in_flight",
            "Requests that have a place now, those included that run on without their clients",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::try_from(taken).unwrap_or(i64::MAX)).encode(encoder)
    }
}

impl OfCapacity {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections",
            "Connections of callers that are open",
            self.connections.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections that were closed at once: too many in all, or of one peer",
            self.turned_away.clone(),
        );
        registry.register(
            "accept_failures",
            "Times that no connection could be accepted, mostly for want of descriptors",
            self.accept_failures.clone(),
        );
        registry.register(
            "tls_handshakes_failed",
            "Connections to a TLS listener that came to no request, for want of a handshake",
            self.no_handshake.clone(),
        );
        registry.register_collector(Box::new(self.room.clone()));
        for why in NoHandshake::ALL {
            let why = why.as_str();
            drop(self.no_handshake.get_or_create(&WhyLabels { why }));
        }
        for why in [TurnedAway::All, TurnedAway::Peer] {
            let why = why.as_str();
            drop(self.turned_away.get_or_create(&WhyLabels { why }));
        }
    }

    /// The page will say how many places are taken.
    pub(crate) fn show(&self, room: Room) {
        self.room.0.store(Some(Arc::new(room)));
    }

    /// So many are open now.
    pub(crate) fn connections(&self, open: usize) {
        self.connections
            .set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// One was closed at once.
    pub(crate) fn turned_away(&self, why: TurnedAway) {
        let why = why.as_str();
        self.turned_away.get_or_create(&WhyLabels { why }).inc();
    }

    /// One came to no request.
    pub(crate) fn no_handshake(&self, why: NoHandshake) {
        let why = why.as_str();
        self.no_handshake.get_or_create(&WhyLabels { why }).inc();
    }

    /// None could be accepted.
    pub(crate) fn cannot_accept(&self) {
        self.accept_failures.inc();
    }
}
