//! What is kept of spends without an answer, over restarts and other keys; and what nobody can make grow.

use super::*;
use crate::budget::Account;

#[tokio::test]
async fn l5_another_tag_key_is_refused_while_tags_of_the_last_one_are_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let other = Options {
        tag_key: tag::TagKey::new(&[2; 32]).unwrap(),
        ..options.clone()
    };
    let for_orders = Options {
        tag_key: tag::TagKey::random().unwrap(),
        ..options.clone()
    };
    let month = budget("t/month", Some("t"), Per::Team, 20);
    let ledger = opened(options.clone()).await;
    ledger.hold(create("one", 5, &[&month])).await.unwrap();
    ledger.close().await;
    // A command that signs nothing may have it.
    opened(for_orders.clone()).await.close().await;
    let refused = Ledger::open(other.clone()).await.unwrap_err();
    assert!(
        matches!(refused, OpenError::TagKey { creates: 1, .. }),
        "{refused}"
    );
    // With the key that it had, all goes on.
    let ledger = opened(options.clone()).await;
    assert_eq!(ledger.unsure().await.unwrap().len(), 1);
    // No other key was tried since, so resuming settles nothing.
    ledger
        .stop_spending(at(1), None, "op".into())
        .await
        .unwrap();
    assert_eq!(stands(&ledger, &month, "one").await, (0, 5_000));
    ledger.close().await;
    // The key is lost: whoever says so pays in full.
    Ledger::open(other.clone()).await.unwrap_err();
    let ledger = opened(for_orders).await;
    ledger
        .stop_spending(at(1), None, "op".into())
        .await
        .unwrap();
    assert_eq!(stands(&ledger, &month, "one").await, (5_000, 0));
    ledger.close().await;
    let ledger = opened(other).await;
    sound(&ledger).await;
    ledger.close().await;
    // Nothing is looked for: then a key may change.
    opened(options).await.close().await;
}

#[tokio::test]
async fn l5_what_was_waited_for_outlasts_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let month = budget("t/month", Some("t"), Per::Team, 7);
    let minute = Duration::from_secs(60);
    let ledger = opened(options.clone()).await;
    ledger.stays_open(minute).await.unwrap();
    let asked = create("one", 5, &[&month]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    ledger.close().await;
    // A loop of crashes: each process has it for ten minutes.
    let ledger = opened(options.clone()).await;
    let unsure = ledger.unsure().await.unwrap();
    // Its attempt ended with its process, and not only when it would have been given up.
    assert_eq!((unsure[0].deadline, unsure[0].absent), (minute, None));
    assert_eq!(ledger.open_for(Duration::ZERO), minute);
    ledger.stays_open(10 * minute).await.unwrap();
    ledger.close().await;
    let ledger = opened(options.clone()).await;
    assert_eq!(ledger.open_for(5 * minute), 16 * minute);
    assert_eq!(ledger.unsure().await.unwrap()[0].deadline, minute);
    let begun = ledger.tick();
    assert!(!ledger.absent(at(1), hold, begun).await.unwrap());
    ledger.close().await;
    // The first sighting counts for the next process too.
    let ledger = opened(options).await;
    assert!(ledger.unsure().await.unwrap()[0].absent.is_some());
    let begun = ledger.tick();
    assert!(ledger.absent(at(2), hold, begun).await.unwrap());
    assert_eq!(stands(&ledger, &month, "one").await, (0, 0));
    sound(&ledger).await;
}

#[tokio::test]
async fn l5_a_thousand_that_are_never_found_hide_none_behind_them() {
    let ledger = ledger().await;
    let asked = (0..1_001).map(|_| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let asked = create("one", 1, &[]);
            let hold = asked.hold;
            ledger.hold(asked).await.unwrap();
            ledger.unknown(at(1), hold).await.unwrap();
            hold
        })
    });
    let all = futures_util::future::join_all(asked).await;
    let newest = all.into_iter().map(|it| it.unwrap()).max().unwrap();
    let (first, are_more) = ledger.sought(Sought::Creates, None).await.unwrap();
    assert_eq!((first.len(), are_more), (1_000, true));
    let after = first.last().map(|it| it.hold);
    let (rest, are_more) = ledger.sought(Sought::Creates, after).await.unwrap();
    assert_eq!((rest.len(), are_more), (1, false));
    assert_eq!(rest[0].hold, newest);
    assert_eq!(ledger.unsure().await.unwrap().len(), 1_001);
    let (messages, _) = ledger.sought(Sought::Messages, None).await.unwrap();
    assert!(messages.is_empty());
}

#[tokio::test]
async fn l12_m13_a_child_of_another_organization_is_not_believed() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 7);
    let asked = create("one", 5, &[&month]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    let elsewhere = Reading {
        organization: Some("org-b".into()),
        ..reading(&ledger, 2, 2.0, "exit")
    };
    let seen = elsewhere.clone();
    assert!(!ledger.child(session(2), session(1), seen).await.unwrap());
    assert!(ledger.read(session(1), elsewhere.clone()).await.unwrap());
    assert_eq!(stands(&ledger, &month, "one").await, (0, 5_000));
    let here = Reading {
        organization: Some("org-a".into()),
        ..elsewhere
    };
    let seen = here.clone();
    assert!(ledger.child(session(2), session(1), seen).await.unwrap());
    assert!(ledger.read(session(1), here).await.unwrap());
    assert_eq!(stands(&ledger, &month, "one").await, (4_000, 0));
    sound(&ledger).await;
}

#[tokio::test]
async fn m24_whoever_writes_to_anothers_session_sees_no_numbers_of_its_creator() {
    let ledger = ledger().await;
    let mine = budget("t/mine", Some("t"), Per::Caller, 6);
    let team = budget("t/month", Some("t"), Per::Team, 12);
    let asked = create("one", 5, &[&mine, &team]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    let said_by = |caller: &str, budgets: &[&Arc<Budget>]| Holding {
        asker: payer(caller),
        ..message(&session(1), budgets)
    };
    for (caller, is_own) in [("one", true), ("two", false)] {
        match ledger.hold(said_by(caller, &[&mine, &team])).await {
            Err(NotHeld::NoRoom(full)) => {
                assert_eq!(&*full.remaining.budget, "t/mine");
                assert_eq!(full.remaining.is_own, is_own, "{caller}");
            }
            other => panic!("{other:?}"),
        }
    }
    // The team's are also the other's.
    let held = ledger.hold(said_by("two", &[&team])).await.unwrap();
    let shown = held.remaining.unwrap();
    assert_eq!((&*shown.budget, shown.is_own), ("t/month", true));
}

#[tokio::test]
async fn g9_whoever_holds_nothing_is_not_written_down() {
    let ledger = ledger().await;
    let mine = budget("t/mine", Some("t"), Per::Caller, 6);
    let made_up = |n: u32, cap| {
        let mut asked = create("one", cap, &[&mine]);
        asked.payer.organization = format!("org-made-up-{n}").into();
        asked
    };
    for n in 0..5 {
        assert!(ledger.hold(made_up(n, 7)).await.is_err());
    }
    assert_eq!(ledger.payers().await.unwrap(), []);
    // Of those who held something and got no session, none is looked at for sessions.
    let asked = made_up(9, 5);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    assert!(ledger.released(at(1), hold).await.unwrap());
    let asked = create("one", 5, &[&mine]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    let with_sessions = ledger
        .reading(|connection| {
            let sql = "SELECT count(*) FROM payers WHERE has_sessions = 1";
            Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        })
        .await;
    assert_eq!(with_sessions.unwrap(), 1);
    let account = Account {
        caller: Some("one".into()),
        ..Account::default()
    };
    let found = ledger.sessions(&account, None, 10).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn g9_records_that_are_remembered_are_bounded_by_their_bytes() {
    let ledger = ledger().await;
    let record = bytes::Bytes::from(vec![b' '; 4 * 1024 * 1024]);
    let all: Vec<HoldId> = (0..10).map(|_| HoldId::new()).collect();
    for hold in &all {
        ledger.resolve(*hold, Resolution::Accepted(record.clone()));
    }
    let mut kept = 0;
    for hold in &all {
        match ledger.resolved(*hold).await.unwrap() {
            Resolution::Accepted(_) => kept += 1,
            // The ledger itself has never heard of these.
            Resolution::Absent => {}
            Resolution::Unresolvable => panic!(),
        }
    }
    assert_eq!(kept, 4);
}
