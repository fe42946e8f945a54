//! What a policy set makes of a request that nobody sends: for `tollgate test` and `tollgate explain`. Pure.
//!
//! `request` says which request is meant and what the gateway would say of it,
//! `cases` reads `*.test.yaml` files, `suite` runs them and counts which rules
//! they reach. What decides is [`Policy::judge_whole`](crate::policy::Policy::judge_whole)
//! and nothing else, so that no test can pass by another rule than the gateway's.
//!
//! Deliberately absent: credentials, rate limits and headers. A rehearsal begins
//! where the caller is known.

mod cases;
mod difference;
mod expected;
mod request;
mod slot;
mod suite;
#[cfg(test)]
mod tests;

pub use cases::{Case, read};
pub use difference::{Difference, differences};
pub use expected::{Expected, Mismatch, Tried, Wanted};
pub use request::{Asked, Line, Request, Sent, Verdict, json};
pub use suite::{Outcome, Reached, Suite, run};
