//! A disk that takes part of a group, and no more.

use super::*;
use crate::ledger::writer::Work;

/// Lets the writer's thread wait, so that what is sent until then is one group.
fn stopped(ledger: &Ledger) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (go, wait) = std::sync::mpsc::channel();
    let ledger = ledger.clone();
    let held = tokio::spawn(async move {
        let wait = move |_: &mut Work<'_>| {
            let _ = wait.recv();
            Ok(())
        };
        ledger.0.writer.write(wait).await.unwrap();
    });
    (go, held)
}

#[tokio::test]
async fn m19_a_full_disk_in_the_middle_of_a_group_takes_none_of_it_and_breaks_nothing() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 70);
    ledger.hold(create("one", 5, &[&month])).await.unwrap();
    let (go, stopped) = stopped(&ledger);
    let send = |asked: Holding| {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.hold(asked).await })
    };
    tokio::task::yield_now().await;
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
    stopped.await.unwrap();
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
