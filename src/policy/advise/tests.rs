//! Policy sets against everything that is said of them.

use proptest::prelude::*;

use super::*;
use crate::policy::decide::{forbids, grants};
use crate::policy::{PolicyFiles, compile};

const KEY: &str =
    "keys: [{ id: k, sha256: '0000000000000000000000000000000000000000000000000000000000000000' }]";

/// All warnings, without those about credentials unless these are asked for.
fn advice(files: &[(&str, &str)]) -> Vec<String> {
    let all = everything(files, "2026-01-01T00:00:00Z");
    all.into_iter()
        .filter(|it| !it.contains("has no credential"))
        .collect()
}

fn everything(files: &[(&str, &str)], now: &str) -> Vec<String> {
    let mut report = Report::default();
    let files = PolicyFiles::from_texts(files.iter().copied(), &mut report);
    let policy =
        compile(&files, &["github"], &mut report).unwrap_or_else(|| panic!("{}", report.plain()));
    policy.advise(now.parse().unwrap(), &mut report);
    report
        .plain()
        .lines()
        .map(|line| line.replace("warning: ", ""))
        .collect()
}

fn team(rules: &str) -> String {
    format!("team: a\ncallers: {{ one: {{}}, two: {{}} }}\n{rules}")
}

/// What is said of a team with these rules, beside a guard rail.
pub(super) fn said(rules: &str, guard: &str) -> Vec<String> {
    advice(&[("a.yaml", &team(rules)), ("guard.yaml", guard)])
}

const WORKS: &str = "  - { name: works, operations: [self.get], organizations: any }\n";

#[test]
fn a_set_that_is_meant_gets_no_warning() {
    let text = format!("team: a\ncallers: {{ one: {{ {KEY} }} }}\nallow:\n{WORKS}");
    let none: Vec<String> = Vec::new();
    assert_eq!(
        everything(&[("a.yaml", &text)], "2026-01-01T00:00:00Z"),
        none
    );
}

#[test]
fn a_rule_without_a_caller_is_told() {
    let rules = "allow:\n  - { name: x, operations: [self.get], organizations: any }\n";
    let lines = advice(&[
        ("a.yaml", &format!("team: a\n{rules}")),
        ("guard.yaml", "deny:\n  - { name: y, operations: ['**'] }\n"),
    ]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|it| it.contains("this rule can never match"))
    );
}

#[test]
fn a_rule_for_organizations_whose_operations_name_none_is_told() {
    for (rules, wanted) in [
        (
            "deny:\n  - { name: x, operations: [self.get], organizations: [org-a] }\n",
            true,
        ),
        // Of these, something is left.
        (
            "allow:\n  - { name: x, operations: ['organizations.*'], organizations: [org-a] }\n",
            false,
        ),
        (
            "deny:\n  - { name: x, operations: ['roles.*'], organizations: [org-a] }\n",
            false,
        ),
    ] {
        let lines = said(rules, "bounds: []\n");
        let found = lines
            .iter()
            .any(|it| it.contains("its operations touch none"));
        assert_eq!(found, wanted, "{rules}: {lines:?}");
    }
}

#[test]
fn a_grant_that_deny_rules_take_away_is_told_once() {
    let sessions = "  - { name: x, operations: [sessions.get, sessions.list], organizations: [org-a, org-b] }\n";
    let own = format!("allow:\n{WORKS}{sessions}");
    let used = "this grant can never be used: deny rules refuse all of it";
    for (guard, wanted) in [
        ("deny: [{ name: g, operations: ['sessions.**'] }]\n", true),
        (
            "deny: [{ name: g, operations: ['sessions.**'], organizations: [org-a, org-b, org-c] }]\n",
            true,
        ),
        (
            "deny:\n  - { name: g, operations: ['**'], organizations: [org-a], callers: [one, two] }\n  - { name: h, operations: [sessions.get, sessions.list], organizations: [org-b] }\n",
            true,
        ),
        // One operation, one organization, one caller, or enforcement is left.
        ("deny: [{ name: g, operations: [sessions.get] }]\n", false),
        (
            "deny: [{ name: g, operations: ['sessions.**'], organizations: [org-a] }]\n",
            false,
        ),
        (
            "deny: [{ name: g, operations: ['sessions.**'], callers: [one] }]\n",
            false,
        ),
        (
            "deny: [{ name: g, operations: ['sessions.**'], shadow: true }]\n",
            false,
        ),
    ] {
        let lines = said(&own, guard);
        let found = lines.iter().filter(|it| it.contains(used)).count();
        assert_eq!(found, usize::from(wanted), "{guard}: {lines:?}");
    }
    // For every organization, no list of organizations is all.
    let any = "allow: [{ name: x, operations: [sessions.get], organizations: any }]\n";
    let lines = said(
        any,
        "deny: [{ name: g, operations: ['sessions.**'], organizations: [org-a] }]\n",
    );
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn an_operation_without_an_organization_is_taken_away_by_a_deny_for_one() {
    let roles = "allow: [{ name: x, operations: [roles.list], organizations: any }]\n";
    let lines = said(
        roles,
        "deny: [{ name: g, operations: ['**'], organizations: [org-a] }]\n",
    );
    assert!(
        lines.iter().any(|it| it.contains("can never be used")),
        "{lines:?}"
    );
    // One that is filtered shows the others.
    let list = "allow: [{ name: x, operations: [organizations.list], organizations: any }]\n";
    let lines = said(
        list,
        "deny: [{ name: g, operations: ['**'], organizations: [org-a] }]\n",
    );
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn a_caller_that_nothing_allows_is_told_with_the_reason() {
    let nothing = said("deny: [{ name: x, operations: ['**'] }]\n", "deny: []\n");
    assert_eq!(nothing.len(), 2, "{nothing:?}");
    assert!(
        nothing
            .iter()
            .all(|it| it.contains("no rule grants it anything"))
    );
    let shadowed = said(&format!("shadow: true\nallow:\n{WORKS}"), "deny: []\n");
    assert!(
        shadowed
            .iter()
            .all(|it| it.contains("its grants are shadowed")),
        "{shadowed:?}"
    );
    let denied = said(
        &format!("allow:\n{WORKS}"),
        "deny: [{ name: g, operations: [self.get], callers: [two] }]\n",
    );
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert!(denied[0].contains("the caller `two`: all that it is granted is refused again"));
}

#[test]
fn what_gets_around_the_gateway_or_shuts_it_out_is_named() {
    let grant = |more: &str| {
        format!(
            "allow: [{{ name: x, operations: ['enterprise.service_users.**', self.get], organizations: any{more} }}]\n"
        )
    };
    let lines = said(&grant(", secrets: reveal"), "deny: []\n");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains(
        "a key that works around the gateway, from `enterprise.service_users.provision`"
    ));
    assert!(
        lines[1].contains(
            "can shut the gateway out of Devin: `enterprise.service_users.api_keys.rotate`"
        ),
        "{lines:?}"
    );
    let denied = "deny: [{ name: g, operations: ['enterprise.service_users.api_keys.**'] }]\n";
    let lines = said(&grant(", secrets: reveal"), denied);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("from `enterprise.service_users.provision` ("),
        "{lines:?}"
    );
    assert!(said(&grant(""), denied).is_empty());
}

#[test]
fn a_grant_for_a_secret_that_it_does_not_reveal_is_told() {
    let rules = |operations: &str| {
        format!(
            "allow:\n{WORKS}  - {{ name: x, operations: [{operations}], organizations: any }}\n"
        )
    };
    let lines = said(&rules("service_users.provision"), "deny: []\n");
    assert!(
        lines.len() == 1 && lines[0].contains("each of its operations answers with"),
        "{lines:?}"
    );
    let lines = said(&rules("service_users.provision, roles.list"), "deny: []\n");
    assert!(
        lines.len() == 1 && lines[0].contains("does not let it through"),
        "{lines:?}"
    );
    assert!(said(&rules("'service_users.**', roles.list"), "deny: []\n").is_empty());
}

#[test]
fn bounds_of_nothing_and_bounds_that_leave_nothing_are_told() {
    let grant = "allow: [{ name: x, operations: [sessions.create, sessions.list], organizations: [org-a], body: { max_acu_limit: { min: 5, max: 9, default: 5 } }, query: { first: { max: 10 } } }]\n";
    let rail = |rest: &str| format!("bounds: [{{ name: g, operations: ['**'], {rest} }}]\n");
    for (rest, wanted) in [
        (
            "body: { max_acu_limit: { max: 4 } }",
            Some(
                "no request can satisfy both this grant and the guard rail `guard/g`: `body.max_acu_limit`",
            ),
        ),
        ("body: { max_acu_limit: { max: 5 } }", None),
        (
            "query: { first: { min: 20 } }",
            Some("no value of `query.first` satisfies both"),
        ),
        (
            "body: { max_acu_limit: { one_of: [7] } }",
            Some("a request without `body.max_acu_limit` gets this grant's value for it"),
        ),
        ("body: { playbook_id: { absent: true } }", None),
        (
            "body: { cycle_acu_limit: { max: 4 } }",
            Some("these bounds apply to nothing"),
        ),
        (
            "organizations: [org-b], body: { max_acu_limit: { max: 4 } }",
            Some("these bounds apply to nothing"),
        ),
        (
            "upload: { max_parts: 1 }",
            Some("these bounds apply to nothing"),
        ),
        ("unknown: refuse", None),
    ] {
        let lines = said(grant, &rail(rest));
        match wanted {
            None => assert!(lines.is_empty(), "{rest}: {lines:?}"),
            Some(wanted) => assert!(
                lines.len() == 1 && lines[0].contains(wanted),
                "{rest}: {lines:?}"
            ),
        }
    }
}

#[test]
fn credentials_that_are_missing_ended_or_soon_ended_are_told() {
    let digest = |it: u8| format!("{it:064}");
    let text = format!(
        "team: a\ncallers:\n  one: {{}}\n  two: {{ jwt: {{ issuer: github, claims: {{ sub: x }} }} }}\n  three:\n    keys:\n      - {{ id: k1, sha256: \"{}\", expires: 2026-03-01 }}\n      - {{ id: k2, sha256: \"{}\", expires: 2026-03-10 }}\n      - {{ id: k3, sha256: \"{}\", expires: 2026-04-01 }}\nallow:\n{WORKS}",
        digest(1),
        digest(2),
        digest(3)
    );
    let lines = everything(&[("a.yaml", &text)], "2026-03-01T00:00:00Z");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("the caller `one` has no credential"));
    assert!(lines[1].contains("the key `k1` of the caller `three` has expired"));
    assert!(lines[2].contains("the key `k2` of the caller `three` expires in 9 days"));
}

#[test]
fn a_key_that_was_added_in_memory_is_a_credential() {
    let mut report = Report::default();
    let text = format!("team: a\ncallers: {{ one: {{}} }}\nallow:\n{WORKS}");
    let files = PolicyFiles::from_texts([("a.yaml", text.as_str())], &mut report);
    let mut policy = compile(&files, &[], &mut report).unwrap();
    policy.advise(Timestamp::UNIX_EPOCH, &mut report);
    assert_eq!(report.warnings(), 1, "{}", report.plain());
    let mut report = Report::default();
    assert!(policy.add_key("one", "k", crate::policy::KeyDigest::new([0; 32])));
    policy.advise(Timestamp::UNIX_EPOCH, &mut report);
    assert_eq!(report.warnings(), 0, "{}", report.plain());
}

#[test]
fn an_issuer_of_nobody_is_told() {
    let mut report = Report::default();
    let text = format!(
        "team: a\ncallers: {{ one: {{ jwt: {{ issuer: github, claims: {{ sub: x }} }} }} }}\nallow:\n{WORKS}"
    );
    let files = PolicyFiles::from_texts([("a.yaml", text.as_str())], &mut report);
    let policy = compile(&files, &["github", "gitlab"], &mut report).unwrap();
    let source = report.add_source("tollgate.yaml", "");
    for issuer in ["github", "gitlab"] {
        policy.advise_issuer(issuer, Span::start_of(source), &mut report);
    }
    assert_eq!(report.warnings(), 1, "{}", report.plain());
    assert!(
        report
            .plain()
            .contains("no caller is of the issuer `gitlab`")
    );
}

/// Whether any request at all gets past the deny rules by this grant, found out one by one.
fn is_usable(policy: &Policy, grant: &Rule, caller: CallerIx) -> bool {
    let denies = |ix: OperationIx, organization| {
        policy.rules_of(policy.caller(caller)).any(|(_, rule)| {
            rule.effect == Effect::Deny
                && !rule.shadow
                && rule.operations.contains(ix)
                && forbids(rule, ix.row(), organization)
        })
    };
    OperationIx::served().any(|ix| {
        let row = ix.row();
        let mut places = vec![Some("org-a"), Some("org-b"), Some("org-c")];
        if !row.names_organization() {
            places = vec![None];
        }
        let is_shown = |id| grant.organizations.has(id) && !denies(ix, Some(id));
        grant.operations.contains(ix)
            && !row.reveals_once
            && places.into_iter().any(|at| grants(grant, row, at) && !denies(ix, at))
            // A list without anything in it is of no use.
            && (!row.filtered || ["org-a", "org-b", "org-c"].into_iter().any(is_shown))
    })
}

proptest! {
    #[test]
    fn what_can_never_be_used_is_what_no_request_can_use(
        rules in proptest::collection::vec((any::<bool>(), 0..6usize, 0..4usize, 0..3usize, any::<bool>()), 1..7),
    ) {
        let operations = ["sessions.get", "'sessions.**'", "roles.list", "organizations.list", "self.get", "'**'"];
        let organizations = ["any", "[org-a]", "[org-b]", "[org-a, org-b]"];
        let callers = ["[one]", "[two]", "[one, two]"];
        let mut text = String::from("team: t\ncallers: { one: {}, two: {} }\n");
        for (field, wanted) in [("allow", true), ("deny", false)] {
            text += &format!("{field}:\n");
            let mut some = String::new();
            for (at, (allow, operation, organization, caller, shadow)) in rules.iter().enumerate() {
                if *allow == wanted {
                    some += &format!(
                        "  - {{ name: r{at}, operations: [{}], organizations: {}, callers: {}, shadow: {} }}\n",
                        operations[*operation], organizations[*organization], callers[*caller], *shadow && at % 3 == 0
                    );
                }
            }
            text += if some.is_empty() { "  []\n" } else { &some };
        }
        let mut report = Report::default();
        let files = PolicyFiles::from_texts([("t.yaml", text.as_str())], &mut report);
        // An exact id that names no organization needs `any`; such a set does not load.
        let Some(policy) = compile(&files, &[], &mut report) else { return Ok(()) };
        policy.advise(Timestamp::UNIX_EPOCH, &mut report);
        let plain = report.plain();
        for rule in policy.rules.iter().filter(|it| it.effect == Effect::Allow && !it.shadow) {
            let usable = policy.caller_ixs().any(|ix| {
                policy.rules_of(policy.caller(ix)).any(|(_, it)| it.span == rule.span) && is_usable(&policy, rule, ix)
            });
            let (_, line, _) = report.place(rule.span);
            let told = plain.lines().any(|it| {
                it.starts_with(&format!("t.yaml:{line}:"))
                    && (it.contains("can never be used") || it.contains("can never match"))
            });
            prop_assert_eq!(told, !usable, "{}\n{}\n{}", rule.name, text, plain);
        }
        for ix in policy.caller_ixs() {
            let mut grants = policy.rules_of(policy.caller(ix)).filter(|(_, it)| it.effect == Effect::Allow && !it.shadow);
            let usable = grants.any(|(_, rule)| is_usable(&policy, rule, ix));
            let name = policy.caller(ix).name();
            let told = plain.contains(&format!("nothing is allowed to the caller `{name}`"));
            prop_assert_eq!(told, !usable, "{}\n{}\n{}", name, text, plain);
        }
    }
}
