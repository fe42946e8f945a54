//! Whether a text is one JSON document with one meaning. It builds nothing.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The deepest nesting: a list or an object inside this many others is refused.
pub const MAX_DEPTH: usize = 64;
/// The most characters of a key that are shown.
const MAX_SHOWN: usize = 64;

/// Why bytes are no JSON document with one meaning. No value of theirs is shown; columns count bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// UTF-16, Latin-1, or broken.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// RFC 8259 section 8.1 forbids it, and readers differ on it.
    #[error("the text begins with a byte order mark")]
    ByteOrderMark,
    /// See [`MAX_DEPTH`].
    #[error("lists and objects are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Readers differ on which of the two counts.
    #[error("the key {key:?} stands twice in one object, at line {line} column {column}")]
    Duplicate {
        /// The key without its escapes, cut to 64 characters.
        key: String,
        /// Where it stands the second time.
        line: usize,
        /// Its end, about.
        column: usize,
    },
    /// It is neither an `i64` nor a finite `f64`, like `1e999`.
    #[error("a number is out of range, at line {line} column {column}")]
    Number {
        /// Where it stands.
        line: usize,
        /// Its end, about.
        column: usize,
    },
    /// Not JSON (RFC 8259), not one value, or a string with half a surrogate pair.
    #[error("{what} at line {line} column {column}")]
    Syntax {
        /// What is wrong there.
        what: String,
        /// Where it was noticed.
        line: usize,
        /// Where in that line.
        column: usize,
    },
}

/// The text of a document, if it is one.
pub(super) fn check(bytes: &[u8]) -> Result<&str, Invalid> {
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid::NotUtf8)?;
    if text.starts_with('\u{feff}') {
        return Err(Invalid::ByteOrderMark);
    }
    let found = Cell::new(None);
    let check = Check {
        depth: 0,
        found: &found,
    };
    let mut parser = serde_json::Deserializer::from_str(text);
    match check.deserialize(&mut parser).and_then(|()| parser.end()) {
        Ok(()) => Ok(text),
        Err(error) => Err(explain(&error, found.take())),
    }
}

fn explain(error: &serde_json::Error, found: Option<Found>) -> Invalid {
    let (line, column) = (error.line(), error.column());
    match found {
        Some(Found::TooDeep) => Invalid::TooDeep,
        Some(Found::Duplicate(key)) => Invalid::Duplicate { key, line, column },
        None => {
            let text = error.to_string();
            let place = format!(" at line {line} column {column}");
            match text.strip_suffix(&place).unwrap_or(&text) {
                // It has no kind of its own; a test notices if the words change.
                "number out of range" => Invalid::Number { line, column },
                what => Invalid::Syntax {
                    what: what.to_owned(),
                    line,
                    column,
                },
            }
        }
    }
}

/// What the parser itself does not mind.
enum Found {
    TooDeep,
    Duplicate(String),
}

/// A string without its escapes, borrowed where it has none.
#[derive(Deserialize, PartialEq, Eq, Hash)]
pub(super) struct Text<'t>(#[serde(borrow)] pub(super) Cow<'t, str>);

/// Reads a value and keeps nothing of it. Strings are read too, not skipped: skipping does not look at surrogates.
#[derive(Clone, Copy)]
struct Check<'a> {
    /// How many lists and objects it is in.
    depth: usize,
    found: &'a Cell<Option<Found>>,
}

impl Check<'_> {
    fn inside<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.refuse(Found::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    fn refuse<E: Error>(self, found: Found) -> E {
        self.found.set(Some(found));
        E::custom("refused")
    }
}

impl<'t> DeserializeSeed<'t> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    // What no i64 holds is still a finite f64.
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    // It is finite: the parser makes no other.
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while seq.next_element_seed(inside)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<Text<'t>>()? {
            if let Some(Text(key)) = keys.replace(key) {
                let shown = key.chars().take(MAX_SHOWN).collect();
                return Err(self.refuse(Found::Duplicate(shown)));
            }
            map.next_value_seed(inside)?;
        }
        Ok(())
    }
}
