//! The parts together: whose turn it is, and what the others are told.

use proptest::prelude::*;

use super::breaker::{FEWEST, State};
use super::*;

fn secs(it: f64) -> Duration {
    Duration::from_secs_f64(it)
}

fn of(team: &str) -> Who {
    Who {
        flow: Flow::Team(team.into()),
        caller: "c".into(),
    }
}

fn paced(per_second: f64) -> Pressure {
    Pressure::new(&Options {
        ceiling: Some(per_second),
        ..Options::default()
    })
}

/// Comes now and waits for two seconds.
fn enter(it: &mut Pressure, now: f64, team: &str, class: Class) -> Entry {
    it.enter(secs(now), &of(team), class, secs(now + 2.0))
}

fn go(it: &mut Pressure, now: f64, class: Class) -> Pass {
    match enter(it, now, "t", class) {
        Entry::Go(pass) => pass,
        other @ (Entry::Wait { .. } | Entry::Refused(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_429_pauses_its_class_for_everyone_and_no_other() {
    let mut it = Pressure::new(&Options::default());
    let pass = go(&mut it, 0.0, Class::Spends);
    let retry_after = Some(secs(30.0));
    it.ended(secs(1.0), pass, Outcome::Refused { retry_after });
    let told = enter(&mut it, 1.0, "other", Class::Spends);
    let Entry::Refused(Refusal::TooLate { retry_after }) = told else {
        panic!("{told:?}")
    };
    assert_eq!(retry_after, secs(30.0));
    assert_eq!(it.paused_for(secs(1.0), Class::Reads), None);
    // The rate has dropped for all; what it lets through goes.
    assert!(it.per_second().is_some());
    assert!(matches!(
        enter(&mut it, 12.0, "t", Class::Reads),
        Entry::Go(_)
    ));
}

#[test]
fn those_who_wait_outlast_a_short_pause_and_are_told_of_a_long_one() {
    let mut it = Pressure::new(&Options::default());
    let passes = [0, 1].map(|_| go(&mut it, 0.0, Class::Reads));
    let [first, second] = passes;
    for _ in 0..6_000 {
        let pass = go(&mut it, 0.0, Class::Changes);
        it.ended(secs(0.0), pass, Outcome::Answered);
    }
    let retry_after = Some(secs(1.0));
    it.ended(secs(0.0), first, Outcome::Refused { retry_after });
    let Entry::Wait { id, .. } = enter(&mut it, 0.0, "t", Class::Reads) else {
        panic!("it can wait for a second")
    };
    assert!(it.turns(secs(0.5)).is_empty());
    assert_eq!(it.due(secs(0.5)), Some(secs(1.0)));
    let retry_after = Some(secs(10.0));
    it.ended(secs(0.5), second, Outcome::Refused { retry_after });
    let retry_after = secs(10.0);
    let told = it.turns(secs(0.5));
    assert!(
        matches!(told[..], [(it, Err(Refusal::TooLate { retry_after: after }))] if it == id && after == retry_after),
        "{told:?}"
    );
}

#[test]
fn whoever_cannot_have_its_turn_in_time_is_told_when_it_comes() {
    let mut it = paced(1.0);
    go(&mut it, 0.0, Class::Reads);
    let mut ids = Vec::new();
    let refused = loop {
        match enter(&mut it, 0.0, "t", Class::Reads) {
            Entry::Wait { id, .. } => ids.push(id),
            Entry::Refused(refusal) => break refusal,
            Entry::Go(_) => panic!("the rate is one a second"),
        }
    };
    assert_eq!(ids.len(), 2);
    let Refusal::TooLate { retry_after } = refused else {
        panic!("{refused:?}")
    };
    assert!(
        (secs(2.9)..=secs(3.0)).contains(&retry_after),
        "{retry_after:?}"
    );
    // Another team has its own place, before those who wait.
    assert!(matches!(
        enter(&mut it, 0.0, "other", Class::Reads),
        Entry::Wait { .. }
    ));
}

#[test]
fn whoever_leaves_frees_its_place() {
    let mut it = paced(1.0);
    go(&mut it, 0.0, Class::Reads);
    let Entry::Wait { id: first, .. } = enter(&mut it, 0.0, "t", Class::Reads) else {
        panic!()
    };
    let Entry::Wait { id: second, .. } = enter(&mut it, 0.0, "t", Class::Reads) else {
        panic!()
    };
    assert!(it.leave(secs(0.5), first, Class::Reads).is_some());
    assert!(it.leave(secs(0.5), first, Class::Reads).is_none());
    let turns = it.turns(secs(1.0));
    assert!(
        matches!(turns[..], [(id, Ok(_))] if id == second),
        "{turns:?}"
    );
    assert_eq!(it.waiting(), 0);
    assert_eq!(it.due(secs(1.0)), None);
}

#[test]
fn r17_when_the_breaker_opens_those_who_wait_are_told() {
    let mut it = paced(100.0);
    let mut now = 0.0;
    let mut passes = Vec::new();
    for _ in 0..FEWEST {
        now += 0.02;
        passes.push(go(&mut it, now, Class::Reads));
    }
    while let Entry::Go(pass) = enter(&mut it, now, "t", Class::Reads) {
        it.ended(secs(now), pass, Outcome::Gone);
    }
    assert_eq!(it.waiting(), 1);
    for pass in passes {
        it.ended(secs(now), pass, Outcome::Failed);
    }
    assert_eq!(it.breaker(secs(now)), State::Open);
    let told = it.turns(secs(now));
    assert!(
        matches!(told[..], [(_, Err(Refusal::CoolingDown { .. }))]),
        "{told:?}"
    );
    assert!(matches!(
        enter(&mut it, now, "t", Class::Reads),
        Entry::Refused(Refusal::CoolingDown { .. })
    ));
}

#[test]
fn r17_clients_that_leave_after_a_long_wait_show_that_devin_fails() {
    for (seconds, state) in [(9.0, State::Closed), (10.0, State::Open)] {
        let mut it = Pressure::new(&Options::default());
        let passes: Vec<Pass> = (0..FEWEST)
            .map(|_| go(&mut it, 0.0, Class::Reads))
            .collect();
        for pass in passes {
            it.ended(secs(seconds), pass, Outcome::Gone);
        }
        assert_eq!(it.breaker(secs(seconds)), state);
    }
}

proptest! {
    #[test]
    fn nobody_waits_for_ever_and_nothing_leaves_in_a_pause(
        steps in proptest::collection::vec((0..6_u8, 0..3_usize, 0..700_u64), 0..300),
        ceiling in proptest::option::of(0.5..50.0),
    ) {
        let mut it = Pressure::new(&Options { ceiling, ..Options::default() });
        let mut now = Duration::ZERO;
        let mut under_way: Vec<(Pass, Class)> = Vec::new();
        let mut waiting: BTreeMap<u64, (Class, Duration)> = BTreeMap::new();
        for (what, ix, millis) in steps {
            now += Duration::from_millis(millis);
            let class = Class::ALL[ix];
            let team = format!("t{}", millis % 3);
            let paused = Class::ALL.map(|class| it.paused_for(now, class));
            match what {
                0..=2 => match it.enter(now, &of(&team), class, now + secs(2.0)) {
                    Entry::Go(pass) => {
                        prop_assert!(paused[ix].is_none());
                        under_way.push((pass, class));
                    }
                    Entry::Wait { id, .. } => { waiting.insert(id, (class, now + secs(2.0))); }
                    Entry::Refused(_) => {}
                },
                3 => if let Some((pass, _)) = under_way.pop() { it.ended(now, pass, Outcome::Answered); },
                4 => if let Some((pass, _)) = under_way.pop() {
                    let retry_after = (millis % 2 == 0).then(|| Duration::from_millis(millis * 5));
                    it.ended(now, pass, Outcome::Refused { retry_after });
                },
                _ => if let Some((pass, _)) = under_way.pop() { it.ended(now, pass, Outcome::Failed); },
            }
            let paused = Class::ALL.map(|class| it.paused_for(now, class));
            for (id, verdict) in it.turns(now) {
                let (class, _) = waiting.remove(&id).unwrap();
                if let Ok(pass) = verdict {
                    prop_assert!(paused[class.index()].is_none());
                    under_way.push((pass, class));
                }
            }
            let over: Vec<u64> = waiting.iter().filter(|(_, (_, until))| *until <= now).map(|(id, _)| *id).collect();
            for id in over {
                let (class, _) = waiting.remove(&id).unwrap();
                prop_assert!(it.leave(now, id, class).is_some());
            }
            prop_assert_eq!(it.waiting(), waiting.len());
            prop_assert_eq!(it.due(now).is_some(), !waiting.is_empty());
        }
    }
}
