//! Two processes and one ledger: the second waits for the first, and has everything from then on.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::clock::{Clock, FakeClock};
use crate::pipeline::attempts::Records;

fn clock_at(up: u64) -> FakeClock {
    let clock = FakeClock::at(at(0).at);
    clock.advance(jiff::SignedDuration::from_secs(up.cast_signed()));
    clock
}

/// A second process, while the first has the ledger.
async fn waiting(options: &Options) -> (Ledger, HandOver) {
    let (ledger, hand_over) = Ledger::open_or_wait(options.clone()).await.unwrap();
    (ledger, hand_over.expect("another process has it"))
}

/// Whether it has an answer already.
fn poll<T>(asked: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    asked.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn l13_a_second_process_reads_and_has_its_holds_once_the_first_has_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let month = budget("t/month", Some("t"), Per::Team, 10);
    let first = opened(options.clone()).await;
    let held = create("one", 5, &[&month]);
    first.hold(held.clone()).await.unwrap();
    first.created(at(1), held.hold, session(1)).await.unwrap();
    let (second, hand_over) = waiting(&options).await;
    // What is only read is there, also what the first writes from now on.
    assert!(second.session(&session(1)).await.unwrap().is_some());
    assert!(second.session(&session(2)).await.unwrap().is_none());
    let next = create("one", 1, &[&month]);
    first.hold(next.clone()).await.unwrap();
    first.created(at(1), next.hold, session(2)).await.unwrap();
    assert!(second.session(&session(2)).await.unwrap().is_some());
    // What is to be written waits, and so does whatever could be another process's attempt.
    assert!(!second.is_ours());
    let why = second.failure().unwrap().to_string();
    let pid = std::process::id().to_string();
    assert!(why.contains(&pid) && why.contains("waits for it"), "{why}");
    // Whoever has no ledger admits nothing to it.
    second.admit();
    let hold = create("two", 4, &[&month]);
    let mut spends = pin!(second.hold(hold.clone()));
    let mut attempts = pin!(second.alone());
    assert!(poll(spends.as_mut()).is_pending());
    assert!(poll(attempts.as_mut()).is_pending());
    // A name that is changed meanwhile is not forgotten.
    let aliases = Aliases {
        callers: [("one".into(), "three".into())].into(),
        ..Aliases::default()
    };
    second.rename(aliases).await.unwrap();
    let last = first.tick();
    first.close().await;
    assert!(!second.is_ours());
    hand_over.wait(&clock_at(0)).await.unwrap();
    assert!(second.is_ours());
    assert!(second.failure().is_none());
    attempts.await.unwrap();
    // Nothing is spent before it is known what was spent, and then what the first has held counts.
    assert!(poll(spends.as_mut()).is_pending());
    second.admit();
    spends.await.unwrap();
    assert!(second.hold(create("two", 1, &[&month])).await.is_err());
    assert_eq!(stands(&second, &month, "three").await, (0, 10_000));
    let payers = second.payers().await.unwrap();
    assert!(payers.iter().any(|it| &*it.caller == "three"), "{payers:?}");
    // What the first has seen came before.
    second.created(at(2), hold.hold, session(3)).await.unwrap();
    assert!(second.tick() > last);
    sound(&second).await;
}

#[tokio::test]
async fn l5_the_time_of_what_is_unknown_begins_when_the_ledger_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let first = opened(options.clone()).await;
    first.hold(create("one", 5, &[])).await.unwrap();
    // The second has been up for long when the first ends without an answer.
    let (second, hand_over) = waiting(&options).await;
    first.close().await;
    let clock = clock_at(1_200);
    hand_over.wait(&clock).await.unwrap();
    let unsure = second.unsure().await.unwrap();
    assert_eq!(unsure.len(), 1);
    // The time counts that the ledger is open, not that a process waits for it.
    assert_eq!(second.open_for(clock.up()), Duration::ZERO);
    assert_eq!(unsure[0].deadline, Duration::ZERO);
    let minute = Duration::from_secs(60);
    assert_eq!(second.open_for(clock.up() + minute), minute);
}

#[tokio::test]
async fn m19_a_second_process_gives_up_in_the_end_and_says_who_has_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let first = opened(options.clone()).await;
    let (second, hand_over) = waiting(&options).await;
    match hand_over.wait(&clock_at(0)).await {
        Err(OpenError::Locked(holder)) => {
            assert_eq!(holder.pid, Some(std::process::id()));
            assert_eq!(holder.path, options.path);
        }
        other => panic!("{other:?}"),
    }
    // It ends without a wait for what it never had, and the first goes on.
    second.close().await;
    first.hold(create("one", 5, &[])).await.unwrap();
    first.close().await;
}

#[tokio::test]
async fn m19_a_file_that_cannot_be_used_is_an_error_at_once_and_at_the_hand_over() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let first = opened(options.clone()).await;
    let (second, hand_over) = waiting(&options).await;
    first.close().await;
    rusqlite::Connection::open(&options.path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let failed = hand_over.wait(&clock_at(0)).await.unwrap_err();
    assert!(failed.to_string().contains("version 99"), "{failed}");
    assert!(!second.is_ours());
    // The lock was let go with it.
    let failed = Ledger::open_or_wait(options).await.unwrap_err();
    assert!(failed.to_string().contains("version 99"), "{failed}");
}

#[tokio::test]
async fn l13_damage_that_is_found_at_the_hand_over_stops_what_has_waited_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let first = opened(options.clone()).await;
    first.hold(create("one", 5, &[])).await.unwrap();
    first.hold(create("one", 5, &[])).await.unwrap();
    let (second, hand_over) = waiting(&options).await;
    let mut spends = pin!(second.hold(create("one", 5, &[])));
    assert!(poll(spends.as_mut()).is_pending());
    first.close().await;
    rusqlite::Connection::open(&options.path)
        .unwrap()
        .execute("UPDATE history SET held = 1 WHERE seq = 1", [])
        .unwrap();
    hand_over.wait(&clock_at(0)).await.unwrap();
    second.admit();
    match spends.await {
        Err(NotHeld::Store(why)) => assert!(why.to_string().contains("damaged"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn l13_a_process_that_is_about_to_end_takes_no_more_holds_and_settles_those_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let month = budget("t/month", Some("t"), Per::Team, 10);
    let first = opened(options.clone()).await;
    let held = create("one", 5, &[&month]);
    first.hold(held.clone()).await.unwrap();
    let (second, _hand_over) = waiting(&options).await;
    for ending in [&first, &second] {
        ending.retire();
        // A reconciler that is in the middle of its round changes nothing of it.
        ending.admit();
    }
    match first.hold(create("one", 5, &[&month])).await {
        Err(NotHeld::Store(why)) => assert!(why.to_string().contains("about to end"), "{why}"),
        other => panic!("{other:?}"),
    }
    // One that still waits says at once that it waits no more.
    assert!(matches!(
        poll(pin!(second.hold(create("one", 5, &[&month])))),
        Poll::Ready(Err(NotHeld::Store(_)))
    ));
    first.created(at(1), held.hold, session(1)).await.unwrap();
    assert_eq!(stands(&first, &month, "one").await, (0, 5_000));
}
