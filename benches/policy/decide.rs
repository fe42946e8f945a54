//! One decision about a request's head, by the size of the set.
//!
//! Callers and operations come at random, so that the processor's caches are as
//! cold as the set makes them.

use std::hint::black_box;
use std::time::Instant;

use tollgate::catalogue::OperationIx;
use tollgate::policy::{CallerIx, Decision, Policy};

use crate::median;
use crate::set::{Random, Rules, TEAM, policy};

const SIZES: [usize; 3] = [10, 1_000, 100_000];
/// Decisions in one window.
const DECISIONS: usize = 1_000_000;

struct Case {
    policy: Policy,
    requests: Vec<(CallerIx, OperationIx, String)>,
}

fn case(callers: usize, rules: Rules) -> Case {
    let policy = policy(callers, rules);
    let places: Vec<CallerIx> = policy.caller_ixs().collect();
    let operations: Vec<OperationIx> = OperationIx::served()
        .filter(|ix| ix.row().names_organization())
        .collect();
    let mut random = Random(7);
    let requests = (0..DECISIONS)
        .map(|_| {
            let caller = places[random.below(places.len())];
            let operation = operations[random.below(operations.len())];
            (caller, operation, format!("org-{}", caller.get() / TEAM))
        })
        .collect();
    Case { policy, requests }
}

/// Nanoseconds for one decision.
fn window(case: &Case) -> f64 {
    let begun = Instant::now();
    let mut allowed = 0_usize;
    for (caller, operation, organization) in &case.requests {
        let decision = case.policy.decide(*caller, *operation, Some(organization));
        allowed += usize::from(matches!(black_box(decision), Decision::Allow(_)));
    }
    let elapsed = begun.elapsed();
    let share = allowed as f64 / DECISIONS as f64;
    assert!((0.05..0.95).contains(&share), "{share} of all are allowed");
    elapsed.as_nanos() as f64 / DECISIONS as f64
}

pub(crate) fn measure(rounds: usize) {
    for (rules, name) in [
        (Rules::Shared, "10 rules for each team of 100"),
        (Rules::Own, "10 rules for each caller"),
    ] {
        let cases = SIZES.map(|callers| case(callers, rules));
        let mut figures: Vec<Vec<f64>> = vec![Vec::new(); SIZES.len()];
        for round in 0..=rounds {
            for (case, figures) in cases.iter().zip(&mut figures) {
                let figure = window(case);
                // The first round warms up.
                if round > 0 {
                    figures.push(figure);
                }
            }
        }
        println!("decide, {name}, median of {rounds} rounds:");
        for (callers, own) in SIZES.iter().zip(&figures) {
            let ratios = own.iter().zip(&figures[0]).map(|(own, base)| own / base);
            println!(
                "  {callers:>7} callers: {:>6.0} ns for one, {:.2} x 10 callers",
                median(own.clone()),
                median(ratios.collect())
            );
        }
    }
}
