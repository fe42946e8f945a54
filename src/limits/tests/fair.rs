//! Waiting: in turns, within bounds, and only while somebody waits.

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_of_one_caller_do_not_delay_anothers_first() {
    let world = World::new();
    let slot = Duration::from_millis(100);
    let meter = world.waiting("l", slot, 1, LONG);
    let mut greedy = JoinSet::new();
    for _ in 0..1_000 {
        let (world, meter) = (world.clone(), Arc::clone(&meter));
        greedy.spawn(async move {
            let granted = world.ask("greedy", &[(&meter, Account::Everyone)]).await;
            granted.map(|it| it.queued)
        });
    }
    // Anywhere in a slot.
    for wait in [1_u64, 1_033, 2_050, 30_099] {
        sleep(Duration::from_millis(wait)).await;
        let modest = world
            .ask("modest", &[(&meter, Account::Everyone)])
            .await
            .unwrap();
        assert!(modest.queued < 2 * slot, "{:?}", modest.queued);
    }
    let mut last = Duration::ZERO;
    while let Some(done) = greedy.join_next().await {
        last = last.max(done.unwrap().unwrap());
    }
    // Nothing was lost: a thousand and four in a thousand and three slots.
    assert!(last <= slot * 1_005, "{last:?}");
}

/// Jain's index: 1 where all have the same.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|it| it * it).sum();
    sum * sum / (f64::from(u32::try_from(shares.len()).unwrap()) * squares)
}

#[tokio::test(start_paused = true)]
async fn fifty_greedy_callers_get_the_same() {
    for wait in [Duration::ZERO, SECOND * 2] {
        let world = World::new();
        let meter = world.waiting("l", SECOND / 20, 5, wait);
        let mut all = JoinSet::new();
        for n in 0..50_u64 {
            let (world, meter) = (world.clone(), Arc::clone(&meter));
            all.spawn(async move {
                let (name, mut got) = (format!("caller-{n}"), 0_u32);
                let end = Instant::now() + SECOND * 600;
                // Some of them ask more often than others, and none of them waits as it is told.
                let pause = Duration::from_millis(20 + 30 * (n % 10));
                while Instant::now() < end {
                    let granted = world.ask(&name, &[(&meter, Account::Everyone)]).await;
                    got += u32::from(granted.is_ok());
                    sleep(pause).await;
                }
                (n, f64::from(got))
            });
        }
        let mut shares = vec![0.0; 50];
        while let Some(done) = all.join_next().await {
            let (n, got) = done.unwrap();
            shares[usize::try_from(n).unwrap()] = got;
        }
        let (index, sum) = (jain(&shares), shares.iter().sum::<f64>());
        println!("wait {wait:?}: Jain {index:.4}, {sum} of 12005");
        assert!(index >= 0.99, "{index}: {shares:?}");
        assert!(sum >= 12_000.0 * 0.97, "{sum}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_fits_into_the_wait_sees_no_refusal() {
    let world = World::new();
    // Two seconds at ten a second, and three at once.
    let meter = world.waiting("l", SECOND / 10, 3, SECOND * 2);
    let mut all = JoinSet::new();
    for _ in 0..24 {
        let (world, meter) = (world.clone(), Arc::clone(&meter));
        all.spawn(async move { world.ask("c", &[(&meter, Account::Everyone)]).await });
    }
    let (mut admitted, mut refused) = (0, Vec::new());
    while let Some(done) = all.join_next().await {
        match done.unwrap() {
            Ok(granted) => {
                assert!(granted.queued <= SECOND * 2);
                admitted += 1;
            }
            Err(no) => refused.push(no),
        }
    }
    assert_eq!((admitted, refused.len()), (23, 1));
    // The one too many is told so at once, and when.
    assert_eq!(refused[0].queued, Duration::ZERO);
    assert_eq!(refused[0].retry_after, SECOND / 10 * 21);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_its_client() {
    let world = World::new();
    let meter = world.waiting("l", SECOND, 1, SECOND * 10);
    let charges = || {
        vec![Charge {
            meter: Arc::clone(&meter),
            account: Account::Everyone,
        }]
    };
    let ask = async |patience| {
        let asked = Asked {
            caller: "c".into(),
            about: 0,
            charges: charges(),
            patience,
        };
        world.limits.admit(asked).await
    };
    assert!(ask(Duration::MAX).await.is_ok());
    let refused = ask(SECOND / 2).await.unwrap_err();
    assert_eq!(
        (refused.queued, refused.retry_after),
        (Duration::ZERO, SECOND)
    );
    assert!(ask(SECOND * 5).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_holds_nobody_up() {
    let world = World::new();
    let meter = world.waiting("l", SECOND, 1, SECOND * 60);
    assert!(world.ask("a", &[(&meter, Account::Everyone)]).await.is_ok());
    let wait = |name: &'static str| {
        let (world, meter) = (world.clone(), Arc::clone(&meter));
        tokio::spawn(async move { world.ask(name, &[(&meter, Account::Everyone)]).await })
    };
    let mut gone = Vec::new();
    for name in ["a", "b", "c"] {
        gone.push(wait(name));
        tokio::task::yield_now().await;
    }
    let last = wait("d");
    sleep(SECOND / 2).await;
    assert_eq!(world.limits.counts().waiting, 4);
    for it in gone {
        it.abort();
    }
    let queued = last.await.unwrap().unwrap().queued;
    assert!(queued <= SECOND + Duration::from_millis(2), "{queued:?}");
    let counts = world.limits.counts();
    assert_eq!((counts.waiting, counts.places), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_for_its_own_limit_holds_nobody_up_at_a_common_one() {
    let world = World::new();
    let common = world.waiting("common", SECOND / 10, 1, SECOND * 30);
    let own = world.waiting("own", SECOND * 20, 1, SECOND * 30);
    let slow = [
        (&common, Account::Everyone),
        (&own, Account::Caller("slow".into())),
    ];
    assert!(world.ask("slow", &slow).await.is_ok());
    let waiting = {
        let (world, common, own) = (world.clone(), Arc::clone(&common), Arc::clone(&own));
        tokio::spawn(async move {
            let both = [
                (&common, Account::Everyone),
                (&own, Account::Caller("slow".into())),
            ];
            world.ask("slow", &both).await
        })
    };
    tokio::task::yield_now().await;
    let mut admitted = 0;
    let end = Instant::now() + SECOND * 10;
    while Instant::now() < end {
        admitted += u32::from(
            world
                .ask("quick", &[(&common, Account::Everyone)])
                .await
                .is_ok(),
        );
    }
    assert!(admitted >= 99, "{admitted} of 100");
    let queued = waiting.await.unwrap().unwrap().queued;
    assert!((SECOND * 19..SECOND * 21).contains(&queued), "{queued:?}");
}

#[tokio::test(start_paused = true)]
async fn r11_a_line_is_bounded_and_whose_turn_is_last_is_refused() {
    let world = World::new();
    let meter = world.waiting("l", SECOND, 1, LONG);
    assert!(world.ask("a", &[(&meter, Account::Everyone)]).await.is_ok());
    let mut all = JoinSet::new();
    let spawn = |all: &mut JoinSet<_>, name: &'static str| {
        let (world, meter) = (world.clone(), Arc::clone(&meter));
        all.spawn(async move {
            let granted = world.ask(name, &[(&meter, Account::Everyone)]).await;
            (name, granted.is_ok())
        });
    };
    for _ in 0..2_000 {
        spawn(&mut all, "greedy");
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.limits.counts().waiting, line::MOST_IN_LINE);
    for name in ["b", "c", "d"] {
        spawn(&mut all, name);
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.limits.counts().waiting, line::MOST_IN_LINE);
    let mut refused = 0;
    while let Some(done) = all.join_next().await {
        let (name, admitted) = done.unwrap();
        assert!(admitted || name == "greedy", "{name}");
        refused += usize::from(!admitted);
    }
    assert_eq!(refused, 2_003 - line::MOST_IN_LINE);
}
