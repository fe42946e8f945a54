//! Times and rates as they are written: `500ms`, `3s`, `60/min`.

use std::time::Duration;

use jiff::SignedDuration;

use super::{Node, Report, Value};

/// A time from 1 ms to `most`.
pub fn duration(name: &str, node: &Node, most: Duration, report: &mut Report) -> Option<Duration> {
    let parsed = text(node).and_then(|text| text.parse::<SignedDuration>().ok());
    let found = parsed
        .and_then(|it| Duration::try_from(it).ok())
        .filter(|it| (Duration::from_millis(1)..=most).contains(it));
    if found.is_none() {
        report
            .error(
                node.span,
                format!("`{name}:` must be a time from 1ms to {}", shown(most)),
            )
            .help("write a number with its unit: 500ms, 3s, 5m");
    }
    found
}

/// `60/min`: the time in which one is earned back, rounded up to a nanosecond, so that a rate is never exceeded.
pub fn rate(node: &Node, report: &mut Report) -> Option<Duration> {
    let parsed = text(node)
        .and_then(|text| text.split_once('/'))
        .and_then(|(count, unit)| {
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
                .error(node.span, "a rate of zero is no limit")
                .help("to forbid an operation, deny it; for no limit, leave the limit out");
            None
        }
        Some((count, seconds)) if count <= 1_000_000 => Some(Duration::from_nanos(
            (seconds * 1_000_000_000).div_ceil(count),
        )),
        Some(_) | None => {
            report
                .error(node.span, "a rate is a whole number and a unit")
                .help("write a whole number up to 1000000 and a unit: 5/s, 60/min or 1000/h");
            None
        }
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Map(_) => None,
    }
}

fn shown(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds > 0 && seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        seconds => format!("{seconds}s"),
    }
}
