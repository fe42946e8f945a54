//! Files against what they compile to, or against every mistake in them.

use super::*;

fn check(files: &[(&str, &str)]) -> Result<Policy, String> {
    let mut report = Report::default();
    let files = PolicyFiles::from_texts(files.iter().copied(), &mut report);
    compile(&files, &["github"], &mut report).ok_or_else(|| report.plain())
}

#[test]
fn every_mistake_of_every_file_is_listed_at_once() {
    let broken = "team: a\ncallers:\n  one: {}\nallow:\n  - name: x\n    operations: [sessions.creat, nothing.**]\n    organizations: []\n    boddy: {}\n";
    let syntax = "team: b\nallow: [\n";
    let twice = "team: c\ncallers:\n  one: {}\n  two: { jwt: { issuer: githab, claims: { sub: x } } }\nlimits:\n  - { name: l, per: caller, rate: 0/min, burst: 0 }\nbudgets: []\n";
    let text = check(&[("a.yaml", broken), ("b.yaml", syntax), ("c.yaml", twice)]).unwrap_err();
    insta::assert_snapshot!(text);
}

#[test]
fn a5_a_duplicate_key_is_the_only_error_of_its_file() {
    let text = check(&[
        ("a.yaml", "team: a\nteam: b\nnonsense: 1\n"),
        ("b.yaml", "team: b\nnonsense: 1\n"),
    ])
    .unwrap_err();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("a.yaml:2:1: duplicate mapping key"), "{text}");
    assert!(
        text.contains("b.yaml:2:1: a policy file has no field `nonsense`"),
        "{text}"
    );
}

#[test]
fn fields_of_later_versions_are_errors() {
    for field in ["sessions", "uncapped"] {
        let text = format!(
            "team: a\ncallers: {{ one: {{}} }}\nallow:\n  - {{ name: x, operations: [self.get], organizations: any, {field}: {{}} }}\n"
        );
        let error = check(&[("a.yaml", &text)]).unwrap_err();
        assert!(
            error.contains(&format!("`{field}:` is not supported yet")),
            "{error}"
        );
    }
}

#[test]
fn a_row_without_an_organization_needs_any_unless_its_answer_is_filtered() {
    check(&[("a.yaml", "team: a\ncallers: { one: {} }\nallow:\n  - { name: x, operations: [organizations.list], organizations: [org-a] }\n")]).unwrap();
    for operation in ["enterprise.self.get", "enterprise.sessions.get"] {
        let text = |organizations: &str| {
            format!(
                "team: a\ncallers: {{ one: {{}} }}\nallow:\n  - {{ name: x, operations: [{operation}], organizations: {organizations} }}\n"
            )
        };
        let error = check(&[("a.yaml", &text("[org-a]"))]).unwrap_err();
        assert!(error.contains("names no organization"), "{error}");
        check(&[("a.yaml", &text("any"))]).unwrap();
    }
}

#[test]
fn a_field_without_a_value_is_never_the_widest_reading() {
    let digest = "0".repeat(64);
    for (text, field) in [
        ("team:\nallow: [{ name: x, operations: ['**'], organizations: any }]\n".to_owned(), "team"),
        ("team: a\ncallers: { x: {} }\nallow: [{ name: x, callers: , operations: ['**'], organizations: any }]\n".to_owned(), "callers"),
        ("team: a\ncallers: { x: {} }\nallow: [{ name: x, operations: ['**'], organizations: }]\n".to_owned(), "organizations"),
        (format!("team: a\ncallers: {{ x: {{ keys: [{{ id: k, sha256: \"{digest}\", expires: }}] }} }}\n"), "expires"),
        ("team: a\nbudgets: ~\n".to_owned(), "budgets"),
    ] {
        let error = check(&[("a.yaml", &text)]).unwrap_err();
        assert!(error.contains(&format!("`{field}:` has no value")), "{error}");
    }
}

#[test]
fn c10_one_identity_is_one_caller() {
    let text = "team: a\ncallers:\n  one: { jwt: { issuer: github, claims: { sub: x, n: 1 } } }\n  two: { jwt: { issuer: github, claims: { n: 1, sub: x } } }\n";
    let error = check(&[("a.yaml", text)]).unwrap_err();
    assert!(error.contains("would be the other's too"), "{error}");
    let nested = text.replace("{ sub: x, n: 1 }", "{ sub: x }");
    assert!(check(&[("a.yaml", &nested)]).is_err());
    let apart = text.replace("{ sub: x, n: 1 }", "{ sub: y }");
    check(&[("a.yaml", &apart)]).unwrap();
}

#[test]
fn a_rate_is_never_rounded_up() {
    let text =
        "team: a\ncallers: { one: {} }\nlimits: [{ name: l, per: caller, rate: 7/s, burst: 3 }]\n";
    let policy = check(&[("a.yaml", text)]).unwrap();
    assert_eq!(
        policy.limit(LimitIx(0)).unwrap().period.as_nanos(),
        142_857_143
    );
}

#[test]
fn the_hash_follows_every_byte() {
    let hash = |text| check(&[("a.yaml", text)]).unwrap().hash().to_owned();
    assert_eq!(hash("team: a\n"), hash("team: a\n"));
    assert_ne!(hash("team: a\n"), hash("team: a\n\n"));
}

#[test]
fn expiry_dates_mean_midnight_utc() {
    let digest = "0".repeat(64);
    let text = format!(
        "team: a\ncallers: {{ one: {{ keys: [{{ id: k, sha256: \"{digest}\", expires: 2027-02-01 }}] }} }}\n"
    );
    let policy = check(&[("a.yaml", &text)]).unwrap();
    assert_eq!(
        policy.key("k").unwrap().expires.unwrap().to_string(),
        "2027-02-01T00:00:00Z"
    );
}
