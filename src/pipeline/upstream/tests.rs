//! The client's times, on a clock that is told, over connections in memory.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Ready, ready};
use http::{Request, Uri};
use http_body_util::BodyExt;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

use super::*;
use crate::body::{BoxError, DeadlineExceeded, empty};
use crate::clock::SystemClock;
use crate::trail::Trail;

/// One end of a connection in memory.
struct InMemory(TokioIo<DuplexStream>);

impl Connection for InMemory {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for InMemory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl Write for InMemory {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Hands the other ends of its connections to the test.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Vec<DuplexStream>>>);

impl Wire {
    fn ends(&self) -> Vec<DuplexStream> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Service<Uri> for Wire {
    type Response = InMemory;
    type Error = BoxError;
    type Future = Ready<Result<InMemory, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (here, there) = duplex(64 * 1024);
        self.0.lock().unwrap().push(there);
        ready(Ok(InMemory(TokioIo::new(here))))
    }
}

/// A request of the gateway's own for who it is.
fn asks() -> Exchange<Outbound> {
    let mut request = Request::new(empty());
    *request.uri_mut() = Uri::from_static("http://devin.test/v3/self");
    let trail = Arc::new(Trail::begin(&request, None, None, &SystemClock));
    Exchange {
        request,
        trail,
        proof: Outbound::own("self.get").unwrap(),
    }
}

fn gauges<C>(upstream: &Upstream<C>) -> (i64, i64) {
    let counted = &upstream.counted;
    (counted.connections.get(), counted.requests.get())
}

/// Lets all that can go on go on.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

async fn head_of(end: &mut DuplexStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match end.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

#[tokio::test(start_paused = true)]
async fn r17_a_black_hole_is_waited_for_a_minute_and_leaves_nothing() {
    let wire = Wire::default();
    let mut upstream = Upstream::over(wire.clone(), Timeouts::default());
    let begun = Instant::now();
    let asking = tokio::spawn(upstream.call(asks()));
    settle().await;
    assert_eq!(gauges(&upstream), (1, 1));
    // It takes what is sent, and never says a word.
    let _swallows = wire.ends();
    let answer = asking.await.unwrap();
    assert!(matches!(
        answer,
        Err(Rejection::UpstreamTimeout {
            phase: "no answer began in time",
            may_have_acted: false
        })
    ));
    assert_eq!(begun.elapsed().as_secs(), 60);
    settle().await;
    assert_eq!(gauges(&upstream), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn r17_a_byte_a_second_ends_with_the_time_for_all_and_leaves_nothing() {
    let wire = Wire::default();
    let mut upstream = Upstream::over(wire.clone(), Timeouts::default());
    let begun = Instant::now();
    let asking = tokio::spawn(upstream.call(asks()));
    settle().await;
    let mut end = wire.ends().remove(0);
    let dripping = tokio::spawn(async move {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
        end.write_all(head).await.unwrap();
        let mut count = 0;
        while end.write_all(b"x").await.is_ok() {
            count += 1;
            sleep(Duration::from_secs(1)).await;
        }
        count
    });
    let mut body = asking.await.unwrap().unwrap().into_body();
    let mut came = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => came += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => break error,
        }
    };
    assert!(error.is::<DeadlineExceeded>(), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 300);
    assert!((290..=301).contains(&came), "as it came: {came}");
    assert_eq!(gauges(&upstream).1, 1, "until it is let go");
    drop(body);
    assert!(dripping.await.unwrap() <= 302);
    settle().await;
    assert_eq!(gauges(&upstream), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn u2_a_connection_that_is_never_idle_is_renewed_after_five_minutes() {
    let wire = Wire::default();
    let mut upstream = Upstream::over(wire.clone(), Timeouts::default());
    let mut opened = 0;
    for round in 0..70_u64 {
        let answer = upstream.call(asks());
        let serving = async {
            settle().await;
            for mut end in wire.ends() {
                opened += 1;
                tokio::spawn(async move {
                    while head_of(&mut end).await {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
                        if end.write_all(answer).await.is_err() {
                            break;
                        }
                    }
                });
            }
        };
        let (answer, ()) = tokio::join!(answer, serving);
        let body = answer.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "[]");
        settle().await;
        assert!(gauges(&upstream).0 <= 1, "round {round}");
        // 700 s in all: two that are five minutes old, and the third.
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(opened, 3);
    // Without a request, none is kept.
    sleep(IDLE * 3).await;
    let mut last = upstream.call(asks());
    settle().await;
    assert!((&mut last).now_or_never().is_none());
    assert_eq!(wire.ends().len(), 1, "another one is opened");
    drop(last);
    settle().await;
    assert_eq!(gauges(&upstream), (0, 0));
}
