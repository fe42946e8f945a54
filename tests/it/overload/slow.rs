//! Clients that take their time: heads, bodies and answers.

use super::*;

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
pub(super) struct Endless {
    pub(super) inner: Upstream,
    pub(super) gone: Arc<AtomicBool>,
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

pub(super) async fn is_dropped(gone: &AtomicBool) {
    let start = Instant::now();
    while !gone.load(Ordering::SeqCst) {
        assert!(start.elapsed() < GENEROUS, "what nobody reads goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) const DOWNLOAD: &str =
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
