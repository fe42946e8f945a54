//! Files that were changed, copied, shared, or are of a later version.

use super::*;

#[tokio::test]
async fn m21_a_change_behind_the_ledgers_back_is_found_and_stops_spending() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let month = budget("t/month", Some("t"), Per::Team, 70);
    let ledger = opened(options.clone()).await;
    for _ in 0..3 {
        ledger.hold(create("one", 5, &[&month])).await.unwrap();
    }
    sound(&ledger).await;
    ledger.close().await;
    for (n, (change, found)) in [
        (
            "UPDATE history SET held = 1 WHERE seq = 2",
            "line 2 is not as it was written",
        ),
        ("DELETE FROM history WHERE seq = 2", "line 2 is missing"),
    ]
    .into_iter()
    .enumerate()
    {
        let copy = folder.path().join(format!("copy{n}.db"));
        std::fs::copy(&options.path, &copy).unwrap();
        rusqlite::Connection::open(&copy)
            .unwrap()
            .execute(change, [])
            .unwrap();
        let damaged = Options {
            path: copy,
            ..options.clone()
        };
        let ledger = opened(damaged).await;
        assert!(ledger.stopped().unwrap().contains(found));
        assert!(matches!(
            ledger.hold(create("one", 5, &[&month])).await,
            Err(NotHeld::Store(_))
        ));
        ledger
            .stop_spending(at(1), None, "op".to_owned())
            .await
            .unwrap();
        ledger.hold(create("one", 5, &[&month])).await.unwrap();
    }
    // Sums are compared when it is asked for.
    let ledger = opened(options.clone()).await;
    let change = "UPDATE tallies SET held = held - 1000; UPDATE wakes SET used = 1";
    rusqlite::Connection::open(&options.path)
        .unwrap()
        .execute_batch(change)
        .unwrap();
    let verdict = ledger.verify().await.unwrap();
    assert!(
        verdict
            .differences
            .iter()
            .any(|it| it.contains("payer and slot")),
        "{verdict:?}"
    );
    assert!(
        verdict.differences.iter().any(|it| it.contains("has used")),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn m19_two_processes_never_share_a_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let first = opened(options.clone()).await;
    let second = Ledger::open(options.clone()).await.unwrap_err();
    assert!(matches!(second, OpenError::Locked(_)), "{second}");
    first.close().await;
    Ledger::open(options.clone()).await.unwrap().close().await;
    // A file of a later version is left alone.
    rusqlite::Connection::open(&options.path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let later = Ledger::open(options).await.unwrap_err();
    assert!(later.to_string().contains("version 99"), "{later}");
}

#[tokio::test]
async fn m19_a_full_disk_takes_no_hold_breaks_no_history_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let month = budget("t/month", Some("t"), Per::Team, 5_000);
    let ledger = opened(options.clone()).await;
    ledger.hold(create("one", 1, &[&month])).await.unwrap();
    let most = |pages: &'static str| {
        ledger.0.writer.write(move |work| {
            let pragma = format!("PRAGMA max_page_count = {pages}");
            let all = work.store.connection.query_row(&pragma, [], |_| Ok(()));
            Ok(all?)
        })
    };
    let large = |bytes| Adjustment {
        budget: "t/other".to_owned(),
        scope: None,
        acus: Acu::ZERO,
        at: at(0).at,
        until: None,
        who: "op".to_owned(),
        why: "x".repeat(bytes),
    };
    // No more pages than there are. In one group: what fits into a page, what does not, and again what does.
    most("1").await.unwrap();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let kept = ledger.0.writer.write(move |_| {
        let _ = gate.recv();
        Ok(())
    });
    let release = async {
        go.send(()).unwrap();
    };
    let (_, before, full, after, ()) = tokio::join!(
        kept,
        ledger.hold(create("one", 1, &[&month])),
        ledger.adjust(large(100_000)),
        ledger.hold(create("one", 1, &[&month])),
        release,
    );
    assert!(full.is_err());
    // Who is told that it is not held is told the truth.
    assert!(before.is_err() && after.is_err());
    assert_eq!(stands(&ledger, &month, "one").await, (0, 1_000));
    most("1000000").await.unwrap();
    ledger.hold(create("one", 1, &[&month])).await.unwrap();
    ledger.adjust(large(100_000)).await.unwrap();
    assert_eq!(stands(&ledger, &month, "one").await, (0, 2_000));
    sound(&ledger).await;
    ledger.close().await;
    let ledger = opened(options).await;
    assert_eq!(ledger.stopped(), None);
}

#[tokio::test]
async fn i8_who_repeats_finds_an_attempt_of_the_last_process_that_was_found_before_they_came() {
    use crate::pipeline::attempts::{Records, Unresolved};
    let folder = tempfile::tempdir().unwrap();
    let month = budget("month", Some("t"), Per::Team, 10);
    let holding = create("a", 2, &[&month]);
    let hold = holding.hold;
    let ledger = Ledger::open(options_in(&folder)).await.unwrap();
    ledger.admit();
    ledger.hold(holding).await.unwrap();
    // The process ends with the request on its way.
    ledger.close().await;

    let ledger = Ledger::open(options_in(&folder)).await.unwrap();
    // The first round of the reconciler is over before the first request comes.
    ledger.created(at(1), hold, session(1)).await.unwrap();
    assert!(ledger.unsure().await.unwrap().is_empty());
    let left = Unresolved {
        caller: "a".into(),
        fingerprint: [0; 32],
        hold,
    };
    let records: &dyn Records = &ledger;
    assert_eq!(records.unresolved().await.unwrap(), [left]);
}
