//! Too much at once, and clients that take their time: bounds on connections, requests in flight and times.

mod sizes;
mod slow;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tollgate::body::{Body, BoxError};
use tollgate::capacity::{OfOperation, Options, Sizes, Times};
use tollgate::exchange::Exchange;
use tollgate::fake_devin::{Fault, FaultKind};
use tollgate::pipeline::credential::Outbound;
use tollgate::pipeline::upstream::Upstream;
use tollgate::rejection::Rejection;
use tower::Service;

use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
/// Far longer than anything here takes, and far less than what is bounded would take without a bound.
pub(crate) const GENEROUS: Duration = Duration::from_secs(20);

fn bounded(change: impl FnOnce(&mut Options)) -> Setup {
    let mut setup = Setup::default();
    change(&mut setup.capacity);
    setup
}

/// The usual bounds with other times.
pub(crate) fn within(change: impl FnOnce(&mut Times)) -> Options {
    let mut options = Options::default();
    change(&mut options.times);
    options
}

fn timed(change: impl FnOnce(&mut Times)) -> Setup {
    bounded(|it| *it = within(change))
}

/// What comes until the gateway closes, which it must.
async fn to_its_end(world: &World, stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    // Whoever is cut may find its connection reset.
    let read = tokio::time::timeout(GENEROUS, reading).await;
    let _ = read.expect("the gateway closes the connection");
    world.answered(&answer);
    String::from_utf8_lossy(&answer).into_owned()
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.gateway).await.unwrap()
}

/// Sends this head of a request of `one`'s, and what follows it.
async fn begin(world: &World, method_and_path: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = connect(world).await;
    let key = world.key("one");
    let head = format!(
        "{method_and_path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{headers}\r\n{body}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    world.sent(1);
    stream
}

/// A series of the metrics without labels, or with these.
pub(crate) async fn metric(world: &World, series: &str) -> u64 {
    let (_, _, page) = world.operator("/metrics").await;
    let line = page.lines().find_map(|it| it.strip_prefix(series));
    line.unwrap_or_else(|| panic!("{series}:\n{page}"))
        .trim()
        .parse()
        .unwrap()
}

pub(crate) async fn until(world: &World, series: &str, wanted: u64) {
    let start = Instant::now();
    while metric(world, series).await != wanted {
        assert!(start.elapsed() < GENEROUS, "{series} is never {wanted}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) const IN_FLIGHT: &str = "tollgate_requests_in_flight ";
pub(crate) const OPEN: &str = "tollgate_connections ";

#[tokio::test]
async fn r11_beyond_the_requests_in_flight_new_ones_are_refused_at_once() {
    let mut world = World::with(bounded(|it| it.requests = 2)).await;
    world.upstream_faulty();
    for _ in 0..2 {
        world.fake.inject(Fault::next(FaultKind::Hang));
    }
    let first = begin(&world, &format!("GET {SESSIONS}?first=1"), "", "").await;
    let second = begin(&world, &format!("GET {SESSIONS}?first=2"), "", "").await;
    until(&world, IN_FLIGHT, 2).await;
    let answer = world.get("one", SESSIONS).await;
    answer.is_problem(503, "overloaded");
    assert!(answer.header("retry-after").is_some());
    // Before anything is asked of it: neither who it is nor what it wants.
    world
        .send("/v3/nothing", Request::get("/"), "")
        .await
        .is_problem(503, "overloaded");
    // A body that has not come is not waited for.
    let head = "Content-Type: application/json\r\nContent-Length: 1000000\r\n";
    let mut late = begin(&world, &format!("POST {SESSIONS}"), head, "{").await;
    let answer = to_its_end(&world, &mut late).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("connection: close"),
        "{answer}"
    );
    // One that is there does its connection no harm.
    let answer = world.post("one", SESSIONS, "{\"prompt\":\"x\"}").await;
    answer.is_problem(503, "overloaded");
    assert_eq!(answer.header("connection"), None);
    // The gateway's own pages and the operator's port have room of their own.
    let page = world.send("/.tollgate/problems/overloaded", Request::get("/"), "");
    assert_eq!(page.await.status, 200);
    assert_eq!(world.get("one", "/.tollgate/whoami").await.status, 200);
    assert_eq!(world.operator("/healthz").await.0, 200);
    drop((first, second));
    until(&world, IN_FLIGHT, 0).await;
    world.get("one", SESSIONS).await.is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn r11_what_spends_keeps_its_place_when_its_client_has_left() {
    let world = World::with(bounded(|it| it.requests = 1)).await;
    let latency = Duration::from_millis(1_500);
    world.fake.inject(Fault::next(FaultKind::Latency(latency)));
    let head = "Content-Type: application/json\r\nContent-Length: 14\r\n";
    let create = format!("POST {SESSIONS}");
    let left = begin(&world, &create, head, "{\"prompt\":\"x\"}").await;
    while world.upstream().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(left);
    until(&world, OPEN, 0).await;
    world
        .get("one", SESSIONS)
        .await
        .is_problem(503, "overloaded");
    until(&world, IN_FLIGHT, 0).await;
    world.get("one", SESSIONS).await.is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn r5_connections_beyond_a_peers_share_are_closed_at_once() {
    let world = World::with(bounded(|it| it.connections_per_peer = 3)).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(connect(&world).await);
    }
    until(&world, OPEN, 3).await;
    for _ in 0..50 {
        let mut refused = connect(&world).await;
        assert_eq!(to_its_end(&world, &mut refused).await, "");
    }
    let by_peer = "tollgate_connections_refused_total{why=\"peer\"} ";
    assert_eq!(metric(&world, by_peer).await, 50);
    assert_eq!(world.operator("/readyz").await.0, 200);
    drop(open);
    until(&world, OPEN, 0).await;
    world.get("one", SESSIONS).await.is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn r5_connections_beyond_those_in_all_are_closed_at_once() {
    let world = World::with(bounded(|it| it.connections = 200)).await;
    let mut open = Vec::new();
    for _ in 0..600 {
        open.push(connect(&world).await);
    }
    let in_all = "tollgate_connections_refused_total{why=\"all\"} ";
    until(&world, in_all, 400).await;
    assert_eq!(metric(&world, OPEN).await, 200);
    drop(open);
    until(&world, OPEN, 0).await;
    world.get("one", SESSIONS).await.is_upstream(200);
    world.finish().await;
}

/// Out of descriptors, the process closes nothing that is open, and accepts again when it has some.
#[test]
fn r5_out_of_descriptors_the_listener_pauses_and_recovers() {
    use crate::process::{CONFIG, folder, serve_with, tollgate};
    let policy = "team: a\ncallers: { a: {} }\n";
    let folder = folder(CONFIG, &[("a.yaml", policy)]);
    let serve = tollgate();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -n 64 && exec \"$0\" serve"])
        .arg(serve.get_program())
        .env_clear()
        .env("DEVIN_SERVICE_USER_TOKEN", "canary-token-value");
    let served = serve_with(command, folder.path());
    // One connection that is open before: it goes on.
    let mut open = std::net::TcpStream::connect(served.admin).unwrap();
    let mut failures = || {
        use std::io::{Read, Write};
        write!(open, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let (mut page, mut buffer) = (String::new(), [0; 65_536]);
        while !page.ends_with("# EOF\n") {
            let read = open.read(&mut buffer).unwrap();
            assert!(read > 0, "what is open goes on: {page}");
            page += &String::from_utf8_lossy(&buffer[..read]);
        }
        let mut lines = page.lines();
        let failures = lines.find_map(|it| it.strip_prefix("tollgate_accept_failures_total "));
        failures.unwrap().trim().parse::<u64>().unwrap()
    };
    assert_eq!(failures(), 0);
    // The kernel takes them in; the process can accept some of them.
    let connections: Vec<_> = (0..100)
        .map(|_| std::net::TcpStream::connect(served.callers).unwrap())
        .collect();
    let mut asked = 0;
    while failures() < 3 {
        asked += 1;
        assert!(asked < 1_000, "it never runs out of descriptors");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    drop(connections);
    let answer = served.get("/v3/self", "tg_nobody");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let log = served.stop();
    let said = log.matches("cannot accept connections").count();
    assert!((1..=2).contains(&said), "{log}");
}
