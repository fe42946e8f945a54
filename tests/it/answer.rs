//! An answer that a test has read whole, and what it expects of it.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Fails unless this is the gateway's own refusal with this status and code.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        let body = self.json();
        assert_eq!(
            body["type"],
            format!("/.tollgate/problems/{code}"),
            "{body}"
        );
        assert_eq!(body["status"], status);
        assert!(
            body["detail"].as_str().is_some_and(|it| it.len() > 20),
            "{body}"
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.header("tollgate-answered-by"), Some("gateway"));
        let instance = format!("urn:uuid:{}", self.header("x-request-id").unwrap());
        assert_eq!(body["instance"], instance);
        self
    }

    #[track_caller]
    pub(crate) fn is_upstream(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        assert_eq!(self.header("tollgate-answered-by"), Some("upstream"));
        self
    }
}
