//! Stage 2: the head is read ([`super::head`]), and the request gets its id, its trace and its clock.
//!
//! The id is always ours; a caller's own is logged beside it, so that no caller
//! can make two requests look like one.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

use super::edge::Arrival;
use super::head;
use crate::body::Body;
use crate::clock::Clock;
use crate::proxies::TrustedProxies;
use crate::rejection::Rejection;
use crate::trail::Trail;

/// A request with its trail.
#[derive(Debug)]
pub struct Traced {
    /// The request.
    pub request: Request<Body>,
    /// What its log line will say.
    pub trail: Arc<Trail>,
    /// Whether a request with such a head is served at all.
    pub head: Result<(), Rejection>,
}

/// Makes [`Trace`] services.
#[derive(Clone, Debug)]
pub struct TraceLayer {
    clock: Arc<dyn Clock>,
    proxies: TrustedProxies,
}

impl TraceLayer {
    /// With the time of day from `clock`; these proxies are believed for whom they ask.
    pub fn new(clock: Arc<dyn Clock>, proxies: TrustedProxies) -> Self {
        Self { clock, proxies }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace {
            clock: Arc::clone(&self.clock),
            proxies: self.proxies.clone(),
            inner,
        }
    }
}

/// Begins the trail.
#[derive(Clone, Debug)]
pub struct Trace<S> {
    clock: Arc<dyn Clock>,
    proxies: TrustedProxies,
    inner: S,
}

impl<S: Service<Traced>> Service<Arrival> for Trace<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, Arrival { mut request, peer }: Arrival) -> S::Future {
        // Before anything reads a header, the trail included.
        let head = head::take(&mut request);
        let client = peer.and_then(|it| self.proxies.client(it.ip(), request.headers()));
        let trail = Arc::new(Trail::begin(&request, peer, client, &*self.clock));
        self.inner.call(Traced {
            request,
            trail,
            head,
        })
    }
}
