//! The one integration binary: real sockets, the real stack, the fake Devin.
//!
//! Every test ends with [`world::World::finish`], which checks the invariants
//! G1 to G5 and G7 of the threat model over all that was sent, answered and logged.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod agreement;
mod answer;
mod invariants;
mod process;
mod world;

mod attack;
mod attempts;
mod bounds;
mod budgets;
mod changes;
mod cli;
mod connection;
mod consumption;
mod corpora;
mod differential;
mod downgrade;
mod edge;
mod filter;
mod floods;
mod forward;
mod framing;
mod heads;
mod jwt;
mod keys;
mod large;
mod life;
mod limits;
mod low_key;
mod memory;
mod money;
mod month;
mod objects;
mod overload;
mod ownership;
mod paths;
mod policies;
mod pressure;
mod proxied;
mod races;
mod refusals;
mod reload;
mod replay;
mod settling;
mod share;
mod simulation;
mod spending;
mod status;
mod supply;
mod tidy;
mod tools;
mod torture;
mod trial;
mod unsure;
mod uploads;
mod upstream;
