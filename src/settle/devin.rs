//! The reconciler's own requests to Devin: reads (and switching off what no budget has room for), with the shared token, within a share of Devin's rate.
//!
//! Each has its access-log line like a caller's, of the caller `(tollgate)`: what Devin sees is what the log says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT, VIA};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tower::Service;

use crate::body::{Body, BoxError, empty, full, read_whole};
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::pipeline::access_log::{Sink, own_line};
use crate::pipeline::credential::{Outbound, Pinned, REQUEST_ID};
use crate::rejection::Rejection;
use crate::token::ServiceToken;
use crate::trail::Trail;

/// The largest answer that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Why Devin could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// It answered with this status.
    #[error("Devin answered {0}")]
    Status(StatusCode),
    /// It answered nothing that can be read.
    #[error("{0}")]
    Unusable(BoxError),
    /// It could not be reached.
    #[error("{} ({})", .0.code().name(), .0.cause().unwrap_or_default())]
    Rejected(Rejection),
}

/// Whether Devin says by this that the token has no right to what was asked for, or that there is none.
pub(super) fn is_withheld(status: StatusCode) -> bool {
    matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
}

/// Whatever takes requests to Devin: the upstream stage.
pub trait ToDevin:
    Service<Exchange<Outbound>, Response = http::Response<Body>, Error = Rejection, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> ToDevin for S where
    S: Service<
            Exchange<Outbound>,
            Response = http::Response<Body>,
            Error = Rejection,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

/// Asks Devin, no faster than it may.
#[derive(Debug)]
pub(super) struct Devin<U> {
    pub(super) upstream: U,
    pub(super) token: ServiceToken,
    pub(super) pinned: Pinned,
    pub(super) log: Sink,
    pub(super) clock: Arc<dyn Clock>,
    /// The time between two requests.
    pub(super) pace: Duration,
    pub(super) next: Mutex<Instant>,
}

/// A target below the pinned host, from parts that are encoded.
pub(super) fn target(path: &[&str], query: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for part in path {
        text.push('/');
        text.extend(utf8_percent_encode(part, PART));
    }
    for (ix, (key, value)) in query.iter().enumerate() {
        text.push(if ix == 0 { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        text.extend(utf8_percent_encode(value, PART));
    }
    text
}

/// What stands for itself in a target (RFC 3986, unreserved).
const PART: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

impl<U> Devin<U>
where
    U: ToDevin,
{
    /// The body of a read's answer.
    pub(super) async fn get(&self, operation: &str, target: &str) -> Result<Bytes, AskError> {
        let outbound = Outbound::own(operation);
        self.ask(operation, outbound, Method::GET, target, empty())
            .await
    }

    /// Switches something off that spends by itself: the one change that is made here.
    pub(super) async fn disable(&self, operation: &str, target: &str) -> Result<Bytes, AskError> {
        let outbound = Outbound::disabling(operation);
        let body = full(Bytes::from_static(br#"{"enabled":false}"#));
        self.ask(operation, outbound, Method::PATCH, target, body)
            .await
    }

    async fn ask(
        &self,
        operation: &str,
        outbound: Option<Outbound>,
        method: Method,
        target: &str,
        body: Body,
    ) -> Result<Bytes, AskError> {
        self.wait().await;
        let uri: Uri = format!("{}://{}{target}", self.pinned.scheme, self.pinned.authority)
            .parse()
            .map_err(|error| AskError::Unusable(BoxError::from(error)))?;
        let is_read = method == Method::GET;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let trail = Arc::new(Trail::begin(&request, None, None, &*self.clock));
        let headers = request.headers_mut();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static("tollgate"));
        headers.insert(REQUEST_ID, trail.request_id_header.clone());
        headers.insert(VIA, HeaderValue::from_static("1.1 tollgate"));
        headers.insert(AUTHORIZATION, self.token.header());
        if !is_read {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let outbound = outbound.ok_or_else(|| {
            AskError::Unusable(format!("no operation is named {operation}").into())
        })?;
        let exchange = Exchange {
            request,
            trail: Arc::clone(&trail),
            proof: outbound,
        };
        let mut upstream = self.upstream.clone();
        let answer = match upstream.call(exchange).await {
            Ok(answer) => read(answer).await,
            Err(rejection) => Err(AskError::Rejected(rejection)),
        };
        self.log
            .write(|line| own_line(line, &trail, operation, answer.is_ok()))
            .await;
        answer
    }

    /// Waits for its turn.
    async fn wait(&self) {
        let at = {
            let mut next = self.next.lock().await;
            let at = (*next).max(Instant::now());
            *next = at + self.pace;
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

async fn read(answer: http::Response<Body>) -> Result<Bytes, AskError> {
    let status = answer.status();
    if status != StatusCode::OK {
        return Err(AskError::Status(status));
    }
    let read = read_whole(answer.into_body(), MAX_ANSWER).await;
    read.map_err(AskError::Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u8_what_stands_in_a_target_is_encoded() {
        assert_eq!(
            target(
                &["v3", "organizations", "org/../x", "sessions"],
                &[("tags", "a,b&c"), ("first", "100")]
            ),
            "/v3/organizations/org%2F..%2Fx/sessions?tags=a%2Cb%26c&first=100"
        );
    }
}
