//! The schema of limits.

use serde_json::{Value, json};

use super::super::{mapping, named, text_of};
use super::with;

pub(super) fn limit(title: &str, rate: &str) -> Value {
    let limit = mapping(
        "How often requests may come, or how many sessions may run at once.",
        &["name", "per"],
        json!({
            "name": text_of("The limit's name, unique in its file.", title),
            "per": {
                "description": "Who shares it. An organization is the one that a request's path names.",
                "enum": ["everyone", "organization", "team", "caller", "caller+operation"],
            },
            "callers": named("callers", "Whom it is for. Left out: all callers of the team, or of all teams in a guard rail."),
            "operations": named("operations", "Which requests count. Left out: all."),
            "rate": text_of("How many requests are earned back in which time: 5/s, 60/min or 1000/h.", rate),
            "burst": {
                "description": "How many requests fit at once.",
                "type": "integer", "minimum": 1, "maximum": 1_000_000,
            },
            "wait": text_of("How long a request may wait for its turn: 500ms, 2s, at most 60s. Left out: it is refused at once.", "^[^-]*[1-9]"),
            "sessions": {
                "description": "How many sessions may run at once.",
                "type": "integer", "minimum": 1, "maximum": 1_000_000,
            },
            "shadow": named("shadow", "Whether it is evaluated and logged only."),
        }),
    );
    let not = |fields: &[&str]| {
        let fields = fields.iter().map(|it| ((*it).to_owned(), json!(false)));
        fields.collect::<Value>()
    };
    let mut of_sessions = not(&["rate", "burst", "wait", "operations"]);
    if let Value::Object(fields) = &mut of_sessions {
        let per = json!({ "not": { "const": "caller+operation" } });
        fields.insert("per".to_owned(), per);
    }
    with(
        limit,
        json!({ "oneOf": [
            { "required": ["rate", "burst"], "properties": not(&["sessions"]) },
            { "required": ["sessions"], "properties": of_sessions },
        ] }),
    )
}

/// In a team's file.
pub(super) fn not_of_everyone() -> Value {
    json!({ "properties": { "per": {
        "description": "`per: everyone` is for guard rails.",
        "enum": ["organization", "team", "caller", "caller+operation"],
    } } })
}
