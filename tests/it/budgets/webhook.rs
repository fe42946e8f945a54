//! Alerts on their way to a webhook that fails, is slow, redirects, or is gone.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tollgate::alerts::{Alert, Kind, Webhook, WebhookKey, send};
use tollgate::clock::SystemClock;
use tollgate::ledger::{Ledger, Passed};

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A webhook that answers with these, one after the other, and tells what it was sent: head and body.
async fn receiver(
    answers: Vec<&'static str>,
) -> (String, mpsc::UnboundedReceiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let (head, body) = loop {
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                assert_ne!(length, 0, "a whole request");
                bytes.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8(bytes.clone()).unwrap();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = header(head, "content-length").unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    break (head.to_owned(), body.to_owned());
                }
            };
            tell.send((head, body)).unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (format!("http://{address}/hook"), told)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

const OK: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const ELSEWHERE: &str = "HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn webhook(uri: &str) -> Webhook {
    let key = WebhookKey::new(KEY).unwrap();
    Webhook::new(
        uri.parse().unwrap(),
        key,
        &[],
        None,
        Duration::from_millis(1),
    )
    .unwrap()
}

async fn ledger() -> Ledger {
    Ledger::temporary(Duration::from_secs(60)).await.unwrap()
}

fn alert(kind: Kind) -> Alert {
    Alert::new(kind, Timestamp::UNIX_EPOCH, "said", Map::new())
}

#[tokio::test]
async fn an_alert_is_signed_and_sent_until_it_is_taken() {
    // Nothing else is followed, and half an answer is none.
    let answers = vec![BROKEN, ELSEWHERE, "HTTP/1.1 2", OK, OK];
    let (uri, mut told) = receiver(answers).await;
    let ledger = ledger().await;
    let stop = CancellationToken::new();
    let sending = send(
        webhook(&uri),
        ledger.clone(),
        Arc::new(SystemClock),
        stop.clone(),
    );
    let sending = tokio::spawn(sending);
    ledger.bell().ring(alert(Kind::Overrun));
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let (head, body) = told.recv().await.unwrap();
        assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "content-type"), Some("application/json"));
        let signature = header(&head, "tollgate-signature").unwrap();
        let at = signature
            .strip_prefix("t=")
            .unwrap()
            .split_once(',')
            .unwrap()
            .0;
        let at = Timestamp::from_second(at.parse().unwrap()).unwrap();
        let wanted = WebhookKey::new(KEY).unwrap().signature(at, &body);
        assert_eq!(signature, wanted);
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "a repeat has the same id");
    let body: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(
        (&body["kind"], &body["text"]),
        (&"overrun".into(), &"said".into())
    );
    // The next one comes after it.
    ledger.bell().ring(alert(Kind::Adopted));
    let (_, body) = told.recv().await.unwrap();
    assert!(body.contains("\"adopted\""), "{body}");
    while ledger.bell().sends() != (2, 0) {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    sending.await.unwrap();
}

#[tokio::test]
async fn a_webhook_that_is_gone_costs_its_alerts_and_nothing_else() {
    let ledger = ledger().await;
    let threshold = alert(Kind::Threshold);
    let passed = Passed {
        alert: threshold.id.clone(),
        budget: "t/day".to_owned(),
        account: String::new(),
        window: tollgate::budget::Every::Day(tollgate::budget::Zone::utc())
            .window(Timestamp::UNIX_EPOCH),
        threshold: 50,
        body: threshold.body.clone(),
    };
    assert!(ledger.passed(passed.clone()).await.unwrap());
    assert!(!ledger.passed(passed).await.unwrap());
    let stop = CancellationToken::new();
    let dead = webhook("http://127.0.0.1:1/hook");
    let sending = tokio::spawn(send(
        dead,
        ledger.clone(),
        Arc::new(SystemClock),
        stop.clone(),
    ));
    ledger.bell().ring(threshold.clone());
    while ledger.bell().sends() != (0, 1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    sending.await.unwrap();
    // Of a threshold the next start tells again.
    let untold = ledger.untold(Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(untold, [(threshold.id.clone(), threshold.body.clone())]);
    let (uri, mut told) = receiver(vec![OK]).await;
    let stop = CancellationToken::new();
    let sending = send(
        webhook(&uri),
        ledger.clone(),
        Arc::new(SystemClock),
        stop.clone(),
    );
    let sending = tokio::spawn(sending);
    ledger.bell().again(threshold);
    told.recv().await.unwrap();
    while !ledger
        .untold(Timestamp::UNIX_EPOCH)
        .await
        .unwrap()
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    sending.await.unwrap();
}

#[tokio::test]
async fn an_alert_that_is_never_taken_keeps_none_behind_it_waiting() {
    // The first fails once, and waits for an hour; the others come meanwhile.
    let (uri, mut told) = receiver(vec![BROKEN, OK, OK]).await;
    let key = WebhookKey::new(KEY).unwrap();
    let hour = Duration::from_secs(3_600);
    let webhook = Webhook::new(uri.parse().unwrap(), key, &[], None, hour).unwrap();
    let ledger = ledger().await;
    let stop = CancellationToken::new();
    let sending = send(webhook, ledger.clone(), Arc::new(SystemClock), stop.clone());
    let sending = tokio::spawn(sending);
    ledger.bell().ring(alert(Kind::Overrun));
    let (_, body) = told.recv().await.unwrap();
    assert!(body.contains("\"overrun\""), "{body}");
    for kind in [Kind::Adopted, Kind::Written] {
        ledger.bell().ring(alert(kind));
        let (_, body) = told.recv().await.unwrap();
        assert!(body.contains(kind.as_str()), "{body}");
    }
    stop.cancel();
    sending.await.unwrap();
}
