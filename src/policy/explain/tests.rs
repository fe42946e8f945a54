//! Every rule of a set, with what became of it.

use proptest::prelude::*;

use super::*;
use crate::document::Report;
use crate::policy::{PolicyFiles, compile};

fn policy(files: &[(&str, &str)]) -> Option<Policy> {
    let mut report = Report::default();
    let files = PolicyFiles::from_texts(files.iter().copied(), &mut report);
    compile(&files, &[], &mut report)
}

fn operation(id: &str) -> OperationIx {
    OperationIx::served().find(|ix| ix.row().id == id).unwrap()
}

const TEAM: &str = "
team: ds
callers: { one: {}, two: {} }
allow:
  - { name: run, operations: ['sessions.*'], organizations: [org-a] }
  - { name: list, callers: [one], operations: [sessions.list, organizations.list], organizations: [org-a, org-b] }
  - { name: key, operations: [service_users.provision], organizations: any }
  - { name: roles, operations: ['roles.**'], organizations: any }
  - { name: tried, operations: [sessions.get], organizations: any, shadow: true }
deny:
  - { name: no, operations: ['sessions.terminate'] }
  - { name: not b, operations: ['**'], organizations: [org-b] }
";
const OTHER: &str = "team: web\ncallers: { w: {} }\nallow: [{ name: x, operations: [sessions.get], organizations: any }]\n";
const GUARD: &str = "
deny: [{ name: never, operations: [sessions.terminate, self.get], organizations: [org-a] }]
bounds:
  - { name: cap, operations: ['**'], organizations: [org-a], body: { max_acu_limit: { max: 5 } } }
";

#[track_caller]
fn said(caller: usize, id: &str, organization: Option<&str>, wanted: &[&str]) {
    let policy = policy(&[
        ("ds.yaml", TEAM),
        ("other.yaml", OTHER),
        ("guard.yaml", GUARD),
    ])
    .unwrap();
    let all = policy.explain(CallerIx(caller), operation(id), organization);
    let got: Vec<String> = all
        .iter()
        .filter(|it| it.because != Because::OtherOperation)
        .map(|it| format!("{}: {}", it.rule.name, it.because.said()))
        .collect();
    assert_eq!(got, wanted);
}

#[test]
fn each_rule_says_whether_it_matches_and_why_not() {
    let not_b = "ds/not b: other organizations: org-b";
    said(
        0,
        "sessions.create",
        Some("org-a"),
        &[
            "ds/run: matches, and decides",
            not_b,
            "guard/cap: matches, and tightens the grant",
        ],
    );
    said(
        0,
        "sessions.list",
        Some("org-a"),
        &[
            "ds/run: matches, and decides",
            "ds/list: matches as well; `ds/run` decides",
            not_b,
            "guard/cap: matches; it bounds no field of this operation",
        ],
    );
    said(
        1,
        "sessions.list",
        Some("org-a"),
        &[
            "ds/run: matches, and decides",
            "ds/list: not for this caller",
            not_b,
            "guard/cap: matches; it bounds no field of this operation",
        ],
    );
    said(
        0,
        "sessions.list",
        Some("org-b"),
        &[
            "ds/run: other organizations: org-a",
            "ds/list: matches; the deny rule `ds/not b` beats it",
            "ds/not b: matches, and decides",
            "guard/cap: other organizations: org-a",
        ],
    );
    said(
        0,
        "sessions.terminate",
        Some("org-a"),
        &[
            "ds/run: matches; the deny rule `ds/no` beats it",
            "ds/no: matches, and decides",
            not_b,
            "guard/never: matches as well; `ds/no` decides",
            "guard/cap: matches; no grant is left to tighten",
        ],
    );
    said(
        0,
        "sessions.get",
        Some("org-c"),
        &[
            "ds/run: other organizations: org-a",
            "ds/tried: matches; it is shadowed, and not enforced",
            not_b,
            "guard/cap: other organizations: org-a",
        ],
    );
    said(
        0,
        "service_users.provision",
        Some("org-a"),
        &[
            "ds/key: matches; the answer holds a secret that is shown once, and it does not say `secrets: reveal`",
            not_b,
            "guard/cap: matches; no grant is left to tighten",
        ],
    );
}

#[test]
fn a_request_without_an_organization_is_explained_as_well() {
    said(
        0,
        "organizations.list",
        None,
        &[
            "ds/list: matches, and decides",
            "ds/not b: the answer leaves out org-b",
            "guard/cap: matches; it bounds no field of this operation",
        ],
    );
    said(
        0,
        "roles.list",
        None,
        &[
            "ds/roles: matches; the deny rule `ds/not b` beats it",
            "ds/not b: matches, and decides",
            "guard/cap: matches; no grant is left to tighten",
        ],
    );
    said(
        0,
        "self.get",
        None,
        &[
            "ds/not b: the request touches none of org-b",
            "guard/never: the request touches none of org-a",
            "guard/cap: matches; no grant is left to tighten",
        ],
    );
    let text = "team: t\ncallers: { one: {} }\nallow: [{ name: x, operations: ['**'], organizations: [org-a] }]\n";
    let policy = policy(&[("t.yaml", text)]).unwrap();
    let all = policy.explain(CallerIx(0), operation("roles.list"), None);
    assert_eq!(
        all[0].because.said(),
        "the request names no organization, and this grants only org-a"
    );
}

proptest! {
    #[test]
    fn what_is_explained_is_what_is_decided(
        rules in proptest::collection::vec((0..3u8, 0..4usize, 0..4usize, 0..3usize, any::<bool>()), 1..9),
        place in 0..3usize,
        at in 0..4usize,
    ) {
        let operations = ["'sessions.**'", "sessions.create", "'**'", "'organizations.**'"];
        let organizations = ["any", "[org-a]", "[org-b]", "[org-a, org-b]"];
        let callers = ["[one]", "[two]", "[one, two]"];
        let mut files = Vec::new();
        for (file, fields) in [("team: t\ncallers: { one: {}, two: {} }\n", &[("allow", 0), ("deny", 1)][..]), ("", &[("bounds", 2)][..])] {
            let mut text = file.to_owned();
            for (field, wanted) in fields {
                let of_field = rules.iter().enumerate().filter(|(_, it)| it.0 == *wanted);
                let items: String = of_field.map(|(name, (effect, operation, organization, caller, shadow))| {
                    let more = if *effect == 2 { ", unknown: refuse" } else { "" };
                    format!(
                        "  - {{ name: r{name}, operations: [{}], organizations: {}, callers: {}, shadow: {}{more} }}\n",
                        operations[*operation], organizations[*organization], callers[*caller], *shadow && name % 3 == 0
                    )
                }).collect();
                text += &if items.is_empty() { format!("{field}: []\n") } else { format!("{field}:\n{items}") };
            }
            files.push(text);
        }
        let policy = policy(&[("t.yaml", &files[0]), ("guard.yaml", &files[1])]).unwrap();
        let id = ["sessions.create", "organizations.list", "enterprise.self.get", "automations.create"][at];
        let organization = operation(id).row().names_organization().then(|| ["org-a", "org-b", "org-c"][place]);
        for caller in policy.caller_ixs() {
            let all = policy.explain(caller, operation(id), organization);
            prop_assert_eq!(all.len(), policy.rules.len());
            let deciding: Vec<&Considered<'_>> = all.iter().filter(|it| it.because == Because::Decides).collect();
            let granting = all.iter().filter(|it| it.rule.effect == Effect::Allow && !it.rule.shadow && it.because.matches()).count();
            match policy.decide(caller, operation(id), organization) {
                Decision::Allow(grant) => {
                    prop_assert_eq!(deciding.len(), 1);
                    prop_assert_eq!(&deciding[0].rule.name, policy.grant_name(&grant));
                    let rails = all.iter().filter(|it| matches!(it.because, Because::Tightens | Because::SaysNothing)).count();
                    prop_assert_eq!(rails, grant.rails().len());
                }
                Decision::Deny(Denied::ByRule { rule, .. }) => {
                    prop_assert_eq!(deciding.len(), 1);
                    prop_assert_eq!(&deciding[0].rule.name, &rule);
                }
                Decision::Deny(Denied::Secret { rule, .. }) => {
                    prop_assert!(deciding.is_empty());
                    let first = all.iter().find(|it| it.because == Because::Secret).unwrap();
                    prop_assert_eq!(&first.rule.name, &rule);
                }
                Decision::Deny(Denied::Operation | Denied::Organization(_)) => {
                    prop_assert!(deciding.is_empty() && granting == 0);
                }
            }
        }
    }
}
