//! The end of a process: what is on its way is served, what takes too long is cut, and both are seen.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{block_in_place, spawn_blocking};

use super::Site;
use crate::process::{CONFIG, Served, serve};

async fn opened(gateway: &Served, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.callers).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads an answer whose length its head says.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    loop {
        let length = stream.read(&mut buffer).await.unwrap();
        text += std::str::from_utf8(&buffer[..length]).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let (_, rest) = head.split_once("content-length: ").unwrap();
            let wanted: usize = rest.lines().next().unwrap().parse().unwrap();
            if body.len() >= wanted {
                return text;
            }
        }
        assert!(length > 0, "it ends early: {text}");
    }
}

async fn says_so(gateway: &Served) {
    block_in_place(|| gateway.wait_for("stopping", |it| it["ready"] == false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_a_kept_connection_has_one_more_answer_that_says_it_is_the_last() {
    let site = Site::new(CONFIG);
    let gateway = serve(site.path(), &[]);
    let mut kept = opened(&gateway, &site.whoami("")).await;
    let first = answer(&mut kept).await;
    assert!(
        !first.to_ascii_lowercase().contains("connection: close"),
        "{first}"
    );
    let mut idle = opened(&gateway, &site.whoami("")).await;
    answer(&mut idle).await;
    let mut new = TcpStream::connect(gateway.callers).await.unwrap();
    gateway.signal("TERM");
    says_so(&gateway).await;
    // On both, and nobody may have seen that the process is told to stop.
    for stream in [&mut kept, &mut new] {
        stream.write_all(site.whoami("").as_bytes()).await.unwrap();
        let last = answer(stream).await;
        assert!(last.starts_with("HTTP/1.1 200"), "{last}");
        assert!(
            last.to_ascii_lowercase().contains("connection: close"),
            "{last}"
        );
    }
    let mut nothing = Vec::new();
    idle.read_to_end(&mut nothing).await.unwrap();
    assert!(nothing.is_empty(), "an idle connection ends without a word");
    assert!(TcpStream::connect(gateway.callers).await.is_err());
    let code = spawn_blocking(|| gateway.stopped()).await.unwrap();
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_what_does_not_end_is_cut_at_the_end_of_the_drain_and_has_its_line() {
    let site = Site::new(&format!(
        "{CONFIG}limits: {{ times: {{ drain: 500ms }} }}\n"
    ));
    let gateway = serve(site.path(), &[]);
    let key = &site.key;
    let half = format!(
        "POST /v3/organizations/o/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    // Denied, and its body is read for a while; and one whose head never ends.
    let mut denied = opened(&gateway, &half).await;
    let mut begun = opened(&gateway, "GET / HT").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    gateway.signal("TERM");
    for stream in [&mut denied, &mut begun] {
        let mut rest = Vec::new();
        let reading = stream.read_to_end(&mut rest);
        let _ = tokio::time::timeout(Duration::from_secs(30), reading)
            .await
            .expect("it is cut");
    }
    let code = spawn_blocking(|| gateway.stopped()).await.unwrap();
    assert_eq!(code, Some(0));
    let log = site.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(lines.len(), 1, "one head that could be read: {log}");
}
