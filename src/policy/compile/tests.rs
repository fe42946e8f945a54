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
    for field in ["spiffe", "unix"] {
        let text = format!("team: a\ncallers: {{ one: {{ {field}: {{}} }} }}\n");
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
        policy
            .limits()
            .next()
            .unwrap()
            .1
            .rate()
            .unwrap()
            .period
            .as_nanos(),
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

#[test]
fn budgets_and_former_names_are_resolved_over_all_files() {
    let rails = "budgets: [{ name: all, per: everyone, acus: 9, every: week, timezone: devin }]\n";
    let web = "team: web\nrenamed_from: [www]\ncallers: { app: { renamed_from: [old] }, ci: {} }\nbudgets: [{ name: day, per: caller, acus: 5, every: day, id: web/d, alert_at: [50%, 100%], shadow: true }]\n";
    let policy = check(&[
        ("rails.yaml", rails),
        ("ds.yaml", "team: ds\ncallers: { ds: {} }\n"),
        ("web.yaml", web),
    ])
    .unwrap();
    let names = |caller: usize| -> Vec<String> {
        let budgets = policy.budgets_of(CallerIx(caller)).iter();
        budgets.map(|it| it.name.to_string()).collect()
    };
    assert_eq!(names(0), ["rails/all"]);
    assert_eq!(names(1), ["rails/all", "web/day"]);
    assert_eq!(names(2), names(1));
    let [all, day] = policy.budgets() else {
        panic!("{:?}", policy.budgets());
    };
    assert_eq!(
        (&*all.id, all.team.as_deref(), all.shadow),
        ("rails/all", None, false)
    );
    assert_eq!(
        (&*day.id, day.team.as_deref(), day.shadow),
        ("web/d", Some("web"), true)
    );
    assert_eq!(
        (day.limit, day.alert_at.as_slice()),
        (crate::acu::Acu::whole(5), &[50, 100][..])
    );
    assert_eq!(
        all.every,
        crate::budget::Every::Week(crate::budget::Zone::devin())
    );
    let pairs = |all: Vec<(&str, &Arc<str>)>| -> Vec<String> {
        let all = all.into_iter();
        all.map(|(old, new)| format!("{old} {new}")).collect()
    };
    assert_eq!(pairs(policy.caller_aliases().collect()), ["old app"]);
    assert_eq!(pairs(policy.team_aliases().collect()), ["www web"]);
}

#[test]
fn what_a_grant_says_of_spending_reaches_the_request() {
    use super::super::bounds::{CapTerms, NoRoom, Reach, Uncapped, UncappedPer};
    let text = "team: a\ncallers: { one: {} }\nallow:
  - { name: run, operations: [sessions.create], organizations: any, sessions: team, body: { max_acu_limit: { min: 2, default: 5, no_room: clamp } } }
  - { name: talk, operations: [sessions.messages.send], organizations: any, sessions: any, uncapped: { acus: 7, per: run } }
  - { name: plan, operations: [schedules.create], organizations: any, uncapped: { acus: 8, per: window, on_no_room: disable } }
  - { name: look, operations: [sessions.get], organizations: any }
";
    let policy = check(&[("a.yaml", text)]).unwrap();
    let applied = |id: &str| {
        let operation = OperationIx::served().find(|ix| ix.row().id == id).unwrap();
        match policy.decide(CallerIx(0), operation, Some("org-a")) {
            super::super::Decision::Allow(grant) => policy.applied(&grant),
            super::super::Decision::Deny(why) => panic!("{id}: {why:?}"),
        }
    };
    let clamps = CapTerms {
        min: 2,
        no_room: NoRoom::Clamp,
    };
    let run = applied("sessions.create");
    assert_eq!(
        (run.reach(), run.uncapped(), run.cap_terms()),
        (Reach::Team, None, clamps)
    );
    let charged = |acus: u32, per, disables| {
        Some(Uncapped {
            acus: crate::acu::Acu::whole(acus),
            per,
            disables,
        })
    };
    let talk = applied("sessions.messages.send");
    assert_eq!(talk.reach(), Reach::Any);
    assert_eq!(talk.uncapped(), charged(7, UncappedPer::Run, false));
    let plan = applied("schedules.create");
    assert_eq!(plan.uncapped(), charged(8, UncappedPer::Window, true));
    let look = applied("sessions.get");
    assert_eq!(
        (look.reach(), look.cap_terms()),
        (Reach::Own, CapTerms::default())
    );
}
