//! One connection without a listener: in memory, for whoever brings its bytes (the fuzz target of whole connections).

use std::convert::Infallible;
use std::net::SocketAddr;

use http::Response;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::connection::{self, Ends, Spawner};
use crate::Parts;
use crate::body::Body;
use crate::pipeline::access_log::connection_line;
use crate::pipeline::edge::{self, Arrival, Pulse};

/// Serves one connection to its end, of somebody else's accepting and with no door in front, as
/// [`start`](super::start) serves those of its listeners.
pub async fn one<S, G>(stream: S, peer: SocketAddr, gateway: G, parts: &Parts)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    G: Service<Arrival, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let pulse = Pulse::new(parts.capacity.times, Instant::now());
    let service = edge::for_connection(gateway, Some(peer), pulse.clone());
    let service = TowerToHyperService::new(service);
    let tasks = TaskTracker::new();
    let ends = Ends {
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let spawner = Spawner(tasks.clone());
    let streams = parts.capacity.streams;
    let served = connection::serve(stream, service, spawner, pulse, streams, ends);
    if let Some(why) = served.await {
        let now = parts.clock.now();
        let line = |line: &mut Vec<u8>| connection_line(line, now, Some(peer), &why);
        parts.log.write(line).await;
    }
    tasks.close();
    tasks.wait().await;
}
