//! Connections: what hyper's parser refuses, what happens at the end, and the operator's port.

use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;

use crate::world::World;

#[tokio::test]
async fn g4_what_the_parser_refuses_has_a_line_of_its_own() {
    let world = World::start().await;
    let answer = world
        .raw(b"GET /v3/self HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let mut lines = Vec::new();
    for _ in 0..100 {
        lines = world.lines().await;
        if !lines.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["kind"], "connection");
    assert!(lines[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    world.finish().await;
}

#[tokio::test]
async fn f15_each_request_of_a_connection_is_judged_on_its_own() {
    let world = World::start().await;
    let request = |caller: &str| {
        let authorization = if caller.is_empty() {
            String::new()
        } else {
            format!("Authorization: Bearer {}\r\n", world.key(caller))
        };
        format!("GET /v3/self HTTP/1.1\r\nHost: x\r\n{authorization}\r\n")
    };
    world.sent(3);
    let answer = world
        .raw(
            [request("one"), request(""), request("other")]
                .concat()
                .as_bytes(),
        )
        .await;
    let statuses: Vec<&str> = answer
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &answer[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "401", "403"]);
    assert_eq!(world.upstream().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn f10_a_refused_request_leaves_its_connection_in_order() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::start().await;
    let head = |extra: &str| {
        let key = world.key("one");
        format!(
            "POST /v3/organizations/org-web/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{extra}\r\n"
        )
    };
    // The body comes a little later than its head, as Python's http.client sends it; it looks like a request.
    let body = "GET /v3/self HTTP/1.1\r\nHost: evil\r\n\r\n";
    let mut stream = TcpStream::connect(world.gateway).await.unwrap();
    for _ in 0..3 {
        world.sent(1);
        stream
            .write_all(head(&format!("Content-Length: {}\r\n", body.len())).as_bytes())
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(
            answer.starts_with("HTTP/1.1 403") && !answer.contains("connection: close"),
            "{answer}"
        );
    }
    drop(stream);
    // More than is read, or nothing at all: the client is told that the connection ends.
    for extra in [
        "Content-Length: 1000000\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 9\r\nExpect: 100-continue\r\n",
    ] {
        world.sent(1);
        let mut stream = TcpStream::connect(world.gateway).await.unwrap();
        stream.write_all(head(extra).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("connection: close"),
            "{extra}: {answer}"
        );
        assert!(!answer.contains("100 Continue"), "{answer}");
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn f10_what_is_answered_early_leaves_nothing_to_be_read_as_a_request() {
    use futures_util::future::join_all;
    use tollgate::fake_devin::{Fault, FaultKind};
    let world = World::start().await;
    let hidden = world.hidden();
    let length = format!("Content-Length: {}\r\n", hidden.len());
    // By Devin, before it has the body.
    world.fake.inject(Fault::always(FaultKind::Status {
        code: 422,
        retry_after: None,
        x_should_retry: None,
    }));
    let json = format!("Content-Type: application/json\r\n{length}");
    let mut attacks: Vec<String> = [
        "organizations/org-ds/sessions",
        "enterprise/organizations/org-ds/tags",
    ]
    .into_iter()
    .map(|path| {
        let head = world.head("POST", &format!("/v3/{path}"));
        format!("{head}{json}\r\n{hidden}")
    })
    .collect();
    // By the gateway: its own pages, and a refusal of each stage that reads no body.
    let key = world.key("slow");
    for (line, credential) in [
        ("GET /.tollgate/problems/", "x"),
        ("GET /.tollgate/whoami", &key),
        ("GET /.tollgate/whoami", "x"),
        ("POST /.tollgate/whoami", &key),
        ("POST /v1/sessions", &key),
        ("POST /v3/organizations/org-ds/sessions", "x"),
        ("POST /v3/organizations/org-ds/notes", &key),
        ("POST /v3/../v3", &key),
    ] {
        let lines = format!("Host: x\r\nAuthorization: Bearer {credential}\r\n");
        attacks.push(format!("{line} HTTP/1.1\r\n{lines}{length}\r\n{hidden}"));
    }
    for back in join_all(attacks.iter().map(|it| world.attack(it))).await {
        assert_eq!(back.statuses().len(), 1, "{}", back.text);
    }
    world.nothing_hidden_was_served();
    assert!(world.upstream().len() <= 2);
    world.finish().await;
}

#[tokio::test]
async fn a10_probes_ask_nobody_and_say_little() {
    let world = World::start().await;
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/", 404),
        ("/v3/self", 404),
    ] {
        let (answered, media, body) = world.operator(path).await;
        assert_eq!(
            (answered, media.as_str()),
            (status, "application/json"),
            "{path}"
        );
        let body: Value = serde_json::from_str(&body).unwrap();
        if path == "/readyz" {
            assert_eq!(
                (&body["ready"], &body["policy"]["callers"]),
                (&true.into(), &3.into())
            );
        }
    }
    world
        .get("one", "/healthz")
        .await
        .is_problem(404, "operation-unknown");
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_when_the_process_stops() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tollgate::fake_devin::{Fault, FaultKind};
    let mut world = World::start().await;
    let latency = Duration::from_millis(1_500);
    world.fake.inject(Fault::next(FaultKind::Latency(latency)));
    let mut asking = TcpStream::connect(world.gateway).await.unwrap();
    let key = world.key("one");
    let request =
        format!("GET /v3/self HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
    asking.write_all(request.as_bytes()).await.unwrap();
    world.sent(1);
    while world.upstream().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        TcpStream::connect(world.gateway).await.is_err(),
        "the callers' listener is closed"
    );
    let mut probe = TcpStream::connect(world.admin).await.unwrap();
    probe
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("stopping"),
        "{answer}"
    );
    let mut answer = String::new();
    asking.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("service_user_id"),
        "{answer}"
    );
    world.finish().await;
}
