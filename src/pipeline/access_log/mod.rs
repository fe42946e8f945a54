//! Stage 3: one line per request, whatever becomes of it.
//!
//! The layer wraps everything below. A request first gets a slot in the log's
//! queue (back-pressure: a line that was begun is never dropped), and a guard
//! that writes the line when the answer's body has gone, or when the request is
//! dropped because its client left (and then not before what runs on without a
//! client has ended). Refusals, failures and panics come by here
//! as answers, since they become those one layer below. Where the line is
//! written, the request is counted.

mod output;
mod record;
mod sink;

use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
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
use sink::lock;

pub use output::{MemoryLog, Output};
pub use record::{FORM, Outcome, connection_line, own_line};
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
        let slot = self.sink.try_slot();
        let waiting = match slot {
            Some(_) => None,
            None => self.sink.may_wait(),
        };
        if slot.is_none() && waiting.is_none() {
            // It is refused for that (`admit`), with a line beside the queue.
            let _ = traced.trail.no_line.set(());
        }
        let line = Line::begin(&traced.trail, self, slot);
        let Some(waiting) = waiting else {
            let answering = self.inner.call(traced);
            return Box::pin(async move { Ok(line.follow(answering.await?)) });
        };
        // The copy that was polled ready goes into the future; the fresh one stays here.
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let slot = waiting.slot().await;
            *lock(&line.0.slot) = Some(slot);
            Ok(line.follow(ready.call(traced).await?))
        })
    }
}

/// The line of one request, as its answer knows it.
struct Line(Arc<Pending>);

/// A line that is written when nobody holds it any more: its answer, and what runs on without a client.
struct Pending {
    trail: Arc<Trail>,
    sink: Sink,
    metrics: Metrics,
    slot: Mutex<Option<Slot>>,
    /// 0 while there is none.
    status: AtomicU16,
    bytes_out: AtomicU64,
    outcome: Mutex<Outcome>,
}

impl Line {
    fn begin<S>(trail: &Arc<Trail>, log: &AccessLog<S>, slot: Option<Slot>) -> Self {
        let pending = Arc::new(Pending {
            trail: Arc::clone(trail),
            sink: log.sink.clone(),
            metrics: log.metrics.clone(),
            slot: Mutex::new(slot),
            status: AtomicU16::new(0),
            bytes_out: AtomicU64::new(0),
            outcome: Mutex::new(Outcome::ClientGone),
        });
        let weak: Weak<Pending> = Arc::downgrade(&pending);
        let weak: Weak<dyn Any + Send + Sync> = weak;
        let _ = trail.line.set(weak);
        Self(pending)
    }

    fn ends(&self, outcome: Outcome) {
        *lock(&self.0.outcome) = outcome;
    }

    /// Goes along with the answer to its end.
    fn follow(self, mut response: Response<Body>) -> Response<Body> {
        let id = self.0.trail.request_id_header.clone();
        response.headers_mut().insert(REQUEST_ID, id);
        let status = response.status().as_u16();
        self.0.status.store(status, Ordering::Relaxed);
        response.map(|body| LoggedBody::new(body, self).boxed_unsync())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let duration = self.trail.started.elapsed();
        self.metrics
            .request(&self.trail, answered_by(&self.trail), duration);
        let slot = lock(&self.slot).take().or_else(|| self.sink.extra_slot());
        let Some(slot) = slot else {
            return;
        };
        let status = Some(self.status.load(Ordering::Relaxed)).filter(|it| *it != 0);
        let bytes_out = self.bytes_out.load(Ordering::Relaxed);
        let outcome = *lock(&self.outcome);
        slot.write(|line| record::write(line, &self.trail, status, bytes_out, outcome));
    }
}

/// The answer's body; carries the line to its end.
struct LoggedBody {
    inner: Body,
    expected: Option<u64>,
    line: Line,
}

impl LoggedBody {
    fn new(inner: Body, line: Line) -> Self {
        let expected = inner.size_hint().exact();
        // What answers a `HEAD` says a length and has no body: nobody asks for it (RFC 9110 section 9.3.2).
        let has_none = line.0.trail.method == http::Method::HEAD;
        if has_none || inner.is_end_stream() || expected == Some(0) {
            line.ends(Outcome::Complete);
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
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let before = self.line.0.bytes_out.fetch_add(length, Ordering::Relaxed);
                // A body of known length is not asked again after its last byte.
                if self.expected == Some(before + length) || self.inner.is_end_stream() {
                    self.line.ends(Outcome::Complete);
                }
            }
            Some(Err(error)) => {
                self.line.ends(if error.is::<DeadlineExceeded>() {
                    Outcome::TimedOut
                } else {
                    Outcome::UpstreamAborted
                });
                tracing::warn!(request_id = %self.line.0.trail.request_id, %error, "an answer broke off");
            }
            None => self.line.ends(Outcome::Complete),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::document::Report;
    use crate::policy::{PolicyFiles, compile};
    use crate::ruleset::Current;
    use http::Request;
    use std::task::Waker;
    use tower::ServiceExt;

    #[tokio::test]
    async fn r10_while_the_log_stands_still_so_many_wait_and_the_others_are_told() {
        let mut report = Report::default();
        let files = PolicyFiles::from_texts([("t.yaml", "team: t\n")], &mut report);
        let policies = Current::new(
            compile(&files, &[], &mut report).unwrap(),
            jiff::Timestamp::UNIX_EPOCH,
        );
        let memory = MemoryLog::default();
        let sink = Sink::open(Output::Memory(memory.clone())).unwrap();
        let told = tower::service_fn(|traced: Traced| async move {
            let status = match traced.trail.no_line.get() {
                Some(()) => 503,
                None => 200,
            };
            let mut response = Response::new(crate::body::empty());
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            Ok(response)
        });
        let service = AccessLogLayer::new(sink.clone(), Metrics::new(policies)).layer(told);
        let ask = || {
            let request = Request::new(crate::body::empty());
            let trail = Trail::begin(&request, None, None, &SystemClock);
            service.clone().oneshot(Traced {
                request,
                trail: Arc::new(trail),
                head: Ok(()),
            })
        };
        assert_eq!(ask().await.unwrap().status(), 200);
        let taken: Vec<Slot> = std::iter::from_fn(|| sink.try_slot()).collect();
        let mut waiting = Vec::new();
        let refused = loop {
            let mut asked = Box::pin(ask());
            let mut cx = Context::from_waker(Waker::noop());
            match asked.as_mut().poll(&mut cx) {
                Poll::Pending => waiting.push(asked),
                Poll::Ready(answer) => break answer.unwrap(),
            }
        };
        assert_eq!((refused.status().as_u16(), waiting.len()), (503, 4_096));
        drop(refused);
        for slot in taken {
            slot.write(|_| ());
        }
        for asked in waiting {
            assert_eq!(asked.await.unwrap().status(), 200);
        }
        sink.flush();
        let text = memory.text();
        let refused = text.lines().filter(|it| it.contains("\"status\":503"));
        assert_eq!((refused.count(), text.lines().count()), (1, 4_098));
    }
}
