//! A disk that takes part of a group, and no more; and what Devin should never answer.

use super::*;
use crate::ledger::writer::Work;

/// Lets the writer's thread wait, so that what is sent until it goes on is one group.
async fn stopped(ledger: &Ledger) -> std::sync::mpsc::Sender<()> {
    let (go, wait) = std::sync::mpsc::channel();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let ledger = ledger.clone();
    tokio::spawn(async move {
        let wait = move |_: &mut Work<'_>| {
            let _ = begin.send(());
            let _ = wait.recv();
            Ok(())
        };
        ledger.0.writer.write(wait).await.unwrap();
    });
    begun.await.unwrap();
    go
}

#[tokio::test]
async fn m19_a_full_disk_in_the_middle_of_a_group_takes_none_of_it_and_breaks_nothing() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 70);
    ledger.hold(create("one", 5, &[&month])).await.unwrap();
    let go = stopped(&ledger).await;
    let send = |asked: Holding| {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.hold(asked).await })
    };
    let first = send(create("one", 5, &[&month]));
    tokio::task::yield_now().await;
    let full = {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let fill = |work: &mut Work<'_>| {
                let connection = &work.store.connection;
                // SQLite says that the disk is full, and gives up the whole transaction.
                let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
                connection.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
                let filled = connection.execute(
                    "INSERT INTO meta (key, value) VALUES ('x', hex(zeroblob(1000000)))",
                    [],
                );
                connection.execute_batch("PRAGMA max_page_count = 1000000")?;
                filled?;
                Ok(())
            };
            ledger.0.writer.write(fill).await
        })
    };
    tokio::task::yield_now().await;
    let last = send(create("one", 5, &[&month]));
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    assert!(full.await.unwrap().is_err());
    let (first, last) = (first.await.unwrap(), last.await.unwrap());
    let taken = 1 + [first.is_ok(), last.is_ok()]
        .iter()
        .filter(|it| **it)
        .count();
    assert_eq!(stands(&ledger, &month, "one").await.1, 5_000 * taken as i64);
    sound(&ledger).await;
    // It goes on as soon as the disk does.
    ledger.hold(create("one", 5, &[&month])).await.unwrap();
    sound(&ledger).await;
}

#[tokio::test]
async fn m15_one_session_for_two_creates_leaves_no_hold_behind() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 70);
    let begun = async |caller: &str| {
        let asked = create(caller, 5, &[&month]);
        let hold = asked.hold;
        ledger.hold(asked).await.unwrap();
        ledger.created(at(1), hold, session(1)).await.unwrap();
        hold
    };
    begun("one").await;
    begun("one").await;
    assert_eq!(stands(&ledger, &month, "one").await, (0, 10_000));
    // Another caller's pays for it in full: no reading of that session will ever settle it.
    let hold = begun("two").await;
    assert_eq!(stands(&ledger, &month, "one").await, (5_000, 10_000));
    let resolution = ledger.resolved(hold).await.unwrap();
    assert_eq!(resolution, Resolution::Unresolvable);
    let over = reading(&ledger, 2, 7.0, "exit");
    ledger.read(session(1), over).await.unwrap();
    assert_eq!(stands(&ledger, &month, "one").await, (12_000, 0));
    let known = ledger.session(&session(1)).await.unwrap().unwrap();
    assert_eq!(&*known.payer.caller, "one");
    sound(&ledger).await;
}
