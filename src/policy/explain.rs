//! Why a request's head is decided as it is, rule by rule: for `tollgate explain`.
//!
//! It asks the same questions as `decide`, of every rule that the caller's team
//! and the guard rails have, and stops at none. What is decided is `decide`'s
//! alone; a test compares the two.

use std::sync::Arc;

use super::decide::{binds, forbids, grants};
use super::{CallerIx, Decision, Denied, Effect, Organizations, Policy, Rule, RuleIx};
use crate::catalogue::{Operation, OperationIx};

/// A rule that was looked at, and what became of it.
#[derive(Clone, Debug)]
pub struct Considered<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// Whether it matches, and what follows.
    pub because: Because<'p>,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because<'p> {
    /// It covers other callers.
    OtherCaller,
    /// It has other operations.
    OtherOperation,
    /// It is for these organizations.
    OtherOrganization(&'p [String]),
    /// It grants these organizations, and the request names none.
    NamesNone(&'p [String]),
    /// It denies these organizations, and the request touches none of them.
    TouchesNone(&'p [String]),
    /// It denies these organizations, and the answer leaves them out.
    LeavesOut(&'p [String]),
    /// It matches, and decides.
    Decides,
    /// It matches, and this other rule of its kind decides.
    Beside(&'p Arc<str>),
    /// It matches, and this deny rule beats it.
    Beaten(&'p Arc<str>),
    /// It matches, and the answer holds a secret that it does not reveal.
    Secret,
    /// It matches, and tightens the grant.
    Tightens,
    /// It matches, and bounds no field that this operation has.
    SaysNothing,
    /// It matches, and there is no grant that it could tighten.
    NothingToTighten,
    /// It matches, and is only tried.
    Tried,
}

impl Because<'_> {
    /// Whether the rule matches the request.
    pub fn matches(&self) -> bool {
        match self {
            Self::OtherCaller
            | Self::OtherOperation
            | Self::OtherOrganization(_)
            | Self::NamesNone(_)
            | Self::TouchesNone(_)
            | Self::LeavesOut(_) => false,
            Self::Decides
            | Self::Beside(_)
            | Self::Beaten(_)
            | Self::Secret
            | Self::Tightens
            | Self::SaysNothing
            | Self::NothingToTighten
            | Self::Tried => true,
        }
    }

    /// The same in words.
    pub fn said(&self) -> String {
        match self {
            Self::OtherCaller => "not for this caller".to_owned(),
            Self::OtherOperation => "other operations".to_owned(),
            Self::OtherOrganization(ids) => format!("other organizations: {}", ids.join(", ")),
            Self::NamesNone(ids) => format!(
                "the request names no organization, and this grants only {}",
                ids.join(", ")
            ),
            Self::TouchesNone(ids) => {
                format!("the request touches none of {}", ids.join(", "))
            }
            Self::LeavesOut(ids) => format!("the answer leaves out {}", ids.join(", ")),
            Self::Decides => "matches, and decides".to_owned(),
            Self::Beside(rule) => format!("matches as well; `{rule}` decides"),
            Self::Beaten(rule) => format!("matches; the deny rule `{rule}` beats it"),
            Self::Secret => "matches; the answer holds a secret that is shown once, and it does \
                             not say `secrets: reveal`"
                .to_owned(),
            Self::Tightens => "matches, and tightens the grant".to_owned(),
            Self::SaysNothing => "matches; it bounds no field of this operation".to_owned(),
            Self::NothingToTighten => "matches; no grant is left to tighten".to_owned(),
            Self::Tried => "matches; it is shadowed, and not enforced".to_owned(),
        }
    }
}

impl Policy {
    /// Every rule of the caller's team and of the guard rails, in the order of the files.
    pub fn explain(
        &self,
        caller: CallerIx,
        operation: OperationIx,
        organization: Option<&str>,
    ) -> Vec<Considered<'_>> {
        let known = self.caller(caller);
        let decision = self.decide(caller, operation, organization);
        // The first of the live rules that match: a deny rule, else a grant.
        let decider = |effect: Effect| {
            let mut live = self.rules_of(known).filter(|(_, rule)| {
                rule.effect == effect
                    && !rule.shadow
                    && mismatch(rule, operation, organization).is_none()
            });
            live.next()
        };
        let decisive = Decisive {
            is_allowed: matches!(decision, Decision::Allow(_)),
            is_secret: matches!(decision, Decision::Deny(Denied::Secret { .. })),
            deny: decider(Effect::Deny),
            grant: decider(Effect::Allow),
        };
        let is_of_team = |rule: &Rule| rule.team.as_ref().is_none_or(|it| *it == known.team);
        self.rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| is_of_team(rule))
            .map(|(ix, rule)| {
                let ix = RuleIx(ix);
                let because = if !known.rules.contains(&ix) {
                    Because::OtherCaller
                } else {
                    mismatch(rule, operation, organization)
                        .unwrap_or_else(|| decisive.role(ix, rule, operation.row()))
                };
                Considered { rule, because }
            })
            .collect()
    }
}

/// Why a rule does not match; none where it does.
fn mismatch<'p>(
    rule: &'p Rule,
    operation: OperationIx,
    organization: Option<&str>,
) -> Option<Because<'p>> {
    if !rule.operations.contains(operation) {
        return Some(Because::OtherOperation);
    }
    let row = operation.row();
    let matches = match rule.effect {
        Effect::Allow => grants(rule, row, organization),
        Effect::Deny => forbids(rule, row, organization),
        Effect::Bound => binds(rule, organization),
    };
    let ids = match &rule.organizations {
        Organizations::Only(ids) if !matches => ids.as_slice(),
        // A rule for any organization has no other reason.
        Organizations::Only(_) | Organizations::Any => return None,
    };
    Some(match (organization, rule.effect) {
        (Some(_), _) | (None, Effect::Bound) => Because::OtherOrganization(ids),
        (None, Effect::Allow) => Because::NamesNone(ids),
        (None, Effect::Deny) if row.filtered => Because::LeavesOut(ids),
        (None, Effect::Deny) => Because::TouchesNone(ids),
    })
}

/// The rules that decide, or would if no other did.
struct Decisive<'p> {
    is_allowed: bool,
    is_secret: bool,
    deny: Option<(RuleIx, &'p Rule)>,
    grant: Option<(RuleIx, &'p Rule)>,
}

impl<'p> Decisive<'p> {
    /// What becomes of a rule that matches.
    fn role(&self, ix: RuleIx, rule: &Rule, operation: &Operation) -> Because<'p> {
        if rule.shadow {
            return Because::Tried;
        }
        match (rule.effect, self.deny, self.grant) {
            (Effect::Deny, Some((first, other)), _) if first != ix => Because::Beside(&other.name),
            (Effect::Deny, _, _) => Because::Decides,
            (Effect::Allow, Some((_, deny)), _) => Because::Beaten(&deny.name),
            (Effect::Allow, None, Some((first, other))) if first != ix => {
                Because::Beside(&other.name)
            }
            (Effect::Allow, None, _) if self.is_secret => Because::Secret,
            (Effect::Allow, None, _) => Because::Decides,
            (Effect::Bound, _, _) if !self.is_allowed => Because::NothingToTighten,
            (Effect::Bound, _, _) if rule.terms().speak_of(operation) => Because::Tightens,
            (Effect::Bound, _, _) => Because::SaysNothing,
        }
    }
}

#[cfg(test)]
mod tests;
