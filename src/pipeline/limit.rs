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
use crate::policy::Shadowed;
use crate::problem::Code;
use crate::rejection::Rejection;
use crate::trail::Decided;

/// The stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit;

impl Stage<Granted> for Limit {
    type Out = Granted;

    fn judge(&self, exchange: Exchange<Granted>) -> Result<Exchange<Granted>, Rejection> {
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
            Err(retry_after) => {
                // The head was allowed; nobody has looked at the body.
                let rule = policy.grant_name(exchange.proof.grant());
                let _ = exchange.trail.decided.set(Decided {
                    allow: true,
                    rule: Some(Arc::clone(rule)),
                });
                Err(Rejection::RateLimited {
                    limit: Arc::clone(&limit.name),
                    retry_after,
                })
            }
        }
    }
}
