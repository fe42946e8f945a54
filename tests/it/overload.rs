//! Too much at once, and clients that take their time: bounds on connections, requests in flight and times.

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
const GENEROUS: Duration = Duration::from_secs(20);

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
async fn metric(world: &World, series: &str) -> u64 {
    let (_, _, page) = world.operator("/metrics").await;
    let line = page.lines().find_map(|it| it.strip_prefix(series));
    line.unwrap_or_else(|| panic!("{series}:\n{page}"))
        .trim()
        .parse()
        .unwrap()
}

async fn until(world: &World, series: &str, wanted: u64) {
    let start = Instant::now();
    while metric(world, series).await != wanted {
        assert!(start.elapsed() < GENEROUS, "{series} is never {wanted}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const IN_FLIGHT: &str = "tollgate_requests_in_flight ";
const OPEN: &str = "tollgate_connections ";

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

#[tokio::test]
async fn r1_a_head_that_does_not_come_to_its_end_is_cut_off() {
    let world = World::with(timed(|it| it.head = Duration::from_millis(300))).await;
    // A byte now and then is no help.
    let mut slow = connect(&world).await;
    let dribbled = async {
        for byte in b"GET /v3/self HTTP/1.1\r\nX-A: "
            .iter()
            .chain([b'a'; 1_000].iter())
        {
            if slow.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it is never cut off");
    };
    tokio::time::timeout(GENEROUS, dribbled).await.unwrap();
    let mut begun = connect(&world).await;
    begun.write_all(b"GET /v3/self HT").await.unwrap();
    let answer = to_its_end(&world, &mut begun).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    // Who says nothing at all is told nothing, and who speaks HTTP/2 is not told it in HTTP/1.
    for said in [
        &b""[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let mut silent = connect(&world).await;
        silent.write_all(said).await.unwrap();
        let answer = to_its_end(&world, &mut silent).await;
        assert!(!answer.contains("HTTP/1.1"), "{answer}");
    }
    until(&world, OPEN, 0).await;
    let lines = world.lines().await;
    let of_heads = lines.iter().filter(|it| it["kind"] == "connection");
    assert!(of_heads.count() >= 2, "{lines:?}");
    world.finish().await;
}

#[tokio::test]
async fn r1_a_connection_without_requests_ends_and_one_with_some_does_not() {
    let world = World::with(timed(|it| it.idle = Duration::from_millis(300))).await;
    let mut stream = begin(&world, &format!("GET {SESSIONS}"), "", "").await;
    // Longer than a connection may be idle.
    let latency = Duration::from_millis(900);
    world.fake.inject(Fault::next(FaultKind::Latency(latency)));
    let mut second = begin(&world, &format!("GET {SESSIONS}?first=3"), "", "").await;
    for stream in [&mut stream, &mut second] {
        let answer = to_its_end(&world, stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    world.finish().await;
}

#[tokio::test]
async fn r1_a_body_that_stands_still_is_cut_off() {
    let mut world = World::with(timed(|it| it.body_idle = Duration::from_millis(300))).await;
    world.upstream_faulty();
    // One that the policy looks into, and one that streams by.
    let json = "Content-Type: application/json\r\nContent-Length: 1000\r\n";
    let form = "Content-Type: multipart/form-data; boundary=b0\r\nTransfer-Encoding: chunked\r\n";
    for (path, headers, body) in [
        (SESSIONS, json, "{\"prompt\":"),
        (
            "/v3/organizations/org-ds/attachments",
            form,
            "4\r\n--b0\r\n",
        ),
    ] {
        let mut stream = begin(&world, &format!("POST {path}"), headers, body).await;
        let answer = to_its_end(&world, &mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
        assert!(answer.contains("connection: close"), "{path}: {answer}");
        assert!(answer.contains("request-timeout"), "{path}: {answer}");
    }
    for request in world.upstream() {
        assert!(!request.finished, "a body that was cut off is no whole one");
    }
    world.finish().await;
}

/// Gives an answer without end in place of Devin's, and tells when nobody wants it any more.
#[derive(Clone)]
struct Endless {
    inner: Upstream,
    gone: Arc<AtomicBool>,
}

struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Service<Exchange<Outbound>> for Endless {
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = tollgate::pipeline::BoxFuture<Response<Body>, Rejection>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let answering = self.inner.call(exchange);
        let flag = Flag(Arc::clone(&self.gone));
        Box::pin(async move {
            let piece = Bytes::from(vec![b'x'; 64 * 1024]);
            let pieces = futures_util::stream::unfold((piece, flag), |(piece, flag)| async {
                let frame: Result<_, BoxError> = Ok(Frame::data(piece.clone()));
                Some((frame, (piece, flag)))
            });
            let answer = answering.await?;
            Ok(answer.map(|_| StreamBody::new(Box::pin(pieces)).boxed_unsync()))
        })
    }
}

/// A gateway with a short time for clients that take nothing, whose Devin answers without end.
async fn endless() -> (World, Arc<AtomicBool>) {
    let gone = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&gone);
    let setup = timed(|it| it.write = Duration::from_millis(400));
    let world = World::around(setup, |inner| Endless { inner, gone: flag }).await;
    (world, gone)
}

async fn is_dropped(gone: &AtomicBool) {
    let start = Instant::now();
    while !gone.load(Ordering::SeqCst) {
        assert!(start.elapsed() < GENEROUS, "what nobody reads goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const DOWNLOAD: &str =
    "/v3/organizations/org-ds/attachments/0190a0b0-0000-7000-8000-000000000001/a.txt";

#[tokio::test]
async fn r2_a_client_that_reads_nothing_is_cut_off_and_its_request_dropped() {
    let (world, gone) = endless().await;
    let _unread = begin(&world, &format!("GET {DOWNLOAD}"), "", "").await;
    is_dropped(&gone).await;
    until(&world, OPEN, 0).await;
    let line = world.last_line().await;
    assert_eq!(line["outcome"], "client-gone");
    world.finish().await;
}

#[tokio::test]
async fn r2_a_client_that_reads_slowly_is_not() {
    let (world, gone) = endless().await;
    let mut slow = begin(&world, &format!("GET {DOWNLOAD}"), "", "").await;
    let mut buffer = vec![0; 256 * 1024];
    let start = Instant::now();
    // Several times as long as nothing may be read.
    while start.elapsed() < Duration::from_millis(1_600) {
        let read = slow.read(&mut buffer).await.unwrap();
        assert!(read > 0 && !gone.load(Ordering::SeqCst), "it is cut off");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(slow);
    is_dropped(&gone).await;
    world.finish().await;
}

#[tokio::test]
async fn r2_a_window_of_http_2_that_stays_shut_is_no_way_to_hold_a_request() {
    let (world, gone) = endless().await;
    let stream = connect(&world).await;
    let (mut client, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(32 * 1024)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{}{DOWNLOAD}", world.gateway))
        .header("authorization", format!("Bearer {}", world.key("one")));
    world.sent(1);
    let answer = client
        .send_request(request.body(Full::default()).unwrap())
        .await
        .unwrap();
    // Held, and never read: its window is used up and never opened again.
    is_dropped(&gone).await;
    drop(answer);
    until(&world, OPEN, 0).await;
    world.finish().await;
}

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
        write!(open, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
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
