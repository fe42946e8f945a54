//! Bodies and queries against the bounds of a policy, over real sockets.

use serde_json::{Value, json};

use crate::settling::without_our_tag;
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

const POLICY: &str = r#"
team: t
owner: t@acme.example
callers: { one: {} }
allow:
  - name: run
    operations: [sessions.create]
    organizations: [org-ds]
    body:
      max_acu_limit: { default: 5, max: 20, above: clamp }
      tags: { add: [etl], max_items: 4 }
      devin_mode: { one_of: [normal, lite] }
      "session_secrets[].key": { matches: "ETL_*" }
      prompt: { max_length: 1000 }
  - name: look
    operations: [sessions.list]
    organizations: [org-ds]
    sessions: any
    query:
      first: { max: 50, above: clamp }
  - { name: tags, operations: ["org_tags.*"], organizations: [org-ds] }
  - { name: members, operations: [service_users.provision], organizations: [org-ds] }
  - { name: people, operations: [members.service_users.create], organizations: [org-ds], secrets: reveal }
"#;

async fn world() -> World {
    World::with(Setup {
        policy: POLICY.to_owned(),
        ..Setup::default()
    })
    .await
}

fn sent(world: &World) -> Value {
    serde_json::from_str(&without_our_tag(&world.upstream().last().unwrap().body)).unwrap()
}

#[tokio::test]
async fn g10_what_is_forwarded_is_what_was_judged() {
    let world = world().await;
    let body = r#"{"prompt": "x",  "structured_output_schema": {"n": 1.10}, "max_acu_limit": 300}"#;
    world.post("one", SESSIONS, body).await.is_upstream(200);
    let forwarded = String::from_utf8(world.upstream()[0].body.to_vec()).unwrap();
    assert!(
        forwarded.starts_with(
            r#"{"prompt": "x",  "structured_output_schema": {"n": 1.10}, "max_acu_limit": 20"#
        ),
        "{forwarded}"
    );
    assert_eq!(sent(&world)["tags"], json!(["etl"]));
    assert_eq!(sent(&world)["secret_ids"], json!([]));
    let header = world.upstream()[0]
        .header("content-length")
        .unwrap()
        .to_owned();
    assert_eq!(header, forwarded.len().to_string());
    let list = format!("{SESSIONS}?first=200&tags=a%2Cb&x=1");
    world.get("one", &list).await.is_upstream(200);
    assert_eq!(
        world.upstream()[1].query.as_deref(),
        Some("first=50&tags=a%2Cb&x=1")
    );
    let lines = world.lines().await;
    assert_eq!(lines[0]["fields"]["body.max_acu_limit"], 300);
    assert_eq!(lines[0]["bytes_in"], body.len());
    assert_eq!(lines[0]["rule"], "t/run");
    assert_eq!(lines[1]["fields"]["query.first"], "200");
    assert_eq!(lines[1]["unknown_fields"], json!(["query.x"]));
    world.finish().await;
}

#[tokio::test]
async fn b11_what_the_catalogue_does_not_know_is_named_and_passes_only_where_it_may() {
    let world = world().await;
    let body = r#"{"prompt":"x","quantum_mode":true,"max_acu_limit":2}"#;
    world.post("one", SESSIONS, body).await.is_upstream(200);
    assert_eq!(sent(&world)["quantum_mode"], true);
    let line = world.last_line().await;
    assert_eq!(line["unknown_fields"], json!(["body.quantum_mode"]));
    world.finish().await;
    let world = World::with(Setup {
        policy: POLICY.replace("  - name: run\n", "  - name: run\n    unknown: refuse\n"),
        ..Setup::default()
    })
    .await;
    world
        .post("one", SESSIONS, body)
        .await
        .is_problem(403, "field-denied");
    let query = format!("{SESSIONS}?quantum_mode=true");
    world
        .post("one", &query, r#"{"prompt":"x"}"#)
        .await
        .is_problem(403, "field-denied");
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn b13_a_schema_of_the_callers_is_bytes_and_never_followed() {
    let world = world().await;
    let references: Vec<Value> = (0..3_000)
        .map(|it| json!({"$ref": format!("#/anyOf/{it}"), "pattern": "(a+)+$"}))
        .collect();
    let schema = json!({"anyOf": references}).to_string();
    let body = format!(r#"{{"prompt":"x","structured_output_schema":{schema}}}"#);
    world.post("one", SESSIONS, &body).await.is_upstream(200);
    let before = world.upstream().len();
    let cyclic = r##"{"$ref":"#","pattern":"(a+)+$","n":1.10}"##;
    let body = format!(r#"{{"prompt":"x","structured_output_schema":{cyclic}}}"#);
    world.post("one", SESSIONS, &body).await.is_upstream(200);
    let forwarded = world.upstream()[before].body.clone();
    assert!(String::from_utf8_lossy(&forwarded).contains(cyclic));
    world.finish().await;
}

#[tokio::test]
async fn b15_a_body_with_a_read_names_nothing() {
    let world = world().await;
    for body in [
        r#"{"org_id":"org-web"}"#,
        r#"{"session_ids":["devin-1"]}"#,
        "x",
    ] {
        let answer = world.call("one", http::Method::GET, SESSIONS, body).await;
        answer.is_problem(400, "body-invalid");
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_refused_field_is_named_with_its_rule_and_nothing_is_sent() {
    let world = world().await;
    for (body, code, status, field) in [
        (
            json!({"prompt": "x", "devin_mode": "fast"}),
            "field-denied",
            403,
            Some("devin_mode"),
        ),
        (
            json!({"prompt": "x", "create_as_user_id": "user-1"}),
            "field-denied",
            403,
            Some("create_as_user_id"),
        ),
        (
            json!({"prompt": "x", "max_acu_limit": "5"}),
            "body-invalid",
            400,
            Some("max_acu_limit"),
        ),
        (
            json!({"prompt": "x", "max_acu_limit": 0}),
            "field-denied",
            403,
            Some("max_acu_limit"),
        ),
        (
            json!({"session_secrets": [{"key": "AWS_KEY", "value": "hush-hush-hush"}]}),
            "field-denied",
            403,
            Some("session_secrets[].key"),
        ),
        (json!([1]), "body-invalid", 400, None),
    ] {
        let answer = world.post("one", SESSIONS, &body.to_string()).await;
        let problem = answer.is_problem(status, code).json();
        assert_eq!(problem["rule"], "t/run");
        assert_eq!(problem["owner"], "t@acme.example");
        assert_eq!(problem["field"].as_str(), field, "{problem}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(world.last_line().await["decision"], "deny");
    }
    let answer = world
        .get("one", &format!("{SESSIONS}?first=1&first=2"))
        .await;
    answer.is_problem(400, "target-invalid");
    assert!(world.upstream().is_empty());
    let log = world.log.text();
    assert!(!log.contains("hush-hush") && !log.contains("AWS_KEY") || !log.contains("hush-hush"));
    world.finish().await;
}

#[tokio::test]
async fn b7_b8_what_cannot_be_judged_is_refused_and_what_need_not_be_streams() {
    let world = world().await;
    let send = async |path: &str, name: &'static str, value: &'static str| {
        let mut request = http::Request::post("/")
            .header("authorization", format!("Bearer {}", world.key("one")));
        if name != "content-type" {
            request = request.header("content-type", "application/json");
        }
        let request = request.header(name, value);
        world
            .send(path, request, r#"{"prompt":"x","tags":["a"]}"#)
            .await
    };
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-encoding", "gzip"),
        ("content-encoding", "identity"),
    ] {
        send(SESSIONS, name, value)
            .await
            .is_problem(415, "body-unsupported");
    }
    assert!(world.upstream().is_empty());
    let tags = "/v3/enterprise/organizations/org-ds/tags";
    for (name, value) in [("content-type", "text/plain"), ("content-encoding", "gzip")] {
        send(tags, name, value).await;
        let last = world.upstream().pop().unwrap();
        assert_eq!(last.header(name), Some(value));
        assert_eq!(&last.body[..], br#"{"prompt":"x","tags":["a"]}"#);
    }
    world.finish().await;
}

#[tokio::test]
async fn b4_bodies_have_bounds_before_they_are_read() {
    let world = world().await;
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    world
        .post("one", SESSIONS, &deep)
        .await
        .is_problem(400, "body-invalid");
    let large = format!("{{\"prompt\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    world
        .post("one", SESSIONS, &large)
        .await
        .is_problem(413, "body-too-large");
    // The same without a length.
    let head = format!(
        "POST {SESSIONS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer {}\r\n\r\n",
        world.key("one")
    );
    world.sent(1);
    let answer = world
        .raw(format!("{head}{:x}\r\n{large}\r\n0\r\n\r\n", large.len()).as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn b14_a_body_that_never_ends_is_never_sent() {
    use tokio::io::AsyncWriteExt;
    let world = world().await;
    let mut stream = tokio::net::TcpStream::connect(world.gateway).await.unwrap();
    let head = format!(
        "POST {SESSIONS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\nAuthorization: Bearer {}\r\n\r\n{{\"prompt\":\"x\"",
        world.key("one")
    );
    world.sent(1);
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    drop(stream);
    let line = world.last_line().await;
    assert_eq!(line["upstream_attempts"], 0);
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn r1_a_body_that_does_not_come_is_not_waited_for() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::with(Setup {
        policy: POLICY.to_owned(),
        capacity: crate::overload::within(|it| it.body = std::time::Duration::from_millis(50)),
        ..Setup::default()
    })
    .await;
    let mut stream = tokio::net::TcpStream::connect(world.gateway).await.unwrap();
    let head = format!(
        "POST {SESSIONS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\nAuthorization: Bearer {}\r\n\r\n{{",
        world.key("one")
    );
    world.sent(1);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    world.answered(answer.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(world.last_line().await["code"], "request-timeout");
    world.finish().await;
}

#[tokio::test]
async fn an_empty_body_gets_what_has_to_be_there() {
    let world = world().await;
    world
        .call("one", http::Method::POST, SESSIONS, "")
        .await
        .is_upstream(422);
    assert_eq!(
        sent(&world),
        json!({"max_acu_limit": 5, "tags": ["etl"], "secret_ids": []})
    );
    assert_eq!(
        world.upstream()[0].header("content-type"),
        Some("application/json")
    );
    // How nothing was encoded says nothing of what the gateway writes.
    let request =
        || http::Request::post("/").header("authorization", format!("Bearer {}", world.key("one")));
    let encoded = request().header("content-encoding", "gzip");
    world.send(SESSIONS, encoded, "").await.is_upstream(422);
    let last = world.upstream().pop().unwrap();
    assert_eq!(last.header("content-encoding"), None);
    assert_eq!(sent(&world)["max_acu_limit"], 5);
    let request = request().header("content-type", "application/json");
    let answer = world.send(SESSIONS, request, "").await;
    answer.is_problem(400, "body-invalid");
    world.finish().await;
}

#[tokio::test]
async fn u9_one_time_secrets_need_the_grants_word() {
    let world = world().await;
    let body = r#"{"name":"x","role":"developer","role_id":"org_member"}"#;
    let refused = world
        .post("one", "/v3beta1/organizations/org-ds/service-users", body)
        .await;
    let problem = refused.is_problem(403, "operation-denied").json();
    assert_eq!(problem["rule"], "t/members");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("secrets: reveal")
    );
    assert!(world.upstream().is_empty());
    world
        .post(
            "one",
            "/v3beta1/organizations/org-ds/members/service-users",
            body,
        )
        .await
        .is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn shadowed_rules_are_logged_and_never_enforced() {
    let policy = r#"
team: t
callers: { one: {} }
allow:
  - { name: run, operations: [sessions.create], organizations: [org-ds], body: { max_acu_limit: { max: 20 } } }
  - { name: look, operations: [sessions.list], organizations: [org-ds], sessions: any }
  - { name: tighter, shadow: true, operations: [sessions.create], organizations: [org-ds], body: { max_acu_limit: { max: 10 } } }
  - { name: wider, shadow: true, operations: [playbooks.list], organizations: any }
deny:
  - { name: no lists, shadow: true, operations: [sessions.list] }
"#;
    let world = World::with(Setup {
        policy: policy.to_owned(),
        ..Setup::default()
    })
    .await;
    let shadow = async || world.last_line().await["shadow"].clone();
    world
        .post("one", SESSIONS, r#"{"prompt":"x","max_acu_limit":9}"#)
        .await
        .is_upstream(200);
    assert_eq!(
        shadow().await,
        json!({"decision": "allow", "rule": "t/tighter"})
    );
    world
        .post("one", SESSIONS, r#"{"prompt":"x","max_acu_limit":15}"#)
        .await
        .is_upstream(200);
    assert_eq!(
        shadow().await,
        json!({"decision": "deny", "rule": "t/tighter", "code": "field-denied"})
    );
    world.get("one", SESSIONS).await.is_upstream(200);
    assert_eq!(
        shadow().await,
        json!({"decision": "deny", "rule": "t/no lists", "code": "operation-denied"})
    );
    let playbooks = "/v3/organizations/org-web/playbooks";
    world
        .get("one", playbooks)
        .await
        .is_problem(403, "operation-denied");
    assert_eq!(
        shadow().await,
        json!({"decision": "allow", "rule": "t/wider"})
    );
    world.finish().await;
}

#[tokio::test]
async fn a_shadowed_limit_is_logged_and_lets_through() {
    let policy = r#"
team: t
callers: { one: {} }
allow: [{ name: look, operations: [sessions.list], organizations: [org-ds], sessions: any }]
limits: [{ name: trickle, shadow: true, per: caller, rate: 1/h, burst: 1 }]
"#;
    let world = World::with(Setup {
        policy: policy.to_owned(),
        ..Setup::default()
    })
    .await;
    for _ in 0..2 {
        world.get("one", SESSIONS).await.is_upstream(200);
    }
    let lines = world.lines().await;
    assert_eq!(lines[0]["shadow"], Value::Null);
    assert_eq!(
        lines[1]["shadow"],
        json!({"decision": "deny", "rule": "t/trickle", "code": "rate-limited"})
    );
    world.finish().await;
}

#[tokio::test]
async fn r1_no_body_is_read_beyond_the_limit() {
    let policy = POLICY.to_owned() + "limits: [{ name: few, per: caller, rate: 1/h, burst: 2 }]\n";
    let world = World::with(Setup {
        policy,
        ..Setup::default()
    })
    .await;
    let refused = r#"{"prompt":"x","devin_mode":"fast"}"#;
    for _ in 0..2 {
        let answer = world.post("one", SESSIONS, refused).await;
        answer.is_problem(403, "field-denied");
    }
    let answer = world.post("one", SESSIONS, refused).await;
    answer.is_problem(429, "rate-limited");
    assert_eq!(world.last_line().await["bytes_in"], 0);
    world.finish().await;
}
