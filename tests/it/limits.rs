//! Limits over real sockets: what callers are told, what waits, what the log says, and how many sessions run.

use std::time::Duration;

use http::{Method, Request};
use serde_json::{Value, json};
use tollgate::api_key::ApiKey;
use tollgate::fake_devin::{Fault, FaultKind};

use crate::process::{CONFIG, folder, serve};
use crate::world::{Setup, World};

const SELF: &str = "/v3/self";
const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

async fn world(limits: &str) -> World {
    World::with(setup(limits)).await
}

fn setup(limits: &str) -> Setup {
    let policy = format!(
        r#"
team: t
owner: t@acme.example
callers: {{ one: {{}}, two: {{}} }}
allow:
  - {{ name: sessions, operations: ["sessions.**"], organizations: [org-ds, org-web], sessions: team, body: {{ max_acu_limit: {{ default: 5 }} }} }}
  - {{ name: self, operations: [self.get, organizations.list], organizations: any }}
limits:
{limits}
"#
    );
    Setup {
        policy,
        ..Setup::default()
    }
}

#[tokio::test]
async fn every_answer_tells_how_the_limits_stand() {
    let world = world(
        "  - { name: own, per: caller, rate: 60/h, burst: 3 }\n  - { name: all, per: team, rate: 1000/h, burst: 100 }",
    )
    .await;
    let policy = r#""t/own";q=3;w=180, "t/all";q=100;w=360"#;
    let answer = world.get("one", SELF).await;
    answer.is_upstream(200);
    assert_eq!(answer.header("ratelimit-policy"), Some(policy));
    assert_eq!(
        answer.header("ratelimit"),
        Some(r#""t/own";r=2;t=60, "t/all";r=99;t=4"#)
    );
    // Also where the request is refused for another reason, once it was taken from them.
    let answer = world.post("one", SESSIONS, "[]").await;
    answer.is_problem(400, "body-invalid");
    assert!(
        answer
            .header("ratelimit")
            .unwrap()
            .contains(r#""t/own";r=1"#)
    );
    // What the policy denies is taken from none, and tells of none.
    let answer = world.get("one", "/v3/enterprise/queue").await;
    answer.is_problem(403, "operation-denied");
    assert_eq!(answer.header("ratelimit"), None);
    // A caller's own pages count in what is not about operations.
    let answer = world.get("one", "/.tollgate/whoami").await;
    assert!(
        answer
            .header("ratelimit")
            .unwrap()
            .contains(r#""t/own";r=0"#)
    );
    let answer = world.get("one", SELF).await;
    answer.is_problem(429, "rate-limited");
    assert_eq!(answer.json()["limit"], "t/own");
    assert_eq!(answer.header("ratelimit-policy"), Some(policy));
    assert_eq!(answer.header("retry-after"), Some("60"));
    let line = world.last_line().await;
    assert_eq!(line["limits"], json!(["t/own", "t/all"]));
    assert_eq!(
        (&line["limit"], &line["queue_ms"]),
        (&json!("t/own"), &Value::Null)
    );
    world.finish().await;
}

#[tokio::test]
async fn no_limit_is_charged_for_what_another_refuses() {
    let world = world(
        "  - { name: all, per: team, rate: 60/h, burst: 4 }\n  - { name: own, per: caller, callers: [one], rate: 60/h, burst: 1 }",
    )
    .await;
    world.get("one", SELF).await.is_upstream(200);
    for _ in 0..5 {
        let answer = world.get("one", SELF).await;
        answer.is_problem(429, "rate-limited");
        assert_eq!(answer.json()["limit"], "t/own");
    }
    for _ in 0..3 {
        world.get("two", SELF).await.is_upstream(200);
    }
    let answer = world.get("two", SELF).await;
    assert_eq!(
        answer.is_problem(429, "rate-limited").json()["limit"],
        "t/all"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_limit_counts_the_operations_and_the_organization_that_it_is_for() {
    let world = world(
        "  - { name: reads, per: caller+operation, operations: [self.get, organizations.list], rate: 60/h, burst: 1 }\n  - { name: orgs, per: organization, rate: 60/h, burst: 2 }",
    )
    .await;
    let list = |organization: &str| format!("/v3/organizations/{organization}/sessions");
    world.get("one", SELF).await.is_upstream(200);
    let answer = world.get("one", SELF).await;
    assert_eq!(
        answer.is_problem(429, "rate-limited").json()["limit"],
        "t/reads"
    );
    // Another operation, and another caller, have accounts of their own; what names no organization shares one.
    world.get("two", SELF).await.is_upstream(200);
    let answer = world.get("one", "/v3/enterprise/organizations").await;
    assert_eq!(
        answer.is_problem(429, "rate-limited").json()["limit"],
        "t/orgs"
    );
    for organization in ["org-ds", "org-web"] {
        for caller in ["one", "two"] {
            let answer = world.get(caller, &list(organization)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let answer = world.get("one", &list(organization)).await;
        assert_eq!(
            answer.is_problem(429, "rate-limited").json()["limit"],
            "t/orgs"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn a_burst_that_fits_into_the_wait_waits_and_is_not_refused() {
    let world = world("  - { name: own, per: caller, rate: 20/s, burst: 2, wait: 5s }").await;
    let all = (0..12).map(|_| world.get("one", SELF));
    for answer in futures_util::future::join_all(all).await {
        answer.is_upstream(200);
    }
    let lines = world.lines().await;
    let waited: Vec<f64> = lines
        .iter()
        .filter_map(|it| it["queue_ms"].as_f64())
        .collect();
    assert_eq!((lines.len(), waited.len()), (12, 10));
    assert!(
        waited.iter().all(|it| (1.0..5_000.0).contains(it)),
        "{waited:?}"
    );
    let (_, _, page) = world.operator("/metrics").await;
    assert!(
        page.contains("tollgate_queue_duration_seconds_count 10\n"),
        "{page}"
    );
    assert!(page.contains("tollgate_limit_waiting 0\n"), "{page}");
    world.finish().await;
}

#[tokio::test]
async fn whoever_would_wait_too_long_is_told_at_once() {
    let world = world("  - { name: own, per: caller, rate: 60/min, burst: 1, wait: 10s }").await;
    world.get("one", SELF).await.is_upstream(200);
    // Its client waits for half a second at most.
    let credential = format!("Bearer {}", world.key("one"));
    let impatient = Request::get("/").header("prefer", "wait=0.5");
    let impatient = impatient.header("authorization", credential);
    let answer = world.send(SELF, impatient, "").await;
    answer.is_problem(429, "rate-limited");
    assert_eq!(world.last_line().await["queue_ms"], Value::Null);
    // A patient one waits.
    world.get("one", SELF).await.is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn m23_whoever_leaves_the_line_has_used_nothing() {
    let world = world("  - { name: own, per: caller, rate: 60/min, burst: 1, wait: 30s }").await;
    world.get("one", SELF).await.is_upstream(200);
    {
        let gone = (0..20).map(|_| world.get("one", SELF));
        let gone = futures_util::future::join_all(gone);
        let left = tokio::time::timeout(Duration::from_millis(300), gone).await;
        assert!(left.is_err(), "they wait");
    }
    // Twenty of them would have had the next twenty seconds.
    let asked = tokio::time::Instant::now();
    world.get("one", SELF).await.is_upstream(200);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    let lines = world.lines().await;
    let gone = lines.iter().filter(|it| it["outcome"] == "client-gone");
    assert_eq!(gone.count(), 20);
    world.finish().await;
}

#[tokio::test]
async fn sessions_at_once_are_counted_until_they_rest() {
    let world = world("  - { name: running, per: caller, sessions: 2 }").await;
    let first = world.begin_session("one", r#"{"prompt":"a"}"#).await;
    world.begin_session("one", r#"{"prompt":"b"}"#).await;
    let answer = world.post("one", SESSIONS, r#"{"prompt":"c"}"#).await;
    let told = answer.is_problem(429, "sessions-at-limit").json();
    assert_eq!(
        (&told["limit"], &told["owner"]),
        (&json!("t/running"), &json!("t@acme.example"))
    );
    assert_eq!(answer.header("retry-after"), Some("30"));
    let line = world.last_line().await;
    assert_eq!(
        (
            &line["decision"],
            &line["limit"],
            &line["upstream_attempts"]
        ),
        (&json!("allow"), &json!("t/running"), &json!(0))
    );
    // Nothing is held for it. Another caller has its own.
    assert_eq!(line["acu_held"], Value::Null);
    world.begin_session("two", r#"{"prompt":"c"}"#).await;
    // A message to one that runs needs no slot; a teammate's neither.
    world.say("one", &first, "go on").await.is_upstream(200);
    world
        .say("two", &first, "go on as well")
        .await
        .is_upstream(200);
    // One ends, and the next may begin.
    let path = format!("{SESSIONS}/{first}");
    world
        .call("one", Method::DELETE, &path, "")
        .await
        .is_upstream(200);
    let mut begun = false;
    for _ in 0..200 {
        let answer = world.post("one", SESSIONS, r#"{"prompt":"d"}"#).await;
        if answer.status == 200 {
            begun = true;
            break;
        }
        answer.is_problem(429, "sessions-at-limit");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(begun);
    world.finish().await;
}

#[tokio::test]
async fn m6_a_retry_joins_before_its_slot_is_asked_for() {
    let mut setup = setup("  - { name: running, per: caller, sessions: 1 }");
    // So long, a repeat waits for an outcome.
    setup.timeouts.total = Duration::from_secs(2);
    let mut world = World::with(setup).await;
    world.upstream_faulty();
    // Devin creates the session, and its answer is lost.
    world.fake.inject(Fault::next(FaultKind::ResetAfterWork));
    let body = r#"{"prompt":"a"}"#;
    let lost = world.post("one", SESSIONS, body).await;
    assert!(lost.status.is_server_error(), "{lost:?}");
    // It may run: another one is refused, and the repeat is not.
    let other = world.post("one", SESSIONS, r#"{"prompt":"b"}"#).await;
    other.is_problem(429, "sessions-at-limit");
    let again = world.post("one", SESSIONS, body).await;
    assert_ne!(again.status, 429, "{again:?}");
    let made = world
        .upstream()
        .into_iter()
        .filter(|it| it.method == Method::POST);
    assert_eq!(made.count(), 1);
    world.finish().await;
}

#[tokio::test]
async fn limits_on_trial_refuse_nobody_and_are_logged_and_counted() {
    let world = world(
        "  - { name: tight, per: caller, callers: [one], rate: 60/h, burst: 1, shadow: true }\n  - { name: running, per: caller, sessions: 1, shadow: true }",
    )
    .await;
    for _ in 0..2 {
        let answer = world.get("one", SELF).await;
        answer.is_upstream(200);
        assert_eq!(answer.header("ratelimit"), None);
    }
    let line = world.last_line().await;
    assert_eq!(
        (&line["limits"], &line["limit"]),
        (&Value::Null, &json!("t/tight"))
    );
    assert_eq!(
        line["shadow"],
        json!({"decision": "deny", "rule": "t/tight", "code": "rate-limited"})
    );
    world.begin_session("two", r#"{"prompt":"a"}"#).await;
    world
        .post("two", SESSIONS, r#"{"prompt":"b"}"#)
        .await
        .is_upstream(200);
    let line = world.last_line().await;
    assert_eq!(
        line["shadow"],
        json!({"decision": "deny", "rule": "t/running", "code": "sessions-at-limit"})
    );
    let (_, _, page) = world.operator("/metrics").await;
    let counted = |rule: &str| {
        let series = format!("tollgate_shadow_decisions_total{{rule=\"{rule}\",effect=\"deny\"}}");
        page.contains(&series)
    };
    assert!(counted("t/tight") && counted("t/running"), "{page}");
    world.finish().await;
}

#[tokio::test]
async fn r13_who_waits_with_many_requests_takes_nobody_elses_place() {
    let mut setup = setup("  - { name: own, per: caller, rate: 6/min, burst: 1, wait: 60s }");
    setup.capacity.requests = 5;
    setup.capacity.requests_per_caller = 3;
    let world = World::with(setup).await;
    world.get("one", SELF).await.is_upstream(200);
    {
        let waiting = (0..3).map(|_| world.get("one", SELF));
        let waiting = futures_util::future::join_all(waiting);
        let others = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let answer = world.get("one", SELF).await;
            answer.is_problem(503, "overloaded");
            assert!(answer.header("retry-after").is_some());
            world.get("two", SELF).await.is_upstream(200);
        };
        tokio::select! {
            _ = waiting => panic!("they wait"),
            () = others => {}
        }
    }
    // Once they have left, there is room again.
    let lines = world.lines().await;
    let refused = lines.iter().find(|it| it["code"] == "overloaded").unwrap();
    assert_eq!(
        (&refused["decision"], &refused["rule"]),
        (&json!("allow"), &json!("t/self"))
    );
    let impatient = Request::get("/").header("prefer", "wait=0.1");
    let impatient = impatient.header("authorization", format!("Bearer {}", world.key("one")));
    world
        .send(SELF, impatient, "")
        .await
        .is_problem(429, "rate-limited");
    world.finish().await;
}

#[test]
fn m22_a_restart_gives_a_burst_again_and_no_more() {
    let key = ApiKey::generate("x1").unwrap();
    let policy = format!(
        "team: a\ncallers: {{ x: {{ keys: [{{ id: x1, sha256: \"{}\" }}] }} }}\n\
         allow: [{{ name: self, operations: [self.get], organizations: any }}]\n\
         limits: [{{ name: few, per: caller, rate: 1/h, burst: 3 }}]\n",
        key.digest_hex()
    );
    let folder = folder(CONFIG, &[("a.yaml", &policy)]);
    for _ in 0..2 {
        let served = serve(folder.path(), &[]);
        // Nothing listens upstream: what is let through is an honest 502.
        for wanted in ["502", "502", "502", "429", "429"] {
            let answer = served.get("/v3/self", key.expose());
            assert_eq!(answer.split(' ').nth(1), Some(wanted), "{answer}");
        }
        served.stop();
    }
}
