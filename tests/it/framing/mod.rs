//! Framing (F): bytes that two readers could cut into requests in two ways are one request, or none.

mod chunks;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::World;

/// Its body is read before anything leaves.
const READ: &str = "/v3/organizations/org-ds/sessions";
/// Its body streams by.
const STREAMED: &str = "/v3/enterprise/organizations/org-ds/tags";
const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn f1_a_length_beside_chunks_hides_no_second_request() {
    let world = World::start().await;
    let hidden = world.hidden();
    for path in [READ, STREAMED] {
        let head = world.head("POST", path);
        let body = "2\r\n{}\r\n0\r\n\r\n";
        // The length covers what is hidden, or ends in the middle of the chunks.
        for length in [body.len() + hidden.len(), 4] {
            let length = format!("Content-Length: {length}\r\n");
            for framing in [
                format!("{length}Transfer-Encoding: chunked\r\n"),
                format!("Transfer-Encoding: chunked\r\n{length}"),
            ] {
                let back = world
                    .attack(format!("{head}{JSON}{framing}\r\n{body}{hidden}"))
                    .await;
                assert_eq!(back.statuses().len(), 1, "{}", back.text);
                back.closes();
            }
        }
    }
    world.nothing_hidden_was_served();
    for request in world.upstream() {
        assert!(request.finished && !request.body.windows(3).any(|it| it == b"GET"));
    }
    // So it is where the request is refused.
    let head = "POST /v3/self HTTP/1.1\r\nHost: x\r\n";
    let back = world
        .attack(format!(
            "{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ))
        .await;
    assert_eq!(back.statuses().len(), 1, "{}", back.text);
    back.closes();
    world.nothing_hidden_was_served();
    world.finish().await;
}

#[tokio::test]
async fn f2_a_length_is_one_number() {
    let world = World::start().await;
    let (head, hidden) = (world.head("POST", STREAMED), world.hidden());
    for lengths in [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 3\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 2.0\r\n",
        "Content-Length: \r\n",
        "Content-Length: 18446744073709551618\r\n",
    ] {
        let back = world
            .attack(format!("{head}{JSON}{lengths}\r\n{{}}{hidden}"))
            .await;
        back.only(400);
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn f3_two_equal_lengths_are_one_value_and_one_request() {
    let world = World::start().await;
    let body = "{\"tags\":[\"a\"]}";
    let head = world.head("POST", STREAMED);
    let close = "Connection: close\r\n";
    // hyper makes one of them before anybody sees them, and so does what goes on.
    let equal = [
        "Content-Length: 14\r\nContent-Length: 14\r\n",
        "Content-Length: 14\r\ncontent-length: 14\r\nContent-Length: 14\r\n",
        "Content-Length: 14\r\nContent-Length: 014\r\n",
    ];
    for lengths in equal {
        let hidden = world.hidden();
        let back = world
            .attack(format!("{head}{JSON}{lengths}{close}\r\n{body}{hidden}"))
            .await;
        back.only(200).closes();
    }
    world.nothing_hidden_was_served();
    let seen = world.upstream();
    assert_eq!(seen.len(), equal.len());
    for request in seen {
        assert_eq!(
            (&request.body[..], request.finished),
            (body.as_bytes(), true)
        );
        let lengths = request.headers.iter();
        let lengths: Vec<_> = lengths
            .filter(|(name, _)| name == "content-length")
            .collect();
        assert_eq!((lengths.len(), lengths[0].1.as_bytes()), (1, &b"14"[..]));
    }
    // In one line they are no number.
    let list = "Content-Length: 14, 14\r\n";
    let back = world
        .attack(format!("{head}{JSON}{list}\r\n{body}{}", world.hidden()))
        .await;
    back.only(400);
    assert_eq!(world.upstream().len(), equal.len());
    world.finish().await;
}

#[tokio::test]
async fn f4_only_one_plain_chunked_is_served() {
    let world = World::start().await;
    let hidden = world.hidden();
    let body = "2\r\n{}\r\n0\r\n\r\n";
    for path in [READ, STREAMED] {
        let head = world.head("POST", path);
        for (coding, status) in [
            (&b"chunked, chunked"[..], 400),
            (b"chunked\r\nTransfer-Encoding: chunked", 400),
            (b"identity\r\nTransfer-Encoding: chunked", 400),
            (b"chunked\r\nTransfer-Encoding: identity", 400),
            (b",chunked", 400),
            (b"chunked,", 400),
            (b"identity", 400),
            (b"identity, chunked", 400),
            (b"gzip, chunked", 501),
            (b"x-gzip , chunked", 501),
            (b"deflate,chunked", 501),
            (b"gzip", 400),
            (b"\"chunked\"", 400),
            (b"chunked;q=1", 400),
            (b"x chunked", 400),
            (b"chun\tked", 400),
            (b"\x0bchunked", 400),
            (b"chunked\x0b", 400),
            (b"\x85chunked", 400),
            (b"chunked\xa0", 400),
            (b"xchunked", 400),
            (b"", 400),
        ] {
            let line = [b"Transfer-Encoding: ", coding, b"\r\n\r\n"].concat();
            let bytes = [
                head.as_bytes(),
                JSON.as_bytes(),
                &line,
                body.as_bytes(),
                hidden.as_bytes(),
            ];
            let back = world.attack(bytes.concat()).await;
            back.only(status);
            if back.text.contains("x-request-id") {
                back.refused(status, "header-invalid").closes();
            }
        }
    }
    assert!(world.upstream().is_empty());
    // White space around a value is no part of it, in any reading.
    let head = world.head("POST", STREAMED);
    let line = "Transfer-Encoding:\tCHUNKED \t\r\n";
    let back = world
        .attack(format!("{head}{JSON}{line}\r\n{body}{hidden}"))
        .await;
    assert_eq!(back.statuses().len(), 1, "{}", back.text);
    back.closes();
    world.nothing_hidden_was_served();
    world.finish().await;
}

#[tokio::test]
async fn f5_no_name_hides_another() {
    let world = World::start().await;
    let (head, hidden) = (world.head("POST", READ), world.hidden());
    for line in [
        &b"Transfer-Encoding : chunked"[..],
        b"Transfer-Encoding\t: chunked",
        b" Transfer-Encoding: chunked",
        b"\tTransfer-Encoding: chunked",
        b"Transfer\0-Encoding: chunked",
        b"Transfer_Encoding: chunked",
        b"Content_Length: 2",
        b"Transfer-Encoding\x80: chunked",
        b"\xefTransfer-Encoding: chunked",
        b"X\x0b: y",
        b": y",
        b"Transfer-Encoding",
    ] {
        let length = b"Content-Length: 0\r\n";
        let bytes = [
            head.as_bytes(),
            length,
            line,
            b"\r\n\r\n",
            hidden.as_bytes(),
        ];
        let back = world.attack(bytes.concat()).await;
        back.only(400);
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn f6_folded_lines_and_bare_line_ends() {
    let world = World::start().await;
    let head = world.head("GET", "/v3/self");
    for line in [
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X: a\rb\r\n",
        "X: a\r\r\n",
        "X: a\0b\r\n",
    ] {
        world.attack(format!("{head}{line}\r\n")).await.only(400);
    }
    // A bare LF is no line's end, wherever it stands in a head.
    let close = "Connection: close\r\n";
    let bare = "GET /v3/enterprise/self HTTP/1.1\r\nHost: x\r\n\r\n";
    for lenient in [
        format!("{head}{close}\r\n").replace("\r\n", "\n"),
        format!("{head}{close}\r\n").replacen("\r\n", "\n", 1),
        format!("{head}X: a\n{close}\r\n"),
        format!("{head}X: a\r\n\n{bare}"),
        format!("{head}X: a\n\r\n{bare}"),
        format!("{head}X: a\n\n{bare}"),
        format!("\n{head}\r\n"),
    ] {
        let back = world.attack(&lenient).await;
        back.only(400).closes();
    }
    assert!(world.upstream().is_empty());
    // Nor is it one behind a request whose body has some, in one piece with it and on its own.
    let json = "{\n\"tags\":\n[\"a\"]\n}";
    let length = json.len();
    let post = world.head("POST", STREAMED);
    let post = format!("{post}{JSON}Content-Length: {length}\r\n\r\n{json}");
    let get = world.head("GET", "/v3/self");
    for count in [1, 2] {
        let before = world.upstream().len();
        let posts = post.repeat(count);
        let back = world.attack(format!("{posts}{get}X: a\n\n{bare}")).await;
        let mut wanted = vec![200; count];
        wanted.push(400);
        assert_eq!(back.statuses(), wanted, "{}", back.text);
        let seen = world.upstream().split_off(before);
        assert_eq!(seen.len(), count);
        assert!(seen.iter().all(|it| it.finished && it.body == json));
    }
    // Empty lines before a request are served, as ever (RFC 9112 section 2.2).
    let back = world.attack(format!("\r\n\r\n{get}{close}\r\n")).await;
    back.only(200);
    world.finish().await;
}

#[tokio::test]
async fn f11_a_body_is_asked_for_only_where_it_is_wanted() {
    let world = World::start().await;
    let continued = "Content-Length: 14\r\nExpect: 100-Continue\r\nConnection: close\r\n";
    let request = format!("{}{JSON}{continued}\r\n", world.head("POST", STREAMED));
    world.sent(1);
    let mut stream = TcpStream::connect(world.gateway).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = [0; 64];
    let length = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..length].starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"));
    stream.write_all(b"{\"tags\":[\"a\"]}").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.upstream()[0].body, "{\"tags\":[\"a\"]}");
    assert_eq!(world.upstream()[0].header("expect"), None);
    // Without a body there is nothing to ask for.
    let expects = "Expect: 100-continue\r\n";
    let head = world.head("GET", "/v3/self");
    let back = world
        .attack(format!("{head}{expects}Connection: close\r\n\r\n"))
        .await;
    back.only(200);
    // Any other expectation is one that is not met; `Connection` cannot hide it.
    let hidden = world.hidden();
    for expects in [
        "Expect: nonsense\r\n",
        "Expect: 100-continue, nonsense\r\n",
        "Expect: 100-continue\r\nExpect: nonsense\r\n",
        "Expect: \r\n",
        "Connection: Expect\r\nExpect: nonsense\r\n",
    ] {
        let head = world.head("POST", STREAMED);
        let length = format!("Content-Length: {}\r\n", hidden.len());
        let back = world
            .attack(format!("{head}{JSON}{length}{expects}\r\n{hidden}"))
            .await;
        back.refused(417, "expectation-failed").closes();
    }
    // Whoever is refused is asked for nothing, and nothing that comes all the same is read as a request.
    let nobody = "POST /v3/organizations/org-ds/sessions HTTP/1.1\r\nHost: x\r\n";
    for expects in [
        "Content-Length: 14\r\nExpect: 100-continue\r\n",
        "Connection: Expect\r\nContent-Length: 14\r\nExpect: 100-continue\r\n",
    ] {
        let back = world.attack(format!("{nobody}{expects}\r\n{hidden}")).await;
        back.refused(401, "credential-missing").closes();
    }
    assert_eq!(world.upstream().len(), 2);
    world.nothing_hidden_was_served();
    world.finish().await;
}

#[tokio::test]
async fn f12_there_is_no_other_protocol_to_change_to() {
    let world = World::start().await;
    let hidden = world.hidden();
    let head = world.head("GET", "/v3/self");
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
        "Upgrade: h2c\r\n",
        "Connection: close\r\nUpgrade: TLS/1.0\r\n",
    ] {
        let back = world.attack(format!("{head}{lines}\r\n{hidden}")).await;
        back.refused(400, "header-invalid").closes();
    }
    assert!(world.upstream().is_empty());
    // Named alone it is nothing.
    let back = world
        .attack(format!("{head}Connection: Upgrade, close\r\n\r\n"))
        .await;
    back.only(200);
    assert_eq!(world.upstream()[0].header("connection"), None);
    world.finish().await;
}

#[tokio::test]
async fn f13_methods_that_no_operation_has() {
    let world = World::start().await;
    let hidden = world.hidden();
    let end = "Connection: close\r\n\r\n";
    for (line, status) in [
        (("CONNECT", "evil:443"), 405),
        (("CONNECT", "/v3/self"), 405),
        (("TRACE", "/v3/self"), 405),
        (("TRACK", "/v3/self"), 501),
        (("PRI", "/v3/self"), 501),
        (("get", "/v3/self"), 501),
        (("Get", "/v3/self"), 501),
        (("G'T", "/v3/self"), 501),
        (("DEBUG", "/v3/self"), 501),
        (("PRI", "*"), 400),
        (("OPTIONS", "*"), 400),
    ] {
        let head = world.head(line.0, line.1);
        let back = world.attack(format!("{head}{end}{hidden}")).await;
        // What hyper's parser takes for no target has no answer of ours.
        assert!(
            back.statuses() == [status] || (line.0 == "CONNECT" && back.statuses() == [400]),
            "{line:?}: {}",
            back.text
        );
    }
    for line in [
        "G@T /v3/self",
        "GET\t/v3/self",
        " GET /v3/self",
        "GET  /v3/self",
    ] {
        let request = world.hidden();
        let rest = request.split_once(" HTTP/1.1").unwrap().1;
        let back = world.attack(format!("{line} HTTP/1.1{rest}")).await;
        assert!(!back.statuses().contains(&200), "{line}: {}", back.text);
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn f14_other_versions_of_http() {
    let world = World::start().await;
    let key = world.key("one");
    let hidden = world.hidden();
    let credential = format!("Authorization: Bearer {key}\r\n");
    // HTTP/1.0 as it is: no Host is needed, and the connection ends unless it is asked to stay.
    let old = format!("GET /v3/self HTTP/1.0\r\n{credential}");
    world.attack(format!("{old}\r\n{hidden}")).await.only(200);
    world
        .attack(format!("{old}Connection: keep-alive\r\n\r\n"))
        .await
        .only(200);
    assert_eq!(world.upstream().len(), 2);
    // A body has to say its length.
    let post = format!("POST {READ} HTTP/1.0\r\nHost: x\r\n{credential}{JSON}");
    for keep in ["", "Connection: keep-alive\r\n"] {
        let back = world.attack(format!("{post}{keep}\r\n{hidden}")).await;
        back.refused(411, "length-required").closes();
        let chunked = "Transfer-Encoding: chunked\r\n";
        let back = world
            .attack(format!("{post}{keep}{chunked}\r\n0\r\n\r\n{hidden}"))
            .await;
        back.only(400);
    }
    // Neither older nor newer ones, nor HTTP/1.1 without Host.
    for line in [
        "GET /v3/self",
        "GET /v3/self HTTP/2.0",
        "GET /v3/self HTTP/1.32",
        "GET /v3/self HTTP/0.9",
    ] {
        let back = world
            .attack(format!("{line}\r\n{credential}\r\n{hidden}"))
            .await;
        assert!(back.statuses().iter().all(|it| *it == 400), "{}", back.text);
    }
    let back = world
        .attack(format!("GET /v3/self HTTP/1.1\r\n{credential}\r\n{hidden}"))
        .await;
    back.refused(400, "header-invalid").closes();
    assert_eq!(world.upstream().len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn f17_a_body_where_none_belongs_is_refused() {
    let world = World::start().await;
    let hidden = world.hidden();
    let tag = format!("{STREAMED}/a");
    for (method, target, status) in [
        ("GET", "/v3/self", 400),
        ("GET", READ, 400),
        ("DELETE", tag.as_str(), 400),
        ("HEAD", "/v3/self", 405),
    ] {
        let head = world.head(method, target);
        let length = format!("Content-Length: {}\r\nConnection: close\r\n", hidden.len());
        let back = world.attack(format!("{head}{length}\r\n{hidden}")).await;
        back.only(status);
        let chunked = "Transfer-Encoding: chunked\r\n";
        let back = world
            .attack(format!("{head}{chunked}\r\n2\r\n{{}}\r\n0\r\n\r\n{hidden}"))
            .await;
        back.only(status).closes();
        if status == 400 {
            back.refused(400, "body-invalid");
        }
    }
    assert!(world.upstream().is_empty());
    // None at all may be said, too.
    let head = world.head("GET", "/v3/self");
    let none = "Content-Length: 0\r\nConnection: close\r\n";
    world.attack(format!("{head}{none}\r\n")).await.only(200);
    world.finish().await;
}
