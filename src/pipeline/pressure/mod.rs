//! Around stage 14: when a request leaves for Devin, whether it is sent again, and whether it leaves at all.
//!
//! One for an upstream, around all that goes there: the callers' requests and the gateway's own. What is decided stands in
//! [`crate::pressure`]; here requests wait (`desk`), leave, and come back.
//!
//! **What is sent again.** A read (`GET` or `HEAD` of an operation that changes, spends and reveals nothing) without a body:
//! after a connection that failed or broke, a 502, 503, 504 or 429. Anything else only where no connection was had, so that
//! not a byte of it has left; its body comes back then (`lent`). All within the request's time, its wait and the retry budget.
//!
//! A 429 or 503 that is not sent again is the caller's to see, with Devin's own `Retry-After`; a 429 without one gets ours.

mod desk;
mod lent;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use super::credential::Outbound;
use super::upstream::never_left;
use super::{BoxFuture, take_ready};
use crate::body::{Body, empty};
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::metrics::Metrics;
use crate::pressure::retry_after::retry_after;
use crate::pressure::{Class, Options, Outcome};
use crate::problem::whole_seconds;
use crate::rejection::Rejection;
use crate::trail::Trail;
use desk::Desk;
use lent::{Lender, lend};

/// How often one request is sent at most.
pub const MOST_ATTEMPTS: u32 = 3;

/// Makes [`Pressured`] services, which share one queue.
#[derive(Clone, Debug)]
pub struct PressureLayer {
    desk: Arc<Desk>,
}

impl PressureLayer {
    /// With these settings. `total` is the time for a request, all its attempts together.
    pub fn new(
        options: &Options,
        metrics: &Metrics,
        clock: Arc<dyn Clock>,
        total: Duration,
    ) -> Self {
        Self {
            desk: Arc::new(Desk::new(options, metrics, clock, total)),
        }
    }

    /// How long a request may wait before it leaves; its time, `total`, begins then.
    pub(super) fn wait(&self) -> Duration {
        self.desk.wait()
    }

    /// For what is held for: refuses what could not leave anyway, before there is a hold.
    ///
    /// # Errors
    /// Devin is left alone, or has refused this class for longer than a request may wait.
    pub(super) fn foresee(&self, trail: &Trail, class: Class) -> Result<(), Rejection> {
        self.desk.foresee(trail, class)
    }

    /// How it stands now.
    pub fn seen(&self) -> Seen {
        self.desk.seen()
    }
}

/// How it stands, for operators.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Requests a second that may leave; none while nothing limits them.
    pub per_second: Option<f64>,
    /// What the breaker does: `closed`, `open` or `half-open`.
    pub breaker: &'static str,
    /// The classes that are in a pause, and for how long.
    pub paused: Vec<(&'static str, Duration)>,
}

impl<S> Layer<S> for PressureLayer {
    type Service = Pressured<S>;

    fn layer(&self, inner: S) -> Pressured<S> {
        Pressured {
            desk: Arc::clone(&self.desk),
            inner,
        }
    }
}

/// Sends requests when it is their turn.
#[derive(Clone, Debug)]
pub struct Pressured<S> {
    desk: Arc<Desk>,
    inner: S,
}

impl<S> Service<Exchange<Outbound>> for Pressured<S>
where
    S: Service<Exchange<Outbound>, Response = Response<Body>, Error = Rejection>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<Response<Body>, Rejection>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let ready = take_ready(&mut self.inner);
        Box::pin(send(Arc::clone(&self.desk), ready, exchange))
    }
}

/// How a request is sent, again and again.
struct Sending {
    desk: Arc<Desk>,
    class: Class,
    is_safe: bool,
    /// When its time is over, all its attempts together: it begins when the first one leaves, since what leaves with little
    /// time left may be carried out and never answered.
    deadline: Option<Instant>,
    /// How long it may wait in the queue, all its attempts together.
    wait: Duration,
}

async fn send<S>(
    desk: Arc<Desk>,
    mut ready: S,
    mut exchange: Exchange<Outbound>,
) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Outbound>, Response = Response<Body>, Error = Rejection>,
{
    let trail = Arc::clone(&exchange.trail);
    let row = exchange.proof.operation().row();
    let reads = matches!(*exchange.request.method(), Method::GET | Method::HEAD);
    let (mut could_retry, wait) = desk.begin(&trail);
    let mut sending = Sending {
        class: Class::of(row),
        is_safe: reads
            && Class::of(row) == Class::Reads
            && !row.reveals_once
            && http_body::Body::is_end_stream(exchange.request.body()),
        deadline: None,
        wait,
        desk,
    };
    let before = trail.queued.load(Ordering::Relaxed);
    let mut earlier: Option<Result<Response<Body>, Rejection>> = None;
    let mut attempt = 0_u32;
    loop {
        attempt = attempt.saturating_add(1);
        let waited = trail.queued.load(Ordering::Relaxed).saturating_sub(before);
        let left = sending.wait.saturating_sub(Duration::from_micros(waited));
        let until = (Instant::now() + left).min(sending.latest());
        let until = trail.given_up().map_or(until, |it| it.min(until));
        let ticket = sending.desk.enter(&trail, sending.class, until).await;
        let mut ticket = match ticket {
            Ok(ticket) => ticket,
            Err(rejection) => {
                if earlier.is_some() {
                    sending.desk.no_retry();
                }
                // What Devin said, or what was wrong with it, tells more than that it is not tried again.
                return earlier.unwrap_or(Err(rejection));
            }
        };
        if earlier.take().is_some() {
            trail.retries.fetch_add(1, Ordering::Relaxed);
            trail.upstream_answered.store(false, Ordering::Relaxed);
            sending.desk.sent_again();
        }
        let spare = (could_retry && attempt < MOST_ATTEMPTS).then(|| Spare::of(&mut exchange));
        ticket.leaves();
        let deadline = sending.begins();
        exchange = exchange.prove(|it| it.until(deadline));
        let answer = ready.ready().await?.call(exchange).await;
        let outcome = sending.outcome(&answer);
        ticket.ended(outcome);
        let again = spare.filter(|_| sending.is_sent_again(&answer));
        let Some(again) = again.and_then(|it| it.exchange(&trail)) else {
            return sending.told(answer);
        };
        let pause = sending.pause(&answer, outcome);
        let Some(pause) = pause.filter(|it| *it <= left) else {
            return sending.told(answer);
        };
        let Some(backoff) = sending.desk.retry(attempt) else {
            return sending.told(answer);
        };
        let pause = pause.max(backoff);
        if Instant::now() + pause >= sending.latest() {
            sending.desk.no_retry();
            return sending.told(answer);
        }
        earlier = Some(sending.told(answer));
        // A pause of the class is waited for in the queue, where it counts as waiting.
        tokio::time::sleep(backoff).await;
        if pause > backoff && sending.desk.paused_for(sending.class).is_none() {
            tokio::time::sleep(pause - backoff).await;
        }
        could_retry = true;
        exchange = again;
    }
}

impl Sending {
    /// When its time is over, from now on if it begins now.
    fn begins(&mut self) -> Instant {
        let total = self.desk.total;
        *self.deadline.get_or_insert_with(|| Instant::now() + total)
    }

    /// When it has to leave at the latest: what may act keeps half of its time for the answer.
    fn latest(&self) -> Instant {
        let needs = match self.is_safe {
            true => Duration::ZERO,
            false => self.desk.total / 2,
        };
        match self.deadline {
            Some(deadline) => deadline.checked_sub(needs).unwrap_or(deadline),
            None => Instant::now() + self.desk.total,
        }
    }

    fn outcome(&self, answer: &Result<Response<Body>, Rejection>) -> Outcome {
        let answer = match answer {
            Ok(answer) => answer,
            Err(
                Rejection::UpstreamUnreachable { .. }
                | Rejection::UpstreamInvalid { .. }
                | Rejection::UpstreamTimeout { .. },
            ) => return Outcome::Failed,
            Err(Rejection::UpstreamCredentialRejected) => return Outcome::Answered,
            // The caller's own doing, or ours.
            Err(_) => return Outcome::Gone,
        };
        match answer.status() {
            StatusCode::TOO_MANY_REQUESTS => Outcome::Refused {
                retry_after: retry_after(answer.headers(), self.desk.clock.now()),
            },
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Outcome::Failed,
            _ => Outcome::Answered,
        }
    }

    fn is_sent_again(&self, answer: &Result<Response<Body>, Rejection>) -> bool {
        match answer {
            Ok(answer) => {
                let heals = matches!(answer.status().as_u16(), 429 | 502 | 503 | 504);
                self.is_safe && heals
            }
            Err(rejection @ Rejection::UpstreamUnreachable { .. }) => {
                self.is_safe || never_left(rejection)
            }
            Err(rejection) => never_left(rejection),
        }
    }

    /// How long Devin wants to be left alone before; none if that is not to be waited for.
    fn pause(
        &self,
        answer: &Result<Response<Body>, Rejection>,
        outcome: Outcome,
    ) -> Option<Duration> {
        let said = match (answer, outcome) {
            (_, Outcome::Refused { .. }) => self.desk.paused_for(self.class),
            (Ok(answer), _) => retry_after(answer.headers(), self.desk.clock.now()),
            (Err(_), _) => None,
        };
        Some(said.unwrap_or_default())
    }

    /// What the caller gets: a 429 says how long to wait.
    fn told(
        &self,
        mut answer: Result<Response<Body>, Rejection>,
    ) -> Result<Response<Body>, Rejection> {
        if let Ok(answer) = &mut answer
            && answer.status() == StatusCode::TOO_MANY_REQUESTS
            && retry_after(answer.headers(), self.desk.clock.now()).is_none()
        {
            let pause = self.desk.paused_for(self.class).unwrap_or_default();
            let seconds = HeaderValue::from(whole_seconds(pause));
            answer.headers_mut().insert(RETRY_AFTER, seconds);
        }
        answer
    }
}

/// What a request is sent again from.
struct Spare {
    head: http::request::Parts,
    proof: Outbound,
    body: Option<Lender>,
}

impl Spare {
    /// Of a request that is about to leave.
    fn of(exchange: &mut Exchange<Outbound>) -> Self {
        let mut copy = Request::new(());
        *copy.method_mut() = exchange.request.method().clone();
        *copy.uri_mut() = exchange.request.uri().clone();
        *copy.version_mut() = exchange.request.version();
        *copy.headers_mut() = exchange.request.headers().clone();
        let body = exchange.request.body_mut();
        let lender = (!http_body::Body::is_end_stream(body)).then(|| {
            let (lent, lender) = lend(std::mem::replace(body, empty()));
            *body = lent;
            lender
        });
        Self {
            head: copy.into_parts().0,
            proof: exchange.proof.again(),
            body: lender,
        }
    }

    /// The request once more, if its body is still whole.
    fn exchange(self, trail: &Arc<Trail>) -> Option<Exchange<Outbound>> {
        let body = match self.body {
            Some(lender) => lender.back()?,
            None => empty(),
        };
        Some(Exchange {
            request: Request::from_parts(self.head, body),
            trail: Arc::clone(trail),
            proof: self.proof,
        })
    }
}
