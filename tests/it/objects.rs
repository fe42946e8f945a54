//! What goes on spending without a cap: charged for each window while it is there (L3, M9).

use std::sync::Arc;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tollgate::alerts::Kind;
use tollgate::clock::FakeClock;
use tollgate::fake_devin::{Fault, FaultKind};

use crate::settling::AT_ONCE;
use crate::world::{Setup, World};

const POLICY: &str = r#"
team: t
owner: t@acme.example
callers: { one: {}, once: {} }
allow:
  - name: recurring
    callers: [one]
    operations: ["schedules.*", "automations.*", "code_scans.**"]
    organizations: [org-ds]
    secrets: reveal
    uncapped: { acus: 3, per: window, on_no_room: disable }
  - { name: once, callers: [once], operations: ["schedules.*"], organizations: [org-ds], uncapped: { acus: 1, per: run } }
budgets:
  - { name: month, per: team, acus: 20, every: month }
  - { name: day, per: caller, acus: 20, every: day }
"#;
const SCHEDULES: &str = "/v3/organizations/org-ds/schedules";
const SCHEDULE: &str = r#"{"name":"n","prompt":"x","frequency":"0 * * * *"}"#;

struct Recurring {
    world: World,
    clock: Arc<FakeClock>,
}

impl Recurring {
    async fn begin(policy: &str) -> Self {
        let noon: Timestamp = "2026-11-10T12:00:00Z".parse().unwrap();
        let clock = Arc::new(FakeClock::at(noon));
        let world = World::with(Setup {
            policy: policy.to_owned(),
            clock: Arc::clone(&clock) as _,
            ..Setup::default()
        });
        Self {
            world: world.await,
            clock,
        }
    }

    async fn schedule(&self, caller: &str) -> String {
        let answer = self.world.post(caller, SCHEDULES, SCHEDULE).await;
        let schedule = answer.is_upstream(200).json();
        schedule["schedule_id"].as_str().unwrap().to_owned()
    }

    async fn update(&self, schedule: &str, body: Value) -> crate::answer::Answer {
        let path = format!("{SCHEDULES}/{schedule}");
        self.world
            .call("one", Method::PATCH, &path, &body.to_string())
            .await
    }

    /// Whole ACUs that are spent in the month and on this day.
    async fn spent(&self) -> (i64, i64) {
        let month = self.world.stands("t/month", "one").await;
        let day = self.world.stands("t/day", "one").await;
        assert_eq!(
            (month.1, day.1),
            (0, 0),
            "nothing is held for what has no cap"
        );
        (month.0 / 1_000, day.0 / 1_000)
    }

    async fn after(&self, hours: i64) -> (i64, i64) {
        self.clock.advance(SignedDuration::from_hours(hours));
        assert!(self.world.settle(AT_ONCE).await);
        self.spent().await
    }

    /// How often the gateway itself has asked for, or changed, something below this path.
    fn asked(&self, method: &Method, path: &str) -> usize {
        let all = self.world.upstream();
        let own = all
            .iter()
            .filter(|it| it.header("user-agent") == Some("tollgate"));
        own.filter(|it| it.method == *method && it.path.starts_with(path))
            .count()
    }

    fn answers(&self, method: Method, path: &str, answer: &Value) {
        let body = answer.to_string();
        let raw = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        self.world.fake.inject(Fault {
            only: Some((method, path.to_owned())),
            ..Fault::next(FaultKind::Raw(raw.into()))
        });
    }
}

#[tokio::test]
async fn l3_what_goes_on_spending_is_charged_at_each_windows_start_while_it_is_there() {
    let it = Recurring::begin(POLICY).await;
    let schedule = it.schedule("one").await;
    assert_eq!(it.spent().await, (3, 3));
    // The rest of the day is paid for.
    assert_eq!(it.after(11).await, (3, 3));
    let get = |it: &Recurring| it.asked(&Method::GET, SCHEDULES);
    assert_eq!(get(&it), 0);
    assert_eq!(it.after(1).await, (6, 3));
    assert_eq!(it.after(1).await, (6, 3));
    assert_eq!(get(&it), 1, "it is looked at once for each window");
    // A process that was not there for two days charges both.
    assert_eq!(it.after(48).await, (12, 3));
    // A clock that is set back charges nothing twice.
    it.clock.set("2026-11-10T18:00:00Z".parse().unwrap());
    assert_eq!(it.after(0).await, (12, 3));
    it.clock.set("2026-11-13T20:00:00Z".parse().unwrap());
    assert_eq!(it.after(0).await, (12, 3));
    let path = format!("{SCHEDULES}/{schedule}");
    let deleted = it.world.call("one", Method::DELETE, &path, "").await;
    deleted.is_upstream(200);
    let before = get(&it);
    assert_eq!(it.after(24).await, (12, 0));
    assert_eq!(get(&it), before, "it is known to be gone");
    it.world.finish().await;
}

#[tokio::test]
async fn l3_what_was_taken_away_elsewhere_is_not_charged_again() {
    let it = Recurring::begin(POLICY).await;
    it.schedule("one").await;
    it.world.fake.inject(Fault {
        only: Some((Method::GET, SCHEDULES.to_owned())),
        ..Fault::next(FaultKind::Status {
            code: 404,
            retry_after: None,
            x_should_retry: None,
        })
    });
    assert_eq!(it.after(24).await, (3, 0));
    assert_eq!(it.after(24).await, (3, 0));
    assert_eq!(it.asked(&Method::GET, SCHEDULES), 1);
    it.world.finish().await;
}

#[tokio::test]
async fn l3_what_cannot_be_looked_at_is_charged_when_it_can() {
    let it = Recurring::begin(POLICY).await;
    it.schedule("one").await;
    it.world.fake.inject(Fault {
        only: Some((Method::GET, SCHEDULES.to_owned())),
        ..Fault::next(FaultKind::ResetBeforeWork)
    });
    it.clock.advance(SignedDuration::from_hours(24));
    assert!(!it.world.settle(AT_ONCE).await);
    assert_eq!(it.spent().await, (3, 0));
    assert_eq!(it.after(0).await, (6, 3));
    it.world.finish().await;
}

#[tokio::test]
async fn m9_a_change_is_charged_once_in_each_window_and_followed_from_then_on() {
    let it = Recurring::begin(POLICY).await;
    let own = it.schedule("one").await;
    for minute in 0..3 {
        let often = json!({ "frequency": format!("{minute} * * * *") });
        it.update(&own, often).await.is_upstream(200);
    }
    assert_eq!(it.spent().await, (3, 3));
    // In the next window before the reconciler has been round: charged by the change, and not again.
    it.clock.advance(SignedDuration::from_hours(24));
    let change = json!({ "prompt": "y" });
    it.update(&own, change.clone()).await.is_upstream(200);
    assert_eq!(it.spent().await, (6, 3));
    assert_eq!(it.after(0).await, (6, 3));
    // One that was set up without a window's charge is charged and followed when it is changed under one.
    let other = it.schedule("once").await;
    assert_eq!(it.spent().await, (7, 3));
    it.update(&other, change).await.is_upstream(200);
    assert_eq!(it.spent().await, (10, 6));
    assert_eq!(it.after(24).await, (16, 6));
    it.world.finish().await;
}

#[tokio::test]
async fn l3_m9_what_finds_no_room_is_charged_all_the_same_and_disabled() {
    let policy = POLICY.replace("acus: 20, every: month", "acus: 8, every: month");
    let it = Recurring::begin(&policy).await;
    let schedule = it.schedule("one").await;
    assert_eq!(it.after(24).await, (6, 3));
    let path = format!("{SCHEDULES}/{schedule}");
    let enabled = async || it.world.get("one", &path).await.json()["enabled"].clone();
    assert_eq!(enabled().await, true);
    // Two of eight are left. Devin does not answer the first request to disable it.
    it.world.fake.inject(Fault {
        only: Some((Method::PATCH, SCHEDULES.to_owned())),
        ..Fault::next(FaultKind::ResetBeforeWork)
    });
    it.clock.advance(SignedDuration::from_hours(24));
    assert!(!it.world.settle(AT_ONCE).await);
    assert_eq!(it.spent().await, (9, 3));
    assert_eq!(enabled().await, true);
    assert_eq!(it.after(0).await, (9, 3));
    assert_eq!(enabled().await, false);
    assert_eq!(it.asked(&Method::PATCH, &path), 2);
    assert_eq!(it.world.rung(Kind::NoRoom), 1);
    // Disabled, it costs nothing.
    assert_eq!(it.after(24).await, (9, 0));
    assert_eq!(it.after(24).await, (9, 0));
    assert_eq!(it.asked(&Method::PATCH, &path), 2);
    // And is not enabled again without room.
    let answer = it.update(&schedule, json!({ "enabled": true })).await;
    answer.is_problem(402, "budget-exhausted");
    it.world.finish().await;
}

#[tokio::test]
async fn l3_what_was_disabled_and_enabled_again_pays_for_no_window_between() {
    let it = Recurring::begin(POLICY).await;
    let schedule = it.schedule("one").await;
    it.update(&schedule, json!({ "enabled": false }))
        .await
        .is_upstream(200);
    assert_eq!(it.after(72).await, (3, 0));
    it.update(&schedule, json!({ "enabled": true }))
        .await
        .is_upstream(200);
    assert_eq!(it.spent().await, (6, 3));
    assert_eq!(it.after(24).await, (9, 3));
    it.world.finish().await;
}

#[tokio::test]
async fn m10_an_automatic_scan_is_followed_by_its_scan() {
    let policy = POLICY.replace("acus: 20, every: month", "acus: 5, every: month");
    let it = Recurring::begin(&policy).await;
    let scan = "/v3/organizations/org-ds/code-scans/scan-1";
    it.answers(Method::POST, scan, &json!({}));
    let path = format!("{scan}/auto-scan");
    it.world.post("one", &path, "{}").await.is_upstream(200);
    assert_eq!(it.spent().await, (3, 3));
    it.answers(Method::GET, scan, &json!({ "scan_id": "scan-1" }));
    // No request is known that would switch it off: it goes on, and is charged beyond the budget.
    assert_eq!(it.after(24).await, (6, 3));
    assert_eq!(it.asked(&Method::PATCH, "/"), 0);
    it.answers(Method::GET, scan, &json!({ "scan_id": "scan-1" }));
    assert_eq!(it.after(24).await, (9, 3));
    // This fake has no scan: it is gone.
    assert_eq!(it.after(24).await, (9, 0));
    assert_eq!(it.asked(&Method::GET, scan), 3);
    it.world.finish().await;
}
