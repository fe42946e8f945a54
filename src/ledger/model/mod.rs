//! Everything that can happen to two processes, three requests and a Devin that honours caps, in every order.
//!
//! The accounts are real: what happens to a session goes through its [`Book`](super::book::Book), what is admitted
//! through [`fit`](crate::budget::fit), what counts where through the budget's own windows and accounts. Around them
//! stands, in small, what the store and the reconciler add: what is durable and what a crash takes along, the lock,
//! and when a hold counts as found or as absent. There is one writer and each of its steps is a transaction, so a step
//! is whole or has not been.
//!
//! The explorer is our own: of what there is for Rust, the one that is widely used had no release for more than a
//! year, brings a web server along, and tells states apart by 64 bits.

mod explore;
mod steps;
mod turns;
mod world;

use explore::explore;
use world::{Action, Bounds, Slip, World};

/// A process dies at any moment, and the other takes over.
const CRASH: Bounds = Bounds {
    crashes: 1,
    edits: false,
    days: false,
    brief: true,
    cap: 1,
};
/// The budgets are edited at any moment.
const EDIT: Bounds = Bounds {
    crashes: 0,
    edits: true,
    ..CRASH
};

fn holds_in(bounds: Bounds, least: usize) {
    match explore(World::new(bounds, Slip::None)) {
        Ok(seen) => assert!(seen.states > least, "{seen:?}"),
        Err(broken) => panic!("{}: {:#?}", broken.rule, broken.way),
    }
}

/// Whether `tests/run --deep` runs, which has time for some millions of states.
fn is_deep() -> bool {
    std::env::var_os("TOLLGATE_DEEP").is_some()
}

#[test]
fn l1_to_l8_hold_wherever_a_process_dies_and_the_other_takes_over() {
    holds_in(CRASH, 150_000);
    if is_deep() {
        // With caps that are used in part, and clamped.
        holds_in(Bounds { cap: 2, ..CRASH }, 300_000);
    }
}

#[test]
fn l1_to_l10_hold_wherever_the_budgets_are_edited() {
    holds_in(EDIT, 100_000);
    if is_deep() {
        // With a day that ends, and a crash; then with both sessions told in full.
        let days = Bounds { days: true, ..EDIT };
        holds_in(days, 700_000);
        holds_in(Bounds { crashes: 1, ..days }, 1_000_000);
        let full = Bounds {
            edits: false,
            brief: false,
            ..EDIT
        };
        holds_in(full, 1_000_000);
    }
}

/// What a gateway that makes this mistake breaks, and the shortest way to it.
fn breaks(slip: Slip) -> (String, Vec<Action>) {
    let bounds = Bounds {
        edits: slip == Slip::BeginsAnewAtAnEdit,
        days: slip == Slip::CountsByTheClock,
        ..CRASH
    };
    match explore(World::new(bounds, slip)) {
        Ok(seen) => panic!("{slip:?} was not seen: {seen:?}"),
        Err(broken) => (broken.rule, broken.way),
    }
}

#[test]
fn every_mistake_that_the_rules_are_there_for_is_found() {
    for (slip, rule) in [
        (Slip::SendsBeforeHolding, "L1"),
        (Slip::HoldsInOneBudgetOnly, "L2"),
        (Slip::SendsMoreThanIsHeld, "L3"),
        (Slip::KeepsWhatWasRefused, "L4"),
        (Slip::FreesWhatIsUnknown, "L5"),
        (Slip::FreesAtOneAbsence, "L5"),
        (Slip::ForgetsHoldsAtACrash, "L5"),
        (Slip::ClosesByAnyReading, "L6"),
        (Slip::LetsMessagesShareAHold, "L7"),
        (Slip::CountsByTheClock, "L8"),
        (Slip::BeginsAnewAtAnEdit, "L9"),
    ] {
        let (broken, way) = breaks(slip);
        assert!(broken.starts_with(rule), "{slip:?}: {broken}, by {way:?}");
    }
}
