//! Documents and queries against terms, as policies write them.

use proptest::prelude::*;

use super::*;
use crate::catalogue::OperationIx;
use crate::document::Report;
use crate::policy::{Body, CallerIx, Policy, PolicyFiles, Stop, compile};

fn policy(files: &[(&str, &str)]) -> Policy {
    let mut report = Report::default();
    let files = PolicyFiles::from_texts(files.iter().copied(), &mut report);
    compile(&files, &[], &mut report).unwrap_or_else(|| panic!("{}", report.plain()))
}

fn team(rest: &str) -> String {
    format!(
        "team: t\ncallers: {{ one: {{}} }}\nallow:\n  - name: g\n    operations: [sessions.create, sessions.list, enterprise.sessions.list, attachments.upload]\n    organizations: any\n{rest}\n"
    )
}

/// What becomes of a request: the forwarded query or body, `as it came`, or the refusal.
fn judged(policy: &Policy, operation: &str, query: Option<&str>, body: &str) -> String {
    let operation = OperationIx::served()
        .find(|ix| ix.row().id == operation)
        .unwrap();
    let whole = policy.judge_whole(
        CallerIx::for_tests(0),
        operation,
        Some("org-a"),
        query,
        Body::Json(body.as_bytes()),
    );
    match (&whole.outcome, whole.body.or(whole.query)) {
        (Ok(_), Some(forwarded)) => forwarded,
        (Ok(_), None) => "as it came".to_owned(),
        (Err(stop @ Stop::Fields(refused)), _) => format!(
            "{} {} {} {}",
            stop.code().name(),
            refused.field.as_deref().unwrap_or("-"),
            refused.rule,
            refused.said
        ),
        (Err(stop), _) => stop.code().name().to_owned(),
    }
}

fn created(rest: &str, body: &str) -> String {
    judged(
        &policy(&[("t.yaml", &team(rest))]),
        "sessions.create",
        None,
        body,
    )
}

#[test]
fn b10_guarded_fields_are_refused_unless_a_grant_names_them() {
    for field in [
        "create_as_user_id",
        "bypass_approval",
        "session_links",
        "devin_mode",
        "secret_ids",
    ] {
        let body = format!(r#"{{"prompt":"x","{field}":"y"}}"#);
        let refused =
            format!("field-denied {field} t/g it is guarded, and the grant does not name it");
        assert_eq!(created("", &body), refused);
        let named = created(&format!("    body: {{ {field}: any }}"), &body);
        assert!(!named.starts_with("field-denied"), "{named}");
        // To forbid is not to grant.
        let absent = created(
            &format!("    body: {{ {field}: {{ absent: true }} }}"),
            &body,
        );
        assert!(absent.starts_with("field-denied"), "{absent}");
    }
}

#[test]
fn b9_null_is_absent_and_an_empty_text_is_not() {
    assert!(created("", r#"{"create_as_user_id":null}"#).contains(r#""create_as_user_id":null"#));
    assert!(created("", r#"{"create_as_user_id":""}"#).starts_with("field-denied"));
}

#[test]
fn b10_absent_secret_ids_are_sent_as_none_unless_granted() {
    let none = r#"{"secret_ids":[],"prompt":"x"}"#;
    let as_value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(as_value(&created("", r#"{"prompt":"x"}"#)), as_value(none));
    assert_eq!(
        created("", r#"{"secret_ids": null}"#),
        r#"{"secret_ids": []}"#
    );
    assert_eq!(created("", "{}"), r#"{"secret_ids":[]}"#);
    assert_eq!(created("", r#"{"secret_ids": [ ]}"#), "as it came");
    assert_eq!(
        created("    body: { secret_ids: any }", r#"{"prompt":"x"}"#),
        "as it came"
    );
    // A grant for some secrets is none for all of them, which is what Devin makes of their absence.
    let some = "    body: { secret_ids: { one_of: [secret-1] } }";
    assert_eq!(
        as_value(&created(some, r#"{"prompt":"x"}"#)),
        as_value(none)
    );
    assert_eq!(
        created(some, r#"{"secret_ids":["secret-1"]}"#),
        "as it came"
    );
    assert!(created(some, r#"{"secret_ids":["secret-2"]}"#).starts_with("field-denied secret_ids"));
    let default = "    body: { secret_ids: { default: [secret-1], one_of: [secret-1] } }";
    assert_eq!(created(default, "{}"), r#"{"secret_ids":["secret-1"]}"#);
}

#[test]
fn g10_only_ruled_members_are_rewritten() {
    let rules = "    body: { max_acu_limit: { default: 5, max: 20, above: clamp }, tags: { add: [etl] }, secret_ids: any }";
    let odd = "{ \"x\" : 1.10, \"big\":123456789012345678901234567890,\n \"max_acu_limit\" : 300 , \"tags\":[ \"a\" ], \"n\":{\"a\" : [1 ,2]} }";
    let wanted = odd
        .replace("300", "20")
        .replace("[ \"a\" ]", "[ \"a\",\"etl\" ]");
    assert_eq!(created(rules, odd), wanted);
    assert_eq!(
        created(rules, r#"{"max_acu_limit":20,"tags":["etl"]}"#),
        "as it came"
    );
}

#[test]
fn b2_look_alikes_are_unknown_and_never_the_field() {
    let rules = "    body: { max_acu_limit: { max: 20 }, secret_ids: any }";
    for name in [
        "Max_Acu_Limit",
        "maxAcuLimit",
        "max_acu_limit ",
        "max_acu_limit\\u0000",
        "m\u{430}x_acu_limit",
    ] {
        let body = format!(r#"{{"{name}":500}}"#);
        assert_eq!(created(rules, &body), "as it came", "{name}");
        let strict = created(&format!("{rules}\n    unknown: refuse"), &body);
        assert!(
            strict.starts_with("field-denied ") && strict.ends_with("is refused here"),
            "{strict}"
        );
    }
    assert!(
        created(rules, r#"{"max\u005facu_limit":500}"#).starts_with("field-denied max_acu_limit")
    );
}

#[test]
fn b1_b6_a_body_without_one_meaning_is_refused() {
    for body in [
        r#"{"prompt":"x","prompt":"y"}"#,
        r#"{"max_acu_limit":5,"max\u005facu_limit":500}"#,
        "[]",
        "\"x\"",
        "null",
        "{} {}",
        "",
        "\u{feff}{}",
        "{\"a\":1e999}",
        "{'a':1}",
    ] {
        assert!(
            created("", body).starts_with("body-invalid - t/g"),
            "{body}"
        );
    }
}

#[test]
fn nested_fields_and_elements_are_judged_where_their_parent_is() {
    let rules = "    body: { 'session_secrets[].key': { matches: ETL_* }, 'session_secrets[].sensitive': { default: true }, session_secrets: { max_items: 2 }, secret_ids: any }";
    assert_eq!(created(rules, r#"{"prompt":"x"}"#), "as it came");
    assert_eq!(created(rules, r#"{"session_secrets":null}"#), "as it came");
    assert_eq!(
        created(
            rules,
            r#"{"session_secrets":[{"key":"ETL_A","value":"s","sensitive":false}]}"#
        ),
        "as it came"
    );
    let given = created(rules, r#"{"session_secrets":[{"key":"ETL_A"}]}"#);
    assert!(given.contains(r#""sensitive":true"#), "{given}");
    assert!(
        created(
            rules,
            r#"{"session_secrets":[{"key":"ETL_A"},{"key":"X"}]}"#
        )
        .starts_with("field-denied session_secrets[].key")
    );
    assert!(created(rules, r#"{"session_secrets":{"key":"X"}}"#).starts_with("body-invalid"));
    assert!(created(rules, r#"{"session_secrets":["X"]}"#).starts_with("body-invalid"));
    assert!(
        created(rules, r#"{"session_secrets":[{},{},{}]}"#)
            .starts_with("field-denied session_secrets t/g")
    );
}

#[test]
fn guard_rails_intersect_with_the_grant() {
    let rail = "owner: sec\nbounds:\n  - { name: caps, operations: [sessions.create], body: { max_acu_limit: { max: 10 }, playbook_id: { absent: true } } }\n";
    let rules =
        "    body: { max_acu_limit: { default: 15, max: 20, above: clamp }, secret_ids: any }";
    let set = policy(&[("rails.yaml", rail), ("t.yaml", &team(rules))]);
    let create = |body: &str| judged(&set, "sessions.create", None, body);
    assert_eq!(create("{}"), r#"{"max_acu_limit":10}"#);
    assert_eq!(
        create(r#"{"max_acu_limit":11}"#),
        "field-denied max_acu_limit rails/caps it may be 10 at most"
    );
    assert_eq!(create(r#"{"max_acu_limit":10}"#), "as it came");
    assert_eq!(
        create(r#"{"playbook_id":"p"}"#),
        "field-denied playbook_id rails/caps it must be left out"
    );
    // A rail never grants what is guarded.
    let rail = "bounds:\n  - { name: modes, operations: ['**'], body: { devin_mode: { one_of: [normal] } } }\n";
    let set = policy(&[("rails.yaml", rail), ("t.yaml", &team(""))]);
    assert!(
        judged(&set, "sessions.create", None, r#"{"devin_mode":"normal"}"#)
            .starts_with("field-denied devin_mode t/g")
    );
}

#[test]
fn p12_ruled_query_keys_stand_once_and_are_read_decoded() {
    let rules = "    query: { first: { max: 50, above: clamp, default: 20 }, user_ids: { one_of: [u1, u2] } }";
    let set = policy(&[("t.yaml", &team(rules))]);
    let list = |query: Option<&str>| judged(&set, "sessions.list", query, "{}");
    assert_eq!(list(None), "first=20");
    assert_eq!(list(Some("first=10&after=a%20b&x=%zz&&y")), "as it came");
    assert_eq!(
        list(Some("after=a%2Bb&first=200&x=1")),
        "after=a%2Bb&first=50&x=1"
    );
    assert_eq!(list(Some("f%69rst=200")), "first=50");
    assert!(list(Some("first=1&f%69rst=2")).starts_with("target-invalid first"));
    assert!(list(Some("first=1e9")).starts_with("target-invalid first"));
    assert!(list(Some("first=%ff")).starts_with("target-invalid first"));
    assert_eq!(list(Some("first=1&user_ids=u1%2Cu2")), "as it came");
    assert!(list(Some("first=1&user_ids=u1,u3")).starts_with("field-denied user_ids"));
    assert_eq!(list(Some("first=1&limit=3&tags=a&tags=b")), "as it came");
}

#[test]
fn p12_what_could_be_a_governed_key_is_not_passed_over() {
    let set = policy(&[("t.yaml", &team(""))]);
    let create = |query: &str| judged(&set, "sessions.create", Some(query), r#"{"secret_ids":[]}"#);
    for query in [
        "a=1;devin_id=x",
        "devin_id[]=x",
        "devin_id%5B0%5D=x",
        "DEVIN_ID=x",
        "+devin_id=x",
        "devin_id%00=x",
        "?devin_id=x",
    ] {
        assert!(
            create(query).starts_with("target-invalid"),
            "{query}: {}",
            create(query)
        );
    }
    assert!(create("bypass_approval=true").starts_with("field-denied bypass_approval"));
    assert_eq!(create("a=1%3Bb&c[]=2"), "as it came");
    // Where nothing is governed, nothing is looked at.
    assert_eq!(
        judged(&set, "sessions.list", Some("a=1;b"), "{}"),
        "as it came"
    );
}

#[test]
fn b9_a_name_that_is_guarded_somewhere_is_guarded_everywhere() {
    for name in [
        "run_as_user_id",
        "message_as_user_id",
        "org_id",
        "devin_id",
        "revoke_current",
    ] {
        let said = created("", &format!(r#"{{"prompt":"x","{name}":"y"}}"#));
        assert!(said.starts_with(&format!("field-denied {name} ")), "{said}");
    }
}

#[test]
fn g10_no_pair_of_rules_sends_what_one_of_them_refuses() {
    let rail = "bounds: [{ name: r, operations: [sessions.create], body: { 'tags[]': { one_of: [a, b] } } }]\n";
    for rules in [
        "tags: { add: [c] }",
        "tags: { default: [c] }",
        "tags: { default: [a], add: [c] }",
    ] {
        let text = team(&format!("    body: {{ {rules}, secret_ids: any }}"));
        let set = policy(&[("rails.yaml", rail), ("t.yaml", &text)]);
        for body in ["{}", r#"{"tags":["a"]}"#] {
            let said = judged(&set, "sessions.create", None, body);
            assert!(
                said.starts_with("field-denied tags rails/r") || said == "as it came",
                "{rules} {body}: {said}"
            );
        }
    }
}

#[test]
fn b4_elements_and_members_are_counted() {
    let rules = "    body: { tags: { add: [a] }, 'session_secrets[].key': { max_length: 9 }, secret_ids: any }";
    let many = |count: usize, one: &str| vec![one; count].join(",");
    assert!(
        created(rules, &format!(r#"{{"tags":[{}]}}"#, many(1001, "1")))
            .starts_with("body-invalid tags")
    );
    assert!(
        created(
            rules,
            &format!(r#"{{"session_secrets":[{}]}}"#, many(1001, "{}"))
        )
        .starts_with("body-invalid session_secrets[].key")
    );
    let members: Vec<String> = (0..1001).map(|it| format!("\"k{it}\":1")).collect();
    assert!(created(rules, &format!("{{{}}}", members.join(","))).starts_with("body-invalid -"));
}

#[test]
fn r9_what_is_kept_of_fields_is_bounded() {
    let del = "\u{7f}".repeat(128);
    let list = format!("[{}]", vec![format!("\"{del}\""); 32].join(","));
    let plain = format!(
        "[{}]",
        vec![format!("\"{}\"", "x".repeat(128)); 32].join(",")
    );
    for list in [list, plain] {
        let body = format!(
            r#"{{"session_links":{list},"create_as_user_id":{list},"devin_mode":{list},"bypass_approval":{list},"secret_ids":{list},"tags":{list}}}"#
        );
        let set = policy(&[("t.yaml", &team("    body: { tags: { max_items: 99 } }"))]);
        let create = OperationIx::served()
            .find(|ix| ix.row().id == "sessions.create")
            .unwrap();
        let whole = set.judge_whole(
            CallerIx::for_tests(0),
            create,
            Some("o"),
            None,
            Body::Json(body.as_bytes()),
        );
        let line = serde_json::to_string(&whole.facts).unwrap();
        assert!(line.len() < 10_000, "{}", line.len());
    }
}

#[test]
fn p11_the_organization_of_an_enterprise_twin_is_guarded() {
    let open = policy(&[("t.yaml", &team(""))]);
    let list =
        |set: &Policy, query: &str| judged(set, "enterprise.sessions.list", Some(query), "{}");
    assert!(list(&open, "org_ids=org-b").starts_with("field-denied org_ids"));
    assert!(list(&open, "org%5Fids=org-b").starts_with("field-denied org_ids"));
    assert_eq!(list(&open, "first=3"), "as it came");
    let some = policy(&[(
        "t.yaml",
        &team("    query: { org_ids: { one_of: [org-a], required: true } }"),
    )]);
    assert_eq!(list(&some, "org_ids=org-a"), "as it came");
    assert!(list(&some, "org_ids=org-a,org-b").starts_with("field-denied org_ids"));
    assert!(list(&some, "org_ids=org-a&org_ids=org-b").starts_with("target-invalid org_ids"));
    assert!(list(&some, "first=3").starts_with("field-denied org_ids"));
}

#[test]
fn facts_tell_what_was_looked_at_and_no_secret() {
    let rules = "    body: { max_acu_limit: { max: 20 }, 'session_secrets[].value': { max_length: 9 }, prompt: { max_length: 99 }, secret_ids: any, tags: { max_items: 3 } }";
    let set = policy(&[("t.yaml", &team(rules))]);
    let create = OperationIx::served()
        .find(|ix| ix.row().id == "sessions.create")
        .unwrap();
    let body = r#"{"prompt":"pst","max_acu_limit":7,"session_secrets":[{"value":"hush"}],"tags":["a"],"later":1}"#;
    let whole = set.judge_whole(
        CallerIx::for_tests(0),
        create,
        Some("o"),
        Some("z=1"),
        Body::Json(body.as_bytes()),
    );
    assert!(whole.outcome.is_ok());
    let text = serde_json::to_string(&whole.facts).unwrap();
    assert!(!text.contains("pst") && !text.contains("hush"), "{text}");
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(facts["body.max_acu_limit"], 7);
    assert_eq!(facts["body.tags"], serde_json::json!(["a"]));
    assert_eq!(facts["body.devin_mode"], serde_json::Value::Null);
    assert_eq!(facts["body.prompt"]["length"], 3);
    assert_eq!(
        facts["body.session_secrets[].value"]["each"][0]["hidden"],
        true
    );
    assert_eq!(whole.facts.unknown, ["query.z", "body.later"]);
    for (_, fact) in &whole.facts.fields {
        assert_eq!(Fact::from_json(&fact.json()).as_ref(), Some(fact));
    }
}

#[test]
fn a_hidden_number_is_not_taken_for_text() {
    let set = policy(&[(
        "t.yaml",
        &team(
            "    body: { title: { max_length: 9 }, 'session_secrets[].value': { max_length: 9 } }",
        ),
    )]);
    let create = OperationIx::served()
        .find(|ix| ix.row().id == "sessions.create")
        .unwrap();
    let crate::policy::Decision::Allow(grant) =
        set.decide(CallerIx::for_tests(0), create, Some("o"))
    else {
        panic!("it is granted");
    };
    for (body, decidable) in [
        (r#"{"title":3e+1}"#, true),
        (r#"{"session_secrets":[{"value":7}]}"#, false),
    ] {
        let whole = set.judge_whole(
            CallerIx::for_tests(0),
            create,
            Some("o"),
            None,
            Body::Json(body.as_bytes()),
        );
        assert!(whole.outcome.is_err());
        for (_, fact) in &whole.facts.fields {
            assert_eq!(Fact::from_json(&fact.json()).as_ref(), Some(fact));
        }
        let told = judge_facts(&set.applied(&grant), &whole.facts);
        assert_eq!(told.is_ok_and(|it| it.is_some()), decidable, "{body}");
    }
}

fn any_body() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("null".to_owned()),
        (-3i64..40).prop_map(|it| it.to_string()),
        Just("5.0".to_owned()),
        Just("\"7\"".to_owned()),
    ];
    let tags =
        proptest::collection::vec("[a-c]", 0..4).prop_map(|it| serde_json::to_string(&it).unwrap());
    (
        proptest::option::of(number),
        proptest::option::of(tags),
        any::<bool>(),
    )
        .prop_map(|(cap, tags, mode)| {
            let mut members = vec![r#""prompt": "x""#.to_owned()];
            members.extend(cap.map(|it| format!("\"max_acu_limit\" : {it}")));
            members.extend(tags.map(|it| format!("\"tags\":{it}")));
            members.extend(mode.then(|| r#""devin_mode":"fast""#.to_owned()));
            format!("{{{}}}", members.join(" , "))
        })
}

proptest! {
    #[test]
    fn what_is_forwarded_is_judged_the_same_and_log_facts_agree(
        body in any_body(),
        max in 1i64..30,
        default in proptest::option::of(1i64..30),
        clamp in any::<bool>(),
        rail in proptest::option::of(1i64..30),
        items in 1u64..5,
    ) {
        let default = default.filter(|it| *it <= max).map_or(String::new(), |it| format!("default: {it}, "));
        let above = if clamp { "clamp" } else { "refuse" };
        let rules = format!("    body: {{ max_acu_limit: {{ {default}max: {max}, above: {above} }}, tags: {{ add: [z], max_items: {items} }} }}");
        let rail = rail.map_or("deny: []\n".to_owned(), |it| format!("bounds: [{{ name: r, operations: ['sessions.*'], body: {{ max_acu_limit: {{ max: {it}, above: clamp }} }} }}]\n"));
        let set = policy(&[("rails.yaml", &rail), ("t.yaml", &team(&rules))]);
        let create = OperationIx::served().find(|ix| ix.row().id == "sessions.create").unwrap();
        let judge = |body: &str| set.judge_whole(CallerIx::for_tests(0), create, Some("o"), None, Body::Json(body.as_bytes()));
        let first = judge(&body);
        if let (Ok(_), Some(forwarded)) = (&first.outcome, &first.body) {
            let again = judge(forwarded);
            prop_assert!(again.outcome.is_ok(), "{} then {:?}", forwarded, again.outcome);
            prop_assert_eq!(again.body, None, "{}", forwarded);
        }
        if let crate::policy::Decision::Allow(grant) = set.decide(CallerIx::for_tests(0), create, Some("o")) {
            let told = judge_facts(&set.applied(&grant), &first.facts).unwrap();
            prop_assert_eq!(told.is_none(), first.outcome.is_ok());
        }
    }
}
