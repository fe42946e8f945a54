//! An object that is read whole, for small ones: tokens and key sets.

use serde_json::{Map, Value};

use super::check::Invalid;
use super::document::{Document, Kind};

/// An object without duplicate keys, at any depth.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(pub Map<String, Value>);

/// Why bytes are no such object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoObject {
    /// No document with one meaning.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A list, say.
    #[error("it is a {}, not an object", .0.as_str())]
    Kind(Kind),
}

impl Object {
    /// Reads an object, as strictly as [`Document::parse`].
    ///
    /// # Errors
    /// See [`NoObject`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoObject> {
        let root = Document::parse(bytes)?.root();
        match root.kind() {
            Kind::Object => Ok(Self(root.to_map())),
            kind @ (Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::List) => {
                Err(NoObject::Kind(kind))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b1_duplicates_are_refused_however_they_are_spelled() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":1}}"#,
            r#"{"x":[{"a":1,"a":1}]}"#,
        ] {
            assert!(Object::parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["[]", "1", "{} x", "{\"a\":1e999}", "\u{feff}{}"] {
            assert!(Object::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        assert!(Object::parse(deep.as_bytes()).is_err());
        let text = r#"{"a":[1,-2,18446744073709551615,1.5,"x",null,true,{"b":[]}]}"#;
        let object = Object::parse(text.as_bytes()).unwrap();
        assert_eq!(
            Value::Object(object.0),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn a_key_that_serde_json_keeps_for_itself_is_a_key_like_any_other() {
        let text = r#"{"$serde_json::private::RawValue":"{\"sub\":\"admin\"}"}"#;
        let Object(members) = Object::parse(text.as_bytes()).unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!(
            members["$serde_json::private::RawValue"],
            r#"{"sub":"admin"}"#
        );
        // This is why: its own reading is another.
        let other: Value = serde_json::from_str(text).unwrap();
        assert_eq!(other["sub"], "admin");
    }
}
