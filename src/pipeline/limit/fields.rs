//! `RateLimit-Policy` and `RateLimit`: how each limit stands that a request was taken from
//! (draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4), on answers and refusals alike.
//!
//! A limit of `burst` requests and then one per period is told as a quota of `burst` in the time in which as many are
//! earned back: `q` and `w`. `r` is how many fit now, `t` in how many seconds all of them do. When the next one fits
//! is what `Retry-After` says, where it is not now.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{Integer, KeyRef, ListSerializer, StringRef};

use crate::limits::Standing;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Tells a caller how its limits stand.
pub(in crate::pipeline) fn write(headers: &mut HeaderMap, standings: &[Standing]) {
    let policy = list(standings, |it| {
        let (quota, window) = whole(it.quota, it.window);
        [("q", quota), ("w", window)]
    });
    let limit = list(standings, |it| {
        [("r", it.remaining.into()), ("t", up(it.reset))]
    });
    for (name, value) in [(POLICY, policy), (LIMIT, limit)] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

/// A list of names with two numbers each. A name that is no string of a structured field is left out.
fn list(
    standings: &[Standing],
    numbers: impl Fn(&Standing) -> [(&'static str, u64); 2],
) -> Option<HeaderValue> {
    let mut list = ListSerializer::new();
    for standing in standings {
        let Ok(name) = StringRef::from_str(&standing.limit) else {
            continue;
        };
        let mut item = list.bare_item(name);
        for (key, number) in numbers(standing) {
            let number = i64::try_from(number).ok();
            let number = number.and_then(|it| Integer::try_from(it).ok());
            if let (Ok(key), Some(number)) = (KeyRef::from_str(key), number) {
                item = item.parameter(key, number);
            }
        }
    }
    HeaderValue::try_from(list.finish()?).ok()
}

/// A quota in whole seconds: of less than one second, as many times as make one.
fn whole(quota: u32, window: Duration) -> (u64, u64) {
    let second = Duration::from_secs(1).as_nanos();
    let times = second / window.as_nanos().clamp(1, second);
    let times = u32::try_from(times).unwrap_or(u32::MAX);
    let quota = u64::from(quota) * u64::from(times);
    (quota, up(window.saturating_mul(times)))
}

/// In whole seconds, never early.
fn up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(standings: &[Standing]) -> (String, String) {
        let mut headers = HeaderMap::new();
        write(&mut headers, standings);
        let text = |name: &str| {
            let value = headers.get(name);
            value.map_or("", |it| it.to_str().unwrap()).to_owned()
        };
        (text("ratelimit-policy"), text("ratelimit"))
    }

    fn standing(limit: &str, quota: u32, window: Duration, remaining: u32, reset: u64) -> Standing {
        Standing {
            limit: limit.into(),
            quota,
            window,
            remaining,
            reset: Duration::from_millis(reset),
        }
    }

    #[test]
    fn each_limit_is_told_with_its_quota_and_what_is_left_of_it() {
        let (policy, limit) = told(&[
            standing("web/requests", 20, Duration::from_secs(20), 17, 2_001),
            standing("rails/all \"x\"", 5, Duration::from_secs(3_600), 0, 0),
        ]);
        assert_eq!(
            policy,
            r#""web/requests";q=20;w=20, "rails/all \"x\"";q=5;w=3600"#
        );
        assert_eq!(
            limit,
            r#""web/requests";r=17;t=3, "rails/all \"x\"";r=0;t=0"#
        );
    }

    #[test]
    fn a_quota_of_less_than_a_second_is_told_for_whole_seconds() {
        let tenth = standing("t/fast", 1, Duration::from_millis(100), 1, 0);
        assert_eq!(told(&[tenth]).0, r#""t/fast";q=10;w=1"#);
        let odd = standing("t/odd", 1, Duration::from_millis(700), 1, 0);
        assert_eq!(told(&[odd]).0, r#""t/odd";q=1;w=1"#);
    }

    #[test]
    fn what_cannot_be_told_is_left_out() {
        assert_eq!(told(&[]), (String::new(), String::new()));
        let odd = standing("ünique/limit", 1, Duration::from_secs(1), 1, 0);
        let plain = standing("t/l", 1, Duration::from_secs(1), 1, 0);
        assert_eq!(told(&[odd, plain]).1, r#""t/l";r=1;t=0"#);
    }
}
