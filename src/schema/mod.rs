//! JSON Schemas of the files that people write, for their editors. Pure.
//!
//! `tollgate schema` prints them, and docs/schemas keeps copies that editors
//! can be pointed at. A schema sees one file and no names: whatever it refuses,
//! `tollgate check` refuses too, but not the other way round. Operations, fields
//! and codes come from the tables that the gateway itself works with.

mod config;
mod policy;
mod test;

use serde_json::{Value, json};

/// The dialect of all of them.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Which files are described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Policy files: `policies/*.yaml`.
    Policy,
    /// Tests of policies: `*.test.yaml`.
    Test,
    /// The configuration: `tollgate.yaml`.
    Config,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Policy, Self::Test, Self::Config];

    /// Its name on the command line and in docs/schemas.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Test => "test",
            Self::Config => "config",
        }
    }
}

/// The schema as a text with a line end, as it is printed and kept.
pub fn text(kind: Kind) -> String {
    let schema = match kind {
        Kind::Policy => policy::schema(),
        Kind::Test => test::schema(),
        Kind::Config => config::schema(),
    };
    format!("{schema:#}\n")
}

/// A mapping with these fields and no other.
fn mapping(description: &str, required: &[&str], properties: Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

/// A list that is not empty and holds nothing twice.
fn words(description: &str, items: Value) -> Value {
    json!({
        "description": description,
        "type": "array",
        "minItems": 1,
        "uniqueItems": true,
        "items": items,
    })
}

/// A definition of the same file, in other words here.
fn named(definition: &str, description: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}"), "description": description })
}

fn text_of(description: &str, pattern: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": pattern })
}

/// A time with its unit; the program knows more forms than this can tell from nonsense.
fn duration(description: &str) -> Value {
    text_of(description, "^[^-]*[0-9]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copies_in_docs_are_fresh() {
        for kind in Kind::ALL {
            let name = kind.name();
            let path = format!("docs/schemas/{name}.schema.json");
            let kept = std::fs::read_to_string(
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&path),
            );
            assert!(
                kept.is_ok_and(|kept| kept == text(kind)),
                "{path} is stale: refresh it with `cargo run -- schema {name} > {path}`"
            );
        }
    }

    /// Every `$ref` of a schema, and every definition.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    if name == "$ref" {
                        found.push(member.as_str().unwrap().to_owned());
                    }
                    references(member, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|it| references(it, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_definition_is_there_and_used() {
        for kind in Kind::ALL {
            let schema: Value = serde_json::from_str(&text(kind)).unwrap();
            let mut used = Vec::new();
            references(&schema, &mut used);
            for reference in &used {
                let at = reference.strip_prefix('#').unwrap();
                assert!(schema.pointer(at).is_some(), "{kind:?}: {reference}");
            }
            let definitions = schema["$defs"].as_object();
            for name in definitions.into_iter().flat_map(serde_json::Map::keys) {
                let reference = format!("#/$defs/{name}");
                assert!(used.contains(&reference), "{kind:?}: {name} is not used");
            }
        }
    }
}
