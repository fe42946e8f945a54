//! A checked document and its values, each with the place where it stands in the text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::check::{Invalid, Text, check};

/// A whole document, checked.
///
/// It is UTF-8 without a byte order mark; one value with nothing after it; no object in it has a key twice, however
/// spelled; it nests no deeper than [`MAX_DEPTH`](super::MAX_DEPTH); it has no half surrogate pair; each number can be
/// read as an `i64` or a finite `f64`.
#[derive(Clone, Copy)]
pub struct Document<'t> {
    text: &'t str,
}

/// A value of a checked document. It knows where it stands, and looks into itself only when asked.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    /// The text of the whole document.
    text: &'t str,
    /// A piece of it.
    raw: &'t str,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// Any number.
    Number,
    /// A string.
    Text,
    /// An array.
    List,
    /// An object.
    Object,
}

impl Kind {
    /// Its name in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Number => "number",
            Self::Text => "text",
            Self::List => "list",
            Self::Object => "object",
        }
    }
}

impl<'t> Document<'t> {
    /// Checks a document.
    ///
    /// # Errors
    /// Whatever is not JSON, or could be read in two ways; see [`Invalid`].
    pub fn parse(bytes: &'t [u8]) -> Result<Self, Invalid> {
        check(bytes).map(|text| Self { text })
    }

    /// The value that the document is.
    pub fn root(&self) -> Node<'t> {
        Node {
            text: self.text,
            // RFC 8259 section 2: the white space that may surround a value.
            raw: self.text.trim_matches([' ', '\t', '\n', '\r']),
        }
    }

    /// The document as it was received.
    pub fn text(&self) -> &'t str {
        self.text
    }
}

impl<'t> Node<'t> {
    /// What it is.
    pub fn kind(self) -> Kind {
        match self.raw.bytes().next().unwrap_or_default() {
            b'n' => Kind::Null,
            b't' | b'f' => Kind::Bool,
            b'"' => Kind::Text,
            b'[' => Kind::List,
            b'{' => Kind::Object,
            _ => Kind::Number,
        }
    }

    /// Exactly as it was received, without the white space around it.
    pub fn raw(self) -> &'t str {
        self.raw
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The boolean that it is.
    pub fn as_bool(self) -> Option<bool> {
        match self.raw {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The whole number that it is, if it is spelled as one: neither `5.0` nor `5e0`, which readers may refuse or round,
    /// nor `-0`, which some keep apart from 0.
    pub fn as_whole(self) -> Option<i64> {
        if self.raw == "-0" {
            return None;
        }
        // What `parse` would take besides, `+5` and `007`, is not JSON.
        self.raw.parse().ok()
    }

    /// The string that it is, without escapes.
    pub fn as_text(self) -> Option<Cow<'t, str>> {
        let Text(text) = serde_json::from_str(self.raw).ok()?;
        Some(text)
    }

    /// The values of a list.
    pub fn items(self) -> Option<Vec<Self>> {
        let items: Vec<&'t RawValue> = serde_json::from_str(self.raw).ok()?;
        Some(items.into_iter().map(|item| self.child(item)).collect())
    }

    /// The names and values of an object, in their order; names are without escapes.
    pub fn members(self) -> Option<Vec<(Cow<'t, str>, Self)>> {
        let Members(members) = serde_json::from_str(self.raw).ok()?;
        Some(
            members
                .into_iter()
                .map(|(Text(name), value)| (name, self.child(value)))
                .collect(),
        )
    }

    /// The value of an object's member; `name` is without escapes.
    pub fn member(self, name: &str) -> Option<Self> {
        self.members()?
            .into_iter()
            .find_map(|(other, value)| (other == name).then_some(value))
    }

    /// A copy of it as a value. Numbers that neither an `i64` nor a `u64` holds are rounded to an `f64`.
    pub fn to_value(self) -> Value {
        match self.kind() {
            Kind::List => self
                .items()
                .into_iter()
                .flatten()
                .map(Self::to_value)
                .collect(),
            Kind::Object => Value::Object(self.to_map()),
            Kind::Null | Kind::Bool | Kind::Number | Kind::Text => {
                // It cannot fail: the document was checked.
                serde_json::from_str(self.raw).unwrap_or_default()
            }
        }
    }

    /// The members of an object as values; none if it is no object.
    pub(super) fn to_map(self) -> Map<String, Value> {
        let members = self.members().into_iter().flatten();
        members
            .map(|(name, value)| (name.into_owned(), value.to_value()))
            .collect()
    }

    /// Where it stands in the text of this document; `None` for one of another.
    pub(super) fn offset_in(self, text: &str) -> Option<usize> {
        std::ptr::eq(self.text, text).then(|| self.raw.as_ptr().addr() - self.text.as_ptr().addr())
    }

    fn child(self, raw: &'t RawValue) -> Self {
        Self {
            text: self.text,
            raw: raw.get(),
        }
    }
}

// Bodies are other people's: what prints a document for its debugging shows none of it.

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes)", self.text.len())
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Node({}, {} bytes)",
            self.kind().as_str(),
            self.raw.len()
        )
    }
}

/// The members of an object in their order.
struct Members<'t>(Vec<(Text<'t>, &'t RawValue)>);

impl<'t> Deserialize<'t> for Members<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneLevel;

        impl<'t> Visitor<'t> for OneLevel {
            type Value = Members<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Members<'t>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(OneLevel)
    }
}
