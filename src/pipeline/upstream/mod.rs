//! Stage 14: Devin, over a pool of connections, streaming both ways.
//!
//! One client for all callers: TLS is always verified, HTTP/1.1 and HTTP/2,
//! no redirect is followed, nothing is decompressed, no proxy variable is read,
//! and nothing is sent twice here: a POST that creates a session must not
//! depend on a library's reasoning about what had been written. What may be sent
//! again is decided around this, in `pressure`.
//!
//! Devin's headers come back through an allow-list too; its 401 is about our
//! token and never shown as if it were about the caller's. Where the token itself
//! comes back it is masked, so what is encoded, and cannot be looked through, is
//! neither asked for nor taken.

mod answer;
mod client;
mod connect;
mod counted;
mod echo;
mod failure;
mod masked;
mod proxy;
mod roots;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::BoxFuture;
use super::credential::Outbound;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::metrics::OfUpstream;
use crate::rejection::Rejection;

use answer::{is_encoded, returned};
#[cfg(test)]
use client::IDLE;
use client::builder;
pub use connect::{ClientBuildError, Connector, Resolver};
pub use counted::Dial;
use counted::{Born, Counting, One};
pub(super) use failure::never_left;
use failure::{failed, watched};
use masked::Lookout;
pub use proxy::Proxy;
pub use roots::Authorities;

/// How long a connection is used for new requests, however busy it is: then another one is opened, to where the host's
/// name leads by then.
const RENEW_AFTER: Duration = Duration::from_secs(5 * 60);

/// How long is waited for Devin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From a request's start to the head of its answer; not for operations that spend.
    pub first_byte: Duration,
    /// For everything, the answer's body included.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(60),
            total: Duration::from_secs(300),
        }
    }
}

/// The client, over connections of a [`Connector`], or of whatever else opens some.
#[derive(Debug)]
pub struct Upstream<C = Connector> {
    client: Arc<Client<Counting<C>, Body>>,
    timeouts: Timeouts,
    renew_after: Duration,
    counted: OfUpstream,
    lookout: Arc<Lookout>,
}

impl<C> Clone for Upstream<C> {
    fn clone(&self) -> Self {
        Self {
            client: Arc::clone(&self.client),
            timeouts: self.timeouts,
            renew_after: self.renew_after,
            counted: self.counted.clone(),
            lookout: Arc::clone(&self.lookout),
        }
    }
}

impl Upstream {
    /// Trusting the system's roots and `extra` ones.
    ///
    /// # Errors
    /// See [`ClientBuildError`].
    pub fn new(
        extra: &[CertificateDer<'static>],
        timeouts: Timeouts,
    ) -> Result<Self, ClientBuildError> {
        let connector = Connector::new(extra, timeouts.connect, None)?;
        Ok(Self::over(connector, timeouts))
    }
}

impl<C: Dial> Upstream<C> {
    /// Over connections of another's; it opens each within a time of its own.
    pub fn over(connector: C, timeouts: Timeouts) -> Self {
        let counted = OfUpstream::default();
        let dial = Counting::new(connector, counted.connections.clone());
        let client = builder().build(dial);
        Self {
            client: Arc::new(client),
            timeouts,
            renew_after: RENEW_AFTER,
            lookout: Arc::new(Lookout::new(counted.echoes.clone())),
            counted,
        }
    }

    /// The same, with connections that are used for new requests so long and no longer; else it is five minutes.
    #[must_use]
    pub fn renewing_after(mut self, renew_after: Duration) -> Self {
        self.renew_after = renew_after;
        self
    }

    /// What is counted of it.
    pub fn counted(&self) -> OfUpstream {
        self.counted.clone()
    }
}

impl<C> Service<Exchange<Outbound>> for Upstream<C>
where
    C: Dial,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<Response<Body>, Rejection>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        // The pool opens what it needs.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let Exchange {
            request,
            trail,
            proof,
        } = exchange;
        let operation = proof.operation().row();
        let caller_broke_off = Arc::new(OnceLock::new());
        let mut request = watched(request, &trail, &caller_broke_off);
        let connection = capture_connection(&mut request);
        trail.attempt();
        let authorization = request.headers().get(AUTHORIZATION);
        let look = self
            .lookout
            .of(authorization, trail.request_id, operation.id);
        let under_way = One::of(&self.counted.requests);
        let answer = self.client.request(request);
        let timeouts = self.timeouts;
        let renew_after = self.renew_after;
        let deadline = proof.deadline();
        Box::pin(async move {
            let started = Instant::now();
            let over = started + timeouts.total;
            let over = deadline.map_or(over, |it| it.min(over));
            let first_byte = if operation.spends.is_some() {
                timeouts.total
            } else {
                timeouts.first_byte.min(timeouts.total)
            };
            let mut timer = Box::pin(sleep_until(over.min(started + first_byte)));
            let answer = tokio::select! {
                biased;
                answer = answer => answer,
                () = &mut timer => {
                    // It may have gone silent, and others on it would wait until its keep-alive says so.
                    if let Some(connection) = &*connection.connection_metadata() {
                        connection.poison();
                    }
                    return Err(Rejection::UpstreamTimeout {
                        phase: "no answer began in time",
                        may_have_acted: operation.mutates,
                    });
                }
            };
            let answer =
                answer.map_err(|error| failed(error, operation, caller_broke_off.get()))?;
            let _ = trail.upstream_head.set(started.elapsed());
            let born = answer.extensions().get::<Born>();
            if born.is_some_and(|it| it.0.elapsed() >= renew_after)
                && let Some(connection) = &*connection.connection_metadata()
            {
                // What is under way on it ends as ever.
                connection.poison();
            }
            let status = answer.status().as_u16();
            trail.upstream_status.store(status, Ordering::Relaxed);
            if answer.status().is_informational() {
                return Err(Rejection::UpstreamInvalid {
                    source: "an answer that switches protocols, unasked".into(),
                    may_have_acted: operation.mutates,
                });
            }
            if answer.status() == StatusCode::UNAUTHORIZED {
                return Err(Rejection::UpstreamCredentialRejected);
            }
            if is_encoded(&answer) {
                return Err(Rejection::UpstreamInvalid {
                    source: "an answer that is encoded, unasked".into(),
                    may_have_acted: operation.mutates,
                });
            }
            trail.upstream_answered.store(true, Ordering::Relaxed);
            Ok(returned(answer, over, timer, look, under_way))
        })
    }
}
