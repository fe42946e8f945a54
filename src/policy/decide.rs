//! The decision about a request's head: total, without a clock, and it denies where nothing matches.
//!
//! What it costs depends on the caller's own rules, and not on how many callers there are.

use std::sync::Arc;
use std::time::Duration;

use super::bounds::{Applied, Source};
use super::{Caller, CallerIx, Effect, Organizations, Policy, Rule, RuleIx};
use crate::catalogue::{Operation, OperationIx, Scope};
use crate::problem::Code;

/// What the policy says of a request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on, on the terms of this grant.
    Allow(Grant),
    /// The request is refused.
    Deny(Denied),
}

/// The grant that lets a request through, and the guard rails that tighten it. Of one policy set, like its indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    rule: RuleIx,
    rails: Vec<RuleIx>,
    operation: OperationIx,
}

impl Grant {
    /// The guard rails that tighten it.
    pub(super) fn rails(&self) -> &[RuleIx] {
        &self.rails
    }

    /// The same grant, tightened by these alone.
    pub(super) fn with_rails(&self, rails: &[RuleIx]) -> Self {
        Self {
            rails: rails.to_vec(),
            ..self.clone()
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// A deny rule matches.
    ByRule {
        /// `team/name`, or `file/name` of a guard rail.
        rule: Arc<str>,
        /// Whom to ask about it.
        owner: Option<Arc<str>>,
    },
    /// No grant of the caller's has this operation.
    Operation,
    /// A grant has the operation, for other organizations: its name.
    Organization(Arc<str>),
    /// The answer would hold a one-time secret, and the grant does not say `secrets: reveal`.
    Secret {
        /// The grant.
        rule: Arc<str>,
        /// Whom to ask about it.
        owner: Option<Arc<str>>,
    },
}

impl Denied {
    /// The rule that decided, if one did.
    pub fn rule(&self) -> Option<&Arc<str>> {
        match self {
            Self::ByRule { rule, .. } | Self::Organization(rule) | Self::Secret { rule, .. } => {
                Some(rule)
            }
            Self::Operation => None,
        }
    }

    /// The code of the refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::ByRule { .. } | Self::Operation | Self::Secret { .. } => Code::OperationDenied,
            Self::Organization(_) => Code::OrganizationDenied,
        }
    }
}

/// Which rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Among {
    /// The live ones.
    Live,
    /// These and the shadowed ones, as if they were live.
    All,
}

impl Policy {
    /// Decides for a caller of this set, an operation, and the organization that its path names.
    ///
    /// `deny` beats `allow`; what nothing allows is denied.
    pub fn decide(
        &self,
        caller: CallerIx,
        operation: OperationIx,
        organization: Option<&str>,
    ) -> Decision {
        self.decide_among(caller, operation, organization, Among::Live)
    }

    /// What the decision would be if the shadowed rules were live; none where there are none for this operation.
    pub fn decide_shadowed(
        &self,
        caller: CallerIx,
        operation: OperationIx,
        organization: Option<&str>,
    ) -> Option<Decision> {
        let has_shadow = self
            .rules_of(self.caller(caller))
            .any(|(_, rule)| rule.shadow && rule.operations.contains(operation));
        has_shadow.then(|| self.decide_among(caller, operation, organization, Among::All))
    }

    fn decide_among(
        &self,
        caller: CallerIx,
        operation: OperationIx,
        organization: Option<&str>,
        among: Among,
    ) -> Decision {
        let row = operation.row();
        let mut allowed: Option<(RuleIx, &Rule)> = None;
        let mut elsewhere: Option<&Rule> = None;
        let mut rails = Vec::new();
        for (ix, rule) in self.rules_of(self.caller(caller)) {
            if (rule.shadow && among == Among::Live) || !rule.operations.contains(operation) {
                continue;
            }
            match rule.effect {
                Effect::Deny if forbids(rule, row, organization) => {
                    return Decision::Deny(Denied::ByRule {
                        rule: Arc::clone(&rule.name),
                        owner: rule.owner.clone(),
                    });
                }
                Effect::Allow if grants(rule, row, organization) => {
                    // A shadowed grant stands beside the live one that it may replace: then it is the one to look at.
                    let replaces = |(_, had): (RuleIx, &Rule)| rule.shadow && !had.shadow;
                    if allowed.is_none_or(replaces) {
                        allowed = Some((ix, rule));
                    }
                }
                Effect::Allow => elsewhere = elsewhere.or(Some(rule)),
                Effect::Bound if binds(rule, organization) => rails.push(ix),
                Effect::Deny | Effect::Bound => {}
            }
        }
        match (allowed, elsewhere) {
            (Some((_, rule)), _) if row.reveals_once && !rule.terms().reveals => {
                Decision::Deny(Denied::Secret {
                    rule: Arc::clone(&rule.name),
                    owner: rule.owner.clone(),
                })
            }
            (Some((rule, _)), _) => Decision::Allow(Grant {
                rule,
                rails,
                operation,
            }),
            (None, Some(rule)) => Decision::Deny(Denied::Organization(Arc::clone(&rule.name))),
            (None, None) => Decision::Deny(Denied::Operation),
        }
    }

    /// Whether an answer of a filtered operation may show the caller this organization: whether the operation would
    /// be allowed if it named it.
    pub fn shows(&self, caller: CallerIx, operation: OperationIx, organization: &str) -> bool {
        let mut shown = false;
        for (_, rule) in self.rules_of(self.caller(caller)) {
            if rule.shadow
                || !rule.operations.contains(operation)
                || !rule.organizations.has(organization)
            {
                continue;
            }
            match rule.effect {
                Effect::Deny => return false,
                Effect::Allow => shown = true,
                Effect::Bound => {}
            }
        }
        shown
    }

    /// Whether an answer of a filtered operation may show the caller everything: then it needs no filter.
    pub fn shows_all(&self, caller: CallerIx, operation: OperationIx) -> bool {
        let mut shown = false;
        for (_, rule) in self.rules_of(self.caller(caller)) {
            if rule.shadow || !rule.operations.contains(operation) {
                continue;
            }
            match rule.effect {
                Effect::Deny => return false,
                Effect::Allow => shown |= rule.organizations == Organizations::Any,
                Effect::Bound => {}
            }
        }
        shown
    }

    /// How many organizations an answer of a filtered operation can show the caller; none where that has no bound.
    pub fn shows_at_most(&self, caller: CallerIx, operation: OperationIx) -> Option<usize> {
        let mut most = 0_usize;
        for (_, rule) in self.rules_of(self.caller(caller)) {
            if rule.shadow || rule.effect != Effect::Allow || !rule.operations.contains(operation) {
                continue;
            }
            match &rule.organizations {
                Organizations::Any => return None,
                Organizations::Only(ids) => most = most.saturating_add(ids.len()),
            }
        }
        Some(most)
    }

    /// The terms of a grant of this set, with those of the guard rails.
    pub fn applied(&self, grant: &Grant) -> Applied<'_> {
        let source = |ix: RuleIx| {
            let rule = self.rule(ix);
            Source {
                name: &rule.name,
                owner: rule.owner.as_ref(),
                terms: rule.terms(),
            }
        };
        Applied::new(
            grant.operation.row(),
            source(grant.rule),
            grant.rails.iter().map(|ix| source(*ix)).collect(),
        )
    }

    /// `team/name` of a grant's rule.
    pub fn grant_name(&self, grant: &Grant) -> &Arc<str> {
        &self.rule(grant.rule).name
    }

    /// How long an answer of this grant is kept for its caller; none where it is not.
    pub fn cache(&self, grant: &Grant) -> Option<Duration> {
        self.rule(grant.rule).terms().cache
    }

    /// Whom to ask about a grant.
    pub fn grant_owner(&self, grant: &Grant) -> Option<&Arc<str>> {
        self.rule(grant.rule).owner.as_ref()
    }

    /// Whether the grant itself is a shadowed one.
    pub fn is_shadowed(&self, grant: &Grant) -> bool {
        self.rule(grant.rule).shadow
    }

    pub(super) fn rules_of<'p>(
        &'p self,
        caller: &'p Caller,
    ) -> impl Iterator<Item = (RuleIx, &'p Rule)> {
        caller.rules.iter().map(|ix| (*ix, self.rule(*ix)))
    }

    pub(super) fn rule(&self, RuleIx(ix): RuleIx) -> &Rule {
        #[expect(
            clippy::indexing_slicing,
            reason = "a RuleIx is only made by the compiler of the same set"
        )]
        &self.rules[ix]
    }
}

pub(super) fn grants(rule: &Rule, operation: &Operation, organization: Option<&str>) -> bool {
    match organization {
        Some(id) => rule.organizations.has(id),
        // An operation that names no organization may touch any of them, unless its answer is filtered.
        None => rule.organizations == Organizations::Any || operation.filtered,
    }
}

pub(super) fn forbids(rule: &Rule, operation: &Operation, organization: Option<&str>) -> bool {
    match organization {
        Some(id) => rule.organizations.has(id),
        // It may touch the forbidden one: a rule that cannot be evaluated denies. A filtered answer leaves it out.
        None => {
            rule.organizations == Organizations::Any
                || (operation.scope != Scope::Oneself && !operation.filtered)
        }
    }
}

/// Whether bounds of a guard rail hold: also where the request may touch an organization that they are for.
pub(super) fn binds(rule: &Rule, organization: Option<&str>) -> bool {
    organization.is_none_or(|id| rule.organizations.has(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::document::Report;
    use crate::policy::{PolicyFiles, compile};

    const GUARD: &str = "deny:\n  - { name: nobody terminates, operations: [sessions.terminate] }\n  - { name: not prod, operations: ['**'], organizations: [org-prod] }\n";
    const TEAM: &str = "
team: ds
callers: { one: {}, two: {} }
allow:
  - { name: run, operations: [sessions.*], organizations: [org-a, org-prod] }
  - { name: self, callers: [one], operations: [enterprise.self.get, self.get], organizations: any }
  - { name: all secrets, callers: [two], operations: ['secrets.**', 'enterprise.**'], organizations: any }
deny:
  - { name: no new secrets, callers: [two], operations: [secrets.create], organizations: [org-b] }
";

    fn policy(files: &[(&str, &str)]) -> Policy {
        let mut report = Report::default();
        let files = PolicyFiles::from_texts(files.iter().copied(), &mut report);
        compile(&files, &[], &mut report).unwrap_or_else(|| panic!("{}", report.plain()))
    }

    fn operation(id: &str) -> OperationIx {
        OperationIx::served().find(|ix| ix.row().id == id).unwrap()
    }

    fn decided(policy: &Policy, caller: usize, id: &str, organization: Option<&str>) -> String {
        match policy.decide(CallerIx(caller), operation(id), organization) {
            Decision::Allow(grant) => format!("allow {}", policy.grant_name(&grant)),
            Decision::Deny(Denied::ByRule { rule, .. }) => format!("deny {rule}"),
            Decision::Deny(Denied::Organization(rule)) => format!("organization {rule}"),
            Decision::Deny(Denied::Secret { rule, .. }) => format!("secret {rule}"),
            Decision::Deny(Denied::Operation) => "nothing allows".to_owned(),
        }
    }

    #[test]
    fn decisions_name_their_rule() {
        let policy = policy(&[("guard.yaml", GUARD), ("ds.yaml", TEAM)]);
        for (caller, id, organization, wanted) in [
            (0, "sessions.create", Some("org-a"), "allow ds/run"),
            (0, "sessions.create", Some("org-b"), "organization ds/run"),
            (
                0,
                "sessions.create",
                Some("org-prod"),
                "deny guard/not prod",
            ),
            (
                0,
                "sessions.terminate",
                Some("org-a"),
                "deny guard/nobody terminates",
            ),
            (0, "sessions.messages.send", Some("org-a"), "nothing allows"),
            (0, "self.get", None, "allow ds/self"),
            // Named by a rule for one organization, it may touch the forbidden one.
            (0, "enterprise.self.get", None, "deny guard/not prod"),
            (1, "enterprise.sessions.list", None, "deny guard/not prod"),
            (1, "self.get", None, "nothing allows"),
            (1, "secrets.create", Some("org-a"), "allow ds/all secrets"),
            (1, "secrets.create", Some("org-b"), "deny ds/no new secrets"),
            (0, "secrets.list", Some("org-a"), "nothing allows"),
        ] {
            assert_eq!(
                decided(&policy, caller, id, organization),
                wanted,
                "{caller} {id} {organization:?}"
            );
        }
    }

    #[test]
    fn nothing_is_allowed_where_nothing_is_said() {
        let policy = policy(&[("a.yaml", "team: a\ncallers: { one: {} }\n")]);
        for ix in OperationIx::served() {
            for organization in [None, Some("org-a")] {
                assert_eq!(
                    policy.decide(CallerIx(0), ix, organization),
                    Decision::Deny(Denied::Operation)
                );
            }
        }
    }

    proptest! {
        #[test]
        fn the_order_of_rules_changes_no_decision(
            seed in proptest::collection::vec((any::<bool>(), 0..4usize, 0..3usize), 1..8),
            shuffled in any::<u64>(),
        ) {
            let operations = ["sessions.*", "sessions.create", "sessions.**", "'**'"];
            let organizations = ["any", "[org-a]", "[org-b]"];
            let render = |order: &[usize]| {
                let mut text = String::from("team: t\ncallers: { one: {} }\n");
                for (field, wanted) in [("allow", true), ("deny", false)] {
                    let rules: Vec<String> = order.iter().filter(|at| seed[**at].0 == wanted).map(|at| {
                        let (_, operation, organization) = seed[*at];
                        format!("  - {{ name: r{at}, operations: [{}], organizations: {} }}\n", operations[operation], organizations[organization])
                    }).collect();
                    if !rules.is_empty() { text += &format!("{field}:\n{}", rules.concat()); }
                }
                text
            };
            let order: Vec<usize> = (0..seed.len()).collect();
            let mut other = order.clone();
            other.rotate_left((shuffled as usize) % seed.len());
            // Exact ids need `any`; only such sets load, and both orders load or neither does.
            let load = |text: &str| {
                let mut report = Report::default();
                let files = PolicyFiles::from_texts([("t.yaml", text)], &mut report);
                compile(&files, &[], &mut report)
            };
            let (Some(first), Some(second)) = (load(&render(&order)), load(&render(&other))) else { return Ok(()); };
            for id in ["sessions.create", "sessions.messages.send", "enterprise.self.get"] {
                for organization in [None, Some("org-a"), Some("org-c")] {
                    let allows = |policy: &Policy| matches!(policy.decide(CallerIx(0), operation(id), organization), Decision::Allow { .. });
                    prop_assert_eq!(allows(&first), allows(&second));
                }
            }
        }
    }
}
