//! What becomes of a connection after a request whose end two readers could see in two places.

use std::task::{Context, Poll};

use futures_util::TryFutureExt;
use futures_util::future::{Either, MapOk};
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, Version};
use tower::Service;

use crate::body::Body;

/// Ends an HTTP/1 connection after a request with a `Transfer-Encoding`, whatever becomes of it.
///
/// hyper hides a `Content-Length` that stood beside it: who reads by that one finds another end of the request, and a
/// second request behind it (F1). With an end to the connection there is no second one to anybody.
#[derive(Clone, Debug)]
pub(super) struct OneChunked<S>(pub(super) S);

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
