//! Times as people write them: `500ms`, `3s`, `5m`.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::SignedDuration;

use super::{Node, Report};

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
    let parsed = node
        .value
        .text()
        .and_then(|it| it.parse::<SignedDuration>().ok());
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
