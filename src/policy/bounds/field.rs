//! A field's name and its rule, as a policy writes them.

use serde_json::Value;

use super::pattern::Pattern;
use super::seen::Seen;
use super::weigh::{Weighed, weigh};
use super::{Place, Ruling};
use crate::catalogue::Operation;

/// The way to a value in a JSON body: `max_acu_limit`, `session_secrets[].key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath {
    text: Box<str>,
    steps: Box<[Step]>,
}

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// To the member of this name.
    Member(Box<str>),
    /// To each element of a list.
    Each,
}

/// The most steps of a way.
const MAX_STEPS: usize = 8;

impl FieldPath {
    /// Reads `a.b[].c`. `None` if it has no such form.
    ///
    /// `tags[]` is `tags`: what is said of a list's values is said of its elements, and one field has one name.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches("[]");
        let mut steps = Vec::new();
        for part in text.split('.') {
            let mut name = part;
            let mut lists = 0;
            while let Some(shorter) = name.strip_suffix("[]") {
                name = shorter;
                lists += 1;
            }
            let fits = |it: u8| it.is_ascii_alphanumeric() || b"_-".contains(&it);
            if name.is_empty() || !name.bytes().all(fits) {
                return None;
            }
            steps.push(Step::Member(name.into()));
            steps.extend(std::iter::repeat_n(Step::Each, lists));
        }
        (steps.len() <= MAX_STEPS).then(|| Self {
            text: text.into(),
            steps: steps.into(),
        })
    }

    /// As it stands in the policy.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The steps, the first of which is to a member.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it names one value of a body at most, and not each of several.
    pub fn is_single(&self) -> bool {
        !self.steps.contains(&Step::Each)
    }

    /// Whether the operation's body is known to have it.
    pub fn is_of(&self, operation: &Operation) -> bool {
        let root = self.text.split(['.', '[']).next().unwrap_or_default();
        let bare = self.text.trim_end_matches("[]");
        let mut below_root = 0;
        for field in operation.body_fields() {
            if field.path == bare {
                return true;
            }
            // A list or an object, of which the catalogue knows members.
            if let Some(rest) = field.path.strip_prefix(bare)
                && rest.starts_with(['.', '['])
            {
                return true;
            }
            if let Some(rest) = field.path.strip_prefix(root)
                && rest.starts_with(['.', '['])
            {
                below_root += 1;
            }
        }
        // Of a field without known members, any may be named.
        root != bare && below_root == 0 && operation.body_field(root).is_some()
    }
}

/// A value that can stand in `one_of:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A boolean.
    Bool(bool),
}

impl Scalar {
    /// As JSON.
    pub fn json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Whole(it) => Value::from(*it),
            Self::Bool(it) => Value::from(*it),
        }
    }

    /// As a message shows it.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.escape_debug().to_string(),
            Self::Whole(it) => it.to_string(),
            Self::Bool(it) => it.to_string(),
        }
    }
}

/// What becomes of a number over its maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Above {
    /// The request is refused.
    #[default]
    Refuse,
    /// The maximum is sent instead.
    Clamp,
}

/// What becomes of a cap for which a budget has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoRoom {
    /// The request is refused.
    #[default]
    Refuse,
    /// What there is room for is sent instead, if that is at least `min`, or one.
    Clamp,
}

/// Whether a field has to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It may be.
    #[default]
    Free,
    /// It must be, and not null.
    Required,
    /// It must not be, or only as null.
    Absent,
}

/// A field's rule. The default says nothing, as `any` does in a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldRule {
    /// What is sent where the field is absent or null.
    pub default: Option<Value>,
    /// The least whole number.
    pub min: Option<i64>,
    /// The greatest whole number.
    pub max: Option<i64>,
    /// What becomes of a greater one.
    pub above: Above,
    /// What becomes of a cap for which a budget has no room; of `max_acu_limit` only.
    pub no_room: NoRoom,
    /// The values that it may have; of a list, each element.
    pub one_of: Option<Vec<Scalar>>,
    /// The forms that it may have; of a list, each element.
    pub matches: Option<Vec<Pattern>>,
    /// Whether it has to be there.
    pub presence: Presence,
    /// What a list gets in addition.
    pub add: Vec<String>,
    /// The most elements of a list.
    pub max_items: Option<u64>,
    /// The most characters of a text; of a list, of each element.
    pub max_length: Option<u64>,
}

impl FieldRule {
    /// Whether nothing is said: the field may be anything.
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it says which values the field may have, and does not let all of them pass.
    pub fn narrows(&self) -> bool {
        let all = |it: &Pattern| it.as_str().bytes().all(|it| it == b'*');
        self.one_of.is_some()
            || self.min.is_some()
            || self.max.is_some()
            || self.matches.as_ref().is_some_and(|it| !it.iter().any(all))
    }

    /// Why no value, or not its own default, can satisfy this rule for a field of the body or a key of the query.
    pub fn contradiction(&self, place: Place) -> Option<String> {
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Some(format!("`min: {min}` is above `max: {max}`"));
        }
        if self.above == Above::Clamp && self.max.is_none() {
            return Some("`above:` says nothing without `max:`".to_owned());
        }
        let is_number = self.min.is_some() || self.max.is_some();
        if is_number && (!self.add.is_empty() || self.max_items.is_some()) {
            return Some("a field with `min:` or `max:` is a number, and no list".to_owned());
        }
        // A query's value is text also where it is a number.
        let is_text = self.matches.is_some() || self.max_length.is_some();
        if is_number && is_text && place == Place::Body {
            return Some("a field with `min:` or `max:` is a number, and no text".to_owned());
        }
        if let Some(why) = self.useless_value(place) {
            return Some(why);
        }
        let mut bare = self.clone();
        bare.presence = Presence::Free;
        match self.presence {
            Presence::Absent if !bare.is_any() => {
                return Some("a field that must be absent has no other rule".to_owned());
            }
            Presence::Required if self.default.is_some() => {
                return Some("a field with a default is never missing".to_owned());
            }
            Presence::Required | Presence::Free | Presence::Absent => {}
        }
        let default = self.default.as_ref().and_then(Value::as_i64);
        if let (Some(default), Some(max)) = (default, self.max)
            && default > max
        {
            return Some(format!("`default: {default}` is above `max: {max}`"));
        }
        if self.default.is_some() || !self.add.is_empty() {
            let ruling = Ruling {
                rule: self,
                source: 0,
            };
            // The shortest that can be sent.
            let seen = match self.presence {
                Presence::Required => Seen::List(Vec::new()),
                Presence::Free | Presence::Absent => Seen::Absent,
            };
            if let Weighed::Refuse { said, .. } = weigh(&[ruling], &seen) {
                let what = if self.default.is_some() {
                    "`default:`"
                } else {
                    "`add:`"
                };
                return Some(format!("{what} is refused by the rule itself: {said}"));
            }
        }
        None
    }

    /// A value of `one_of:` that the rest of the rule refuses.
    fn useless_value(&self, place: Place) -> Option<String> {
        let rest = FieldRule {
            min: self.min,
            max: self.max,
            matches: self.matches.clone(),
            max_length: self.max_length,
            ..FieldRule::default()
        };
        let ruling = Ruling {
            rule: &rest,
            source: 0,
        };
        self.one_of.iter().flatten().find_map(|value| {
            let json = value.json();
            let seen = match (place, &json) {
                (Place::Body, json) => Seen::of(json),
                (Place::Query, Value::String(text)) => Seen::Raw(text.as_str().into()),
                (Place::Query, json) => Seen::Raw(json.to_string().into()),
            };
            match weigh(&[ruling], &seen) {
                Weighed::Refuse { said, .. } => {
                    let shown = value.shown();
                    Some(format!(
                        "`one_of:` has `{shown}`, which the rule itself refuses: {said}"
                    ))
                }
                Weighed::Keep | Weighed::Replace(_) | Weighed::Append(_) | Weighed::Undecidable => {
                    None
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_form() {
        for good in ["a", "a.b", "session_secrets[].key", "a[][].b", "x-y"] {
            let path = FieldPath::parse(good).unwrap();
            assert_eq!(path.as_str(), good);
        }
        for bad in [
            "", ".", "a.", ".a", "[]", "a[", "a[]b", "a[0]", "a b", "ä", "a..b",
        ] {
            assert_eq!(FieldPath::parse(bad), None, "{bad}");
        }
        assert_eq!(FieldPath::parse("tags[]"), FieldPath::parse("tags"));
        assert_eq!(FieldPath::parse(&"a.".repeat(20)), None);
        assert!(!FieldPath::parse("a[].b").unwrap().is_single());
    }

    #[test]
    fn a_rule_that_contradicts_itself_is_told() {
        let whole = |min, max, default: Option<i64>| FieldRule {
            min,
            max,
            default: default.map(Value::from),
            ..FieldRule::default()
        };
        let fine = whole(Some(1), Some(20), Some(5));
        assert!(fine.contradiction(Place::Body).is_none());
        for bad in [
            whole(Some(3), Some(2), None),
            whole(None, Some(2), Some(3)),
            whole(Some(4), None, Some(3)),
            FieldRule {
                above: Above::Clamp,
                ..FieldRule::default()
            },
            FieldRule {
                presence: Presence::Required,
                ..whole(None, None, Some(3))
            },
            FieldRule {
                presence: Presence::Absent,
                ..whole(None, Some(3), None)
            },
            FieldRule {
                one_of: Some(vec![Scalar::Text("a".to_owned())]),
                default: Some(Value::from("b")),
                ..FieldRule::default()
            },
            FieldRule {
                add: vec!["a".to_owned()],
                max_items: Some(0),
                ..FieldRule::default()
            },
        ] {
            assert!(bad.contradiction(Place::Body).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn a_number_is_no_text_but_in_a_query() {
        let rule = FieldRule {
            max: Some(100),
            max_length: Some(3),
            one_of: Some(vec![Scalar::Whole(5), Scalar::Text("50".to_owned())]),
            ..FieldRule::default()
        };
        assert!(rule.contradiction(Place::Body).is_some());
        assert_eq!(rule.contradiction(Place::Query), None);
        for value in ["101", "05", "1000", "x"] {
            let mut rule = rule.clone();
            rule.one_of = Some(vec![Scalar::Text(value.to_owned())]);
            let why = rule.contradiction(Place::Query).unwrap();
            assert!(why.contains("which the rule itself refuses"), "{why}");
        }
    }
}
