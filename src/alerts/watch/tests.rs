//! Thresholds over a ledger of their own.

use jiff::SignedDuration;

use super::*;
use crate::acu::Cap;
use crate::budget::Payer;
use crate::clock::FakeClock;
use crate::document::Report;
use crate::ledger::tag::TagKey;
use crate::ledger::{HoldId, Holding, Options, What};
use crate::policy::bounds::CapTerms;
use crate::policy::{Policy, PolicyFiles, compile};

fn policy(limit: u32) -> Policy {
    let text = format!(
        "team: t\ncallers: {{ one: {{}}, two: {{}} }}\nbudgets:\n  - {{ name: day, per: caller, acus: {limit}, every: day, alert_at: [50%, 80%] }}\n\
         \x20 - {{ name: quiet, per: caller, acus: 1, every: day, alert_at: [50%], shadow: true }}\n"
    );
    let mut report = Report::default();
    let files = PolicyFiles::from_texts([("t.yaml", text.as_str())], &mut report);
    compile(&files, &[], &mut report).unwrap_or_else(|| panic!("{}", report.plain()))
}

struct Scene {
    ledger: Ledger,
    clock: Arc<FakeClock>,
    policies: Current,
    watch: Watch,
}

impl Scene {
    fn of(ledger: Ledger) -> Self {
        let now = "2026-11-15T12:00:00Z".parse().unwrap();
        let clock = Arc::new(FakeClock::at(now));
        let policies = Current::new(policy(100), now);
        let watch = Watch::new(ledger.clone(), policies.clone(), clock.clone());
        Self {
            ledger,
            clock,
            policies,
            watch,
        }
    }

    async fn hold(&self, caller: &str, cap: i64) -> HoldId {
        let hold = HoldId::new();
        let asked = Holding {
            hold,
            moment: Moment::now(&*self.clock),
            payer: Payer {
                organization: "org-a".into(),
                team: "t".into(),
                caller: caller.into(),
            },
            asker: Payer {
                organization: "org-a".into(),
                team: "t".into(),
                caller: caller.into(),
            },
            operation: "sessions.create",
            what: What::Session {
                wanted: Cap::new(cap).unwrap(),
                terms: CapTerms::default(),
                alone: false,
                text: None,
            },
            budgets: self.policies.load().policy().budgets().to_vec(),
            slots: Vec::new(),
            deadline: Duration::ZERO,
            fingerprint: [0; 32],
        };
        self.ledger.hold(asked).await.unwrap();
        hold
    }

    async fn looks(&mut self) -> usize {
        self.watch.look().await.unwrap()
    }
}

async fn alert(ledger: &Ledger) -> serde_json::Value {
    serde_json::from_str(&ledger.bell().next().await.body).unwrap()
}

#[tokio::test]
async fn a_threshold_is_told_once_in_each_window() {
    let ledger = Ledger::temporary(Duration::from_secs(60)).await.unwrap();
    let mut scene = Scene::of(ledger.clone());
    assert_eq!(scene.looks().await, 0);
    scene.hold("one", 49).await;
    assert_eq!(scene.looks().await, 0);
    let half = scene.hold("one", 1).await;
    assert_eq!(scene.looks().await, 1);
    let told = alert(&ledger).await;
    for (name, wanted) in [
        ("kind", json!("threshold")),
        ("at", json!("2026-11-15T12:00:00Z")),
        ("budget", json!("t/day")),
        ("account", json!("one")),
        ("threshold", json!(50)),
        ("limit", json!(100)),
        ("spent", json!(0)),
        ("held", json!(50)),
        ("until", json!("2026-11-16T00:00:00Z")),
        (
            "text",
            json!(
                "t/day (one): 50 of 100 ACUs are spent or held, 50% or more, until 2026-11-16T00:00:00Z"
            ),
        ),
    ] {
        assert_eq!(told[name], wanted, "{told}");
    }
    // Given back and taken again: nobody has to hear it twice.
    let moment = Moment::now(&*scene.clock);
    assert!(ledger.released(moment, half).await.unwrap());
    assert_eq!(scene.looks().await, 0);
    scene.hold("one", 1).await;
    assert_eq!(scene.looks().await, 0);
    // Two at once, and another account.
    scene.hold("two", 90).await;
    assert_eq!(scene.looks().await, 2);
    assert_eq!(alert(&ledger).await["threshold"], 50);
    assert_eq!(alert(&ledger).await["threshold"], 80);
    // The next day begins anew.
    scene.clock.advance(SignedDuration::from_hours(24));
    assert_eq!(scene.looks().await, 0);
    scene.hold("one", 50).await;
    assert_eq!(scene.looks().await, 1);
    let rung: Vec<u64> = ledger.bell().rung().map(|(_, count)| count).collect();
    assert_eq!(rung[0], 4);
}

#[tokio::test]
async fn a_limit_that_is_lowered_passes_thresholds_too() {
    let ledger = Ledger::temporary(Duration::from_secs(60)).await.unwrap();
    let mut scene = Scene::of(ledger.clone());
    scene.hold("one", 40).await;
    assert_eq!(scene.looks().await, 0);
    let now = scene.clock.now();
    scene.policies.replace(policy(50), now);
    assert_eq!(scene.looks().await, 2);
}

#[tokio::test]
async fn a_restart_tells_nothing_twice_and_what_nobody_took_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        path: folder.path().join("l.db"),
        tag_key: TagKey::random().unwrap(),
        quiet: Duration::from_secs(60),
        hand_over: Duration::ZERO,
    };
    let ledger = Ledger::open(options.clone()).await.unwrap();
    ledger.admit();
    let mut scene = Scene::of(ledger.clone());
    scene.hold("one", 80).await;
    assert_eq!(scene.looks().await, 2);
    let taken = ledger.bell().next().await;
    ledger.told(taken.id).await.unwrap();
    let untold = ledger.bell().next().await;
    drop(scene);
    ledger.close().await;

    let ledger = Ledger::open(options).await.unwrap();
    let mut scene = Scene::of(ledger.clone());
    assert_eq!(scene.looks().await, 0);
    let stop = CancellationToken::new();
    let following = tokio::spawn(scene.watch.follow(stop.clone()));
    assert_eq!(ledger.bell().next().await, untold);
    stop.cancel();
    following.await.unwrap();
    // It is neither logged nor counted a second time.
    assert!(ledger.bell().rung().all(|(_, count)| count == 0));
    let later = "2026-12-01T00:00:00Z".parse().unwrap();
    assert!(
        ledger.untold(later).await.unwrap().is_empty(),
        "g9: what is over is forgotten"
    );
}
