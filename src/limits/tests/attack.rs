//! What somebody who means harm, or does not care, can do to others.

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_of_two_contended_limits_is_not_passed_for_ever_by_those_of_one() {
    let world = World::new();
    let wait = SECOND * 30;
    let one = world.waiting("one", Duration::from_millis(503), 1, wait);
    let two = world.waiting("two", Duration::from_millis(101), 1, wait);
    let mut all = JoinSet::new();
    for n in 0..8_u32 {
        let world = world.clone();
        let meter = Arc::clone(if n % 2 == 0 { &one } else { &two });
        all.spawn(async move {
            loop {
                let _ = world
                    .ask(&format!("single-{n}"), &[(&meter, Account::Everyone)])
                    .await;
            }
        });
    }
    sleep(SECOND).await;
    let both = [(&one, Account::Everyone), (&two, Account::Everyone)];
    for _ in 0..20 {
        let granted = world.ask("both", &both).await;
        let queued = granted.map(|it| it.queued);
        assert!(
            queued.as_ref().is_ok_and(|it| *it < SECOND * 6),
            "{queued:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_did_not_come_back_for_does_not_keep_it_away_for_long() {
    let world = World::new();
    let meter = world.meter("l", SECOND * 60, 1);
    let one = [(&meter, Account::Everyone)];
    for _ in 0..10 {
        let _ = world.ask("c", &one).await;
    }
    sleep(SECOND * 150).await;
    // Nobody has been served for longer than one is earned back.
    let again = world.ask("c", &one).await;
    assert!(again.is_ok(), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn places_of_promises_that_ended_are_given_to_others() {
    let world = World::new();
    let meter = world.meter("l", SECOND, 1);
    let account = |n: usize| Account::Organization(Some(format!("org-{n}").into()));
    let own = world.waiting("own", SECOND, 1, SECOND * 10);
    let mine = [(&own, Account::Caller("modest".into()))];
    assert!(world.ask("modest", &mine).await.is_ok());
    for n in 0..MOST_PLACES / line::MOST_AWAY {
        for _ in 0..=line::MOST_AWAY {
            let greedy = format!("greedy-{}", n % 16);
            let _ = world.ask(&greedy, &[(&meter, account(n))]).await;
        }
    }
    assert_eq!(world.limits.counts().places, MOST_PLACES);
    sleep(SECOND * 100).await;
    assert!(world.ask("modest", &mine).await.is_ok());
    let waited = world.ask("modest", &mine).await;
    assert!(waited.is_ok(), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_many_accounts_leaves_places_to_others() {
    let world = World::new();
    let meter = world.meter("l", SECOND * 60, 1);
    let account = |n: usize| Account::Organization(Some(format!("org-{n}").into()));
    let own = world.waiting("own", SECOND, 1, SECOND * 10);
    let mine = [(&own, Account::Caller("modest".into()))];
    for n in 0..MOST_PLACES / line::MOST_AWAY {
        for _ in 0..=line::MOST_AWAY {
            let _ = world.ask("greedy", &[(&meter, account(n))]).await;
        }
    }
    assert_eq!(world.limits.counts().places, table::MOST_OF_CALLER);
    assert!(world.ask("modest", &mine).await.is_ok());
    let waited = world.ask("modest", &mine).await;
    assert!(waited.is_ok(), "{waited:?}");
    // Nor does one caller take them by waiting.
    let slow = world.waiting("slow", SECOND * 3_600, 1, SECOND * 3_600 * 24);
    let mut all = JoinSet::new();
    for n in 0..table::MOST_OF_CALLER + 100 {
        let (world, slow, account) = (world.clone(), Arc::clone(&slow), account(n / 2));
        all.spawn(async move { world.ask("patient", &[(&slow, account)]).await.is_ok() });
    }
    tokio::task::yield_now().await;
    sleep(SECOND).await;
    assert!(world.limits.counts().waiting <= table::MOST_OF_CALLER);
}

#[test]
fn made_up_organizations_do_not_take_the_accounts_of_callers() {
    let mut table = table::Table::default();
    let [organizations, callers] = ["organizations", "callers"].map(|name| {
        let limit = limit(name, SECOND * 3_600, 1, Duration::ZERO, false);
        Arc::new(Meter::new(table.next_id(), &limit).unwrap())
    });
    let mut admit = |meter: &Arc<Meter>, account| {
        let charges = [Charge {
            meter: Arc::clone(meter),
            account,
        }];
        let request = table::Request {
            caller: &"c".into(),
            about: 0,
            charges: &charges,
            asked: 1,
            patience: Duration::ZERO,
        };
        let answer = table.ask(request, &mut table::Ticket::default(), 1);
        matches!(answer, table::Answer::Go { .. })
    };
    for n in 0..=MOST_ACCOUNTS {
        let name = format!("org-{n}");
        admit(&organizations, Account::Organization(Some(name.into())));
    }
    for name in ["a", "b", "c"] {
        assert!(admit(&callers, Account::Caller(name.into())), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn extreme_rates_do_not_overflow() {
    let world = World::new();
    for (period, burst) in [
        (SECOND * 3_600, 1_000_000),
        (Duration::from_nanos(1), 1),
        (Duration::from_nanos(1), 1_000_000),
    ] {
        let meter = world.meter("l", period, burst);
        let one = [(&meter, Account::Everyone)];
        for _ in 0..100 {
            let granted = world.ask("c", &one).await;
            assert!(
                granted.is_ok() || burst == 1,
                "{period:?} {burst} {granted:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn promises_do_not_add_up_to_a_burst_of_a_callers_own() {
    let world = World::new();
    let meter = world.meter("l", SECOND * 10, 2);
    let one = [(&meter, Account::Everyone)];
    for about in 0..60 {
        let _ = world.ask_about(about, "c", &one).await;
    }
    sleep(SECOND * 305).await;
    let mut admitted = 0;
    for about in 0..60 {
        admitted += u32::from(world.ask_about(about, "c", &one).await.is_ok());
    }
    assert!((1..=3).contains(&admitted), "{admitted}");
}

#[tokio::test(start_paused = true)]
async fn a_further_request_is_not_passed_for_ever_while_its_callers_first_waits_elsewhere() {
    let world = World::new();
    let common = world.waiting("common", Duration::from_millis(103), 1, SECOND * 30);
    let own = world.waiting("own", SECOND * 25, 1, SECOND * 30);
    let both = [
        (&common, Account::Everyone),
        (&own, Account::Caller("c".into())),
    ];
    assert!(world.ask("c", &both).await.is_ok());
    let mut all = JoinSet::new();
    for n in 0..4_u32 {
        let (world, common) = (world.clone(), Arc::clone(&common));
        all.spawn(async move {
            loop {
                let _ = world
                    .ask(&format!("other-{n}"), &[(&common, Account::Everyone)])
                    .await;
            }
        });
    }
    sleep(SECOND).await;
    {
        let (world, common, own) = (world.clone(), Arc::clone(&common), Arc::clone(&own));
        all.spawn(async move {
            let both = [
                (&common, Account::Everyone),
                (&own, Account::Caller("c".into())),
            ];
            let _ = world.ask("c", &both).await;
            loop {
                sleep(SECOND).await;
            }
        });
    }
    tokio::task::yield_now().await;
    sleep(SECOND).await;
    let granted = world.ask("c", &[(&common, Account::Everyone)]).await;
    let queued = granted.map(|it| it.queued);
    assert!(
        queued.as_ref().is_ok_and(|it| *it < SECOND * 2),
        "{queued:?}"
    );
}
