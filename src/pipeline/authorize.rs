//! Stage 7: may this caller do this? Makes [`Granted`].
//!
//! Judges the head and the query ([`crate::policy::Policy::judge_head`]); what
//! is judged of the body follows in `bounds`, so that nobody's body is read who
//! may not do this at all.

use std::sync::Arc;

use super::Identified;
use super::stage::Stage;
use crate::catalogue::OperationIx;
use crate::exchange::Exchange;
use crate::policy::bounds::Facts;
use crate::policy::{CallerIx, Grant, Head, Policy, Stop};
use crate::rejection::Rejection;
use crate::ruleset::Limiters;
use crate::target::Target;
use crate::trail::{Decided, Trail};

/// Proof that the policy grants what the head asks.
#[derive(Clone, Debug)]
pub struct Granted {
    identified: Identified,
    grant: Grant,
    query: Option<String>,
    facts: Facts,
    shadow: Option<Result<Grant, Stop>>,
}

impl Granted {
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
    /// The organization that the path names.
    pub fn organization(&self) -> Option<&str> {
        self.identified.organization()
    }
    /// The session that the path names.
    pub fn session(&self) -> Option<&str> {
        self.identified.session()
    }
    /// The target that was judged.
    pub fn target(&self) -> &Target {
        self.identified.target()
    }
    /// The grant, of that policy set.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }
    /// The query that goes on: the received one, or what a rule has made of it.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref().or(self.target().query())
    }
    /// What is known of the query's fields.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
    pub(super) fn take_facts(&mut self) -> Facts {
        std::mem::take(&mut self.facts)
    }

    /// What would have been decided so far if shadowed rules were live.
    pub fn shadow(&self) -> Option<&Result<Grant, Stop>> {
        self.shadow.as_ref()
    }

    /// The same for another page of a list; whoever may read one page may read the next.
    pub(super) fn with_query(mut self, query: String) -> Self {
        self.query = Some(query);
        self
    }
}

/// The stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authorize;

impl Stage<Identified> for Authorize {
    type Out = Granted;

    fn judge(&self, exchange: Exchange<Identified>) -> Result<Exchange<Granted>, Rejection> {
        let proof = &exchange.proof;
        let policy = proof.policy();
        let Head {
            outcome,
            query,
            facts,
            shadow,
        } = policy.judge_head(
            proof.caller(),
            proof.operation(),
            proof.organization(),
            proof.target().query(),
        );
        match outcome {
            Ok(grant) => Ok(exchange.prove(|identified| Granted {
                identified,
                grant,
                query,
                facts,
                shadow,
            })),
            Err(stop) => {
                if let Some(shadow) = shadow
                    && let Some(shadow) = policy.shadowed(&Err(stop.clone()), &shadow)
                {
                    let _ = exchange.trail.shadow.set(shadow);
                }
                let _ = exchange.trail.facts.set(facts);
                Err(refuse(
                    &exchange.trail,
                    policy,
                    proof.caller(),
                    proof.operation(),
                    stop,
                ))
            }
        }
    }
}

/// The refusal, noted in the trail.
pub(super) fn refuse(
    trail: &Trail,
    policy: &Policy,
    caller: CallerIx,
    operation: OperationIx,
    stop: Stop,
) -> Rejection {
    let rule = stop.rule().map(Arc::clone);
    let _ = trail.decided.set(Decided { allow: false, rule });
    let organization = trail.organization.get().cloned();
    Rejection::stopped(policy, caller, operation, organization, stop)
}
