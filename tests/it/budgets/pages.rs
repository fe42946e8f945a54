//! What a caller is told of its own budgets, and what the operator's port shows of all of them.

use http::Method;
use serde_json::json;

use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
const BODY: &str = r#"{"prompt":"x"}"#;
const BUDGETS: &str = "/.tollgate/budgets";

const POLICY: &str = r#"
team: t
owner: t@acme.example
callers: { one: {}, slow: {} }
allow:
  - name: run
    operations: [sessions.create]
    organizations: [org-ds]
    body: { max_acu_limit: { default: 5 } }
budgets:
  - { name: month, per: team, acus: 500, every: month, alert_at: [1%] }
  - { name: there, per: organization, acus: 50, every: month }
  - { name: trial, per: caller, acus: 1, every: day, shadow: true }
limits:
  - { name: trickle, per: caller, callers: [slow], rate: 2/min, burst: 2 }
"#;
const RAILS: &str = "budgets:\n  - { name: all, per: everyone, acus: 9000, every: day }\n\
    \x20 - { name: orgs, per: organization, acus: 8000, every: day }\n";

async fn world() -> World {
    World::with(Setup {
        policy: POLICY.to_owned(),
        rails: RAILS.to_owned(),
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn m24_a_caller_is_told_its_own_numbers_and_of_wider_budgets_only_that_they_are_there() {
    let world = world().await;
    world.post("one", SESSIONS, BODY).await.is_upstream(200);
    let answer = world.get("one", BUDGETS).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("tollgate-answered-by"), Some("gateway"));
    let said = answer.json();
    assert_eq!(
        (&said["caller"], &said["team"]),
        (&json!("one"), &json!("t"))
    );
    let budgets = said["budgets"].as_array().unwrap();
    let names: Vec<_> = budgets
        .iter()
        .map(|it| it["budget"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["t/month", "t/there", "rails/all", "rails/orgs"]);
    for (it, limit) in [(&budgets[0], 500), (&budgets[1], 50)] {
        assert_eq!(it["own"], true);
        assert_eq!((&it["limit"], &it["spent"]), (&json!(limit), &json!(0)));
        assert_eq!(
            (&it["held"], &it["remaining"]),
            (&json!(5), &json!(limit - 5))
        );
        assert!(it["resets_at"].is_string());
    }
    assert_eq!(budgets[1]["account"], "org-ds");
    for it in &budgets[2..] {
        let members: Vec<&String> = it.as_object().unwrap().keys().collect();
        assert_eq!(members, ["budget", "own", "resets_at"], "{it}");
    }
    let said = world.get("one", "/.tollgate/whoami").await.json();
    assert_eq!(
        said,
        json!({ "caller": "one", "team": "t", "owner": "t@acme.example" })
    );
    let line = world.last_line().await;
    assert_eq!(
        (&line["caller"], &line["status"]),
        (&json!("one"), &json!(200))
    );
    world.finish().await;
}

#[tokio::test]
async fn a_callers_own_pages_are_behind_its_credential_and_its_limit() {
    let world = world().await;
    let bare = || http::Request::builder().method(Method::GET);
    let answer = world.send(BUDGETS, bare(), "").await;
    answer.is_problem(401, "credential-missing");
    let wrong = bare().header("authorization", "Bearer tg_nobody_0");
    let answer = world.send(BUDGETS, wrong, "").await;
    answer.is_problem(401, "credential-invalid");
    let key = format!("Bearer {}", world.key("one"));
    let twice = bare()
        .header("authorization", &key)
        .header("authorization", &key);
    world
        .send(BUDGETS, twice, "")
        .await
        .is_problem(400, "header-invalid");
    let posted = world.call("one", Method::POST, BUDGETS, "").await;
    posted.is_problem(405, "method-unknown");
    for path in [
        "/.tollgate/budgets/",
        "/.tollgate/Budgets",
        "/.tollgate/budget%73",
    ] {
        let answer = world.get("one", path).await;
        answer.is_problem(404, "operation-unknown");
    }
    for _ in 0..2 {
        assert_eq!(world.get("slow", BUDGETS).await.status, 200);
    }
    let answer = world.get("slow", BUDGETS).await;
    answer.is_problem(429, "rate-limited");
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn l10_metrics_and_readiness_show_the_same_rows() {
    let world = world().await;
    world.post("one", SESSIONS, BODY).await.is_upstream(200);
    let (_, _, page) = world.operator("/metrics").await;
    for line in [
        "tollgate_budget_limit_acus{budget=\"t/month\",account=\"t\"} 500.0",
        "tollgate_budget_held_acus{budget=\"t/month\",account=\"t\"} 5.0",
        "tollgate_budget_spent_acus{budget=\"t/month\",account=\"t\"} 0.0",
        "tollgate_budget_held_acus{budget=\"t/there\",account=\"org-ds\"} 5.0",
        "tollgate_budget_held_acus{budget=\"rails/all\",account=\"\"} 5.0",
        "tollgate_budget_overrun_acus{budget=\"rails/all\",account=\"\"} 0.0",
        "tollgate_budget_held_acus{budget=\"t/trial\",account=\"slow\"} 0.0",
        "tollgate_holds_unknown 0.0",
        "tollgate_spending_stopped 0.0",
        "tollgate_ledger_failing 0.0",
        "tollgate_alerts_total{kind=\"overrun\"} 0",
    ] {
        assert!(page.lines().any(|it| it == line), "{line}:\n{page}");
    }
    let why = Some("a test".to_owned());
    let moment = tollgate::ledger::moment::Moment::now(&tollgate::clock::SystemClock);
    let stopped = world.ledger.stop_spending(moment, why, "a test".to_owned());
    stopped.await.unwrap();
    let (status, _, said) = world.operator("/readyz").await;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &said["ready"]), (200, &json!(true)), "reads go on");
    assert_eq!(
        said["spending"],
        json!({ "stopped": "a test", "store": null })
    );
    let (_, _, page) = world.operator("/metrics").await;
    assert!(page.contains("tollgate_spending_stopped 1.0\n"));
    let answer = world.post("one", SESSIONS, "{\"prompt\":\"again\"}").await;
    answer.is_problem(503, "store-unavailable");
    world.finish().await;
}
