//! What is not allowed is refused, with its code, and Devin sees nothing of it (G7).

use http::{Method, Request};

use crate::world::World;

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

#[tokio::test]
async fn denied_by_default_by_rule_and_by_organization() {
    let world = World::start().await;
    let answer = world.get("other", "/v3/enterprise/organizations").await;
    let body = answer.is_problem(403, "operation-denied").json();
    assert_eq!(
        (&body["operation"], &body["owner"]),
        (&"organizations.list".into(), &"t@acme.example".into())
    );
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let answer = world
        .call("one", Method::DELETE, &format!("{SESSIONS}/devin-1"), "")
        .await;
    assert_eq!(
        answer.is_problem(403, "operation-denied").json()["rule"],
        "t/no end"
    );
    let answer = world
        .post("one", "/v3/organizations/org-web/sessions", "{}")
        .await;
    let body = answer.is_problem(403, "organization-denied").json();
    assert_eq!(
        (&body["organization"], &body["rule"]),
        (&"org-web".into(), &"t/sessions".into())
    );
    assert_eq!(world.lines().await[2]["decision"], "deny");
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn credentials_that_are_none() {
    let world = World::start().await;
    let key = world.key("one");
    let answer = world.send(SESSIONS, Request::get("/"), "").await;
    answer.is_problem(401, "credential-missing");
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"tollgate\"")
    );
    let unknown = tollgate::api_key::ApiKey::generate("nobody").unwrap();
    let stolen_id = tollgate::api_key::ApiKey::generate("one").unwrap();
    for value in [
        format!("Basic {key}"),
        key.clone(),
        format!("Bearer {key}x"),
        format!("Bearer {key} "),
        format!("Bearer {key}, Bearer {key}"),
        format!("Bearer {}", unknown.expose()),
        format!("Bearer {}", stolen_id.expose()),
        format!("Bearer {}", stolen_id.digest_hex()),
        format!("Bearer {}", world.token),
        "Bearer".to_owned(),
        "Bearer a.b.c".to_owned(),
    ] {
        let answer = world
            .send(
                SESSIONS,
                Request::get("/").header("authorization", &value),
                "",
            )
            .await;
        // Trailing white space is no part of a header's value (RFC 9110 section 5.5).
        if value.ends_with(' ') {
            answer.is_upstream(200);
            continue;
        }
        answer.is_problem(401, "credential-invalid");
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .contains("invalid_token")
        );
    }
    let twice = Request::get("/")
        .header("authorization", format!("Bearer {key}"))
        .header("authorization", "Bearer x");
    world
        .send(SESSIONS, twice, "")
        .await
        .is_problem(400, "header-invalid");
    assert_eq!(world.upstream().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn h7_a_credential_of_64_kib_and_too_many_headers() {
    let world = World::start().await;
    let long =
        Request::get("/").header("authorization", format!("Bearer {}", "a".repeat(64 * 1024)));
    world
        .send(SESSIONS, long, "")
        .await
        .is_problem(431, "headers-too-large");
    let long =
        Request::get("/").header("authorization", format!("Bearer {}", "a".repeat(20 * 1024)));
    world
        .send(SESSIONS, long, "")
        .await
        .is_problem(401, "credential-invalid");
    let mut many =
        Request::get("/").header("authorization", format!("Bearer {}", world.key("one")));
    for number in 0..80 {
        many = many.header(format!("x-{number}"), "1");
    }
    world
        .send(SESSIONS, many, "")
        .await
        .is_problem(431, "headers-too-large");
    let path = format!("{SESSIONS}?tags={}", "a".repeat(9_000));
    world
        .get("one", &path)
        .await
        .is_problem(414, "target-too-long");
    world.finish().await;
}

#[tokio::test]
async fn p9_unknown_paths_and_methods() {
    let world = World::start().await;
    for path in [
        "/v1/sessions",
        "/v2/enterprise/x",
        "/",
        "/metrics",
        "/v3/organizations/sessions",
        "/opbeta/outposts",
        "/.tollgate/x",
    ] {
        world
            .get("one", path)
            .await
            .is_problem(404, "operation-unknown");
    }
    let answer = world.get("one", "/v3beta1/self").await;
    assert!(
        answer.is_problem(404, "operation-unknown").json()["detail"]
            .as_str()
            .unwrap()
            .contains("another version")
    );
    let answer = world
        .call("one", Method::DELETE, "/v3/enterprise/self", "")
        .await;
    answer.is_problem(405, "method-unknown");
    assert_eq!(answer.header("allow"), Some("GET"));
    for (method, status) in [
        ("OPTIONS", 405),
        ("TRACE", 405),
        ("PROPFIND", 501),
        ("get", 501),
    ] {
        let answer = world
            .call("one", method.parse().unwrap(), SESSIONS, "")
            .await;
        answer.is_problem(status, "method-unknown");
        assert_eq!(answer.header("allow"), Some("GET, POST"));
    }
    for path in [
        "/v3/../v3/self",
        "/v3/%2e%2e/self",
        "/v3//self",
        "/v3/self/",
        "/v3/self;x",
        "/v3/organizations/a%2fb/sessions",
    ] {
        world.raw_get(path).await;
    }
    world.finish().await;
}

impl World {
    /// Sent raw, since client libraries repair such paths.
    async fn raw_get(&self, path: &str) {
        self.sent(1);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            self.key("one")
        );
        let answer = self.raw(request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("problems/target-invalid"),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn p7_only_origin_form_is_served() {
    let world = World::start().await;
    for target in [
        "http://evil/v3/self",
        "https://api.devin.ai@evil/v3/self",
        "evil:80",
        "*",
    ] {
        world.raw_get(target).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_limit_refuses_says_how_long_and_keeps_its_word() {
    let policy = crate::world::POLICY.replace("rate: 2/min", "rate: 30/min");
    let world = World::with(crate::world::Setup {
        policy,
        ..Default::default()
    })
    .await;
    for _ in 0..2 {
        world.get("slow", "/v3/self").await.is_upstream(200);
    }
    let answer = world.get("slow", "/v3/self").await;
    assert_eq!(
        answer.is_problem(429, "rate-limited").json()["limit"],
        "t/trickle"
    );
    assert!(answer.header("x-should-retry").is_none());
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    // What is denied anyway uses nothing up, and neither does another caller.
    world.get("one", "/v3/self").await.is_upstream(200);
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    for _ in 0..5 {
        world
            .get("slow", "/v3/enterprise/queue")
            .await
            .is_problem(403, "operation-denied");
    }
    world.get("slow", "/v3/self").await.is_upstream(200);
    let limited = world
        .lines()
        .await
        .into_iter()
        .find(|line| line["code"] == "rate-limited")
        .unwrap();
    assert_eq!(
        (&limited["decision"], &limited["limit"]),
        (&"allow".into(), &"t/trickle".into())
    );
    world.finish().await;
}

#[tokio::test]
async fn every_refusals_type_is_a_page() {
    let world = World::start().await;
    let answer = world.get("other", "/v3/enterprise/organizations").await;
    let page = answer.json()["type"].as_str().unwrap().to_owned();
    let answer = world.send(&page, Request::get("/"), "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(String::from_utf8_lossy(&answer.body).contains("operation-denied"));
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    world
        .send("/.tollgate/problems/", Request::get("/"), "")
        .await;
    world
        .send("/.tollgate/problems/nothing", Request::get("/"), "")
        .await
        .is_problem(404, "operation-unknown");
    world
        .send(&page, Request::post("/"), "")
        .await
        .is_problem(405, "method-unknown");
    world.finish().await;
}
