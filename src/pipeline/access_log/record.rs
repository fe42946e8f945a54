//! A line's fields: an allow-list, written once. Pure but for the clock of its durations.
//!
//! Never a body, a query value, a credential or a `Location`. Free text (paths,
//! user agents, claims) is cut at 512 bytes, with a mark, and JSON escaping
//! keeps a line one line whatever it says.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::answered_by;
use crate::trail::{Identity, Trail};

/// The most bytes of one free field.
const MAX_FREE: usize = 512;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The answer went out whole.
    Complete,
    /// The client left first.
    ClientGone,
    /// Devin broke its answer off.
    UpstreamAborted,
    /// Devin's answer took longer than the total time.
    TimedOut,
}

/// Text that is not ours, cut to size.
struct Free<'a>(&'a str);

impl Serialize for Free<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.len() <= MAX_FREE {
            return serializer.serialize_str(self.0);
        }
        let mut end = MAX_FREE;
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        let kept = self.0.get(..end).unwrap_or("");
        serializer.collect_str(&format_args!("{kept}…[{} more bytes]", self.0.len() - end))
    }
}

/// Milliseconds with three decimals.
struct Millis(Duration);

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = u32::try_from(self.0.as_micros()).unwrap_or(u32::MAX);
        serializer.serialize_f64(f64::from(micros) / 1000.0)
    }
}

struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct Record<'a> {
    kind: &'static str,
    time: Shown<jiff::Timestamp>,
    request_id: Shown<uuid::Uuid>,
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Who<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    method: Free<'a>,
    path: Free<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Free<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    answered_by: &'static str,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    upstream_attempts: u64,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_ms: Option<Millis>,
    own_ms: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Free<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Who<'a> {
    ApiKey {
        key_id: &'a str,
    },
    Jwt {
        issuer: &'a str,
        subject: Option<Free<'a>>,
        key_id: Option<Free<'a>>,
        claims: std::collections::BTreeMap<&'a str, Free<'a>>,
    },
}

/// Writes one line.
pub(super) fn write(
    line: &mut Vec<u8>,
    trail: &Trail,
    status: Option<u16>,
    bytes_out: u64,
    outcome: Outcome,
) {
    let total = trail.started.elapsed();
    let upstream = trail.upstream_head.get().copied();
    // Until the answer's head: before Devin was asked, and where it was not.
    let own = trail
        .upstream_started
        .get()
        .map_or(total, |at| at.saturating_duration_since(trail.started));
    let record = Record {
        kind: "request",
        time: Shown(trail.at),
        request_id: Shown(trail.request_id),
        trace_id: &trail.trace_id,
        client_request_id: trail.client_request_id.as_deref(),
        caller: trail.caller.get().map(|it| &*it.name),
        team: trail.caller.get().map(|it| &*it.team),
        identity: trail.identity.get().map(who),
        operation: trail.operation.get().map(|it| it.row().id),
        method: Free(trail.method.as_str()),
        path: Free(&trail.path),
        organization: trail.organization.get().map(String::as_str),
        session: trail.session.get().map(String::as_str),
        decision: trail
            .decided
            .get()
            .map(|it| if it.allow { "allow" } else { "deny" }),
        rule: trail.decided.get().and_then(|it| it.rule.as_deref()),
        limit: trail.limit.get().map(|it| &**it),
        code: trail.code.get().map(|it| it.name()),
        cause: trail.cause.get().map(|it| Free(it)),
        policy: trail.policy.get().map(|it| it.hash()),
        status,
        answered_by: answered_by(trail),
        outcome,
        upstream_status: trail.upstream_status.get().copied(),
        upstream_attempts: trail.attempts.load(Ordering::Relaxed),
        bytes_in: trail.bytes_in.load(Ordering::Relaxed),
        bytes_out,
        duration_ms: Millis(total),
        upstream_ms: upstream.map(Millis),
        own_ms: Millis(own),
        peer: trail.peer,
        user_agent: trail.user_agent.as_deref().map(Free),
    };
    append(line, &record);
}

fn who(identity: &Identity) -> Who<'_> {
    match identity {
        Identity::ApiKey { id } => Who::ApiKey { key_id: id },
        Identity::Jwt {
            issuer,
            subject,
            key_id,
            claims,
        } => Who::Jwt {
            issuer,
            subject: subject.as_deref().map(Free),
            key_id: key_id.as_deref().map(Free),
            claims: claims
                .iter()
                .map(|(name, value)| (name.as_str(), Free(value)))
                .collect(),
        },
    }
}

#[derive(Serialize)]
struct ConnectionRecord<'a> {
    kind: &'static str,
    time: Shown<jiff::Timestamp>,
    peer: Option<SocketAddr>,
    error: Free<'a>,
}

/// Writes the line of a connection that the HTTP parser itself refused: there is no request to log.
pub fn connection_line(
    line: &mut Vec<u8>,
    time: jiff::Timestamp,
    peer: Option<SocketAddr>,
    error: &str,
) {
    append(
        line,
        &ConnectionRecord {
            kind: "connection",
            time: Shown(time),
            peer,
            error: Free(error),
        },
    );
}

fn append(line: &mut Vec<u8>, record: &impl Serialize) {
    let start = line.len();
    if serde_json::to_writer(&mut *line, record).is_err() {
        // Writing strings and numbers to memory cannot fail; a line must stay a line all the same.
        line.truncate(start);
        line.extend_from_slice(b"{\"kind\":\"unwritable\"}");
    }
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_free_fields_are_cut_and_stay_one_line() {
        for text in ["a\r\nb", "\u{1b}[31m\"", &"ü".repeat(5_000), "\u{202e}x"] {
            let mut line = Vec::new();
            append(&mut line, &Free(text));
            assert_eq!(line.iter().filter(|it| **it == b'\n').count(), 1);
            assert!(line.len() < 1_100, "{}", line.len());
            assert!(serde_json::from_slice::<String>(&line).is_ok());
        }
    }
}
