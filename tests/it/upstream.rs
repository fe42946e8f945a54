//! Devin down, slow, cut off, or angry at our token; and bugs of ours.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tollgate::body::Body;
use tollgate::exchange::Exchange;
use tollgate::fake_devin::{Fault, FaultKind};
use tollgate::pipeline::credential::Outbound;
use tollgate::pipeline::upstream::{Timeouts, Upstream};
use tollgate::rejection::Rejection;
use tower::Service;

use crate::edge::tls::{Ca, Place};
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

#[tokio::test]
async fn r17_devin_down() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut world = World::with(Setup {
        pinned: Some(crate::world::at(closed)),
        ..Setup::default()
    })
    .await;
    world.upstream_faulty();
    let answer = world.post("one", SESSIONS, "{\"prompt\":\"x\"}").await;
    answer.is_problem(502, "upstream-unreachable");
    // No byte left, so a client may well try again; and it is not told hosts and causes.
    assert!(answer.header("x-should-retry").is_none());
    assert!(!String::from_utf8_lossy(&answer.body).contains(&closed.port().to_string()));
    let line = world.last_line().await;
    assert!(
        line["cause"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains("refused"),
        "{line}"
    );
    world.finish().await;
}

#[tokio::test]
async fn r17_devin_slow() {
    let timeouts = Timeouts {
        connect: Duration::from_secs(1),
        first_byte: Duration::from_millis(500),
        total: Duration::from_secs(3),
    };
    let mut world = World::with(Setup {
        timeouts,
        ..Setup::default()
    })
    .await;
    world.upstream_faulty();
    world.fake.inject(Fault::next(FaultKind::Hang));
    let answer = world.get("one", SESSIONS).await;
    answer.is_problem(504, "upstream-timeout");
    assert!(
        answer.header("x-should-retry").is_none(),
        "a read may be repeated"
    );
    // A create may take until `total`: `first_byte` is not for what spends.
    world
        .fake
        .inject(Fault::next(FaultKind::Latency(Duration::from_millis(900))));
    world
        .post("one", SESSIONS, "{\"prompt\":\"x\"}")
        .await
        .is_upstream(200);
    world.fake.inject(Fault::next(FaultKind::Hang));
    let answer = world.post("one", SESSIONS, "{\"prompt\":\"x\"}").await;
    answer.is_problem(504, "upstream-timeout");
    assert_eq!(
        answer.header("x-should-retry"),
        Some("false"),
        "it may have created a session"
    );
    world.finish().await;
}

#[tokio::test]
async fn m4_reset_after_the_work_is_not_called_harmless() {
    let mut world = World::start().await;
    world.upstream_faulty();
    world.fake.inject(Fault::next(FaultKind::ResetAfterWork));
    let answer = world.post("one", SESSIONS, "{\"prompt\":\"x\"}").await;
    answer.is_problem(502, "upstream-unreachable");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    // Sent once: nothing in our client repeats a request.
    assert_eq!(world.upstream().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn half_an_answer_is_never_a_whole_one() {
    let mut world = World::start().await;
    world.upstream_faulty();
    world.fake.inject(Fault::next(FaultKind::HalfAnswer));
    let request = Request::get(format!("http://{}{SESSIONS}", world.gateway))
        .header("authorization", format!("Bearer {}", world.key("one")))
        .body(Full::new(Bytes::new()))
        .unwrap();
    let answer = world.begin(request).await;
    assert_eq!(answer.status(), 200);
    assert!(
        answer.into_body().collect().await.is_err(),
        "the caller must see that it was cut"
    );
    assert_eq!(world.last_line().await["outcome"], "upstream-aborted");
    world.finish().await;
}

#[tokio::test]
async fn f18_nonsense_from_devin() {
    let mut world = World::start().await;
    world.upstream_faulty();
    for nonsense in [
        "not http at all\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ] {
        world
            .fake
            .inject(Fault::next(FaultKind::Raw(nonsense.into())));
        let answer = world.get("one", SESSIONS).await;
        answer.is_problem(502, "upstream-invalid");
    }
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    world
        .fake
        .inject(Fault::next(FaultKind::Raw(switching.into())));
    world
        .get("one", SESSIONS)
        .await
        .is_problem(502, "upstream-invalid");
    // Two framings of Devin's become one of ours.
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    world.fake.inject(Fault::next(FaultKind::Raw(both.into())));
    let answer = world.get("one", SESSIONS).await;
    assert_eq!(
        (&answer.body[..], answer.header("content-length")),
        (&b"hello"[..], None)
    );
    world.get("one", SESSIONS).await.is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn f18_what_is_wrong_with_an_answer_ends_with_it() {
    let mut world = World::start().await;
    world.upstream_faulty();
    let raw = |bytes: String| Fault::next(FaultKind::Raw(bytes.into()));
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let long = "a".repeat(300 * 1024);
    let many: String = (0..1_000).map(|at| format!("x-{at}: 1\r\n")).collect();
    for nonsense in [
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab".to_owned(),
        "HTTP/1.1 999999 OK\r\n\r\n".to_owned(),
        "HTTP/3.0 200 OK\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {long}\r\nContent-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n"),
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(10),
    ] {
        let beginning: String = nonsense.chars().take(60).collect();
        // Twice, since a read that fails is tried again.
        for _ in 0..3 {
            world.fake.inject(raw(nonsense.clone()));
        }
        let answer = world.get("one", SESSIONS).await;
        assert_eq!(answer.status, 502, "{beginning}: {answer:?}");
        world.fake.clear_faults();
    }
    // Of what comes before or behind an answer, nobody gets anything.
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\n\r\n".repeat(50);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
    world
        .fake
        .inject(raw(format!("{early}{answer}{evil}{evil}")));
    let first = world.get("one", SESSIONS).await;
    assert_eq!((&first.body[..], first.header("link")), (&b"[]"[..], None));
    let next = world.get("one", "/v3/self").await;
    assert!(
        !String::from_utf8_lossy(&next.body).contains("evil"),
        "{next:?}"
    );
    next.is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn u4_devins_401_is_about_our_token() {
    let mut world = World::start().await;
    world.upstream_faulty();
    world.fake.inject(Fault::next(FaultKind::RejectToken));
    let answer = world.get("one", SESSIONS).await;
    answer.is_problem(502, "upstream-credential-rejected");
    assert!(answer.header("www-authenticate").is_none());
    let line = world.last_line().await;
    assert_eq!(
        (&line["status"], &line["upstream_status"]),
        (&502.into(), &401.into())
    );
    world.finish().await;
}

#[tokio::test]
async fn devins_own_errors_pass_unchanged() {
    let world = World::start().await;
    let answer = world.post("one", SESSIONS, "{}").await;
    answer.is_upstream(422);
    assert!(answer.json()["detail"].is_array());
    for (code, retry_after) in [(500, None), (503, None), (409, None), (429, Some(7))] {
        world.fake.inject(Fault::next(FaultKind::Status {
            code,
            retry_after,
            x_should_retry: None,
        }));
        let answer = world.get("one", SESSIONS).await;
        answer.is_upstream(code);
        assert_eq!(answer.header("retry-after"), retry_after.map(|_| "7"));
        assert_eq!(world.last_line().await["answered_by"], "upstream");
    }
    world.finish().await;
}

#[tokio::test]
async fn u1_redirects_are_not_followed() {
    let world = World::start().await;
    world.fake.inject(Fault::next(FaultKind::Redirect {
        location: "http://169.254.169.254/latest".to_owned(),
    }));
    let answer = world.get("one", SESSIONS).await;
    answer.is_upstream(307);
    assert_eq!(world.upstream().len(), 1);
    world.finish().await;
}

/// A layer of the test's own, where the client would be: it panics where it is told to.
#[derive(Clone)]
struct Panics(Upstream);

impl Service<Exchange<Outbound>> for Panics {
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = <Upstream as Service<Exchange<Outbound>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let token = exchange.request.headers()["authorization"]
            .to_str()
            .unwrap()
            .to_owned();
        match exchange.request.uri().query() {
            Some("at-once") => panic!("with the secret in its text: {token}"),
            Some("later") => {
                Box::pin(async move { panic!("with the secret in its text: {token}") })
            }
            _ => self.0.call(exchange),
        }
    }
}

#[tokio::test]
async fn r15_a_panic_costs_its_own_request_and_shows_nothing() {
    tollgate::telemetry::quiet_panics();
    let mut world = World::around(Setup::default(), Panics).await;
    world.expect_internal(2);
    for query in ["at-once", "later"] {
        let answer = world.get("one", &format!("{SESSIONS}?{query}")).await;
        answer.is_problem(500, "internal");
        let line = world.last_line().await;
        assert_eq!(
            (&line["code"], &line["caller"]),
            (&"internal".into(), &"one".into())
        );
    }
    world.get("one", SESSIONS).await.is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn r15_a_panic_in_what_runs_without_its_client_is_answered_too() {
    tollgate::telemetry::quiet_panics();
    let mut world = World::around(Setup::default(), Panics).await;
    world.expect_internal(2);
    for query in ["at-once", "later"] {
        let path = format!("{SESSIONS}?{query}");
        let answer = world.post("one", &path, "{\"prompt\":\"x\"}").await;
        answer.is_problem(500, "internal");
        // It may have been on its way.
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    // Their holds are looked after, as all whose outcome nobody knows.
    assert_eq!(world.ledger.unsure().await.unwrap().len(), 2);
    world
        .post("one", SESSIONS, "{\"prompt\":\"x\"}")
        .await
        .is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_leaves_has_its_line() {
    use tokio::io::AsyncWriteExt;
    let mut world = World::start().await;
    world.upstream_faulty();
    world.fake.inject(Fault::next(FaultKind::Hang));
    let mut stream = tokio::net::TcpStream::connect(world.gateway).await.unwrap();
    let request = format!(
        "GET {SESSIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        world.key("one")
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    world.sent(1);
    while world.upstream().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    let line = world.last_line().await;
    assert_eq!(
        (&line["outcome"], &line["caller"]),
        (&"client-gone".into(), &"one".into())
    );
    assert!(line["status"].is_null());
    world.finish().await;
}

#[tokio::test]
async fn f7_a_body_that_breaks_off_is_not_sent_on_as_a_whole_one() {
    use tokio::io::AsyncWriteExt;
    let world = World::start().await;
    let head = format!(
        "POST /v3/enterprise/organizations/org-ds/tags HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer {}\r\n\r\n",
        world.key("one")
    );
    // A chunk whose data is longer than it said.
    world.sent(1);
    let answer = world
        .raw(format!("{head}4\r\n{{\"prompt\":\"x\"}}\r\n0\r\n\r\n").as_bytes())
        .await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    // A length that is never reached.
    world.sent(1);
    let mut stream = tokio::net::TcpStream::connect(world.gateway).await.unwrap();
    stream
        .write_all(format!("{head}5\r\n{{\"pro\r\n").as_bytes())
        .await
        .unwrap();
    while world.upstream().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    world.lines().await;
    for request in world.upstream() {
        assert!(!request.finished, "a broken body was ended cleanly");
    }
    let answer = world.get("one", SESSIONS).await;
    assert_eq!(
        answer.json()["items"].as_array().unwrap().len(),
        0,
        "no session came of it"
    );
    world.finish().await;
}

#[tokio::test]
async fn tls_is_verified_and_speaks_http_2() {
    let ca = Ca::of(&["localhost"]);
    for trusted in [true, false] {
        let fake_side = Place::default();
        let proxy = ca.terminate("127.0.0.1:0", &fake_side).await;
        let mut world = World::with(Setup {
            roots: if trusted {
                vec![ca.root.clone()]
            } else {
                Vec::new()
            },
            pinned: Some(tollgate::pipeline::credential::Pinned {
                scheme: http::uri::Scheme::HTTPS,
                authority: format!("localhost:{}", proxy.port()).parse().unwrap(),
            }),
            ..Setup::default()
        })
        .await;
        fake_side.set(world.fake_address).unwrap();
        if trusted {
            world
                .call("one", Method::GET, SESSIONS, "")
                .await
                .is_upstream(200);
            assert_eq!(world.upstream()[0].version, http::Version::HTTP_2);
        } else {
            world.upstream_faulty();
            world
                .call("one", Method::GET, SESSIONS, "")
                .await
                .is_problem(502, "upstream-unreachable");
            let cause = world.last_line().await["cause"]
                .as_str()
                .unwrap()
                .to_lowercase();
            assert!(cause.contains("certificate"), "{cause}");
        }
        world.finish().await;
    }
}
