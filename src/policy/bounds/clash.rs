//! Two rules for one field that leave less than either of them says.

use std::borrow::Cow;

use super::field::{FieldRule, Presence, Scalar};
use super::seen::Seen;
use super::weigh::{Weighed, weigh};
use super::{Place, Ruling};

/// What a grant and a guard rail refuse together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// Every request.
    Always,
    /// Every request that has the field.
    WherePresent,
    /// Every request that does not have it: by what the grant puts there.
    WhereAbsent,
}

/// Whether the two rules leave nothing where each alone leaves something.
///
/// It is certain where it says so; for two patterns it cannot tell and says nothing.
pub fn clash(grant: &FieldRule, rail: &FieldRule, place: Place) -> Option<Clash> {
    let rulings = [
        Ruling {
            rule: grant,
            source: 0,
        },
        Ruling {
            rule: rail,
            source: 1,
        },
    ];
    let absent = passes(&rulings, &Seen::Absent);
    match (can_be_there(&rulings, place), absent) {
        (false, false) => Some(Clash::Always),
        // That one of them wants it left out is a bound like any other.
        (false, true) => {
            let must_not = [grant, rail]
                .iter()
                .any(|it| it.presence == Presence::Absent);
            (!must_not).then_some(Clash::WherePresent)
        }
        (true, false) => {
            let puts_it_there = grant.default.is_some() || !grant.add.is_empty();
            puts_it_there.then_some(Clash::WhereAbsent)
        }
        (true, true) => None,
    }
}

fn passes(rulings: &[Ruling<'_>], seen: &Seen<'_>) -> bool {
    !matches!(weigh(rulings, seen), Weighed::Refuse { .. })
}

/// Whether any value can pass; where that cannot be told, it can.
fn can_be_there(rulings: &[Ruling<'_>; 2], place: Place) -> bool {
    let rules = || rulings.iter().map(|it| it.rule);
    if rules().any(|rule| rule.presence == Presence::Absent) {
        return false;
    }
    if let Some(candidates) = rules().find_map(|rule| rule.one_of.as_ref()) {
        return candidates.iter().any(|candidate| {
            let alone = seen(candidate, place);
            passes(rulings, &alone) || passes(rulings, &Seen::List(vec![alone]))
        });
    }
    let min = rules().filter_map(|rule| rule.min).max();
    let max = rules().filter_map(|rule| rule.max).min();
    if let Some(number) = min.or(max) {
        return passes(rulings, &seen(&Scalar::Whole(number), place));
    }
    let is_list = |rule: &FieldRule| rule.max_items.is_some() || !rule.add.is_empty();
    !rules().any(is_list) || passes(rulings, &Seen::List(Vec::new()))
}

fn seen(value: &Scalar, place: Place) -> Seen<'_> {
    match (place, value) {
        (Place::Body, Scalar::Text(text)) => Seen::Text(Cow::Borrowed(text)),
        (Place::Body, Scalar::Whole(it)) => Seen::Whole(*it),
        (Place::Body, Scalar::Bool(it)) => Seen::Bool(*it),
        // A query's values have no type.
        (Place::Query, Scalar::Text(text)) => Seen::Raw(Cow::Borrowed(text)),
        (Place::Query, Scalar::Whole(it)) => Seen::Raw(Cow::Owned(it.to_string())),
        (Place::Query, Scalar::Bool(it)) => Seen::Raw(Cow::Owned(it.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whole(default: Option<i64>, min: Option<i64>, max: Option<i64>) -> FieldRule {
        FieldRule {
            default: default.map(Into::into),
            min,
            max,
            ..FieldRule::default()
        }
    }

    fn one_of(words: &[&str]) -> FieldRule {
        let words = words.iter().map(|it| Scalar::Text((*it).to_owned()));
        FieldRule {
            one_of: Some(words.collect()),
            ..FieldRule::default()
        }
    }

    fn presence(presence: Presence) -> FieldRule {
        FieldRule {
            presence,
            ..FieldRule::default()
        }
    }

    #[test]
    fn what_two_rules_leave_is_found() {
        let required = presence(Presence::Required);
        let absent = presence(Presence::Absent);
        let many = FieldRule {
            add: vec!["a".to_owned(), "b".to_owned()],
            ..FieldRule::default()
        };
        let few = FieldRule {
            max_items: Some(1),
            ..FieldRule::default()
        };
        let with_default = FieldRule {
            default: Some(json!("a")),
            ..FieldRule::default()
        };
        let required_a = FieldRule {
            presence: Presence::Required,
            ..one_of(&["a"])
        };
        for (grant, rail, wanted) in [
            (required.clone(), absent.clone(), Some(Clash::Always)),
            (absent.clone(), required, Some(Clash::Always)),
            (with_default.clone(), absent.clone(), Some(Clash::Always)),
            (many, few, Some(Clash::Always)),
            (required_a, one_of(&["b"]), Some(Clash::Always)),
            (
                whole(Some(5), Some(3), Some(9)),
                whole(None, None, Some(2)),
                Some(Clash::Always),
            ),
            (one_of(&["a"]), one_of(&["b"]), Some(Clash::WherePresent)),
            (
                whole(None, Some(3), None),
                whole(None, None, Some(2)),
                Some(Clash::WherePresent),
            ),
            (with_default, one_of(&["b"]), Some(Clash::WhereAbsent)),
            // Each of these leaves something.
            (FieldRule::default(), absent, None),
            (one_of(&["a", "b"]), one_of(&["b", "c"]), None),
            (
                whole(Some(5), Some(1), Some(9)),
                whole(None, None, Some(2)),
                None,
            ),
            (whole(None, Some(2), None), whole(None, None, Some(2)), None),
        ] {
            assert_eq!(
                clash(&grant, &rail, Place::Body),
                wanted,
                "{grant:?} {rail:?}"
            );
        }
    }

    #[test]
    fn a_querys_number_is_text() {
        let numbers = FieldRule {
            one_of: Some(vec![Scalar::Whole(7)]),
            ..FieldRule::default()
        };
        assert_eq!(clash(&numbers, &one_of(&["7"]), Place::Query), None);
        let wanted = Some(Clash::WherePresent);
        assert_eq!(clash(&numbers, &one_of(&["7"]), Place::Body), wanted);
        let few = whole(None, None, Some(5));
        assert_eq!(clash(&numbers, &few, Place::Query), wanted);
    }
}
