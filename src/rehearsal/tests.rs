//! Test files against policy sets: what passes, what fails and how, and what is a mistake.

use super::*;
use crate::catalogue::Catalogue;
use crate::document::Report;
use crate::policy::{PolicyFiles, TestFiles, compile};

const POLICY: &str = "
team: ds
owner: ds@acme.example
callers: { one: {}, two: {} }
allow:
  - name: run
    operations: [sessions.create, sessions.list]
    organizations: [org-a]
    callers: [one]
    body: { max_acu_limit: { default: 5, max: 20 }, tags: { add: ['team:ds'] } }
    query: { first: { max: 10, above: clamp } }
  - { name: look, operations: [self.get, organizations.get], organizations: any }
  - { name: tried, operations: [roles.list], organizations: any, shadow: true }
deny:
  - { name: not b, operations: ['organizations.**'], organizations: [org-b] }
  - { name: soon, operations: [self.get], callers: [two], shadow: true }
";
const GUARD: &str = "
bounds:
  - { name: small, operations: [sessions.create], body: { max_acu_limit: { max: 10, above: clamp } } }
  - { name: idle, operations: [sessions.create], body: { playbook_id: { one_of: [p1] } } }
  - { name: soon small, operations: [sessions.create], shadow: true, body: { max_acu_limit: { max: 3 } } }
";

fn set() -> crate::policy::Policy {
    let mut report = Report::default();
    let files = [("ds.yaml", POLICY), ("guard.yaml", GUARD)];
    let files = PolicyFiles::from_texts(files, &mut report);
    compile(&files, &[], &mut report).unwrap_or_else(|| panic!("{}", report.plain()))
}

/// The mistakes of a file, or for each test its name and what is not as expected.
fn results(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let policy = set();
    let mut report = Report::default();
    let files = TestFiles::from_texts([("t.test.yaml", text)], &mut report);
    let cases = read(&files, &policy, &Catalogue::new(), &mut report);
    if !report.is_clean() {
        return Err(report.plain());
    }
    let suite = run(&cases, &policy);
    let said = |it: &Mismatch| format!("{}: {}", it.key, it.said);
    let outcomes = cases.iter().zip(&suite.outcomes);
    Ok(outcomes
        .map(|(case, it)| (case.name.clone(), it.mismatches.iter().map(said).collect()))
        .collect())
}

#[track_caller]
fn all_pass(text: &str) {
    for (name, mismatches) in results(text).unwrap_or_else(|mistakes| panic!("{mistakes}")) {
        assert!(mismatches.is_empty(), "{name}: {mismatches:?}");
    }
}

fn reached(text: &str) -> Vec<(String, usize)> {
    let policy = set();
    let mut report = Report::default();
    let files = TestFiles::from_texts([("t.test.yaml", text)], &mut report);
    let cases = read(&files, &policy, &Catalogue::new(), &mut report);
    assert!(report.is_clean(), "{}", report.plain());
    let rules = run(&cases, &policy).rules.into_iter();
    rules
        .filter(|it| it.tests > 0)
        .map(|it| (it.rule.to_string(), it.tests))
        .collect()
}

#[test]
fn a_test_says_what_is_decided_refused_and_forwarded() {
    all_pass(
        r#"
caller: one
tests:
  - name: defaults and tags are put in
    request: POST /v3/organizations/org-a/sessions
    body: { prompt: hi, tags: [x], structured_output_schema: null }
    decision: allow
    rule: ds/run
    forwarded: { prompt: hi, tags: [x, "team:ds"], structured_output_schema: null, max_acu_limit: 5, secret_ids: [] }
    shadow: none
  - name: what is tried is told
    operation: sessions.create
    organization: org-a
    body: { prompt: hi, max_acu_limit: 7 }
    decision: allow
    shadow: { decision: deny, rule: guard/soon small, code: field-denied }
  - request: POST /v3/organizations/org-a/sessions
    body: { prompt: hi, max_acu_limit: 30 }
    decision: deny
    rule: ds/run
    code: field-denied
    field: max_acu_limit
  - request: POST /v3/organizations/org-a/sessions
    body_text: '{"prompt":"a","prompt":"b"}'
    decision: deny
    code: body-invalid
  - request: POST /v3/organizations/org-a/sessions
    body_text: ''
    decision: deny
    code: body-invalid
  - request: GET /v3/organizations/org-a/sessions?first=100&after=x
    decision: allow
    forwarded_query: first=10&after=x
  - operation: sessions.list
    organization: org-a
    decision: allow
    forwarded_query: ''
    shadow: none
  - operation: sessions.list
    organization: org-b
    decision: deny
    code: organization-denied
    rule: ds/run
  - operation: roles.list
    decision: deny
    code: operation-denied
    rule: none
    shadow: { decision: allow, rule: ds/tried }
  - { operation: organizations.get, organization: org-b, decision: deny, rule: ds/not b }
  - { request: GET /v3/enterprise/organizations/org-c, decision: allow, rule: ds/look }
  - { caller: two, operation: self.get, decision: allow, shadow: { decision: deny } }
  - { request: GET /v3/nowhere, decision: deny, code: operation-unknown, rule: none }
  - { request: PUT /v3/self, decision: deny, code: method-unknown }
  - { request: GET /v3//self, decision: deny, code: target-invalid }
  - { operation: sessions.list, organization: org-a, query: 'first=1&first=2', decision: deny, code: target-invalid }
"#,
    );
}

#[test]
fn what_is_not_as_expected_is_told_place_by_place() {
    let text = r#"
caller: one
operation: sessions.create
organization: org-a
body: { prompt: hi, max_acu_limit: 7 }
tests:
  - { name: a, decision: deny, rule: none, code: field-denied, field: tags, shadow: none }
  - { name: b, decision: allow, rule: ds/look, forwarded: { prompt: ho, tags: [], x: 1, secret_ids: [], max_acu_limit: 7 }, forwarded_query: x=1 }
  - { decision: allow, body_text: '[', forwarded: {} }
"#;
    let found = results(text).unwrap();
    let wanted: [(&str, &[&str]); 3] = [
        (
            "a",
            &[
                "decision: expected deny, got allow",
                "rule: expected none, got ds/run",
                "code: expected field-denied, got none",
                "field: expected tags, got none",
                "shadow: expected none, got deny by guard/soon small (field-denied)",
            ],
        ),
        (
            "b",
            &[
                "rule: expected ds/look, got ds/run",
                "forwarded_query: expected `x=1`, got ``",
                "forwarded: prompt: expected \"ho\", got \"hi\"",
                "forwarded: tags: expected [], got [\"team:ds\"]",
                "forwarded: x: expected 1, and it is not there",
            ],
        ),
        (
            "sessions.create for org-a",
            &[
                "decision: expected allow, got deny",
                "forwarded: expected {}, and nothing is forwarded",
            ],
        ),
    ];
    for ((name, mismatches), (wanted_name, wanted)) in found.iter().zip(wanted) {
        assert_eq!(
            (name.as_str(), mismatches.as_slice()),
            (
                wanted_name,
                &wanted.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..]
            )
        );
    }
    assert_eq!(found.len(), 3);
}

#[test]
fn a_head_is_for_the_tests_that_it_fits() {
    all_pass(
        "
caller: one
request: POST /v3/organizations/org-a/sessions
body: { prompt: hi }
decision: deny
code: operation-denied
rule: none
tests:
  - { caller: two }
  - { decision: allow, rule: ds/run }
  - { operation: self.get, decision: allow, rule: ds/look, body_text: '{}' }
",
    );
    // An organization of the head is for the operations that name one.
    all_pass(
        "
caller: one
organization: org-a
decision: allow
tests: [{ operation: self.get }, { operation: sessions.list }, { request: GET /v3/self }]
",
    );
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let text = r#"
caler: one
decision: alow
tests:
  - { request: GET /v3/self, operation: self.get, caller: one }
  - { request: self.get, caller: onee, body: {}, body_text: '' }
  - { operation: self.gett, organization: org-a, caller: one }
  - { request: GET https://x/v3/self, caller: one, rule: ds/runn }
  - { operation: self.get, organization: org-a, caller: one }
  - { operation: sessions.list, caller: one, code: field-dnied }
  - { operation: sessions.list, organization: 'a/b', caller: one, shadow: maybe }
  - { request: get /v3/self, organization: org-a, caller: one, forwarded: [1e300] }
  - { request: GET /v3/self, organization: org-a, caller: one, shadow: { rule: x } }
  - { name: "a\nb", caller: one, decision: allow, code: field-denied, field: x, rule: none, request: GET /v3/self }
  - { caller: one, decision: deny, forwarded: {}, forwarded_query: x, request: GET /v3/self }
  - { decison: allow }
"#;
    insta::assert_snapshot!(results(text).unwrap_err());
    for (text, wanted) in [
        ("tests: []", "empty list"),
        ("caller: one", "needs a list `tests:`"),
        ("[]", "must be a mapping"),
        ("tests: [", ""),
    ] {
        let error = results(text).unwrap_err();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn a_rule_is_reached_when_it_decides_or_changes_something() {
    let create = |body: &str| {
        reached(&format!(
            "tests: [{{ caller: one, request: POST /v3/organizations/org-a/sessions, body: {body}, decision: allow }}]"
        ))
    };
    let names = |found: Vec<(String, usize)>| -> Vec<String> {
        found.into_iter().map(|(name, _)| name).collect()
    };
    // Live bounds changed nothing; the tried ones would have refused.
    assert_eq!(
        names(create("{ max_acu_limit: 5 }")),
        ["ds/run", "guard/soon small"]
    );
    assert_eq!(
        names(create("{ max_acu_limit: 15 }")),
        ["ds/run", "guard/small", "guard/soon small"]
    );
    assert_eq!(names(create("{ max_acu_limit: 2 }")), ["ds/run"]);
    assert_eq!(
        names(create("{ playbook_id: p2, max_acu_limit: 2 }")),
        ["guard/idle"]
    );
    let text = "
caller: one
decision: deny
tests:
  - { operation: roles.list }
  - { operation: organizations.get, organization: org-b }
  - { operation: organizations.get, organization: org-b }
  - { operation: sessions.list, organization: org-b }
  - { operation: self.get, caller: two }
";
    let found = reached(text);
    let found: Vec<(&str, usize)> = found
        .iter()
        .map(|(name, count)| (&**name, *count))
        .collect();
    // A grant for another organization has decided nothing.
    assert_eq!(
        found,
        [
            ("ds/look", 1),
            ("ds/tried", 1),
            ("ds/not b", 2),
            ("ds/soon", 1)
        ]
    );
}

#[test]
fn a_request_line_has_one_form() {
    assert!(Line::read(" GET /v3/self?x=1 ").is_ok());
    for bad in [
        "",
        "GET",
        "/v3/self",
        "get /v3/self",
        "GET http://x/v3/self",
        "G T",
    ] {
        let read = Line::read(bad);
        // The last one has a method that nobody has, which is a refusal and no mistake.
        assert_eq!(read.is_ok(), bad == "G T", "{bad}");
    }
}
