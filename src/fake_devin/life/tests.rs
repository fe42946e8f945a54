//! The life of one session, without a world around it.

use super::*;

fn session(cap: Option<Milli>, organization: Option<Milli>) -> Session {
    let pace = Pace {
        claim: 2.0,
        start: 5.0,
        resume: 5.0,
        work: 600.0,
        idle: 60.0,
        acus_per_second: 0.01,
    };
    let allowance = Allowance {
        cap,
        overrun: 0,
        organization,
    };
    let wishes = Wishes::default();
    Session::new(
        "0".repeat(32),
        "org-a".into(),
        "go".into(),
        wishes,
        pace,
        allowance,
        0.0,
    )
}

fn status(session: &Session, now: Moment) -> (&'static str, Option<&'static str>) {
    let state = session.state(now);
    (state.status, state.detail)
}

#[test]
fn walks_through_its_states() {
    let session = session(None, None);
    assert_eq!(status(&session, 1.0), ("new", None));
    assert_eq!(status(&session, 3.0), ("claimed", None));
    assert_eq!(status(&session, 5.0), ("running", Some("working")));
    assert_eq!(status(&session, 605.0), ("running", Some("finished")));
    assert_eq!(status(&session, 665.0), ("suspended", Some("inactivity")));
    assert_eq!(session.spent(305.0), 3_000);
    assert_eq!(session.spent(1e6), 6_000);
    assert_eq!(session.conversation(1e6).len(), 3);
}

#[test]
fn the_cap_holds_for_each_wake_only() {
    let allowance = Allowance {
        cap: Some(2_000),
        overrun: 0,
        organization: None,
    };
    let mut session = session(Some(2_000), None);
    assert_eq!(
        status(&session, 205.0),
        ("suspended", Some("usage_limit_exceeded"))
    );
    assert!(session.message("more".into(), allowance, false, 1_000.0));
    assert_eq!(status(&session, 1_001.0), ("resuming", None));
    assert_eq!(session.spent(1_105.0), 3_000);
    assert_eq!(session.spent(1e6), 4_000);
    session.end("exit", 2_000.0);
    assert!(!session.message("too late".into(), allowance, false, 2_001.0));
}

#[test]
fn an_empty_organization_holds_a_session_at_once() {
    let session = session(Some(2_000), Some(0));
    assert_eq!(
        status(&session, 5.0),
        ("suspended", Some("org_usage_limit_exceeded"))
    );
    assert_eq!(session.spent(1e6), 0);
}

#[test]
fn spending_is_split_at_the_billing_day() {
    let mut session = session(None, None);
    session.wakes[0].at = 28_800.0 - 105.0;
    let days = session.spent_by_day(1e6);
    assert_eq!(days.len(), 2);
    assert_eq!(days[0].1, 1_000);
    assert_eq!(days[1].1, 5_000);
}

#[test]
fn a_wake_stops_exactly_at_its_cap() {
    // 0.01 a second: 333.3 seconds to the cap, wherever on the way somebody looks.
    let odd = session(Some(3_333), None);
    for now in [5.0, 100.7, 338.29, 338.3, 338.31, 1e6] {
        assert!(odd.spent(now) <= 3_333, "{now}");
    }
    assert_eq!(odd.spent(338.3), 3_333);
    assert_eq!(odd.spent(1e9), 3_333);
}

#[test]
fn spending_never_goes_down_and_days_add_up() {
    let mut odd = session(Some(5_417), None);
    odd.wakes[0].at = 28_800.0 - 123.456;
    let mut last = 0;
    for step in 0..2_000 {
        let now = odd.wakes[0].at + f64::from(step) * 0.37;
        let spent = odd.spent(now);
        assert!(spent >= last, "{now}");
        let days: Milli = odd.spent_by_day(now).iter().map(|(_, milli)| milli).sum();
        assert_eq!(days, spent, "{now}");
        last = spent;
    }
    assert_eq!(last, 5_417);
    assert_eq!(odd.spent_by_day(1e6).len(), 2);
}

#[test]
fn an_overrun_goes_beyond_the_cap_by_just_that() {
    let mut over = session(Some(2_000), None);
    over.wakes[0].allowance.overrun = 77;
    assert_eq!(over.spent(1e6), 2_077);
    assert_eq!(
        status(&over, 1e6),
        ("suspended", Some("usage_limit_exceeded"))
    );
}

#[test]
fn another_cap_never_takes_back_what_was_spent() {
    let mut lowered = session(Some(5_000), None);
    lowered.recap(1, 305.0);
    assert_eq!(lowered.spent(1e6), 3_000);
    let mut raised = session(Some(2_000), None);
    raised.recap(4, 105.0);
    assert_eq!(raised.spent(1e6), 4_000);
    // Asleep at its cap, it stays asleep until it is woken.
    let mut late = session(Some(2_000), None);
    late.recap(4, 500.0);
    assert_eq!(late.spent(1e6), 2_000);
}
