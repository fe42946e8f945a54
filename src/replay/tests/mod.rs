//! Lines as the log writes them, under sets that say something else.

mod hostile;
mod live;

use serde_json::{Value, json};

use super::*;
use crate::policy::{PolicyFiles, compile};

fn policy(text: &str) -> Policy {
    let mut report = crate::document::Report::default();
    let files = PolicyFiles::from_texts([("p.yaml", text)], &mut report);
    compile(&files, &["ci"], &mut report).unwrap_or_else(|| panic!("{}", report.plain()))
}

/// A team whose one grant says this.
fn team(grant: &str) -> String {
    format!(
        "team: t\ncallers: {{ one: {{}} }}\nallow:\n  - {{ name: g, organizations: [o], {grant} }}\n"
    )
}

/// A request of `one` that was let through, with changes.
fn line(changes: Value) -> Value {
    let mut line = json!({
        "kind": "request", "form": 2, "time": "2026-11-24T10:00:00Z",
        "request_id": "01932f0e-0000-7000-8000-000000000000",
        "caller": "one", "identity": {"kind": "api_key", "key_id": "k"},
        "operation": "sessions.create", "method": "POST", "path": "/v3/organizations/o/sessions",
        "organization": "o", "decision": "allow", "rule": "t/g", "policy": "0000000000000000",
        "status": 200, "outcome": "complete", "upstream_status": 200, "bytes_in": 100,
    });
    for (name, value) in changes.as_object().unwrap() {
        line[name] = value.clone();
    }
    line
}

fn replayed(base: &str, candidate: &str, lines: &[Value]) -> Report {
    let (base, candidate) = (policy(base), policy(candidate));
    let mut replay = Replay::new(&base, &candidate);
    for line in lines {
        replay.line(line.to_string().as_bytes()).unwrap();
    }
    replay.finish()
}

/// `unchanged`, the flip as text shows it, or what is missing.
fn said(base: &str, candidate: &str, line: Value) -> String {
    let report = replayed(base, candidate, &[line]);
    let json = report.json(false);
    assert_eq!(report.drifted(), 0);
    if let Some(lacking) = json["lacking"].get(0) {
        return format!("lacks {}", lacking["fact"].as_str().unwrap());
    }
    let shown = |side: &Value| {
        let by = side["rule"].as_str().map(|it| format!(" by {it}"));
        let what = side["code"].as_str().unwrap_or("allow");
        format!("{what}{}", by.unwrap_or_default())
    };
    for class in ["allow_to_deny", "deny_to_allow"] {
        if let Some(flip) = json[class].get(0) {
            return format!("{} -> {}", shown(&flip["base"]), shown(&flip["candidate"]));
        }
    }
    assert_eq!(report.unchanged, 1);
    "unchanged".to_owned()
}

const READ: &str = "operations: [sessions.get]";
const CREATE: &str = "operations: [sessions.create]";

fn of_body(facts: Value) -> Value {
    let mut fields = json!({"body.create_as_user_id": null, "body.bypass_approval": null,
        "body.session_links": null, "body.devin_mode": null, "body.advanced_mode": null, "body.is_advanced": null, "body.secret_ids": null, "query.devin_id": null});
    for (name, value) in facts.as_object().unwrap() {
        fields[name] = value.clone();
    }
    line(json!({"fields": fields, "body_judged": true}))
}

#[test]
fn a_head_is_decided_again_under_both_sets() {
    let (create, read) = (team(CREATE), team(READ));
    let plain = || of_body(json!({}));
    assert_eq!(said(&create, &create, plain()), "unchanged");
    assert_eq!(
        said(&create, &read, plain()),
        "allow by t/g -> operation-denied"
    );
    let denied = line(
        json!({"operation": "sessions.get", "decision": "deny", "code": "operation-denied", "rule": null}),
    );
    assert_eq!(
        said(&create, &read, denied.clone()),
        "operation-denied -> allow by t/g"
    );
    let elsewhere = read.replace("[o]", "[p]");
    assert_eq!(said(&create, &elsewhere, denied), "unchanged");
    for (changes, wanted) in [
        (
            json!({"operation": "sessions.create2"}),
            "lacks operation sessions.create2",
        ),
        (
            json!({"operation": "\u{1b}[31m"}),
            "lacks operation with an odd name",
        ),
        (json!({"operation": null}), "lacks the operation"),
        (json!({"organization": null}), "lacks the organization"),
        (
            json!({"organization": "[redacted]"}),
            "lacks the organization in full",
        ),
    ] {
        assert_eq!(said(&create, &read, line(changes)), wanted);
    }
}

#[test]
fn keys_are_told_by_their_id_and_judged_at_the_time_of_the_request() {
    let with = |callers: &str| team(CREATE).replace("{ one: {} }", callers);
    let key = |id: &str, rest: &str| {
        let digest = "0".repeat(64);
        with(&format!(
            "{{ one: {{ keys: [{{ id: {id}, sha256: \"{digest}\"{rest} }}] }} }}"
        ))
    };
    let plain = || of_body(json!({}));
    // A key that neither names: its caller has a name.
    assert_eq!(
        said(&with("{ one: {} }"), &with("{ one: {}, two: {} }"), plain()),
        "unchanged"
    );
    assert_eq!(
        said(&with("{ one: {} }"), &with("{ two: {} }"), plain()),
        "allow by t/g -> caller-unknown"
    );
    // One that only one of them names.
    assert_eq!(
        said(&key("k", ""), &key("other", ""), plain()),
        "allow by t/g -> credential-invalid"
    );
    assert_eq!(
        said(&key("k", ""), &key("k", ", expires: 2026-11-25"), plain()),
        "unchanged"
    );
    assert_eq!(
        said(&key("k", ""), &key("k", ", expires: 2026-11-24"), plain()),
        "allow by t/g -> credential-expired"
    );
    let expired = line(
        json!({"operation": "sessions.get", "caller": null, "decision": null, "rule": null, "code": "credential-expired"}),
    );
    let read = |rest: &str| key("k", rest).replace(CREATE, READ);
    assert_eq!(
        said(&read(", expires: 2026-11-24"), &read(""), expired),
        "credential-expired -> allow by t/g"
    );
}

#[test]
fn claims_decide_where_the_log_has_them() {
    let set = |claims: &str| {
        team(READ).replace(
            "{ one: {} }",
            &format!("{{ one: {{ jwt: {{ issuer: ci, claims: {claims} }} }} }}"),
        )
    };
    let base = set("{ repository: a }");
    let token = |subject: Value, claims: Value| {
        let identity = json!({"kind": "jwt", "issuer": "ci", "subject": subject, "key_id": "e", "claims": claims});
        line(json!({"operation": "sessions.get", "identity": identity}))
    };
    let known = || token(json!("s"), json!({"repository": "a", "team": null}));
    for (candidate, wanted) in [
        ("{ repository: a, sub: s }", "unchanged"),
        (
            "{ repository: a, sub: x }",
            "allow by t/g -> caller-unknown",
        ),
        ("{ repository: b }", "allow by t/g -> caller-unknown"),
        // It was looked for then, and the token did not have it.
        (
            "{ repository: a, team: t }",
            "allow by t/g -> caller-unknown",
        ),
        // Nobody looked for it.
        ("{ repository: a, branch: main }", "lacks claim branch"),
        (
            "{ repository: b, branch: main }",
            "allow by t/g -> caller-unknown",
        ),
    ] {
        assert_eq!(said(&base, &set(candidate), known()), wanted, "{candidate}");
    }
    for logged in ["[redacted]", "aaa…[5 more bytes]", "[\"a\"]", "{\"a\":1}"] {
        let odd = token(json!("s"), json!({"repository": "a", "branch": logged}));
        assert_eq!(
            said(&base, &set("{ repository: a, branch: main }"), odd),
            "lacks claim branch"
        );
    }
    let unknown = token(Value::Null, json!({"repository": "c"}));
    assert_eq!(
        said(&base, &set("{ repository: c }"), unknown),
        "caller-unknown -> allow by t/g"
    );
    let without = token(Value::Null, json!({"repository": "a"}));
    assert_eq!(
        said(&base, &set("{ repository: a, sub: s }"), without),
        "lacks claim sub"
    );
}

#[test]
fn fields_decide_where_the_log_has_them() {
    let max = |max: u32| {
        team(&format!(
            "{CREATE}, body: {{ max_acu_limit: {{ max: {max} }} }}"
        ))
    };
    let with = |value: Value| of_body(json!({"body.max_acu_limit": value}));
    assert_eq!(said(&max(20), &max(10), with(json!(10))), "unchanged");
    assert_eq!(
        said(&max(20), &max(10), with(json!(11))),
        "allow by t/g -> field-denied by t/g"
    );
    assert_eq!(
        said(&max(10), &max(20), with(json!(11))),
        "field-denied by t/g -> allow by t/g"
    );
    // Nobody looked at it.
    assert_eq!(
        said(&team(CREATE), &max(10), of_body(json!({}))),
        "lacks body.max_acu_limit"
    );
    let title = team(&format!(
        "{CREATE}, body: {{ title: {{ matches: 'etl *' }} }}"
    ));
    let hidden = json!({"body.title": {"kind": "text", "length": 9, "sha256": "0011223344556677"}});
    assert_eq!(
        said(&team(CREATE), &title, of_body(hidden)),
        "lacks body.title in clear"
    );
    // Whoever refuses it for another field refuses it.
    let both = team(&format!(
        "{CREATE}, body: {{ title: {{ matches: 'etl *' }}, max_acu_limit: {{ max: 10 }} }}"
    ));
    assert_eq!(
        said(&max(20), &both, with(json!(11))),
        "allow by t/g -> field-denied by t/g"
    );
}

#[test]
fn what_was_not_looked_through_may_hold_anything() {
    let strict = |operation: &str| team(&format!("operations: [{operation}], unknown: refuse"));
    let denied = |operation: &str| {
        line(
            json!({"operation": operation, "decision": "deny", "rule": null, "code": "operation-denied"}),
        )
    };
    let base = team("operations: [secrets.list]");
    assert_eq!(
        said(&base, &strict("sessions.list"), denied("sessions.list")),
        "lacks the unknown keys of the query"
    );
    let passed = line(json!({"operation": "sessions.list"}));
    let lists = team("operations: [sessions.list]");
    assert_eq!(
        said(&lists, &strict("sessions.list"), passed.clone()),
        "unchanged"
    );
    let mut odd = passed;
    odd["unknown_fields"] = json!(["query.x"]);
    assert_eq!(
        said(&lists, &strict("sessions.list"), odd),
        "allow by t/g -> field-denied by t/g"
    );
    // Notes have no guarded fields, so nobody reads their bodies without a reason.
    let notes = team("operations: [knowledge.notes.create]");
    let streamed = line(json!({"operation": "knowledge.notes.create"}));
    assert_eq!(
        said(&notes, &strict("knowledge.notes.create"), streamed.clone()),
        "lacks the unknown fields of the body"
    );
    let names = team("operations: [knowledge.notes.create], body: { name: any }");
    assert_eq!(said(&notes, &names, streamed), "lacks body.name");
}

#[test]
fn a_body_that_could_not_be_judged_is_refused_by_whoever_reads_it() {
    let notes = team("operations: [knowledge.notes.create]");
    let reads = team("operations: [knowledge.notes.create], unknown: refuse");
    for code in [
        "body-invalid",
        "body-unsupported",
        "body-too-large",
        "request-timeout",
    ] {
        let refused =
            line(json!({"operation": "knowledge.notes.create", "decision": "deny", "code": code}));
        assert_eq!(
            said(&reads, &notes, refused.clone()),
            format!("{code} by t/g -> allow by t/g")
        );
        assert_eq!(
            said(&reads, &reads.replace("name: g", "name: h"), refused),
            "unchanged"
        );
    }
}

#[test]
fn uploads_have_a_size_and_their_parts_are_not_logged() {
    let set = |bounds: &str| team(&format!("operations: [attachments.upload]{bounds}"));
    let up = |changes: Value| {
        let mut line = line(changes);
        line["operation"] = json!("attachments.upload");
        line
    };
    let size = |max: u32| set(&format!(", upload: {{ max_size: {max}KiB }}"));
    let taken = || up(json!({"bytes_in": 2048}));
    assert_eq!(said(&set(""), &size(2), taken()), "unchanged");
    assert_eq!(
        said(&set(""), &size(1), taken()),
        "allow by t/g -> body-too-large"
    );
    let broken = up(json!({"outcome": "client-gone", "upstream_status": null, "bytes_in": 2048}));
    assert_eq!(
        said(&set(""), &size(2), broken.clone()),
        "lacks the size of the upload"
    );
    assert_eq!(
        said(&set(""), &size(1), broken),
        "allow by t/g -> body-too-large"
    );
    assert_eq!(
        said(&set(""), &set(", upload: { max_parts: 1 }"), taken()),
        "lacks the parts of the upload"
    );
    let both = set(", upload: { max_parts: 1 }");
    assert_eq!(
        said(&both, &both.replace("name: g", "name: h"), taken()),
        "unchanged"
    );
}

#[test]
fn the_same_terms_give_the_same_answer_whatever_it_is() {
    let max = |name: &str| {
        team(&format!(
            "{CREATE}, body: {{ max_acu_limit: {{ max: 10 }} }}"
        ))
        .replace("name: g", &format!("name: {name}"))
    };
    // The log has nothing of the body, and both would ask the same of it.
    assert_eq!(said(&max("g"), &max("h"), line(json!({}))), "unchanged");
    // What the base itself decided is known, even where it cannot be decided again.
    let base = max("g");
    let own = |decision: &str| {
        let mut line =
            of_body(json!({"body.max_acu_limit": {"kind": "text", "length": 1, "sha256": "00"}}));
        line["policy"] = json!(policy(&base).hash());
        line["decision"] = json!(decision);
        line["code"] = json!("body-invalid");
        line
    };
    assert_eq!(said(&base, &team(CREATE), own("allow")), "unchanged");
    assert_eq!(
        said(&base, &team(CREATE), own("deny")),
        "body-invalid -> allow by t/g"
    );
    let denied = own("deny");
    assert_eq!(said(&base, &team(READ), denied), "unchanged");
}

#[test]
fn a_set_that_judges_its_own_log_otherwise_drifts() {
    let base = team(CREATE);
    let own = |changes: Value| {
        let mut line = of_body(changes);
        line["policy"] = json!(policy(&base).hash());
        line
    };
    let drifted = |line: Value| replayed(&base, &base, &[line]).drifted();
    assert_eq!(drifted(own(json!({}))), 0);
    assert_eq!(drifted(own(json!({"body.devin_mode": "x"}))), 1);
    let mut odd = own(json!({}));
    odd["rule"] = json!("t/other");
    assert_eq!(drifted(odd.clone()), 1);
    odd["policy"] = json!("another");
    assert_eq!(drifted(odd), 0);
}

#[test]
fn lines_are_counted_by_what_they_are() {
    let base = team(CREATE);
    let before = json!({"kind": "request", "form": 2, "code": "credential-missing", "status": 401});
    let other = json!({"kind": "connection", "form": 2, "time": "x"});
    let mine = line(
        json!({"operation": "sessions.get", "decision": "deny", "rule": null, "code": "operation-denied"}),
    );
    let other_id = line(json!({"operation": "sessions.get", "request_id": "<script>"}));
    let report = replayed(
        &base,
        &team(READ),
        &[before, other, other_id, mine.clone(), mine],
    );
    assert_eq!(
        (report.requests, report.before_policy, report.others),
        (3, 1, 1)
    );
    assert_eq!(
        (report.flips(), report.undecided(), report.of_other_policies),
        (3, 0, 3)
    );
    let json = report.json(false);
    assert_eq!(json["deny_to_allow"][0]["count"], 3);
    assert_eq!(json["deny_to_allow"][0]["example"], "-");
    assert_eq!(json["deny_to_allow"][0]["caller"], "one");
    // The sets' hashes follow the catalogue.
    let [base, candidate] = ["base", "candidate"].map(|it| json[it].as_str().unwrap().to_owned());
    let text = report
        .text()
        .replace(&base, "BASE")
        .replace(&candidate, "CANDIDATE");
    insta::assert_snapshot!(text);
}
