//! What comes too early, too late, twice, or from elsewhere: holds end all the same, and as they should.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::SignedDuration;
use tollgate::clock::{Clock, FakeClock, SystemClock};
use tollgate::fake_devin::{Change, Elsewhere, Fault, FaultKind, FaultTimes};

use crate::settling::AT_ONCE;
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
const DONE: Duration = Duration::from_secs(3_600);
const POLICY: &str = r#"
team: t
callers: { one: {}, other: {} }
allow:
  - name: run
    operations: [sessions.*, sessions.messages.*]
    organizations: any
    body: { max_acu_limit: { default: 5, max: 20 } }
    query: { devin_id: any }
budgets:
  - { name: month, per: team, acus: 50, every: month }
"#;

fn setup() -> Setup {
    Setup {
        policy: POLICY.to_owned(),
        ..Setup::default()
    }
}

/// A clock of the test's own, at an instant near to the fake's.
fn clock() -> Arc<FakeClock> {
    Arc::new(FakeClock::at(SystemClock.now()))
}

impl World {
    async fn born(&self, path: &str) -> String {
        let answer = self.post("one", path, r#"{"prompt":"x"}"#).await;
        answer.is_upstream(200);
        answer.json()["session_id"].as_str().unwrap().to_owned()
    }

    fn always(&self, method: Method, path: &str, kind: FaultKind) {
        self.fake.inject(Fault {
            kind,
            times: FaultTimes::Always,
            only: Some((method, path.to_owned())),
        });
    }

    async fn until_it_has(&self, sessions: usize) {
        while self.fake.truth().len() < sessions {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn fails(code: u16) -> FaultKind {
    FaultKind::Status {
        code,
        retry_after: None,
        x_should_retry: None,
    }
}

#[tokio::test]
async fn l6_an_organization_that_cannot_be_asked_keeps_no_other_from_being_settled() {
    let world = World::with(setup()).await;
    world.born(SESSIONS).await;
    world.born("/v3/organizations/org-web/sessions").await;
    assert_eq!(world.stands("t/month", "one").await, (0, 10_000));
    world.always(Method::GET, SESSIONS, fails(403));
    world.fake.advance(DONE);
    world.settle(AT_ONCE).await;
    world.settle(AT_ONCE).await;
    assert_eq!(world.stands("t/month", "one").await, (2_000, 5_000));
    let asked = world.upstream();
    let polled = asked.iter().filter(|it| it.path.contains("org-web"));
    let polled = polled.filter(|it| {
        it.query
            .as_deref()
            .unwrap_or_default()
            .contains("session_ids")
    });
    assert!(polled.count() > 0, "it is polled, not only swept");
    world.finish().await;
}

#[tokio::test]
async fn l12_a_session_with_a_parent_is_its_creates_before_its_answer_has_come() {
    let world = Arc::new(World::with(setup()).await);
    let parent = world.born(SESSIONS).await;
    world.fake.inject(Fault::next(FaultKind::LatencyAfterWork(
        Duration::from_secs(2),
    )));
    let of_parent = format!("{SESSIONS}?devin_id={parent}");
    let creating = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.born(&of_parent).await }
    });
    world.until_it_has(2).await;
    world.settle(AT_ONCE).await;
    let session = creating.await.unwrap();
    assert_eq!(world.stands("t/month", "one").await, (0, 10_000));
    // It has a cap, and what it uses is within its hold.
    let path = format!("{SESSIONS}/{session}/messages");
    world
        .post("one", &path, r#"{"message":"more"}"#)
        .await
        .is_upstream(200);
    world.fake.advance(DONE);
    world.settle(AT_ONCE).await;
    world.settle(AT_ONCE).await;
    let truth: i64 = world.truth().values().sum();
    assert_eq!(world.stands("t/month", "one").await, (truth, 0));
    Arc::into_inner(world).unwrap().finish().await;
}

#[tokio::test]
async fn l5_b12_of_sessions_with_one_tag_the_create_made_the_one_without_a_parent() {
    let mut world = World::with(setup()).await;
    world.upstream_faulty();
    world.fake.inject(Fault::next(FaultKind::ResetAfterWork));
    world.post("one", SESSIONS, r#"{"prompt":"x"}"#).await;
    let truth = world.fake.truth().remove(0);
    for parent in [Some(truth.id.clone()), None] {
        world.fake.advance(Duration::from_secs(60));
        world.fake.begin_elsewhere(Elsewhere {
            org: parent.is_none().then(|| "org-ds".to_owned()),
            parent,
            tags: truth.tags.clone(),
            ..Elsewhere::default()
        });
    }
    world.settle(AT_ONCE).await;
    assert!(world.born(SESSIONS).await.ends_with(&truth.id));
    world.finish().await;
}

#[tokio::test]
async fn l12_m20_a_session_that_comes_to_light_after_its_hold_was_freed_is_charged() {
    let clock = clock();
    let mut world = World::with(Setup {
        clock: clock.clone(),
        ..setup()
    })
    .await;
    world.upstream_faulty();
    world.fake.inject(Fault::next(FaultKind::ResetAfterWork));
    world.post("one", SESSIONS, r#"{"prompt":"x"}"#).await;
    let id = world.fake.truth()[0].id.clone();
    let hidden = |it| Change {
        vanished: Some(it),
        ..Change::default()
    };
    assert!(world.fake.change(&id, hidden(true)));
    clock.advance(SignedDuration::from_secs(60));
    world.settle(AT_ONCE).await;
    world.settle(AT_ONCE).await;
    assert_eq!(world.stands("t/month", "one").await, (0, 0));
    assert!(world.fake.change(&id, hidden(false)));
    world.fake.advance(DONE);
    world.settle(AT_ONCE).await;
    assert_eq!(world.stands("t/month", "one").await, (2_000, 0));
    let path = format!("{SESSIONS}/{id}");
    world.get("one", &path).await.is_upstream(200);
    world
        .get("other", &path)
        .await
        .is_problem(403, "session-denied");
    world.finish().await;
}

#[tokio::test]
async fn r12_organizations_that_a_caller_makes_up_are_not_swept() {
    let world = World::with(setup()).await;
    for n in 0..5 {
        let path = format!("/v3/organizations/org-of-mine-{n}/sessions");
        let answer = world.post("one", &path, r#"{"prompt":"x"}"#).await;
        answer.is_upstream(403);
    }
    world.settle(AT_ONCE).await;
    let asked = world.upstream();
    let made_up = asked
        .iter()
        .filter(|it| it.method == Method::GET && it.path.contains("org-of-mine"));
    assert_eq!(made_up.count(), 0);
    world.finish().await;
}

#[tokio::test]
async fn l12_m17_a_clock_that_was_ahead_for_a_while_leaves_nothing_unswept() {
    let clock = clock();
    let now = tollgate::clock::Clock::now(&*clock);
    let world = World::with(Setup {
        clock: clock.clone(),
        ..setup()
    })
    .await;
    let parent = world.born(SESSIONS).await;
    world.settle(AT_ONCE).await;
    clock.set(now + SignedDuration::from_hours(48));
    world.settle(AT_ONCE).await;
    clock.set(now);
    let child = world.fake.begin_elsewhere(Elsewhere {
        parent: Some(parent),
        ..Elsewhere::default()
    });
    world.fake.advance(DONE);
    world.settle(AT_ONCE).await;
    let path = format!("{SESSIONS}/{}", child.unwrap());
    world.get("one", &path).await.is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn l5_while_nobody_knows_who_we_are_no_session_is_taken_for_ours() {
    let untagged = std::collections::HashSet::from(["org-ds".to_owned()]);
    let mut world = World::with(Setup {
        untagged: Arc::new(untagged),
        ..setup()
    })
    .await;
    world.upstream_faulty();
    world.fake.inject(Fault::next(FaultKind::ResetBeforeWork));
    world.post("one", SESSIONS, r#"{"prompt":"x"}"#).await;
    let persons = world.fake.begin_elsewhere(Elsewhere {
        org: Some("org-ds".to_owned()),
        user_id: Some("user-1".to_owned()),
        ..Elsewhere::default()
    });
    world.always(Method::GET, "/v3/self", fails(500));
    assert!(!world.settle(AT_ONCE).await);
    let path = format!("{SESSIONS}/{}", persons.unwrap());
    world
        .get("one", &path)
        .await
        .is_problem(403, "session-denied");
    assert_eq!(world.stands("t/month", "one").await, (0, 5_000));
    world.finish().await;
}

#[tokio::test]
async fn l13_an_organization_of_twenty_thousand_sessions_is_swept_to_its_end() {
    let world = World::with(setup()).await;
    world.born(SESSIONS).await;
    for n in 0..20_000 {
        world.fake.begin_elsewhere(Elsewhere {
            org: Some("org-ds".to_owned()),
            prompt: n.to_string(),
            ..Elsewhere::default()
        });
    }
    assert!(world.settle(AT_ONCE).await, "else nothing is ever spent");
    world.finish().await;
}

#[tokio::test]
async fn l6_m12_what_is_archived_is_asked_for_before_it_counts_as_missing() {
    let world = World::with(setup()).await;
    let session = world.born(SESSIONS).await;
    let gone = Change {
        vanished: Some(true),
        ..Change::default()
    };
    assert!(world.fake.change(&session, gone));
    world.settle(AT_ONCE).await;
    let asked = world.upstream();
    let archived = asked.iter().filter_map(|it| it.query.as_deref());
    let archived =
        archived.filter(|it| it.contains("session_ids=") && it.contains("is_archived=true"));
    assert_eq!(archived.count(), 1);
    world.finish().await;
}
