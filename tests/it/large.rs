//! Policy sets as programs write them: large, and within a budget.

use std::fmt::Write as _;

use crate::process::{CONFIG, folder, run, text};

/// A team of this many callers: nine nodes for each.
fn team(callers: usize) -> String {
    let mut text = String::from("team: t\ncallers:\n");
    for id in 0..callers {
        writeln!(
            text,
            "  c{id}: {{ keys: [{{ id: k{id}, sha256: \"{id:064x}\" }}] }}"
        )
        .unwrap();
    }
    text
}

#[test]
fn r14_a_policy_file_may_be_as_large_as_the_configuration_says() {
    let team = team(500);
    let small = CONFIG.replace("policies/", "{ folder: policies/, max_nodes: 1000 }");
    let folder = folder(&small, &[("t.yaml", &team)]);
    let check = |extra: &[&str]| {
        let output = run(&[&["check"], extra].concat(), folder.path());
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = check(&[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("more than 1000 nodes"), "{said}");
    // An override is a setting like any other.
    let (code, said) = check(&["--set", "policies={ folder: policies/, max_nodes: 5000 }"]);
    assert_eq!(code, Some(0), "{said}");
    // Without a configuration, it is the default.
    assert_eq!(check(&["--policies", "policies"]).0, Some(0));
    let (code, said) = check(&["--policies", "policies", "--max-nodes", "1000"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("more than 1000 nodes"), "{said}");
    assert_eq!(check(&["--max-nodes", "1000"]).0, Some(2));
}

#[test]
fn r14_tests_of_policies_have_the_budget_of_the_policies() {
    let mut tests = String::from("caller: one\ntests:\n");
    for id in 0..200 {
        writeln!(
            tests,
            "  - {{ name: t{id}, request: GET /v3/self, decision: deny }}"
        )
        .unwrap();
    }
    let small = CONFIG.replace("policies/", "{ folder: policies/, max_nodes: 1000 }");
    let policy = "team: t\ncallers: { one: {} }\n";
    let folder = folder(&small, &[("t.yaml", policy), ("t.test.yaml", &tests)]);
    let output = run(&["test"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("more than 1000 nodes"), "{said}");
    let larger = ["--set", "policies={ folder: policies/, max_nodes: 5000 }"];
    let output = run(&[&["test"][..], &larger].concat(), folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
