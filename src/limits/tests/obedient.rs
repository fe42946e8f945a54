//! Whoever comes back when it was told to is not refused again.

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_alone_that_obeys_never_sees_a_second_429() {
    for (period, burst) in [
        (SECOND, 1),
        (SECOND / 7, 3),
        (SECOND * 30, 2),
        (Duration::from_millis(1_300), 1),
    ] {
        let world = World::new();
        let (meter, other) = (
            world.meter("l", period, burst),
            world.meter("m", period * 2, burst * 3),
        );
        let both = [
            (&meter, Account::Everyone),
            (&other, Account::Caller("c".into())),
        ];
        for _ in 0..500 {
            if let Err(refused) = world.ask("c", &both).await {
                sleep(told(&refused)).await;
                assert!(world.ask("c", &both).await.is_ok(), "{period:?}, {burst}");
            }
        }
    }
}

/// Clients that always have a request, and come back when they are told to: how many refusals were second ones, in
/// percent, and how many requests were admitted.
async fn obedient(callers: u32, clients: u32, period: Duration, burst: u32) -> (f64, u32) {
    let world = World::new();
    let meter = world.meter("l", period, burst);
    let mut all = JoinSet::new();
    for n in 0..clients {
        let (world, meter) = (world.clone(), Arc::clone(&meter));
        all.spawn(async move {
            let name = format!("caller-{}", n % callers);
            let (mut again, mut refusals, mut admitted) = (0_u32, 0_u32, 0_u32);
            let end = Instant::now() + SECOND * 1_800;
            // On its way for some milliseconds, as requests are.
            let way = Duration::from_millis(u64::from(3 + n % 17));
            let mut was_refused = false;
            while Instant::now() < end {
                sleep(way).await;
                // Each polls something of its own, as clients do.
                let one = [(&meter, Account::Everyone)];
                let asked = world.ask_about(n.into(), &name, &one);
                match asked.await {
                    Ok(_) => {
                        admitted += 1;
                        was_refused = false;
                    }
                    Err(refused) => {
                        refusals += 1;
                        again += u32::from(was_refused);
                        was_refused = true;
                        sleep(told(&refused)).await;
                    }
                }
            }
            (again, refusals, admitted)
        });
    }
    let (mut again, mut refusals, mut admitted) = (0, 0, 0);
    while let Some(done) = all.join_next().await {
        let (a, r, ok) = done.unwrap();
        (again, refusals, admitted) = (again + a, refusals + r, admitted + ok);
    }
    (
        f64::from(again) * 100.0 / f64::from(refusals.max(1)),
        admitted,
    )
}

#[tokio::test(start_paused = true)]
async fn fifty_obedient_clients_seldom_see_a_second_429() {
    for (callers, period, burst) in [
        (50, SECOND, 1),
        (50, SECOND / 5, 10),
        (50, SECOND / 25, 5),
        (1, SECOND, 1),
        (1, SECOND / 5, 10),
        (5, SECOND / 2, 4),
    ] {
        let (share, admitted) = obedient(callers, 50, period, burst).await;
        let most = 1_800.0 / period.as_secs_f64();
        let used = f64::from(admitted) / most * 100.0;
        println!(
            "{callers} callers, one every {period:?}, {burst} at once: {share:.2}% second 429s, {used:.1}% used"
        );
        assert!(
            share < 5.0,
            "{callers} callers, {period:?}, {burst}: {share:.2}%"
        );
        assert!(
            used > 90.0,
            "{callers} callers, {period:?}, {burst}: {used:.1}% used"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_somebody_who_does_not_come_is_given_to_others() {
    let world = World::new();
    let meter = world.meter("l", SECOND, 1);
    let one = [(&meter, Account::Everyone)];
    assert!(world.ask("a", &one).await.is_ok());
    let gone = world.ask("gone", &one).await.unwrap_err();
    assert_eq!(told(&gone), SECOND);
    sleep(SECOND + Duration::from_millis(1)).await;
    // It is kept for a while, and whoever asks meanwhile is told the time after that.
    assert_eq!(told(&world.ask("b", &one).await.unwrap_err()), SECOND);
    sleep(SECOND * 3 + SECOND / 10).await;
    assert!(world.ask("c", &one).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_only_asks_reserves_no_more_than_its_bound() {
    let world = World::new();
    let meter = world.meter("l", SECOND, 1);
    let one = [(&meter, Account::Everyone)];
    for _ in 0..10_000 {
        let _ = world.ask("greedy", &one).await;
    }
    assert_eq!(world.limits.counts().places, line::MOST_AWAY);
    // Another one's first comes before its second all the same.
    let modest = world.ask("modest", &one).await.unwrap_err();
    assert!(told(&modest) <= SECOND * 2, "{modest:?}");
}
