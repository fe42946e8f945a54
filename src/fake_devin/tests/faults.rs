//! Faults, recordings and the control routes.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Version};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::{FakeDevin, Fault, FaultKind, FaultTimes};
use super::{Harness, TOKEN, options};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

async fn sessions(devin: &Harness) -> Value {
    devin.get(SESSIONS).await.ok()["total"].clone()
}

/// Sends bytes as they are, reads until the end.
async fn raw(devin: &Harness, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(devin.address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map(|_| answer)
}

#[tokio::test]
async fn a_reset_after_the_work_leaves_the_work_done() {
    for http2 in [false, true] {
        let devin = Harness::with(options(), http2).await;
        for (kind, done) in [
            (FaultKind::ResetBeforeWork, 0),
            (FaultKind::ResetAfterWork, 1),
        ] {
            devin.fake.inject(Fault::next(kind));
            let body = Some(json!({ "prompt": "x" }));
            let request = devin.request(Method::POST, SESSIONS, body);
            assert!(devin.send(request).await.is_err());
            assert_eq!(devin.fake.requests().last().unwrap().status, None);
            assert_eq!(sessions(&devin).await, json!(done));
        }
        devin
            .fake
            .inject(Fault::next(FaultKind::StatusAfterWork { code: 502 }));
        devin
            .post(SESSIONS, json!({ "prompt": "x" }))
            .await
            .problem(502);
        assert_eq!(sessions(&devin).await, json!(2));
    }
}

#[tokio::test]
async fn half_an_answer_breaks_off() {
    let devin = Harness::start().await;
    devin.fake.inject(Fault::next(FaultKind::HalfAnswer));
    let head = format!("GET /v3/self HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    let answer = raw(&devin, head.as_bytes()).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let length = lines
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap() / 2);
}

#[tokio::test]
async fn bytes_verbatim() {
    let devin = Harness::start().await;
    devin
        .fake
        .inject(Fault::next(FaultKind::Raw(Bytes::from_static(
            b"HTTP/1.1 9999 ?\r\n\r\n",
        ))));
    let answer = raw(&devin, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer, b"HTTP/1.1 9999 ?\r\n\r\n");
}

#[tokio::test]
async fn statuses_headers_and_order() {
    let devin = Harness::start().await;
    devin.fake.inject(Fault {
        kind: FaultKind::Status {
            code: 429,
            retry_after: Some(7),
            x_should_retry: Some(false),
        },
        times: FaultTimes::Next(2),
        only: Some((Method::GET, "/v3/self".into())),
    });
    devin.fake.inject(Fault::always(FaultKind::RejectToken));
    let answer = devin.get("/v3/self").await;
    answer.problem(429);
    assert_eq!(answer.headers["retry-after"], "7");
    assert_eq!(answer.headers["x-should-retry"], "false");
    devin.get("/v3/enterprise/self").await.problem(401);
    devin.get("/v3/self").await.problem(429);
    devin.get("/v3/self").await.problem(401);
    devin.fake.clear_faults();
    devin.fake.inject(Fault::next(FaultKind::EchoAuthorization));
    let echoed = devin.get("/v3/self").await.ok();
    assert_eq!(echoed["authorization"], json!(format!("Bearer {TOKEN}")));
    let cookie = ("set-cookie".to_owned(), "a=b".to_owned());
    devin
        .fake
        .inject(Fault::next(FaultKind::ExtraHeaders(vec![cookie])));
    assert_eq!(devin.get("/v3/self").await.headers["set-cookie"], "a=b");
    let location = "http://elsewhere.example/".to_owned();
    devin.fake.inject(Fault::next(FaultKind::Redirect {
        location: location.clone(),
    }));
    let answer = devin.get("/v3/self").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["location"]),
        (307, &location.parse().unwrap())
    );
}

#[tokio::test]
async fn slow_and_silent() {
    let devin = Harness::start().await;
    let delay = Duration::from_millis(5);
    let began = tokio::time::Instant::now();
    devin
        .fake
        .inject(Fault::next(FaultKind::SlowBody { chunk_delay: delay }));
    assert!(devin.get("/v3/self").await.ok()["role"].is_string());
    devin
        .fake
        .inject(Fault::next(FaultKind::Latency(delay * 4)));
    devin.get("/v3/self").await.ok();
    assert!(began.elapsed() >= delay * 11);
    devin.fake.inject(Fault::next(FaultKind::Hang));
    let silent = tokio::time::timeout(delay * 10, devin.get("/v3/self"));
    assert!(silent.await.is_err());
}

#[tokio::test]
async fn what_is_recorded_is_what_was_sent() {
    let devin = Harness::start().await;
    let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let mut request = devin.request(Method::POST, "/v9//a%2Fb/../c?x=%41&&y=+", None);
    *request.body_mut() = Full::new(Bytes::from(body.clone()));
    request
        .headers_mut()
        .append("x-twice", "1".parse().unwrap());
    request
        .headers_mut()
        .append("x-twice", "2".parse().unwrap());
    devin.send(request).await.unwrap().problem(404);
    let seen = devin.fake.requests().pop().unwrap();
    assert_eq!(seen.target, "/v9//a%2Fb/../c?x=%41&&y=+");
    assert_eq!(seen.path, "/v9//a%2Fb/../c");
    assert_eq!(seen.query.as_deref(), Some("x=%41&&y=+"));
    assert_eq!(seen.body, body);
    assert!(seen.finished);
    assert_eq!(seen.status, Some(404));
    assert_eq!(
        seen.headers
            .iter()
            .filter(|(name, _)| name == "x-twice")
            .count(),
        2
    );
    assert!(!format!("{seen:?}").contains(TOKEN));
    devin.fake.clear_requests();
    assert!(devin.fake.requests().is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_recorded_as_far_as_it_came() {
    let devin = Harness::start().await;
    let mut stream = TcpStream::connect(devin.address).await.unwrap();
    let head = b"POST /v3/x HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf";
    stream.write_all(head).await.unwrap();
    drop(stream);
    for _ in 0..200 {
        let seen = devin.fake.requests();
        if seen.first().is_some_and(|seen| seen.body == "half") {
            assert!(!seen[0].finished && seen[0].status.is_none());
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never recorded");
}

#[tokio::test]
async fn http2_is_spoken() {
    let devin = Harness::with(options(), true).await;
    devin.get("/v3/self?a=b").await.ok();
    let seen = devin.fake.requests().pop().unwrap();
    assert_eq!(
        (seen.version, seen.target.as_str()),
        (Version::HTTP_2, "/v3/self?a=b")
    );
}

#[tokio::test]
async fn the_control_routes_do_the_same() {
    let devin = Harness::start().await;
    let id = devin.create(json!({ "prompt": "x" })).await;
    devin
        .post("/.fake/clock", json!({ "advance_seconds": 120 }))
        .await
        .ok();
    assert_eq!(devin.fake.session(&id).unwrap()["status"], json!("running"));
    let only = json!({ "method": "GET", "path": "/v3/self" });
    for fault in [
        json!({ "kind": "status", "code": 503, "times": 2, "only": only }),
        json!({ "kind": "latency", "ms": 1, "times": "always" }),
        json!({ "kind": "reset_after_work" }),
        json!({ "kind": "extra_headers", "headers": [["a", "b"]] }),
        json!({ "kind": "raw", "text": "x" }),
    ] {
        devin.post("/.fake/faults", fault).await.ok();
    }
    devin.get("/v3/self").await.problem(503);
    devin.get("/v3/enterprise/self").await.ok();
    devin.delete("/.fake/faults").await.ok();
    devin.get("/v3/self").await.ok();
    devin
        .post("/.fake/faults", json!({ "kind": "unheard_of" }))
        .await
        .problem(400);
    let seen = devin.get("/.fake/requests").await.ok();
    let seen = seen.as_array().unwrap();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[0]["body"], json!("{\"prompt\":\"x\"}"));
    assert!(seen[0]["headers"].to_string().contains(TOKEN));
    devin.delete("/.fake/requests").await.ok();
    assert!(devin.fake.requests().is_empty());
}

#[tokio::test]
async fn shutting_down_cuts_every_connection() {
    let fake = FakeDevin::new(options());
    fake.inject(Fault::next(FaultKind::Hang));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = fake.clone();
    let serving = tokio::spawn(async move {
        served.serve(listener, async { drop(stopped.await) }).await;
    });
    let head = b"GET /v3/self HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(head).await.unwrap();
    while fake.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send(()).unwrap();
    serving.await.unwrap();
    let mut rest = Vec::new();
    assert!(matches!(
        stream.read_to_end(&mut rest).await,
        Ok(0) | Err(_)
    ));
}
