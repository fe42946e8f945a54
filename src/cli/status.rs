//! `tollgate status`: how a running gateway is, and which policies it runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::ask::Gateway;
use super::{Failure, Format, print};

/// Whom to ask.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    gateway: Gateway,
}

/// What `/readyz` says; off loopback, only the first of it.
#[derive(Deserialize)]
struct Status {
    ready: bool,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    spending: Spending,
    #[serde(default)]
    upstream: Upstream,
    policy: Option<Policy>,
}

/// Why nothing can be spent, if so.
#[derive(Default, Deserialize)]
struct Spending {
    stopped: Option<String>,
    store: Option<String>,
}

/// How Devin takes what it is sent.
#[derive(Default, Deserialize)]
struct Upstream {
    breaker: Option<String>,
    #[serde(default)]
    paused_seconds: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Policy {
    hash: String,
    callers: u64,
    loaded_at: String,
    age_seconds: u64,
    reloads: u64,
    refused_reloads: u64,
    last_refused: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    at: String,
    count: usize,
    mistakes: Vec<Mistake>,
}

#[derive(Deserialize)]
struct Mistake {
    file: String,
    line: u64,
    column: u64,
    message: String,
    help: Option<String>,
}

pub(super) async fn run(options: Options, format: Format) -> Result<(), Failure> {
    let (_, body) = options.gateway.ask("/readyz").await?;
    let said: Value = serde_json::from_slice(&body)
        .map_err(|_| "what answers there is no gateway's operator's port")?;
    let status = Status::deserialize(&said)
        .map_err(|error| format!("what answers there is no gateway of this version: {error}"))?;
    match format {
        Format::Json => print(&said.to_string())?,
        Format::Text => print(&visible(&describe(&status)))?,
    }
    if status.is_fine() {
        Ok(())
    } else {
        Err(Failure::Bad)
    }
}

impl Status {
    /// Ready, with the policies that the files hold, and with a ledger that takes holds.
    fn is_fine(&self) -> bool {
        let refused = self.policy.as_ref().and_then(|it| it.last_refused.as_ref());
        let can_spend = self.spending.stopped.is_none() && self.spending.store.is_none();
        self.ready && refused.is_none() && can_spend
    }
}

fn describe(status: &Status) -> String {
    let mut text = match (status.ready, status.reasons.as_slice()) {
        (true, _) => "ready".to_owned(),
        (false, []) => "not ready".to_owned(),
        (false, reasons) => format!("not ready: {}", reasons.join("; ")),
    };
    // Writing to a text cannot fail.
    let Spending { stopped, store } = &status.spending;
    for why in stopped.iter().chain(store) {
        let _ = write!(text, "\nnothing is spent: {why}");
    }
    if let Some(breaker) = status
        .upstream
        .breaker
        .as_deref()
        .filter(|it| *it != "closed")
    {
        let _ = write!(text, "\nDevin fails: the circuit breaker is {breaker}");
    }
    for (class, seconds) in &status.upstream.paused_seconds {
        let _ = write!(
            text,
            "\nDevin has refused {class}: none leave for {seconds} s"
        );
    }
    let Some(policy) = &status.policy else {
        text += "\nit says more only where its operator's port is on loopback";
        return text;
    };
    let Policy {
        hash,
        callers,
        loaded_at,
        age_seconds,
        reloads,
        refused_reloads,
        last_refused,
    } = policy;
    let age = age(*age_seconds);
    let _ = write!(
        text,
        "\npolicy {hash}, {callers} callers\nloaded {age} ago, at {loaded_at}\n{reloads} reloads, {refused_reloads} refused"
    );
    let Some(Refused {
        at,
        count,
        mistakes,
    }) = last_refused
    else {
        return text;
    };
    let _ = write!(
        text,
        "\n\nThe files hold other policies, which were refused at {at}; those above run on:"
    );
    for mistake in mistakes {
        let Mistake {
            file,
            line,
            column,
            message,
            help,
        } = mistake;
        let _ = write!(text, "\n{file}:{line}:{column}: {message}");
        if let Some(help) = help {
            let _ = write!(text, " ({help})");
        }
    }
    let shown = mistakes.len();
    if *count > shown {
        let _ = write!(text, "\n… and {} more", count - shown);
    }
    text
}

/// In the two largest units: whoever asks wants to know whether it is the set of just now.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

/// A file can be named so that its name is an order to a terminal.
pub(super) fn visible(text: &str) -> String {
    let show = |it: char| {
        let is_odd = it.is_control() && it != '\n';
        let plain = (!is_odd).then_some(it);
        let escaped = is_odd.then(|| it.escape_default());
        plain.into_iter().chain(escaped.into_iter().flatten())
    };
    text.chars().flat_map(show).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(said: &Value) -> (bool, String) {
        let status = Status::deserialize(said).unwrap();
        (status.is_fine(), visible(&describe(&status)))
    }

    #[test]
    fn a_refused_reload_is_told_with_its_mistakes() {
        let mut said = json!({
            "ready": true,
            "reasons": [],
            "policy": {
                "hash": "0123456789abcdef",
                "callers": 7,
                "loaded_at": "2026-11-24T10:00:00Z",
                "age_seconds": 3_725,
                "reloads": 3,
                "refused_reloads": 2,
            },
        });
        let fine = "ready\npolicy 0123456789abcdef, 7 callers\nloaded 1 h 2 min ago, at 2026-11-24T10:00:00Z\n3 reloads, 2 refused";
        assert_eq!(shown(&said), (true, fine.to_owned()));
        said["policy"]["last_refused"] = json!({
            "at": "2026-11-24T11:00:00Z",
            "count": 3,
            "mistakes": [
                {"file": "a\u{1b}[2J.yaml", "line": 3, "column": 5, "message": "wrong", "help": "right"},
                {"file": "b.yaml", "line": 1, "column": 1, "message": "odd"},
            ],
        });
        let (is_fine, text) = shown(&said);
        assert!(!is_fine);
        let rest = text.strip_prefix(fine).unwrap();
        assert_eq!(
            rest,
            "\n\nThe files hold other policies, which were refused at 2026-11-24T11:00:00Z; those above run on:\n\
             a\\u{1b}[2J.yaml:3:5: wrong (right)\nb.yaml:1:1: odd\n… and 1 more"
        );
    }

    #[test]
    fn what_is_not_ready_is_not_fine_and_says_why_where_it_may() {
        let said = json!({"ready": false, "reasons": ["stopping", "no log"], "policy": null});
        let (is_fine, text) = shown(&said);
        assert!(!is_fine && text.starts_with("not ready: stopping; no log\n"));
        let (is_fine, text) = shown(&json!({"ready": true}));
        assert!(is_fine && text.contains("on loopback"), "{text}");
    }

    #[test]
    fn an_age_is_short() {
        for (seconds, text) in [
            (0, "0 s"),
            (61, "1 min 1 s"),
            (7_260, "2 h 1 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
