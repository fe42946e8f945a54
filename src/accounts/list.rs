//! Which accounts the budgets of a policy have. Pure.
//!
//! A budget that is split has an account for each caller, team or organization in its scope: those that the policy
//! names, and those that the ledger has entries of.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::budget::{Budget, Payer, Per};
use crate::policy::Policy;

/// An account of a budget.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// The budget.
    pub(super) budget: Arc<Budget>,
    /// The account's name; none where there is one account for all.
    pub(super) name: Option<Arc<str>>,
    /// Whoever's spending counts in it: names that tell nothing apart are empty.
    pub(super) payer: Payer,
}

/// Which accounts are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that the ledger has entries of.
    Used,
    /// Those that nothing was ever spent in, too.
    All,
}

/// The accounts of these budgets, in the order of the budgets and then of their names; those that are used before
/// others if there are more than `most`. And how many were left out.
pub(super) fn list(
    policy: &Policy,
    budgets: &[Arc<Budget>],
    payers: &[Payer],
    which: Which,
    most: usize,
) -> (Vec<Listed>, usize) {
    let mut room = most;
    let mut left_out = 0;
    let mut all = Vec::new();
    for budget in budgets {
        let used = used(budget, payers);
        let mut names = used.clone();
        if which == Which::All {
            names.extend(named(budget, policy));
        }
        // Whoever has spent comes first where there is no room for all.
        let idle = names.difference(&used).cloned();
        let mut kept: Vec<Option<Arc<str>>> = used.iter().cloned().chain(idle).take(room).collect();
        left_out += names.len() - kept.len();
        room -= kept.len();
        kept.sort();
        all.extend(kept.into_iter().map(|name| listed(budget, name)));
    }
    (all, left_out)
}

/// The account of this name.
pub(super) fn listed(budget: &Arc<Budget>, name: Option<Arc<str>>) -> Listed {
    let mut payer = Payer {
        organization: "".into(),
        team: budget.team.clone().unwrap_or_default(),
        caller: "".into(),
    };
    let its = || name.clone().unwrap_or_default();
    match budget.per {
        Per::Everyone => {}
        Per::Organization => payer.organization = its(),
        Per::Team => payer.team = its(),
        Per::Caller => payer.caller = its(),
    }
    Listed {
        budget: Arc::clone(budget),
        name,
        payer,
    }
}

/// The names of accounts that payers have entries in.
fn used(budget: &Budget, payers: &[Payer]) -> BTreeSet<Option<Arc<str>>> {
    let counts = |it: &&Payer| budget.team.is_none() || budget.team.as_ref() == Some(&it.team);
    let payers = payers.iter().filter(counts);
    payers.map(|it| budget.scope(it).cloned()).collect()
}

/// The names of accounts that the policy knows of.
pub(super) fn named(budget: &Budget, policy: &Policy) -> BTreeSet<Option<Arc<str>>> {
    let team = budget.team.as_ref();
    let callers = policy.callers();
    let callers = callers.filter(|it| team.is_none() || team == Some(it.team()));
    match (budget.per, team) {
        (Per::Everyone, _) => BTreeSet::from([None]),
        (Per::Team, Some(team)) => BTreeSet::from([Some(Arc::clone(team))]),
        (Per::Team, None) => callers.map(|it| Some(Arc::clone(it.team()))).collect(),
        (Per::Caller, _) => callers.map(|it| Some(Arc::clone(it.name()))).collect(),
        (Per::Organization, team) => {
            let named = match team {
                Some(team) => policy.organizations_of_team(team),
                None => policy.organizations(),
            };
            named.into_iter().map(|it| Some(it.into())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Report;
    use crate::policy::{PolicyFiles, compile};

    const TEAM: &str = "team: t\ncallers: { one: {}, two: {} }\n\
        allow: [{ name: x, operations: [sessions.list], organizations: [org-a] }]\n\
        budgets:\n  - { name: mine, per: caller, acus: 1, every: day }\n  - { name: ours, per: team, acus: 1, every: day }\n\
        \x20 - { name: there, per: organization, acus: 1, every: day }\n";
    const OTHER: &str = "team: u\ncallers: { three: {} }\n\
        allow: [{ name: x, operations: [sessions.list], organizations: [org-b] }]\n";
    const RAILS: &str = "budgets:\n  - { name: all, per: everyone, acus: 1, every: day }\n\
        \x20 - { name: each, per: caller, acus: 1, every: day }\n  - { name: teams, per: team, acus: 1, every: day }\n\
        \x20 - { name: orgs, per: organization, acus: 1, every: day }\n";

    fn policy() -> Policy {
        let mut report = Report::default();
        let texts = [("a.yaml", TEAM), ("b.yaml", OTHER), ("rails.yaml", RAILS)];
        let files = PolicyFiles::from_texts(texts, &mut report);
        compile(&files, &[], &mut report).unwrap_or_else(|| panic!("{}", report.plain()))
    }

    fn shown(which: Which, most: usize, payers: &[(&str, &str, &str)]) -> (Vec<String>, usize) {
        let payers: Vec<Payer> = payers
            .iter()
            .map(|(organization, team, caller)| Payer {
                organization: (*organization).into(),
                team: (*team).into(),
                caller: (*caller).into(),
            })
            .collect();
        let policy = policy();
        let (all, left_out) = list(&policy, policy.budgets(), &payers, which, most);
        let show = |it: &Listed| match &it.name {
            Some(name) => format!("{}: {name}", it.budget.name),
            None => it.budget.name.to_string(),
        };
        (all.iter().map(show).collect(), left_out)
    }

    #[test]
    fn each_caller_team_and_organization_in_scope_has_an_account() {
        let (all, left_out) = shown(Which::All, 100, &[("org-z", "t", "gone")]);
        let wanted = [
            "t/mine: gone",
            "t/mine: one",
            "t/mine: two",
            "t/ours: t",
            "t/there: org-a",
            "t/there: org-z",
            "rails/all",
            "rails/each: gone",
            "rails/each: one",
            "rails/each: three",
            "rails/each: two",
            "rails/teams: t",
            "rails/teams: u",
            "rails/orgs: org-a",
            "rails/orgs: org-b",
            "rails/orgs: org-z",
        ];
        assert_eq!(all, wanted);
        assert_eq!(left_out, 0);
        let (used, _) = shown(Which::Used, 100, &[("org-z", "u", "three")]);
        let wanted = [
            "rails/all",
            "rails/each: three",
            "rails/teams: u",
            "rails/orgs: org-z",
        ];
        assert_eq!(used, wanted);
        assert!(shown(Which::Used, 100, &[]).0.is_empty());
    }

    #[test]
    fn r8_there_are_never_more_than_asked_for_and_who_has_spent_comes_first() {
        let (all, left_out) = shown(Which::All, 2, &[("org-z", "t", "two")]);
        assert_eq!(all, ["t/mine: one", "t/mine: two"]);
        assert_eq!(left_out, 12);
        let (all, _) = shown(Which::All, 1, &[("org-z", "t", "two")]);
        assert_eq!(all, ["t/mine: two"]);
    }
}
