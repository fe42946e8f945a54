//! What becomes of a hold when something goes wrong between us and Devin (L4, L5).

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tollgate::fake_devin::{Change, Ending, Fault, FaultKind};
use tollgate::pipeline::upstream::Timeouts;

use super::SESSIONS;
use crate::settling::AT_ONCE;
use crate::world::{Setup, World};

const POLICY: &str = r#"
team: t
callers: { one: {} }
allow:
  - { name: sessions, operations: ["sessions.**"], organizations: [org-ds], body: { max_acu_limit: { default: 5 } } }
budgets:
  - { name: month, per: team, acus: 500, every: month }
"#;
/// What each create holds, in thousandths.
const HELD: i64 = 5_000;

/// A gateway that gives Devin little time.
async fn world() -> World {
    let mut world = World::with(Setup {
        policy: POLICY.to_owned(),
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_millis(1_500),
            total: Duration::from_millis(1_500),
        },
        ..Setup::default()
    })
    .await;
    world.upstream_faulty();
    world
}

fn status(code: u16) -> FaultKind {
    FaultKind::Status {
        code,
        retry_after: None,
        x_should_retry: None,
    }
}

/// Strikes the next POST, not the reconciler's reads.
fn strike(world: &World, kind: FaultKind) {
    world.fake.inject(Fault {
        only: Some((Method::POST, "/".to_owned())),
        ..Fault::next(kind)
    });
}

/// What leaves a create without a known outcome, and whether Devin did the work.
fn unknown() -> Vec<(&'static str, FaultKind, bool)> {
    let long = Duration::from_secs(4);
    let bytes = |text: &'static str| FaultKind::BodyAfterWork(Bytes::from_static(text.as_bytes()));
    vec![
        ("slow to begin", FaultKind::Latency(long), false),
        ("slow to answer", FaultKind::LatencyAfterWork(long), true),
        ("never answers", FaultKind::Hang, false),
        ("reset before", FaultKind::ResetBeforeWork, false),
        ("reset after", FaultKind::ResetAfterWork, true),
        ("500 before", status(500), false),
        ("503 before", status(503), false),
        ("500 after", FaultKind::StatusAfterWork { code: 500 }, true),
        ("502 after", FaultKind::StatusAfterWork { code: 502 }, true),
        ("409", status(409), false),
        ("half an answer", FaultKind::HalfAnswer, true),
        ("malformed", bytes("{\"session_id\": "), true),
        ("no record", bytes("[1, 2]"), true),
        (
            "no session_id",
            FaultKind::WithoutMember("session_id".to_owned()),
            true,
        ),
    ]
}

#[tokio::test]
async fn l4_m5_a_definite_refusal_gives_the_hold_back_at_once() {
    let world = world().await;
    let until = FaultKind::StatusUntil {
        code: 429,
        seconds: 30,
    };
    // A 429 comes last: after it nothing that spends leaves for a while.
    let refusals = [400, 402, 403, 404, 405, 413, 415, 422].map(status);
    let refusals = refusals.into_iter().chain([FaultKind::RejectToken, until]);
    for (n, kind) in refusals.enumerate() {
        let what = format!("{kind:?}");
        strike(&world, kind);
        let body = format!(r#"{{"prompt":"refused {n}"}}"#);
        let answer = world.post("one", SESSIONS, &body).await;
        assert!(!answer.status.is_success(), "{what}");
        assert_eq!(world.stands("t/month", "one").await, (0, 0), "{what}");
    }
    assert_eq!(world.fake.truth().len(), 0);
    world.is_known_and_sound().await;
    world.finish().await;
}

#[tokio::test]
async fn l5_m3_m4_without_a_known_outcome_the_hold_stays_whatever_went_wrong() {
    let world = world().await;
    for (n, (what, kind, _)) in unknown().into_iter().enumerate() {
        strike(&world, kind);
        let body = format!(r#"{{"prompt":"unknown {n}"}}"#);
        let answer = world.post("one", SESSIONS, &body).await;
        assert!(!answer.status.is_success(), "{what}");
        let held = HELD * (n as i64 + 1);
        assert_eq!(world.stands("t/month", "one").await, (0, held), "{what}");
        assert_eq!(world.ledger.unsure().await.unwrap().len(), n + 1, "{what}");
    }
    world.finish().await;
}

#[tokio::test]
async fn l5_m3_m4_the_reconciler_finds_what_was_done_and_frees_what_was_not() {
    let world = world().await;
    let mut done = 0;
    for (n, (what, kind, works)) in unknown().into_iter().enumerate() {
        strike(&world, kind);
        let body = format!(r#"{{"prompt":"found {n}"}}"#);
        world.post("one", SESSIONS, &body).await;
        done += usize::from(works);
        world.all_are_known().await;
        assert_eq!(world.fake.truth().len(), done, "{what}");
        let held = HELD * done as i64;
        assert_eq!(world.stands("t/month", "one").await, (0, held), "{what}");
    }
    world.is_known_and_sound().await;
    // They work, up to their caps, and end: the ledger has what they used, and gives back the rest.
    world.fake.advance(Duration::from_secs(300));
    let mut spent = 0;
    for session in world.fake.truth() {
        let ends = Change {
            ends: Some(Ending::Exit),
            ..Change::default()
        };
        assert!(world.fake.change(&session.id, ends));
        spent += session.spent_milli;
    }
    assert!(spent > 0);
    assert!(world.settle(AT_ONCE).await);
    assert_eq!(world.stands("t/month", "one").await, (spent, 0));
    world.is_known_and_sound().await;
    world.finish().await;
}

#[tokio::test]
async fn l5_l7_a_message_is_held_for_kept_and_found_as_a_create_is() {
    let world = world().await;
    let created = world.post("one", SESSIONS, r#"{"prompt":"x"}"#).await;
    let session = created.is_upstream(200).json()["session_id"].clone();
    let path = format!("{SESSIONS}/{}/messages", session.as_str().unwrap());
    let mut holds = 1;
    for (n, (what, kind, works)) in unknown().into_iter().enumerate() {
        if what == "409" || what == "no session_id" {
            // Definite for a message; and its answer is not looked at for an id.
            continue;
        }
        strike(&world, kind);
        let body = format!(r#"{{"message":"go on {n}"}}"#);
        world.post("one", &path, &body).await;
        world.all_are_known().await;
        holds += usize::from(works);
        assert_eq!(world.fake.truth()[0].told, holds, "{what}");
        // Nothing was used yet; each later wake closes the one before it.
        let held = world.stands("t/month", "one").await;
        assert_eq!(held, (0, HELD), "{what}");
    }
    world.is_known_and_sound().await;
    world.finish().await;
}
