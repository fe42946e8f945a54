//! One set of bounds: where a grant carries any, no other live grant matches the same request.

use std::collections::HashSet;

use super::super::{Effect, Organizations, Policy, Rule, RuleIx};
use crate::document::Report;

/// Reports each pair of live grants of which one carries bounds and both match some request.
///
/// Which of the two would count could only be told by an order of rules, and there is none.
pub(super) fn check(policy: &Policy, report: &mut Report) {
    let mut told: HashSet<(usize, usize)> = HashSet::new();
    for caller in &policy.callers {
        let grants: Vec<(RuleIx, &Rule)> = policy
            .rules_of(caller)
            .filter(|(_, rule)| rule.effect == Effect::Allow && !rule.shadow)
            .collect();
        if grants.iter().all(|(_, rule)| rule.terms.is_none()) {
            continue;
        }
        for (at, (RuleIx(first), one)) in grants.iter().enumerate() {
            for (RuleIx(second), two) in grants.iter().skip(at + 1) {
                let is_bound = one.terms.is_some() || two.terms.is_some();
                let Some(shared) = is_bound.then(|| shared(one, two)).flatten() else {
                    continue;
                };
                if !told.insert((*first, *second)) {
                    continue;
                }
                let which = match (&one.terms, &two.terms) {
                    (Some(_), Some(_)) => "both carry",
                    (Some(_), None) => "the other one carries",
                    (None, _) => "this one carries",
                };
                report
                    .error(
                        two.span,
                        format!(
                            "two grants of the caller `{}` match {shared}, and {which} bounds",
                            caller.name
                        ),
                    )
                    .also(one.span, "the other one")
                    .help("a grant with bounds must be the only one that matches: take the operation, the caller or the organization out of one of them");
            }
        }
    }
}

/// A request that both grants match, in words.
fn shared(one: &Rule, two: &Rule) -> Option<String> {
    if !one.organizations.meet(&two.organizations) {
        // A filtered operation names no organization: each grant that has it matches.
        let filtered = one
            .operations
            .shared(&two.operations)
            .find(|ix| ix.row().filtered);
        return filtered.map(|ix| format!("`{}`", ix.row().id));
    }
    let organization = match (&one.organizations, &two.organizations) {
        (Organizations::Any, Organizations::Any) => None,
        (Organizations::Only(ids), Organizations::Any)
        | (Organizations::Any, Organizations::Only(ids)) => ids.first(),
        (Organizations::Only(mine), Organizations::Only(theirs)) => {
            mine.iter().find(|id| theirs.contains(id))
        }
    };
    // A grant for single organizations leaves out what names none.
    let mut operations = one.operations.shared(&two.operations);
    let both = operations.find(|ix| {
        let row = ix.row();
        organization.is_none() || row.names_organization() || row.filtered
    });
    let id = both?.row().id;
    Some(match organization {
        Some(organization) => format!("`{id}` of `{organization}`"),
        None => format!("`{id}`"),
    })
}
