//! Stage 3: one line per request, whatever becomes of it.
//!
//! The layer wraps everything below. A request first gets a slot in the log's
//! queue (back-pressure: a line that was begun is never dropped), and a guard
//! that writes the line when the answer's body has gone, or when the request is
//! dropped because its client left. Refusals, failures and panics come by here
//! as answers, since they become those one layer below. Where the line is
//! written, the request is counted.

mod output;
mod record;
mod sink;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::{Layer, Service};

use super::BoxFuture;
use super::credential::REQUEST_ID;
use super::trace::Traced;
use crate::body::{Body, BoxError, DeadlineExceeded};
use crate::metrics::Metrics;
use crate::trail::Trail;

pub use output::{MemoryLog, Output};
pub use record::{FORM, Outcome, connection_line};
pub use sink::{Sink, Slot};

/// Makes [`AccessLog`] services.
#[derive(Clone, Debug)]
pub struct AccessLogLayer {
    sink: Sink,
    metrics: Metrics,
}

impl AccessLogLayer {
    /// Writing to this sink, counting in these metrics.
    pub fn new(sink: Sink, metrics: Metrics) -> Self {
        Self { sink, metrics }
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog {
            sink: self.sink.clone(),
            metrics: self.metrics.clone(),
            inner,
        }
    }
}

/// Writes the line of each request.
#[derive(Clone, Debug)]
pub struct AccessLog<S> {
    sink: Sink,
    metrics: Metrics,
    inner: S,
}

impl<S> Service<Traced> for AccessLog<S>
where
    S: Service<Traced, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, traced: Traced) -> Self::Future {
        // The guard is made here and not in the future, which may be dropped before it is ever polled.
        let mut line = Line {
            trail: Arc::clone(&traced.trail),
            sink: self.sink.clone(),
            metrics: self.metrics.clone(),
            slot: self.sink.try_slot(),
            status: None,
            bytes_out: 0,
            outcome: Outcome::ClientGone,
        };
        if line.slot.is_some() {
            let answering = self.inner.call(traced);
            return Box::pin(async move { Ok(line.follow(answering.await?)) });
        }
        // The copy that was polled ready goes into the future; the fresh one stays here.
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            line.slot = Some(line.sink.slot().await);
            Ok(line.follow(ready.call(traced).await?))
        })
    }
}

/// The line of one request; written when this is dropped.
struct Line {
    trail: Arc<Trail>,
    sink: Sink,
    metrics: Metrics,
    slot: Option<Slot>,
    status: Option<u16>,
    bytes_out: u64,
    outcome: Outcome,
}

impl Line {
    /// Goes along with the answer to its end.
    fn follow(mut self, mut response: Response<Body>) -> Response<Body> {
        let id = self.trail.request_id_header.clone();
        response.headers_mut().insert(REQUEST_ID, id);
        self.status = Some(response.status().as_u16());
        response.map(|body| LoggedBody::new(body, self).boxed_unsync())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let duration = self.trail.started.elapsed();
        self.metrics
            .request(&self.trail, answered_by(&self.trail), duration);
        if let Some(slot) = self.slot.take().or_else(|| self.sink.extra_slot()) {
            slot.write(|line| {
                record::write(line, &self.trail, self.status, self.bytes_out, self.outcome)
            });
        }
    }
}

/// The answer's body; carries the line to its end.
struct LoggedBody {
    inner: Body,
    expected: Option<u64>,
    line: Line,
}

impl LoggedBody {
    fn new(inner: Body, mut line: Line) -> Self {
        let expected = inner.size_hint().exact();
        if inner.is_end_stream() || expected == Some(0) {
            line.outcome = Outcome::Complete;
        }
        Self {
            inner,
            expected,
            line,
        }
    }
}

impl http_body::Body for LoggedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.line.bytes_out += frame.data_ref().map_or(0, Bytes::len) as u64;
                // A body of known length is not asked again after its last byte.
                if self.expected == Some(self.line.bytes_out) || self.inner.is_end_stream() {
                    self.line.outcome = Outcome::Complete;
                }
            }
            Some(Err(error)) => {
                self.line.outcome = if error.is::<DeadlineExceeded>() {
                    Outcome::TimedOut
                } else {
                    Outcome::UpstreamAborted
                };
                tracing::warn!(request_id = %self.line.trail.request_id, %error, "an answer broke off");
            }
            None => self.line.outcome = Outcome::Complete,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Which side spoke.
fn answered_by(trail: &Trail) -> &'static str {
    if trail.upstream_answered.load(Ordering::Relaxed) {
        "upstream"
    } else {
        "gateway"
    }
}
