//! The schema of tests of policies.

use serde_json::{Map, Value, json};

use super::{DIALECT, mapping, text_of};
use crate::catalogue::OperationIx;
use crate::problem::Code;

pub(super) fn schema() -> Value {
    let mut properties = fields();
    properties.insert(
        "tests".to_owned(),
        json!({
            "description": "One request each.",
            "type": "array",
            "minItems": 1,
            "items": { "$ref": "#/$defs/test" },
        }),
    );
    json!({
        "$schema": DIALECT,
        "title": "Tests of policies, for `tollgate test`",
        "description": "Requests, and what the policies must decide about them. Each field beside `tests:` is a default for all of them.",
        "type": "object",
        "additionalProperties": false,
        "required": ["tests"],
        "properties": properties,
        "not": never_both(&[["request", "operation"], ["body", "body_text"]]),
        "allOf": [
            here_or_there(&["caller"]),
            here_or_there(&["decision"]),
            here_or_there(&["request", "operation"]),
        ],
        "$defs": { "test": test(), "rule": rule(), "code": code() },
    })
}

/// Pairs of fields of which one at most can be there.
fn never_both(pairs: &[[&str; 2]]) -> Value {
    let both: Vec<Value> = pairs.iter().map(|it| json!({ "required": it })).collect();
    json!({ "anyOf": both })
}

/// Whether one of these stands at the head of the file, or in each test.
fn here_or_there(fields: &[&str]) -> Value {
    let any: Vec<Value> = fields
        .iter()
        .map(|it| json!({ "required": [it] }))
        .collect();
    let in_each = json!({ "properties": { "tests": { "items": { "anyOf": any } } } });
    json!({ "anyOf": [{ "anyOf": any }, in_each] })
}

fn rule() -> Value {
    json!({
        "description": "The rule that decides, as team/name (of guard rails: file/name); or `none`.",
        "type": "string",
    })
}

/// Every code that an answer can have.
fn code() -> Value {
    let all: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    json!({ "description": "The code of the refusal.", "enum": all })
}

fn test() -> Value {
    let mut properties = fields();
    properties.insert(
        "name".to_owned(),
        json!({ "description": "What is shown if it fails.", "type": "string" }),
    );
    let description = "A request, and what must be decided about it.";
    let mut test = mapping(description, &[], Value::Object(properties));
    if let Value::Object(test) = &mut test {
        let never = never_both(&[
            ["request", "operation"],
            ["request", "organization"],
            ["request", "query"],
            ["body", "body_text"],
        ]);
        test.insert("not".to_owned(), never);
    }
    test
}

/// The fields that a test and the head of its file have in common.
fn fields() -> Map<String, Value> {
    let operations: Vec<&str> = OperationIx::served().map(|ix| ix.row().id).collect();
    let decision = || json!({ "description": "What must be decided.", "enum": ["allow", "deny"] });
    let request = "Method, path and query: GET /v3/organizations/org-web/sessions?first=10.";
    let shadow = json!({
        "description": "What shadowed rules would have decided otherwise: `none`, or what.",
        "anyOf": [
            { "const": "none", "description": "Nothing." },
            mapping("The other decision.", &["decision"], json!({
                "decision": decision(),
                "rule": { "$ref": "#/$defs/rule" },
                "code": { "$ref": "#/$defs/code" },
            })),
        ],
    });
    let fields = [
        (
            "caller",
            json!({ "description": "Who asks.", "type": "string" }),
        ),
        ("request", text_of(request, "^\\s*[A-Z]+ ")),
        (
            "operation",
            json!({ "description": "The operation, in place of `request:`.", "enum": operations }),
        ),
        (
            "organization",
            json!({ "description": "The organization that the operation's path names.", "type": "string" }),
        ),
        (
            "query",
            json!({ "description": "The operation's query, without its `?`.", "type": "string" }),
        ),
        (
            "body",
            json!({ "description": "The JSON body: any value." }),
        ),
        (
            "body_text",
            json!({ "description": "The body as the very bytes that are sent.", "type": "string" }),
        ),
        ("decision", decision()),
        ("rule", json!({ "$ref": "#/$defs/rule" })),
        ("code", json!({ "$ref": "#/$defs/code" })),
        (
            "field",
            json!({ "description": "The field that the refusal names.", "type": "string" }),
        ),
        (
            "forwarded",
            json!({ "description": "The JSON body that Devin must get." }),
        ),
        (
            "forwarded_query",
            json!({ "description": "The query that Devin must get, without its `?`.", "type": "string" }),
        ),
        ("shadow", shadow),
    ];
    let fields = fields.into_iter();
    fields
        .map(|(name, field)| (name.to_owned(), field))
        .collect()
}
