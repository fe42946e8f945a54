//! The schema of tests of policies.

use serde_json::{Value, json};

use super::{DIALECT, mapping, text_of};
use crate::catalogue::{OperationIx, Verb};
use crate::problem::Code;

pub(super) fn schema() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "Tests of policies, for `tollgate test`",
        "description": "Requests, and what the policies must decide about them.",
        "type": "object",
        "additionalProperties": false,
        "required": ["tests"],
        "properties": {
            "caller": { "description": "Who asks, where a test does not say so itself.", "type": "string" },
            "tests": {
                "description": "One request each.",
                "type": "array",
                "items": { "$ref": "#/$defs/test" },
            },
        },
        "$defs": { "test": test(), "rule": rule(), "code": code() },
    })
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

fn test() -> Value {
    let verbs: Vec<&str> = [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete]
        .into_iter()
        .map(Verb::as_str)
        .collect();
    let operations: Vec<&str> = OperationIx::served().map(|ix| ix.row().id).collect();
    let decision = || json!({ "description": "What must be decided.", "enum": ["allow", "deny"] });
    let mut test = mapping(
        "A request, and what must be decided about it.",
        &["decision"],
        json!({
            "name": { "description": "What the test shows.", "type": "string" },
            "caller": { "description": "Who asks.", "type": "string" },
            "request": text_of(
                "Method, path and query: GET /v3/organizations/org-web/sessions?first=10.",
                &format!("^({}) /", verbs.join("|")),
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
        }),
    );
    if let Value::Object(test) = &mut test {
        let one_of_two = json!([
            { "required": ["request"] },
            { "required": ["operation"] },
        ]);
        test.insert("oneOf".to_owned(), one_of_two);
        let more = json!({ "organization": ["operation"], "query": ["operation"] });
        test.insert("dependentRequired".to_owned(), more);
        let not_both = json!({ "required": ["body", "body_text"] });
        test.insert("not".to_owned(), not_both);
    }
    test
}
