//! What is found out about a request, for its access-log line.
//!
//! An `Arc` of write-once cells: inner stages set them, the access log reads
//! them at the end. Typed, without a lock, and it survives refusals, panics and
//! clients that leave. Nothing in here may be secret.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use http::{HeaderValue, Method, Request};
use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::capacity::{CallersPlace, Place};
use crate::catalogue::OperationIx;
use crate::clock::Clock;
use crate::problem::Code;

/// The identity that a credential proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An API key, by its public id.
    ApiKey {
        /// The public half of the key.
        id: String,
    },
    /// A JWT.
    Jwt {
        /// The issuer's name in the configuration.
        issuer: String,
        /// The token's `sub`.
        subject: Option<String>,
        /// The key that verified it.
        key_id: Option<String>,
        /// The claims that policies match on, with the token's values; null for what it does not have.
        claims: Vec<(String, serde_json::Value)>,
    },
}

/// Who a request is from.
#[derive(Clone, Debug)]
pub struct KnownCaller {
    /// The caller's name.
    pub name: Arc<str>,
    /// Its team.
    pub team: Arc<str>,
}

/// What the policy said.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Whether it said yes.
    pub allow: bool,
    /// The rule that decided, if one did.
    pub rule: Option<Arc<str>>,
}

/// What a filter has made of a list.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Filtered {
    /// How many elements were answered.
    pub kept: usize,
    /// How many were left out.
    pub dropped: usize,
    /// How many pages were read for it.
    pub pages: usize,
}

/// How a request got the answer of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Again {
    /// It became the client of an attempt that it was found to repeat.
    Joined,
    /// It had the same `Idempotency-Key`.
    Replayed,
}

/// How the answer to a read that could be shared was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// It was kept.
    Hit,
    /// The same read of the caller's was under way, and it has the answer of that one.
    Shared,
    /// Devin was asked.
    Miss,
}

impl Cache {
    /// As header, log and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Shared => "shared",
            Self::Miss => "miss",
        }
    }
}

/// The trail of one request.
#[derive(Debug)]
pub struct Trail {
    /// When the request's head had arrived: time of day and monotonic.
    pub at: Timestamp,
    /// The same instant on the clock that does not jump.
    pub started: Instant,
    /// Our id of this request (UUIDv7).
    pub request_id: Uuid,
    /// The same, as the header value that goes both ways.
    pub request_id_header: HeaderValue,
    /// The caller's own `X-Request-Id`, if it sent one of a sane shape.
    pub client_request_id: Option<String>,
    /// W3C trace id: the caller's, or a new one.
    pub trace_id: String,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// For whom it asks, if it is a proxy that is believed.
    pub client: Option<IpAddr>,
    /// The method as received.
    pub method: Method,
    /// The path as received, without the query.
    pub path: String,
    /// The caller's `User-Agent`.
    pub user_agent: Option<String>,
    /// The policy set that judges this request.
    pub policy: OnceLock<Arc<crate::policy::Policy>>,
    /// The operation, once known.
    pub operation: OnceLock<OperationIx>,
    /// The organization that the path names.
    pub organization: OnceLock<String>,
    /// The session that the path names.
    pub session: OnceLock<String>,
    /// What the credential proved.
    pub identity: OnceLock<Identity>,
    /// Whom it made the request's caller.
    pub caller: OnceLock<KnownCaller>,
    /// What the policy said.
    pub decided: OnceLock<Decided>,
    /// What was found out about the fields of query and body.
    pub facts: OnceLock<crate::policy::bounds::Facts>,
    /// What shadowed rules would have changed.
    pub shadow: OnceLock<crate::policy::Shadowed>,
    /// How the limits stand that it was taken from, or that refused it.
    pub limits: OnceLock<Box<[crate::limits::Standing]>>,
    /// The limit that refused it, or would have if it were enforced.
    pub limit: OnceLock<Arc<str>>,
    /// How long its client waits for an answer, if it said so.
    pub patience: OnceLock<Duration>,
    /// Microseconds that it waited in queues.
    pub queued: AtomicU64,
    /// What was held for it.
    pub held: OnceLock<crate::ledger::Held>,
    /// The code of the refusal or failure.
    pub code: OnceLock<Code>,
    /// The operator's half of a failure: never shown to the caller.
    pub cause: OnceLock<String>,
    /// Whether what is answered is Devin's own.
    pub upstream_answered: AtomicBool,
    /// Requests that left for Devin.
    pub attempts: AtomicU64,
    /// The status that Devin gave last; 0 while it has given none.
    pub upstream_status: AtomicU16,
    /// When the request left for Devin, the first time; or began to wait for another's that had.
    pub upstream_started: OnceLock<Instant>,
    /// How long Devin took then to the head of its answer.
    pub upstream_head: OnceLock<Duration>,
    /// What a filter has made of Devin's list.
    pub filtered: OnceLock<Filtered>,
    /// How the answer of an earlier request was had.
    pub again: OnceLock<Again>,
    /// The request that began the attempt that was joined, if it was of this process; or that asked Devin for the
    /// answer of a read.
    pub first_request: OnceLock<Uuid>,
    /// What the log line waits for: it is written when nobody holds this any more. What spends holds it to its own
    /// end, so that the line of a client that left tells what became of the request.
    pub line: OnceLock<Weak<dyn Any + Send + Sync>>,
    /// Bytes of the request's body that went by.
    pub bytes_in: AtomicU64,
    /// How the answer to a read was had.
    pub cache: OnceLock<Cache>,
    /// How many of the requests that left for Devin were sent again after one that failed.
    pub retries: AtomicU64,
    /// Its place among the requests in flight: it has it until nobody works on it any more.
    pub place: OnceLock<Place>,
    /// The same among its caller's.
    pub callers_place: OnceLock<CallersPlace>,
    /// That the log stands still, and as many requests wait for it as may.
    pub no_line: OnceLock<()>,
}

/// The longest id of a caller's that is logged.
const MAX_CLIENT_ID: usize = 128;

impl Trail {
    /// Starts the trail of a request.
    pub fn begin<B>(
        request: &Request<B>,
        peer: Option<SocketAddr>,
        client: Option<IpAddr>,
        clock: &dyn Clock,
    ) -> Self {
        let request_id = clock.id();
        let mut text = Uuid::encode_buffer();
        let text = request_id.hyphenated().encode_lower(&mut text);
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        Self {
            at: clock.now(),
            started: Instant::now(),
            request_id,
            // A UUID's text is always a header value.
            request_id_header: HeaderValue::from_str(text)
                .unwrap_or_else(|_| HeaderValue::from_static("-")),
            client_request_id: header("x-request-id")
                .filter(|id| is_sane_id(id))
                .map(str::to_owned),
            trace_id: header("traceparent")
                .and_then(trace_id)
                .map_or_else(|| clock.id().simple().to_string(), str::to_owned),
            peer,
            client,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            user_agent: request
                .headers()
                .get(http::header::USER_AGENT)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
            policy: OnceLock::new(),
            operation: OnceLock::new(),
            organization: OnceLock::new(),
            session: OnceLock::new(),
            identity: OnceLock::new(),
            caller: OnceLock::new(),
            decided: OnceLock::new(),
            facts: OnceLock::new(),
            shadow: OnceLock::new(),
            limits: OnceLock::new(),
            limit: OnceLock::new(),
            patience: OnceLock::new(),
            queued: AtomicU64::new(0),
            held: OnceLock::new(),
            code: OnceLock::new(),
            cause: OnceLock::new(),
            upstream_answered: AtomicBool::new(false),
            attempts: AtomicU64::new(0),
            upstream_status: AtomicU16::new(0),
            upstream_started: OnceLock::new(),
            upstream_head: OnceLock::new(),
            filtered: OnceLock::new(),
            again: OnceLock::new(),
            first_request: OnceLock::new(),
            line: OnceLock::new(),
            bytes_in: AtomicU64::new(0),
            cache: OnceLock::new(),
            retries: AtomicU64::new(0),
            place: OnceLock::new(),
            callers_place: OnceLock::new(),
            no_line: OnceLock::new(),
        }
    }

    /// How the limits stand that it was taken from, or that refused it; none, if none counts it.
    pub fn limits(&self) -> &[crate::limits::Standing] {
        self.limits.get().map_or(&[], |it| it)
    }

    /// When its client gives up, if it said so: nobody waits for its turn any longer.
    pub fn given_up(&self) -> Option<Instant> {
        self.started.checked_add(*self.patience.get()?)
    }

    /// Notes that the request leaves for Devin.
    pub fn attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        self.waits_for_upstream();
    }

    /// Notes that from now on the time is Devin's.
    pub fn waits_for_upstream(&self) {
        let _ = self.upstream_started.set(Instant::now());
    }

    /// Notes that what is answered is Devin's own.
    pub fn answered_upstream(&self) {
        self.upstream_answered.store(true, Ordering::Relaxed);
    }
}

/// The caller's own id stands beside ours in the log, so it must not be able to look like anything else.
fn is_sane_id(id: &str) -> bool {
    (1..=MAX_CLIENT_ID).contains(&id.len())
        && id
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it))
}

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2), strictly: version 00, lower-case hex, not zero.
fn trace_id(header: &str) -> Option<&str> {
    let hex = |text: &str, length| {
        text.len() == length
            && text
                .bytes()
                .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = header.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let fits = version == "00"
        && hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && parts.next().is_none();
    (fits && trace.bytes().any(|it| it != b'0') && parent.bytes().any(|it| it != b'0'))
        .then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h5_trace_context_is_read_strictly() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(good), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &format!("{good}-x"),
            &good.replace("00-4", "01-4"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn h5_a_callers_request_id_has_a_sane_shape_or_is_dropped() {
        assert!(is_sane_id("run-1.2_3"));
        for bad in ["", "a b", "a\"b", "a,b", "ü", &"a".repeat(200)] {
            assert!(!is_sane_id(bad), "{bad}");
        }
    }
}
