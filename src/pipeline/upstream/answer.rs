//! What of Devin's answer goes back: the headers of an allow-list, and the body until its time is over.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, EXPIRES, LAST_MODIFIED, LINK, LOCATION, RETRY_AFTER,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::counted::One;
use crate::body::{Body, BoxError, Until, WithoutTrailers};
use crate::problem::{ANSWERED_BY, SHOULD_RETRY};

/// What of Devin's headers goes to a caller. Framing is our own: two lengths of Devin's cannot become the caller's.
const RETURNED: [HeaderName; 17] = [
    ACCEPT_RANGES,
    AGE,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_RANGE,
    CONTENT_TYPE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    LINK,
    LOCATION,
    RETRY_AFTER,
    VARY,
    SHOULD_RETRY,
];

/// The answer as it goes back. Its body ends with an error at the deadline.
pub(super) fn returned(
    answer: Response<Incoming>,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    under_way: One,
) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let mut headers = HeaderMap::with_capacity(16);
    for (name, value) in &parts.headers {
        if RETURNED.contains(name) {
            headers.append(name, value.clone());
        }
    }
    headers.insert(ANSWERED_BY, HeaderValue::from_static("upstream"));
    let body = if http_body::Body::is_end_stream(&body) {
        crate::body::empty()
    } else {
        let body = UnderWay {
            inner: WithoutTrailers::new(body),
            _under_way: under_way,
        };
        Until::boxed(body, deadline, timer)
    };
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    response
}

/// A body whose request is under way until it is let go.
struct UnderWay {
    inner: WithoutTrailers<Incoming>,
    _under_way: One,
}

impl http_body::Body for UnderWay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
