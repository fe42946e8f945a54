//! Stage 7b: has the caller asked too often? `Granted` again, if not.
//!
//! Before a body is read and judged, which costs more than anything else here: whoever sends many of them is
//! held to the limit, also if each would be refused.
//!
//! The limiters are those of the set that judges the request
//! ([`crate::ruleset::Limiters`]); this stage only takes from them.

use std::sync::Arc;

use super::Granted;
use super::stage::Stage;
use crate::exchange::Exchange;
use crate::policy::{CallerIx, Policy, Shadowed};
use crate::problem::Code;
use crate::rejection::Rejection;
use crate::ruleset::Limiters;
use crate::trail::{Decided, Trail};

/// The stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit;

impl Stage<Granted> for Limit {
    type Out = Granted;

    fn judge(&self, exchange: Exchange<Granted>) -> Result<Exchange<Granted>, Rejection> {
        let proof = &exchange.proof;
        let (policy, caller) = (proof.policy(), proof.caller());
        let taken = take(policy, proof.limiters(), caller, &exchange.trail);
        if taken.is_err() {
            // The head was allowed; nobody has looked at the body.
            let rule = policy.grant_name(proof.grant());
            let _ = exchange.trail.decided.set(Decided {
                allow: true,
                rule: Some(Arc::clone(rule)),
            });
        }
        taken.map(|()| exchange)
    }
}

/// Uses up one request of a caller's.
pub(super) fn take(
    policy: &Policy,
    limiters: &Limiters,
    caller: CallerIx,
    trail: &Trail,
) -> Result<(), Rejection> {
    let Some(limit) = policy.limit_of(caller).and_then(|ix| policy.limit(ix)) else {
        return Ok(());
    };
    let _ = trail.limit.set(Arc::clone(&limit.name));
    match limiters.take(caller) {
        Ok(()) => Ok(()),
        Err(_) if limit.shadow => {
            let _ = trail.shadow.set(Shadowed {
                allow: false,
                rule: Some(Arc::clone(&limit.name)),
                code: Some(Code::RateLimited),
            });
            Ok(())
        }
        Err(retry_after) => Err(Rejection::RateLimited {
            limit: Arc::clone(&limit.name),
            retry_after,
        }),
    }
}
