//! What of Devin's answer goes back: the headers of an allow-list, and the body until its time is over.

use std::pin::Pin;

use http::header::{
    AGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, ETAG, EXPIRES, LAST_MODIFIED, LINK, LOCATION,
    RETRY_AFTER, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::counted::One;
use super::masked::{Look, Masked};
use crate::body::{Body, Until};
use crate::problem::{ANSWERED_BY, SHOULD_RETRY};

/// What of Devin's headers goes to a caller. Framing is our own: two lengths of Devin's cannot become the caller's.
const RETURNED: [HeaderName; 15] = [
    AGE,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
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

/// Whether it has a body that cannot be looked through: nothing is decompressed, and only the body as it is was asked for.
pub(super) fn is_encoded(answer: &Response<Incoming>) -> bool {
    let is_other = |name: HeaderName, plain: &str| {
        let mut values = answer.headers().get_all(name).into_iter();
        values.any(|it| !it.as_bytes().eq_ignore_ascii_case(plain.as_bytes()))
    };
    !http_body::Body::is_end_stream(answer.body())
        && (is_other(CONTENT_ENCODING, "identity") || is_other(TRANSFER_ENCODING, "chunked"))
}

/// The answer as it goes back. Its body ends with an error at the deadline.
pub(super) fn returned(
    answer: Response<Incoming>,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    mut look: Look,
    under_way: One,
) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let mut headers = HeaderMap::with_capacity(16);
    for (name, value) in &parts.headers {
        if RETURNED.contains(name)
            && let Some(value) = look.header(name, value)
        {
            headers.append(name, value);
        }
    }
    headers.insert(ANSWERED_BY, HeaderValue::from_static("upstream"));
    if !http_body::Body::is_end_stream(&body) && !is_json_of_any_kind(&headers) {
        is_no_page(&mut headers);
    }
    let body = if http_body::Body::is_end_stream(&body) {
        crate::body::empty()
    } else {
        let body = Masked::new(body, look, under_way);
        Until::boxed(body, deadline, timer)
    };
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    response
}

/// Whether no browser takes it for a page.
fn is_json_of_any_kind(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = kind
        .and_then(|it| it.split(';').next())
        .unwrap_or("")
        .trim();
    let subtype = kind.split_once('/').map(|(_, subtype)| subtype);
    subtype.is_some_and(|it| {
        let it = it.to_ascii_lowercase();
        it == "json" || it.ends_with("+json")
    })
}

/// What is not JSON may be a caller's own file, or a page that came instead of an answer. A browser saves it, and runs
/// nothing of it in the gateway's name (U11); what it is called stays.
fn is_no_page(headers: &mut HeaderMap) {
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    let said = headers.get(CONTENT_DISPOSITION);
    let said = said.map_or(&b""[..], HeaderValue::as_bytes);
    let rest = said.iter().position(|it| *it == b';');
    let rest = rest.and_then(|at| said.get(at..)).unwrap_or(b"");
    let disposition = HeaderValue::from_bytes(&[b"attachment", rest].concat());
    let disposition = disposition.unwrap_or(HeaderValue::from_static("attachment"));
    headers.insert(CONTENT_DISPOSITION, disposition);
}
