//! The decision: total, pure, and denied unless something says otherwise.

use super::{CallerIx, Effect, Organizations, Policy, Rule};
use crate::catalogue::{Operation, OperationIx, Scope};
use std::sync::Arc;

/// What the policy says of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on; the rule that says so.
    Allow {
        /// `team/name` of the first grant that matches.
        rule: Arc<str>,
    },
    /// The request is refused.
    Deny(Denied),
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
        let mut allowed: Option<&Rule> = None;
        let mut elsewhere: Option<&Rule> = None;
        for super::RuleIx(ix) in &self.caller(caller).rules {
            let Some(rule) = self.rules.get(*ix) else {
                continue;
            };
            if !rule.operations.contains(operation) {
                continue;
            }
            match rule.effect {
                Effect::Deny if forbids(&rule.organizations, operation.row(), organization) => {
                    return Decision::Deny(Denied::ByRule {
                        rule: Arc::clone(&rule.name),
                        owner: rule.owner.clone(),
                    });
                }
                Effect::Allow if grants(&rule.organizations, organization) => {
                    allowed = allowed.or(Some(rule))
                }
                Effect::Allow => elsewhere = elsewhere.or(Some(rule)),
                Effect::Deny => {}
            }
        }
        match (allowed, elsewhere) {
            (Some(rule), _) => Decision::Allow {
                rule: Arc::clone(&rule.name),
            },
            (None, Some(rule)) => Decision::Deny(Denied::Organization(Arc::clone(&rule.name))),
            (None, None) => Decision::Deny(Denied::Operation),
        }
    }
}

fn grants(organizations: &Organizations, organization: Option<&str>) -> bool {
    match (organizations, organization) {
        (Organizations::Any, _) => true,
        (Organizations::Only(ids), Some(id)) => ids.iter().any(|it| it == id),
        // An operation that names no organization may touch any of them.
        (Organizations::Only(_), None) => false,
    }
}

fn forbids(
    organizations: &Organizations,
    operation: &Operation,
    organization: Option<&str>,
) -> bool {
    match (organizations, organization) {
        (Organizations::Any, _) => true,
        (Organizations::Only(ids), Some(id)) => ids.iter().any(|it| it == id),
        // It may touch the forbidden one: a rule that cannot be evaluated denies.
        (Organizations::Only(_), None) => operation.scope != Scope::Oneself,
    }
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
            Decision::Allow { rule } => format!("allow {rule}"),
            Decision::Deny(Denied::ByRule { rule, .. }) => format!("deny {rule}"),
            Decision::Deny(Denied::Organization(rule)) => format!("organization {rule}"),
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
