//! The schema of tests of policies.

use serde_json::{Value, json};

use super::{DIALECT, mapping, text_of};
use crate::catalogue::OperationIx;
use crate::problem::Code;

pub(super) fn schema() -> Value {
    let mut file = fields();
    if let Value::Object(file) = &mut file {
        let tests = json!({
            "description": "One request each. What a test does not say itself, the head of the file says.",
            "type": "array",
            "minItems": 1,
            "items": { "$ref": "#/$defs/test" },
        });
        file.insert("tests".to_owned(), tests);
    }
    json!({
        "$schema": DIALECT,
        "title": "Tests of policies, for `tollgate test`",
        "description": "Requests, and what the policies must decide about them.",
        "type": "object",
        "additionalProperties": false,
        "required": ["tests"],
        "properties": file,
        "allOf": [
            told_somewhere(&["decision"]),
            told_somewhere(&["caller"]),
            told_somewhere(&["request", "operation"]),
        ],
        "not": clashes(),
        "$defs": { "test": test(), "rule": rule(), "code": code() },
    })
}

/// One of these fields stands at the head, or in every test.
fn told_somewhere(names: &[&str]) -> Value {
    let one_of = |names: &[&str]| {
        let all: Vec<Value> = names
            .iter()
            .map(|name| json!({ "required": [name] }))
            .collect();
        json!({ "anyOf": all })
    };
    json!({ "anyOf": [
        one_of(names),
        { "properties": { "tests": { "items": one_of(names) } } },
    ] })
}

/// Fields that stand for one another, or belong to the other one.
fn clashes() -> Value {
    json!({ "anyOf": [
        { "required": ["request", "operation"] },
        { "required": ["body", "body_text"] },
    ] })
}

fn rule() -> Value {
    json!({
        "description": "The rule that decides, as team/name.",
        "type": "string",
    })
}

/// Every code that an answer can have.
fn code() -> Value {
    let all: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    json!({ "description": "The code of the refusal.", "enum": all })
}

/// What a test can say, and the head of a file for all of its tests.
fn fields() -> Value {
    let operations: Vec<&str> = OperationIx::served().map(|ix| ix.row().id).collect();
    let decision = || json!({ "description": "What must be decided.", "enum": ["allow", "deny"] });
    json!({
        "caller": { "description": "Who asks.", "type": "string" },
        "request": text_of(
            "Method, path and query: GET /v3/organizations/org-web/sessions?first=10.",
            // A test may well ask for a method that no operation has.
            "^\\s*[A-Z]+ ",
        ),
        "operation": { "description": "The operation, in place of `request:`.", "enum": operations },
        "organization": { "description": "The organization that the operation's path names.", "type": "string" },
        "query": { "description": "The operation's query, without its `?`.", "type": "string" },
        "body": { "description": "The JSON body: any value." },
        "body_text": { "description": "The body as the very bytes that are sent.", "type": "string" },
        "decision": decision(),
        "rule": { "$ref": "#/$defs/rule" },
        "code": { "$ref": "#/$defs/code" },
        "field": { "description": "The field that the refusal names.", "type": "string" },
        "forwarded": { "description": "The JSON body that Devin must get." },
        "forwarded_query": { "description": "The query that Devin must get, without its `?`.", "type": "string" },
        "shadow": {
            "description": "What shadowed rules would have decided otherwise: `none`, or what.",
            "anyOf": [
                { "const": "none", "description": "Nothing." },
                mapping("The other decision.", &["decision"], json!({
                    "decision": decision(),
                    "rule": { "$ref": "#/$defs/rule" },
                    "code": { "$ref": "#/$defs/code" },
                })),
            ],
        },
    })
}

fn test() -> Value {
    let mut properties = fields();
    if let Value::Object(properties) = &mut properties {
        let name = json!({ "description": "What the test shows.", "type": "string" });
        properties.insert("name".to_owned(), name);
    }
    let mut test = mapping(
        "A request, and what must be decided about it.",
        &[],
        properties,
    );
    if let Value::Object(test) = &mut test {
        // A request has its organization and its query in its line.
        let not = json!({ "anyOf": [
            clashes(),
            { "required": ["request", "organization"] },
            { "required": ["request", "query"] },
        ] });
        test.insert("not".to_owned(), not);
    }
    test
}
