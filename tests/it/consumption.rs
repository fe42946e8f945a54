//! What Devin bills and nobody here has spent (L11).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tollgate::alerts::Kind;
use tollgate::clock::FakeClock;
use tollgate::fake_devin::{Elsewhere, Fault, FaultKind, Tuning, Unattributed};
use tollgate::ledger::ComparedDay;
use tollgate::pipeline::upstream::{Timeouts, Upstream};
use tollgate::settle::Reconciler;

use crate::settling::AT_ONCE;
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
const DAY: u64 = 86_400;

struct Days {
    world: World,
    clock: Arc<FakeClock>,
}

impl Days {
    /// A gateway that begins its ledger now, on clocks that are moved together.
    async fn begin() -> Self {
        let clock = Arc::new(FakeClock::at(Timestamp::UNIX_EPOCH));
        let setup = Setup {
            clock: Arc::clone(&clock) as _,
            ..Setup::default()
        };
        let world = World::with(setup).await;
        clock.set(Timestamp::from_second(world.fake.now()).unwrap());
        let days = Self { world, clock };
        assert!(days.world.settle(AT_ONCE).await);
        // Into a billing day that is new to the ledger; two hours after its begin, whatever the time of day is now, so
        // that no test passes from one day into the next where it does not mean to.
        let since = u64::try_from(days.world.fake.now() - 8 * 3_600).unwrap() % DAY;
        days.wait(2 * DAY - since + 2 * 3_600);
        days
    }

    fn wait(&self, seconds: u64) {
        let by = Duration::from_secs(seconds);
        self.clock.advance(SignedDuration::try_from(by).unwrap());
        self.world.fake.advance(by);
    }

    /// A session of ours that uses two ACUs, settled on the same day.
    async fn spend(&self) {
        let created = self.world.post("one", SESSIONS, r#"{"prompt":"x"}"#);
        created.await.is_upstream(200);
        self.wait(1_800);
        assert!(self.world.settle(AT_ONCE).await);
    }

    fn elsewhere(&self, milli_acus: i64, product: Option<&str>) {
        self.world.fake.consume(&Unattributed {
            org: "org-ds".to_owned(),
            at: None,
            milli_acus,
            product: product.map(str::to_owned),
        });
    }

    async fn compared(&self) -> Vec<ComparedDay> {
        assert!(self.world.settle(AT_ONCE).await);
        let mut all = self.world.ledger.unattributed().await.unwrap().days;
        all.retain(|it| &*it.organization == "org-ds" && it.devin.milli() > 0);
        all
    }

    fn asked(&self) -> usize {
        let all = self.world.upstream();
        all.iter()
            .filter(|it| it.path.contains("/consumption/"))
            .count()
    }
}

#[tokio::test]
async fn l11_what_came_through_the_gateway_is_attributed() {
    let days = Days::begin().await;
    days.spend().await;
    // Another product's use is no session's.
    days.elsewhere(9_000, Some("review"));
    days.wait(3 * DAY);
    let all = days.compared().await;
    let [day] = &all[..] else { panic!("{all:?}") };
    assert_eq!(
        (
            day.devin.milli(),
            day.ledger.milli(),
            day.unattributed.milli()
        ),
        (2_000, 2_000, 0)
    );
    days.world.finish().await;
}

#[tokio::test]
async fn m25_what_is_spent_with_the_token_around_the_gateway_is_shown() {
    let days = Days::begin().await;
    days.spend().await;
    let elsewhere = days.world.fake.begin_elsewhere(Elsewhere {
        org: Some("org-ds".to_owned()),
        service_user_id: Some(days.world.fake.service_user()),
        ..Elsewhere::default()
    });
    assert!(elsewhere.is_some());
    days.wait(3_600);
    // A day that has not been over for two is not compared: figures come late.
    days.wait(2 * DAY);
    assert_eq!(days.compared().await, []);
    days.wait(DAY);
    let all = days.compared().await;
    let [day] = &all[..] else { panic!("{all:?}") };
    assert_eq!(
        (
            day.devin.milli(),
            day.ledger.milli(),
            day.unattributed.milli()
        ),
        (4_000, 2_000, 2_000)
    );
    let begins = day.day.to_string();
    assert!(begins.ends_with("T08:00:00Z"), "{begins}");
    // It is told once, however often it is found.
    days.wait(3_600);
    days.compared().await;
    assert_eq!(days.world.rung(Kind::Unattributed), 1);
    let shown = serde_json::to_value(days.world.ledger.unattributed().await.unwrap()).unwrap();
    let shown = shown["days"].as_array().unwrap();
    let shown = shown.iter().find(|it| it["day"] == begins);
    let wanted = serde_json::json!({
        "organization": "org-ds", "day": begins, "devin": 4, "ledger": 2, "unattributed": 2,
    });
    assert_eq!(shown, Some(&wanted));
    days.world.finish().await;
}

#[tokio::test]
async fn l11_figures_that_come_late_are_taken_until_a_week_is_over() {
    let days = Days::begin().await;
    let at = Some(days.world.fake.now());
    days.wait(3 * DAY);
    assert_eq!(days.compared().await, []);
    let late = Unattributed {
        org: "org-ds".to_owned(),
        at,
        milli_acus: 5_500,
        product: None,
    };
    days.world.fake.consume(&late);
    days.wait(3_600);
    assert_eq!(days.compared().await[0].unattributed.milli(), 5_500);
    days.wait(8 * DAY);
    days.world.fake.consume(&late);
    // What was found stays.
    assert_eq!(days.compared().await[0].unattributed.milli(), 5_500);
    days.world.finish().await;
}

#[tokio::test]
async fn l11_without_the_right_to_read_consumption_it_says_so_and_goes_on() {
    let days = Days::begin().await;
    let may = |may| Tuning {
        may_read_consumption: Some(may),
        ..Tuning::default()
    };
    days.world.fake.tune(&may(false));
    days.spend().await;
    days.wait(3 * DAY);
    assert_eq!(days.compared().await, []);
    let known = days.world.ledger.unattributed().await.unwrap();
    let first = known.unreadable[0].clone();
    assert_eq!((&*first.organization, first.status), ("org-ds", 403));
    days.wait(3_600);
    assert_eq!(days.compared().await, []);
    let known = days.world.ledger.unattributed().await.unwrap();
    assert_eq!(
        known.unreadable[0], first,
        "it is said once, and since when"
    );
    // Given the right, it is as if it had always been there.
    days.world.fake.tune(&may(true));
    days.wait(3_600);
    assert_eq!(days.compared().await.len(), 1);
    let known = days.world.ledger.unattributed().await.unwrap();
    assert_eq!(known.unreadable, []);
    days.world.finish().await;
}

#[tokio::test]
async fn l11_a_token_of_the_enterprise_reads_the_same() {
    let days = Days::begin().await;
    days.spend().await;
    days.elsewhere(7_000, None);
    days.wait(3 * DAY);
    days.world.fake.inject(Fault {
        only: Some((
            http::Method::GET,
            "/v3/organizations/org-ds/consumption".to_owned(),
        )),
        ..Fault::next(FaultKind::Status {
            code: 403,
            retry_after: None,
            x_should_retry: None,
        })
    });
    assert_eq!(days.compared().await[0].unattributed.milli(), 7_000);
    let asked = days.world.upstream();
    let path = "/v3/enterprise/consumption/daily/organizations/org-ds";
    assert!(asked.iter().any(|it| it.path == path));
    days.world.finish().await;
}

#[tokio::test]
async fn l11_what_cannot_be_read_is_no_figure() {
    let days = Days::begin().await;
    days.elsewhere(7_000, None);
    days.wait(3 * DAY);
    let broken = r#"{"consumption_by_date":[{"date":"yesterday","acus":7}]}"#;
    days.world.fake.inject(Fault {
        only: Some((
            http::Method::GET,
            "/v3/organizations/org-ds/consumption".to_owned(),
        )),
        ..Fault::next(FaultKind::BodyAfterWork(broken.into()))
    });
    assert!(!days.world.settle(AT_ONCE).await);
    let before = days.asked();
    assert!(before > 0);
    assert_eq!(days.compared().await[0].unattributed.milli(), 7_000);
    days.world.finish().await;
}

#[tokio::test]
async fn l11_consumption_is_asked_for_once_an_hour() {
    let days = Days::begin().await;
    days.wait(3 * DAY);
    let upstream = Upstream::new(&[], Timeouts::default()).unwrap();
    let reconciler = Reconciler::new(&days.world.parts, upstream, AT_ONCE);
    let mut asked = Vec::new();
    for seconds in [0, 15, 3_500, 100] {
        days.wait(seconds);
        assert!(reconciler.round().await);
        asked.push(days.asked());
    }
    let once = asked[0];
    assert!(once > 0);
    assert_eq!(asked, [once, once, once, 2 * once]);
    days.world.finish().await;
}
