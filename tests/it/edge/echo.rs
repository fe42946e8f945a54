//! The service token in what Devin sends back. That no answer, log line or trace holds it, `World::finish` checks (G3).

use std::collections::HashSet;

use http::{Method, Request};
use tollgate::fake_devin::{Fault, FaultKind, FaultTimes};

use super::SESSIONS;
use crate::world::{POLICY, Setup, World, trace};

const ECHOES: &str = "tollgate_token_echoes_total";

fn stars(world: &World) -> String {
    "*".repeat(world.token.len())
}

fn raw(bytes: String) -> Fault {
    Fault::next(FaultKind::Raw(bytes.into()))
}

#[tokio::test]
async fn u5_an_echo_in_a_body_is_masked_counted_and_told_of_once_a_minute() {
    let world = World::start().await;
    for number in 1..=3 {
        world.fake.inject(Fault::next(FaultKind::EchoAuthorization));
        let answer = world.get("one", SESSIONS).await;
        answer.is_upstream(200);
        let wanted = format!("Bearer {}", stars(&world));
        assert_eq!(answer.json()["authorization"], wanted.as_str());
        assert_eq!(world.gauge(ECHOES), number);
    }
    let first = world.lines().await[0]["request_id"].clone();
    let trace = String::from_utf8_lossy(&trace().lock().unwrap()).into_owned();
    let said: Vec<&str> = trace
        .lines()
        .filter(|it| it.contains("stood in an answer of Devin's"))
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(first.as_str().unwrap()), "{said:?}");
    assert!(said[0].contains("sessions.list"), "{said:?}");
    // What is like it, and is not it, passes.
    let almost = format!("{}x{}", &world.token[..8], &world.token[9..20]);
    let body = format!("[\"{almost}\"]");
    let length = body.len();
    world.fake.inject(raw(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
    )));
    let answer = world.get("one", SESSIONS).await;
    assert_eq!(answer.json()[0], almost.as_str());
    assert_eq!(world.gauge(ECHOES), 3);
    world.finish().await;
}

#[tokio::test]
async fn u5_an_echo_is_found_however_its_body_is_cut() {
    let world = World::start().await;
    let (token, stars) = (world.token.clone(), stars(&world));
    let text = format!("{{\"a\":\"{token}\",\"b\":\"{token}{token}\"}}");
    let wanted = text.replace(&token, &stars);
    // A byte a chunk, and pieces that end within it.
    for size in [1, 7, 33, 70, text.len()] {
        let mut body = String::new();
        for piece in text.as_bytes().chunks(size) {
            let piece = std::str::from_utf8(piece).unwrap();
            body += &format!("{:x}\r\n{piece}\r\n", piece.len());
        }
        world.fake.inject(raw(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n"
        )));
        let answer = world.get("one", SESSIONS).await;
        assert_eq!(answer.body, wanted.as_bytes(), "{size}");
    }
    // A length stays right; a piece of it at the end is none, and all of it comes.
    for text in [text, format!("x{}", &token[..11])] {
        let wanted = text.replace(&token, &stars);
        let length = text.len();
        world.fake.inject(raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}"
        )));
        let answer = world.get("one", SESSIONS).await;
        assert_eq!(answer.body, wanted.as_bytes());
        assert_eq!(answer.header("content-length"), Some(&*length.to_string()));
    }
    assert_eq!(world.gauge(ECHOES), 6);
    world.finish().await;
}

#[tokio::test]
async fn u5_an_echo_in_a_header_or_the_query_of_a_redirect_is_masked() {
    let world = World::start().await;
    let (token, stars) = (world.token.clone(), stars(&world));
    world.fake.inject(Fault::next(FaultKind::Redirect {
        location: format!("https://x.example/?next=1&token={token}&z"),
    }));
    let answer = world.get("one", SESSIONS).await;
    answer.is_upstream(307);
    let wanted = format!("https://x.example/?next=1&token={stars}&z");
    assert_eq!(answer.header("location"), Some(&*wanted));
    let pairs = ["etag", "content-disposition", "x-debug"].map(|name| {
        let value = format!("\"Bearer {token}\"");
        (name.to_owned(), value)
    });
    world
        .fake
        .inject(Fault::next(FaultKind::ExtraHeaders(pairs.to_vec())));
    let answer = world.get("one", SESSIONS).await;
    let wanted = format!("\"Bearer {stars}\"");
    assert_eq!(answer.header("etag"), Some(&*wanted));
    assert!(answer.header("x-debug").is_none());
    // An answer counts once.
    assert_eq!(world.gauge(ECHOES), 2);
    world.finish().await;
}

#[tokio::test]
async fn u5_nothing_that_is_kept_or_shared_holds_an_echo() {
    let cached = POLICY.replace(
        "deny:",
        "  - { name: kept, callers: [slow], operations: [sessions.get], organizations: [org-ds], sessions: any, cache: 30s }\ndeny:",
    );
    let cached = cached.replace("name: sessions,", "name: sessions, callers: [one],");
    let world = World::with(Setup {
        policy: cached,
        ..Setup::default()
    })
    .await;
    let (token, stars) = (world.token.clone(), stars(&world));
    // Devin gives a title back as it was given.
    let body = format!("{{\"prompt\":\"x\",\"title\":\"{token}\"}}");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let request = Request::builder()
            .method(Method::POST)
            .header("authorization", format!("Bearer {}", world.key("one")))
            .header("content-type", "application/json")
            .header("idempotency-key", "k1");
        let answer = world.send(SESSIONS, request, &body).await;
        answer.is_upstream(200);
        assert_eq!(answer.json()["title"], stars.as_str());
        seen.push(answer.json()["session_id"].clone());
    }
    assert_eq!(seen[0], seen[1]);
    let path = format!("{SESSIONS}/{}", seen[0].as_str().unwrap());
    for cache in ["miss", "hit"] {
        let answer = world.get("slow", &path).await;
        assert_eq!(answer.json()["title"], stars.as_str());
        assert_eq!(answer.header("tollgate-cache"), Some(cache));
    }
    let listed = world.get("one", SESSIONS).await;
    assert_eq!(listed.json()["items"][0]["title"], stars.as_str());
    // The answer to the create, the read, and the list.
    assert_eq!(world.gauge(ECHOES), 3);
    world.finish().await;
}

#[tokio::test]
async fn h8_nothing_is_taken_that_cannot_be_looked_through() {
    let mut world = World::start().await;
    world.upstream_faulty();
    let request = |value: &str| {
        Request::get(format!("http://{}{SESSIONS}", world.gateway))
            .header("authorization", format!("Bearer {}", world.key("one")))
            .header("accept-encoding", value)
    };
    for value in ["gzip, br", "*", "identity;q=0"] {
        world
            .send(SESSIONS, request(value), "")
            .await
            .is_upstream(200);
    }
    let asked: HashSet<String> = world
        .upstream()
        .iter()
        .map(|it| it.header("accept-encoding").unwrap().to_owned())
        .collect();
    assert_eq!(asked, HashSet::from(["identity".to_owned()]));
    for (headers, is_taken) in [
        ("Content-Encoding: gzip\r\nContent-Length: 2\r\n", false),
        (
            "Content-Encoding: identity, br\r\nContent-Length: 2\r\n",
            false,
        ),
        ("Content-Encoding: Identity\r\nContent-Length: 2\r\n", true),
        // Of nothing, there is nothing to look through.
        ("Content-Encoding: gzip\r\nContent-Length: 0\r\n", true),
    ] {
        let body = if headers.contains(": 0") { "" } else { "[]" };
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}");
        for _ in 0..3 {
            world.fake.inject(raw(answer.clone()));
        }
        let answer = world.get("one", SESSIONS).await;
        match is_taken {
            true => _ = answer.is_upstream(200),
            false => _ = answer.is_problem(502, "upstream-invalid"),
        }
        world.fake.clear_faults();
    }
    // In chunks that are compressed, hyper would hand out what is in the chunks.
    world.fake.inject(Fault {
        kind: FaultKind::Raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
                .into(),
        ),
        times: FaultTimes::Next(3),
        only: None,
    });
    let answer = world.get("one", SESSIONS).await;
    answer.is_problem(502, "upstream-invalid");
    world.finish().await;
}
