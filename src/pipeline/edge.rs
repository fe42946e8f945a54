//! Stage 1, inner half: the ring of tower-http layers around each connection.
//!
//! Only layers that make no answer of their own: they mark what is sensitive
//! before anything can print it, say on the answer that a gateway spoke, and end
//! the connections on which two readers could disagree where a request ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use futures_util::TryFutureExt;
use futures_util::future::{Either, MapOk};
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, PROXY_AUTHORIZATION, TRANSFER_ENCODING, VIA,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Request, Response, Version};
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

/// Ends an HTTP/1 connection after a request with a `Transfer-Encoding`, whatever becomes of it.
///
/// hyper hides a `Content-Length` that stood beside it: who reads by that one finds another end of the request, and a
/// second request behind it (F1). With an end to the connection there is no second one to anybody.
#[derive(Clone, Debug)]
struct OneChunked<S>(S);

impl<S, B> Service<Request<B>> for OneChunked<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, MapOk<S::Future, fn(Response<Body>) -> Response<Body>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let closes = request.version() < Version::HTTP_2
            && request.headers().contains_key(TRANSFER_ENCODING);
        let answering = self.0.call(request);
        match closes {
            true => Either::Right(answering.map_ok(close)),
            false => Either::Left(answering),
        }
    }
}

fn close(mut response: Response<Body>) -> Response<Body> {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}
