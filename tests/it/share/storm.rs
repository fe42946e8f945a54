//! Many clients at once that read, change, and leave at random moments: nobody sees the time before its own change, or
//! what is another caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tollgate::body::{Body, BoxError};
use tollgate::exchange::Exchange;
use tollgate::pipeline::credential::Outbound;
use tollgate::problem::ANSWERED_BY;
use tollgate::rejection::Rejection;
use tower::Service;

use super::SESSIONS;
use crate::world::{Setup, World};

const POLICY: &str = r#"
team: t
callers: { one: {}, two: {} }
allow:
  - { name: change, operations: [sessions.tags.append], organizations: [org-ds], sessions: any }
  - { name: poll, operations: [sessions.get], organizations: [org-ds], sessions: any, cache: 60s }
"#;
const CLIENTS: u64 = 24;
const ASKS: u64 = 40;

/// Random enough, from a number.
fn roll(state: &mut u64, sides: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % sides
}

/// In place of Devin: one number, which every change raises. Reads and changes take their time, before and after.
#[derive(Clone, Default)]
struct Numbered {
    value: Arc<AtomicU64>,
    calls: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
}

impl Service<Exchange<Outbound>> for Numbered {
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<'static, Result<Response<Body>, Rejection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let mut state = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let this = self.clone();
        let mut pause = move || tokio::time::sleep(Duration::from_millis(roll(&mut state, 8)));
        Box::pin(async move {
            pause().await;
            let is_read = exchange.request.method() == Method::GET;
            let value = if is_read {
                this.reads.fetch_add(1, Ordering::SeqCst);
                this.value.load(Ordering::SeqCst)
            } else {
                this.value.fetch_add(1, Ordering::SeqCst) + 1
            };
            pause().await;
            let pieces = ["{\"value\":".to_owned(), value.to_string(), "}".to_owned()];
            let slow = stream::unfold(
                (pieces.into_iter(), pause),
                |(mut left, mut pause)| async move {
                    let piece = left.next()?;
                    pause().await;
                    let frame: Result<_, BoxError> = Ok(Frame::data(Bytes::from(piece)));
                    Some((frame, (left, pause)))
                },
            );
            let mut answer = Response::new(StreamBody::new(slow).boxed_unsync());
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(ANSWERED_BY, HeaderValue::from_static("upstream"));
            Ok(answer)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u6_in_a_storm_nobody_sees_the_time_before_its_own_change() {
    let devin = Numbered::default();
    let setup = Setup {
        policy: POLICY.to_owned(),
        ..Setup::default()
    };
    let world = World::around(setup, |_| devin.clone()).await;
    let session = format!("{SESSIONS}/devin-1");
    let tags = format!("{session}/tags");
    let shared = AtomicU64::new(0);
    // What each caller has seen a change of its own make of the number.
    let floors = [AtomicU64::new(0), AtomicU64::new(0)];
    let client = |number: u64| {
        let (world, session, tags, floors) = (&world, &session, &tags, &floors);
        let shared = &shared;
        async move {
            let which = usize::try_from(number % 2).unwrap();
            let (caller, floor) = (["one", "two"][which], &floors[which]);
            let mut state = number + 1;
            for _ in 0..ASKS {
                match roll(&mut state, 10) {
                    0 => {
                        let answer = world.post(caller, tags, r#"{"tags":["a"]}"#).await;
                        let value = answer.json()["value"].as_u64().unwrap();
                        floor.fetch_max(value, Ordering::SeqCst);
                    }
                    1 => {
                        let stream = world.leaver(caller, session).await;
                        tokio::time::sleep(Duration::from_millis(roll(&mut state, 30))).await;
                        drop(stream);
                    }
                    _ => {
                        let known = floor.load(Ordering::SeqCst);
                        let answer = world.get(caller, session).await;
                        answer.is_upstream(200);
                        let value = answer.json()["value"].as_u64().unwrap();
                        assert!(
                            value >= known,
                            "{value} after {known}: {:?}",
                            answer.headers
                        );
                        let how = answer.header("tollgate-cache");
                        shared.fetch_add(u64::from(how != Some("miss")), Ordering::SeqCst);
                    }
                }
            }
        }
    };
    join_all((0..CLIENTS).map(client)).await;
    let (shared, reads) = (shared.into_inner(), devin.reads.load(Ordering::SeqCst));
    assert!(shared > reads, "{shared} were shared, {reads} asked");
    let lines = world.lines().await;
    for line in &lines {
        if let Some(first) = line["first_request_id"].as_str() {
            let first = lines.iter().find(|it| it["request_id"] == first).unwrap();
            assert_eq!(first["caller"], line["caller"]);
            assert_eq!(first["cache"], "miss");
        }
    }
    world.finish().await;
}
