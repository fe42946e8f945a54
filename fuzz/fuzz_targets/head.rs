//! Heads: what is served has one length or one `chunked`, one host and one of each credential, and nothing of the
//! connection's is left of any, served or not.
//!
//! An input is a request line, and below it one header a line, each ended by LF alone. What the parser would not make a
//! head of is no input.

#![no_main]

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use libfuzzer_sys::{Corpus, fuzz_target};
use tollgate::pipeline::head::{MAX_HEADER_BYTES, MAX_HEADERS, take};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(mut request) = head(input) else {
        return Corpus::Reject;
    };
    let came = request.headers().clone();
    let judged = take(&mut request);
    ends_here(&came, request.headers());
    if judged.is_ok() {
        has_one_reading(&request, &came);
    }
    Corpus::Keep
});

/// What the bytes are a head of.
fn head(input: &[u8]) -> Option<Request<()>> {
    let mut lines = input.split(|it| *it == b'\n');
    let mut words = lines.next()?.splitn(3, |it| *it == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let version = match version {
        b"0" => Version::HTTP_10,
        b"1" => Version::HTTP_11,
        b"2" => Version::HTTP_2,
        _ => return None,
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(target).ok()?;
    *request.version_mut() = version;
    for line in lines {
        let colon = line.iter().position(|it| *it == b':')?;
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
        request.headers_mut().try_append(name, value).ok()?;
    }
    Some(request)
}

/// Nothing is left of what belongs to the connection, and nothing else is missing.
fn ends_here(came: &HeaderMap, left: &HeaderMap) {
    let mut dropped: HashSet<String> = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    ]
    .map(str::to_owned)
    .into();
    for value in came.get_all("connection") {
        let named = value.as_bytes().split(|it| *it == b',');
        let named = named.map(|it| it.trim_ascii().to_ascii_lowercase());
        dropped.extend(named.filter_map(|it| String::from_utf8(it).ok()));
    }
    dropped.remove("expect");
    for name in came.keys() {
        let is_dropped = dropped.contains(name.as_str());
        assert_eq!(left.contains_key(name), !is_dropped, "{name}");
    }
}

/// What no two readers read in two ways, told by the head as it came.
fn has_one_reading(request: &Request<()>, came: &HeaderMap) {
    let all = |name: &str| -> Vec<&HeaderValue> { came.get_all(name).iter().collect() };
    for name in [
        "authorization",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
    ] {
        assert!(all(name).len() <= 1, "{name} stands twice");
    }
    let codings = all("transfer-encoding");
    assert!(codings.len() <= 1 && (codings.is_empty() || all("content-length").is_empty()));
    assert!(
        codings
            .iter()
            .all(|it| it.as_bytes().eq_ignore_ascii_case(b"chunked"))
    );
    assert!(all("upgrade").is_empty());
    assert!(
        all("expect")
            .iter()
            .all(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    );
    assert!(came.keys().all(|it| !it.as_str().contains('_')));
    let bytes: usize = came
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    assert!(came.len() <= MAX_HEADERS && bytes <= MAX_HEADER_BYTES);
    let host = all("host").first().map(|it| it.as_bytes().to_vec());
    let authority = request.uri().authority();
    if let Some(host) = &host {
        let host = std::str::from_utf8(host).expect("a host is ASCII");
        let uri: Uri = format!("http://{host}/v3")
            .parse()
            .expect("a host makes a URL");
        assert_eq!(uri.authority().map(|it| it.as_str()), Some(host));
        assert_eq!(uri.path(), "/v3");
        assert!(!host.contains(['@', '/', '\\', ',', '%']));
    }
    match request.version() {
        Version::HTTP_11 => assert!(host.is_some()),
        Version::HTTP_2 => {
            let named = authority.map(|it| it.as_str().as_bytes());
            assert!(host.is_some() || named.is_some());
            if let (Some(host), Some(named)) = (&host, named) {
                assert!(named.eq_ignore_ascii_case(host));
            }
        }
        _ => {}
    }
}
