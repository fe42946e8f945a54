//! Many more creates at once than there is room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;

use super::{SESSIONS, count, is_deep};
use crate::world::{Setup, World};

const POLICY: &str = r#"
team: t
callers: { one: {} }
allow:
  - { name: sessions, operations: [sessions.create], organizations: [org-ds], body: { max_acu_limit: { default: 1 } } }
budgets:
  - { name: month, per: team, acus: 100, every: month }
"#;
const ROOM: usize = 100;
/// The gateway takes 128 streams of a connection at once.
const CONNECTIONS: usize = 10;
const AT_ONCE: usize = CONNECTIONS * 128;

/// So many creates over HTTP/2, as many at once as the connections take.
async fn race(creates: usize, body: impl Fn(usize) -> String) {
    let world = World::with(Setup {
        policy: POLICY.to_owned(),
        silent: true,
        capacity: tollgate::capacity::Options {
            // A place is given back a moment after its client has the answer, and asks again.
            requests: 2 * AT_ONCE,
            requests_per_caller: 2 * AT_ONCE,
            ..Default::default()
        },
        ..Setup::default()
    })
    .await;
    let client = || {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.http2_only(true).build_http()
    };
    let clients: Vec<Client<_, Full<Bytes>>> = (0..CONNECTIONS).map(|_| client()).collect();
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let in_flight = Arc::new(AtomicUsize::new(0));
    let peak = Arc::new(AtomicUsize::new(0));
    let uri = format!("http://{}{SESSIONS}", world.gateway);
    let authorization = format!("Bearer {}", world.key("one"));
    let all = (0..creates).map(|n| {
        let request = Request::post(&uri)
            .header("authorization", &authorization)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body(n))))
            .unwrap();
        let client = clients[n % CONNECTIONS].clone();
        let (permits, in_flight, peak) = (
            Arc::clone(&permits),
            Arc::clone(&in_flight),
            Arc::clone(&peak),
        );
        tokio::spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            let now = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            peak.fetch_max(now, Ordering::SeqCst);
            let (head, body) = client.request(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            in_flight.fetch_sub(1, Ordering::SeqCst);
            (head, body)
        })
    });
    let mut statuses = Vec::new();
    for answer in futures_util::future::join_all(all).await {
        let (head, body) = answer.unwrap();
        world.check_headers(&head.headers);
        world.answered(&body);
        statuses.push(head.status.as_u16());
    }
    world.sent(creates);
    assert!(peak.load(Ordering::SeqCst) >= 1_000, "{peak:?}");
    let counted = count(&statuses);
    assert_eq!(
        counted,
        [(200, ROOM), (402, creates - ROOM)].into(),
        "by status"
    );
    assert_eq!(world.fake.truth().len(), ROOM);
    assert_eq!(world.stands("t/month", "one").await, (0, 100_000));
    world.is_known_and_sound().await;
    world.finish().await;
}

fn distinct(n: usize) -> String {
    format!(r#"{{"prompt":"the one numbered {n}"}}"#)
}

fn equal(_: usize) -> String {
    r#"{"prompt":"the same"}"#.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn l2_m1_of_many_creates_at_once_as_many_pass_as_there_is_room_for() {
    let (times, creates) = if is_deep() { (5, 10_000) } else { (1, 2_000) };
    for _ in 0..times {
        race(creates, distinct).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l2_m1_clients_that_all_wait_with_equal_bodies_get_a_session_each_while_there_is_room() {
    race(if is_deep() { 10_000 } else { 1_500 }, equal).await;
}
