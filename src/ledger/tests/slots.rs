//! Sessions at once: counted in the ledger, in the transaction of the hold.

use std::num::NonZeroU32;

use super::*;
use crate::budget::{Account, Slots};

fn slots(limit: &str, most: u32, account: Account) -> Slots {
    Slots {
        limit: limit.into(),
        account,
        callers: None,
        most: NonZeroU32::new(most).unwrap(),
        shadow: false,
    }
}

fn of_caller(caller: &str, most: u32) -> Slots {
    let account = Account {
        team: Some("t".into()),
        caller: Some(caller.into()),
        ..Account::default()
    };
    slots("t/own", most, account)
}

fn of_team(most: u32) -> Slots {
    let account = Account {
        team: Some("t".into()),
        ..Account::default()
    };
    slots("t/running", most, account)
}

fn among(slots: &[Slots], holding: Holding) -> Holding {
    Holding {
        slots: slots.to_vec(),
        ..holding
    }
}

fn new(caller: &str) -> Holding {
    create(caller, 1, &[])
}

fn limit(held: &Result<Held, NotHeld>) -> Option<&str> {
    match held {
        Ok(_) => None,
        Err(NotHeld::NoSlot(limit)) => Some(limit),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn as_many_sessions_run_as_may_at_any_concurrency() {
    let ledger = ledger().await;
    let asked = (0..300).map(|n| {
        let ledger = ledger.clone();
        let caller = format!("c{}", n % 5);
        let both = [of_team(17), of_caller(&caller, 4)];
        tokio::spawn(async move { ledger.hold(among(&both, new(&caller))).await })
    });
    let outcomes = futures_util::future::join_all(asked).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    let admitted = outcomes.iter().filter(|it| limit(it).is_none()).count();
    assert_eq!(admitted, 17);
    sound(&ledger).await;
}

#[tokio::test]
async fn a_slot_is_free_once_its_session_has_settled_and_an_unknown_one_keeps_it() {
    let ledger = ledger().await;
    let one = [of_caller("one", 2)];
    let holds: Vec<HoldId> = (0..3).map(|_| HoldId::new()).collect();
    let hold = |n: usize| Holding {
        hold: holds[n],
        ..among(&one, new("one"))
    };
    ledger.hold(hold(0)).await.unwrap();
    ledger.hold(hold(1)).await.unwrap();
    assert_eq!(limit(&ledger.hold(hold(2)).await), Some("t/own"));
    // Another caller has slots of its own, in the same account of the team's.
    let other = [of_caller("two", 1), of_team(3)];
    ledger.hold(among(&other, new("two"))).await.unwrap();
    assert_eq!(
        limit(&ledger.hold(among(&[of_team(3)], new("three"))).await),
        Some("t/running")
    );
    // Nobody knows what became of it: it may run.
    ledger.unknown(at(1), holds[0]).await.unwrap();
    assert_eq!(limit(&ledger.hold(hold(2)).await), Some("t/own"));
    // It runs, and then it has ended.
    ledger.created(at(2), holds[1], session(1)).await.unwrap();
    assert_eq!(limit(&ledger.hold(hold(2)).await), Some("t/own"));
    let end = reading(&ledger, 3, 0.5, "exit");
    ledger.read(session(1), end).await.unwrap();
    ledger.hold(hold(2)).await.unwrap();
    // What was refused runs nowhere.
    assert_eq!(
        limit(&ledger.hold(among(&one, new("one"))).await),
        Some("t/own")
    );
    ledger.released(at(4), holds[2]).await.unwrap();
    ledger.hold(among(&one, new("one"))).await.unwrap();
    sound(&ledger).await;
}

#[tokio::test]
async fn a_message_takes_a_slot_only_if_its_session_has_none() {
    let ledger = ledger().await;
    let one = [of_caller("one", 1)];
    let hold = HoldId::new();
    let first = Holding {
        hold,
        ..among(&one, new("one"))
    };
    ledger.hold(first).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    // Two more wakes of the session that runs.
    for _ in 0..2 {
        let said = Holding {
            hold: HoldId::new(),
            ..among(&one, message(&session(1), &[]))
        };
        ledger.hold(said.clone()).await.unwrap();
        ledger.answered(at(2), said.hold).await.unwrap();
    }
    assert_eq!(
        limit(&ledger.hold(among(&one, new("one"))).await),
        Some("t/own")
    );
    let end = reading(&ledger, 3, 0.5, "exit");
    ledger.read(session(1), end).await.unwrap();
    // It rests, and another one has its slot: to wake it would be one more.
    let other = HoldId::new();
    let second = Holding {
        hold: other,
        ..among(&one, new("one"))
    };
    ledger.hold(second).await.unwrap();
    let said = among(&one, message(&session(1), &[]));
    assert_eq!(limit(&ledger.hold(said.clone()).await), Some("t/own"));
    ledger.released(at(4), other).await.unwrap();
    ledger.hold(said).await.unwrap();
    sound(&ledger).await;
}

#[tokio::test]
async fn a_limit_on_trial_is_told_and_not_enforced_and_counts_whom_it_is_for() {
    let ledger = ledger().await;
    let trial = Slots {
        shadow: true,
        callers: Some(["one".into(), "two".into()].into()),
        ..of_team(1)
    };
    // A third caller's sessions do not count.
    ledger.hold(new("three")).await.unwrap();
    let held = ledger
        .hold(among(std::slice::from_ref(&trial), new("one")))
        .await;
    assert_eq!(held.unwrap().on_trial, None);
    let held = ledger
        .hold(among(std::slice::from_ref(&trial), new("two")))
        .await;
    let wanted = OnTrial::Slots("t/running".into());
    assert_eq!(held.unwrap().on_trial, Some(wanted));
}

#[tokio::test]
async fn what_has_no_session_of_its_own_takes_no_slot() {
    let ledger = ledger().await;
    let one = [of_caller("one", 1)];
    ledger.hold(among(&one, new("one"))).await.unwrap();
    let scan = Holding {
        what: What::Uncapped(Acu::whole(1)),
        operation: "code_scans.create",
        ..among(&one, new("one"))
    };
    ledger.hold(scan).await.unwrap();
    // Nor does what it is charged as count.
    let two = [of_caller("two", 1)];
    let scan = Holding {
        what: What::Uncapped(Acu::whole(1)),
        ..among(&two, new("two"))
    };
    ledger.hold(scan).await.unwrap();
    ledger.hold(among(&two, new("two"))).await.unwrap();
}

#[tokio::test]
async fn slots_are_counted_among_many_payers_most_of_whom_have_nothing_that_runs() {
    let ledger = ledger().await;
    let most = 8;
    for n in 0..150 {
        let mut asked = among(&[of_team(most + 1)], new("one"));
        asked.payer.organization = format!("org-{n}").into();
        let hold = asked.hold;
        ledger.hold(asked).await.unwrap();
        // Each twentieth goes on running, under the first organizations as under the last.
        if n % 20 > 0 {
            ledger.released(at(1), hold).await.unwrap();
        }
    }
    // Another team's do not count.
    let mut other = new("other");
    other.payer.team = "u".into();
    ledger.hold(other).await.unwrap();
    let full = ledger.hold(among(&[of_team(most)], new("two"))).await;
    assert_eq!(limit(&full), Some("t/running"));
    let room = ledger.hold(among(&[of_team(most + 1)], new("two"))).await;
    assert_eq!(limit(&room), None);
    sound(&ledger).await;
}
