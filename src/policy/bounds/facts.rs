//! What is kept of judged fields, for the access log and for deciding again later.
//!
//! Never a body: of each field that a rule or a guard looks at, its value where
//! the catalogue says that it may be shown and it is short, else its kind, its
//! length and (unless it is secret) a digest.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::seen::Seen;
use crate::catalogue::Shown;
use crate::json::{Kind, Node};
use crate::redact::redact;

/// The most unknown names that are kept.
pub const MAX_UNKNOWN: usize = 16;
/// The longest text, and the longest unknown name, that is kept as it is, in bytes.
const MAX_TEXT: usize = 128;
/// The longest list that is kept as it is.
const MAX_ITEMS: usize = 32;
/// About the most bytes of a log line's `fields`: beyond it, values are shortened to kind and length.
const MAX_SIZE: usize = 8 * 1024;
/// The most values behind a list's `[]`.
const MAX_EACH: usize = 64;

/// What is known of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// It was not there, or null.
    Absent,
    /// This scalar, or list of scalars.
    Value(Value),
    /// An object, or a list of other things than scalars.
    Other {
        /// Whether it is a list.
        is_list: bool,
        /// Its elements or members.
        length: u64,
    },
    /// Something that is not shown.
    Hidden {
        /// Whether it is a list; otherwise it is text.
        is_list: bool,
        /// Elements, or characters.
        length: u64,
        /// The beginning of its raw bytes' SHA-256; none where it is secret.
        digest: Option<String>,
    },
    /// A number or a boolean that is not shown.
    Scalar,
    /// The values of a path with `[]`, in order.
    Each(Vec<Fact>),
    /// What should hold it is neither an object nor a list.
    Misshapen,
    /// A path with `[]` that leads to more values than are kept.
    Many(u64),
}

/// What is known of a request's fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// `body.max_acu_limit`, `query.first`, each with what is known.
    pub fields: Vec<(String, Fact)>,
    /// Names that the catalogue does not know, `body.…` or `query.…`; at most [`MAX_UNKNOWN`].
    pub unknown: Vec<String>,
    /// Whether there were more of them.
    pub more_unknown: bool,
    /// Whether the query was looked through: only then is what stands nowhere here not there.
    pub query_read: bool,
    /// The same of the body.
    pub body_read: bool,
    /// About how many bytes of a log line `fields` takes.
    size: usize,
}

impl Facts {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.unknown.is_empty() && !self.body_read
    }

    /// Adds what is known of a field: less of it, where a log line would become too long.
    pub(super) fn push(&mut self, name: String, fact: Fact) {
        let room = MAX_SIZE.saturating_sub(self.size);
        let length = |fact: &Fact| match fact {
            Fact::Absent => 4,
            Fact::Value(_)
            | Fact::Other { .. }
            | Fact::Hidden { .. }
            | Fact::Scalar
            | Fact::Each(_)
            | Fact::Misshapen
            | Fact::Many(_) => fact.json().to_string().len(),
        };
        let fact = if length(&fact) <= room {
            fact
        } else {
            fact.shortened()
        };
        self.size += name.len() + length(&fact);
        self.fields.push((name, fact));
    }

    /// Adds what is known of the body to what is known of the query.
    pub fn extend(&mut self, more: Self) {
        for (name, fact) in more.fields {
            self.push(name, fact);
        }
        self.query_read |= more.query_read;
        self.body_read |= more.body_read;
        let room = MAX_UNKNOWN.saturating_sub(self.unknown.len());
        self.more_unknown |= more.more_unknown || more.unknown.len() > room;
        self.unknown.extend(more.unknown.into_iter().take(room));
    }

    /// Notes a name that the catalogue does not know.
    pub(super) fn note_unknown(&mut self, place: &str, name: &str) {
        if self.unknown.len() == MAX_UNKNOWN {
            self.more_unknown = true;
            return;
        }
        self.unknown.push(format!("{place}.{}", cut(name)));
    }
}

/// The beginning of a name that is somebody else's text.
pub(super) fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_TEXT);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}

impl Fact {
    /// Of a member of a body.
    pub(super) fn of_node(node: Option<Node<'_>>, shown: Shown) -> Self {
        let Some(node) = node.filter(|it| !it.is_null()) else {
            return Self::Absent;
        };
        match node.kind() {
            Kind::Object => Self::Other {
                is_list: false,
                length: node.members().map_or(0, |it| it.len() as u64),
            },
            Kind::List => Self::of_list(node, shown),
            Kind::Null | Kind::Bool | Kind::Number | Kind::Text => Self::of_scalar(node, shown),
        }
    }

    fn of_scalar(node: Node<'_>, shown: Shown) -> Self {
        // As a whole number where it is one for the rules, however it is written.
        let value = match node.as_whole() {
            Some(whole) => Value::from(whole),
            None => serde_json::from_str(node.raw()).unwrap_or(Value::Null),
        };
        let text = node.as_text();
        let Some(text) = text else {
            // Nobody's words.
            return match shown {
                Shown::Value | Shown::Digest => Self::Value(value),
                Shown::Nothing => Self::Scalar,
            };
        };
        if matches!(shown, Shown::Value) && is_plain(&text) {
            return Self::Value(value);
        }
        Self::hidden(false, text.chars().count(), shown, node.raw())
    }

    fn of_list(node: Node<'_>, shown: Shown) -> Self {
        let items = node.items().unwrap_or_default();
        let is_scalar = |it: &Node<'_>| !matches!(it.kind(), Kind::List | Kind::Object);
        if !items.iter().all(is_scalar) {
            return Self::Other {
                is_list: true,
                length: items.len() as u64,
            };
        }
        let plain = |it: &Node<'_>| it.as_text().as_deref().is_none_or(is_plain);
        if matches!(shown, Shown::Value) && items.len() <= MAX_ITEMS && items.iter().all(plain) {
            return Self::Value(serde_json::from_str(node.raw()).unwrap_or(Value::Null));
        }
        Self::hidden(true, items.len(), shown, node.raw())
    }

    /// Of a query's value.
    pub(super) fn of_query(values: Option<&[Cow<'_, str>]>, is_list: bool, shown: Shown) -> Self {
        let Some(values) = values else {
            return Self::Absent;
        };
        let raw = values.join(",");
        if !matches!(shown, Shown::Value)
            || values.len() > MAX_ITEMS
            || !values.iter().all(|it| is_plain(it))
        {
            let length = if is_list {
                values.len()
            } else {
                raw.chars().count()
            };
            return Self::hidden(is_list, length, shown, &raw);
        }
        Self::Value(if is_list {
            json!(values)
        } else {
            Value::from(raw)
        })
    }

    fn hidden(is_list: bool, length: usize, shown: Shown, raw: &str) -> Self {
        let digest = match shown {
            Shown::Value | Shown::Digest if redact(raw) == raw => Some(short_digest(raw)),
            Shown::Value | Shown::Digest | Shown::Nothing => None,
        };
        Self::Hidden {
            is_list,
            length: length as u64,
            digest,
        }
    }

    /// The same in few bytes: kind and length.
    fn shortened(self) -> Self {
        match self {
            Self::Value(Value::Array(items)) => Self::Hidden {
                is_list: true,
                length: items.len() as u64,
                digest: None,
            },
            Self::Value(Value::String(text)) => Self::Hidden {
                is_list: false,
                length: text.chars().count() as u64,
                digest: None,
            },
            Self::Each(all) => Self::Many(all.len() as u64),
            other @ (Self::Absent
            | Self::Value(_)
            | Self::Other { .. }
            | Self::Hidden { .. }
            | Self::Scalar
            | Self::Misshapen
            | Self::Many(_)) => other,
        }
    }

    /// Whether there was no value at all.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Each(all) => all.iter().all(Self::is_nothing),
            Self::Value(_)
            | Self::Other { .. }
            | Self::Hidden { .. }
            | Self::Scalar
            | Self::Misshapen
            | Self::Many(_) => false,
        }
    }

    /// Of all values of a path with `[]`.
    pub(super) fn each<'t>(
        nodes: impl ExactSizeIterator<Item = Option<Node<'t>>>,
        shown: Shown,
    ) -> Self {
        if nodes.len() > MAX_EACH {
            return Self::Many(nodes.len() as u64);
        }
        Self::Each(nodes.map(|node| Self::of_node(node, shown)).collect())
    }

    /// The same, as it is judged again. `None` where more is needed than was kept.
    pub fn seen(&self) -> Option<Seen<'_>> {
        Some(match self {
            Self::Absent => Seen::Absent,
            Self::Value(value) => Seen::of(value),
            Self::Other { is_list: false, .. } => Seen::Object,
            Self::Other {
                is_list: true,
                length,
            } => Seen::Hidden {
                is_list: true,
                length: *length,
            },
            Self::Hidden {
                is_list, length, ..
            } => Seen::Hidden {
                is_list: *is_list,
                length: *length,
            },
            Self::Scalar | Self::Each(_) | Self::Misshapen | Self::Many(_) => return None,
        })
    }

    /// As it stands in a log line; [`Fact::from_json`] reads it back.
    pub fn json(&self) -> Value {
        match self {
            Self::Absent => Value::Null,
            Self::Value(value) => value.clone(),
            Self::Other { is_list, length } => {
                json!({"kind": if *is_list { "list" } else { "object" }, "length": length})
            }
            Self::Hidden {
                is_list,
                length,
                digest,
            } => {
                let kind = if *is_list { "list" } else { "text" };
                match digest {
                    Some(digest) => json!({"kind": kind, "length": length, "sha256": digest}),
                    None => json!({"kind": kind, "length": length, "hidden": true}),
                }
            }
            Self::Each(all) => json!({"each": all.iter().map(Fact::json).collect::<Vec<_>>()}),
            Self::Scalar => json!({"kind": "scalar"}),
            Self::Misshapen => json!({"each": false}),
            Self::Many(count) => json!({"each": null, "length": count}),
        }
    }

    /// Reads back what [`Fact::json`] wrote. `None` for anything else.
    pub fn from_json(value: &Value) -> Option<Self> {
        let Value::Object(parts) = value else {
            return Some(match value {
                Value::Null => Self::Absent,
                Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => Self::Value(value.clone()),
            });
        };
        let length = || parts.get("length").and_then(Value::as_u64);
        if let Some(each) = parts.get("each") {
            return match each {
                Value::Array(all) => all
                    .iter()
                    .map(Self::from_json)
                    .collect::<Option<_>>()
                    .map(Self::Each),
                Value::Null => length().map(Self::Many),
                Value::Bool(_) => Some(Self::Misshapen),
                Value::Number(_) | Value::String(_) | Value::Object(_) => None,
            };
        }
        let is_list = match parts.get("kind")?.as_str()? {
            "scalar" => return Some(Self::Scalar),
            "list" => true,
            "text" | "object" => false,
            _ => return None,
        };
        let length = length()?;
        let digest = match (parts.get("sha256"), parts.get("hidden")) {
            (Some(digest), None) => Some(digest.as_str()?.to_owned()),
            (None, Some(_)) => None,
            (None, None) => return Some(Self::Other { is_list, length }),
            (Some(_), Some(_)) => return None,
        };
        Some(Self::Hidden {
            is_list,
            length,
            digest,
        })
    }
}

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, fact) in &self.fields {
            map.serialize_entry(name, &fact.json())?;
        }
        map.end()
    }
}

/// Whether a text may stand in a log: short, nobody's credential, and without what would be escaped at six times
/// its length.
fn is_plain(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.contains(char::is_control) && redact(text) == text
}

fn short_digest(raw: &str) -> String {
    let digest = digest(&SHA256, raw.as_bytes());
    let first = digest.as_ref().first_chunk::<8>();
    first.map(|it| HEXLOWER.encode(it)).unwrap_or_default()
}
