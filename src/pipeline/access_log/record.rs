//! A line's fields: an allow-list, written once. Pure but for the clock of its durations.
//!
//! Never a body, a query value, a credential or a `Location`. Free text (paths,
//! user agents, claims) is cut at 512 bytes, with a mark, and JSON escaping
//! keeps a line one line whatever it says.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use super::answered_by;
use crate::policy::bounds::Facts;
use crate::redact::redact;
use crate::trail::{Again, Cache, Filtered, Identity, Trail};

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

/// Text that is not ours: without credentials, and cut to size.
struct Free<'a>(&'a str);

impl Serialize for Free<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = redact(self.0);
        if text.len() <= MAX_FREE {
            return serializer.serialize_str(&text);
        }
        let mut end = MAX_FREE;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let kept = text.get(..end).unwrap_or("");
        serializer.collect_str(&format_args!("{kept}…[{} more bytes]", text.len() - end))
    }
}

/// JSON in which a line is a line for every reader: also what Unicode takes for a line's end, what terminals take
/// for an order, and what changes the direction of text is escaped (R9).
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_odd = |it: char| {
            matches!(it, '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        };
        // Nearly all text is plain, and this form is checked many bytes at a time.
        if fragment
            .bytes()
            .fold(true, |plain, byte| plain & (byte < 0x7f))
        {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(is_odd) {
            let (plain, odd) = rest.split_at_checked(at).unwrap_or((rest, ""));
            writer.write_all(plain.as_bytes())?;
            let mut letters = odd.chars();
            if let Some(letter) = letters.next() {
                // All of them have four digits.
                write!(writer, "\\u{:04x}", u32::from(letter))?;
            }
            rest = letters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// A claim's value with its type, since types count where claims are matched.
struct Claim<'a>(&'a serde_json::Value);

impl Serialize for Claim<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            serde_json::Value::String(text) => Free(text).serialize(serializer),
            simple @ (serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Null) => simple.serialize(serializer),
            nested @ (serde_json::Value::Array(_) | serde_json::Value::Object(_)) => {
                Free(&nested.to_string()).serialize(serializer)
            }
        }
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

/// The version of a line's form. A reader of logs refuses what has another one: a field that came to mean something
/// else must not be misread.
pub const FORM: u32 = 2;

#[derive(Serialize)]
struct Record<'a> {
    kind: &'static str,
    form: u32,
    time: Shown<jiff::Timestamp>,
    request_id: Shown<uuid::Uuid>,
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<Free<'a>>,
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
    organization: Option<Free<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Free<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'a Facts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_fields: Option<Names<'a>>,
    /// Whether the body was looked through: then what is named nowhere here is not in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    body_judged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<Shadow<'a>>,
    /// The limits that it was taken from, or that refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Vec<&'a str>>,
    /// The one that refused it, or would have.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    /// How long it waited for its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_ms: Option<Millis>,
    /// The cap that Devin was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    acu_cap: Option<u32>,
    /// What was held, or charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    acu_held: Option<crate::acu::Acu>,
    /// The tightest of the caller's own budgets, and what was left of it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_remaining: Option<crate::acu::Acu>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<Again>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_request_id: Option<Shown<uuid::Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filtered: Option<Filtered>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<Cache>,
    #[serde(skip_serializing_if = "is_zero")]
    upstream_retries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What would have been decided if shadowed rules were live.
#[derive(Serialize)]
struct Shadow<'a> {
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

/// Names of fields that the catalogue does not know: a caller's own text. `…` stands for those beyond the bound.
struct Names<'a>(&'a Facts);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let more = self.0.more_unknown.then_some("…");
        serializer.collect_seq(
            self.0
                .unknown
                .iter()
                .map(String::as_str)
                .chain(more)
                .map(Free),
        )
    }
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
        claims: std::collections::BTreeMap<&'a str, Claim<'a>>,
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
    let held = trail.held.get();
    let remaining = held.and_then(|it| it.remaining.as_ref());
    let record = Record {
        kind: "request",
        form: FORM,
        time: Shown(trail.at),
        request_id: Shown(trail.request_id),
        trace_id: &trail.trace_id,
        client_request_id: trail.client_request_id.as_deref().map(Free),
        caller: trail.caller.get().map(|it| &*it.name),
        team: trail.caller.get().map(|it| &*it.team),
        identity: trail.identity.get().map(who),
        operation: trail.operation.get().map(|it| it.row().id),
        method: Free(trail.method.as_str()),
        path: Free(&trail.path),
        organization: trail.organization.get().map(|it| Free(it)),
        session: trail.session.get().map(|it| Free(it)),
        decision: trail
            .decided
            .get()
            .map(|it| if it.allow { "allow" } else { "deny" }),
        rule: trail.decided.get().and_then(|it| it.rule.as_deref()),
        fields: trail.facts.get().filter(|it| !it.fields.is_empty()),
        unknown_fields: trail
            .facts
            .get()
            .filter(|it| !it.unknown.is_empty())
            .map(Names),
        body_judged: trail.facts.get().is_some_and(|it| it.body_read),
        shadow: trail.shadow.get().map(|it| Shadow {
            decision: if it.allow { "allow" } else { "deny" },
            rule: it.rule.as_deref(),
            code: it.code.map(|it| it.name()),
        }),
        acu_cap: held.and_then(|it| it.cap).map(crate::acu::Cap::get),
        acu_held: held.map(|it| it.amount),
        budget: remaining.map(|it| &*it.budget),
        budget_remaining: remaining.map(|it| it.acus),
        limits: Some(trail.limits())
            .filter(|it| !it.is_empty())
            .map(|it| it.iter().map(|it| &*it.limit).collect()),
        limit: trail.limit.get().map(|it| &**it),
        queue_ms: queued(trail),
        code: trail.code.get().map(|it| it.name()),
        cause: trail.cause.get().map(|it| Free(it)),
        policy: trail.policy.get().map(|it| it.hash()),
        status,
        answered_by: answered_by(trail),
        outcome,
        upstream_status: Some(trail.upstream_status.load(Ordering::Relaxed)).filter(|it| *it != 0),
        upstream_attempts: trail.attempts.load(Ordering::Relaxed),
        attempt: trail.again.get().copied(),
        first_request_id: trail.first_request.get().copied().map(Shown),
        filtered: trail.filtered.get().copied(),
        bytes_in: trail.bytes_in.load(Ordering::Relaxed),
        bytes_out,
        duration_ms: Millis(total),
        upstream_ms: upstream.map(Millis),
        own_ms: Millis(own),
        peer: trail.peer,
        user_agent: trail.user_agent.as_deref().map(Free),
        cache: trail.cache.get().copied(),
        upstream_retries: trail.retries.load(Ordering::Relaxed),
        client: trail.client,
    };
    append(line, &record);
}

/// How long it waited in queues, if it did.
fn queued(trail: &Trail) -> Option<Millis> {
    let micros = trail.queued.load(Ordering::Relaxed);
    (micros > 0).then(|| Millis(Duration::from_micros(micros)))
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
                .map(|(name, value)| (name.as_str(), Claim(value)))
                .collect(),
        },
    }
}

#[derive(Serialize)]
struct ConnectionRecord<'a> {
    kind: &'static str,
    form: u32,
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
            form: FORM,
            time: Shown(time),
            peer,
            error: Free(error),
        },
    );
}

#[derive(Serialize)]
struct OwnRecord<'a> {
    kind: &'static str,
    form: u32,
    time: Shown<jiff::Timestamp>,
    request_id: Shown<uuid::Uuid>,
    operation: &'a str,
    method: &'a str,
    path: Free<'a>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    upstream_attempts: u64,
    duration_ms: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_ms: Option<Millis>,
    #[serde(skip_serializing_if = "is_zero")]
    upstream_retries: u64,
}

/// The line of a request of the gateway's own: a read, to settle what was spent.
pub fn own_line(line: &mut Vec<u8>, trail: &Trail, operation: &str, is_whole: bool) {
    let status = trail.upstream_status.load(Ordering::Relaxed);
    append(
        line,
        &OwnRecord {
            kind: "own",
            form: FORM,
            time: Shown(trail.at),
            request_id: Shown(trail.request_id),
            operation,
            method: trail.method.as_str(),
            path: Free(&trail.path),
            outcome: if is_whole {
                Outcome::Complete
            } else {
                Outcome::UpstreamAborted
            },
            upstream_status: (status != 0).then_some(status),
            upstream_attempts: trail.attempts.load(Ordering::Relaxed),
            duration_ms: Millis(trail.started.elapsed()),
            queue_ms: queued(trail),
            upstream_retries: trail.retries.load(Ordering::Relaxed),
        },
    );
}

fn append(line: &mut Vec<u8>, record: &impl Serialize) {
    let start = line.len();
    let mut json = serde_json::Serializer::with_formatter(&mut *line, OneLine);
    if record.serialize(&mut json).is_err() {
        // Writing strings and numbers to memory cannot fail; a line must stay a line all the same.
        line.truncate(start);
        let instead = format!("{{\"kind\":\"unwritable\",\"form\":{FORM}}}");
        line.extend_from_slice(instead.as_bytes());
    }
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut line = Vec::new();
        append(&mut line, &Free(text));
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn r9_free_fields_are_cut_and_stay_one_line() {
        for text in [
            "a\r\nb",
            "\u{1b}[31m\"",
            &"ü".repeat(5_000),
            "\u{202e}x",
            "a\u{2028}b\u{85}c\u{9b}31m\u{7f}",
        ] {
            let line = written(text);
            let body = line.trim_end();
            assert!(
                !body.contains(|it: char| it.is_control() || matches!(it, '\u{2028}'..='\u{202e}')),
                "{line}"
            );
            assert!(line.len() < 1_100, "{}", line.len());
            let read: String = serde_json::from_str(&line).unwrap();
            assert!(text.len() > 600 || read == text);
        }
    }

    #[test]
    fn u8_credentials_in_odd_places_are_not_written() {
        let key = crate::api_key::ApiKey::generate("a-b").unwrap();
        let secret = key.expose().rsplit('_').next().unwrap();
        for text in [
            key.expose().to_owned(),
            format!("/v3/{}/x", key.expose()),
            format!("client/1.0 ({})", key.expose()),
            format!("x{}", key.expose()),
        ] {
            let line = written(&text);
            assert!(
                !line.contains(secret) && line.contains("[redacted]"),
                "{line}"
            );
        }
        let jwt = format!("eyJ{}.eyJ{}.sig", "a".repeat(40), "b".repeat(40));
        assert_eq!(written(&format!("/v3/{jwt}/x")), "\"/v3/[redacted]/x\"\n");
        assert_eq!(written("/v3/tg_/eyJ/cog_x"), "\"/v3/tg_/eyJ/cog_x\"\n");
    }
}
