//! What operators see and change: checks, damage that was looked at, names, alarms.

use super::*;
use crate::alerts::Kind;

fn options(folder: &tempfile::TempDir) -> Options {
    Options {
        path: folder.path().join("l.db"),
        tag_key: tag::TagKey::new(&[1; 32]).unwrap(),
        quiet: QUIET,
        hand_over: Duration::ZERO,
    }
}

/// Changes the file behind the ledger's back.
fn change(options: &Options, sql: &str) {
    let file = rusqlite::Connection::open(&options.path).unwrap();
    file.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn l13_damage_that_was_looked_at_does_not_stop_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder);
    let month = budget("t/month", Some("t"), Per::Team, 70);
    let ledger = opened(options.clone()).await;
    for _ in 0..3 {
        ledger.hold(create("one", 5, &[&month])).await.unwrap();
    }
    ledger.close().await;
    change(&options, "UPDATE history SET held = 1 WHERE seq = 2");

    let ledger = opened(options.clone()).await;
    assert!(ledger.stopped().is_some());
    let rung = |ledger: &Ledger| {
        let all: Vec<(Kind, u64)> = ledger.bell().rung().collect();
        all.into_iter()
            .find(|(kind, _)| *kind == Kind::Damage)
            .unwrap()
            .1
    };
    assert_eq!(rung(&ledger), 1);
    ledger.close().await;
    // It stays stopped until somebody says why it may go on.
    let ledger = opened(options.clone()).await;
    assert!(ledger.stopped().is_some());
    let resumed = ledger.stop_spending(at(1), None, "root: looked at it".to_owned());
    resumed.await.unwrap();
    ledger.hold(create("one", 5, &[&month])).await.unwrap();
    ledger.close().await;
    let ledger = opened(options.clone()).await;
    assert_eq!((ledger.stopped(), rung(&ledger)), (None, 0));
    // A check still tells.
    assert!(!ledger.verify().await.unwrap().is_sound());
    ledger.close().await;
    // What is damaged from then on stops it again.
    change(&options, "UPDATE history SET note = 'x' WHERE seq = 4");
    let ledger = opened(options.clone()).await;
    let why = ledger.stopped().unwrap();
    assert!(why.contains("line 4 is not as it was written"), "{why}");
    ledger.close().await;
    // And so does a tail that is cut off below what was looked at.
    change(&options, "DELETE FROM history WHERE seq > 2");
    let ledger = opened(options.clone()).await;
    let why = ledger.stopped().unwrap();
    assert!(why.contains("line 3 is missing"), "{why}");
}

#[tokio::test]
async fn a_check_needs_no_gateway_changes_nothing_and_takes_turns_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder);
    let month = budget("t/month", Some("t"), Per::Team, 70);
    let ledger = opened(options.clone()).await;
    ledger.hold(create("one", 5, &[&month])).await.unwrap();
    let error = check(&options.path).await.unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    ledger.close().await;
    let before = std::fs::read(&options.path).unwrap();
    let verdict = check(&options.path).await.unwrap();
    assert!(verdict.is_sound() && verdict.lines == 1, "{verdict:?}");
    assert_eq!(std::fs::read(&options.path).unwrap(), before);
    change(&options, "UPDATE tallies SET held = held - 1");
    let verdict = check(&options.path).await.unwrap();
    assert_eq!(verdict.differences.len(), 1, "{verdict:?}");
    std::fs::write(&options.path, vec![7; 8_192]).unwrap();
    assert!(matches!(
        check(&options.path).await,
        Err(OpenError::Store { .. })
    ));
}

#[tokio::test]
async fn l9_adjustments_and_budgets_under_former_names_count_for_the_names_of_today() {
    let ledger = ledger().await;
    let before = budget("t/mine", Some("t"), Per::Caller, 10);
    let raise = |scope: &str| Adjustment {
        budget: "t/mine".to_owned(),
        scope: Some(scope.to_owned()),
        acus: Acu::whole(5),
        at: at(0).at,
        until: None,
        who: "root".to_owned(),
        why: "a test".to_owned(),
    };
    ledger.adjust(raise("one")).await.unwrap();
    ledger.hold(create("one", 8, &[&before])).await.unwrap();
    let aliases = Aliases {
        callers: [("one".into(), "uno".into())].into(),
        teams: [("t".into(), "tt".into())].into(),
    };
    ledger.rename(aliases).await.unwrap();
    let after = Arc::new(Budget {
        team: Some("tt".into()),
        ..(*before).clone()
    });
    let renamed = Payer {
        team: "tt".into(),
        ..payer("uno")
    };
    // As the new policies see it, and as a request does that still carries the old ones.
    let asked = vec![(after, renamed), (before, payer("one"))];
    for it in ledger.budgeted(at(0), asked).await.unwrap() {
        assert_eq!((it.limit, it.balance.held), (Acu::whole(15), Acu::whole(8)));
    }
}

#[tokio::test]
async fn l2_use_beyond_a_hold_rings_once_and_says_whose_it_was() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 70);
    let asked = create("one", 5, &[&month]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    for second in [2, 3] {
        let read = reading(&ledger, second, 7.5, "running");
        assert!(ledger.read(session(1), read).await.unwrap());
    }
    let told = ledger.bell().next().await;
    assert_eq!(told.kind, Kind::Overrun);
    let body: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(body["acus"], 2.5, "{body}");
    assert_eq!(
        (&body["caller"], &body["session"]),
        (&"one".into(), &session(1).to_string().into())
    );
    assert!(body["hold"].is_string() && body["text"].as_str().unwrap().starts_with("one: "));
    let rung: u64 = ledger.bell().rung().map(|(_, count)| count).sum();
    assert_eq!(rung, 1);
    let usage = ledger.usage(at(-3_600).at, at(3_600).at).await.unwrap();
    let spent: Vec<i64> = usage.values().map(|it| it.spent.milli()).collect();
    assert_eq!(spent, [7_500]);
    assert_eq!(ledger.unknown_holds().await.unwrap(), (0, Acu::ZERO));
}
