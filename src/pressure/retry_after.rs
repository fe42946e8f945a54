//! How long Devin says to wait: `Retry-After`, in both of its forms (RFC 9110, section 10.2.3). Pure.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The time that is to be waited; none if nothing is said that can be understood, or several things.
///
/// A date is compared with the answer's own `Date`, since the two clocks may differ; with `now` where there is none.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let mut values = headers.get_all(RETRY_AFTER).iter();
    let text = values.next()?.to_str().ok()?.trim();
    if values.next().is_some() {
        return None;
    }
    if !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) {
        // More digits than a number has are a very long time.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = date(text)?;
    let said = headers.get(DATE).and_then(|it| it.to_str().ok());
    let from = said.and_then(date).unwrap_or(now);
    Some(Duration::try_from(at.duration_since(from)).unwrap_or(Duration::ZERO))
}

fn date(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(said: &[&str], date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for said in said {
            headers.append(RETRY_AFTER, HeaderValue::from_str(said).unwrap());
        }
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        }
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        retry_after(&headers, now).map(|it| it.as_secs())
    }

    #[test]
    fn both_forms_are_understood() {
        assert_eq!(read(&["120"], None), Some(120));
        assert_eq!(read(&["0"], None), Some(0));
        assert_eq!(read(&["Mon, 30 Nov 2026 12:00:30 GMT"], None), Some(30));
        assert_eq!(read(&["Mon, 30 Nov 2026 11:00:00 GMT"], None), Some(0));
        assert_eq!(read(&["99999999999999999999999"], None), Some(u64::MAX));
    }

    #[test]
    fn a_date_is_compared_with_devins_own_clock() {
        let devins = Some("Mon, 30 Nov 2026 14:00:00 GMT");
        assert_eq!(read(&["Mon, 30 Nov 2026 14:00:20 GMT"], devins), Some(20));
    }

    #[test]
    fn nonsense_says_nothing() {
        for said in ["", "-1", "1.5", "soon", "12 s", "+3"] {
            assert_eq!(read(&[said], None), None, "{said}");
        }
        assert_eq!(read(&["1", "2"], None), None);
        assert_eq!(read(&[], None), None);
    }
}
