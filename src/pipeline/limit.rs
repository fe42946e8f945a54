//! Stage 8: has the caller asked too often? `Permitted` again, if not.
//!
//! The limiters are those of the set that judges the request
//! ([`crate::ruleset::Limiters`]); this stage only takes from them.

use std::sync::Arc;

use super::Permitted;
use super::stage::Stage;
use crate::exchange::Exchange;
use crate::policy::Shadowed;
use crate::problem::Code;
use crate::rejection::Rejection;

/// The stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit;

impl Stage<Permitted> for Limit {
    type Out = Permitted;

    fn judge(&self, exchange: Exchange<Permitted>) -> Result<Exchange<Permitted>, Rejection> {
        let caller = exchange.proof.caller();
        let policy = exchange.proof.policy();
        let Some(limit) = policy.limit_of(caller).and_then(|ix| policy.limit(ix)) else {
            return Ok(exchange);
        };
        let _ = exchange.trail.limit.set(Arc::clone(&limit.name));
        match exchange.proof.limiters().take(caller) {
            Ok(()) => Ok(exchange),
            Err(_) if limit.shadow => {
                let _ = exchange.trail.shadow.set(Shadowed {
                    allow: false,
                    rule: Some(Arc::clone(&limit.name)),
                    code: Some(Code::RateLimited),
                });
                Ok(exchange)
            }
            Err(retry_after) => Err(Rejection::RateLimited {
                limit: Arc::clone(&limit.name),
                retry_after,
            }),
        }
    }
}
