//! One set of bounds: where a grant carries any, no other live grant matches the same request.

use std::collections::HashSet;

use super::super::{Effect, Policy, Rule, RuleIx};
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
                let one_is_bound = one.terms.is_some() || two.terms.is_some();
                if one_is_bound
                    && one.operations.meets(&two.operations)
                    && one.organizations.meet(&two.organizations)
                    && told.insert((*first, *second))
                {
                    let shared = one.operations.first_shared(&two.operations);
                    let shared = shared.map_or("", |ix| ix.row().id);
                    report
                        .error(
                            two.span,
                            format!(
                                "two grants of the caller `{}` match `{shared}`, and one of them carries bounds",
                                caller.name
                            ),
                        )
                        .also(one.span, "the other one")
                        .help("a grant with bounds must be the only one that matches: take the operation, the caller or the organization out of one of them");
                }
            }
        }
    }
}
