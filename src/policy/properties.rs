//! What holds for every policy set, whatever stands in it.

use proptest::prelude::*;

use super::*;
use crate::catalogue::OperationIx;
use crate::document::Report;

const OPERATIONS: [&str; 6] = [
    "sessions.create",
    "'sessions.*'",
    "'sessions.**'",
    "organizations.list",
    "'enterprise.**'",
    "'**'",
];
const ORGANIZATIONS: [&str; 4] = ["any", "[org-a]", "[org-b]", "[org-a, org-b]"];
const BOUNDS: [&str; 4] = [
    "",
    ", body: { max_acu_limit: { default: 5, max: 20 } }",
    ", body: { max_acu_limit: { max: 10, above: clamp } }",
    ", unknown: refuse",
];
const BODIES: [&str; 4] = [
    r#"{"prompt":"x"}"#,
    r#"{"prompt":"x","max_acu_limit":15}"#,
    r#"{"prompt":"x","max_acu_limit":30}"#,
    r#"{"prompt":"x","later":1}"#,
];

#[derive(Clone, Debug)]
struct ARule {
    /// 0 allow, 1 deny, 2 a guard rail's bounds.
    effect: u8,
    in_rails: bool,
    operations: usize,
    organizations: usize,
    bounds: usize,
    shadow: bool,
}

fn a_rule() -> impl Strategy<Value = ARule> {
    (
        0..3u8,
        any::<bool>(),
        0..OPERATIONS.len(),
        0..ORGANIZATIONS.len(),
        0..BOUNDS.len(),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(effect, in_rails, operations, organizations, bounds, shadow)| ARule {
                effect,
                in_rails: in_rails || effect == 2,
                operations,
                organizations,
                bounds: match (effect, bounds) {
                    (1, _) => 0,
                    (2, 0) => 2,
                    (_, bounds) => bounds,
                },
                shadow,
            },
        )
}

/// The files of these rules, in this order; each rule keeps its name wherever it stands.
fn load(rules: &[(usize, ARule)], rails_first: bool) -> Option<Policy> {
    let render = |in_rails: bool| {
        let mut text = String::new();
        for (effect, field) in ["allow", "deny", "bounds"].iter().enumerate() {
            let items: String = rules
                .iter()
                .filter(|(_, it)| it.in_rails == in_rails && usize::from(it.effect) == effect)
                .map(|(name, it)| {
                    let shadow = if it.shadow { ", shadow: true" } else { "" };
                    format!(
                        "  - {{ name: r{name}, operations: [{}], organizations: {}{}{shadow} }}\n",
                        OPERATIONS[it.operations],
                        ORGANIZATIONS[it.organizations],
                        BOUNDS[it.bounds]
                    )
                })
                .collect();
            if !items.is_empty() {
                text += &format!("{field}:\n{items}");
            }
        }
        text
    };
    let team = format!("team: t\ncallers: {{ one: {{}} }}\n{}", render(false));
    let rails = format!("owner: o\n{}", render(true));
    let files = if rails_first {
        [("a.yaml", rails.as_str()), ("t.yaml", team.as_str())]
    } else {
        [("t.yaml", team.as_str()), ("u.yaml", rails.as_str())]
    };
    let mut report = Report::default();
    let files = PolicyFiles::from_texts(files, &mut report);
    compile(&files, &[], &mut report)
}

/// Whether each of many requests is allowed, and with which body.
fn decided(policy: &Policy) -> Vec<(String, bool, Option<String>)> {
    let mut all = Vec::new();
    for id in [
        "sessions.create",
        "sessions.get",
        "sessions.messages.send",
        "organizations.list",
        "enterprise.sessions.list",
        "service_users.provision",
        "self.get",
    ] {
        let operation = OperationIx::served().find(|ix| ix.row().id == id).unwrap();
        let organizations = if operation.row().names_organization() {
            vec![Some("org-a"), Some("org-b"), Some("org-c")]
        } else {
            vec![None]
        };
        for organization in organizations {
            for body in BODIES {
                let whole = policy.judge_whole(
                    CallerIx::for_tests(0),
                    operation,
                    organization,
                    None,
                    Body::Json(body.as_bytes()),
                );
                let name = format!("{id} {organization:?} {body}");
                all.push((name, whole.outcome.is_ok(), whole.body));
            }
        }
    }
    all
}

fn numbered(rules: Vec<ARule>) -> Vec<(usize, ARule)> {
    rules.into_iter().enumerate().collect()
}

proptest! {
    #[test]
    fn the_order_of_rules_and_files_changes_no_decision(
        rules in proptest::collection::vec(a_rule(), 1..7).prop_map(numbered),
        turn in 0..7usize,
    ) {
        let mut turned = rules.clone();
        turned.rotate_left(turn % rules.len());
        match (load(&rules, true), load(&turned, false)) {
            (Some(one), Some(other)) => prop_assert_eq!(decided(&one), decided(&other)),
            (None, None) => {}
            (one, other) => prop_assert!(false, "one order loads: {:?} {:?}", one.is_some(), other.is_some()),
        }
    }

    #[test]
    fn a_deny_or_bounds_more_never_allow_more(
        rules in proptest::collection::vec(a_rule(), 0..6).prop_map(numbered),
        more in a_rule(),
    ) {
        let mut more = more;
        if more.effect == 0 { more.effect = 1; more.bounds = 0; }
        more.shadow = false;
        let mut all = rules.clone();
        all.push((99, more));
        let (Some(before), Some(after)) = (load(&rules, true), load(&all, true)) else { return Ok(()); };
        for ((name, was, _), (_, is, _)) in decided(&before).into_iter().zip(decided(&after)) {
            prop_assert!(was || !is, "{name} is allowed by a further refusal");
        }
    }

    #[test]
    fn an_allow_less_never_allows_more(
        rules in proptest::collection::vec(a_rule(), 1..7).prop_map(numbered),
        which in 0..7usize,
    ) {
        let allows: Vec<usize> = rules.iter().filter(|(_, it)| it.effect == 0).map(|(name, _)| *name).collect();
        if allows.is_empty() { return Ok(()); }
        let gone = allows[which % allows.len()];
        let fewer: Vec<(usize, ARule)> = rules.iter().filter(|(name, _)| *name != gone).cloned().collect();
        let (Some(before), Some(after)) = (load(&rules, true), load(&fewer, true)) else { return Ok(()); };
        for ((name, was, _), (_, is, _)) in decided(&before).into_iter().zip(decided(&after)) {
            prop_assert!(was || !is, "{name} is allowed by a grant less");
        }
    }

    #[test]
    fn shadowed_rules_change_no_decision(
        rules in proptest::collection::vec(a_rule(), 1..7).prop_map(numbered),
    ) {
        let live: Vec<(usize, ARule)> = rules.iter().filter(|(_, it)| !it.shadow).cloned().collect();
        let (Some(with), Some(without)) = (load(&rules, true), load(&live, true)) else { return Ok(()); };
        prop_assert_eq!(decided(&with), decided(&without));
    }

    #[test]
    fn a_filter_never_shows_an_organization_without_a_grant(
        rules in proptest::collection::vec(a_rule(), 1..7).prop_map(numbered),
    ) {
        let Some(policy) = load(&rules, true) else { return Ok(()); };
        let list = OperationIx::served().find(|ix| ix.row().id == "organizations.list").unwrap();
        let caller = CallerIx::for_tests(0);
        let covers = |rule: &ARule, id: &str| {
            ["organizations.list", "'**'"].contains(&OPERATIONS[rule.operations])
                && (rule.organizations == 0 || ORGANIZATIONS[rule.organizations].contains(id))
        };
        for id in ["org-a", "org-b", "org-c"] {
            let live = |effect: u8| rules.iter().any(|(_, it)| !it.shadow && it.effect == effect && covers(it, id));
            let shown = policy.shows(caller, list, id);
            prop_assert_eq!(shown, live(0) && !live(1), "{}", id);
            if policy.shows_all(caller, list) { prop_assert!(shown); }
        }
        if let Some(most) = policy.shows_at_most(caller, list) {
            let shown = ["org-a", "org-b", "org-c"].iter().filter(|id| policy.shows(caller, list, id)).count();
            prop_assert!(shown <= most);
        }
    }

    #[test]
    fn budgets_of_a_caller_are_those_of_its_teams_file_and_of_guard_rails(
        // For each file: whether it is a team's, its callers, and its budgets.
        files in proptest::collection::vec((any::<bool>(), 0..3_usize, proptest::collection::vec(0..4_usize, 0..4)), 1..6),
    ) {
        let per = ["caller", "team", "organization", "everyone"];
        let mut texts = Vec::new();
        for (file, (is_team, callers, budgets)) in files.iter().enumerate() {
            let mut text = if *is_team { format!("team: t{file}\n") } else { "owner: o\n".to_owned() };
            if *is_team && *callers > 0 {
                let callers: Vec<String> = (0..*callers).map(|it| format!("c{file}-{it}: {{}}")).collect();
                text += &format!("callers: {{ {} }}\n", callers.join(", "));
            }
            text += "budgets:\n";
            for (ix, which) in budgets.iter().enumerate() {
                let per = per[if *is_team { which % 3 } else { *which }];
                text += &format!("  - {{ name: b{ix}, per: {per}, acus: 5, every: day }}\n");
            }
            if budgets.is_empty() {
                text = text.replace("budgets:\n", "budgets: []\n");
            }
            texts.push((format!("f{file}.yaml"), text));
        }
        let mut report = Report::default();
        let set = PolicyFiles::from_texts(texts.iter().map(|(name, text)| (&**name, &**text)), &mut report);
        let policy = compile(&set, &[], &mut report);
        prop_assert!(policy.is_some(), "{}", report.plain());
        let policy = policy.unwrap();
        for ix in policy.caller_ixs() {
            let caller = policy.caller(ix);
            let mut wanted = Vec::new();
            for (file, (is_team, _, budgets)) in files.iter().enumerate() {
                let scope = if *is_team { format!("t{file}") } else { format!("f{file}") };
                if !is_team || *scope == **caller.team() {
                    wanted.extend((0..budgets.len()).map(|it| format!("{scope}/b{it}")));
                }
            }
            let budgets = policy.budgets_of(ix);
            let got: Vec<String> = budgets.iter().map(|it| it.name.to_string()).collect();
            prop_assert_eq!(got, wanted);
            // Each of them counts what the caller spends.
            let payer = crate::budget::Payer {
                organization: "org-a".into(),
                team: Arc::clone(caller.team()),
                caller: Arc::clone(caller.name()),
            };
            for budget in budgets {
                prop_assert!(budget.account(&payer).counts(&payer));
            }
        }
    }
}
