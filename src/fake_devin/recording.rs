//! Every request as it came in, for tests to look at afterwards.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use serde_json::{Value, json};

use super::ids::hex;

/// One request.
#[derive(Clone)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// Path and query byte for byte (the whole URL when the request line held one).
    pub target: String,
    /// The path, not decoded.
    pub path: String,
    /// What stood behind the question mark, not decoded.
    pub query: Option<String>,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// All headers in the order received; the values of a repeated name stand together.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body as far as it was received.
    pub body: Bytes,
    /// Whether the body was received to its end.
    pub finished: bool,
    /// The status answered, if an answer was begun.
    pub status: Option<u16>,
}

impl Recorded {
    /// The first value of a header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known.as_str().eq_ignore_ascii_case(name))?;
        value.to_str().ok()
    }

    /// How the control route shows it. A body that is not UTF-8 comes in hex besides.
    pub(super) fn view(&self) -> Value {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(name, value)| json!([name.as_str(), text(value.as_bytes())]))
            .collect();
        let body_hex = std::str::from_utf8(&self.body)
            .is_err()
            .then(|| hex(&self.body));
        json!({
            "method": self.method.as_str(),
            "target": self.target,
            "path": self.path,
            "query": self.query,
            "version": format!("{:?}", self.version),
            "headers": headers,
            "body": text(&self.body),
            "body_hex": body_hex,
            "finished": self.finished,
            "status": self.status,
        })
    }
}

impl fmt::Debug for Recorded {
    // Headers and body hold credentials; whoever wants them reads the fields.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Recorded")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("status", &self.status)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

/// A recording that its request still adds to.
#[derive(Debug, Clone)]
pub(super) struct Recording(Arc<Mutex<Partial>>);

#[derive(Debug)]
struct Partial {
    head: Recorded,
    body: BytesMut,
}

impl Recording {
    fn new(parts: &Parts) -> Self {
        let uri = &parts.uri;
        let whole = uri.scheme().is_some() && parts.version < Version::HTTP_2;
        let target = uri.path_and_query().map(|target| target.as_str());
        let head = Recorded {
            method: parts.method.clone(),
            target: match target {
                Some(target) if !whole => target.to_owned(),
                Some(_) | None => uri.to_string(),
            },
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
            version: parts.version,
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            body: Bytes::new(),
            finished: false,
            status: None,
        };
        Self(Arc::new(Mutex::new(Partial {
            head,
            body: BytesMut::new(),
        })))
    }

    fn partial(&self) -> MutexGuard<'_, Partial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More of the body has come in.
    pub(super) fn received(&self, chunk: &[u8]) {
        self.partial().body.extend_from_slice(chunk);
    }

    /// The body is complete; gives it back.
    pub(super) fn finish(&self) -> Bytes {
        let mut partial = self.partial();
        partial.head.finished = true;
        partial.head.body = partial.body.split().freeze();
        partial.head.body.clone()
    }

    /// The answer begins.
    pub(super) fn answered(&self, status: StatusCode) {
        self.partial().head.status = Some(status.as_u16());
    }

    fn snapshot(&self) -> Recorded {
        let partial = self.partial();
        let mut recorded = partial.head.clone();
        if !recorded.finished {
            recorded.body = Bytes::copy_from_slice(&partial.body);
        }
        recorded
    }
}

/// All recordings, up to a number of them.
#[derive(Debug)]
pub(super) struct Recordings {
    keep: usize,
    list: Mutex<VecDeque<Recording>>,
}

impl Recordings {
    pub(super) fn new(keep: usize) -> Self {
        Self {
            keep,
            list: Mutex::new(VecDeque::new()),
        }
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<Recording>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has arrived.
    pub(super) fn begin(&self, parts: &Parts) -> Recording {
        let recording = Recording::new(parts);
        let mut list = self.list();
        list.push_back(recording.clone());
        while list.len() > self.keep {
            list.pop_front();
        }
        recording
    }

    pub(super) fn all(&self) -> Vec<Recorded> {
        self.list().iter().map(Recording::snapshot).collect()
    }

    pub(super) fn clear(&self) {
        self.list().clear();
    }
}
