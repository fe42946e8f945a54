//! Repeats without a key.

use std::time::Duration;

use tollgate::fake_devin::FaultKind;
use tollgate::ledger::{HoldId, Resolution};
use tollgate::pipeline::attempts::{MemoryRecords, Unresolved, fingerprint};

use super::{BODY, SESSIONS, hasty, resolve, session, world};
use crate::world::World;

const SLOW: FaultKind = FaultKind::Latency(Duration::from_millis(400));

#[tokio::test]
async fn m6_a_client_that_gave_up_gets_its_session_when_it_asks_again() {
    let world = World::start().await;
    world.faulty(SLOW);
    world.create_and_leave("").await;
    let answer = world.create("one", &[], BODY).await;
    let lines = world.lines().await;
    let find = |outcome: &str| lines.iter().find(|it| it["outcome"] == outcome).unwrap();
    let (left, joined) = (find("client-gone"), find("complete"));
    assert_eq!(left["upstream_attempts"], 1);
    assert_eq!(left["upstream_status"], 200);
    assert!(left["status"].is_null());
    assert_eq!(joined["attempt"], "joined");
    assert_eq!(joined["first_request_id"], left["request_id"]);
    assert_eq!(joined["upstream_attempts"], 0);
    assert_eq!(joined["answered_by"], "upstream");
    assert_eq!(world.sessions().await, [session(&answer)]);
    world.finish().await;
}

#[tokio::test]
async fn m6_a_repeat_is_only_ever_the_same_callers() {
    let world = World::start().await;
    world.faulty(SLOW);
    world.create_and_leave("").await;
    session(&world.create("other", &[], BODY).await);
    assert_eq!(world.creates(), 2);
    world.finish().await;
}

#[tokio::test]
async fn m23_who_hangs_up_at_once_stops_nothing() {
    let mut world = World::start().await;
    world.faulty(SLOW);
    world.create_and_leave("").await;
    // The process waits for what it began, and says what became of it.
    world.stop();
    let fake = world.fake.clone();
    let line = world.last_line().await;
    assert_eq!(
        (&line["outcome"], &line["upstream_status"]),
        (&"client-gone".into(), &200.into())
    );
    assert_eq!(fake.requests().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn m4_a_repeat_of_what_may_have_been_done_gets_what_was_done() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
        5_000_000,
        "x".repeat(5_000_000)
    );
    for (fault, status) in [
        (FaultKind::ResetAfterWork, 502),
        (FaultKind::HalfAnswer, 502),
        (FaultKind::Raw(large.into()), 502),
        (FaultKind::StatusAfterWork { code: 500 }, 500),
        (FaultKind::StatusAfterWork { code: 409 }, 409),
    ] {
        let records = MemoryRecords::default();
        let mut world = world(&records).await;
        world.upstream_faulty();
        let what = format!("{fault:.40?}");
        world.faulty(fault);
        let failed = world.create("one", &[], BODY).await;
        assert_eq!(failed.status, status);
        // No client is told to send a second create where this may have been one.
        assert!(status != 502 || failed.header("x-should-retry") == Some("false"));
        let record = r#"{"session_id":"devin-found","status":"running"}"#;
        let (answer, ()) = tokio::join!(
            world.create("one", &[], BODY),
            resolve(&records, Resolution::Accepted(record.into())),
        );
        assert_eq!(session(&answer), "devin-found", "{what}");
        assert_eq!(world.last_line().await["attempt"], "joined");
        assert_eq!(world.creates(), 1);
        world.finish().await;
    }
}

#[tokio::test]
async fn m3_a_repeat_of_what_is_known_not_to_have_been_done_does_it() {
    let records = MemoryRecords::default();
    let mut world = world(&records).await;
    world.upstream_faulty();
    world.faulty(FaultKind::ResetBeforeWork);
    world
        .create("one", &[], BODY)
        .await
        .is_problem(502, "upstream-unreachable");
    let (answer, ()) = tokio::join!(
        world.create("one", &[], BODY),
        resolve(&records, Resolution::Absent),
    );
    assert_eq!(world.sessions().await, [session(&answer)]);
    assert_eq!(world.creates(), 2);
    world.finish().await;
}

#[tokio::test]
async fn i8_a_repeat_of_what_an_earlier_process_began_waits_for_what_became_of_it() {
    let records = MemoryRecords::default();
    // As it goes on: without the callers' own secrets.
    let judged = br#"{"secret_ids":[],"prompt":"once","max_acu_limit":5}"#;
    records.leave_behind(Unresolved {
        caller: "one".into(),
        fingerprint: fingerprint("one", "sessions.create", SESSIONS, judged),
        hold: HoldId::new(),
    });
    let world = world(&records).await;
    let record = r#"{"session_id":"devin-found"}"#;
    let (answer, ()) = tokio::join!(
        world.create("one", &[], BODY),
        resolve(&records, Resolution::Accepted(record.into())),
    );
    assert_eq!(session(&answer), "devin-found");
    let line = world.last_line().await;
    assert_eq!(line["attempt"], "joined");
    assert!(line["first_request_id"].is_null());
    assert_eq!(world.creates(), 0);
    world.finish().await;
}

#[tokio::test]
async fn m3_what_cannot_be_found_out_is_never_done_again_by_a_client_library() {
    for resolution in [None, Some(Resolution::Unresolvable)] {
        let records = MemoryRecords::default();
        let mut world = hasty(&records).await;
        world.upstream_faulty();
        world.faulty(FaultKind::ResetAfterWork);
        world.create("one", &[], BODY).await;
        if let Some(resolution) = resolution {
            resolve(&records, resolution).await;
        }
        let answer = world.create("one", &[], BODY).await;
        answer.is_problem(504, "upstream-timeout");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(world.creates(), 1);
        world.finish().await;
    }
}

#[tokio::test]
async fn i5_what_was_refused_is_over() {
    let world = World::start().await;
    for code in [400, 402, 403, 404, 405, 413, 415, 422, 429] {
        world.faulty(FaultKind::Status {
            code,
            retry_after: None,
            x_should_retry: None,
        });
        let body = format!(r#"{{"prompt":"{code}"}}"#);
        let answer = world.create("one", &[], &body).await;
        assert_eq!(answer.status, code);
        let repeat = [("x-stainless-retry-count", "1")];
        session(&world.create("one", &repeat, &body).await);
    }
    assert_eq!(world.creates(), 18);
    world.finish().await;
}

#[tokio::test]
async fn equal_requests_whose_clients_wait_are_different_intents() {
    let world = World::start().await;
    for _ in 0..3 {
        world.faulty(FaultKind::Latency(Duration::from_millis(900)));
    }
    let (one, two, three) = tokio::join!(
        world.create("one", &[], BODY),
        world.create("one", &[], BODY),
        world.create("one", &[], BODY),
    );
    let mut all = [session(&one), session(&two), session(&three)].map(|it| it.to_string());
    all.sort();
    assert!(all[0] != all[1] && all[1] != all[2], "{all:?}");
    // Nor is one that comes when they have their answers.
    session(&world.create("one", &[], BODY).await);
    assert_eq!(world.creates(), 4);
    world.finish().await;
}

#[tokio::test]
async fn m6_who_says_that_it_repeats_gets_what_was_delivered() {
    let world = World::start().await;
    let first = world
        .create("one", &[("x-stainless-retry-count", "0")], BODY)
        .await;
    let again = world
        .create("one", &[("x-stainless-retry-count", "1")], BODY)
        .await;
    assert_eq!(session(&first), session(&again));
    assert_eq!(first.body, again.body);
    assert_eq!(world.creates(), 1);
    world.finish().await;
}

#[tokio::test]
async fn who_still_waits_when_another_takes_its_place_gets_the_same_answer() {
    let world = World::start().await;
    world.faulty(FaultKind::Latency(Duration::from_millis(900)));
    let repeat = async {
        world.devin_has(1).await;
        world
            .create("one", &[("x-stainless-retry-count", "1")], BODY)
            .await
    };
    let (first, second) = tokio::join!(world.create("one", &[], BODY), repeat);
    assert_eq!(session(&first), session(&second));
    assert_eq!(world.creates(), 1);
    world.finish().await;
}

#[tokio::test]
async fn m6_a_message_is_sent_once_too() {
    let world = World::start().await;
    let id = session(&world.create("one", &[], BODY).await);
    let path = format!("{SESSIONS}/{}/messages", id.as_str().unwrap());
    let request = || {
        http::Request::post("/")
            .header("authorization", format!("Bearer {}", world.key("one")))
            .header("content-type", "application/json")
            .header("x-stainless-retry-count", "1")
    };
    for body in [r#"{"message":"a b"}"#, r#"{ "message" : "a\u0020b" }"#] {
        world.send(&path, request(), body).await.is_upstream(200);
    }
    assert_eq!(world.creates(), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_no_rule_looks_into_is_compared_and_bounded_all_the_same() {
    let world = World::start().await;
    let large = format!(r#"{{"prompt":"{}"}}"#, "x".repeat(200_000));
    let first = session(&world.create("one", &[], &large).await);
    let repeat = [("x-stainless-retry-count", "2")];
    assert_eq!(session(&world.create("one", &repeat, &large).await), first);
    let too_large = format!(r#"{{"prompt":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    world
        .create("one", &[], &too_large)
        .await
        .is_problem(413, "body-too-large");
    world.finish().await;
}
