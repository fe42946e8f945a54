//! Guard rails that bound nothing, or leave nothing.

use std::collections::HashSet;

use super::grants::meet;
use super::{Class, Effect, Policy, Rule, RuleIx};
use crate::catalogue::{Operation, OperationIx};
use crate::document::Report;
use crate::policy::bounds::{Clash, FieldRule, Place, clash};

pub(super) fn advise(
    policy: &Policy,
    classes: &[Class<'_>],
    has_caller: &[bool],
    report: &mut Report,
) {
    let mut is_used = vec![false; policy.rules.len()];
    let mut compared: HashSet<(RuleIx, RuleIx)> = HashSet::new();
    for class in classes {
        for (rail_ix, rail) in class.of(Effect::Bound) {
            let RuleIx(at) = rail_ix;
            if let Some(is_used) = is_used.get_mut(at) {
                *is_used = *is_used || class.grants().any(|(_, grant)| bounds_any(rail, grant));
            }
            for (grant_ix, grant) in class.live_grants() {
                if grant.terms.is_some() && !rail.shadow && compared.insert((grant_ix, rail_ix)) {
                    compare(grant, rail, report);
                }
            }
        }
    }
    for ((rule, is_used), has_caller) in policy.rules.iter().zip(is_used).zip(has_caller) {
        if rule.effect == Effect::Bound && *has_caller && !is_used {
            report
                .warn(
                    rule.span,
                    "these bounds apply to nothing: no grant has an operation with these fields",
                )
                .help("compare `operations:` and `organizations:` with those of the grants");
        }
    }
}

/// Whether the rail says anything about any request that the grant lets through.
fn bounds_any(rail: &Rule, grant: &Rule) -> bool {
    shared(grant, rail).any(|ix| rail.terms().speak_of(ix.row()))
}

fn shared(grant: &Rule, rail: &Rule) -> impl Iterator<Item = OperationIx> {
    let shared = if grant.operations.meets(&rail.operations) {
        grant.covered().and(&rail.operations)
    } else {
        Default::default()
    };
    let shared: Vec<OperationIx> = shared.iter().collect();
    shared.into_iter().filter(|ix| meet(grant, rail, *ix))
}

/// Compares each field that both are about.
fn compare(grant: &Rule, rail: &Rule, report: &mut Report) {
    let operations: Vec<OperationIx> = shared(grant, rail).collect();
    let is_shared = |is: &dyn Fn(&Operation) -> bool| operations.iter().any(|ix| is(ix.row()));
    for (path, one) in &grant.terms().body {
        let other = rail.terms().body.iter().find(|(it, _)| it == path);
        if let Some((_, other)) = other
            && is_shared(&|row| path.is_of(row))
        {
            let is_whole = !path.as_str().contains(['.', '[']);
            let name = format!("body.{}", path.as_str());
            tell(
                grant,
                rail,
                (one, other),
                Place::Body,
                &name,
                is_whole,
                report,
            );
        }
    }
    for (key, one) in &grant.terms().query {
        let other = rail.terms().query.iter().find(|(it, _)| it == key);
        if let Some((_, other)) = other
            && is_shared(&|row| row.query_field(key).is_some())
        {
            let name = format!("query.{key}");
            tell(grant, rail, (one, other), Place::Query, &name, true, report);
        }
    }
}

/// `is_whole` where the field is no part of another, which may be absent.
fn tell(
    grant: &Rule,
    rail: &Rule,
    (one, other): (&FieldRule, &FieldRule),
    place: Place,
    field: &str,
    is_whole: bool,
    report: &mut Report,
) {
    let said = match clash(one, other, place) {
        None => return,
        Some(Clash::Always) if is_whole => {
            format!(
                "no request can satisfy both this grant and the guard rail `{}`: `{field}`",
                rail.name
            )
        }
        Some(Clash::Always | Clash::WherePresent) => {
            format!(
                "no value of `{field}` satisfies both this grant and the guard rail `{}`",
                rail.name
            )
        }
        Some(Clash::WhereAbsent) => format!(
            "a request without `{field}` gets this grant's value for it, which the guard rail `{}` refuses",
            rail.name
        ),
    };
    report
        .warn(grant.span, said)
        .also(rail.span, "the guard rail")
        .help("all bounds of a request have to hold at once: change one of the two");
}
