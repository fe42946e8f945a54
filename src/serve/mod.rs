//! Stage 1: listeners, connections, and the life of the process around them.
//!
//! [`start`] binds and returns; [`Running`] is the way to stop. A connection is
//! served by hyper with bounds on time and size; what hyper's parser refuses
//! gets its empty answer and one log line of `kind: connection`.
//!
//! Deliberately absent: a second HTTP parser in front of hyper. Two parsers that
//! disagree are the hole, not the cure.

mod connection;
pub mod descriptors;
mod door;
mod lines;
mod signals;
mod socket;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service as HyperService;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer, Service, service_fn};

use crate::admin::{Admin, AdminSocket, Claim, Health, SocketError, Tells, Uid};
use crate::alerts::Watch;
use crate::body::{Body, BoxError};
use crate::capacity::Options;
use crate::exchange::Exchange;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::pipeline::access_log::{Sink, connection_line};
use crate::pipeline::credential::Outbound;
use crate::pipeline::edge::{self, Arrival, Pulse};
use crate::rejection::Rejection;
use crate::settle::Reconciler;
use crate::{Parts, gateway};
use connection::{Ends, Spawner};
use door::{Door, Pause};

pub use signals::{StopSignals, hangups, reopen_log_on_signal};

/// How long requests in flight may take after the process was told to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How long the tasks of connections that were cut then may take to end.
const CUT: Duration = Duration::from_secs(2);
/// Connections to the operator's port, and to the socket for orders.
const OPERATORS: usize = 256;

/// Listeners that are bound.
#[derive(Debug)]
pub struct Bound {
    /// For callers.
    pub callers: Vec<TcpListener>,
    /// For the operator.
    pub admin: TcpListener,
    /// For the operator's orders.
    pub socket: Option<Claim>,
}

impl Bound {
    /// That nobody else listens anywhere: for a process that waits for no other to end.
    ///
    /// # Errors
    /// Another process listens on the admin socket.
    pub fn is_whole(&self) -> Result<(), BindError> {
        match &self.socket {
            Some(Claim::Live(path)) => Err(SocketError::Live(path.clone()).into()),
            Some(Claim::Bound(_)) | None => Ok(()),
        }
    }
}

/// What connections come from.
trait Listen: Send + Sync {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Who is at its other end.
    type Peer: Copy + Send;

    /// The address there, if it has one.
    fn address(peer: Self::Peer) -> Option<SocketAddr>;

    /// The next one.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    fn address(peer: SocketAddr) -> Option<SocketAddr> {
        Some(peer)
    }

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept().await?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        Ok((stream, peer))
    }
}

impl Listen for AdminSocket {
    type Stream = UnixStream;
    type Peer = Uid;

    fn address(_: Uid) -> Option<SocketAddr> {
        None
    }

    async fn next(&self) -> io::Result<(UnixStream, Uid)> {
        self.accept().await
    }
}

/// What cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address.
    #[error(
        "cannot listen on {address}: {source} (`listen:` and `admin:` in the configuration say where)"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The admin socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// Binds every listener, or none; but the admin socket, if another process listens there, can be bound later.
///
/// # Errors
/// The first address that cannot be bound.
pub async fn bind(
    callers: &[SocketAddr],
    admin: SocketAddr,
    socket: Option<&Path>,
) -> Result<Bound, BindError> {
    let bind = async |address: SocketAddr| {
        let bound = TcpListener::bind(address).await;
        bound.map_err(|source| BindError::Address { address, source })
    };
    let admin = bind(admin).await?;
    let mut bound = Vec::new();
    for address in callers {
        bound.push(bind(*address).await?);
    }
    let socket = match socket {
        Some(path) => Some(Claim::make(path).await?),
        None => None,
    };
    Ok(Bound {
        callers: bound,
        admin,
        socket,
    })
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    /// Where callers reach it.
    pub callers: Vec<SocketAddr>,
    /// Where the operator reaches it.
    pub admin: SocketAddr,
    health: Health,
    /// Ends the callers' listeners, then the operator's.
    stop: CancellationToken,
    stop_admin: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    admin_tasks: Vec<JoinHandle<()>>,
    /// Requests that run on without their clients.
    attempts: TaskTracker,
    settling: Option<JoinHandle<()>>,
    ledger: Ledger,
    log: Sink,
}

impl Running {
    /// Stops: readiness off, no new holds, listeners closed, requests in flight finished, the log written to its end.
    ///
    /// The ledger's lock is let go by the end of the process and no sooner: what was given up here could still be sent,
    /// and the next process must not look for it before that.
    ///
    /// # Errors
    /// The log takes nothing, and its last lines are lost.
    pub async fn stop(self) -> Result<(), BoxError> {
        self.health.stopping();
        self.ledger.retire();
        self.stop.cancel();
        let until = Instant::now() + DRAIN + CUT;
        for task in self.tasks {
            let _ = task.await;
        }
        // What spends goes on without its client, and its outcome is worth waiting for as long. Of what is given up
        // the hold stays, and the next start finds out.
        self.attempts.close();
        if timeout_at(until, self.attempts.wait()).await.is_err() {
            tracing::warn!(
                "requests that spend had no answer at the end of the drain, and are given up"
            );
        }
        if let Some(settling) = self.settling {
            let _ = settling.await;
        }
        // What was told to the ledger until now is on the disk.
        self.ledger.close().await;
        // Until here a probe is told that the process stops, and not that it is gone.
        self.stop_admin.cancel();
        for task in self.admin_tasks {
            let _ = task.await;
        }
        let log = self.log;
        match tokio::task::spawn_blocking(move || log.close()).await? {
            true => Ok(()),
            false => Err("the access log takes nothing; its last lines are lost".into()),
        }
    }
}

/// Starts serving on bound listeners.
///
/// # Errors
/// A listener that does not know its own address.
pub fn start<U>(bound: Bound, parts: &Parts, upstream: U) -> io::Result<Running>
where
    U: Service<Exchange<Outbound>, Response = Response<Body>, Error = Rejection>
        + Clone
        + Send
        + Sync
        + 'static,
    U::Future: Send,
{
    let stop = CancellationToken::new();
    // Once around everything: Devin's rate is one for the callers and the reconciler.
    let upstream = parts.pressure.layer(upstream);
    let health = Health::new(parts);
    let admin_address = bound.admin.local_addr()?;
    let mut callers = Vec::new();
    let mut tasks = Vec::new();
    let settling = parts.times.map(|times| {
        let reconciler = Reconciler::new(parts, upstream.clone(), times);
        tokio::spawn(reconciler.follow(stop.clone()))
    });
    let gateway = gateway(parts, upstream);
    let hall = |door: &Door, stop: &CancellationToken| Hall {
        door: door.clone(),
        metrics: parts.metrics.clone(),
        options: parts.capacity.clone(),
        stop: stop.clone(),
    };
    let options = &parts.capacity;
    let metrics = Some(parts.metrics.clone());
    let door = Door::new(options.connections, options.connections_per_peer, metrics);
    for listener in bound.callers {
        callers.push(listener.local_addr()?);
        let gateway = gateway.clone();
        let log = parts.log.clone();
        let clock = Arc::clone(&parts.clock);
        let hall = hall(&door, &stop);
        tasks.push(tokio::spawn(accept(
            listener,
            hall,
            move |peer, pulse| {
                let service = edge::for_connection(gateway.clone(), Some(peer), pulse);
                TowerToHyperService::new(service)
            },
            move |peer, error| {
                let (log, now) = (log.clone(), clock.now());
                async move {
                    log.write(|line| connection_line(line, now, Some(peer), &error))
                        .await
                }
            },
        )));
    }
    let watch = Watch::new(
        parts.ledger.clone(),
        parts.policies.clone(),
        Arc::clone(&parts.clock),
    );
    tasks.push(tokio::spawn(watch.follow(stop.clone())));
    let tells = match admin_address.ip().is_loopback() {
        true => Tells::All,
        false => Tells::Little,
    };
    let service = Admin::new(health.clone(), parts, tells);
    let stop_admin = CancellationToken::new();
    let mut admin_tasks = Vec::new();
    if let Some(socket) = bound.socket {
        let service = service.clone();
        let make = move |uid, pulse| of_operators(service.telling(Tells::Orders(uid)), pulse);
        let hall = hall(&Door::new(OPERATORS, OPERATORS, None), &stop_admin);
        let ignore = |peer, error| async move { tracing::debug!(?peer, error, "admin connection") };
        let (ledger, stop) = (parts.ledger.clone(), stop_admin.clone());
        admin_tasks.push(tokio::spawn(async move {
            let ours = async {
                if socket.is_live() {
                    ledger.ours().await;
                }
                socket.honoured().await
            };
            let socket = tokio::select! {
                socket = ours => socket,
                () = stop.cancelled() => return,
            };
            drop(ledger);
            accept(socket, hall, make, ignore).await;
        }));
    }
    let make = move |_, pulse| of_operators(service.clone(), pulse);
    let hall = hall(&Door::new(OPERATORS, OPERATORS, None), &stop_admin);
    let ignore = |peer, error| async move { tracing::debug!(%peer, error, "admin connection") };
    let accepting = accept(bound.admin, hall, make, ignore);
    admin_tasks.push(tokio::spawn(accepting));
    Ok(Running {
        callers,
        admin: admin_address,
        health,
        stop,
        stop_admin,
        tasks,
        admin_tasks,
        attempts: parts.tasks.clone(),
        settling,
        ledger: parts.ledger.clone(),
        log: parts.log.clone(),
    })
}

/// Serves one connection to its end, of somebody else's accepting and with no door in front, as [`start`] serves those of
/// its listeners: for connections in memory.
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

/// The operator's service of one connection.
fn of_operators(
    admin: Admin,
    pulse: Pulse,
) -> impl HyperService<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
{
    let service = service_fn(move |request| admin.call(request));
    TowerToHyperService::new(edge::paced(service, pulse))
}

/// Where connections go: who may come in, and what each is held to.
struct Hall {
    door: Door,
    metrics: Metrics,
    options: Options,
    stop: CancellationToken,
}

/// Accepts until told to stop, then waits for the connections, but not for ever.
async fn accept<L, M, H, R, F>(listener: L, hall: Hall, make: M, refused: R)
where
    L: Listen,
    M: Fn(L::Peer, Pulse) -> H,
    H: HyperService<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Send
        + 'static,
    H::Future: Send,
    R: Fn(L::Peer, String) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
    L::Peer: 'static,
{
    let Hall {
        door,
        metrics,
        options,
        stop,
    } = hall;
    let tasks = TaskTracker::new();
    let ends = Ends {
        stop: stop.clone(),
        cut: CancellationToken::new(),
    };
    let mut pause = Pause::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.next() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause.over();
                let now = Instant::now();
                // Who does not come in is closed here.
                let Some(entered) = door.enter(L::address(peer), now) else {
                    continue;
                };
                let pulse = Pulse::new(options.times, now);
                let service = make(peer, pulse.clone());
                let spawner = Spawner(tasks.clone());
                let ends = ends.clone();
                let served =
                    connection::serve(stream, service, spawner, pulse, options.streams, ends);
                let refused = refused.clone();
                tasks.spawn(async move {
                    if let Some(why) = served.await {
                        refused(peer, why).await;
                    }
                    drop(entered);
                });
            }
            Err(error) => {
                metrics.capacity().cannot_accept();
                let Some(pausing) = pause.after(&error) else {
                    continue;
                };
                // Out of descriptors, mostly: what is open goes on, and closes in time.
                if pause.is_said(Instant::now()) {
                    tracing::warn!(%error, "cannot accept connections, and tries again");
                }
                tokio::select! {
                    () = tokio::time::sleep(pausing) => {}
                    () = stop.cancelled() => break,
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain, and are cut");
    }
    // A request that is cut has its log line all the same: its task has ended when the log is closed.
    ends.cut.cancel();
    let _ = tokio::time::timeout(CUT, tasks.wait()).await;
}
