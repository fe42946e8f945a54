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
