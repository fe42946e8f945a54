//! What a request is judged by: a policy set and what is left of its limits, as one value.
//!
//! Stage 4 of the request path (problem) takes the [`Ruleset`] of the moment, and
//! the request keeps it to its end: no stage looks anywhere else, so that a reload
//! in the middle cannot make it half one set's and half another's. [`Current`] is
//! where the next request gets its own from; only a reload puts another one there.

mod change;
mod current;
mod limiters;

use std::sync::Arc;

use crate::policy::Policy;

pub use change::{Change, Named};
pub use current::{Current, Loaded, Refused};
pub use limiters::Limiters;

/// A policy set and its limiters.
#[derive(Debug)]
pub struct Ruleset {
    policy: Arc<Policy>,
    limiters: Limiters,
}

impl Ruleset {
    /// Of this policy, with every limit unused.
    pub fn new(policy: Policy) -> Self {
        Self {
            limiters: Limiters::new(&policy),
            policy: Arc::new(policy),
        }
    }

    /// Of this policy; a limit that `self` has as well is the same limit, as used up as it is.
    pub fn followed_by(&self, policy: Policy) -> Self {
        Self {
            limiters: self.limiters.followed_by(&policy),
            policy: Arc::new(policy),
        }
    }

    /// The policy set.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// What is left of its limits.
    pub fn limiters(&self) -> &Limiters {
        &self.limiters
    }
}
