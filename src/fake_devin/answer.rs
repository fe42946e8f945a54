//! An answer before faults and connection have their say on it.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::problem::Problem;

/// What a handler gives back.
pub(super) type Reply = Result<Answer, Problem>;

/// Status, headers and the whole body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// A body of the given media type.
    pub(super) fn new(status: StatusCode, media_type: &str, body: Bytes) -> Self {
        let answer = Self {
            status,
            headers: HeaderMap::new(),
            body,
        };
        answer.with_type(media_type)
    }

    /// No body at all.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A JSON body.
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string().into())
    }

    /// 200 with a JSON body: what nearly every call answers, creation included.
    pub(super) fn ok(body: &Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// Another media type.
    pub(super) fn with_type(self, media_type: &str) -> Self {
        self.with_header(&CONTENT_TYPE, media_type)
    }

    /// One more header; a value that cannot be a header is left out.
    pub(super) fn with_header(mut self, name: &HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}
