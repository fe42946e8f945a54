//! One page of a list: asked for whole and plain, read to its end, and what is left of it answered.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::LengthLimitError;
use tower::{Service, ServiceExt};

use crate::body::{Body, BoxError, DeadlineExceeded, empty, full, is_json, read_whole};
use crate::exchange::Exchange;
use crate::pipeline::Funded;
use crate::problem::ANSWERED_BY;
use crate::rejection::Rejection;
use crate::trail::Trail;

/// The largest page that is read, in bytes.
pub const MAX_PAGE: usize = 4 * 1024 * 1024;

/// What of a caller's headers would make a page another thing than a whole list, or is about a body that is not sent.
const NOT_ASKED: [HeaderName; 7] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
];
/// What of a page's headers still holds for what is left of it.
const ANSWERED: [HeaderName; 3] = [CONTENT_TYPE, DATE, ANSWERED_BY];

/// The headers to ask for a whole page with; `credential` asks for a plain one.
pub(super) fn asked(headers: &HeaderMap) -> HeaderMap {
    let mut asked = headers.clone();
    for name in NOT_ASKED {
        asked.remove(name);
    }
    asked
}

/// Asks for one page, with a request of its own.
pub(super) async fn fetch<S>(
    inner: &mut S,
    headers: &HeaderMap,
    trail: &Arc<Trail>,
    proof: Funded,
) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>,
{
    // Method and target are the proof's.
    let mut request = Request::new(empty());
    *request.headers_mut() = headers.clone();
    let exchange = Exchange {
        request,
        trail: Arc::clone(trail),
        proof,
    };
    inner.ready().await?.call(exchange).await
}

/// Reads a page to its end, if it can be one.
pub(super) async fn read(page: Response<Body>) -> Result<(HeaderMap, Bytes), Rejection> {
    let (head, body) = page.into_parts();
    if head.status != StatusCode::OK {
        let status = head.status.as_u16();
        return Err(invalid(format!("a list with the status {status}")));
    }
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(invalid("a list that is encoded, unasked"));
    }
    if !is_json(&head.headers) {
        return Err(invalid("a list that does not say that it is JSON in UTF-8"));
    }
    match read_whole(body, MAX_PAGE).await {
        Ok(bytes) => Ok((head.headers, bytes)),
        Err(error) if error.is::<DeadlineExceeded>() => Err(late()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(invalid(format!("a page of more than {MAX_PAGE} bytes")))
        }
        Err(error) => Err(invalid(error)),
    }
}

pub(super) fn answered(head: &HeaderMap, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    let headers = response.headers_mut();
    for name in ANSWERED {
        if let Some(value) = head.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    // Another caller gets another answer for the same target.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Lists are only read, so nothing may have been carried out.
pub(super) fn invalid(source: impl Into<BoxError>) -> Rejection {
    Rejection::UpstreamInvalid {
        source: source.into(),
        may_have_acted: false,
    }
}

pub(super) fn late() -> Rejection {
    Rejection::UpstreamTimeout {
        phase: "the pages of a list did not come in time",
        may_have_acted: false,
    }
}
