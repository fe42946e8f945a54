//! What the platform team runs over its policies: warnings, tests and explanations, with the binary itself.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::process::{CONFIG, folder, run, serve, text};

/// A caller without a credential, a grant that is denied, and a rule that is only tried.
const ODD: &str = "team: a
callers: { x: {} }
allow:
  - { name: self, operations: [self.get], organizations: any }
  - { name: roles, operations: [roles.*], organizations: any }
deny:
  - { name: no roles, operations: ['roles.**'] }
  - { name: tried, operations: ['sessions.**'], shadow: true }
";

fn json_of(arguments: &[&str], folder: &Path) -> (Option<i32>, Value) {
    let output = run(&[arguments, &["--output", "json"]].concat(), folder);
    let shown = serde_json::from_slice(&output.stdout);
    let shown = shown.unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    (output.status.code(), shown)
}

#[test]
fn check_warns_and_is_fine_unless_warnings_are_denied() {
    let folder = folder(CONFIG, &[("a.yaml", ODD)]);
    let output = run(&["check"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        out.starts_with("fine: 1 callers, 4 rules, policy ")
            && out.contains("1 rule is shadowed: logged, not enforced"),
        "{out}"
    );
    for wanted in [
        "warning: the caller `x` has no credential",
        "warning: this grant can never be used",
        "a.yaml:5:13",
        "2 warnings",
    ] {
        assert!(err.contains(wanted), "{wanted}: {err}");
    }
    let (code, shown) = json_of(&["check"], folder.path());
    assert_eq!((code, &shown["ok"]), (Some(0), &json!(true)));
    assert_eq!(shown["mistakes"], json!([]));
    assert_eq!(shown["warnings"].as_array().unwrap().len(), 2);
    assert_eq!(shown["warnings"][1]["also"]["line"], 7, "{shown:#}");

    let output = run(&["check", "--deny-warnings"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).is_empty());
    assert!(text(&output.stderr).contains("2 warnings, and `--deny-warnings`"));
    let (code, shown) = json_of(&["check", "--deny-warnings"], folder.path());
    assert_eq!((code, &shown["ok"]), (Some(1), &json!(false)));
}

#[test]
fn a_configured_issuer_of_nobody_is_warned_of() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": public}]});
    let issuer = "identity: { issuers: [{ name: github, issuer: \"https://ci.example\", audiences: [tollgate], algorithms: [EdDSA], jwks: { file: keys.json } }] }\n";
    let folder = folder(&format!("{CONFIG}{issuer}"), &[("a.yaml", ODD)]);
    std::fs::write(folder.path().join("keys.json"), keys.to_string()).unwrap();
    let shown = text(&run(&["check"], folder.path()).stderr);
    assert!(
        shown.contains("no caller is of the issuer `github`") && shown.contains("tollgate.yaml:7"),
        "{shown}"
    );
    // Without a configuration, an issuer is only a name that policies may use.
    let alone = ["check", "--policies", "policies", "--issuer", "github"];
    let shown = text(&run(&alone, folder.path()).stderr);
    assert!(!shown.contains("issuer"), "{shown}");
}

#[test]
fn serve_says_in_one_line_that_there_are_warnings() {
    let folder = folder(CONFIG, &[("a.yaml", ODD)]);
    let own = serve(folder.path(), &[]).stop();
    let lines: Vec<&str> = own.lines().filter(|it| it.contains("warnings")).collect();
    assert_eq!(lines.len(), 1, "{own}");
    assert!(
        lines[0].contains("run `tollgate check`") && lines[0].contains("warnings=2"),
        "{own}"
    );
}

#[test]
fn check_expands_patterns_to_what_a_rule_covers() {
    let policy = "team: a\ncallers: { x: {} }\nallow:\n  - { name: some, operations: ['organizations.*'], organizations: [org-a] }\n";
    let folder = folder(CONFIG, &[("a.yaml", policy)]);
    let output = run(&["check", "--expand"], folder.path());
    let shown = text(&output.stdout);
    // What names no organization is left out of a rule for some, unless its answer is filtered.
    for wanted in [
        "a/some (allow)\n",
        "  organizations.*: organizations.list organizations.get organizations.update organizations.delete\n",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let (_, shown) = json_of(&["check", "--expand"], folder.path());
    let expanded = &shown["expanded"][0];
    assert_eq!(expanded["rule"], "a/some");
    let listed = expanded["operations"]["organizations.*"].as_array();
    assert_eq!(listed.map(Vec::len), Some(4));
}

const SMALL: &str = "team: a
callers: { x: {} }
allow:
  - { name: create, operations: [sessions.create], organizations: [org-a], body: { max_acu_limit: { default: 5, max: 20 } } }
  - { name: self, operations: [self.get], organizations: any }
";

#[test]
fn the_tests_of_the_sample_policies_pass_and_reach_every_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let call = ["test", "--policies", "policies", "--require-coverage"];
    let output = run(&call, root);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains(" rules are reached") && !shown.contains("failed"));
}

#[test]
fn a_test_that_fails_says_where_and_how() {
    let tests = "caller: x
tests:
  - name: a create is capped
    request: POST /v3/organizations/org-a/sessions
    body: { prompt: hi }
    decision: allow
    forwarded: { prompt: hi, max_acu_limit: 20, secret_ids: [] }
  - { operation: self.get, decision: deny, code: operation-denied }
  - { operation: sessions.create, organization: org-a, body: { max_acu_limit: 21 }, decision: deny, field: max_acu_limit }
";
    let folder = folder(CONFIG, &[("a.yaml", SMALL)]);
    std::fs::create_dir(folder.path().join("policies/deep")).unwrap();
    std::fs::write(folder.path().join("policies/deep/x.test.yml"), tests).unwrap();
    let output = run(&["test", "--coverage"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    for wanted in [
        "policies/deep/x.test.yml:3: a create is capped\n  forwarded: max_acu_limit: expected 20, got 5\n",
        "x.test.yml:8: self.get\n  decision: expected deny, got allow\n",
        "3 tests, 1 passed, 2 failed",
        "2 of 2 rules are reached",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let (code, shown) = json_of(&["test"], folder.path());
    assert_eq!((code, &shown["ok"]), (Some(1), &json!(false)));
    let first = &shown["tests"][0];
    assert_eq!(
        (&first["line"], &first["ok"], &first["name"]),
        (&json!(3), &json!(false), &json!("a create is capped"))
    );
    assert_eq!(first["expected"]["forwarded"]["max_acu_limit"], 20);
    assert_eq!(first["got"]["forwarded"]["max_acu_limit"], 5);
    assert_eq!(shown["tests"][2]["got"]["code"], "field-denied");
    assert_eq!(
        shown["coverage"]["rules"][0],
        json!({"rule": "a/create", "effect": "allow", "reached": true, "tests": 2})
    );
}

#[test]
fn a_rule_that_no_test_reaches_is_named_and_can_be_forbidden() {
    let tests = "tests: [{ caller: x, operation: self.get, decision: allow }]\n";
    let folder = folder(CONFIG, &[("a.yaml", SMALL), ("a.test.yaml", tests)]);
    let output = run(&["test"], folder.path());
    assert_eq!(text(&output.stdout), "1 test, 1 passed\n");
    let output = run(&["test", "--coverage"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let wanted = "1 of 2 rules are reached; no test reaches\n  a/create (allow)\n";
    assert!(text(&output.stdout).ends_with(wanted));
    let call = ["test", "--require-coverage"];
    assert_eq!(run(&call, folder.path()).status.code(), Some(1));
    let (code, shown) = json_of(&call, folder.path());
    assert_eq!((code, &shown["ok"]), (Some(1), &json!(false)));
    assert_eq!(shown["coverage"]["unreached"], json!(["a/create"]));
}

#[test]
fn tests_with_a_mistake_are_not_run_and_none_is_no_success() {
    let folder = folder(CONFIG, &[("a.yaml", SMALL)]);
    let output = run(&["test"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there are no tests below policies"));

    let at = |name: &str| folder.path().join("policies").join(name);
    let tests = "caler: x\ntests: [{ operation: self.gett, decision: allow }]\n";
    std::fs::write(at("a.test.yaml"), tests).unwrap();
    let output = run(&["test"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    for wanted in [
        "did you mean `caller`?",
        "a.test.yaml:1:1",
        "did you mean `self.get`?",
        "a test needs `caller:`",
        "3 mistakes; nothing was tested",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let (_, shown) = json_of(&["test"], folder.path());
    assert_eq!(shown["mistakes"].as_array().unwrap().len(), 3);
    // A policy that does not load is told, and not its tests.
    std::fs::write(at("a.yaml"), "team: a\nallw: []\n").unwrap();
    let shown = text(&run(&["test"], folder.path()).stderr);
    assert!(
        shown.contains("did you mean `allow`?") && !shown.contains("caler"),
        "{shown}"
    );
}

/// The lines of an explanation, with single spaces.
fn lines(arguments: &[&str], folder: &Path) -> (Option<i32>, Vec<String>) {
    let output = run(arguments, folder);
    let shown = text(&output.stdout);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    (output.status.code(), shown.lines().map(words).collect())
}

#[track_caller]
fn has(lines: &[String], wanted: &[&str]) {
    for line in wanted {
        assert!(lines.iter().any(|it| it == line), "{line}: {lines:#?}");
    }
}

#[test]
fn explain_tells_what_goes_on_and_what_was_put_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let request = "POST /v3/organizations/org-ds/sessions?odd=1";
    let folder = folder(CONFIG, &[]);
    let file = folder.path().join("body.json");
    std::fs::write(&file, r#"{"prompt":"x","tags":["a"]}"#).unwrap();
    let from_file = format!("@{}", file.display());
    let mut call = vec![
        "explain",
        "--policies",
        "policies",
        "--caller",
        "ds-notebooks",
    ];
    call.extend([request, "--body", &from_file]);
    let (code, shown) = lines(&call, root);
    assert_eq!(code, Some(0), "{shown:#?}");
    has(
        &shown,
        &[
            "caller: ds-notebooks, of the team data-science",
            "operation: sessions.create",
            "organization: org-ds",
            "allow data-science/run sessions: matches, and decides",
            "deny data-science/secrets are made by people: other operations",
            "bounds guardrails/no session over 50 ACUs: matches, and tightens the grant",
            "decision: allow, by data-science/run sessions",
            "body.max_acu_limit: not there",
            "query.odd: unknown to the catalogue",
            "query: as received",
            "max_acu_limit: 5 is put in",
            "tags: [\"a\"] becomes [\"a\",\"team:data-science\"]",
            "data-science/requests: 60 at once, then one every 500ms, per caller, waiting up to 2s",
            "data-science/running: 50 sessions at once, per team",
        ],
    );
    // Other teams' rules are nobody's business here.
    assert!(!shown.iter().any(|it| it.contains("web/")), "{shown:#?}");
    let (code, json) = json_of(&call, root);
    assert_eq!((code, &json["allowed"]), (Some(0), &json!(true)));
    assert_eq!(json["forwarded"]["body"]["max_acu_limit"], 5);
    assert_eq!(
        json["forwarded"]["changes"][0],
        json!({"field": "max_acu_limit", "before": null, "after": 5})
    );
    assert_eq!(json["fields"]["body.tags"], json!(["a"]));
}

#[test]
fn explain_says_how_long_an_answer_is_kept() {
    let policy = "team: t\ncallers: { one: {} }\nallow:\n  - { name: poll, operations: [sessions.list], organizations: [org-a], cache: 1500ms }\n  - { name: self, operations: [self.get], organizations: any }\n";
    let folder = folder(CONFIG, &[("t.yaml", policy)]);
    let call = |request| {
        [
            "explain",
            "--policies",
            "policies",
            "--caller",
            "one",
            request,
        ]
    };
    let list = call("GET /v3/organizations/org-a/sessions");
    let (code, shown) = lines(&list, folder.path());
    assert_eq!(code, Some(0), "{shown:#?}");
    let kept = "answer: kept for 1s 500ms, for this caller alone and until it changes something";
    has(&shown, &[kept]);
    let (_, json) = json_of(&list, folder.path());
    assert_eq!(json["cache"], "1s 500ms");
    let (code, json) = json_of(&call("GET /v3/self"), folder.path());
    assert_eq!((code, &json["cache"]), (Some(0), &Value::Null));
}

#[test]
fn explain_gives_a_refusal_as_the_caller_would_read_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let base = ["explain", "--policies", "policies", "--caller"];
    let create = ["--operation", "sessions.create", "--organization"];
    let secret = format!("tg_x_{}", "s".repeat(43));
    let body = format!(r#"{{"prompt":"{secret}","max_acu_limit":60}}"#);
    let call = [
        &base[..],
        &["ds-notebooks"],
        &create,
        &["org-ds", "--body", &body],
    ]
    .concat();
    let (code, shown) = lines(&call, root);
    assert_eq!(code, Some(1));
    has(
        &shown,
        &[
            "decision: deny, by data-science/run sessions: field-denied (403)",
            "ask: ds-platform@acme.example",
            "body.max_acu_limit: 60",
        ],
    );
    assert!(!shown.iter().any(|it| it.contains("sent to Devin")));
    let (code, json) = json_of(&call, root);
    assert_eq!((code, &json["field"]), (Some(1), &json!("max_acu_limit")));
    assert_eq!(
        (&json["status"], &json["forwarded"]),
        (&json!(403), &Value::Null)
    );

    let call = [&base[..], &["web-app"], &create, &["org-ds"]].concat();
    let (_, shown) = lines(&call, root);
    has(
        &shown,
        &[
            "allow web/run sessions: other organizations: org-web",
            "decision: deny, by web/run sessions: organization-denied (403)",
        ],
    );
    let call = [&base[..], &["throttled", "GET", "/v3/nowhere"]].concat();
    let (code, shown) = lines(&call, root);
    assert_eq!(code, Some(1));
    has(&shown, &["decision: deny: operation-unknown (404)"]);
    // What was typed is shown, but not a credential in it.
    let secret = format!(r#"{{"prompt":"x","tags":["{secret}"]}}"#);
    let call = [
        &base[..],
        &["platform-ops"],
        &create,
        &["org-ds", "--body", &secret],
    ]
    .concat();
    let shown = text(&run(&call, root).stdout);
    assert!(
        shown.contains("decision: allow") && !shown.contains("ssss"),
        "{shown}"
    );
}

#[test]
fn explain_cannot_say_what_it_is_not_asked_rightly() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let base = ["explain", "--policies", "policies", "--caller"];
    for (rest, wanted) in [
        (
            &["ds-notebook", "GET", "/v3/self"][..],
            "did you mean `ds-notebooks`?",
        ),
        (&["web-app", "/v3/self"], "write the method and the path"),
        (
            &["web-app", "--operation", "self.gett"],
            "did you mean `self.get`?",
        ),
        (
            &["web-app", "--operation", "sessions.list"],
            "names an organization: say which",
        ),
        (
            &[
                "web-app",
                "--operation",
                "self.get",
                "--organization",
                "org-a",
            ],
            "names no organization",
        ),
        (
            &["web-app", "GET", "/v3/self", "--body", "@nowhere.json"],
            "nowhere.json cannot be read",
        ),
        (&["web-app"], "REQUEST"),
        (
            &["web-app", "GET", "/v3/self", "--query", "x=1"],
            "cannot be used with",
        ),
    ] {
        let output = run(&[&base[..], rest].concat(), root);
        assert_eq!(output.status.code(), Some(2), "{rest:?}");
        let shown = text(&output.stderr);
        assert!(shown.contains(wanted), "{rest:?}: {shown}");
    }
    let folder = folder(CONFIG, &[("a.yaml", "team: a\nallw: []\n")]);
    let output = run(
        &["explain", "--caller", "x", "GET", "/v3/self"],
        folder.path(),
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("1 mistake; nothing was explained"));
}
