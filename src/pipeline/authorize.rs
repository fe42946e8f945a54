//! Stage 7: may this caller do this? Makes [`Permitted`].
//!
//! The decision itself is [`crate::policy::Policy::decide`]; this stage only asks
//! it and notes the rule that decided.

use std::sync::Arc;

use super::Identified;
use super::stage::Stage;
use crate::catalogue::OperationIx;
use crate::exchange::Exchange;
use crate::policy::{CallerIx, Decision, Denied, Policy};
use crate::rejection::Rejection;
use crate::ruleset::Limiters;
use crate::target::Target;
use crate::trail::Decided;

/// Proof that the policy allows the request.
#[derive(Debug)]
pub struct Permitted {
    identified: Identified,
}

impl Permitted {
    /// The policy set.
    pub fn policy(&self) -> &Arc<Policy> {
        self.identified.policy()
    }
    /// What is left of its limits.
    pub fn limiters(&self) -> &Limiters {
        self.identified.limiters()
    }
    /// The caller.
    pub fn caller(&self) -> CallerIx {
        self.identified.caller()
    }
    /// The operation.
    pub fn operation(&self) -> OperationIx {
        self.identified.operation()
    }
    /// The target that was judged.
    pub fn target(&self) -> &Target {
        self.identified.target()
    }
}

/// The stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authorize;

impl Stage<Identified> for Authorize {
    type Out = Permitted;

    fn judge(&self, exchange: Exchange<Identified>) -> Result<Exchange<Permitted>, Rejection> {
        let proof = &exchange.proof;
        let operation = proof.operation();
        let owner = || {
            proof
                .policy()
                .caller(proof.caller())
                .owner()
                .map(str::to_owned)
        };
        let (allow, rule, refusal) =
            match proof
                .policy()
                .decide(proof.caller(), operation, proof.organization())
            {
                Decision::Allow { rule } => (true, Some(rule), None),
                Decision::Deny(Denied::ByRule { rule, owner }) => (
                    false,
                    Some(Arc::clone(&rule)),
                    Some(Rejection::Denied {
                        operation,
                        rule: Some(rule),
                        owner: owner.as_deref().map(str::to_owned),
                    }),
                ),
                Decision::Deny(Denied::Operation) => (
                    false,
                    None,
                    Some(Rejection::Denied {
                        operation,
                        rule: None,
                        owner: owner(),
                    }),
                ),
                Decision::Deny(Denied::Organization(rule)) => (
                    false,
                    Some(Arc::clone(&rule)),
                    Some(Rejection::OrganizationDenied {
                        operation,
                        organization: proof.organization().map(str::to_owned),
                        rule,
                        owner: owner(),
                    }),
                ),
            };
        let _ = exchange.trail.decided.set(Decided { allow, rule });
        match refusal {
            Some(refusal) => Err(refusal),
            None => Ok(exchange.prove(|identified| Permitted { identified })),
        }
    }
}
