//! Stage 1, inner half: the ring of tower-http layers around each connection.
//!
//! Only layers that make no answer of their own: they mark what is sensitive
//! before anything can print it, say on the answer that a gateway spoke, and end
//! the connections on which two readers could disagree where a request ends. Each request tells the [`Pulse`] of its connection how it gets on.

mod bodies;
mod chunked;
mod pulse;
mod taken_back;

use std::convert::Infallible;
use std::net::SocketAddr;

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, COOKIE, PROXY_AUTHORIZATION, VIA,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use self::bodies::{Arriving, Leaving};
use self::chunked::OneChunked;
use super::BoxFuture;
use crate::body::{Body, WithoutTrailers};

pub use bodies::BodyLate;
pub use pulse::{Beat, Next, Over, Pulse};

/// A request as the stack takes it: with the other end of its connection.
#[derive(Debug)]
pub struct Arrival {
    /// The request.
    pub request: Request<Body>,
    /// The peer; none on a unix socket.
    pub peer: Option<SocketAddr>,
}

/// The service of one connection.
pub fn for_connection<S>(
    gateway: S,
    peer: Option<SocketAddr>,
    pulse: Pulse,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
where
    S: Service<Arrival, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    ServiceBuilder::new()
        .layer_fn(OneChunked)
        .layer(SetSensitiveRequestHeadersLayer::new([
            AUTHORIZATION,
            PROXY_AUTHORIZATION,
            COOKIE,
        ]))
        .layer(SetResponseHeaderLayer::appending(
            VIA,
            HeaderValue::from_static("1.1 tollgate"),
        ))
        // Whoever is between knows nothing of callers (U6); what may be kept, `share` keeps.
        .layer(SetResponseHeaderLayer::overriding(
            CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .service(paced(
            gateway.map_request(move |request| Arrival { request, peer }),
            pulse,
        ))
}

/// A service whose requests have their times, and tell their connection how they get on.
pub fn paced<S>(
    inner: S,
    pulse: Pulse,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    service_fn(move |request: Request<Incoming>| {
        let is_one = request.version() < Version::HTTP_2;
        let length = http_body::Body::size_hint(request.body()).exact();
        let mut beat = pulse.request(request.version(), length);
        let is_empty = http_body::Body::is_end_stream(request.body());
        let request = request.map(|body| {
            let body = WithoutTrailers::boxed(body);
            match is_empty {
                true => body,
                false => Arriving::new(body, pulse.clone(), Instant::now()).boxed_unsync(),
            }
        });
        // With its type named: the compiler does not see by itself that it can go to another thread.
        let answering: BoxFuture<Response<Body>, Infallible> =
            Box::pin(inner.clone().oneshot(request));
        async move {
            let mut answer = answering.await?;
            beat.answered();
            if is_one && beat.is_last() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok(answer.map(|body| Leaving::new(body, beat).boxed_unsync()))
        }
    })
}
