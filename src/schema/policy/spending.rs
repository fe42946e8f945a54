//! The parts that are about money: budgets, former names, and what a grant says of sessions and spending.

use serde_json::{Value, json};

use super::super::{mapping, named, text_of};
use crate::acu::MAX_ACUS;
use crate::budget::Cycle;

/// A budget's id: a name, or a name behind a team's.
const ACCOUNT: &str = "^[A-Za-z0-9._/-]([A-Za-z0-9 ._/-]{0,126}[A-Za-z0-9._/-])?$";
/// `devin`, an offset of whole quarters of an hour, or the name of a zone, which this cannot tell from others.
const ZONE: &str = "^(devin|[+-](0[0-9]|1[0-3]):(00|15|30|45)|[+-]14:00|[A-Z][A-Za-z0-9_+/-]*)$";
const PERCENT: &str = "^([1-9][0-9]?|100)%$";

pub(super) fn budget(title: &str) -> Value {
    let of = |every: &str| json!({ "properties": { "every": { "const": every } } });
    let mut budget = mapping(
        "How many ACUs may be spent in which time.",
        &["name", "per", "acus", "every"],
        json!({
            "name": text_of("The budget's name, unique in its file.", title),
            "id": text_of("What its raises and adjustments are kept under, unique over all files. Left out: team/name.", ACCOUNT),
            "per": {
                "description": "Whose spending counts together: one account for each of these.",
                "enum": ["everyone", "organization", "team", "caller"],
            },
            "acus": acus("How much may be spent and held in one window."),
            "every": {
                "description": "The window: a calendar day, a week from Monday, a month, or a cycle with bounds of its own.",
                "enum": ["day", "week", "month", "cycle"],
            },
            "timezone": text_of("Where days turn: Asia/Tokyo, +09:00, UTC, or `devin` for the day that Devin bills by. Left out: UTC.", ZONE),
            "cycle": cycle(),
            "alert_at": {
                "description": "At which percentages of it somebody is told, rising.",
                "type": "array", "minItems": 1, "maxItems": 10, "uniqueItems": true,
                "items": { "type": "string", "pattern": PERCENT },
            },
            "shadow": named("shadow", "Whether it is counted and never held."),
        }),
    );
    if let Value::Object(budget) = &mut budget {
        let has_cycle = json!({ "required": ["cycle"] });
        budget.insert("if".to_owned(), of("cycle"));
        budget.insert("then".to_owned(), has_cycle.clone());
        budget.insert("else".to_owned(), json!({ "not": has_cycle }));
    }
    budget
}

fn cycle() -> Value {
    let mut cycle = mapping(
        "With `every: cycle`: a day on which one begins, and how long it is.",
        &["starts"],
        json!({
            "starts": text_of("The first day of some cycle; counted in months, one of the first 28.", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
            "days": { "description": "So many days.", "type": "integer", "minimum": 1, "maximum": Cycle::MAX_DAYS },
            "months": { "description": "So many months.", "type": "integer", "minimum": 1, "maximum": Cycle::MAX_MONTHS },
        }),
    );
    if let Value::Object(cycle) = &mut cycle {
        let either = json!([{ "required": ["days"] }, { "required": ["months"] }]);
        cycle.insert("oneOf".to_owned(), either);
    }
    cycle
}

fn acus(description: &str) -> Value {
    json!({ "description": description, "type": "integer", "minimum": 1, "maximum": MAX_ACUS })
}

/// In a team's file.
pub(super) fn not_of_everyone() -> Value {
    json!({ "properties": { "per": {
        "description": "`per: everyone` is for guard rails.",
        "enum": ["organization", "team", "caller"],
    } } })
}

pub(super) fn former(name: &str) -> Value {
    json!({
        "description": "Former names. None is a present name, and none stands twice in all files.",
        "type": "array", "minItems": 1, "maxItems": 20, "uniqueItems": true,
        "items": { "type": "string", "pattern": name },
    })
}

pub(super) fn sessions() -> Value {
    json!({
        "description": "Which sessions its operations may touch: the caller's own (left out, the same), its team's, or any.",
        "enum": ["own", "team", "any"],
    })
}

pub(super) fn uncapped() -> Value {
    let mut uncapped = mapping(
        "What is charged for what Devin cannot be told a cap of.",
        &["acus", "per"],
        json!({
            "acus": acus("How much is charged."),
            "per": {
                "description": "For each request, or for each window of the shortest budget while what was set up exists.",
                "enum": ["run", "window"],
            },
            "on_no_room": {
                "description": "What was set up is disabled where a window has no room for it.",
                "const": "disable",
            },
        }),
    );
    if let Value::Object(uncapped) = &mut uncapped {
        let window = json!({ "on_no_room": { "properties": { "per": { "const": "window" } } } });
        uncapped.insert("dependentSchemas".to_owned(), window);
    }
    uncapped
}

/// A grant's rule for the cap of a session: a field's rule, and what becomes of one that has no room.
pub(super) fn cap(mut field: Value, is_number: Value) -> Value {
    if let Some(Value::Object(known)) = field.pointer_mut("/properties") {
        let no_room = json!({
            "description": "What becomes of a cap that a budget has no room for: the request is refused, or what there is room for is sent.",
            "enum": ["refuse", "clamp"],
        });
        known.insert("no_room".to_owned(), no_room);
    }
    json!({ "anyOf": [
        { "const": "any", "description": "It may be anything." },
        { "allOf": [field, is_number] },
    ] })
}
