//! A value as it is judged: from a body, from a query, or from what a log has kept.

use std::borrow::Cow;

use serde_json::Value;

use super::field::Scalar;
use crate::json::{Kind, Node};

/// A value as it is judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<'a> {
    /// It is not there.
    Absent,
    /// `null`: as good as not there.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number, written as one.
    Whole(i64),
    /// Any other number.
    Number,
    /// Text.
    Text(Cow<'a, str>),
    /// The value of a query's key, which has no type.
    Raw(Cow<'a, str>),
    /// A list.
    List(Vec<Seen<'a>>),
    /// An object.
    Object,
    /// Something of which a log has kept no more than this.
    Hidden {
        /// Whether it is a list; otherwise it is text.
        is_list: bool,
        /// Elements, or characters.
        length: u64,
    },
}

impl Seen<'_> {
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Absent | Self::Null)
    }

    /// The whole number that it is, where the kind is clear or the query's text is one.
    pub(super) fn whole(&self) -> Option<i64> {
        match self {
            Self::Whole(it) => Some(*it),
            // `+5` and `05` are numbers to some readers and not to others.
            Self::Raw(text) => text
                .parse()
                .ok()
                .filter(|it: &i64| it.to_string() == **text),
            Self::Absent
            | Self::Null
            | Self::Bool(_)
            | Self::Number
            | Self::Text(_)
            | Self::List(_)
            | Self::Object
            | Self::Hidden { .. } => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Raw(text) => Some(text),
            Self::Absent
            | Self::Null
            | Self::Bool(_)
            | Self::Whole(_)
            | Self::Number
            | Self::List(_)
            | Self::Object
            | Self::Hidden { .. } => None,
        }
    }

    /// How many elements it has, if it is a list.
    pub(super) fn elements(&self) -> Option<u64> {
        if let Self::List(items) = self {
            return Some(items.len() as u64);
        }
        if let Self::Hidden {
            is_list: true,
            length,
        } = self
        {
            return Some(*length);
        }
        None
    }

    pub(super) fn is(&self, wanted: &Scalar) -> bool {
        match (self, wanted) {
            (Self::Text(text) | Self::Raw(text), Scalar::Text(wanted)) => text == wanted,
            (Self::Raw(text), Scalar::Whole(wanted)) => **text == wanted.to_string(),
            (Self::Raw(text), Scalar::Bool(wanted)) => **text == wanted.to_string(),
            (Self::Whole(it), Scalar::Whole(wanted)) => it == wanted,
            (Self::Bool(it), Scalar::Bool(wanted)) => it == wanted,
            _ => false,
        }
    }

    pub(super) fn of(value: &Value) -> Seen<'_> {
        match value {
            Value::Null => Seen::Null,
            Value::Bool(it) => Seen::Bool(*it),
            Value::Number(it) => it.as_i64().map_or(Seen::Number, Seen::Whole),
            Value::String(text) => Seen::Text(Cow::Borrowed(text)),
            Value::Array(items) => Seen::List(items.iter().map(Seen::of).collect()),
            Value::Object(_) => Seen::Object,
        }
    }
}

/// A member of a body, as it is judged.
pub(super) fn seen_node(node: Option<Node<'_>>) -> Seen<'_> {
    let Some(node) = node else {
        return Seen::Absent;
    };
    match node.kind() {
        Kind::Null => Seen::Null,
        Kind::Bool => Seen::Bool(node.as_bool().unwrap_or_default()),
        Kind::Number => node.as_whole().map_or(Seen::Number, Seen::Whole),
        Kind::Text => Seen::Text(node.as_text().unwrap_or_default()),
        Kind::List => Seen::List(
            node.items()
                .unwrap_or_default()
                .into_iter()
                // No rule is about what stands in a list's own lists.
                .map(|it| match it.kind() {
                    Kind::List => Seen::List(Vec::new()),
                    Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Object => {
                        seen_node(Some(it))
                    }
                })
                .collect(),
        ),
        Kind::Object => Seen::Object,
    }
}
