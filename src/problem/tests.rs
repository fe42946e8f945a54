//! What answers say of refusals, and what they do not.

use crate::clock::SystemClock;
use http::Request;

use super::*;
use crate::body::BoxError;

#[test]
fn u7_no_answer_holds_a_cause() {
    let marked = || BoxError::from("marker-of-a-cause");
    for rejection in [
        Rejection::UpstreamUnreachable {
            source: marked(),
            may_have_acted: true,
        },
        Rejection::UpstreamInvalid {
            source: marked(),
            may_have_acted: false,
        },
        Rejection::UpstreamTimeout {
            phase: "marker-of-a-cause",
            may_have_acted: true,
        },
    ] {
        let trail = Trail::begin(&Request::new(()), None, None, &SystemClock);
        let Answer {
            response, cause, ..
        } = rejection.answer(&trail);
        assert!(cause.is_some_and(|it| it.contains("marker")));
        assert!(!format!("{:?}", response.headers()).contains("marker"));
        let body = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(
            response.into_body(),
        ));
        let bytes = body.unwrap().unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains("marker"));
    }
}

#[test]
fn a_wait_is_told_in_whole_seconds_and_never_early() {
    for (nanos, seconds) in [
        (0, 1),
        (1, 1),
        (1_000_000_000, 1),
        (1_000_000_001, 2),
        (29_999_999_999, 30),
    ] {
        assert_eq!(whole_seconds(Duration::from_nanos(nanos)), seconds);
    }
}
