//! What of Devin's answer goes back: the headers of an allow-list, and the body until its time is over.

use std::pin::Pin;

use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, EXPIRES, LAST_MODIFIED, LINK, LOCATION, RETRY_AFTER,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::body::{Body, Until, WithoutTrailers};
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
        Until::boxed(WithoutTrailers::new(body), deadline, timer)
    };
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    response
}
