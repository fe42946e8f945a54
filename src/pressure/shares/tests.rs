//! Who gets how much, and what is told of it.

use proptest::prelude::*;

use super::*;

const LATER: Duration = Duration::from_secs(60);

fn of(team: &str, caller: &str) -> Who {
    Who {
        flow: Flow::Team(team.into()),
        caller: caller.into(),
    }
}

fn weighted(weights: &[(&str, u32)]) -> Shares {
    Shares::new(
        weights
            .iter()
            .map(|(it, weight)| ((*it).into(), *weight))
            .collect(),
    )
}

fn join(shares: &mut Shares, who: &Who) -> u64 {
    shares.join(who, Class::Reads, LATER).unwrap().0
}

fn all(_: Class) -> bool {
    true
}

/// Who gets how many of so many requests if each sends its next one as soon as the one before has left.
fn shared(shares: &mut Shares, greedy: &[Who], requests: usize) -> Vec<usize> {
    let mut ids: Vec<u64> = greedy.iter().map(|who| join(shares, who)).collect();
    let mut counts = vec![0; greedy.len()];
    for _ in 0..requests {
        let (id, _) = shares.pick(&all).unwrap();
        let at = ids.iter().position(|it| *it == id).unwrap();
        counts[at] += 1;
        ids[at] = join(shares, &greedy[at]);
    }
    counts
}

#[test]
fn r13_a_team_with_many_callers_gets_no_more_than_another() {
    let mut greedy: Vec<Who> = (0..49).map(|ix| of("many", &format!("c{ix}"))).collect();
    greedy.push(of("one", "c"));
    let counts = shared(&mut Shares::default(), &greedy, 9_800);
    assert!((4_890..=4_910).contains(&counts[49]), "{counts:?}");
    assert!(
        counts[..49].iter().all(|it| (99..=101).contains(it)),
        "{counts:?}"
    );
}

#[test]
fn r13_teams_get_what_their_weights_say() {
    let mut shares = weighted(&[("a", 1), ("b", 3), ("c", 6)]);
    let greedy = [of("a", "x"), of("b", "x"), of("c", "x"), of("c", "y")];
    let counts = shared(&mut shares, &greedy, 10_000);
    for (count, wanted) in counts.iter().zip([1_000_usize, 3_000, 3_000, 3_000]) {
        assert!(count.abs_diff(wanted) <= 5, "{counts:?}");
    }
}

#[test]
fn r13_a_share_that_nobody_wants_is_others() {
    let mut shares = weighted(&[("idle", 1_000)]);
    let counts = shared(&mut shares, &[of("a", "x"), of("b", "x")], 1_000);
    assert_eq!(counts, [500, 500]);
    // Whoever comes back has saved nothing up, and owes nothing.
    let (idle, a) = (of("idle", "x"), of("a", "y"));
    let counts = shared(&mut shares, &[idle, a], 1_001);
    assert!(counts[0] <= 1_000, "{counts:?}");
}

#[test]
fn the_gateways_own_requests_get_a_fifth_and_never_starve() {
    let mut greedy: Vec<Who> = (0..20).map(|ix| of(&format!("t{ix}"), "c")).collect();
    greedy.push(Who::own());
    let counts = shared(&mut Shares::default(), &greedy, 10_000);
    assert!((1_900..=2_100).contains(&counts[20]), "{counts:?}");
}

#[test]
fn a_paused_class_does_not_hold_up_the_others() {
    let mut shares = Shares::default();
    let who = of("a", "x");
    let (spend, _) = shares.join(&who, Class::Spends, LATER).unwrap();
    let read = join(&mut shares, &who);
    let open = |class| class == Class::Reads;
    assert_eq!(shares.pick(&open), Some((read, Class::Reads)));
    assert_eq!(shares.pick(&open), None);
    assert!(!shares.has(&open) && shares.wants(Class::Spends));
    assert_eq!(shares.without_hope(Class::Spends, LATER * 2), [spend]);
    assert_eq!(shares.waiting(), 0);
}

#[test]
fn r13_a_full_queue_makes_room_for_whoever_has_less() {
    let mut shares = Shares::default();
    for ix in 0..MOST_WAITING {
        join(&mut shares, &of("greedy", &format!("c{}", ix % 100)));
    }
    assert!(
        shares
            .join(&of("greedy", "new"), Class::Reads, LATER)
            .is_err()
    );
    let (_, leaves) = shares
        .join(&of("modest", "x"), Class::Reads, LATER)
        .unwrap();
    assert!(leaves.is_some());
    assert_eq!(shares.waiting(), MOST_WAITING);
}

#[test]
fn a_caller_cannot_fill_the_queue() {
    let mut shares = Shares::default();
    let who = of("a", "x");
    for _ in 0..MOST_OF_A_CALLER {
        join(&mut shares, &who);
    }
    assert!(shares.join(&who, Class::Reads, LATER).is_err());
}

#[test]
fn whoever_wants_nothing_is_forgotten() {
    let mut shares = Shares::default();
    for ix in 0..100 {
        shares.charge(&of(&format!("t{ix}"), "c"));
    }
    for _ in 0..SWEEP {
        shares.charge(&of("t0", "c"));
    }
    assert_eq!(shares.lanes.len(), 1);
    let most = MOST_IDLE + MOST_WAITING + SWEEP as usize;
    for ix in 0..20_000 {
        shares.charge(&of(&format!("t{ix}"), "c"));
        shares.charge(&of("t", &format!("c{ix}")));
        let callers = shares.lanes.get(&Flow::Team("t".into()));
        assert!(shares.lanes.len() <= most && callers.is_none_or(|it| it.callers.len() <= most));
    }
}

proptest! {
    #[test]
    fn the_position_that_is_told_is_the_one_that_is_had(
        waiting in proptest::collection::vec((0..4_u8, 0..3_u8), 0..200),
        weights in proptest::collection::vec(1..20_u32, 4),
        me in (0..4_u8, 0..3_u8),
    ) {
        let name = |team: u8| format!("t{team}");
        let weights = weights.iter().zip(0..).map(|(it, team)| (name(team).into(), *it));
        let mut shares = Shares::new(weights.collect());
        for (team, caller) in waiting {
            join(&mut shares, &of(&name(team), &format!("c{caller}")));
        }
        let me = of(&name(me.0), &format!("c{}", me.1));
        let told = shares.position(&me);
        let id = join(&mut shares, &me);
        let mut had = 1;
        while shares.pick(&all).unwrap().0 != id {
            had += 1;
        }
        // Ties between lanes go either way.
        prop_assert!(had <= told && told <= had + 5, "told {told}, had {had}");
    }

    #[test]
    fn whatever_joins_and_leaves_the_counts_are_right(
        steps in proptest::collection::vec((0..4_u8, 0..3_u8, 0..3_usize), 0..500),
    ) {
        let mut shares = Shares::default();
        let mut ids = Vec::new();
        for (what, team, class) in steps {
            match what {
                0 | 1 => {
                    let who = of(&format!("t{team}"), "c");
                    ids.push(shares.join(&who, Class::ALL[class], LATER).unwrap().0);
                }
                2 => {
                    let open = |it: Class| it.index() == class;
                    if let Some((id, _)) = shares.pick(&open) { ids.retain(|it| *it != id); }
                    else { prop_assert!(!shares.wants(Class::ALL[class])); }
                }
                _ => if let Some(id) = ids.pop() { prop_assert!(shares.leave(id).is_some()); },
            }
            let counted: u64 = shares.lanes.values().map(Lane::count).sum();
            prop_assert_eq!(counted, ids.len() as u64);
            prop_assert_eq!(shares.waiting(), ids.len());
        }
        shares.all();
        prop_assert_eq!(shares.waiting(), 0);
    }
}
