//! Files that were changed, copied, shared, or are of a later version.

use super::*;

#[tokio::test]
async fn m21_a_change_behind_the_ledgers_back_is_found_and_stops_spending() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        path: folder.path().join("l.db"),
        tag_key: tag::TagKey::new(&[1; 32]).unwrap(),
        quiet: QUIET,
        hand_over: Duration::from_millis(200),
    };
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
    let options = Options {
        path: folder.path().join("l.db"),
        tag_key: tag::TagKey::new(&[1; 32]).unwrap(),
        quiet: QUIET,
        hand_over: Duration::from_millis(200),
    };
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

/// So many holds that are one group: the writer is kept until all of them wait.
async fn group(ledger: &Ledger, month: &Arc<Budget>, count: usize) -> Vec<Result<Held, NotHeld>> {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let kept = ledger.0.writer.write(move |_| {
        let _ = gate.recv();
        Ok(())
    });
    let holds = futures_util::future::join_all(
        (0..count).map(|n| ledger.hold(create(&format!("c{n}"), 1, &[month]))),
    );
    let release = async {
        tokio::task::yield_now().await;
        go.send(()).unwrap();
    };
    let (kept, outcomes, ()) = tokio::join!(kept, holds, release);
    kept.unwrap();
    outcomes
}

#[tokio::test]
async fn m19_a_full_disk_takes_no_hold_breaks_no_history_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        path: folder.path().join("l.db"),
        tag_key: tag::TagKey::new(&[1; 32]).unwrap(),
        quiet: QUIET,
        hand_over: Duration::from_millis(200),
    };
    let month = budget("t/month", Some("t"), Per::Team, 5_000);
    let ledger = opened(options.clone()).await;
    ledger.hold(create("c0", 1, &[&month])).await.unwrap();
    let most = |pages: &'static str| {
        ledger.0.writer.write(move |work| {
            let pragma = format!("PRAGMA max_page_count = {pages}");
            let all = work.store.connection.query_row(&pragma, [], |_| Ok(()));
            Ok(all?)
        })
    };
    // No page more than there is: the disk is full in the middle of a group.
    most("1").await.unwrap();
    let outcomes = group(&ledger, &month, 300).await;
    let taken = outcomes.iter().filter(|it| it.is_ok()).count();
    assert_eq!(taken, 0, "nobody is told that a hold was taken");
    assert_eq!(stands(&ledger, &month, "c0").await, (0, 1_000));
    most("1000000").await.unwrap();
    let outcomes = group(&ledger, &month, 300).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(stands(&ledger, &month, "c0").await, (0, 301_000));
    sound(&ledger).await;
    ledger.close().await;
    let ledger = opened(options).await;
    assert_eq!(ledger.stopped(), None);
}
