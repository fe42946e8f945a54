//! Stage 14: Devin, over a pool of connections, streaming both ways.
//!
//! One client for all callers: TLS is always verified, HTTP/1.1 and HTTP/2,
//! no redirect is followed, nothing is decompressed, no proxy variable is read,
//! and nothing is sent twice here: a POST that creates a session must not
//! depend on a library's reasoning about what had been written. What may be sent
//! again is decided around this, in `pressure`.
//!
//! Devin's headers come back through an allow-list too; its 401 is about our
//! token and never shown as if it were about the caller's.

mod answer;
mod connect;
mod failure;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::BoxFuture;
use super::credential::Outbound;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::rejection::Rejection;

use answer::returned;
pub use connect::{ClientBuildError, Connector};
pub(super) use failure::never_left;
use failure::{failed, watched};

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
    client: Arc<Client<C, Body>>,
    timeouts: Timeouts,
}

impl<C> Clone for Upstream<C> {
    fn clone(&self) -> Self {
        Self {
            client: Arc::clone(&self.client),
            timeouts: self.timeouts,
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
        let connector = Connector::new(extra, timeouts.connect)?;
        Ok(Self::over(connector, timeouts))
    }
}

impl<C> Upstream<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    /// Over connections of another's; it opens each within a time of its own.
    pub fn over(connector: C, timeouts: Timeouts) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(256)
            .set_host(true)
            .http1_max_buf_size(128 * 1024)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_max_header_list_size(64 * 1024)
            .build(connector);
        Self {
            client: Arc::new(client),
            timeouts,
        }
    }
}

impl<C> Service<Exchange<Outbound>> for Upstream<C>
where
    C: Connect + Clone + Send + Sync + 'static,
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
        let request = watched(request, &trail, &caller_broke_off);
        trail.attempt();
        let answer = self.client.request(request);
        let timeouts = self.timeouts;
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
                    return Err(Rejection::UpstreamTimeout {
                        phase: "no answer began in time",
                        may_have_acted: operation.mutates,
                    });
                }
            };
            let answer =
                answer.map_err(|error| failed(error, operation, caller_broke_off.get()))?;
            let _ = trail.upstream_head.set(started.elapsed());
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
            trail.upstream_answered.store(true, Ordering::Relaxed);
            Ok(returned(answer, over, timer))
        })
    }
}
