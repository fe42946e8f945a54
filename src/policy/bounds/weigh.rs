//! One value against every rule for its field: kept, changed, or refused.
//!
//! The same function judges live requests, tests of policies, and what an
//! access log has kept of a request: there a value may be hidden, and then the
//! answer can be that nobody can say.

use std::borrow::Cow;

use serde_json::Value;

use super::Ruling;
use super::field::{Above, FieldRule, Presence};
use super::seen::Seen;

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule says no.
    Denied,
    /// The value is not of the kind that the rule is about, so nobody can say.
    Malformed,
}

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Weighed {
    /// It stays as it is.
    Keep,
    /// This stands in its place.
    Replace(Value),
    /// These come at the end of the list.
    Append(Vec<String>),
    /// The request is refused.
    Refuse {
        /// Why.
        why: Why,
        /// What is wrong, without the value.
        said: String,
        /// Whose rule it is, as a place among the sources.
        source: usize,
    },
    /// The log has not kept enough to say.
    Undecidable,
}

/// A refusal, before its source is known.
struct No {
    why: Why,
    said: String,
}

impl No {
    fn denied(said: impl Into<String>) -> Self {
        Self {
            why: Why::Denied,
            said: said.into(),
        }
    }
    fn malformed(said: impl Into<String>) -> Self {
        Self {
            why: Why::Malformed,
            said: said.into(),
        }
    }
}

/// What one rule says of a value that is there.
enum Said {
    Yes,
    No(No),
    CannotSay,
}

/// Judges a value by all rules for its field; the grant's comes first.
pub fn weigh(rulings: &[Ruling<'_>], seen: &Seen<'_>) -> Weighed {
    if !seen.is_there() {
        return weigh_absent(rulings);
    }
    if let Some(ruling) = rulings
        .iter()
        .find(|it| it.rule.presence == Presence::Absent)
    {
        return refuse(ruling, No::denied("it must be left out"));
    }
    let clamped = match clamp(rulings, seen) {
        Ok(clamped) => clamped,
        Err(refused) => return refused,
    };
    let value = clamped.map_or(Cow::Borrowed(seen), |it| Cow::Owned(Seen::Whole(it)));
    let additions = match additions(rulings, &value) {
        Ok(additions) => additions,
        Err(refused) => return refused,
    };
    // What is added is held to every rule, a guard rail's as well.
    match check_all(rulings, &with(&value, &additions)) {
        Weighed::Keep => {}
        other @ (Weighed::Replace(_)
        | Weighed::Append(_)
        | Weighed::Refuse { .. }
        | Weighed::Undecidable) => return other,
    }
    match (clamped, additions.is_empty()) {
        (Some(it), _) => Weighed::Replace(Value::from(it)),
        (None, false) => Weighed::Append(additions),
        (None, true) => Weighed::Keep,
    }
}

fn weigh_absent(rulings: &[Ruling<'_>]) -> Weighed {
    let default = rulings.iter().find_map(|it| it.rule.default.as_ref());
    let mut value = match default {
        Some(default) => default.clone(),
        None => {
            if let Some(ruling) = rulings
                .iter()
                .find(|it| it.rule.presence == Presence::Required)
            {
                return refuse(ruling, No::denied("it is required"));
            }
            if rulings.iter().all(|it| it.rule.add.is_empty()) {
                return Weighed::Keep;
            }
            Value::Array(Vec::new())
        }
    };
    // A guard rail's maximum below a grant's default lowers the default.
    if let (Some(it), Some(max)) = (value.as_i64(), tightest(rulings))
        && it > max
    {
        value = Value::from(max);
    }
    // An absent field has no elements that could be too many, and its default is judged as if it had been sent.
    match weigh(rulings, &Seen::of(&value)) {
        Weighed::Keep => {}
        Weighed::Replace(other) => value = other,
        Weighed::Append(more) => {
            if let Value::Array(items) = &mut value {
                items.extend(more.into_iter().map(Value::from));
            }
        }
        refused @ (Weighed::Refuse { .. } | Weighed::Undecidable) => return refused,
    }
    Weighed::Replace(value)
}

fn tightest(rulings: &[Ruling<'_>]) -> Option<i64> {
    rulings.iter().filter_map(|it| it.rule.max).min()
}

/// The maximum, where the value is above it and every rule that says so allows that. All numbers are read here.
fn clamp(rulings: &[Ruling<'_>], seen: &Seen<'_>) -> Result<Option<i64>, Weighed> {
    let about_numbers = |it: &&Ruling<'_>| it.rule.min.is_some() || it.rule.max.is_some();
    let Some(ruling) = rulings.iter().find(about_numbers) else {
        return Ok(None);
    };
    let Some(it) = seen.whole() else {
        return Err(if matches!(seen, Seen::Hidden { is_list: false, .. }) {
            Weighed::Undecidable
        } else {
            refuse(ruling, No::malformed("it must be a whole number"))
        });
    };
    let above = |ruling: &&Ruling<'_>| ruling.rule.max.is_some_and(|max| it > max);
    let mut over = rulings.iter().filter(above).peekable();
    if over.peek().is_none() {
        return Ok(None);
    }
    if let Some(ruling) = over.find(|it| it.rule.above == Above::Refuse) {
        let max = ruling.rule.max.unwrap_or_default();
        return Err(refuse(
            ruling,
            No::denied(format!("it may be {max} at most")),
        ));
    }
    Ok(tightest(rulings))
}

/// What the rules add and the list does not have.
fn additions(rulings: &[Ruling<'_>], seen: &Seen<'_>) -> Result<Vec<String>, Weighed> {
    let mut missing: Vec<String> = Vec::new();
    for ruling in rulings.iter().filter(|it| !it.rule.add.is_empty()) {
        let Seen::List(items) = seen else {
            return Err(if matches!(seen, Seen::Hidden { is_list: true, .. }) {
                Weighed::Undecidable
            } else {
                refuse(ruling, No::malformed("it must be a list"))
            });
        };
        for wanted in &ruling.rule.add {
            let is_there = items.iter().any(|it| it.text() == Some(wanted));
            if !is_there && !missing.contains(wanted) {
                missing.push(wanted.clone());
            }
        }
    }
    Ok(missing)
}

/// A list with what is added to it.
fn with<'a>(seen: &'a Seen<'a>, additions: &'a [String]) -> Cow<'a, Seen<'a>> {
    let Seen::List(items) = seen else {
        return Cow::Borrowed(seen);
    };
    if additions.is_empty() {
        return Cow::Borrowed(seen);
    }
    let more = additions.iter().map(|it| Seen::Text(Cow::Borrowed(it)));
    Cow::Owned(Seen::List(items.iter().cloned().chain(more).collect()))
}

fn check_all(rulings: &[Ruling<'_>], seen: &Seen<'_>) -> Weighed {
    let mut verdict = Weighed::Keep;
    for ruling in rulings {
        match check(ruling.rule, seen) {
            Said::Yes => {}
            Said::No(no) => return refuse(ruling, no),
            Said::CannotSay => verdict = Weighed::Undecidable,
        }
    }
    verdict
}

fn check(rule: &FieldRule, seen: &Seen<'_>) -> Said {
    if let (Some(min), Some(it)) = (rule.min, seen.whole())
        && it < min
    {
        return Said::No(No::denied(format!("it must be {min} at least")));
    }
    let mut cannot_say = false;
    if let Some(max) = rule.max_items {
        let Some(length) = seen.elements() else {
            return Said::No(No::malformed("it must be a list"));
        };
        if length > max {
            return Said::No(No::denied(format!("it may have {max} elements at most")));
        }
    }
    let elements = if let Seen::List(items) = seen {
        items.as_slice()
    } else {
        std::slice::from_ref(seen)
    };
    for element in elements {
        match check_element(rule, element) {
            Said::Yes => {}
            no @ Said::No(_) => return no,
            Said::CannotSay => cannot_say = true,
        }
    }
    if cannot_say {
        Said::CannotSay
    } else {
        Said::Yes
    }
}

fn check_element(rule: &FieldRule, seen: &Seen<'_>) -> Said {
    let mut cannot_say = false;
    if let Some(max) = rule.max_length {
        let length = match (seen, seen.text()) {
            (_, Some(text)) => text.chars().count() as u64,
            (
                Seen::Hidden {
                    is_list: false,
                    length,
                },
                None,
            ) => *length,
            (Seen::Hidden { is_list: true, .. }, None) => return Said::CannotSay,
            _ => return Said::No(No::malformed("it must be text")),
        };
        if length > max {
            return Said::No(No::denied(format!("it may have {max} characters at most")));
        }
    }
    if let Some(wanted) = &rule.one_of {
        if matches!(seen, Seen::Hidden { .. }) {
            cannot_say = true;
        } else if !wanted.iter().any(|it| seen.is(it)) {
            return Said::No(No::denied("it has a value that is not allowed"));
        }
    }
    if let Some(patterns) = &rule.matches {
        match seen.text() {
            Some(text) if patterns.iter().any(|it| it.is_match(text)) => {}
            Some(_) => {
                return Said::No(No::denied("it does not have a form that is allowed"));
            }
            None if matches!(seen, Seen::Hidden { .. }) => cannot_say = true,
            None => return Said::No(No::malformed("it must be text")),
        }
    }
    if cannot_say {
        Said::CannotSay
    } else {
        Said::Yes
    }
}

fn refuse(ruling: &Ruling<'_>, no: No) -> Weighed {
    Weighed::Refuse {
        why: no.why,
        said: no.said,
        source: ruling.source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bounds::{Pattern, Scalar};

    fn judged(rules: &[&FieldRule], seen: Seen<'_>) -> String {
        let rulings: Vec<Ruling<'_>> = rules
            .iter()
            .enumerate()
            .map(|(source, rule)| Ruling { rule, source })
            .collect();
        match weigh(&rulings, &seen) {
            Weighed::Keep => "keep".to_owned(),
            Weighed::Replace(value) => format!("replace {value}"),
            Weighed::Append(more) => format!("append {}", more.join(",")),
            Weighed::Refuse { why, said, source } => format!("{why:?} by {source}: {said}"),
            Weighed::Undecidable => "undecidable".to_owned(),
        }
    }

    fn text(text: &str) -> Seen<'_> {
        Seen::Text(text.into())
    }

    fn cap(default: Option<i64>, max: i64, above: Above) -> FieldRule {
        FieldRule {
            default: default.map(Value::from),
            min: Some(1),
            max: Some(max),
            above,
            ..FieldRule::default()
        }
    }

    #[test]
    fn b3_a_number_rule_takes_whole_numbers_only() {
        let rule = cap(Some(5), 20, Above::Refuse);
        for (seen, wanted) in [
            (Seen::Absent, "replace 5"),
            (Seen::Null, "replace 5"),
            (Seen::Whole(20), "keep"),
            (Seen::Whole(21), "Denied by 0: it may be 20 at most"),
            (Seen::Whole(0), "Denied by 0: it must be 1 at least"),
            (Seen::Whole(-1), "Denied by 0: it must be 1 at least"),
            (Seen::Number, "Malformed by 0: it must be a whole number"),
            (text("5"), "Malformed by 0: it must be a whole number"),
            (
                Seen::Bool(true),
                "Malformed by 0: it must be a whole number",
            ),
            (
                Seen::List(vec![]),
                "Malformed by 0: it must be a whole number",
            ),
            (Seen::Object, "Malformed by 0: it must be a whole number"),
            (Seen::Raw("7".into()), "keep"),
            (
                Seen::Raw("+7".into()),
                "Malformed by 0: it must be a whole number",
            ),
            (
                Seen::Raw("1e1".into()),
                "Malformed by 0: it must be a whole number",
            ),
        ] {
            assert_eq!(judged(&[&rule], seen.clone()), wanted, "{seen:?}");
        }
    }

    #[test]
    fn a_guard_rail_tightens_a_grant_and_every_refusal_counts() {
        let grant = cap(Some(15), 20, Above::Clamp);
        let (clamping, refusing) = (cap(None, 10, Above::Clamp), cap(None, 10, Above::Refuse));
        assert_eq!(judged(&[&grant, &clamping], Seen::Absent), "replace 10");
        assert_eq!(judged(&[&grant, &refusing], Seen::Absent), "replace 10");
        assert_eq!(judged(&[&grant, &clamping], Seen::Whole(30)), "replace 10");
        assert_eq!(
            judged(&[&grant, &refusing], Seen::Whole(30)),
            "Denied by 1: it may be 10 at most"
        );
        assert_eq!(judged(&[&grant, &refusing], Seen::Whole(10)), "keep");
        let odd = FieldRule {
            one_of: Some(vec![Scalar::Whole(20)]),
            ..FieldRule::default()
        };
        assert_eq!(
            judged(&[&grant, &clamping, &odd], Seen::Whole(30)),
            "Denied by 2: it has a value that is not allowed"
        );
    }

    #[test]
    fn lists_are_judged_element_by_element_and_get_what_is_missing() {
        let rule = FieldRule {
            add: vec!["etl".to_owned(), "ds".to_owned()],
            matches: Some(vec![Pattern::new("e*"), Pattern::new("ds")]),
            max_items: Some(3),
            ..FieldRule::default()
        };
        let list = |items: &[&'static str]| Seen::List(items.iter().map(|it| text(it)).collect());
        assert_eq!(judged(&[&rule], Seen::Absent), "replace [\"etl\",\"ds\"]");
        assert_eq!(judged(&[&rule], list(&["etl"])), "append ds");
        assert_eq!(judged(&[&rule], list(&["etl", "ds"])), "keep");
        assert_eq!(
            judged(&[&rule], list(&["x"])),
            "Denied by 0: it does not have a form that is allowed"
        );
        assert_eq!(
            judged(&[&rule], list(&["e1", "e2"])),
            "Denied by 0: it may have 3 elements at most"
        );
        assert_eq!(
            judged(&[&rule], text("etl")),
            "Malformed by 0: it must be a list"
        );
    }

    #[test]
    fn what_a_grant_adds_is_held_to_a_guard_rail() {
        let grant = FieldRule {
            add: vec!["prod".to_owned()],
            ..FieldRule::default()
        };
        let rail = FieldRule {
            matches: Some(vec![Pattern::new("web-*")]),
            ..FieldRule::default()
        };
        let refused = "Denied by 1: it does not have a form that is allowed";
        assert_eq!(judged(&[&grant, &rail], Seen::Absent), refused);
        let list = Seen::List(vec![text("web-1")]);
        assert_eq!(judged(&[&grant, &rail], list), refused);
    }

    #[test]
    fn presence_is_judged_before_anything_else() {
        let rule = |presence| FieldRule {
            presence,
            ..FieldRule::default()
        };
        let absent = rule(Presence::Absent);
        assert_eq!(judged(&[&absent], Seen::Null), "keep");
        assert_eq!(
            judged(&[&absent], text("")),
            "Denied by 0: it must be left out"
        );
        let required = rule(Presence::Required);
        assert_eq!(
            judged(&[&required], Seen::Null),
            "Denied by 0: it is required"
        );
        assert_eq!(judged(&[&required], text("")), "keep");
    }

    #[test]
    fn what_a_log_has_hidden_is_not_guessed() {
        let hidden = |is_list, length| Seen::Hidden { is_list, length };
        let short = FieldRule {
            max_length: Some(5),
            ..FieldRule::default()
        };
        assert_eq!(judged(&[&short], hidden(false, 5)), "keep");
        assert!(judged(&[&short], hidden(false, 6)).starts_with("Denied"));
        let one = FieldRule {
            one_of: Some(vec![Scalar::Text("x".to_owned())]),
            ..FieldRule::default()
        };
        assert_eq!(judged(&[&one], hidden(false, 1)), "undecidable");
        assert_eq!(
            judged(&[&cap(None, 5, Above::Refuse)], hidden(false, 1)),
            "undecidable"
        );
        let few = FieldRule {
            max_items: Some(1),
            ..FieldRule::default()
        };
        assert!(judged(&[&few], hidden(true, 2)).starts_with("Denied"));
    }
}
