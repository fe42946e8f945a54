//! What each port does with its connections: callers meet the gateway, operators their own pages and orders.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service as HyperService;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tower::{Service, service_fn};

use super::tls::Tls;
use crate::admin::{Admin, Tells, Uid};
use crate::body::Body;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::pipeline::access_log::{Sink, connection_line};
use crate::pipeline::edge::{self, Arrival, Pulse};

/// What the requests of a connection go to.
pub(super) trait Serves:
    HyperService<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Send
    + 'static
{
}

impl<S> Serves for S where
    S: HyperService<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Send
        + 'static
{
}

/// What is done with the connections of a port.
pub(super) trait Port: Clone + Send + Sync + 'static {
    /// As a connection is accepted.
    type Raw: Send + 'static;
    /// Who is at its other end.
    type Peer: Copy + Send + 'static;
    /// What HTTP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes it ready for HTTP, unless its client does not come so far.
    fn open(
        &self,
        raw: Self::Raw,
        peer: Self::Peer,
    ) -> impl Future<Output = Option<Self::Stream>> + Send;

    /// What its requests go to.
    fn service(&self, peer: Self::Peer, pulse: Pulse) -> impl Serves;

    /// Notes that somebody came and sent no request that could be read.
    fn refused(&self, peer: Self::Peer, why: String) -> impl Future<Output = ()> + Send;
}

/// A caller's socket. What TLS has to know is much: it is in a box, so that connections without it do not have its size.
pub(super) type MaybeTls = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A port of callers.
#[derive(Clone)]
pub(super) struct Callers<G> {
    pub(super) gateway: G,
    pub(super) log: Sink,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) tls: Option<Tls>,
    /// The time for its handshake.
    pub(super) handshake: Duration,
}

impl<G> Port for Callers<G>
where
    G: Service<Arrival, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Raw = TcpStream;
    type Peer = SocketAddr;
    type Stream = MaybeTls;

    async fn open(&self, raw: TcpStream, peer: SocketAddr) -> Option<Self::Stream> {
        let Some(tls) = &self.tls else {
            return Some(Either::Left(raw));
        };
        let refused = |why| self.refused(peer, why);
        let met = tls
            .meet(raw, self.handshake, &self.metrics, refused)
            .await?;
        Some(Either::Right(Box::new(met)))
    }

    fn service(&self, peer: SocketAddr, pulse: Pulse) -> impl Serves {
        let service = edge::for_connection(self.gateway.clone(), Some(peer), pulse);
        TowerToHyperService::new(service)
    }

    async fn refused(&self, peer: SocketAddr, why: String) {
        let now = self.clock.now();
        self.log
            .write(|line| connection_line(line, now, Some(peer), &why))
            .await;
    }
}

/// The operator's port.
#[derive(Clone)]
pub(super) struct Operators(pub(super) Admin);

impl Port for Operators {
    type Raw = TcpStream;
    type Peer = SocketAddr;
    type Stream = TcpStream;

    async fn open(&self, raw: TcpStream, _: SocketAddr) -> Option<TcpStream> {
        Some(raw)
    }

    fn service(&self, _: SocketAddr, pulse: Pulse) -> impl Serves {
        of_operators(self.0.clone(), pulse)
    }

    async fn refused(&self, peer: SocketAddr, why: String) {
        tracing::debug!(%peer, why, "admin connection");
    }
}

/// The socket for the operator's orders, which says who gives them.
#[derive(Clone)]
pub(super) struct Orders(pub(super) Admin);

impl Port for Orders {
    type Raw = UnixStream;
    type Peer = Uid;
    type Stream = UnixStream;

    async fn open(&self, raw: UnixStream, _: Uid) -> Option<UnixStream> {
        Some(raw)
    }

    fn service(&self, uid: Uid, pulse: Pulse) -> impl Serves {
        of_operators(self.0.clone().telling(Tells::Orders(uid)), pulse)
    }

    async fn refused(&self, peer: Uid, why: String) {
        tracing::debug!(?peer, why, "admin connection");
    }
}

fn of_operators(
    admin: Admin,
    pulse: Pulse,
) -> impl HyperService<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Send
+ 'static {
    let service = service_fn(move |request| admin.call(request));
    TowerToHyperService::new(edge::paced(service, pulse))
}
