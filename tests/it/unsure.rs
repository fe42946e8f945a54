//! Spends without an answer, found again or given back whatever the clocks say (L5).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tollgate::acu::Acu;
use tollgate::alerts::Kind;
use tollgate::budget::Payer;
use tollgate::clock::{FakeClock, SystemClock};
use tollgate::fake_devin::{Change, Elsewhere, Fault, FaultKind, FaultTimes};
use tollgate::ledger::moment::Moment;
use tollgate::ledger::tag::TagKey;
use tollgate::ledger::{HoldId, Holding, Ledger, Options, What};
use tollgate::pipeline::upstream::{Timeouts, Upstream};
use tollgate::settle::Reconciler;

use crate::money::POLICY;
use crate::settling::AT_ONCE;
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

/// A gateway whose clock is ahead of Devin's by so many seconds.
async fn ahead(seconds: i64, untagged: &[&str]) -> (World, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::at(Timestamp::UNIX_EPOCH));
    let untagged: HashSet<String> = untagged.iter().map(|it| (*it).to_owned()).collect();
    let setup = Setup {
        policy: POLICY.to_owned(),
        clock: Arc::clone(&clock) as _,
        untagged: Arc::new(untagged),
        ..Setup::default()
    };
    let mut world = World::with(setup).await;
    world.upstream_faulty();
    clock.set(Timestamp::from_second(world.fake.now() + seconds).unwrap());
    (world, clock)
}

/// Past every attempt's deadline, two rounds.
async fn twice(world: &World, clock: &FakeClock) {
    clock.advance(SignedDuration::from_secs(60));
    world.settle(AT_ONCE).await;
    world.settle(AT_ONCE).await;
}

async fn unsure(world: &World) -> usize {
    world.ledger.unsure().await.unwrap().len()
}

#[tokio::test]
async fn l5_m14_a_message_is_found_although_our_clock_was_ahead() {
    let (world, clock) = ahead(3_600, &[]).await;
    let session = world.begin_session("one", r#"{"prompt":"x"}"#).await;
    world.breaks(FaultKind::StatusAfterWork { code: 500 });
    world.say("one", &session, "go on").await;
    clock.advance(SignedDuration::from_secs(60));
    world.settle(AT_ONCE).await;
    assert_eq!(unsure(&world).await, 0, "found at once");
    assert_eq!(world.stands("t/month", "one").await, (0, 10_000));
    world.finish().await;
}

#[tokio::test]
async fn l5_a_message_that_says_what_the_prompt_said_is_not_found_in_the_prompt() {
    let (world, clock) = ahead(0, &[]).await;
    let session = world.begin_session("one", r#"{"prompt":"same"}"#).await;
    world.breaks(FaultKind::ResetBeforeWork);
    world.say("one", &session, "same").await;
    twice(&world, &clock).await;
    assert_eq!(world.stands("t/month", "one").await, (0, 5_000));
    world.breaks(FaultKind::StatusAfterWork { code: 500 });
    world.say("one", &session, "same").await;
    world.settle(AT_ONCE).await;
    assert_eq!(unsure(&world).await, 0);
    assert_eq!(world.stands("t/month", "one").await, (0, 10_000));
    world.finish().await;
}

#[tokio::test]
async fn l5_a_message_in_a_conversation_without_an_end_is_taken_for_carried_out() {
    let (world, clock) = ahead(0, &[]).await;
    let session = world.begin_session("one", r#"{"prompt":"x"}"#).await;
    world.breaks(FaultKind::ResetBeforeWork);
    world.say("one", &session, "go on").await;
    clock.advance(SignedDuration::from_secs(60));
    let path = format!("{SESSIONS}/{session}/messages");
    for page in 0..200 {
        let body = json!({ "items": [], "has_next_page": true, "end_cursor": page.to_string() });
        world.fake.inject(Fault {
            kind: FaultKind::BodyAfterWork(body.to_string().into()),
            times: FaultTimes::Next(1),
            only: Some((Method::GET, path.clone())),
        });
    }
    assert!(world.settle(AT_ONCE).await);
    assert_eq!(unsure(&world).await, 0);
    assert_eq!(world.stands("t/month", "one").await, (0, 10_000));
    world.finish().await;
}

#[tokio::test]
async fn l5_m14_an_untagged_create_is_found_although_our_clock_was_ahead() {
    let (world, clock) = ahead(3_600, &["org-ds"]).await;
    world.breaks(FaultKind::ResetAfterWork);
    world.post("one", SESSIONS, r#"{"prompt":"x"}"#).await;
    twice(&world, &clock).await;
    assert_eq!(unsure(&world).await, 0);
    assert_eq!(world.stands("t/month", "one").await, (0, 5_000));
    let found = format!("devin-{}", world.fake.truth()[0].id);
    let path = format!("{SESSIONS}/{found}");
    world.get("one", &path).await.is_upstream(200);
    world.finish().await;
}

fn by_our_service_user(world: &World) -> String {
    let begun = world.fake.begin_elsewhere(Elsewhere {
        org: Some("org-ds".to_owned()),
        service_user_id: Some(world.fake.service_user()),
        prompt: "z".to_owned(),
        ..Elsewhere::default()
    });
    begun.unwrap()
}

#[tokio::test]
async fn l5_an_untagged_create_is_not_mistaken_for_sessions_before_it_or_long_after_it() {
    let (world, clock) = ahead(3_600, &["org-ds"]).await;
    by_our_service_user(&world);
    world.fake.advance(Duration::from_secs(60));
    world.settle(AT_ONCE).await;
    world.fake.advance(Duration::from_secs(60));
    world.breaks(FaultKind::ResetAfterWork);
    world.post("one", SESSIONS, r#"{"prompt":"x"}"#).await;
    twice(&world, &clock).await;
    assert_eq!(world.rung(Kind::Ambiguous), 0);
    assert_eq!(unsure(&world).await, 0);
    // One that was not there when the create's had to be is another's; the hold is charged, for it could be late.
    world.fake.advance(Duration::from_secs(60));
    world.settle(AT_ONCE).await;
    world.breaks(FaultKind::ResetBeforeWork);
    world.post("one", SESSIONS, r#"{"prompt":"y"}"#).await;
    clock.advance(SignedDuration::from_secs(60));
    world.settle(AT_ONCE).await;
    assert_eq!(unsure(&world).await, 1);
    world.fake.advance(Duration::from_secs(60));
    let later = by_our_service_user(&world);
    world.settle(AT_ONCE).await;
    assert_eq!(world.rung(Kind::Ambiguous), 1);
    let path = format!("{SESSIONS}/{later}");
    let answer = world.get("one", &path).await;
    answer.is_problem(403, "session-denied");
    world.finish().await;
}

#[tokio::test]
async fn l6_m12_a_record_of_another_organization_settles_nothing() {
    let (world, _) = ahead(0, &[]).await;
    let session = world.begin_session("one", r#"{"prompt":"x"}"#).await;
    let members = [
        ("org_id".to_owned(), json!("org-web")),
        ("acus_consumed".to_owned(), json!(4)),
        ("status".to_owned(), json!("exit")),
    ];
    let change = Change {
        shown: Some(members.into_iter().collect()),
        ..Change::default()
    };
    assert!(world.fake.change(&session, change));
    world.settle(AT_ONCE).await;
    let path = format!("{SESSIONS}/{session}");
    world.get("one", &path).await.is_upstream(200);
    world.settle(AT_ONCE).await;
    assert_eq!(world.stands("t/month", "one").await, (0, 5_000));
    world.finish().await;
}

fn holding(organization: &str) -> Holding {
    let payer = Payer {
        organization: organization.into(),
        team: "t".into(),
        caller: "one".into(),
    };
    Holding {
        hold: HoldId::new(),
        moment: Moment::now(&SystemClock),
        asker: payer.clone(),
        payer,
        operation: "pr_reviews.create",
        what: What::Uncapped(Acu::whole(1)),
        budgets: Vec::new(),
        slots: Vec::new(),
        deadline: Duration::ZERO,
        fingerprint: [0; 32],
    }
}

#[tokio::test]
async fn l13_an_organization_that_cannot_be_swept_keeps_no_other_from_spending() {
    let policy = POLICY.replace(
        "organizations: [org-ds]",
        "organizations: [org-ds, org-web]",
    );
    let mut world = World::with(Setup {
        policy,
        ..Setup::default()
    })
    .await;
    world.upstream_faulty();
    let web = "/v3/organizations/org-web/sessions";
    let refuse = |code| Fault {
        kind: FaultKind::Status {
            code,
            retry_after: None,
            x_should_retry: None,
        },
        times: FaultTimes::Always,
        only: Some((Method::GET, web.to_owned())),
    };
    world.fake.inject(refuse(422));
    assert!(!world.settle(AT_ONCE).await);
    world.begin_session("one", r#"{"prompt":"x"}"#).await;
    let refused = world.post("one", web, r#"{"prompt":"x"}"#).await;
    refused.is_problem(503, "store-unavailable");
    let (_, _, ready) = world.operator("/readyz").await;
    // So it is with a ledger that has not been swept yet.
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        path: folder.path().join("l.db"),
        tag_key: TagKey::random().unwrap(),
        quiet: Duration::ZERO,
        hand_over: Duration::ZERO,
    };
    let mut parts = world.parts.clone();
    parts.ledger = Ledger::open(options).await.unwrap();
    let upstream = Upstream::new(&[], Timeouts::default()).unwrap();
    let reconciler = Reconciler::new(&parts, upstream, AT_ONCE);
    assert!(!reconciler.round().await);
    let held = |organization: &str| parts.ledger.hold(holding(organization));
    held("org-ds").await.unwrap();
    held("org-web").await.unwrap_err();
    assert!(ready.contains("org-web"), "{ready}");
    world.fake.clear_faults();
    assert!(world.settle(AT_ONCE).await);
    world
        .post("one", web, r#"{"prompt":"x"}"#)
        .await
        .is_upstream(200);
    world.finish().await;
}
