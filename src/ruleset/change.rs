//! Which rules came and went when one set followed another.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::policy::{Effect, Policy, Rule};

/// How many rules are named. A name has 64 characters, behind a file's or a team's.
const NAMED: usize = 20;

/// What a reload did to the rules. A rule that stayed and says something else now is not in here.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// What came.
    pub added: Named,
    /// What went.
    pub removed: Named,
    /// Whether a deny rule or a guard rail's bounds, that were not on trial, are no more.
    pub loses_guard: bool,
}

/// Some rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// How many.
    pub count: usize,
    /// The first of them, as `deny rails/name`; those that refuse stand first.
    pub rules: Vec<String>,
}

/// A rule as far as it is told of; it is another one where it is put on trial or does something else.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Known<'p> {
    only_allows: bool,
    is_on_trial: bool,
    effect: &'static str,
    name: &'p str,
}

impl<'p> Known<'p> {
    fn of(rule: &'p Rule) -> Self {
        Self {
            only_allows: match rule.effect() {
                Effect::Allow => true,
                Effect::Deny | Effect::Bound => false,
            },
            is_on_trial: rule.is_shadowed(),
            effect: rule.effect().as_str(),
            name: rule.name(),
        }
    }

    fn is_guard(&self) -> bool {
        !self.only_allows && !self.is_on_trial
    }

    fn shown(&self) -> String {
        let trial = if self.is_on_trial { ", on trial" } else { "" };
        format!("{} {}{trial}", self.effect, self.name)
    }
}

impl Change {
    /// From one set to the next.
    pub fn between(old: &Policy, new: &Policy, at: Timestamp) -> Self {
        let [old, new] = [old, new].map(|set| set.rules().map(Known::of).collect::<BTreeSet<_>>());
        let named = |rules: BTreeSet<&Known<'_>>| Named {
            count: rules.len(),
            rules: rules.iter().take(NAMED).map(|it| it.shown()).collect(),
        };
        Self {
            at,
            added: named(new.difference(&old).collect()),
            removed: named(old.difference(&new).collect()),
            loses_guard: old.difference(&new).any(Known::is_guard),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Report;
    use crate::policy::{PolicyFiles, compile};

    fn policy(team: &str, rails: &str) -> Policy {
        let team = format!("team: t\ncallers: {{ one: {{}} }}\n{team}");
        let rails = format!("owner: o@acme.example\n{rails}");
        let mut report = Report::default();
        let texts = [("t.yaml", team.as_str()), ("rails.yaml", rails.as_str())];
        let files = PolicyFiles::from_texts(texts, &mut report);
        compile(&files, &[], &mut report).unwrap_or_else(|| panic!("{}", report.plain()))
    }

    fn allow(names: impl IntoIterator<Item = String>) -> String {
        let rules: String = names
            .into_iter()
            .map(|name| {
                format!("  - {{ name: {name}, operations: [self.get], organizations: any }}\n")
            })
            .collect();
        format!("allow:\n{rules}")
    }

    const GUARDS: &str = "deny: [{ name: no end, operations: [sessions.terminate] }]
bounds: [{ name: caps, operations: [sessions.create], body: { max_acu_limit: { max: 20 } } }]
";

    #[test]
    fn a2_what_came_and_went_is_named_and_what_refuses_stands_first() {
        let at = Timestamp::UNIX_EPOCH;
        let names = |all: std::ops::Range<u32>| all.map(|it| format!("r{it:02}"));
        let old = policy(&allow(names(0..30)), GUARDS);
        let new = policy(&allow(names(29..32)), "");
        let change = Change::between(&old, &new, at);
        assert!(change.loses_guard);
        assert_eq!(change.added.rules, ["allow t/r30", "allow t/r31"]);
        assert_eq!(change.removed.count, 31);
        assert_eq!(change.removed.rules.len(), NAMED);
        assert_eq!(
            change.removed.rules[..3],
            ["bounds rails/caps", "deny rails/no end", "allow t/r00"]
        );
        let back = Change::between(&new, &old, at);
        assert!(!back.loses_guard);
        assert_eq!((back.added, back.removed), (change.removed, change.added));
    }

    #[test]
    fn a2_a_guard_that_is_put_on_trial_or_allows_is_gone() {
        let at = Timestamp::UNIX_EPOCH;
        let rule = |field: &str, more: &str| {
            let rule = format!("{field}: [{{ name: x, operations: [self.get]{more} }}]\n");
            policy(&rule, "")
        };
        let deny = rule("deny", "");
        let on_trial = rule("deny", ", shadow: true");
        let allow = rule("allow", ", organizations: any");
        let lost = Change::between(&deny, &on_trial, at);
        assert!(lost.loses_guard);
        assert_eq!(lost.added.rules, ["deny t/x, on trial"]);
        assert_eq!(lost.removed.rules, ["deny t/x"]);
        assert!(Change::between(&deny, &allow, at).loses_guard);
        for (old, new) in [(&on_trial, &allow), (&allow, &deny), (&on_trial, &deny)] {
            assert!(!Change::between(old, new, at).loses_guard);
        }
        let same = Change::between(&deny, &deny, at);
        assert_eq!((same.added.count, same.removed.count), (0, 0));
    }
}
