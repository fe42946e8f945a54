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
    for (change, found) in [
        (
            "UPDATE history SET held = 1 WHERE seq = 2",
            "line 2 is not as it was written",
        ),
        ("DELETE FROM history WHERE seq = 2", "line 2 is missing"),
    ] {
        let copy = folder.path().join("copy.db");
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
