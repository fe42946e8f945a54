//! Budgets over real sockets: what is held, refused, settled and found again (L1 to L13, M).

use std::time::Duration;

use http::Method;
use serde_json::json;
use tollgate::acu::Cap;
use tollgate::fake_devin::{Change, Elsewhere, Fault, FaultKind};
use tollgate::ledger::HoldId;
use tollgate::ledger::tag::Tag;
use tollgate::settle::Times;

use crate::answer::Answer;
use crate::settling::AT_ONCE;
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
/// A fake session works for eight minutes, and uses two ACUs at each wake.
const DONE: Duration = Duration::from_secs(3_600);

pub(crate) const POLICY: &str = r#"
team: t
owner: t@acme.example
callers: { one: {}, other: {} }
allow:
  - name: run
    operations: [sessions.*, sessions.messages.*, sessions.tags.*]
    organizations: [org-ds]
    body: { max_acu_limit: { default: 5, max: 20 } }
  - name: work
    operations: [schedules.create, pr_reviews.create]
    organizations: [org-ds]
    uncapped: { acus: 3, per: run }
budgets:
  - { name: month, per: team, acus: 20, every: month }
  - { name: mine, per: caller, acus: 12, every: day }
"#;

async fn world() -> World {
    with(POLICY).await
}

async fn with(policy: &str) -> World {
    let setup = Setup {
        policy: policy.to_owned(),
        ..Setup::default()
    };
    World::with(setup).await
}

impl World {
    pub(crate) async fn begin_session(&self, caller: &str, body: &str) -> String {
        let answer = self.post(caller, SESSIONS, body).await;
        answer.is_upstream(200);
        answer.json()["session_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn say(&self, caller: &str, session: &str, text: &str) -> Answer {
        let path = format!("{SESSIONS}/{session}/messages");
        self.post(caller, &path, &json!({ "message": text }).to_string())
            .await
    }

    pub(crate) fn breaks(&self, kind: FaultKind) {
        self.fake.inject(Fault::next(kind));
    }
}

#[tokio::test]
async fn l1_l3_what_devin_is_told_is_what_is_held_in_every_budget() {
    let world = world().await;
    let answer = world
        .post("one", SESSIONS, r#"{"prompt":"x","max_acu_limit":7}"#)
        .await;
    answer.is_upstream(200);
    assert_eq!(answer.header("tollgate-acu-cap"), Some("7"));
    let remaining = answer.header("tollgate-acu-remaining").unwrap();
    assert!(
        remaining.starts_with("5;budget=\"t/mine\";resets=@"),
        "{remaining}"
    );
    let truth = world.fake.truth();
    assert_eq!(truth[0].cap, Some(7));
    assert!(truth[0].tags[0].starts_with("tollgate."), "{truth:?}");
    for budget in ["t/month", "t/mine"] {
        assert_eq!(world.stands(budget, "one").await, (0, 7_000));
    }
    let line = world.last_line().await;
    assert_eq!(
        (&line["acu_cap"], &line["acu_held"]),
        (&json!(7), &json!(7))
    );
    assert_eq!(
        (&line["budget"], &line["budget_remaining"]),
        (&json!("t/mine"), &json!(5))
    );
    world.finish().await;
}

#[tokio::test]
async fn l2_a_full_budget_refuses_before_devin_hears_of_it() {
    let world = world().await;
    world
        .begin_session("one", r#"{"prompt":"1","max_acu_limit":12}"#)
        .await;
    let refused = world.post("one", SESSIONS, r#"{"prompt":"2"}"#).await;
    refused.is_problem(402, "budget-exhausted");
    let body = refused.json();
    assert_eq!(body["budget"], "t/mine");
    assert_eq!(body["remaining_acus"], 0);
    assert_eq!(body["owner"], "t@acme.example");
    assert!(
        body["resets_at"].as_str().unwrap().ends_with("T00:00:00Z"),
        "{body}"
    );
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    // Another caller's own is empty, and the team's has eight left.
    world
        .post("other", SESSIONS, r#"{"prompt":"3","max_acu_limit":9}"#)
        .await
        .is_problem(402, "budget-exhausted");
    world
        .begin_session("other", r#"{"prompt":"4","max_acu_limit":8}"#)
        .await;
    assert_eq!(world.fake.truth().len(), 2);
    assert_eq!(world.stands("t/month", "one").await, (0, 20_000));
    world.finish().await;
}

#[tokio::test]
async fn l3_no_room_clamps_where_the_policy_says_so_and_uncapped_creates_are_refused() {
    let clamping = POLICY.replace("max: 20 }", "max: 20, min: 2, no_room: clamp }");
    let world = with(&clamping).await;
    world
        .begin_session("one", r#"{"prompt":"1","max_acu_limit":9}"#)
        .await;
    let answer = world.post("one", SESSIONS, r#"{"prompt":"2"}"#).await;
    assert_eq!(
        answer.is_upstream(200).header("tollgate-acu-cap"),
        Some("3")
    );
    assert_eq!(world.fake.truth()[1].cap, Some(3));
    world
        .post("one", SESSIONS, r#"{"prompt":"3"}"#)
        .await
        .is_problem(402, "budget-exhausted");
    world.finish().await;
    let world = with(&POLICY.replace("default: 5, ", "")).await;
    let refused = world.post("one", SESSIONS, r#"{"prompt":"1"}"#).await;
    refused.is_problem(403, "spend-uncapped");
    assert_eq!(refused.json()["rule"], "t/run");
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn l4_m5_a_refusal_of_devins_gives_the_hold_back_at_once() {
    let world = world().await;
    for code in [400, 402, 403, 404, 405, 413, 415, 422, 429] {
        world.breaks(FaultKind::Status {
            code,
            retry_after: None,
            x_should_retry: None,
        });
        world
            .post("one", SESSIONS, r#"{"prompt":"x"}"#)
            .await
            .is_upstream(code);
        assert_eq!(world.stands("t/month", "one").await, (0, 0), "{code}");
    }
    world.finish().await;
}

#[tokio::test]
async fn l5_m3_m4_what_was_created_unseen_is_found_by_its_tag() {
    for kind in [
        FaultKind::ResetAfterWork,
        FaultKind::StatusAfterWork { code: 500 },
        FaultKind::StatusAfterWork { code: 409 },
        FaultKind::HalfAnswer,
        FaultKind::WithoutMember("session_id".to_owned()),
        FaultKind::BodyAfterWork("{".into()),
    ] {
        let mut world = world().await;
        world.upstream_faulty();
        world.breaks(kind.clone());
        let answer = world.post("one", SESSIONS, r#"{"prompt":"x"}"#).await;
        assert!(
            answer.status.is_client_error() || answer.status.is_server_error(),
            "{kind:?}"
        );
        assert_eq!(world.stands("t/month", "one").await, (0, 5_000), "{kind:?}");
        assert!(world.settle(AT_ONCE).await);
        // Its caller asks again, and gets the session that there is.
        let found = world.begin_session("one", r#"{"prompt":"x"}"#).await;
        assert_eq!(world.fake.truth().len(), 1, "{kind:?}");
        world
            .get("one", &format!("{SESSIONS}/{found}"))
            .await
            .is_upstream(200);
        assert_eq!(world.stands("t/month", "one").await, (0, 5_000), "{kind:?}");
        world.fake.advance(DONE);
        world.settle(AT_ONCE).await;
        world.settle(AT_ONCE).await;
        assert_eq!(world.stands("t/month", "one").await, (2_000, 0), "{kind:?}");
        world.finish().await;
    }
}

#[tokio::test]
async fn l5_what_never_happened_is_released_by_two_listings_and_no_timer() {
    let mut world = world().await;
    world.upstream_faulty();
    world.breaks(FaultKind::ResetBeforeWork);
    let answer = world.post("one", SESSIONS, r#"{"prompt":"x"}"#).await;
    answer.is_problem(502, "upstream-unreachable");
    // A listing that began too early says nothing, however often.
    for _ in 0..3 {
        world.settle(Times::default()).await;
    }
    assert_eq!(world.stands("t/month", "one").await, (0, 5_000));
    let later = Times {
        unknown_after: Duration::ZERO,
        ..AT_ONCE
    };
    // The attempt could have been carried out until its deadline; nothing that is seen before counts.
    world.settle(later).await;
    world.settle(later).await;
    assert_eq!(world.stands("t/month", "one").await, (0, 5_000));
    let unsure = world.ledger.unsure().await.unwrap();
    assert_eq!(unsure.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn l5_a_message_without_an_answer_is_looked_for_among_the_messages() {
    let mut world = world().await;
    world.upstream_faulty();
    let session = world
        .begin_session("one", r#"{"prompt":"x","max_acu_limit":4}"#)
        .await;
    world.say("one", &session, "same").await.is_upstream(200);
    assert_eq!(world.stands("t/month", "one").await, (0, 8_000));
    world.breaks(FaultKind::StatusAfterWork { code: 500 });
    world.say("one", &session, "same ").await;
    assert_eq!(world.ledger.unsure().await.unwrap().len(), 1);
    world.settle(AT_ONCE).await;
    assert!(
        world.ledger.unsure().await.unwrap().is_empty(),
        "found among the messages"
    );
    world.breaks(FaultKind::ResetBeforeWork);
    world.say("one", &session, "same").await;
    world.settle(AT_ONCE).await;
    assert_eq!(
        world.ledger.unsure().await.unwrap().len(),
        1,
        "two were said, not three"
    );
    world.finish().await;
}

#[tokio::test]
async fn l5_where_tags_are_restricted_the_one_new_session_is_it() {
    let untagged = std::collections::HashSet::from(["org-ds".to_owned()]);
    let mut world = World::with(Setup {
        policy: POLICY.to_owned(),
        untagged: std::sync::Arc::new(untagged),
        ..Setup::default()
    })
    .await;
    world.upstream_faulty();
    let known = world
        .begin_session("other", r#"{"prompt":"0","max_acu_limit":1}"#)
        .await;
    assert!(world.fake.truth()[0].tags.is_empty());
    world.breaks(FaultKind::ResetAfterWork);
    world.post("one", SESSIONS, r#"{"prompt":"x"}"#).await;
    world.settle(AT_ONCE).await;
    let found = world.begin_session("one", r#"{"prompt":"x"}"#).await;
    assert_ne!(found, known);
    assert_eq!(world.fake.truth().len(), 2);
    // Several that it could be: none is anybody's, and the hold is charged.
    world.breaks(FaultKind::ResetAfterWork);
    world.post("one", SESSIONS, r#"{"prompt":"y"}"#).await;
    let ours = Some(world.fake.service_user());
    world.fake.begin_elsewhere(Elsewhere {
        org: Some("org-ds".to_owned()),
        service_user_id: ours,
        prompt: "z".to_owned(),
        ..Elsewhere::default()
    });
    world.settle(AT_ONCE).await;
    assert_eq!(world.stands("t/mine", "one").await, (5_000, 5_000));
    world.finish().await;
}

#[tokio::test]
async fn l6_a_session_is_settled_by_what_devin_says_and_its_end_at_once() {
    let world = world().await;
    let session = world.begin_session("one", r#"{"prompt":"x"}"#).await;
    world.fake.advance(Duration::from_secs(5 + 4 * 60));
    world
        .get("one", &format!("{SESSIONS}/{session}"))
        .await
        .is_upstream(200);
    world.settle(AT_ONCE).await;
    assert_eq!(world.stands("t/month", "one").await, (1_000, 4_000));
    let path = format!("{SESSIONS}/{session}");
    world
        .call("one", Method::DELETE, &path, "")
        .await
        .is_upstream(200);
    for _ in 0..200 {
        if world.stands("t/month", "one").await == (1_000, 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        world.stands("t/month", "one").await,
        (1_000, 0),
        "without the reconciler"
    );
    world.finish().await;
}

#[tokio::test]
async fn l7_l8_m7_each_message_is_a_hold_of_its_own_or_is_not_sent() {
    let world = with(&POLICY.replace("organizations: [org-ds]\n    body", "organizations: [org-ds]\n    sessions: team\n    uncapped: { acus: 1, per: run }\n    body")).await;
    let session = world.begin_session("one", r#"{"prompt":"x"}"#).await;
    let told = world.say("other", &session, "more").await;
    assert_eq!(told.is_upstream(200).header("tollgate-acu-cap"), Some("5"));
    assert_eq!(
        world.stands("t/mine", "one").await,
        (0, 10_000),
        "its creator pays"
    );
    assert_eq!(world.stands("t/mine", "other").await, (0, 0));
    let before = world.upstream().len();
    world
        .say("one", &session, "still more")
        .await
        .is_problem(402, "budget-exhausted");
    assert_eq!(world.upstream().len(), before);
    world.fake.advance(DONE);
    world.settle(AT_ONCE).await;
    world.settle(AT_ONCE).await;
    let truth: i64 = world.truth().values().sum();
    assert_eq!(world.stands("t/mine", "one").await, (truth, 0));
    world.say("one", &session, "now").await.is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn l2_m12_m13_what_devin_lets_pass_beyond_the_cap_is_charged_and_blocks() {
    let world = world().await;
    let session = world
        .begin_session("one", r#"{"prompt":"x","max_acu_limit":1}"#)
        .await;
    let mut change = Change::default();
    for (shown, spent) in [
        (json!(0.5), 500),
        (json!(null), 500),
        (json!("7"), 500),
        (json!(-1), 500),
        (json!(0.2), 500),
        (json!(13.25), 13_250),
    ] {
        let member = ("acus_consumed".to_owned(), shown.clone());
        change.shown = Some([member].into_iter().collect());
        assert!(world.fake.change(&session, change.clone()));
        world.settle(AT_ONCE).await;
        let (has, held) = world.stands("t/mine", "one").await;
        assert_eq!((has, held), (spent, (1_000 - spent).max(0)), "{shown}");
    }
    world
        .post("one", SESSIONS, r#"{"prompt":"y"}"#)
        .await
        .is_problem(402, "budget-exhausted");
    world.finish().await;
}

#[tokio::test]
async fn l12_m8_children_and_wakes_from_elsewhere_are_charged_to_the_creator() {
    let world = world().await;
    let session = world.begin_session("one", r#"{"prompt":"x"}"#).await;
    let child = world.fake.begin_elsewhere(Elsewhere {
        parent: Some(session.clone()),
        prompt: "part of it".to_owned(),
        ..Elsewhere::default()
    });
    let child = child.unwrap();
    let grandchild = world.fake.begin_elsewhere(Elsewhere {
        parent: Some(child.clone()),
        prompt: "part of that".to_owned(),
        ..Elsewhere::default()
    });
    world
        .get("one", &format!("{SESSIONS}/{child}"))
        .await
        .is_problem(403, "session-denied");
    world.fake.advance(DONE);
    world.settle(AT_ONCE).await;
    world.settle(AT_ONCE).await;
    assert_eq!(world.stands("t/mine", "one").await, (6_000, 0));
    for id in [&child, &grandchild.unwrap()] {
        world
            .get("one", &format!("{SESSIONS}/{id}"))
            .await
            .is_upstream(200);
        world
            .get("other", &format!("{SESSIONS}/{id}"))
            .await
            .is_problem(403, "session-denied");
    }
    assert!(world.fake.wake_elsewhere(&session, "from the app"));
    world.fake.advance(DONE);
    world.settle(AT_ONCE).await;
    assert_eq!(world.stands("t/mine", "one").await, (8_000, 0));
    world.finish().await;
}

#[tokio::test]
async fn l13_m21_a_session_that_the_ledger_has_lost_comes_back_by_its_tag() {
    let world = world().await;
    let tag = |caller: &str, organization: &str| {
        let tag = Tag {
            hold: HoldId::new(),
            caller: caller.into(),
            cap: Cap::new(5).unwrap(),
        };
        world.ledger.tag_key().tag(&tag, organization)
    };
    let lost = |tag: String| Elsewhere {
        org: Some("org-ds".to_owned()),
        service_user_id: Some(world.fake.service_user()),
        prompt: "x".to_owned(),
        tags: vec![tag],
        ..Elsewhere::default()
    };
    let session = world
        .fake
        .begin_elsewhere(lost(tag("one", "org-ds")))
        .unwrap();
    // Of another organization, and of nobody's making.
    world.fake.begin_elsewhere(lost(tag("one", "org-web")));
    world
        .fake
        .begin_elsewhere(lost("tollgate.0.one.5.0".to_owned()));
    world.fake.advance(DONE);
    world.settle(AT_ONCE).await;
    assert_eq!(world.stands("t/mine", "one").await, (2_000, 0));
    world
        .get("one", &format!("{SESSIONS}/{session}"))
        .await
        .is_upstream(200);
    world
        .get("other", &format!("{SESSIONS}/{session}"))
        .await
        .is_problem(403, "session-denied");
    assert!(world.ledger.stopped().is_none());
    // A valid tag for a caller whom no policy knows stops all spending.
    world.fake.begin_elsewhere(lost(tag("gone", "org-ds")));
    world.settle(AT_ONCE).await;
    assert!(world.ledger.stopped().unwrap().contains("`gone`"));
    let refused = world.post("one", SESSIONS, r#"{"prompt":"y"}"#).await;
    refused.is_problem(503, "store-unavailable");
    assert_eq!(refused.header("retry-after"), Some("5"));
    world
        .get("one", &format!("{SESSIONS}/{session}"))
        .await
        .is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn m10_what_has_no_cap_is_charged_as_its_grant_says() {
    let world = world().await;
    let path = "/v3/organizations/org-ds/pr-reviews";
    let body = r#"{"pr_url":"https://github.com/a/b/pull/1"}"#;
    world.breaks(FaultKind::Raw(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".into(),
    ));
    let answer = world.post("one", path, body).await;
    answer.is_upstream(200);
    assert!(answer.header("tollgate-acu-cap").is_none());
    assert!(
        answer
            .header("tollgate-acu-remaining")
            .unwrap()
            .starts_with("9;")
    );
    assert_eq!(world.stands("t/mine", "one").await, (3_000, 0));
    world.breaks(FaultKind::Status {
        code: 403,
        retry_after: None,
        x_should_retry: None,
    });
    world
        .post("one", path, r#"{"pr_url":"https://github.com/a/b/pull/2"}"#)
        .await
        .is_upstream(403);
    assert_eq!(world.stands("t/mine", "one").await, (3_000, 0));
    world.finish().await;
}
