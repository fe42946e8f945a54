//! Stage 1, inner half: the ring of tower-http layers around each connection.
//!
//! Only layers that make no answer of their own: they mark what is sensitive
//! before anything can print it, and say on the answer that a gateway spoke.

use std::convert::Infallible;
use std::net::SocketAddr;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, VIA, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::body::{Body, WithoutTrailers};

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
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
where
    S: Service<Arrival, Response = Response<Body>, Error = Infallible, Future: Send> + Clone,
{
    ServiceBuilder::new()
        .layer(SetSensitiveRequestHeadersLayer::new([
            AUTHORIZATION,
            PROXY_AUTHORIZATION,
            COOKIE,
        ]))
        .layer(SetResponseHeaderLayer::appending(
            VIA,
            HeaderValue::from_static("1.1 tollgate"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .service(
            gateway.map_request(move |request: Request<Incoming>| Arrival {
                request: request.map(WithoutTrailers::boxed),
                peer,
            }),
        )
}
