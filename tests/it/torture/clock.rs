//! A clock that is set back and forth an hour, over the end of a month, while money is spent.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tollgate::clock::{Clock, FakeClock};
use tollgate::fake_devin::{Change, Ending};

use super::SESSIONS;
use crate::settling::AT_ONCE;
use crate::world::{Setup, World};

const POLICY: &str = r#"
team: t
callers: { one: {} }
allow:
  - { name: sessions, operations: ["sessions.**"], organizations: [org-ds], body: { max_acu_limit: { default: 3 } } }
budgets:
  - { name: month, per: team, acus: 9, every: month, timezone: UTC }
"#;
const LIMIT: i64 = 9_000;
/// Just before and just after a month ends.
const OCTOBER: &str = "2026-10-31T23:40:00Z";
const NOVEMBER: &str = "2026-11-01T00:40:00Z";

#[tokio::test]
async fn m17_a_clock_that_jumps_back_and_forth_spends_nothing_twice_and_nothing_over() {
    let [october, november] = [OCTOBER, NOVEMBER].map(|it| it.parse::<Timestamp>().unwrap());
    let clock = Arc::new(FakeClock::at(october));
    let world = World::with(Setup {
        policy: POLICY.to_owned(),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..Setup::default()
    })
    .await;
    let mut session = String::new();
    let mut refused = 0;
    for n in 0_u64..40 {
        // The process goes on by a second, whatever the time of day does.
        clock.advance(SignedDuration::from_secs(1));
        clock.set(if n % 3 == 0 { october } else { november });
        let answer = if n % 4 == 0 || session.is_empty() {
            let body = format!(r#"{{"prompt":"{n}"}}"#);
            world.post("one", SESSIONS, &body).await
        } else {
            let path = format!("{SESSIONS}/{session}/messages");
            let body = format!(r#"{{"message":"{n}"}}"#);
            world.post("one", &path, &body).await
        };
        if answer.status == 200 {
            session = answer.json()["session_id"].as_str().unwrap().to_owned();
        } else {
            answer.is_problem(402, "budget-exhausted");
            refused += 1;
        }
        clock.set(if n % 2 == 0 { october } else { november });
        world.fake.advance(Duration::from_secs(40 * (n % 5)));
        assert!(world.settle(AT_ONCE).await);
        for month in [october, november] {
            clock.set(month);
            let (spent, held) = world.stands("t/month", "one").await;
            assert!(spent + held <= LIMIT, "{month}: {spent} + {held}");
        }
    }
    assert!(refused > 0, "the budgets were never full");
    let mut truth = 0;
    for session in world.fake.truth() {
        let ends = Change {
            ends: Some(Ending::Exit),
            ..Change::default()
        };
        assert!(world.fake.change(&session.id, ends));
        truth += session.spent_milli;
    }
    assert!(world.settle(AT_ONCE).await);
    let mut months = [0; 2];
    for (sum, month) in months.iter_mut().zip([october, november]) {
        clock.set(month);
        let (spent, held) = world.stands("t/month", "one").await;
        assert!(spent > 0 && held == 0, "{month}: {spent}, {held}");
        *sum = spent;
    }
    assert_eq!(months.iter().sum::<i64>(), truth, "{months:?}");
    world.is_known_and_sound().await;
    world.finish().await;
}
