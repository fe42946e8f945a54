//! Stage 2, inner half: which heads are served at all, and what nobody below sees of them. Pure.
//!
//! Read by `trace` before anything else reads a header, and refused by `problem`, so that such a request has its
//! line and its answer like any other. What hyper reads leniently is made harmless here without a second parser:
//! a head that another reader could frame or route otherwise is refused, and its connection ends. What belongs to
//! the connection (RFC 9110 section 7.6.1) goes no further, with whatever `Connection` names.

use std::net::Ipv6Addr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Version};

use crate::rejection::Rejection;

/// The most headers of a request.
pub const MAX_HEADERS: usize = 64;
/// The most bytes of all header names and values together.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;
/// The longest name of a host (RFC 1035 section 2.3.4), its port not counted.
const MAX_HOST: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What must not stand twice: two readers could each take another one.
const ONCE: [(HeaderName, &str); 6] = [
    (AUTHORIZATION, "`Authorization` stands more than once"),
    (
        PROXY_AUTHORIZATION,
        "`Proxy-Authorization` stands more than once",
    ),
    (HOST, "`Host` stands more than once"),
    (CONTENT_LENGTH, "`Content-Length` stands more than once"),
    (CONTENT_TYPE, "`Content-Type` stands more than once"),
    (IDEMPOTENCY_KEY, "`Idempotency-Key` stands more than once"),
];

/// What asks for another method than the request line's, which is the one that is judged.
const OVERRIDES: [&str; 3] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// What is about the connection, and no business of anybody's below.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Judges a head as it came, then takes off it what ends at this connection.
///
/// # Errors
/// The refusal. The head is clean all the same, since its log line is made of it.
pub fn take<B>(request: &mut Request<B>) -> Result<(), Rejection> {
    let judged = judge(request);
    strip(request.headers_mut());
    judged
}

fn judge<B>(request: &Request<B>) -> Result<(), Rejection> {
    let headers = request.headers();
    // Our limits are below the parser's, so that a head that is too large gets an answer with a reason.
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(Rejection::HeadersTooLarge);
    }
    // Where no name stands twice at all, none of these does.
    if headers.len() != headers.keys_len() {
        for (name, said) in &ONCE {
            if headers.get_all(name).iter().nth(1).is_some() {
                return Err(Rejection::Header(said));
            }
        }
    }
    for name in headers.keys() {
        let name = name.as_str();
        // CGI and its heirs read `a_b` and `a-b` as one name.
        if name.contains('_') {
            return Err(Rejection::Header("A header's name has an underscore"));
        }
        if OVERRIDES.contains(&name) {
            return Err(Rejection::Header(
                "The method is that of the request line, and cannot be overridden",
            ));
        }
    }
    judge_framing(request)?;
    judge_host(request)?;
    if headers.contains_key(UPGRADE) {
        return Err(Rejection::Header("`Upgrade` is not served"));
    }
    let is_known = |it: &HeaderValue| it.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !headers.get_all(EXPECT).iter().all(is_known) {
        return Err(Rejection::ExpectationFailed);
    }
    Ok(())
}

/// Only what every reader frames alike: one length, or one `chunked` (RFC 9112 section 6).
fn judge_framing<B>(request: &Request<B>) -> Result<(), Rejection> {
    let headers = request.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() {
            return Err(Rejection::Header(
                "`Transfer-Encoding` stands more than once",
            ));
        }
        let coding = coding.as_bytes();
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(match names_another_coding(coding) {
                true => Rejection::TransferCoding,
                false => Rejection::Header("`Transfer-Encoding` is not plainly `chunked`"),
            });
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(Rejection::Header(
                "`Content-Length` and `Transfer-Encoding` stand together",
            ));
        }
    }
    // A body without a length is none to one reader, and lasts until the end to another (RFC 1945 section 7.2.2).
    let method = request.method();
    let has_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    if request.version() < Version::HTTP_11 && has_body && !headers.contains_key(CONTENT_LENGTH) {
        return Err(Rejection::LengthRequired);
    }
    Ok(())
}

/// Whether a coding that HTTP knows stands before `chunked`: that is well said, and not served.
fn names_another_coding(coding: &[u8]) -> bool {
    let known: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
    coding.split(|it| *it == b',').any(|it| {
        known
            .iter()
            .any(|known| it.trim_ascii().eq_ignore_ascii_case(known))
    })
}

/// One name for where the request was sent, although nothing is decided by it: what goes on has the pinned one.
fn judge_host<B>(request: &Request<B>) -> Result<(), Rejection> {
    let host = request.headers().get(HOST);
    if host.is_some_and(|it| !is_host(it.as_bytes())) {
        return Err(Rejection::Header("`Host` is no host"));
    }
    if request.version() < Version::HTTP_2 {
        // Before HTTP/1.1 there was none (RFC 9112 section 3.2).
        let is_missing = host.is_none() && request.version() == Version::HTTP_11;
        return match is_missing {
            true => Err(Rejection::Header("`Host` is missing")),
            false => Ok(()),
        };
    }
    let authority = request.uri().authority().map(|it| it.as_str().as_bytes());
    match (authority, host.map(HeaderValue::as_bytes)) {
        (None, None) => Err(Rejection::Header("`:authority` and `Host` are missing")),
        (Some(authority), _) if !is_host(authority) => {
            Err(Rejection::Header("`:authority` is no host"))
        }
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(Rejection::Header("`:authority` and `Host` differ"))
        }
        (Some(_), _) | (None, Some(_)) => Ok(()),
    }
}

/// Whether this is a host and perhaps a port (RFC 3986 section 3.2), and nothing else: no user, no path.
fn is_host(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let (is_name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let is_plain = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
            let fits = (1..=MAX_HOST).contains(&name.len()) && name.bytes().all(is_plain);
            (fits, port)
        }
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => {
            digits.bytes().all(|it| it.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    is_name && is_port
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|it| *it == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    // hyper has read `Expect` already, and acts on it: who asks below must see what hyper saw.
    for name in named.iter().filter(|name| **name != EXPECT) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(version: Version, headers: &[(&str, &str)]) -> (Result<(), Rejection>, HeaderMap) {
        let mut request = Request::builder().version(version).method(Method::GET);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        let judged = take(&mut request);
        (judged, request.into_parts().0.headers)
    }

    #[test]
    fn h6_a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for good in [
            "a",
            "a.b:80",
            "tollgate_1:8080",
            "127.0.0.1",
            "[::1]",
            "[::1]:443",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "",
            " ",
            "u@a",
            "a b",
            "a/b",
            "a:b",
            "a:",
            "a:99999",
            "a:80:80",
            "[::1",
            "[x]",
            "a,b",
            "a:+1",
            "ü",
            "http://a",
            "?",
            "a#b",
            long.as_str(),
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn h1_what_belongs_to_the_connection_goes_with_what_it_names() {
        let (judged, left) = taken(
            Version::HTTP_11,
            &[
                ("host", "x"),
                ("connection", "X-Request-Id , close,,\"bad\""),
                ("connection", "accept"),
                ("x-request-id", "1"),
                ("accept", "*/*"),
                ("te", "trailers"),
                ("keep-alive", "timeout=5"),
                ("proxy-authorization", "Basic x"),
                ("user-agent", "me"),
            ],
        );
        assert!(judged.is_ok());
        let names: Vec<&str> = left.keys().map(HeaderName::as_str).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(left.contains_key("host") && left.contains_key("user-agent"));
    }

    proptest! {
        #[test]
        fn h1_h6_nothing_is_left_of_what_is_named_nor_a_host_that_is_more(
            named in "[a-z, -]{0,40}",
            host in "[a-z0-9.:@/ \\[\\]%?#_-]{0,12}",
        ) {
            let others: Vec<String> = named.split(',').map(|it| it.trim().to_owned()).collect();
            let mut headers = vec![("host", host.as_str()), ("connection", named.as_str())];
            let is_name = |it: &&String| HeaderName::from_bytes(it.as_bytes()).is_ok();
            let names = others.iter().filter(is_name);
            headers.extend(names.map(|it| (it.as_str(), "100-continue")));
            let (judged, left) = taken(Version::HTTP_11, &headers);
            for name in others.iter().filter(is_name).filter(|it| *it != "expect") {
                prop_assert!(!left.contains_key(name.as_str()), "{name}");
            }
            prop_assert!(!left.contains_key("connection"));
            if judged.is_ok() {
                let uri: http::Uri = format!("http://{host}/").parse().unwrap();
                let read = uri.authority().unwrap();
                prop_assert_eq!(read.as_str(), host.as_str());
                prop_assert!(!host.contains(['@', '/', ' ', '?', '#', '%']));
            }
        }
    }

    #[test]
    fn f4_a_transfer_encoding_is_one_chunked_and_nothing_else() {
        let judged = |values: &[&str]| {
            let mut headers = vec![("host", "x")];
            headers.extend(values.iter().map(|it| ("transfer-encoding", *it)));
            taken(Version::HTTP_11, &headers).0
        };
        assert!(judged(&["chunked"]).is_ok() && judged(&["Chunked"]).is_ok());
        for bad in [
            ",chunked",
            "chunked,",
            "x chunked",
            "identity",
            "\"chunked\"",
            "chunked;q=1",
            "",
        ] {
            assert!(matches!(judged(&[bad]), Err(Rejection::Header(_))), "{bad}");
        }
        assert!(matches!(
            judged(&["chunked", "chunked"]),
            Err(Rejection::Header(_))
        ));
        assert!(matches!(
            judged(&["gzip, chunked"]),
            Err(Rejection::TransferCoding)
        ));
    }
}
