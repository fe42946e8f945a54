//! Answers of Devin's in which the service token stood: masked as they go by, counted, and told of.
//!
//! Below everything that keeps or shares answers, so that nothing keeps one that is not masked. What is found is said in
//! the process's own log once a minute at most: a token that comes back may have been seen by others, and is to be renewed.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;
use uuid::Uuid;

use super::counted::One;
use super::echo::{Needles, Scan};
use crate::body::{BoxError, WithoutTrailers};

/// From one line to the next.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Counts such answers, and tells of them; one for all requests of a client.
pub(super) struct Lookout {
    /// What is looked for, of the token that the last request carried.
    latest: ArcSwapOption<(HeaderValue, Arc<Needles>)>,
    counter: Counter,
    said: Mutex<Said>,
}

/// When it was last said, and how many were found since.
#[derive(Debug, Default)]
struct Said {
    at: Option<Instant>,
    unsaid: u64,
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookout")
    }
}

impl Lookout {
    /// Nothing found yet.
    pub(super) fn new(counter: Counter) -> Self {
        Self {
            latest: ArcSwapOption::empty(),
            counter,
            said: Mutex::default(),
        }
    }

    /// Looks for the token of a request in its answer.
    pub(super) fn of(
        self: &Arc<Self>,
        authorization: Option<&HeaderValue>,
        request_id: Uuid,
        operation: &'static str,
    ) -> Look {
        Look {
            needles: authorization.map_or_else(Arc::default, |it| self.needles(it)),
            lookout: Arc::clone(self),
            request_id,
            operation,
            is_told: false,
        }
    }

    fn needles(&self, authorization: &HeaderValue) -> Arc<Needles> {
        let latest = self.latest.load();
        if let Some(latest) = &*latest
            && latest.0 == authorization
        {
            return Arc::clone(&latest.1);
        }
        let needles = Arc::new(Needles::of(authorization));
        let latest = (authorization.clone(), Arc::clone(&needles));
        self.latest.store(Some(Arc::new(latest)));
        needles
    }

    fn found(&self, request_id: Uuid, operation: &str, place: &str) {
        self.counter.inc();
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.unsaid = said.unsaid.saturating_add(1);
        if said.at.is_some_and(|at| now < at + SAID_EVERY) {
            return;
        }
        said.at = Some(now);
        let answers = std::mem::take(&mut said.unsaid);
        drop(said);
        tracing::error!(
            %request_id,
            operation,
            place,
            answers,
            "the service token stood in an answer of Devin's, and was masked: renew it, and find out what sends it back"
        );
    }
}

/// Looks for the token in one answer.
pub(super) struct Look {
    needles: Arc<Needles>,
    lookout: Arc<Lookout>,
    request_id: Uuid,
    operation: &'static str,
    is_told: bool,
}

impl Look {
    fn found(&mut self, place: &str) {
        // Once for an answer.
        if !std::mem::replace(&mut self.is_told, true) {
            self.lookout.found(self.request_id, self.operation, place);
        }
    }

    /// The value of a header as it may go on.
    pub(super) fn header(&mut self, name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
        let Some(masked) = self.needles.masked(value.as_bytes()) else {
            return Some(value.clone());
        };
        self.found(name.as_str());
        HeaderValue::from_bytes(&masked).ok()
    }
}

/// Devin's answer as it may go on; its request is under way until it is let go.
pub(super) struct Masked {
    inner: WithoutTrailers<Incoming>,
    scan: Scan,
    look: Look,
    _under_way: One,
}

impl Masked {
    /// Of this body.
    pub(super) fn new(inner: Incoming, look: Look, under_way: One) -> Self {
        Self {
            inner: WithoutTrailers::new(inner),
            scan: Scan::default(),
            look,
            _under_way: under_way,
        }
    }
}

impl http_body::Body for Masked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let rest = this.scan.end();
                    return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))));
                }
            };
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            let is_last = this.inner.is_end_stream();
            let passed = this.scan.push(&this.look.needles, piece, is_last);
            if passed.masked {
                this.look.found("body");
            }
            // All of a small piece may be held.
            if !passed.bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(passed.bytes))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.scan.held() == 0
    }

    fn size_hint(&self) -> SizeHint {
        let held = u64::try_from(self.scan.held()).unwrap_or(u64::MAX);
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint.set_lower(inner.lower().saturating_add(held));
        hint
    }
}
