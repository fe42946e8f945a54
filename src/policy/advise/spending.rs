//! Grants that spend and never can, or without an amount that is sure; budgets in which nothing counts, or nothing fits.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Class, Effect, Organizations, Policy, Rule, RuleIx, named};
use crate::budget::Budget;
use crate::catalogue::{Operation, OperationIx, OperationSet, Spend};
use crate::document::Report;
use crate::policy::bounds::{Absence, Applied, NoRoom, Source, UncappedPer};

/// `open` has for each rule what it lets through as a live grant.
pub(super) fn advise(
    policy: &Policy,
    classes: &[Class<'_>],
    open: &[OperationSet],
    report: &mut Report,
) {
    for (rule, open) in policy.rules.iter().zip(open) {
        uncapped(rule, open, report);
    }
    let mut told: HashSet<RuleIx> = HashSet::new();
    let mut compared: HashSet<(RuleIx, *const Budget)> = HashSet::new();
    let mut counted: HashSet<*const Budget> = HashSet::new();
    for class in classes {
        let spends = |(RuleIx(ix), rule): (RuleIx, &Rule)| {
            let open = open.get(ix).map(|open| class.left_open(rule, open));
            open.is_some_and(|open| open.iter().any(|ix| ix.row().spends.is_some()))
        };
        if !class.live_grants().any(spends) {
            continue;
        }
        let callers = || class.callers.iter().map(|ix| policy.caller(*ix));
        counted.extend(callers().flat_map(|it| &it.budgets).map(Arc::as_ptr));
        for (ix, grant) in class.live_grants() {
            let RuleIx(at) = ix;
            let Some(create) = open.get(at).and_then(creates) else {
                continue;
            };
            let applied = applied(class, grant, create);
            let cap = match applied.cap_if_absent() {
                Absence::Default(cap) => cap,
                Absence::Refused => continue,
                Absence::Nothing => {
                    if told.insert(ix) {
                        report
                            .warn(
                                grant.span,
                                "this grant has no default for `max_acu_limit`: a session is refused where the request has no cap",
                            )
                            .help("say body: { max_acu_limit: { default: 5 } }, or that it is `required: true`");
                    }
                    continue;
                }
            };
            if applied.cap_terms().no_room == NoRoom::Clamp {
                continue;
            }
            for budget in callers().flat_map(|it| &it.budgets) {
                if budget.limit.whole_acus() < cap && compared.insert((ix, Arc::as_ptr(budget))) {
                    small(policy, grant, cap, budget, report);
                }
            }
        }
    }
    for (budget, span) in policy.budgets.iter().zip(&policy.budget_spans) {
        if !counted.contains(&Arc::as_ptr(budget)) {
            report
                .warn(
                    *span,
                    "nothing can count in this budget: no caller that it covers may spend",
                )
                .help("a team's budgets cover the callers of its file, and those of guard rails all callers");
        }
    }
}

fn small(policy: &Policy, grant: &Rule, cap: u32, budget: &Arc<Budget>, report: &mut Report) {
    let mut all = policy.budgets.iter().zip(&policy.budget_spans);
    let found = all.find(|(it, _)| Arc::ptr_eq(it, budget));
    let span = found.map_or(grant.span, |(_, span)| *span);
    report
        .warn(
            span,
            format!(
                "no session with the default cap of {cap} ACUs fits into this budget of {}",
                budget.limit
            ),
        )
        .also(grant.span, "the grant with the default")
        .help("let the budget be larger, the default smaller, or say `no_room: clamp` of the cap");
}

/// The operation that creates sessions, if it is among these.
fn creates(open: &OperationSet) -> Option<&'static Operation> {
    let mut rows = open.iter().map(OperationIx::row);
    rows.find(|row| row.spends.is_some() && row.takes_cap())
}

/// A grant with the guard rails that tighten it wherever it holds.
fn applied<'p>(class: &Class<'p>, grant: &'p Rule, operation: &'static Operation) -> Applied<'p> {
    let source = |rule: &'p Rule| Source {
        name: &rule.name,
        owner: rule.owner.as_ref(),
        terms: rule.terms(),
    };
    let is_everywhere = |rail: &Rule| match (&rail.organizations, &grant.organizations) {
        (Organizations::Any, _) => true,
        (Organizations::Only(_), Organizations::Any) => false,
        (Organizations::Only(_), Organizations::Only(ids)) => {
            ids.iter().all(|id| rail.organizations.has(id))
        }
    };
    let rails = class.of(Effect::Bound).map(|(_, rail)| rail);
    let rails = rails.filter(|rail| {
        let has = rail.operations.iter().any(|ix| ix.row().id == operation.id);
        !rail.shadow && has && is_everywhere(rail)
    });
    Applied::new(operation, source(grant), rails.map(source).collect())
}

/// What spends without a cap, and what the grant says is charged for it.
fn uncapped(rule: &Rule, open: &OperationSet, report: &mut Report) {
    let Some(uncapped) = rule.terms().uncapped else {
        let mut refused = open
            .iter()
            .filter(|ix| ix.row().spends_uncapped())
            .peekable();
        if refused.peek().is_some() {
            report
                .warn(
                    rule.span,
                    format!(
                        "this grant does not let through what spends without a cap: {}",
                        named(refused)
                    ),
                )
                .help("say what is charged for it, such as uncapped: { acus: 10, per: run }");
        }
        return;
    };
    let mut deferred = open
        .iter()
        .filter(|ix| ix.row().spends == Some(Spend::Deferred))
        .peekable();
    if uncapped.per == UncappedPer::Run && deferred.peek().is_some() {
        report
            .warn(
                rule.span,
                format!(
                    "what goes on spending is charged once: {}",
                    named(deferred)
                ),
            )
            .help("with `per: window`, it is charged for each window of the shortest budget while it exists");
    }
}

#[cfg(test)]
mod tests;
