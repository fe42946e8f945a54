//! How long a client waits for its answer, as far as its request says it: nobody stands in line for longer.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// RFC 7240, section 4.3: `Prefer: wait=10`.
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// What Stainless' SDKs tell of their time-outs, in seconds; Devin's own is one of them.
static TOLD: [HeaderName; 2] = [
    HeaderName::from_static("x-stainless-timeout"),
    HeaderName::from_static("x-stainless-read-timeout"),
];

/// How long the client of this request waits at most, if it says so.
pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    let told = TOLD.iter().flat_map(|name| headers.get_all(name));
    let told = told.filter_map(|it| seconds(it.to_str().ok()?));
    let preferred = headers.get_all(PREFER).into_iter();
    let preferred = preferred.filter_map(|it| it.to_str().ok()).flat_map(|it| {
        it.split(',').filter_map(|one| {
            let (name, value) = one.split(';').next()?.split_once('=')?;
            let is_wait = name.trim().eq_ignore_ascii_case("wait");
            seconds(value.trim().trim_matches('"')).filter(|_| is_wait)
        })
    });
    told.chain(preferred).min()
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        of(&map)
    }

    #[test]
    fn a_client_says_how_long_it_waits() {
        let ms = |it| Some(Duration::from_millis(it));
        assert_eq!(patience(&[("prefer", "wait=10")]), ms(10_000));
        assert_eq!(
            patience(&[("prefer", "respond-async, Wait=\"3\"; foo=bar")]),
            ms(3_000)
        );
        assert_eq!(patience(&[("x-stainless-timeout", "60")]), ms(60_000));
        let both = [
            ("x-stainless-read-timeout", "1.5"),
            ("prefer", "wait=2"),
            ("prefer", "wait=7"),
        ];
        assert_eq!(patience(&both), ms(1_500));
    }

    #[test]
    fn what_says_nothing_bounds_nothing() {
        for value in [
            "wait",
            "wait=",
            "wait=-1",
            "wait=NaN",
            "wait=inf",
            "waiting=1",
            "x;wait=1",
            "",
        ] {
            assert_eq!(patience(&[("prefer", value)]), None, "{value}");
        }
        assert_eq!(patience(&[("x-stainless-timeout", "NOT_GIVEN")]), None);
        assert_eq!(patience(&[]), None);
    }
}
