//! `Idempotency-Key`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use jiff::SignedDuration;
use tollgate::clock::{Clock, FakeClock, SystemClock};
use tollgate::fake_devin::FaultKind;
use tollgate::ledger::Resolution;
use tollgate::pipeline::attempts::{Key, MemoryRecords, Progress, Records};

use super::{BODY, SESSIONS, hasty, resolve, session, world};
use crate::world::{Setup, World};

const KEY: [(&str, &str); 1] = [("idempotency-key", "k1")];

#[tokio::test]
async fn i1_a_hundred_at_once_are_one_create() {
    let world = World::start().await;
    world.faulty(FaultKind::Latency(Duration::from_millis(300)));
    let answers = join_all((0..100).map(|_| world.create("one", &KEY, BODY))).await;
    let first = session(&answers[0]);
    assert!(answers.iter().all(|it| session(it) == first));
    assert_eq!(world.creates(), 1);
    let lines = world.lines().await;
    let ran = lines.iter().filter(|it| it["attempt"].is_null());
    assert_eq!(ran.count(), 1);
    let replayed = lines.iter().filter(|it| it["attempt"] == "replayed");
    assert_eq!(replayed.count(), 99);
    world.finish().await;
}

#[tokio::test]
async fn i1_who_left_gets_the_answer_by_the_key_later() {
    let world = World::start().await;
    world.create_and_leave("Idempotency-Key: k1\r\n").await;
    let answer = world.create("one", &KEY, BODY).await;
    assert_eq!(world.sessions().await, [session(&answer)]);
    world.finish().await;
}

#[tokio::test]
async fn i2_a_key_belongs_to_one_request() {
    let world = World::start().await;
    let id = session(&world.create("one", &KEY, BODY).await);
    world
        .create("one", &KEY, r#"{"prompt":"other"}"#)
        .await
        .is_problem(422, "idempotency-mismatch");
    let path = format!("{SESSIONS}/{}/messages", id.as_str().unwrap());
    for path in [path.as_str(), "/v3beta1/organizations/org-ds/sessions"] {
        let request = Request::post("/")
            .header("authorization", format!("Bearer {}", world.key("one")))
            .header("content-type", "application/json")
            .header("idempotency-key", "k1");
        let answer = world.send(path, request, BODY).await;
        answer.is_problem(422, "idempotency-mismatch");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert_eq!(world.creates(), 1);
    world.finish().await;
}

#[tokio::test]
async fn i3_callers_have_keys_of_their_own() {
    let world = World::start().await;
    let one = session(&world.create("one", &KEY, BODY).await);
    let other = session(&world.create("other", &KEY, BODY).await);
    assert_ne!(one, other);
    world.finish().await;
}

#[tokio::test]
async fn i4_a_key_survives_the_process_and_ends_after_a_day() {
    let records = MemoryRecords::default();
    let first = world(&records).await;
    let answer = first.create("one", &KEY, BODY).await;
    first.finish().await;

    let clock = Arc::new(FakeClock::at(SystemClock.now()));
    let second = World::with(Setup {
        records: Some(Arc::new(records.clone())),
        clock: Arc::clone(&clock) as _,
        ..Setup::default()
    })
    .await;
    clock.advance(SignedDuration::from_hours(23));
    let again = second.create("one", &KEY, BODY).await;
    assert_eq!(session(&again), session(&answer));
    assert_eq!(again.body, answer.body);
    assert_eq!(again.header("content-type"), answer.header("content-type"));
    assert_eq!(second.creates(), 0);
    clock.advance(SignedDuration::from_hours(2));
    session(&second.create("one", &KEY, r#"{"prompt":"other"}"#).await);
    assert_eq!(second.creates(), 1);
    second.finish().await;
}

#[tokio::test]
async fn i5_a_refusal_uses_no_key_up() {
    let world = World::start().await;
    world.create("one", &KEY, "{}").await.is_upstream(422);
    world.faulty(FaultKind::Status {
        code: 429,
        retry_after: Some(1),
        x_should_retry: None,
    });
    world.create("one", &KEY, BODY).await.is_upstream(429);
    session(&world.create("one", &KEY, BODY).await);
    assert_eq!(world.creates(), 3);
    world.finish().await;
}

#[tokio::test]
async fn i6_a_secret_is_answered_once_and_stored_nowhere() {
    let records = MemoryRecords::default();
    let world = World::with(Setup {
        records: Some(Arc::new(records.clone())),
        policy: r#"
team: t
callers: { one: {} }
allow:
  - { name: automations, operations: [automations.create], organizations: [org-ds], secrets: reveal, uncapped: { acus: 1, per: run } }
"#
        .to_owned(),
        ..Setup::default()
    })
    .await;
    let answer = r#"{"session_id":"devin-7","inbox_secret":"shown-once"}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    );
    world.faulty(FaultKind::Raw(answer.into()));
    let create = async || {
        let request = Request::post("/")
            .header("authorization", format!("Bearer {}", world.key("one")))
            .header("content-type", "application/json")
            .header("idempotency-key", "k1");
        let path = "/v3/organizations/org-ds/automations";
        world.send(path, request, r#"{"name":"n"}"#).await
    };
    let first = create().await;
    assert_eq!(first.json()["inbox_secret"], "shown-once");
    let again = create().await;
    again.is_problem(409, "idempotency-in-flight");
    assert_eq!(again.json()["session"], "devin-7");
    assert_eq!(again.header("x-should-retry"), Some("false"));
    let key = Key::parse(b"k1").unwrap();
    let stored = records.find("one", &key, SystemClock.now()).await.unwrap();
    let session = Some("devin-7".to_owned());
    assert_eq!(stored.unwrap().progress, Progress::Withheld { session });
    assert_eq!(world.creates(), 1);
    world.finish().await;
}

#[tokio::test]
async fn i8_a_process_that_died_before_it_heard_the_answer() {
    let records = MemoryRecords::default();
    let mut first = hasty(&records).await;
    first.upstream_faulty();
    first.faulty(FaultKind::Hang);
    first
        .create("one", &KEY, BODY)
        .await
        .is_problem(504, "upstream-timeout");
    // While nobody knows, the same process says so, and no client library sends another key's worth.
    first
        .create("one", &KEY, BODY)
        .await
        .is_problem(409, "idempotency-in-flight");
    assert_eq!(first.creates(), 1);
    first.finish().await;

    let second = world(&records).await;
    let record = r#"{"session_id":"devin-found"}"#;
    let (answer, ()) = tokio::join!(
        second.create("one", &KEY, BODY),
        resolve(&records, Resolution::Accepted(record.into())),
    );
    assert_eq!(session(&answer), "devin-found");
    assert_eq!(
        session(&second.create("one", &KEY, BODY).await),
        "devin-found"
    );
    assert_eq!(second.creates(), 0);
    second.finish().await;
}

#[tokio::test]
async fn i9_neither_spelling_nor_headers_make_another_request() {
    let world = World::start().await;
    let first = session(
        &world
            .create(
                "one",
                &KEY,
                r#"{"prompt":"a","tags":["x"],"max_acu_limit":5}"#,
            )
            .await,
    );
    let headers = [("idempotency-key", "\"k1\""), ("accept-language", "ja")];
    let spelled = r#" { "max_acu_limit":5, "tags" : ["\u0078"],"prompt":"a" }"#;
    assert_eq!(
        session(&world.create("one", &headers, spelled).await),
        first
    );
    assert_eq!(world.creates(), 1);
    world.finish().await;
}

#[tokio::test]
async fn i10_a_replay_is_decided_anew() {
    let records = MemoryRecords::default();
    let first = world(&records).await;
    session(&first.create("one", &KEY, BODY).await);
    first.finish().await;
    let second = World::with(Setup {
        records: Some(Arc::new(records.clone())),
        policy: r#"
team: t
callers: { one: {} }
allow:
  - { name: reading, operations: [sessions.list], organizations: [org-ds] }
"#
        .to_owned(),
        ..Setup::default()
    })
    .await;
    second
        .create("one", &KEY, BODY)
        .await
        .is_problem(403, "operation-denied");
    second.finish().await;
}

#[tokio::test]
async fn h10_a_key_that_can_be_read_in_two_ways_is_refused() {
    let world = World::start().await;
    let long = "x".repeat(256);
    for key in ["", "\"\"", "\"k", "a b", &long] {
        world
            .create("one", &[("idempotency-key", key)], BODY)
            .await
            .is_problem(400, "header-invalid");
    }
    world
        .create(
            "one",
            &[("idempotency-key", "k"), ("idempotency-key", "k")],
            BODY,
        )
        .await
        .is_problem(400, "header-invalid");
    assert_eq!(world.creates(), 0);
    // What spends nothing has no use for one.
    let request = Request::get("/")
        .header("authorization", format!("Bearer {}", world.key("one")))
        .header("idempotency-key", "a b");
    world.send(SESSIONS, request, "").await.is_upstream(200);
    world.finish().await;
}
