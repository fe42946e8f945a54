//! Grants and budgets against what is said of them.

use super::super::tests::said;

/// The warnings about a team with these grants and budgets, without their places.
fn told(grants: &str, budgets: &str, guard: &str) -> Vec<String> {
    let rules = format!("allow:\n{grants}budgets: [{budgets}]\n");
    let lines = said(&rules, guard);
    let message = |line: &String| line.splitn(4, ':').nth(3).unwrap_or_default().to_owned();
    lines.iter().map(message).collect()
}

const RAILS: &str = "deny: []\n";

fn grant(operations: &str, more: &str) -> String {
    format!("  - {{ name: x, operations: [{operations}], organizations: [org-a]{more} }}\n")
}

fn create(rule: &str) -> String {
    grant("sessions.create", &format!(", body: {{ {rule} }}"))
}

#[test]
fn a_session_without_a_cap_is_told() {
    let none: [&str; 0] = [];
    for (rule, rails, is_told) in [
        ("max_acu_limit: { max: 9 }", RAILS, true),
        ("title: { max_length: 9 }", RAILS, true),
        ("max_acu_limit: any", RAILS, true),
        ("max_acu_limit: { default: 5 }", RAILS, false),
        ("max_acu_limit: { required: true }", RAILS, false),
        (
            "title: { max_length: 9 }",
            "bounds: [{ name: g, operations: [sessions.create], body: { max_acu_limit: { default: 3 } } }]\n",
            false,
        ),
        // Elsewhere there is none.
        (
            "title: { max_length: 9 }",
            "bounds: [{ name: g, operations: [sessions.create], organizations: [org-b], body: { max_acu_limit: { default: 3 } } }]\n",
            true,
        ),
    ] {
        let lines = told(&create(rule), "", rails);
        let of_caps = lines.iter().filter(|it| it.contains("has no default"));
        assert_eq!(of_caps.count() == 1, is_told, "{rule} {rails} {lines:?}");
    }
    // What is not let through asks for no default.
    let denied = told(
        &grant("sessions.create, sessions.get", ""),
        "",
        "deny: [{ name: no, operations: [sessions.create] }]\n",
    );
    assert_eq!(denied, none);
}

#[test]
fn m9_what_spends_without_a_cap_and_an_amount_is_told() {
    let lines = told(&grant("'schedules.*', pr_reviews.create", ""), "", RAILS);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for wanted in [
        "does not let through",
        "schedules.create",
        "pr_reviews.create",
    ] {
        assert!(lines[0].contains(wanted), "{lines:?}");
    }
    assert!(!lines[0].contains("schedules.list"), "{lines:?}");
    let once = told(
        &grant("'schedules.*'", ", uncapped: { acus: 5, per: run }"),
        "",
        RAILS,
    );
    assert_eq!(once.len(), 1, "{once:?}");
    assert!(once[0].contains("is charged once"), "{once:?}");
    for fine in [
        grant("'schedules.*'", ", uncapped: { acus: 5, per: window }"),
        grant("pr_reviews.create", ", uncapped: { acus: 5, per: run }"),
        grant("sessions.messages.send", ""),
    ] {
        let lines = told(&fine, "", RAILS);
        assert!(lines.is_empty(), "{fine}: {lines:?}");
    }
}

#[test]
fn a_budget_in_which_nothing_counts_or_fits_is_told() {
    let day = "{ name: day, per: team, acus: 4, every: day }";
    let reads = told(&grant("sessions.get", ""), day, RAILS);
    assert_eq!(reads.len(), 1, "{reads:?}");
    assert!(reads[0].contains("nothing can count"), "{reads:?}");
    for (rule, rails, is_told) in [
        ("max_acu_limit: { default: 5 }", RAILS, true),
        ("max_acu_limit: { default: 4 }", RAILS, false),
        (
            "max_acu_limit: { default: 5, no_room: clamp }",
            RAILS,
            false,
        ),
        // The guard rail lowers the default.
        (
            "max_acu_limit: { default: 5 }",
            "bounds: [{ name: g, operations: [sessions.create], body: { max_acu_limit: { max: 4 } } }]\n",
            false,
        ),
    ] {
        let lines = told(&create(rule), day, rails);
        assert_eq!(
            lines.len(),
            usize::from(is_told),
            "{rule} {rails} {lines:?}"
        );
        assert!(
            lines
                .iter()
                .all(|it| it.contains("of 5 ACUs fits into this budget of 4"))
        );
    }
}

#[test]
fn a_budget_of_guard_rails_counts_where_anybody_may_spend() {
    let rails = "budgets: [{ name: all, per: everyone, acus: 9, every: month }]\n";
    assert!(told(&create("max_acu_limit: { default: 5 }"), "", rails).is_empty());
    assert_eq!(told(&grant("sessions.get", ""), "", rails).len(), 1);
}
