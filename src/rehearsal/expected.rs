//! What a test expects, against what it gets.

use serde_json::{Map, Value, json};

use super::difference::differences;
use super::request::{Request, Verdict, json as parse};
use crate::policy::Shadowed;
use crate::problem::Code;

/// A thing that can also be expected not to be there: `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted<T> {
    /// Nothing.
    Nothing,
    /// This.
    This(T),
}

/// What a test expects; what it does not say is not looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Whether the request goes on.
    pub allow: bool,
    /// The rule that decides.
    pub rule: Option<Wanted<String>>,
    /// The refusal's code.
    pub code: Option<Code>,
    /// The field for which it is refused.
    pub field: Option<String>,
    /// The body that goes on.
    pub forwarded: Option<Value>,
    /// The query that goes on.
    pub forwarded_query: Option<String>,
    /// What shadowed rules would change.
    pub shadow: Option<Wanted<Tried>>,
}

/// What shadowed rules would do, as far as it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Whether the request would go on.
    pub allow: bool,
    /// The rule that would decide.
    pub rule: Option<Wanted<String>>,
    /// The code that the refusal would have.
    pub code: Option<Code>,
}

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The key of the test.
    pub key: &'static str,
    /// What was expected there, and what it is.
    pub said: String,
}

fn decision(allow: bool) -> &'static str {
    if allow { "allow" } else { "deny" }
}

fn wanted_rule(rule: &Wanted<String>) -> &str {
    match rule {
        Wanted::Nothing => "none",
        Wanted::This(name) => name,
    }
}

impl Expected {
    /// Everything that is not as expected.
    pub fn compare(&self, request: &Request, verdict: &Verdict) -> Vec<Mismatch> {
        let mut found = Vec::new();
        let mut scalar = |key, expected: &str, got: &str| {
            if expected != got {
                found.push(Mismatch {
                    key,
                    said: format!("expected {expected}, got {got}"),
                });
            }
        };
        scalar(
            "decision",
            decision(self.allow),
            decision(verdict.is_allowed()),
        );
        if let Some(rule) = &self.rule {
            scalar(
                "rule",
                wanted_rule(rule),
                verdict.rule.as_deref().unwrap_or("none"),
            );
        }
        if let Some(code) = self.code {
            scalar(
                "code",
                code.name(),
                verdict.refusal.as_ref().map_or("none", |it| it.code.name()),
            );
        }
        if let Some(field) = &self.field {
            scalar("field", field, verdict.field().unwrap_or("none"));
        }
        if let Some(query) = &self.forwarded_query {
            let got = request.forwarded_query(verdict).unwrap_or_default();
            scalar(
                "forwarded_query",
                &format!("`{query}`"),
                &format!("`{got}`"),
            );
        }
        if let Some(shadow) = &self.shadow {
            let got = verdict.shadow();
            scalar("shadow", &expected_shadow(shadow), &got_shadow(shadow, got));
        }
        if let Some(expected) = &self.forwarded {
            found.extend(compare_body(expected, request, verdict));
        }
        found
    }

    /// As JSON: what the test says.
    pub fn json(&self) -> Value {
        let mut all = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                all.insert(key.to_owned(), value);
            }
        };
        put("decision", Some(json!(decision(self.allow))));
        put("rule", self.rule.as_ref().map(rule_json));
        put("code", self.code.map(|it| json!(it.name())));
        put("field", self.field.as_ref().map(|it| json!(it)));
        put("forwarded", self.forwarded.clone());
        put(
            "forwarded_query",
            self.forwarded_query.as_ref().map(|it| json!(it)),
        );
        put(
            "shadow",
            self.shadow.as_ref().map(|it| match it {
                Wanted::Nothing => Value::Null,
                Wanted::This(tried) => json!({
                    "decision": decision(tried.allow), "rule": tried.rule.as_ref().map(rule_json),
                    "code": tried.code.map(Code::name),
                }),
            }),
        );
        Value::Object(all)
    }
}

fn rule_json(rule: &Wanted<String>) -> Value {
    match rule {
        Wanted::Nothing => Value::Null,
        Wanted::This(name) => json!(name),
    }
}

/// As JSON: what the gateway would say.
pub(super) fn got_json(request: &Request, verdict: &Verdict) -> Value {
    let body = request.forwarded_body(verdict);
    json!({
        "decision": decision(verdict.is_allowed()),
        "rule": verdict.rule.as_deref(),
        "code": verdict.refusal.as_ref().map(|it| it.code.name()),
        "field": verdict.field(),
        "detail": verdict.refusal.as_ref().map(|it| &it.detail),
        "forwarded": body.as_deref().and_then(parse),
        "forwarded_query": request.forwarded_query(verdict),
        "shadow": verdict.shadow().map(|it| json!({
            "decision": decision(it.allow), "rule": it.rule.as_deref(), "code": it.code.map(Code::name),
        })),
    })
}

fn expected_shadow(shadow: &Wanted<Tried>) -> String {
    match shadow {
        Wanted::Nothing => "none".to_owned(),
        Wanted::This(tried) => in_words(
            tried.allow,
            tried.rule.as_ref().map(wanted_rule),
            tried.code.map(Code::name),
        ),
    }
}

/// What shadowed rules would do, as far as the test speaks of it.
fn got_shadow(expected: &Wanted<Tried>, got: Option<&Shadowed>) -> String {
    let Some(got) = got else {
        return "none".to_owned();
    };
    let (speaks_of_rule, speaks_of_code) = match expected {
        Wanted::Nothing => (true, true),
        Wanted::This(tried) => (tried.rule.is_some(), tried.code.is_some()),
    };
    in_words(
        got.allow,
        speaks_of_rule.then(|| got.rule.as_deref().unwrap_or("none")),
        speaks_of_code.then(|| got.code.map_or("none", Code::name)),
    )
}

fn in_words(allow: bool, rule: Option<&str>, code: Option<&str>) -> String {
    let mut text = decision(allow).to_owned();
    if let Some(rule) = rule {
        text.push_str(&format!(" by {rule}"));
    }
    if let Some(code) = code {
        text.push_str(&format!(" ({code})"));
    }
    text
}

fn compare_body(expected: &Value, request: &Request, verdict: &Verdict) -> Vec<Mismatch> {
    let key = "forwarded";
    let one = |said: String| vec![Mismatch { key, said }];
    if !verdict.is_allowed() {
        return one(format!("expected {expected}, and nothing is forwarded"));
    }
    let Some(text) = request.forwarded_body(verdict) else {
        return one(format!("expected {expected}, and there is no body"));
    };
    let Some(got) = parse(&text) else {
        return one(format!("expected {expected}, and the body is no JSON"));
    };
    let found = differences(expected, &got);
    let mismatch = |difference: &super::Difference| Mismatch {
        key,
        said: difference.to_string(),
    };
    found.iter().map(mismatch).collect()
}
