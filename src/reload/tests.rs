//! A folder that changes, against what runs.

use std::fs;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::clock::FakeClock;
use crate::ruleset::Loaded;

const GOOD: &str = "team: t\ncallers: { one: {} }\n";
const BETTER: &str = "team: t\ncallers: { one: {}, two: {} }\n";
const BAD: &str = "team: t\ncallers: { one: {} }\nalow: []\n";

const BUDGET: Budget = Budget::of_nodes(20_000);

struct Bench {
    folder: tempfile::TempDir,
    reload: Reload,
    policies: Current,
    clock: Arc<FakeClock>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.yaml"), GOOD).unwrap();
        let before = Fingerprint::of(folder.path());
        let reading = Reading::since(&before, folder.path(), BUDGET, &[]);
        let clock = Arc::new(FakeClock::at(Timestamp::UNIX_EPOCH));
        let policies = Current::new(reading.policy.unwrap(), clock.now());
        let reload = Reload::new(
            folder.path().to_owned(),
            BUDGET,
            ["github".to_owned()],
            policies.clone(),
            Metrics::new(policies.clone()),
            clock.clone(),
        );
        Self {
            folder,
            reload,
            policies,
            clock,
        }
    }

    /// By rename, so that each writing has an inode of its own.
    fn write(&self, name: &str, text: &str) {
        let new = self.folder.path().join(".new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.folder.path().join(name)).unwrap();
    }

    /// What the next looks do, as far as they do anything.
    async fn looks(&mut self, count: usize) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for _ in 0..count {
            outcomes.extend(self.reload.look().await);
        }
        outcomes
    }

    fn loaded(&self) -> Loaded {
        self.policies.loaded()
    }
}

#[tokio::test]
async fn a2_a_change_is_taken_when_it_has_stood_still() {
    let mut bench = Bench::new();
    assert_eq!(bench.looks(9).await, [Outcome::Unchanged; 2]);
    let before = bench.loaded();
    let in_flight = bench.policies.load();
    bench.write("t.yaml", BETTER);
    bench.clock.advance(SignedDuration::from_secs(5));
    assert_eq!(bench.looks(1).await, []);
    assert_eq!(bench.reload.watch.pause(), STILL);
    assert_eq!(bench.looks(1).await, [Outcome::Replaced]);
    assert_eq!(bench.reload.watch.pause(), INTERVAL);
    let after = bench.loaded();
    assert_ne!(after.hash, before.hash);
    assert_eq!((after.callers, after.reloads, after.refused), (2, 1, 0));
    assert_eq!(after.loaded_at.as_second(), 5);
    assert_eq!(
        in_flight.policy().hash(),
        before.hash,
        "a request keeps its set"
    );
    // Every look sees another file: nothing is taken.
    for round in 0..5 {
        bench.write("t.yaml", if round % 2 == 0 { GOOD } else { BETTER });
        assert_eq!(bench.looks(1).await, []);
    }
    assert_eq!(bench.loaded().hash, after.hash);
    assert_eq!(
        bench.looks(9).await,
        [Outcome::Replaced, Outcome::Unchanged]
    );
    assert_eq!(bench.loaded().hash, before.hash);
}

#[tokio::test]
async fn a2_what_changed_while_it_was_read_is_not_taken() {
    let mut bench = Bench::new();
    for text in [BETTER, BAD] {
        let before = Fingerprint::of(bench.folder.path());
        bench.write("t.yaml", text);
        let reading = Reading::since(&before, bench.folder.path(), BUDGET, &[]);
        assert_eq!(bench.reload.take(reading, true).await, Outcome::Restless);
        let loaded = bench.loaded();
        assert_eq!((loaded.callers, loaded.reloads, loaded.refused), (1, 0, 0));
    }
}

#[tokio::test]
async fn a2_the_same_content_in_another_file_is_no_change() {
    let mut bench = Bench::new();
    bench.looks(9).await;
    bench.write("t.yaml", GOOD);
    assert_eq!(bench.looks(9).await, [Outcome::Unchanged; 2]);
    assert_eq!(bench.loaded().reloads, 0);
}

#[tokio::test]
async fn a2_guard_rails_that_vanish_are_named() {
    let mut bench = Bench::new();
    bench.write(
        "rails.yaml",
        "deny: [{ name: no end, operations: [sessions.terminate] }]\n",
    );
    bench.clock.advance(SignedDuration::from_secs(5));
    assert_eq!(bench.reload.now().await, Outcome::Replaced);
    let came = bench.loaded().last_change.unwrap();
    assert_eq!(came.at.as_second(), 5);
    assert_eq!(came.added.rules, ["deny rails/no end"]);
    assert!(!came.loses_guard);
    let path = |name| bench.folder.path().join(name);
    for hidden in ["rails.test.yaml", ".rails.yaml", "rails.yaml.off"] {
        fs::rename(path("rails.yaml"), path(hidden)).unwrap();
        assert_eq!(bench.reload.now().await, Outcome::Replaced, "{hidden}");
        let went = bench.loaded().last_change.unwrap();
        assert_eq!(went.removed.rules, ["deny rails/no end"]);
        assert!(went.loses_guard, "{hidden}");
        fs::rename(path(hidden), path("rails.yaml")).unwrap();
        assert_eq!(bench.reload.now().await, Outcome::Replaced);
    }
    // What is refused, and what is not new, leaves the last change as it is.
    bench.write("t.yaml", BAD);
    assert_eq!(bench.reload.now().await, Outcome::Refused);
    assert_eq!(bench.loaded().last_change.unwrap().added.count, 1);
}

#[tokio::test]
async fn a4_one_mistake_anywhere_and_nothing_is_taken() {
    let mut bench = Bench::new();
    let before = bench.loaded();
    bench.write("u.yaml", "team: u\ncallers: { three: {} }\n");
    bench.write("t.yaml", BAD);
    assert_eq!(bench.looks(9).await, [Outcome::Refused; 2]);
    let refused = bench.loaded();
    assert_eq!((&refused.hash, refused.callers), (&before.hash, 1));
    assert_eq!((refused.reloads, refused.refused), (0, 1));
    let last = refused.last_refused.unwrap();
    assert_eq!((last.count, last.mistakes.len()), (1, 1));
    assert_eq!(last.mistakes[0]["line"], 3);
    assert!(
        last.mistakes[0]["file"]
            .as_str()
            .unwrap()
            .ends_with("t.yaml")
    );
    // Other content is another refusal, also with the same mistake in it.
    bench.write("u.yaml", "team: u\n");
    bench.looks(9).await;
    assert_eq!(bench.loaded().refused, 2);
    // Who asks gets an answer.
    assert_eq!(bench.reload.now().await, Outcome::Refused);
    assert_eq!(bench.loaded().refused, 3);
    bench.write("t.yaml", GOOD);
    assert_eq!(bench.looks(2).await, [Outcome::Replaced]);
    let fixed = bench.loaded();
    assert_eq!((fixed.reloads, fixed.refused), (1, 3));
    assert!(fixed.last_refused.is_none());
}

#[tokio::test]
async fn a4_a_mistake_that_is_taken_back_is_forgotten() {
    let mut bench = Bench::new();
    bench.write("t.yaml", BAD);
    assert_eq!(bench.reload.now().await, Outcome::Refused);
    bench.write("t.yaml", GOOD);
    assert_eq!(bench.looks(2).await, [Outcome::Unchanged]);
    let loaded = bench.loaded();
    assert_eq!((loaded.reloads, loaded.refused), (0, 1));
    assert!(loaded.last_refused.is_none());
}

#[tokio::test]
async fn a4_a_folder_that_is_gone_or_empty_takes_nothing_away() {
    let mut bench = Bench::new();
    let away = bench.folder.path().with_extension("away");
    fs::rename(bench.folder.path(), &away).unwrap();
    // What cannot be read is tried again and again, and is one refusal.
    assert_eq!(bench.looks(6).await, [Outcome::Refused; 3]);
    let gone = bench.loaded();
    assert_eq!((gone.callers, gone.refused), (1, 1));
    let said = gone.last_refused.unwrap().mistakes[0]["message"].to_string();
    assert!(said.contains("cannot be read"), "{said}");
    fs::create_dir(bench.folder.path()).unwrap();
    bench.looks(6).await;
    let empty = bench.loaded();
    assert_eq!((empty.callers, empty.refused), (1, 2));
    fs::remove_dir(bench.folder.path()).unwrap();
    fs::rename(&away, bench.folder.path()).unwrap();
    bench.looks(2).await;
    assert!(bench.loaded().last_refused.is_none());
}

#[tokio::test]
async fn a4_a_broken_set_is_shown_in_part() {
    let mut bench = Bench::new();
    let long = "x".repeat(5_000);
    let all: String = (0..150).map(|it| format!("{long}{it}, ")).collect();
    let rule = format!("{{ name: x, operations: [{all}], organizations: any }}");
    bench.write("t.yaml", &format!("team: t\nallow: [{rule}]\n"));
    bench.reload.now().await;
    let last = bench.loaded().last_refused.unwrap();
    assert_eq!((last.count, last.mistakes.len()), (150, SHOWN));
    let page = serde_json::to_string(&last.mistakes).unwrap();
    assert!(page.len() < SHOWN * 1_500, "{}", page.len());
}

#[tokio::test]
async fn the_issuers_are_those_of_the_start() {
    let mut bench = Bench::new();
    let text = |issuer: &str| {
        format!(
            "team: t\ncallers: {{ one: {{ jwt: {{ issuer: {issuer}, claims: {{ sub: x }} }} }} }}\n"
        )
    };
    bench.write("t.yaml", &text("github"));
    assert_eq!(bench.reload.now().await, Outcome::Replaced);
    bench.write("t.yaml", &text("gitlab"));
    assert_eq!(bench.reload.now().await, Outcome::Refused);
}

#[tokio::test]
async fn r14_a_file_may_be_as_large_as_at_the_start_and_no_larger() {
    let mut bench = Bench::new();
    bench.reload.budget = Budget::of_nodes(1_000);
    let text = |callers: usize| {
        let callers: String = (0..callers).map(|it| format!("c{it}: {{}}, ")).collect();
        format!("team: t\ncallers: {{ {callers} }}\n")
    };
    bench.write("t.yaml", &text(400));
    assert_eq!(bench.reload.now().await, Outcome::Replaced);
    bench.write("t.yaml", &text(600));
    assert_eq!(bench.reload.now().await, Outcome::Refused);
    let loaded = bench.loaded();
    assert_eq!(loaded.callers, 400);
    let said = loaded.last_refused.unwrap().mistakes[0]["message"].to_string();
    assert!(said.contains("more than 1000 nodes"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a11_whoever_asks_while_a_reload_runs_is_heard() {
    let bench = Bench::new();
    let asked = Arc::new(Notify::new());
    let write = |round: usize| {
        let callers: String = (0..=round).map(|it| format!("c{it}: {{}}, ")).collect();
        let new = bench.folder.path().join(".new");
        fs::write(&new, format!("team: t\ncallers: {{ {callers} }}\n")).unwrap();
        fs::rename(new, bench.folder.path().join("t.yaml")).unwrap();
    };
    let follower = tokio::spawn(bench.reload.follow(Arc::clone(&asked)));
    for round in 0..200 {
        write(round);
        asked.notify_one();
        tokio::task::yield_now().await;
    }
    while bench.policies.loaded().callers != 200 {
        tokio::time::sleep(STILL).await;
    }
    let loaded = bench.policies.loaded();
    assert!(loaded.reloads >= 1 && loaded.refused == 0, "{loaded:?}");
    // Without anybody who asks, as well.
    write(0);
    while bench.policies.loaded().callers != 1 {
        tokio::time::sleep(STILL).await;
    }
    follower.abort();
}

#[tokio::test]
async fn l9_the_ledger_is_told_of_new_names_before_they_are_taken() {
    use crate::acu::{Acu, Cap};
    use crate::budget::Payer;
    use crate::ledger::moment::Moment;
    use crate::ledger::{HoldId, Holding, Ledger, What};
    use crate::policy::bounds::CapTerms;

    let mut bench = Bench::new();
    let ledger = Ledger::temporary(Duration::from_secs(60)).await.unwrap();
    bench.reload = bench.reload.telling(ledger.clone());
    let payer = |caller: &str| Payer {
        organization: "o".into(),
        team: "t".into(),
        caller: caller.into(),
    };
    let moment = Moment::now(&*bench.clock);
    let asked = Holding {
        hold: HoldId::new(),
        moment,
        payer: payer("one"),
        asker: payer("one"),
        operation: "sessions.create",
        what: What::Session {
            wanted: Cap::new(3).unwrap(),
            terms: CapTerms::default(),
            alone: false,
            text: None,
        },
        budgets: Vec::new(),
        slots: Vec::new(),
        deadline: Duration::ZERO,
        fingerprint: [0; 32],
    };
    ledger.hold(asked).await.unwrap();
    bench.write(
        "t.yaml",
        "team: t\ncallers: { uno: { renamed_from: [one] } }\nbudgets: [{ name: day, per: caller, acus: 5, every: day }]\n",
    );
    assert_eq!(bench.reload.now().await, Outcome::Replaced);
    let rules = bench.policies.load();
    let budget = Arc::clone(&rules.policy().budgets()[0]);
    let found = ledger.budgeted(moment, vec![(budget, payer("uno"))]).await;
    assert_eq!(found.unwrap()[0].balance.held, Acu::whole(3));
}
