//! Rates: `300/min`.

use std::num::NonZeroU32;
use std::time::Duration;

use super::report::Report;
use super::tree::Node;

/// The largest count of a rate.
const MOST: u32 = 1_000_000;

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many; at most a million.
    pub(crate) count: NonZeroU32,
    /// In how long: a second, a minute or an hour.
    pub(crate) period: Duration,
}

impl Rate {
    /// The time in which one is earned back, rounded up to a nanosecond, so that the rate is never exceeded.
    pub(crate) fn one_every(self) -> Duration {
        let nanos = self.period.as_nanos().div_ceil(self.count.get().into());
        // An hour is no more of them than these are.
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many in a second.
    pub(crate) fn per_second(self) -> f64 {
        f64::from(self.count.get()) / self.period.as_secs_f64()
    }
}

/// Reads `300/min`. Zero is a mistake, and never "unlimited"; `zero` says what to write instead.
pub(crate) fn rate(node: &Node, zero: &'static str, report: &mut Report) -> Option<Rate> {
    let text = node.value.text().unwrap_or_default();
    let parsed = text.split_once('/').and_then(|(count, unit)| {
        let seconds = match unit.trim() {
            "s" | "sec" | "second" => 1,
            "min" | "minute" => 60,
            "h" | "hour" => 3_600,
            _ => return None,
        };
        let count = count.trim();
        let is_plain = count.bytes().all(|it| it.is_ascii_digit());
        let count = count.parse().ok().filter(|it| is_plain && *it <= MOST)?;
        Some((NonZeroU32::new(count), Duration::from_secs(seconds)))
    });
    match parsed {
        Some((Some(count), period)) => Some(Rate { count, period }),
        Some((None, _)) => {
            report
                .error(node.span, "a rate of zero is no limit")
                .help(zero);
            None
        }
        None => {
            report
                .error(node.span, "a rate is a whole number and a unit")
                .help("write a whole number up to 1000000 and a unit: 5/s, 60/min or 1000/h");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Budget, parse};
    use super::*;

    fn read(text: &str) -> Result<Rate, String> {
        let mut report = Report::default();
        let source = report.add_source("x.yaml", text);
        let node = parse(source, text, Budget::SETTINGS, &mut report).unwrap();
        rate(&node, "leave it out", &mut report).ok_or_else(|| report.plain())
    }

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        for (text, count, seconds) in [
            ("300/min", 300, 60),
            ("5 / s", 5, 1),
            ("1000000/hour", 1_000_000, 3_600),
        ] {
            let rate = read(text).unwrap();
            assert_eq!((rate.count.get(), rate.period.as_secs()), (count, seconds));
        }
        assert!((read("300/min").unwrap().per_second() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn anything_else_is_a_mistake() {
        for text in [
            "300",
            "5",
            "-1/s",
            "+1/s",
            "1.5/s",
            "1/day",
            "1000001/s",
            "/s",
            "[]",
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.contains("a whole number and a unit"),
                "{text}: {error}"
            );
        }
        assert!(read("0/min").unwrap_err().contains("leave it out"));
    }
}
