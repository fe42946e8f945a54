//! Which rules had a part in what was said of a request: what `tollgate test --coverage` counts.

use std::sync::Arc;

use super::bounds::{Applied, judge_query};
use super::judge::judge_bytes;
use super::{Body, CallerIx, Decision, Denied, Grant, Policy, RuleIx, Stop, Whole};
use crate::catalogue::{OperationIx, Takes};
use crate::problem::Code;

impl Policy {
    /// The names of the rules that decided, of a request and what was said of it: the grant that let it through, the
    /// rule that refused it, bounds that refused or changed something, and the same of rules that are only tried.
    pub fn deciders(
        &self,
        caller: CallerIx,
        operation: OperationIx,
        organization: Option<&str>,
        query: Option<&str>,
        body: Body<'_>,
        whole: &Whole,
    ) -> Vec<Arc<str>> {
        let mut found: Vec<Arc<str>> = Vec::new();
        let tightening =
            |grant: &Grant| -> Vec<Arc<str>> { self.tightening(grant, operation, query, body) };
        match &whole.outcome {
            Ok(grant) => {
                found.push(Arc::clone(self.grant_name(grant)));
                found.extend(tightening(grant));
            }
            Err(Stop::Denied(Denied::ByRule { rule, .. })) => found.push(Arc::clone(rule)),
            Err(Stop::Fields(refused)) => found.push(Arc::clone(&refused.rule)),
            // These name a grant that would have had to say more.
            Err(Stop::Denied(
                Denied::Operation | Denied::Organization(_) | Denied::Secret { .. },
            )) => {}
        }
        if let Some(shadow) = &whole.shadow
            && let Some(rule) = &shadow.rule
            && shadow.code != Some(Code::OrganizationDenied)
        {
            found.push(Arc::clone(rule));
        }
        // Tried bounds that only change a value change no decision.
        if let Some(Decision::Allow(grant)) = self.decide_shadowed(caller, operation, organization)
        {
            found.extend(tightening(&grant));
        }
        found.sort();
        found.dedup();
        found
    }

    /// The guard rails that, beside the grant alone, refuse or change something.
    fn tightening(
        &self,
        grant: &Grant,
        operation: OperationIx,
        query: Option<&str>,
        body: Body<'_>,
    ) -> Vec<Arc<str>> {
        let effect_of = |rails: &[RuleIx]| {
            let grant = grant.with_rails(rails);
            effect(&self.applied(&grant), query, body)
        };
        let alone = effect_of(&[]);
        let tightens = |ix: &&RuleIx| {
            // An upload is counted while it streams: there is nothing here to count.
            let is_upload = self.rule(**ix).terms().upload.is_some()
                && operation.row().takes == Some(Takes::Multipart);
            is_upload || effect_of(&[**ix]) != alone
        };
        let rails = grant.rails().iter().filter(tightens);
        rails.map(|ix| Arc::clone(&self.rule(*ix).name)).collect()
    }
}

/// Whether anything is refused, and the query and the body that go on where they are others.
fn effect(
    applied: &Applied<'_>,
    query: Option<&str>,
    body: Body<'_>,
) -> (bool, Option<String>, Option<String>) {
    let query = judge_query(applied, query);
    let mut is_refused = query.refused.is_some();
    let mut forwarded = None;
    if applied.reads_body() {
        let judged = judge_bytes(applied, body.bytes());
        is_refused |= judged.refused.is_some();
        forwarded = judged.forwarded;
    }
    (is_refused, query.forwarded, forwarded)
}
