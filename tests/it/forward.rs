//! What is allowed goes through, unchanged both ways.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::settling::without_our_tag;
use crate::world::World;

const SESSIONS: &str = "/v3beta1/organizations/org-ds/sessions";

#[tokio::test]
async fn g10_a_session_is_created_with_the_callers_own_bytes() {
    let world = World::start().await;
    let body = "{ \"prompt\":\"修理\",\n \"title\" : \"a\\u0062\", \"max_acu_limit\":5,\t\"secret_ids\":[] }";
    let answer = world.post("one", SESSIONS, body).await;
    answer.is_upstream(200);
    let id = answer.json()["session_id"].as_str().unwrap().to_owned();
    assert_eq!(without_our_tag(&world.upstream()[0].body), body);
    // Its length is known, and stays known.
    assert_eq!(
        world.upstream()[0].header("content-length"),
        Some(world.upstream()[0].body.len().to_string().as_str())
    );
    let read = world.get("one", &format!("{SESSIONS}/{id}?x=%20y;z")).await;
    assert_eq!(read.is_upstream(200).json()["title"], "ab");
    assert_eq!(
        world.upstream()[1].target,
        format!("{SESSIONS}/{id}?x=%20y;z")
    );
    let line = world.last_line().await;
    for (field, wanted) in [
        ("caller", "one"),
        ("team", "t"),
        ("operation", "sessions.get"),
        ("organization", "org-ds"),
        ("session", id.as_str()),
        ("decision", "allow"),
        ("rule", "t/sessions"),
        ("outcome", "complete"),
        ("answered_by", "upstream"),
        ("method", "GET"),
    ] {
        assert_eq!(line[field], wanted, "{field}");
    }
    assert_eq!(line["identity"]["key_id"], "one");
    assert_eq!(line["upstream_attempts"], 1);
    assert!(line["code"].is_null());
    assert!(
        !line.to_string().contains("%20y"),
        "a query value is in the log"
    );
    world.finish().await;
}

#[tokio::test]
async fn both_versions_and_both_protocols_work() {
    let world = World::start().await;
    world
        .get("one", "/v3/enterprise/self")
        .await
        .is_upstream(200);
    world
        .get("one", "/v3beta1/enterprise/self")
        .await
        .is_upstream(200);
    world.get("one", "/v3/self").await.is_upstream(200);
    let h2 = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    for _ in 0..3 {
        let request = Request::get(format!("http://{}/v3/self", world.gateway))
            .header("authorization", format!("Bearer {}", world.key("one")))
            .body(Full::new(Bytes::new()))
            .unwrap();
        world.sent(1);
        let answer = h2.request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        world.check_headers(answer.headers());
        world.answered(&answer.into_body().collect().await.unwrap().to_bytes());
    }
    world.finish().await;
}

#[tokio::test]
async fn g1_nothing_of_the_callers_goes_along() {
    let world = World::start().await;
    let request = Request::builder()
        .method(Method::GET)
        .header("authorization", format!("Bearer {}", world.key("one")))
        .header("proxy-authorization", "Basic YTpi")
        .header("cookie", "session=1")
        .header("x-forwarded-for", "10.0.0.1")
        .header("x-forwarded-client-cert", "By=x")
        .header("forwarded", "for=10.0.0.1")
        .header("tollgate-caller", "admin")
        .header("x-request-id", "mine-1")
        .header("x-original-url", "/v3/other")
        .header("x-api-key", world.key("other"))
        .header("host", "evil.example")
        .header("connection", "accept-language, host")
        .header("accept-language", "de")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .header("accept", "application/json");
    let answer = world.send("/v3/self", request, "").await;
    answer.is_upstream(200);
    let seen = &world.upstream()[0];
    let mut names: Vec<&str> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "accept-encoding",
            "authorization",
            "host",
            "via",
            "x-request-id"
        ]
    );
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert_eq!(
        seen.header("host"),
        Some(world.fake_address.to_string().as_str())
    );
    assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"));
    let line = world.last_line().await;
    assert_eq!(line["client_request_id"], "mine-1");
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    world.finish().await;
}

#[tokio::test]
async fn u11_a_file_goes_up_and_its_link_comes_back_unfollowed_and_unlogged() {
    let world = World::start().await;
    let content = "x".repeat(300_000);
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n{content}\r\n--b--\r\n"
    );
    let request = Request::builder()
        .method(Method::POST)
        .header("authorization", format!("Bearer {}", world.key("one")))
        .header("content-type", "multipart/form-data; boundary=b");
    let answer = world
        .send("/v3/organizations/org-ds/attachments", request, &body)
        .await;
    let url = answer.is_upstream(200).json()["url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(world.upstream()[0].body.len(), body.len());
    let path = &url[url.find("/v3").unwrap()..];
    let answer = world.get("one", path).await;
    answer.is_upstream(307);
    assert!(answer.header("location").unwrap().contains("/signed/"));
    // Followed by the caller, not by the gateway.
    assert_eq!(world.upstream().len(), 2);
    let lines = world.lines().await;
    assert_eq!(lines[0]["bytes_in"], body.len());
    assert!(
        lines
            .iter()
            .all(|line| !line.to_string().contains("/signed/")),
        "a Location is in the log"
    );
    world.finish().await;
}

#[tokio::test]
async fn u4_devins_headers_come_through_an_allow_list() {
    use tollgate::fake_devin::{Fault, FaultKind};
    let world = World::start().await;
    let pairs = [
        ("set-cookie", "a=b"),
        ("server", "devin"),
        ("tollgate-answered-by", "gateway"),
        ("x-request-id", "theirs"),
        ("ratelimit", "r=1"),
        ("strict-transport-security", "max-age=1"),
        ("etag", "\"1\""),
        ("x-should-retry", "true"),
    ];
    let pairs = pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    world
        .fake
        .inject(Fault::next(FaultKind::ExtraHeaders(pairs)));
    let answer = world.get("one", "/v3/self").await;
    answer.is_upstream(200);
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert_ne!(answer.header("x-request-id"), Some("theirs"));
    assert!(answer.header("set-cookie").is_none());
    world.finish().await;
}

#[tokio::test]
async fn an_answer_is_streamed_as_it_comes() {
    use std::time::Duration;
    use tollgate::fake_devin::{Fault, FaultKind};
    let world = World::start().await;
    world.fake.inject(Fault::next(FaultKind::SlowBody {
        chunk_delay: Duration::from_millis(300),
    }));
    let request = Request::get(format!(
        "http://{}/v3/enterprise/organizations",
        world.gateway
    ))
    .header("authorization", format!("Bearer {}", world.key("one")))
    .body(Full::new(Bytes::new()))
    .unwrap();
    let mut answer = world.begin(request).await;
    let first = answer
        .body_mut()
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    assert!(
        !world.upstream()[0].finished || first.len() < 300,
        "the first chunk came before the last was sent"
    );
    let rest = answer.into_body().collect().await.unwrap().to_bytes();
    let whole = [first, rest].concat();
    assert!(serde_json::from_slice::<serde_json::Value>(&whole).is_ok());
    world.answered(&whole);
    world.finish().await;
}
