//! Grants that grant nothing, and those that grant more than anyone would say aloud.

use super::{Class, Effect, Organizations, Policy, Rule, RuleIx, named};
use crate::catalogue::{OperationIx, OperationSet};
use crate::document::Report;

/// The answer is what each rule lets through as a live grant.
pub(super) fn advise(
    policy: &Policy,
    classes: &[Class<'_>],
    has_caller: &[bool],
    report: &mut Report,
) -> Vec<OperationSet> {
    let locks_out = served(|ix| ix.row().locks_out);
    let secrets = served(|ix| ix.row().reveals_once);
    let open = open(policy, classes, &secrets);
    for ((ix, rule), has_caller) in policy.rules.iter().enumerate().zip(has_caller) {
        if !has_caller {
            continue;
        }
        if matches_nothing(rule, report) || rule.effect != Effect::Allow || rule.shadow {
            continue;
        }
        let nothing = OperationSet::default();
        let open = open.get(ix).unwrap_or(&nothing);
        if open.is_empty() {
            never_used(rule, RuleIx(ix), classes, &secrets, report);
            continue;
        }
        refused_by_name(rule, report);
        let revealed = open.clone().and(&secrets);
        if !revealed.is_empty() {
            report
                .warn(
                    rule.span,
                    format!(
                        "the caller gets a key that works around the gateway, from {}",
                        named(revealed.iter())
                    ),
                )
                .help("`secrets: reveal` says so; give it to few callers, and know who they are");
        }
        let locking = open.clone().and(&locks_out);
        if !locking.is_empty() {
            report
                .warn(
                    rule.span,
                    format!(
                        "this grant can shut the gateway out of Devin: {}",
                        named(locking.iter())
                    ),
                )
                .help("deny these operations in a guard rail, to everyone");
        }
    }
    callers(policy, classes, &open, report);
    open
}

fn served(is: impl Fn(&OperationIx) -> bool) -> OperationSet {
    let mut set = OperationSet::default();
    for ix in OperationIx::served().filter(is) {
        set.insert(ix);
    }
    set
}

/// What a grant would let through if nothing denied it.
fn granted(rule: &Rule, secrets: &OperationSet) -> OperationSet {
    let covered = rule.covered();
    if rule.terms().reveals {
        covered
    } else {
        covered.without(secrets)
    }
}

/// For each rule, what it lets through as a live grant, for any caller.
fn open(policy: &Policy, classes: &[Class<'_>], secrets: &OperationSet) -> Vec<OperationSet> {
    let granted: Vec<OperationSet> = policy
        .rules
        .iter()
        .map(|rule| granted(rule, secrets))
        .collect();
    let mut open = vec![OperationSet::default(); policy.rules.len()];
    for class in classes {
        for (RuleIx(ix), rule) in class.live_grants() {
            if let (Some(granted), Some(open)) = (granted.get(ix), open.get_mut(ix)) {
                let rest = granted.clone().without(open);
                if !rest.is_empty() {
                    open.extend(&class.left_open(rule, &rest));
                }
            }
        }
    }
    open
}

/// Whether no request at all can be this rule's; then it is said.
fn matches_nothing(rule: &Rule, report: &mut Report) -> bool {
    // Of a grant, such a pattern is a mistake already.
    let is_one = !rule.operations.is_empty() && rule.covered().is_empty();
    if is_one {
        report
            .warn(
                rule.span,
                "this rule can never match: it lists organizations, and its operations touch none",
            )
            .help("take `organizations:` out");
    }
    is_one
}

/// Says why a live grant lets nothing through.
fn never_used(
    rule: &Rule,
    ix: RuleIx,
    classes: &[Class<'_>],
    secrets: &OperationSet,
    report: &mut Report,
) {
    let granted = granted(rule, secrets);
    if granted.is_empty() {
        report
            .warn(
                rule.span,
                "this grant can never be used: each of its operations answers with a one-time secret",
            )
            .help("they are refused unless the grant says `secrets: reveal`");
        return;
    }
    let of_class = |class: &&Class<'_>| class.rules.iter().any(|(it, _)| *it == ix);
    let deny = classes
        .iter()
        .find(of_class)
        .and_then(|class| class.denier(&granted));
    let found = report.warn(
        rule.span,
        "this grant can never be used: deny rules refuse all of it",
    );
    if let Some(deny) = deny {
        found.also(deny.span, "such as this one");
    }
    found.help("a deny rule beats every grant: narrow it, or take the grant out");
}

/// An operation that the grant names by its own id, and that is refused all the same.
fn refused_by_name(rule: &Rule, report: &mut Report) {
    if rule.terms().reveals {
        return;
    }
    let by_name = |ix: &OperationIx| {
        let row = ix.row();
        row.reveals_once && rule.patterns.iter().any(|it| **it == *row.id)
    };
    let refused: Vec<OperationIx> = rule.operations.iter().filter(by_name).collect();
    if !refused.is_empty() {
        report
            .warn(
                rule.span,
                format!(
                    "this grant names {} and does not let it through",
                    named(refused.into_iter())
                ),
            )
            .help(
                "an answer with a one-time secret is refused unless the grant says `secrets: reveal`",
            );
    }
}

/// Callers that nothing allows anything.
fn callers(policy: &Policy, classes: &[Class<'_>], open: &[OperationSet], report: &mut Report) {
    for class in classes {
        let is_open = |(RuleIx(ix), rule): (RuleIx, &Rule)| {
            let open = open.get(ix);
            open.is_some_and(|open| !open.is_empty() && !class.left_open(rule, open).is_empty())
        };
        if class.live_grants().any(is_open) {
            continue;
        }
        let (why, help) = if class.live_grants().next().is_some() {
            (
                "all that it is granted is refused again",
                "look at the warnings about its grants",
            )
        } else if class.grants().next().is_some() {
            (
                "its grants are shadowed",
                "a shadowed grant is tried and not enforced: take `shadow: true` out",
            )
        } else {
            ("no rule grants it anything", "give it an allow rule")
        };
        for ix in &class.callers {
            let caller = policy.caller(*ix);
            report
                .warn(
                    caller.span,
                    format!("nothing is allowed to the caller `{}`: {why}", caller.name),
                )
                .help(help);
        }
    }
}

/// Whether a grant and bounds can be about one request for this operation.
pub(super) fn meet(grant: &Rule, rail: &Rule, ix: OperationIx) -> bool {
    let any = grant.organizations == Organizations::Any || rail.organizations == Organizations::Any;
    // Bounds hold also where the request may touch an organization that they are for.
    any || !ix.row().names_organization() || grant.organizations.meet(&rail.organizations)
}
