//! Chunks (F7, F8, F9): what is none ends nothing cleanly, and what stands beside them goes no further.

use super::{JSON, READ, STREAMED};
use crate::world::World;

const FRAMING: &str = "Transfer-Encoding: chunked\r\n";
const WHOLE: &str = "{\"tags\":[\"a\"]}";

/// Fails unless each of these bodies is refused, and nothing of it has ended cleanly at Devin.
async fn are_broken(bodies: &[&str]) {
    let world = World::start().await;
    let hidden = world.hidden();
    for path in [READ, STREAMED] {
        let head = world.head("POST", path);
        for body in bodies {
            let back = world
                .attack(format!("{head}{JSON}{FRAMING}\r\n{body}{hidden}"))
                .await;
            back.refused(400, "body-invalid").closes();
        }
    }
    world.nothing_hidden_was_served();
    for request in world.upstream() {
        assert_eq!(request.path, STREAMED, "a broken body was sent on");
        assert!(!request.finished, "a broken body was ended cleanly");
    }
    world.finish().await;
}

/// Fails unless each of these bodies goes on as the plain one, once, and its connection ends.
async fn are_plain(bodies: &[&str]) {
    let world = World::start().await;
    let hidden = world.hidden();
    let head = world.head("POST", STREAMED);
    for body in bodies {
        let back = world
            .attack(format!("{head}{JSON}{FRAMING}\r\n{body}{hidden}"))
            .await;
        back.only(200).closes();
    }
    world.nothing_hidden_was_served();
    let seen = world.upstream();
    assert_eq!(seen.len(), bodies.len());
    for request in seen {
        assert_eq!(
            (&request.body[..], request.finished),
            (WHOLE.as_bytes(), true)
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn f7_chunks_that_are_none_end_nothing_cleanly() {
    are_broken(&[
        "+2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "1_0\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nX",
    ])
    .await;
    // What hyper takes besides has one meaning.
    let zeros = format!("{}e\r\n{WHOLE}\r\n0\r\n\r\n", "0".repeat(1_000));
    are_plain(&[&format!("e \r\n{WHOLE}\r\n0\r\n\r\n"), &zeros]).await;
}

#[tokio::test]
async fn f8_extensions_of_chunks_are_bounded_and_go_no_further() {
    let long = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(64 * 1024));
    let many = "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n \r\n".repeat(2_000);
    are_broken(&[
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "2;a=\"\r\n{}\"\r\n0\r\n\r\n",
        "2;a=\"b\r\n\r\n{}\r\n0\r\n\r\n",
        &long,
        &many,
    ])
    .await;
    are_plain(&[
        &format!("e;a=b;c=\"d\"\r\n{WHOLE}\r\n0;x\r\n\r\n"),
        &format!("e;\r\n{WHOLE}\r\n0\r\n\r\n"),
        &format!("e;{}\r\n{WHOLE}\r\n0\r\n\r\n", "a".repeat(8 * 1024)),
    ])
    .await;
}

#[tokio::test]
async fn f9_trailers_are_dropped_within_a_bound() {
    let world = World::start().await;
    let (head, hidden) = (world.head("POST", STREAMED), world.hidden());
    let framing = "Trailer: X-Late\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n";
    let chunks = "e\r\n{\"tags\":[\"a\"]}\r\n0\r\n";
    let trailers = "Authorization: Bearer evil\r\nHost: evil\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\
                    Cookie: a=b\r\nX-Late: 1\r\nTollgate-X: 1\r\n";
    let back = world
        .attack(format!(
            "{head}{JSON}{framing}\r\n{chunks}{trailers}\r\n{hidden}"
        ))
        .await;
    back.only(200).closes();
    let seen = world.upstream();
    assert_eq!(
        (&seen[0].body[..], seen[0].finished),
        (&b"{\"tags\":[\"a\"]}"[..], true)
    );
    for name in ["trailer", "te", "x-late", "cookie"] {
        assert_eq!(seen[0].header(name), None, "{name}");
    }
    for size in [9 * 1024, 40 * 1024] {
        let long = format!("X-Late: {}\r\n", "a".repeat(size));
        let back = world
            .attack(format!(
                "{head}{JSON}{framing}\r\n{chunks}{long}\r\n{hidden}"
            ))
            .await;
        back.refused(400, "body-invalid").closes();
    }
    world.nothing_hidden_was_served();
    assert!(world.upstream().iter().skip(1).all(|it| !it.finished));
    world.finish().await;
}
