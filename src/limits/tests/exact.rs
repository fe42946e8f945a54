//! How many are admitted, and that all of a request's limits are charged or none.

use super::*;

#[test]
fn an_hour_admits_exactly_what_the_policy_says() {
    let second: u64 = 1_000_000_000;
    for (count, per, burst, wanted) in [
        (60, 60, 20, 3_600 + 20),
        (2, 60, 2, 120 + 2),
        (7, 1, 1, 7 * 3_600 + 1),
        (1_000, 3_600, 5, 1_005),
        (1, 3_600, 1, 2),
        (90, 60, 45, 5_400 + 45),
    ] {
        let mut table = table::Table::default();
        let period = Duration::from_nanos((per * second).div_ceil(count));
        let limit = limit("l", period, burst, SECOND * 7_200, false);
        let meter = Arc::new(Meter::new(table.next_id(), &limit).unwrap());
        let charges = [Charge {
            meter,
            account: Account::Everyone,
        }];
        let (began, mut now, mut admitted) = (1, 1, 0_u64);
        let mut ticket = table::Ticket::default();
        // It always has a request, and asks again at the very instant.
        while now <= began + 3_600 * second {
            let request = table::Request {
                caller: &"c".into(),
                about: 0,
                charges: &charges,
                asked: now,
                patience: Duration::MAX,
            };
            match table.ask(request, &mut ticket, now) {
                table::Answer::Go { .. } => admitted += 1,
                table::Answer::Wait { until } => now = until,
                table::Answer::No { .. } => panic!("it may wait"),
            }
        }
        // A period that is no whole number of nanoseconds is rounded up, and the last request of the hour comes after it.
        let is_round = (per * second).is_multiple_of(count);
        let wanted = wanted - u64::from(!is_round);
        assert_eq!(admitted, wanted, "{count} in {per} s, {burst} at once");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_all_the_time_gets_no_more_than_whoever_waits() {
    let world = World::new();
    let meter = world.meter("l", SECOND, 5);
    let mut admitted = 0;
    for _ in 0..60_000 {
        admitted += u32::from(world.ask("c", &[(&meter, Account::Everyone)]).await.is_ok());
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert_eq!(admitted, 5 + 59);
}

#[tokio::test(start_paused = true)]
async fn no_limit_is_charged_when_another_refuses() {
    let world = World::new();
    let (wide, narrow) = (
        world.meter("wide", SECOND, 10),
        world.meter("narrow", SECOND * 60, 1),
    );
    // In both orders: the one that refuses comes first, or last.
    for (caller, both) in [
        (
            "a",
            [
                (&wide, Account::Everyone),
                (&narrow, Account::Caller("a".into())),
            ],
        ),
        (
            "b",
            [
                (&narrow, Account::Caller("b".into())),
                (&wide, Account::Everyone),
            ],
        ),
    ] {
        assert!(world.ask(caller, &both).await.is_ok());
        for _ in 0..50 {
            let refused = world.ask(caller, &both).await.unwrap_err();
            assert_eq!(&*refused.limit, "narrow");
        }
    }
    // Two were admitted, so eight are left.
    for left in (0..8).rev() {
        let granted = world.ask("c", &[(&wide, Account::Everyone)]).await.unwrap();
        assert_eq!(granted.standings[0].remaining, left);
    }
    assert!(world.ask("c", &[(&wide, Account::Everyone)]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn accounts_take_nothing_from_one_another() {
    let world = World::new();
    let meter = world.meter("l", SECOND, 1);
    let accounts = [
        Account::Everyone,
        Account::Organization(None),
        Account::Organization(Some("x".into())),
        Account::Team("x".into()),
        Account::Caller("x".into()),
        Account::Caller("y".into()),
    ];
    for account in accounts {
        assert!(world.ask("x", &[(&meter, account.clone())]).await.is_ok());
        assert!(world.ask("x", &[(&meter, account)]).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_trial_refuses_nobody_and_is_charged_only_for_what_goes_on() {
    let world = World::new();
    let trial = limit("trial", SECOND, 2, Duration::ZERO, true);
    let trial = Arc::new(world.limits.meter(&trial).unwrap());
    let live = world.meter("live", SECOND * 10, 3);
    let both = [(&trial, Account::Everyone), (&live, Account::Everyone)];
    let mut said = Vec::new();
    for _ in 0..3 {
        let granted = world.ask("c", &both).await.unwrap();
        assert_eq!(granted.standings.len(), 1);
        said.push(granted.on_trial.is_some());
    }
    assert_eq!(said, [false, false, true]);
    tokio::time::advance(SECOND * 2).await;
    // Refused by the one that is enforced: the other one stays as it is.
    assert!(world.ask("c", &both).await.is_err());
    let alone = [(&trial, Account::Everyone)];
    for wanted in [false, false, true] {
        let granted = world.ask("c", &alone).await.unwrap();
        assert_eq!(granted.on_trial.is_some(), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn unused_accounts_are_forgotten_and_their_number_is_bounded() {
    let world = World::new();
    let meter = world.meter("l", SECOND, 1);
    let account = |n: u32| Account::Caller(format!("caller-{n}").into());
    for n in 0..5_000 {
        assert!(world.ask("c", &[(&meter, account(n))]).await.is_ok());
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    // A hundred at a time are used; the others go when they are twice as many.
    assert!(
        world.limits.counts().accounts <= 1_024 + 200,
        "{:?}",
        world.limits.counts()
    );
    tokio::time::advance(SECOND * 120).await;
    assert!(world.ask("c", &[(&meter, account(0))]).await.is_ok());
    assert_eq!(world.limits.counts().accounts, 1);
}

#[tokio::test(start_paused = true)]
async fn r12_beyond_the_bound_accounts_share_one() {
    const MOST_ORGANIZATIONS: usize = MOST_ACCOUNTS / 2;
    let world = World::new();
    let meter = world.meter("l", SECOND * 3_600, 1);
    let mut table = world.limits.table();
    let mut admit = |n: usize| {
        let charges = [Charge {
            meter: Arc::clone(&meter),
            account: Account::Organization(Some(format!("org-{n}").into())),
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
    for n in 0..MOST_ORGANIZATIONS {
        assert!(admit(n), "{n}");
    }
    // The next one has the account of all the rest, and the one after finds it used up. Known ones are as they were.
    assert!(admit(MOST_ORGANIZATIONS));
    assert!(!admit(MOST_ORGANIZATIONS + 1));
    assert!(!admit(7));
    assert_eq!(table.counts().0, MOST_ORGANIZATIONS + 1);
}
