//! The ledger's contract, over its real file: what a later store has to hold to as well.

mod failing;
mod files;
mod hand_over;
mod operating;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::book::Reading;
use super::moment::Moment;
use super::*;
use crate::acu::{Acu, Cap};
use crate::budget::{Budget, Every, Payer, Per, Zone};
use crate::policy::bounds::{CapTerms, NoRoom};

const QUIET: Duration = Duration::from_secs(60);

fn budget(name: &str, team: Option<&str>, per: Per, acus: u32) -> Arc<Budget> {
    Arc::new(Budget {
        name: name.into(),
        id: name.into(),
        team: team.map(Into::into),
        per,
        limit: Acu::whole(acus),
        every: Every::Month(Zone::devin()),
        alert_at: Vec::new(),
        shadow: false,
    })
}

fn payer(caller: &str) -> Payer {
    Payer {
        organization: "org-a".into(),
        team: "t".into(),
        caller: caller.into(),
    }
}

fn at(second: i64) -> Moment {
    Moment {
        at: Timestamp::from_second(1_790_000_000 + second).unwrap(),
        up: Duration::from_secs(second.unsigned_abs()),
    }
}

fn session(n: u32) -> SessionId {
    SessionId::parse(&format!("{n:032x}")).unwrap()
}

fn create(caller: &str, cap: i64, budgets: &[&Arc<Budget>]) -> Holding {
    Holding {
        hold: HoldId::new(),
        moment: at(0),
        payer: payer(caller),
        asker: payer(caller),
        operation: "sessions.create",
        what: What::Session {
            wanted: Cap::new(cap).unwrap(),
            terms: CapTerms::default(),
            alone: false,
            text: None,
        },
        budgets: budgets.iter().map(|it| Arc::clone(it)).collect(),
        deadline: Duration::from_secs(300),
        fingerprint: [0; 32],
    }
}

fn message(to: &SessionId, budgets: &[&Arc<Budget>]) -> Holding {
    Holding {
        operation: "sessions.messages.send",
        what: What::Message {
            session: to.clone(),
            text: [1; 32],
        },
        ..create("somebody else", 1, budgets)
    }
}

fn reading(ledger: &Ledger, second: i64, acus: f64, status: &str) -> Reading {
    Reading {
        begun: moment::Begun {
            tick: ledger.tick(),
            up: at(second).up,
        },
        moment: at(second),
        usage: Acu::from_reported(acus),
        status: status.into(),
        detail: None,
        organization: None,
    }
}

/// Spent and held of a budget for a caller, in thousandths.
async fn stands(ledger: &Ledger, budget: &Arc<Budget>, caller: &str) -> (i64, i64) {
    let asked = vec![(Arc::clone(budget), payer(caller))];
    let all = ledger.budgeted(at(0), asked).await.unwrap();
    (all[0].balance.spent.milli(), all[0].balance.held.milli())
}

async fn sound(ledger: &Ledger) {
    let verdict = ledger.verify().await.unwrap();
    assert!(verdict.is_sound(), "{verdict:?}");
}

fn options_in(folder: &tempfile::TempDir) -> Options {
    Options {
        path: folder.path().join("l.db"),
        tag_key: tag::TagKey::new(&[1; 32]).unwrap(),
        quiet: QUIET,
        hand_over: Duration::from_millis(200),
    }
}

async fn opened(options: Options) -> Ledger {
    let ledger = Ledger::open(options).await.unwrap();
    ledger.admit();
    ledger
}

async fn ledger() -> Ledger {
    Ledger::temporary(QUIET).await.unwrap()
}

#[tokio::test]
async fn l1_a_hold_is_taken_in_every_budget_or_in_none() {
    let ledger = ledger().await;
    let team = budget("t/month", Some("t"), Per::Team, 10);
    let mine = budget("t/mine", Some("t"), Per::Caller, 6);
    let all = budget("g/all", None, Per::Everyone, 100);
    let budgets = [&team, &mine, &all];
    let held = ledger.hold(create("one", 5, &budgets)).await.unwrap();
    assert_eq!(held.cap.map(Cap::get), Some(5));
    let remaining = held.remaining.unwrap();
    assert_eq!(
        (&*remaining.budget, remaining.acus),
        ("t/mine", Acu::whole(1))
    );
    // The caller's has no room, the others have.
    match ledger.hold(create("one", 5, &budgets)).await {
        Err(NotHeld::NoRoom(full)) => assert_eq!(&*full.remaining.budget, "t/mine"),
        other => panic!("{other:?}"),
    }
    for it in budgets {
        assert_eq!(stands(&ledger, it, "one").await, (0, 5_000), "{}", it.name);
    }
    // Another caller's own is empty, the team's holds what the first has.
    assert!(ledger.hold(create("two", 6, &budgets)).await.is_err());
    ledger.hold(create("two", 5, &budgets)).await.unwrap();
    assert_eq!(stands(&ledger, &team, "two").await, (0, 10_000));
    assert_eq!(stands(&ledger, &mine, "two").await, (0, 5_000));
    sound(&ledger).await;
}

#[tokio::test]
async fn l2_m1_as_many_holds_are_admitted_as_there_is_room_for_at_any_concurrency() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 100);
    let asked = (0..1_000).map(|n| {
        let (ledger, month) = (ledger.clone(), Arc::clone(&month));
        tokio::spawn(async move {
            ledger
                .hold(create(&format!("c{}", n % 7), 1, &[&month]))
                .await
        })
    });
    let outcomes = futures_util::future::join_all(asked).await;
    let admitted = outcomes
        .iter()
        .filter(|it| it.as_ref().unwrap().is_ok())
        .count();
    assert_eq!(admitted, 100);
    assert_eq!(stands(&ledger, &month, "c0").await, (0, 100_000));
    assert!(ledger.groups() < 1_000, "holds share their syncs");
    sound(&ledger).await;
}

#[tokio::test]
async fn l3_a_cap_is_lowered_to_the_room_only_where_that_is_allowed() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 7);
    let clamping = |cap| {
        let mut asked = create("one", cap, &[&month]);
        let terms = CapTerms {
            min: 2,
            no_room: NoRoom::Clamp,
        };
        asked.what = What::Session {
            wanted: Cap::new(cap).unwrap(),
            terms,
            alone: false,
            text: None,
        };
        asked
    };
    assert_eq!(
        ledger.hold(clamping(5)).await.unwrap().amount,
        Acu::whole(5)
    );
    assert!(ledger.hold(create("one", 3, &[&month])).await.is_err());
    assert_eq!(ledger.hold(clamping(5)).await.unwrap().cap, Cap::new(2));
    assert!(ledger.hold(clamping(5)).await.is_err());
    assert_eq!(stands(&ledger, &month, "one").await, (0, 7_000));
}

#[tokio::test]
async fn l4_a_refused_hold_is_given_back_once() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 7);
    let asked = create("one", 5, &[&month]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    assert!(ledger.released(at(1), hold).await.unwrap());
    assert!(!ledger.released(at(1), hold).await.unwrap());
    assert_eq!(stands(&ledger, &month, "one").await, (0, 0));
    assert_eq!(ledger.resolved(hold).await.unwrap(), Resolution::Absent);
    // What is charged without a cap is given back as well.
    let mut asked = create("one", 1, &[&month]);
    asked.what = What::Uncapped(Acu::whole(3));
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    assert_eq!(stands(&ledger, &month, "one").await, (3_000, 0));
    assert!(ledger.released(at(1), hold).await.unwrap());
    assert_eq!(stands(&ledger, &month, "one").await, (0, 0));
    sound(&ledger).await;
}

#[tokio::test]
async fn l5_m20_a_hold_outlives_its_process_and_is_freed_by_two_listings_only() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let month = budget("t/month", Some("t"), Per::Team, 7);
    let asked = create("one", 5, &[&month]);
    let hold = asked.hold;
    let ledger = opened(options.clone()).await;
    ledger.hold(asked).await.unwrap();
    ledger.close().await;
    let ledger = opened(options).await;
    assert_eq!(stands(&ledger, &month, "one").await, (0, 5_000));
    let unsure = ledger.unsure().await.unwrap();
    assert_eq!(
        (unsure.len(), unsure[0].hold, unsure[0].deadline),
        (1, hold, Duration::ZERO)
    );
    let begun = ledger.tick();
    assert!(!ledger.absent(at(1), hold, begun).await.unwrap());
    assert!(
        !ledger.absent(at(1), hold, begun).await.unwrap(),
        "the same listing again"
    );
    assert_eq!(stands(&ledger, &month, "one").await, (0, 5_000));
    let waiting = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.resolved(hold).await }
    });
    let begun = ledger.tick();
    assert!(ledger.absent(at(2), hold, begun).await.unwrap());
    assert_eq!(stands(&ledger, &month, "one").await, (0, 0));
    assert_eq!(waiting.await.unwrap().unwrap(), Resolution::Absent);
    sound(&ledger).await;
}

#[tokio::test]
async fn l5_where_tags_are_restricted_creates_go_one_by_one() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 50);
    let alone = || {
        let mut asked = create("one", 5, &[&month]);
        asked.what = What::Session {
            wanted: Cap::new(5).unwrap(),
            terms: CapTerms::default(),
            alone: true,
            text: None,
        };
        asked
    };
    let first = alone();
    let hold = first.hold;
    ledger.hold(first).await.unwrap();
    assert!(matches!(ledger.hold(alone()).await, Err(NotHeld::Busy)));
    ledger.unknown(at(1), hold).await.unwrap();
    assert!(matches!(ledger.hold(alone()).await, Err(NotHeld::Busy)));
    ledger.created(at(2), hold, session(1)).await.unwrap();
    ledger.hold(alone()).await.unwrap();
}

#[tokio::test]
async fn l6_m15_a_session_is_settled_once_by_what_devin_says() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 50);
    let asked = create("one", 5, &[&month]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    assert_eq!(
        ledger.open_sessions().await.unwrap(),
        [("org-a".into(), session(1))]
    );
    let first = reading(&ledger, 2, 1.5, "running");
    for _ in 0..3 {
        assert!(ledger.read(session(1), first.clone()).await.unwrap());
    }
    assert_eq!(stands(&ledger, &month, "one").await, (1_500, 3_500));
    let last = reading(&ledger, 3, 2.0, "exit");
    let (one, two) = (
        ledger.read(session(1), last.clone()),
        ledger.read(session(1), last),
    );
    let _ = tokio::join!(one, two);
    assert_eq!(stands(&ledger, &month, "one").await, (2_000, 0));
    assert!(ledger.open_sessions().await.unwrap().is_empty());
    assert!(
        !ledger
            .read(session(9), reading(&ledger, 3, 1.0, "exit"))
            .await
            .unwrap()
    );
    sound(&ledger).await;
}

#[tokio::test]
async fn l7_l8_m7_a_message_holds_the_sessions_cap_again_and_its_creator_pays() {
    let ledger = ledger().await;
    let mine = budget("t/mine", Some("t"), Per::Caller, 11);
    let asked = create("one", 5, &[&mine]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    let wake = message(&session(1), &[&mine]);
    let second = wake.hold;
    let held = ledger.hold(wake).await.unwrap();
    assert_eq!(held.cap, Cap::new(5));
    assert_eq!(stands(&ledger, &mine, "one").await, (0, 10_000));
    assert_eq!(stands(&ledger, &mine, "somebody else").await, (0, 0));
    assert!(matches!(
        ledger.hold(message(&session(1), &[&mine])).await,
        Err(NotHeld::NoRoom(_))
    ));
    assert!(matches!(
        ledger.hold(message(&session(2), &[&mine])).await,
        Err(NotHeld::NoCap)
    ));
    ledger.answered(at(2), second).await.unwrap();
    ledger
        .read(session(1), reading(&ledger, 3, 3.0, "running"))
        .await
        .unwrap();
    assert_eq!(
        stands(&ledger, &mine, "one").await,
        (3_000, 5_000),
        "the first wake is over"
    );
    sound(&ledger).await;
}

#[tokio::test]
async fn l9_m16_an_edit_of_a_budget_loses_nothing_that_was_spent() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 50);
    let asked = create("one", 5, &[&month]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    ledger
        .read(session(1), reading(&ledger, 2, 2.0, "running"))
        .await
        .unwrap();
    let mut other = (*budget("t/renamed", Some("t"), Per::Caller, 3)).clone();
    other.every = Every::Day(Zone::devin());
    let other = Arc::new(other);
    assert_eq!(stands(&ledger, &other, "one").await, (2_000, 3_000));
    assert!(
        ledger.hold(create("one", 1, &[&other])).await.is_err(),
        "below what is spent"
    );
    // A caller and a team that were renamed keep their entries.
    let mut aliases = Aliases::default();
    aliases.callers.insert("one".into(), "uno".into());
    aliases.teams.insert("t".into(), "tea".into());
    ledger.rename(aliases).await.unwrap();
    let renamed = budget("tea/mine", Some("tea"), Per::Caller, 50);
    let now = Payer {
        organization: "org-a".into(),
        team: "tea".into(),
        caller: "uno".into(),
    };
    let all = ledger
        .budgeted(at(0), vec![(renamed, now.clone())])
        .await
        .unwrap();
    assert_eq!(all[0].balance.taken(), Acu::whole(5));
    // Nor does a request that met the former names find an empty account.
    let former = budget("t/mine", Some("t"), Per::Caller, 50);
    assert_eq!(stands(&ledger, &former, "one").await, (2_000, 3_000));
    assert_eq!(
        ledger.session(&session(1)).await.unwrap().unwrap().payer,
        now
    );
}

#[tokio::test]
async fn l12_m8_a_child_is_charged_to_its_parents_creator_without_a_hold() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 6);
    let asked = create("one", 5, &[&month]);
    let hold = asked.hold;
    ledger.hold(asked).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    let seen = reading(&ledger, 2, 4.0, "running");
    assert!(
        ledger
            .child(session(2), session(1), seen.clone())
            .await
            .unwrap()
    );
    assert!(
        !ledger
            .child(session(2), session(1), seen.clone())
            .await
            .unwrap()
    );
    assert!(
        !ledger.child(session(3), session(9), seen).await.unwrap(),
        "nobody knows that parent"
    );
    assert_eq!(
        stands(&ledger, &month, "one").await,
        (4_000, 5_000),
        "it may pass the limit"
    );
    let known = ledger.session(&session(2)).await.unwrap().unwrap();
    assert_eq!(
        (&*known.payer.caller, known.cap, &known.tag),
        ("one", None, &None)
    );
    assert!(
        ledger.hold(create("one", 1, &[&month])).await.is_err(),
        "and blocks new holds"
    );
    sound(&ledger).await;
}

#[tokio::test]
async fn l13_m21_a_session_that_the_ledger_forgot_is_adopted_by_its_tag() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 6);
    let tag = tag::Tag {
        hold: HoldId::new(),
        caller: "one".into(),
        cap: Cap::new(5).unwrap(),
    };
    let seen = reading(&ledger, 2, 4.0, "running");
    assert!(
        ledger
            .adopt(session(1), payer("one"), tag.clone(), seen.clone())
            .await
            .unwrap()
    );
    assert!(
        !ledger
            .adopt(session(1), payer("one"), tag.clone(), seen)
            .await
            .unwrap()
    );
    assert_eq!(stands(&ledger, &month, "one").await, (4_000, 0));
    let known = ledger.session(&session(1)).await.unwrap().unwrap();
    assert_eq!(
        known.tag.as_deref(),
        Some(&*ledger.tag_key().tag(&tag, "org-a"))
    );
    sound(&ledger).await;
}

#[tokio::test]
async fn a_raise_holds_until_its_end_and_a_correction_for_its_window() {
    let ledger = ledger().await;
    let mine = budget("t/mine", Some("t"), Per::Caller, 5);
    let adjustment = |acus: i64, scope: Option<&str>, until: Option<i64>| Adjustment {
        budget: "t/mine".to_owned(),
        scope: scope.map(str::to_owned),
        acus: Acu::from_milli(acus * 1_000),
        at: at(0).at,
        until: until.map(|it| at(it).at),
        who: "op".to_owned(),
        why: "launch".to_owned(),
    };
    let limit = async |second, caller: &str| {
        let asked = vec![(Arc::clone(&mine), payer(caller))];
        ledger.budgeted(at(second), asked).await.unwrap()[0].limit
    };
    ledger
        .adjust(adjustment(10, Some("one"), Some(100)))
        .await
        .unwrap();
    ledger.adjust(adjustment(-2, None, None)).await.unwrap();
    assert_eq!(limit(50, "one").await, Acu::whole(13));
    assert_eq!(limit(100, "one").await, Acu::whole(3));
    assert_eq!(limit(50, "two").await, Acu::whole(3));
    assert_eq!(limit(40 * 86_400, "one").await, Acu::whole(5));
    ledger.hold(create("one", 13, &[&mine])).await.unwrap();
    sound(&ledger).await;
}

#[tokio::test]
async fn g11_sessions_are_listed_by_whose_they_are_newest_first() {
    let ledger = ledger().await;
    for n in 1..=5 {
        let asked = create(if n == 3 { "two" } else { "one" }, 1, &[]);
        let hold = asked.hold;
        ledger.hold(asked).await.unwrap();
        ledger
            .created(at(n.into()), hold, session(n))
            .await
            .unwrap();
    }
    let account = |caller: Option<&str>| crate::budget::Account {
        team: Some("t".into()),
        caller: caller.map(Into::into),
        ..crate::budget::Account::default()
    };
    let ids =
        |page: &[(Position, SessionId)]| page.iter().map(|it| it.1.clone()).collect::<Vec<_>>();
    let first = ledger
        .sessions(&account(Some("one")), None, 2)
        .await
        .unwrap();
    assert_eq!(ids(&first), [session(5), session(4)]);
    let rest = ledger
        .sessions(&account(Some("one")), Some(first[1].0), 10)
        .await
        .unwrap();
    assert_eq!(ids(&rest), [session(2), session(1)]);
    assert_eq!(
        ledger
            .sessions(&account(None), None, 10)
            .await
            .unwrap()
            .len(),
        5
    );
    assert_eq!(ledger.session(&session(9)).await.unwrap(), None);
}
