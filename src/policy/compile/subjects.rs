//! Which sets of claims are some caller's already: found by their claims, since there can be very many.

use std::collections::HashMap;

use super::super::ClaimValue;
use crate::document::Span;

type Claims = Vec<(String, ClaimValue)>;

/// The sets of claims of one issuer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    sets: Vec<(Claims, Span)>,
    /// The sets that have each claim.
    having: HashMap<(String, ClaimValue), Vec<usize>>,
    /// The sets that are found by each claim: each set by one, the rarest that it has.
    found_by: HashMap<(String, ClaimValue), Vec<usize>>,
}

impl Seen {
    /// Adds a set, unless a token could have all claims of it and of one that is there already: whatever has all
    /// of the longer has all of the shorter, and would be both callers. The answer is where the other one stands.
    pub(super) fn add(&mut self, claims: &Claims, span: Span) -> Option<Span> {
        let set = |ix: &usize| self.sets.get(*ix);
        let within = |some: &Claims, all: &Claims| some.iter().all(|it| all.contains(it));
        let count = |it: &(String, ClaimValue)| self.having.get(it).map_or(0, Vec::len);
        let rarest = claims.iter().min_by_key(|it| count(it))?;
        // One that has all of these has the rarest of them; one that these have all of is found by one of these.
        let wider = self.having.get(rarest).into_iter().flatten();
        let narrower = claims.iter().filter_map(|it| self.found_by.get(it));
        let wider = wider
            .filter_map(set)
            .find(|(their, _)| within(claims, their));
        let narrower = narrower
            .flatten()
            .filter_map(set)
            .find(|(their, _)| within(their, claims));
        if let Some((_, first)) = wider.or(narrower) {
            return Some(*first);
        }
        let ix = self.sets.len();
        self.found_by.entry(rarest.clone()).or_default().push(ix);
        for claim in claims {
            self.having.entry(claim.clone()).or_default().push(ix);
        }
        self.sets.push((claims.clone(), span));
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::document::Report;

    proptest! {
        #[test]
        fn c10_the_index_refuses_what_a_comparison_of_all_pairs_refuses(
            sets in proptest::collection::vec(proptest::collection::btree_map(0..3_u8, 0..2_i64, 1..4), 1..12),
        ) {
            let span = Span::start_of(Report::default().add_source("t", ""));
            let mut seen = Seen::default();
            let mut kept: Vec<Claims> = Vec::new();
            for set in sets {
                let set: Claims = set.iter().map(|(name, value)| (format!("c{name}"), ClaimValue::Integer(*value))).collect();
                let within = |some: &Claims, all: &Claims| some.iter().all(|it| all.contains(it));
                let is_new = !kept.iter().any(|it| within(it, &set) || within(&set, it));
                prop_assert_eq!(seen.add(&set, span).is_none(), is_new);
                if is_new {
                    kept.push(set);
                }
            }
        }
    }
}
