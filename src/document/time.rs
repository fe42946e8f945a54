//! Times and rates as people write them: `500ms`, `3s`, `60/min`.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::SignedDuration;

use super::{Node, Report, Value};

/// What a time may be where nothing narrower is said: from a millisecond to a day.
pub(crate) const USUAL: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);

/// A time as [`duration`] reads it, without more parts than it has.
pub(crate) fn spelled(time: Duration) -> String {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    format!("{time:#}")
}

/// A time within these bounds, with its unit. Anything else is a mistake, which is told with the bounds.
pub(crate) fn duration(
    name: &str,
    node: &Node,
    within: &RangeInclusive<Duration>,
    report: &mut Report,
) -> Option<Duration> {
    let parsed = text(node).and_then(|text| text.parse::<SignedDuration>().ok());
    let found = parsed
        .and_then(|it| Duration::try_from(it).ok())
        .filter(|it| within.contains(it));
    if found.is_none() {
        let (least, most) = (spelled(*within.start()), spelled(*within.end()));
        report
            .error(
                node.span,
                format!("`{name}:` must be a time from {least} to {most}"),
            )
            .help(if within.contains(&Duration::from_secs(300)) {
                "write a number with its unit: 500ms, 3s, 5m"
            } else {
                "write a number with its unit: 500ms, 3s"
            });
    }
    found
}

/// `60/min`: the time in which one is earned back, rounded up to a nanosecond, so that a rate is never exceeded.
pub(crate) fn rate(node: &Node, report: &mut Report) -> Option<Duration> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Budget, parse};

    fn read(text: &str, within: &RangeInclusive<Duration>) -> Result<Duration, String> {
        let mut report = Report::default();
        let source = report.add_source("t.yaml", text);
        let node = parse(source, text, Budget::default(), &mut report).unwrap();
        duration("wait", &node, within, &mut report).ok_or_else(|| report.plain())
    }

    #[test]
    fn a_time_has_a_unit_and_stays_within_its_bounds() {
        assert_eq!(read("500ms", &USUAL), Ok(Duration::from_millis(500)));
        assert_eq!(read("24h", &USUAL), Ok(Duration::from_secs(86_400)));
        let narrow = Duration::from_millis(1)..=Duration::from_secs(60);
        assert_eq!(read("60s", &narrow), Ok(Duration::from_secs(60)));
        for bad in [
            "61s",
            "0s",
            "2",
            "-1s",
            "true",
            "[2s]",
            "soon",
            "99999999999999999h",
        ] {
            let told = read(bad, &narrow).unwrap_err();
            assert!(
                told.contains("`wait:` must be a time from 1ms to 1m"),
                "{bad}: {told}"
            );
        }
    }
}
