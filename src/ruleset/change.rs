//! Which rules, budgets and callers came and went when one set followed another.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::budget::Budget;
use crate::policy::{Effect, Policy, Rule};

/// How many of each are named. A name has 64 characters, behind a file's or a team's.
const NAMED: usize = 20;

/// What a reload did to the rules, budgets and callers. A rule that stayed and says something else now is not in here.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// What came.
    pub added: Named,
    /// What went.
    pub removed: Named,
    /// The budgets that stayed and are others now, as they are now.
    pub changed: Named,
    /// Whether a deny rule, a guard rail's bounds or a budget, that were not on trial, are no more.
    pub loses_guard: bool,
}

/// Some rules, budgets and callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// How many.
    pub count: usize,
    /// The first of them, as `deny rails/name`, `budget team/name: …` or `caller name of team`; those that refuse stand
    /// first.
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

/// The budgets of a set. One is another where its id is, or where it is put on trial: its spending is then no longer
/// what it was, or no longer held.
type Budgets<'p> = BTreeMap<(&'p str, bool), &'p Budget>;

fn budgets(set: &Policy) -> Budgets<'_> {
    let all = set.budgets().iter();
    all.map(|it| ((&*it.id, it.shadow), &**it)).collect()
}

/// The budgets that only the first set has.
fn only<'p>(these: &Budgets<'p>, others: &Budgets<'_>) -> Vec<&'p Budget> {
    let mine = these.iter().filter(|(key, _)| !others.contains_key(*key));
    mine.map(|(_, budget)| *budget).collect()
}

/// The callers of a set, each with its team.
type Callers<'p> = BTreeSet<(&'p str, &'p str)>;

fn callers(set: &Policy) -> Callers<'_> {
    set.callers()
        .map(|it| (&**it.name(), &**it.team()))
        .collect()
}

fn named(rules: &BTreeSet<&Known<'_>>, budgets: &[&Budget], callers: &Callers<'_>) -> Named {
    // What refuses stands in front of the grants already; a budget refuses, too.
    let refusing = rules.iter().filter(|it| !it.only_allows);
    let allowing = rules.iter().filter(|it| it.only_allows);
    let budgets_shown = budgets.iter().map(|it| shown(it));
    let callers_shown = callers
        .iter()
        .map(|(name, team)| format!("caller {name} of {team}"));
    Named {
        count: rules.len() + budgets.len() + callers.len(),
        rules: refusing
            .map(|it| it.shown())
            .chain(budgets_shown)
            .chain(callers_shown)
            .chain(allowing.map(|it| it.shown()))
            .take(NAMED)
            .collect(),
    }
}

fn shown(budget: &Budget) -> String {
    let trial = if budget.shadow { ", on trial" } else { "" };
    format!("budget {budget}{trial}")
}

impl Change {
    /// From one set to the next.
    pub fn between(old: &Policy, new: &Policy, at: Timestamp) -> Self {
        let (old_budgets, new_budgets) = (budgets(old), budgets(new));
        let came = only(&new_budgets, &old_budgets);
        let went = only(&old_budgets, &new_budgets);
        let stayed = new_budgets.iter().filter(|(key, budget)| {
            let before = old_budgets.get(*key);
            before.is_some_and(|before| before != *budget)
        });
        let changed: Vec<&Budget> = stayed.map(|(_, budget)| *budget).collect();
        let [old_callers, new_callers] = [old, new].map(callers);
        let met = new_callers.difference(&old_callers).copied().collect();
        let left = old_callers.difference(&new_callers).copied().collect();
        let [old, new] = [old, new].map(|set| set.rules().map(Known::of).collect::<BTreeSet<_>>());
        Self {
            at,
            added: named(&new.difference(&old).collect(), &came, &met),
            removed: named(&old.difference(&new).collect(), &went, &left),
            changed: named(&BTreeSet::new(), &changed, &BTreeSet::new()),
            loses_guard: old.difference(&new).any(Known::is_guard)
                || went.iter().any(|budget| !budget.shadow),
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

    #[test]
    fn a2_budgets_that_come_go_and_change_are_told() {
        let at = Timestamp::UNIX_EPOCH;
        let budgets = |all: &str| policy(&format!("budgets: [{all}]\n"), "");
        let day = "{ name: day, per: caller, acus: 5, every: day }";
        let month = "{ name: month, per: team, acus: 50, every: month, timezone: Asia/Tokyo }";
        let old = budgets(&format!("{day}, {month}"));
        let new = budgets(&day.replace("acus: 5", "acus: 8"));
        let change = Change::between(&old, &new, at);
        assert!(change.loses_guard);
        assert_eq!(
            change.removed.rules,
            ["budget t/month: 50 ACUs per team, each month in Asia/Tokyo"]
        );
        assert_eq!(
            change.changed.rules,
            ["budget t/day: 8 ACUs per caller, each day"]
        );
        assert_eq!(change.added.count, 0);
        let back = Change::between(&new, &old, at);
        assert!(!back.loses_guard);
        assert_eq!(back.added, change.removed);
        // Under its old id, a budget that is renamed goes on; on trial, it does not.
        let renamed = budgets("{ name: daily, id: t/day, per: caller, acus: 8, every: day }");
        let moved = Change::between(&new, &renamed, at);
        assert_eq!(
            (moved.added.count, moved.changed.count, moved.loses_guard),
            (0, 1, false)
        );
        let trial = budgets("{ name: day, per: caller, acus: 8, every: day, shadow: true }");
        let tried = Change::between(&new, &trial, at);
        assert!(tried.loses_guard);
        assert_eq!(
            tried.added.rules,
            ["budget t/day: 8 ACUs per caller, each day, on trial"]
        );
        assert_eq!(Change::between(&new, &new, at).changed.count, 0);
    }
}
