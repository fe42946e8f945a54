//! Whose token is it? The claims that make tokens of one issuer a caller's.
//!
//! What a look-up costs depends on the claims that rules name and on the token,
//! and not on how many callers there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::CallerIx;

/// A claim's value in a rule; a token's must have the same type and be equal byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimValue {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A boolean.
    Bool(bool),
}

impl ClaimValue {
    /// A token's value, if it is of a type that rules can name.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => number.as_i64().map(Self::Integer),
            Value::Bool(it) => Some(Self::Bool(*it)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Integer(it) => value.as_i64() == Some(*it),
            Self::Bool(it) => value.as_bool() == Some(*it),
        }
    }
}

/// What is known of a token's claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known<'v> {
    /// It has this value.
    Value(&'v Value),
    /// The token does not have it.
    Absent,
    /// Nobody can say: an access log has not kept it.
    Nothing,
}

/// The callers that a token's claims name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Exactly one, as it must be.
    One(CallerIx),
    /// None.
    None,
    /// Several: nobody can say who pays.
    Several,
}

/// The claims that make a token this caller's.
#[derive(Debug)]
struct Subject {
    caller: CallerIx,
    claims: Vec<(String, ClaimValue)>,
}

impl Subject {
    /// Whether a token has all of its claims; otherwise the name of one that nobody knows, if that is all.
    fn holds<'v>(&self, claim: impl Fn(&str) -> Known<'v>) -> Result<bool, &str> {
        let mut unknown = None;
        for (name, wanted) in &self.claims {
            match claim(name) {
                Known::Value(value) if wanted.is(value) => {}
                Known::Value(_) | Known::Absent => return Ok(false),
                Known::Nothing => unknown = unknown.or(Some(name.as_str())),
            }
        }
        unknown.map_or(Ok(true), Err)
    }
}

/// All sets of claims of one issuer.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    /// Each set stands at one of its claims, by name and value.
    at: BTreeMap<String, HashMap<ClaimValue, Vec<Subject>>>,
    names: BTreeSet<String>,
}

impl Subjects {
    pub(super) fn add(&mut self, caller: CallerIx, claims: Vec<(String, ClaimValue)>) {
        let stand_at = |(name, value): &(String, ClaimValue)| {
            let found = self.at.get(name).and_then(|values| values.get(value));
            found.map_or(0, Vec::len)
        };
        // At the claim that the fewest others stand at: many share an owner, few a repository.
        let Some((name, value)) = claims.iter().min_by_key(|it| stand_at(it)).cloned() else {
            return;
        };
        self.names
            .extend(claims.iter().map(|(name, _)| name.clone()));
        let values = self.at.entry(name).or_default();
        let subjects = values.entry(value).or_default();
        subjects.push(Subject { caller, claims });
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn callers(&self) -> impl Iterator<Item = CallerIx> {
        let subjects = self.at.values().flat_map(HashMap::values).flatten();
        subjects.map(|subject| subject.caller)
    }

    /// The caller that a token's claims name.
    ///
    /// # Errors
    /// The name of a claim on which it depends and that nobody knows.
    pub(super) fn find<'v>(&self, claim: impl Fn(&str) -> Known<'v>) -> Result<Match, &str> {
        let mut found = Match::None;
        let mut unknown = None;
        for (name, values) in &self.at {
            let subjects: Box<dyn Iterator<Item = &Subject>> = match claim(name) {
                Known::Absent => continue,
                Known::Value(value) => {
                    let value = ClaimValue::of(value);
                    let subjects = value.and_then(|value| values.get(&value));
                    Box::new(subjects.into_iter().flatten())
                }
                Known::Nothing => Box::new(values.values().flatten()),
            };
            for subject in subjects {
                match subject.holds(&claim) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(name) => {
                        unknown = unknown.or(Some(name));
                        continue;
                    }
                }
                found = match found {
                    Match::None => Match::One(subject.caller),
                    Match::One(caller) if caller == subject.caller => found,
                    Match::One(_) | Match::Several => Match::Several,
                };
            }
        }
        // Several are several, whoever comes to them.
        unknown
            .filter(|_| found != Match::Several)
            .map_or(Ok(found), Err)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    fn claims(of: &[(u8, i64)]) -> Vec<(String, ClaimValue)> {
        let named: BTreeMap<u8, i64> = of.iter().copied().collect();
        let claim = |(name, value)| (format!("c{name}"), ClaimValue::Integer(value));
        named.into_iter().map(claim).collect()
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_through_all_finds(
            sets in proptest::collection::vec(proptest::collection::vec((0..3_u8, 0..3_i64), 1..4), 0..12),
            token in proptest::collection::vec((0..4_u8, 0..3_i64), 0..4),
        ) {
            let mut subjects = Subjects::default();
            for (caller, set) in sets.iter().enumerate() {
                subjects.add(CallerIx(caller), claims(set));
            }
            let token: Map<String, Value> = token.iter().map(|(name, value)| (format!("c{name}"), json!(value))).collect();
            let has = |(name, value): &(String, ClaimValue)| token.get(name).is_some_and(|it| value.is(it));
            let all: Vec<usize> = (0..sets.len()).filter(|at| claims(&sets[*at]).iter().all(has)).collect();
            let wanted = match all.as_slice() {
                [] => Match::None,
                [one] => Match::One(CallerIx(*one)),
                _ => Match::Several,
            };
            let found = subjects.find(|name| token.get(name).map_or(Known::Absent, Known::Value));
            prop_assert_eq!(found, Ok(wanted));
        }
    }

    #[test]
    fn a_claim_that_nobody_knows_is_told_only_where_it_matters() {
        let mut subjects = Subjects::default();
        subjects.add(CallerIx(0), claims(&[(0, 1), (1, 1)]));
        subjects.add(CallerIx(1), claims(&[(0, 2)]));
        let (one, two) = (json!(1), json!(2));
        let find = |zero: Known<'static>, first: Known<'static>| {
            subjects
                .find(|name| if name == "c0" { zero } else { first })
                .map_err(str::to_owned)
        };
        let value = |it: &Value| Known::Value(Box::leak(Box::new(it.clone())));
        assert_eq!(find(value(&one), value(&one)), Ok(Match::One(CallerIx(0))));
        assert_eq!(find(value(&one), Known::Nothing), Err("c1".to_owned()));
        assert_eq!(
            find(value(&two), Known::Nothing),
            Ok(Match::One(CallerIx(1)))
        );
        assert_eq!(find(Known::Absent, Known::Nothing), Ok(Match::None));
        assert_eq!(find(Known::Nothing, value(&two)), Err("c0".to_owned()));
        assert_eq!(find(value(&json!(3)), Known::Nothing), Ok(Match::None));
    }
}
