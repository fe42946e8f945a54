//! Bodies and answers that are too large.

use super::slow::{DOWNLOAD, Endless, is_dropped};
use super::*;

#[tokio::test]
async fn r6_what_says_that_it_is_giant_is_refused_before_it_comes() {
    let world = World::start().await;
    for (length, status) in [("10737418240", "413"), ("9223372036854775808", "413")] {
        let head = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        let mut stream = begin(&world, &format!("POST {SESSIONS}"), &head, "{").await;
        let answer = to_its_end(&world, &mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{length}: {answer}"
        );
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}

fn sized(change: impl FnOnce(&mut Sizes)) -> Setup {
    let mut sizes = Sizes::default();
    change(&mut sizes);
    bounded(|it| it.sizes = Arc::new(sizes))
}

#[tokio::test]
async fn r6_a_body_that_streams_by_is_held_to_the_size_of_its_operation() {
    const TAGS: &str = "/v3/enterprise/organizations/org-ds/tags";
    let small = OfOperation {
        request: Some(1 << 10),
        answer: None,
    };
    let setup = sized(|it| it.operations = [("org_tags.append", small)].into());
    let mut world = World::with(setup).await;
    world.upstream_faulty();
    let post = format!("POST {TAGS}");
    let json = "Content-Type: application/json\r\n";
    let head = format!("{json}Content-Length: 1025\r\n");
    let mut stream = begin(&world, &post, &head, "{").await;
    let answer = to_its_end(&world, &mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(world.upstream().is_empty(), "it is refused before it comes");
    // One that does not say how long it is, and has no end.
    let head = format!("{json}Transfer-Encoding: chunked\r\n");
    let mut stream = begin(&world, &post, &head, "1\r\n{\r\n").await;
    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    stream.write_all(chunk.as_bytes()).await.unwrap();
    let answer = to_its_end(&world, &mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("may have 1024 bytes"), "{answer}");
    assert!(world.upstream().iter().all(|it| !it.finished));
    // And one that is as large as it may be.
    let body = format!("{{\"tags\":[\"{}\"]}}", "x".repeat(1024 - 13));
    assert_eq!(body.len(), 1024);
    let answer = world.post("one", TAGS, &body).await;
    assert_ne!(answer.status, 413);
    world.finish().await;
}

#[tokio::test]
async fn r6_an_answer_is_held_to_the_size_of_its_operation() {
    let mut world = World::with(sized(|it| it.answer = 1 << 10)).await;
    world.upstream_faulty();
    let large = Bytes::from(vec![b'x'; 1025]);
    let fault = FaultKind::BodyAfterWork(large.clone());
    world.fake.inject(Fault::next(fault));
    let answer = world.get("one", "/v3/self").await;
    answer.is_problem(502, "upstream-invalid");
    let fault = FaultKind::BodyAfterWork(large.slice(..1024));
    world.fake.inject(Fault::next(fault));
    assert_eq!(world.get("one", "/v3/self").await.body.len(), 1024);
    world.finish().await;
    // One that does not say how long it is.
    let gone = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&gone);
    let setup = sized(|it| it.answer = 1 << 20);
    let mut world = World::around(setup, |inner| Endless { inner, gone: flag }).await;
    world.upstream_faulty();
    let mut stream = begin(&world, &format!("GET {DOWNLOAD}"), "", "").await;
    let answer = to_its_end(&world, &mut stream).await;
    assert!(
        (1 << 19..(1 << 20) + 8_192).contains(&answer.len()),
        "{}",
        answer.len()
    );
    assert!(!answer.ends_with("0\r\n\r\n"), "it is not a whole one");
    is_dropped(&gone).await;
    let line = world.last_line().await;
    assert_eq!(line["outcome"], "upstream-aborted");
    world.finish().await;
}

#[tokio::test]
async fn r6_chunks_of_one_byte_without_end_come_to_one() {
    let world = World::with(timed(|it| it.body = Duration::from_millis(700))).await;
    let head = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let mut stream = begin(&world, &format!("POST {SESSIONS}"), head, "1\r\n{\r\n").await;
    let (mut reading, mut writing) = stream.split();
    let mut answer = [0; 12];
    let endless = async {
        loop {
            if writing.write_all(b"1\r\n \r\n").await.is_err() {
                return std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        read = tokio::time::timeout(GENEROUS, reading.read_exact(&mut answer)) => drop(read.unwrap().unwrap()),
        () = endless => {}
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
    drop(stream);
    world.finish().await;
}
