//! The schema of policy files.

mod limits;
mod spending;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{DIALECT, duration, mapping, named, text_of, words};
use crate::catalogue::{Field, Operation, OperationIx, expand};

/// Names of teams and callers.
const NAME: &str = "^[a-z0-9._-]{1,64}$";
/// Names of rules and limits.
const TITLE: &str = "^[A-Za-z0-9._-]([A-Za-z0-9 ._-]{0,62}[A-Za-z0-9._-])?$";
/// What an owner may be: nothing that cannot be seen.
const VISIBLE: &str =
    r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+$";
/// The way to a field of a body.
const PATH: &str = r"^[A-Za-z0-9_-]+(\[\])*(\.[A-Za-z0-9_-]+(\[\])*)*$";
const DATE: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$";
const RATE: &str = r"^\s*0*([1-9][0-9]{0,5}|1000000)\s*/\s*(s|sec|second|min|minute|h|hour)\s*$";
pub(super) const SIZE: &str = "^0*([1-9][0-9]{0,2}|10[01][0-9]|102[0-4])(KiB|MiB|GiB)$";

pub(super) fn schema() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "A policy file of Tollgate",
        "description": "With `team:`, one team's callers and what they may do. Without, guard rails over every caller of every team.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "team": text_of("The team's name. Each team has one file.", NAME),
            "owner": json!({
                "description": "Whom to ask; shown in refusals by this file's rules.",
                "type": "string", "maxLength": 256, "pattern": VISIBLE,
            }),
            "callers": json!({
                "description": "Named clients. Names are unique over all files.",
                "type": "object",
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "$ref": "#/$defs/caller" },
            }),
            "allow": list("What may be done. What nothing allows is denied.", "allow"),
            "deny": list("What may not be done, whatever allows it.", "deny"),
            "bounds": list("Bounds on fields over the grants of all teams. They allow nothing and tighten what is allowed.", "bounds"),
            "limits": list("How often requests may come, and how many sessions may run at once.", "limit"),
            "budgets": list("How many ACUs may be spent in which time.", "budget"),
            "renamed_from": named("former", "What the team was called: entries of the ledger keep the name that they were made under."),
            "shadow": json!({
                "description": "Whether all of this file's rules, limits and budgets are evaluated and logged only.",
                "type": "boolean",
            }),
        },
        "allOf": [
            {
                "if": { "required": ["team"] },
                "then": { "properties": {
                    "bounds": {
                        "description": "`bounds:` are for guard rails: a team's own bounds stand in its allow rules.",
                        "maxItems": 0,
                    },
                    "budgets": { "items": spending::not_of_everyone() },
                    "limits": { "items": limits::not_of_everyone() },
                } },
                "else": { "properties": {
                    "callers": {
                        "description": "A file without `team:` holds guard rails, and has no callers.",
                        "maxProperties": 0,
                    },
                    "renamed_from": false,
                } },
            },
            {
                "if": { "required": ["shadow"], "properties": { "shadow": { "const": true } } },
                "then": { "properties": {
                    "allow": { "items": not_live() }, "deny": { "items": not_live() },
                    "bounds": { "items": not_live() }, "limits": { "items": not_live() },
                    "budgets": { "items": not_live() },
                } },
            },
        ],
        "$defs": definitions(),
    })
}

/// In a shadowed file, nothing says that it is live.
fn not_live() -> Value {
    json!({ "properties": { "shadow": { "const": true } } })
}

fn list(description: &str, definition: &str) -> Value {
    json!({
        "description": description,
        "type": "array",
        "items": { "$ref": format!("#/$defs/{definition}") },
    })
}

fn definitions() -> Value {
    json!({
        "caller": mapping("A client, and how it shows who it is.", &[], json!({
            "keys": {
                "description": "API keys. Two live ones make a rotation without an outage.",
                "type": "array",
                "items": { "$ref": "#/$defs/key" },
            },
            "jwt": mapping("The tokens of an issuer that are this caller's.", &["issuer", "claims"], json!({
                "issuer": { "description": "The name of an issuer in tollgate.yaml.", "type": "string" },
                "claims": {
                    "description": "What a token must have: each claim of this type, and equal byte for byte.",
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": { "type": ["string", "integer", "boolean"] },
                },
            })),
            "renamed_from": named("former", "What the caller was called: entries of the ledger keep the name that they were made under."),
        })),
        "former": spending::former(NAME),
        "key": mapping("An API key; `tollgate keys new` prints the line.", &["id", "sha256"], json!({
            "id": text_of("The key's public half, unique over all files.", "^[a-z0-9-]{1,32}$"),
            "sha256": text_of("The SHA-256 of the whole key. The key itself stands nowhere.", "^[0-9a-f]{64}$"),
            "expires": text_of("From when on it is refused: a day (00:00 UTC) or an instant.", DATE),
        })),
        "name": text_of("The rule's name, unique in its file; logs show it as team/name.", TITLE),
        "callers": words(
            "Whom it is for. Left out: all callers of the team, or of all teams in a guard rail.",
            json!({ "type": "string" }),
        ),
        "operations": words("What is called; `tollgate operations` lists all.", operation()),
        "organizations": {
            "description": "For which organizations.",
            "anyOf": [
                { "const": "any", "description": "All of them, and what names none." },
                words("Ids of organizations.", json!({
                    "type": "string", "pattern": "^[A-Za-z0-9_-]+$", "not": { "const": "any" },
                })),
            ],
        },
        "shadow": {
            "description": "Whether it is evaluated and logged only.",
            "type": "boolean",
        },
        "allow": mapping("A grant.", &["name", "operations", "organizations"], rule(json!({
            "body": fields(Place::Body, Whose::Grant),
            "query": fields(Place::Query, Whose::Grant),
            "unknown": unknown(),
            "secrets": {
                "description": "Answers that hold a one-time secret may be given.",
                "const": "reveal",
            },
            "upload": named("upload", "What an upload may be."),
            "sessions": spending::sessions(),
            "uncapped": named("uncapped", "What is charged for what Devin cannot be told a cap of."),
            "cache": duration("For reads: how long an answer is kept for its caller, such as 2s; 60s at most. Left out: it is not."),
        }))),
        "uncapped": spending::uncapped(),
        "budget": spending::budget(TITLE),
        "deny": mapping("A rule that refuses whole operations.", &["name", "operations"], rule(json!({}))),
        "bounds": with(
            mapping("Bounds on the fields of what teams grant.", &["name", "operations"], rule(json!({
                "body": fields(Place::Body, Whose::Rail),
                "query": fields(Place::Query, Whose::Rail),
                "unknown": unknown(),
                "upload": named("upload", "What an upload may be."),
            }))),
            json!({ "anyOf": [
                { "required": ["body"] },
                { "required": ["query"] },
                { "required": ["upload"] },
                { "required": ["unknown"], "properties": { "unknown": { "const": "refuse" } } },
            ] }),
        ),
        "limit": limits::limit(TITLE, RATE),
        "scalar": {
            "anyOf": [{ "type": "string", "maxLength": 1024 }, { "type": ["integer", "boolean"] }],
        },
        "field": field(),
        "cap": spending::cap(field(), number_is_no_text()),
        "bodyField": body_field(),
        "queryField": { "$ref": "#/$defs/field" },
        "grantedBodyField": granted("bodyField"),
        "grantedQueryField": granted("queryField"),
        "upload": with(
            mapping("What an upload may be.", &[], json!({
                "max_size": text_of("The size of the whole body: 512KiB, 20MiB or 1GiB.", SIZE),
                "max_parts": {
                    "description": "The parts of the form.",
                    "type": "integer", "minimum": 1, "maximum": 10_000,
                },
            })),
            json!({ "minProperties": 1 }),
        ),
    })
}

/// What every rule has, and what this sort has in addition.
fn rule(more: Value) -> Value {
    let common = json!({
        "name": named("name", "The rule's name, unique in its file; logs show it as team/name."),
        "callers": named("callers", "Whom it is for. Left out: all callers of the team, or of all teams in a guard rail."),
        "operations": named("operations", "What is called."),
        "organizations": named("organizations", "For which organizations."),
        "shadow": named("shadow", "Whether it is evaluated and logged only."),
    });
    with(common, more)
}

/// The members of both.
fn with(mut one: Value, more: Value) -> Value {
    if let (Value::Object(one), Value::Object(more)) = (&mut one, more) {
        one.extend(more);
    }
    one
}

/// One operation's id, a group with a wildcard, or everything.
fn operation() -> Value {
    let ids: Vec<&str> = OperationIx::served().map(|ix| ix.row().id).collect();
    let mut groups: Vec<String> = Vec::new();
    for id in &ids {
        for (at, _) in id.match_indices('.') {
            let group = id.get(..at).unwrap_or_default();
            for pattern in [format!("{group}.*"), format!("{group}.**")] {
                if expand(&pattern).is_some() && !groups.contains(&pattern) {
                    groups.push(pattern);
                }
            }
        }
    }
    let mut all = vec!["**"];
    all.extend(&ids);
    all.extend(groups.iter().map(String::as_str));
    // The group of an operation that has none below it yet: right, and nothing to offer.
    let alone: Vec<String> = ids.iter().map(|id| id.replace('.', r"\.")).collect();
    json!({
        "anyOf": [
            { "enum": all },
            { "type": "string", "pattern": format!(r"^({})\.\*\*$", alone.join("|")) },
        ],
    })
}

fn unknown() -> Value {
    json!({
        "description": "What becomes of fields and query keys that the catalogue does not know.",
        "enum": ["pass", "refuse"],
    })
}

/// Where fields stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Body,
    Query,
}

/// Whose bounds they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Grant,
    Rail,
}

/// The rules for the fields of the body or the query.
fn fields(place: Place, whose: Whose) -> Value {
    let definition = match (place, whose) {
        (Place::Body, Whose::Grant) => "grantedBodyField",
        (Place::Body, Whose::Rail) => "bodyField",
        (Place::Query, Whose::Grant) => "grantedQueryField",
        (Place::Query, Whose::Rail) => "queryField",
    };
    let description = match place {
        Place::Body => {
            "What fields of the JSON body may be: `a.b` is a member, `list[].key` one of each element."
        }
        Place::Query => "What keys of the query may be.",
    };
    let rule = json!({ "$ref": format!("#/$defs/{definition}") });
    let known: Map<String, Value> = known(place)
        .into_iter()
        .map(|(name, description)| {
            let mut rule = named(definition, &description);
            if place == Place::Body && name == "max_acu_limit" {
                // Nowhere else can a budget have no room.
                rule = match whose {
                    Whose::Grant => named("cap", &description),
                    Whose::Rail => rule,
                };
                rule = with(rule, at_least_one());
            }
            (name.to_owned(), rule)
        })
        .collect();
    let all = json!({
        "description": description,
        "type": "object",
        "minProperties": 1,
        "properties": known,
        "additionalProperties": rule,
    });
    match place {
        Place::Query => all,
        Place::Body => with(
            all,
            json!({
                "propertyNames": { "pattern": PATH },
                // An element of a list is never missing.
                "patternProperties": { r"\[\]$": {
                    "allOf": [rule, { "not": { "anyOf": [
                        { "type": "object", "required": ["default"] },
                        { "type": "object", "required": ["required"] },
                        { "type": "object", "required": ["absent"] },
                    ] } }],
                } },
            }),
        ),
    }
}

/// A session's cap is one ACU at least.
fn at_least_one() -> Value {
    let one = json!({ "minimum": 1 });
    json!({ "properties": { "min": one, "max": one, "default": one } })
}

/// The fields that the catalogue knows, with what is said of each.
fn known(place: Place) -> BTreeMap<&'static str, String> {
    let mut users: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for row in OperationIx::served().map(OperationIx::row) {
        let mut note = |name| users.entry(name).or_default().push(row);
        match place {
            Place::Body => row.body_fields().for_each(|field| note(field.path)),
            Place::Query => row.query_fields().map(Field::key).for_each(note),
        }
    }
    let describe = |(name, rows): (&'static str, Vec<&Operation>)| {
        let mut text = format!(
            "Of {}",
            rows.iter()
                .take(3)
                .map(|row| row.id)
                .collect::<Vec<_>>()
                .join(", ")
        );
        if rows.len() > 3 {
            text.push_str(&format!(" and {} more", rows.len() - 3));
        }
        text.push('.');
        let is_guarded = |row: &&Operation| {
            let mut guards = row.guards.iter();
            guards.any(|it| it.path() == name && it.is_in_body() == (place == Place::Body))
        };
        if rows.iter().any(is_guarded) {
            text.push_str(" Guarded: refused unless the grant names it.");
        }
        (name, text)
    };
    users.into_iter().map(describe).collect()
}

/// A field's rule.
fn field() -> Value {
    let pattern = json!({ "type": "string", "minLength": 1, "maxLength": 1024 });
    let scalar = json!({ "$ref": "#/$defs/scalar" });
    let whole = |description: &str| json!({ "description": description, "type": "integer" });
    let count =
        |description: &str| json!({ "description": description, "type": "integer", "minimum": 0 });
    let yes = |description: &str| json!({ "description": description, "const": true });
    let never = |names: &[&str]| {
        let each: Vec<Value> = names.iter().map(|it| json!({ "required": [it] })).collect();
        json!({ "not": { "anyOf": each } })
    };
    with(
        mapping(
            "What a field may be.",
            &[],
            json!({
                "default": {
                    "description": "What is sent where it is absent or null.",
                    "anyOf": [scalar, { "type": "array", "items": scalar }],
                },
                "min": whole("The least whole number."),
                "max": whole("The greatest whole number."),
                "above": {
                    "description": "What becomes of a number over `max:`: the request is refused, or `max:` is sent.",
                    "enum": ["refuse", "clamp"],
                },
                "one_of": words("The values that it may have; of a list, each element.", scalar),
                "matches": {
                    "description": "The form that it must have, or several; `*` stands for any text. Of a list, each element.",
                    "anyOf": [pattern, { "type": "array", "minItems": 1, "items": pattern }],
                },
                "required": yes("It must be sent, and not null."),
                "absent": yes("It must not be sent, or only as null."),
                "add": words("What a list gets in addition.", json!({ "type": "string" })),
                "max_items": count("The most elements of a list."),
                "max_length": count("The most characters of a text; of a list, of each element."),
            }),
        ),
        json!({
            "minProperties": 1,
            "dependentRequired": { "above": ["max"] },
            "dependentSchemas": {
                "absent": { "maxProperties": 1 },
                "required": never(&["default"]),
                "min": never(&["add", "max_items"]),
                "max": never(&["add", "max_items"]),
            },
        }),
    )
}

/// A number of a body is no text.
fn body_field() -> Value {
    with(json!({ "$ref": "#/$defs/field" }), number_is_no_text())
}

fn number_is_no_text() -> Value {
    let no_text = json!({ "not": { "anyOf": [
        { "required": ["matches"] },
        { "required": ["max_length"] },
    ] } });
    json!({ "dependentSchemas": { "min": no_text, "max": no_text } })
}

/// In a grant, `any` is a rule as well.
fn granted(definition: &str) -> Value {
    json!({ "anyOf": [
        { "const": "any", "description": "It may be anything, also if it is guarded." },
        { "$ref": format!("#/$defs/{definition}") },
    ] })
}
