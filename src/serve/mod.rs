//! Stage 1: listeners, connections, and the life of the process around them.
//!
//! [`bind`] takes or opens the sockets; [`start`] serves them and returns; [`Running`] is the way to stop. A connection
//! is served by hyper with bounds on time and size; what hyper's parser refuses gets its empty answer and one log line
//! of `kind: connection`.
//!
//! Deliberately absent: a second HTTP parser in front of hyper. Two parsers that
//! disagree are the hole, not the cure.

mod accept;
mod bind;
mod connection;
pub mod descriptors;
mod door;
mod hardening;
mod inherited;
mod lines;
mod one;
mod port;
mod signals;
mod socket;
mod systemd;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer, Service};

use crate::admin::{Admin, Health, Tells};
use crate::alerts::Watch;
use crate::body::{Body, BoxError};
use crate::exchange::Exchange;
use crate::ledger::Ledger;
use crate::pipeline::access_log::Sink;
use crate::pipeline::credential::Outbound;
use crate::rejection::Rejection;
use crate::settle::Reconciler;
use crate::{Parts, gateway};
use accept::{Hall, accept};
use door::Door;
use port::{Callers, Operators, Orders};

pub use bind::{BindError, Bound, BoundAdmin, BoundListener, Listener, bind};
pub use hardening::harden;
pub use inherited::{Inherited, InheritedError};
pub use one::one;
pub use signals::{StopSignals, hangups, reopen_log_on_signal};
pub use systemd::Systemd;
pub use tls::{CertificateFiles, Tls, TlsError};

/// How long the tasks of connections that were cut at the end of the drain may take to end.
const CUT: Duration = Duration::from_secs(2);
/// Connections to the operator's port, and to the socket for orders.
const OPERATORS: usize = 256;

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
    /// Ends the reconciler.
    stop_settling: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    admin_tasks: Vec<JoinHandle<()>>,
    /// Requests that run on without their clients.
    attempts: TaskTracker,
    settling: Option<JoinHandle<()>>,
    ledger: Ledger,
    log: Sink,
    drain: Duration,
}

impl Running {
    /// How long requests in flight may take after the process was told to stop.
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// Stops: readiness off, listeners closed, requests in flight finished, no new holds, the log written to its end.
    ///
    /// The ledger's lock is let go by the end of the process and no sooner: what was given up here could still be sent,
    /// and the next process must not look for it before that.
    ///
    /// # Errors
    /// The log takes nothing, and its last lines are lost.
    pub async fn stop(self) -> Result<(), BoxError> {
        self.health.stopping();
        self.stop.cancel();
        let until = Instant::now() + self.drain + CUT;
        for task in self.tasks {
            let _ = task.await;
        }
        // Only now: what was accepted is served, and the next process has the ledger soon enough.
        self.ledger.retire();
        // And until now: what waits for the ledger waits for what the reconciler asks Devin first.
        self.stop_settling.cancel();
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
    let stop_settling = CancellationToken::new();
    // Once around everything: Devin's rate is one for the callers and the reconciler.
    let upstream = parts.pressure.layer(upstream);
    let health = Health::new(parts);
    let admin_address = bound.admin.socket.local_addr()?;
    let mut callers = Vec::new();
    let mut tasks = Vec::new();
    let settling = parts.times.map(|times| {
        let reconciler = Reconciler::new(parts, upstream.clone(), times);
        tokio::spawn(reconciler.follow(stop_settling.clone()))
    });
    let gateway = gateway(parts, upstream);
    let options = &parts.capacity;
    let hall = |door: Door, stop: &CancellationToken| Hall {
        door,
        metrics: parts.metrics.clone(),
        options: options.clone(),
        stop: stop.clone(),
    };
    let door = Door::of_callers(options, Some(parts.metrics.clone()));
    for listener in bound.callers {
        callers.push(listener.socket.local_addr()?);
        let port = Callers {
            gateway: gateway.clone(),
            log: parts.log.clone(),
            clock: Arc::clone(&parts.clock),
            metrics: parts.metrics.clone(),
            tls: listener.tls,
            handshake: options.times.handshake,
        };
        let accepting = accept(listener.socket, hall(door.clone(), &stop), port);
        tasks.push(tokio::spawn(accepting));
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
    let admin = Admin::new(health.clone(), parts, tells);
    let stop_admin = CancellationToken::new();
    let door = || Door::new(OPERATORS);
    let mut admin_tasks = Vec::new();
    if let Some(socket) = bound.socket {
        let port = Orders(admin.clone());
        let hall = hall(door(), &stop_admin);
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
            accept(socket, hall, port).await;
        }));
    }
    let until = match bound.admin.is_shared {
        true => &stop,
        false => &stop_admin,
    };
    let accepting = accept(bound.admin.socket, hall(door(), until), Operators(admin));
    admin_tasks.push(tokio::spawn(accepting));
    Ok(Running {
        callers,
        admin: admin_address,
        health,
        stop,
        stop_admin,
        stop_settling,
        tasks,
        admin_tasks,
        attempts: parts.tasks.clone(),
        settling,
        ledger: parts.ledger.clone(),
        log: parts.log.clone(),
        drain: options.times.drain,
    })
}
