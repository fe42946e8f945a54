//! Limits: `limits:`.

use std::num::NonZeroU32;
use std::time::Duration;

use super::rule::{shadow, texts};
use super::{Spanned, title};
use crate::document::{Node, Report, Table, Value};

#[derive(Debug)]
pub(in crate::policy) struct LimitEntry {
    pub(in crate::policy) name: Spanned<String>,
    pub(in crate::policy) callers: Option<Vec<Spanned<String>>>,
    pub(in crate::policy) period: Duration,
    pub(in crate::policy) burst: NonZeroU32,
    pub(in crate::policy) shadow: bool,
}

/// One limit. What is wrong in it is told, and the rest of it is looked at all the same.
pub(super) fn limit(node: &Node, in_shadow: bool, report: &mut Report) -> Option<LimitEntry> {
    let mut table = Table::new("a limit", node, report)?;
    let name = title("limit", &mut table, report);
    if let Some((per, span)) = table.require_text("per", report)
        && per != "caller"
    {
        let known = [
            "everyone",
            "organization",
            "team",
            "caller",
            "caller+operation",
        ];
        if known.contains(&per) {
            report
                .error(span, format!("`per: {per}` is not supported yet"))
                .help("use `per: caller`");
        } else {
            report
                .error(span, format!("a limit is per caller, not per `{per}`"))
                .suggest(per, known);
        }
    }
    let callers = table
        .list("callers", report)
        .map(|(items, span)| texts("callers", items, span, report));
    let period = table.require("rate").and_then(|node| rate(node, report));
    let burst = table.require("burst");
    let burst = burst.and_then(|node| node.as_whole("burst", 1, 1_000_000, report));
    let shadow = shadow(&mut table, in_shadow, report);
    for field in ["wait", "sessions", "operations"] {
        table.not_yet(field, report);
    }
    table.finish(report);
    Some(LimitEntry {
        name,
        callers,
        period: period.unwrap_or_default(),
        burst: burst
            .and_then(|it| u32::try_from(it).ok())
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MIN),
        shadow,
    })
}

/// `60/min`: the time in which one request is earned back, rounded up to a nanosecond.
fn rate(node: &Node, report: &mut Report) -> Option<Duration> {
    let span = node.span;
    let text = match &node.value {
        Value::Text(text) => text.as_str(),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Map(_) => "",
    };
    let parsed = text.split_once('/').and_then(|(count, unit)| {
        let seconds: u64 = match unit.trim() {
            "s" | "sec" | "second" => 1,
            "min" | "minute" => 60,
            "h" | "hour" => 3_600,
            _ => return None,
        };
        let count = count.trim();
        let is_plain = count.bytes().all(|it| it.is_ascii_digit());
        Some((count.parse::<u64>().ok().filter(|_| is_plain)?, seconds))
    });
    match parsed {
        Some((0, _)) => {
            report
                .error(span, "a rate of zero is no limit")
                .help("to forbid an operation, deny it; for no limit, leave the limit out");
            None
        }
        Some((count, seconds)) if count <= 1_000_000 => Some(Duration::from_nanos(
            (seconds * 1_000_000_000).div_ceil(count),
        )),
        Some(_) | None => {
            report
                .error(span, "a rate is a whole number and a unit")
                .help("write a whole number up to 1000000 and a unit: 5/s, 60/min or 1000/h");
            None
        }
    }
}
