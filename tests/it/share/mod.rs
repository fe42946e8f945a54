//! Identical reads of one caller are one request to Devin's; what is kept is kept for that caller, and for a moment.

mod kept;
mod storm;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tollgate::body::Body;
use tollgate::exchange::Exchange;
use tollgate::fake_devin::{Fault, FaultKind, FaultTimes};
use tollgate::pipeline::BoxFuture;
use tollgate::pipeline::credential::Outbound;
use tollgate::pipeline::upstream::Timeouts;
use tollgate::rejection::Rejection;
use tower::Service;

use crate::answer::Answer;
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
/// Long enough for all that a test does meanwhile.
const SLOW: Duration = Duration::from_millis(1_500);

/// Two callers that see the same; both keep answers, for the time that a test says.
fn kept_for(time: &str) -> Setup {
    let policy = format!(
        r#"
team: t
callers: {{ one: {{}}, two: {{}} }}
allow:
  - name: run
    operations: [sessions.create, sessions.messages.send, sessions.tags.append]
    organizations: [org-ds, org-web]
    sessions: team
    body: {{ max_acu_limit: {{ default: 5 }} }}
  - name: poll
    operations: [sessions.get, sessions.list, sessions.tags.get]
    organizations: [org-ds, org-web]
    sessions: team
    cache: {time}
  - {{ name: self, operations: [self.get], organizations: any }}
budgets:
  - {{ name: month, per: team, acus: 500, every: month }}
"#
    );
    Setup {
        policy,
        ..Setup::default()
    }
}

fn slow_answer() -> Fault {
    Fault::next(FaultKind::Latency(SLOW))
}

impl World {
    async fn created(&self, caller: &str) -> String {
        let answer = self.post(caller, SESSIONS, r#"{"prompt":"x"}"#).await;
        answer.is_upstream(200);
        let id = answer.json()["session_id"].as_str().unwrap().to_owned();
        format!("{SESSIONS}/{id}")
    }

    /// The answer to a read, which was had like this.
    async fn is(&self, caller: &str, path: &str, cache: &str) -> Answer {
        let answer = self.get(caller, path).await;
        answer.is_upstream(200);
        assert_eq!(answer.header("tollgate-cache"), Some(cache), "{path}");
        answer
    }

    /// How many GETs of this path the fake has seen.
    fn reads(&self, path: &str) -> usize {
        let all = self.upstream();
        let same = |it: &&tollgate::fake_devin::Recorded| it.method == Method::GET;
        all.iter().filter(same).filter(|it| it.path == path).count()
    }

    async fn until_read(&self, path: &str, times: usize) {
        while self.reads(path) < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A client that can go away.
    async fn leaver(&self, caller: &str, path: &str) -> TcpStream {
        self.sent(1);
        let mut stream = TcpStream::connect(self.gateway).await.unwrap();
        let key = self.key(caller);
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn line_of(&self, answer: &Answer) -> Value {
        let id = answer.header("x-request-id").unwrap();
        let mut lines = self.lines().await.into_iter();
        lines.find(|it| it["request_id"] == id).unwrap()
    }
}

fn how(answers: &[Answer]) -> Vec<&str> {
    let mut all: Vec<&str> = answers
        .iter()
        .map(|it| it.header("tollgate-cache").unwrap())
        .collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn fifty_identical_reads_at_once_are_one_request() {
    let world = World::start().await;
    world.fake.inject(slow_answer());
    let answers = join_all((0..50).map(|_| world.get("one", "/v3/self"))).await;
    assert_eq!(world.upstream().len(), 1);
    assert_eq!(how(&answers)[0], "miss");
    assert!(how(&answers)[1..].iter().all(|it| *it == "shared"));
    let leader = answers
        .iter()
        .find(|it| it.header("tollgate-cache") == Some("miss"));
    let leader = leader.unwrap();
    for answer in &answers {
        answer.is_upstream(200);
        assert_eq!(answer.body, leader.body);
        assert_eq!(answer.header("content-type"), leader.header("content-type"));
        let line = world.line_of(answer).await;
        let is_leader = answer.header("x-request-id") == leader.header("x-request-id");
        assert_eq!(line["upstream_attempts"], u64::from(is_leader));
        assert_eq!(line["answered_by"], "upstream");
        assert_eq!(line["cache"], if is_leader { "miss" } else { "shared" });
        if !is_leader {
            assert_eq!(
                line["first_request_id"].as_str(),
                leader.header("x-request-id")
            );
        }
    }
    let (_, _, page) = world.operator("/metrics").await;
    for line in [
        "tollgate_reads_total{cache=\"miss\"} 1",
        "tollgate_reads_total{cache=\"shared\"} 49",
    ] {
        assert!(page.lines().any(|it| it == line), "{page}");
    }
    // Nothing was kept: nobody has asked for that.
    world.is("one", "/v3/self", "miss").await;
    world.finish().await;
}

#[tokio::test]
async fn a_list_is_shared_as_its_caller_may_see_it() {
    let world = World::with(kept_for("60s")).await;
    world.created("one").await;
    world.fake.inject(slow_answer());
    let answers = join_all((0..5).map(|_| world.get("one", SESSIONS))).await;
    assert_eq!(
        how(&answers),
        ["miss", "shared", "shared", "shared", "shared"]
    );
    assert_eq!(world.reads(SESSIONS), 1);
    for answer in &answers {
        assert_eq!(answer.json()["items"].as_array().unwrap().len(), 1);
    }
    world.finish().await;
}

#[tokio::test]
async fn what_differs_in_anything_that_can_matter_is_not_shared() {
    let world = World::with(kept_for("60s")).await;
    let session = world.created("one").await;
    let asked = |name: &'static str, value: &'static str| {
        let key = format!("Bearer {}", world.key("one"));
        let request = Request::builder()
            .header("authorization", key)
            .header(name, value);
        world.send(&session, request, "")
    };
    let all = [
        asked("accept", "application/json"),
        asked("accept-language", "en"),
        asked("accept-language", "de"),
        asked("if-none-match", "\"x\""),
    ];
    for answer in join_all(all).await {
        assert_eq!(answer.header("tollgate-cache"), Some("miss"));
    }
    world.is("one", &format!("{session}?a=1"), "miss").await;
    world.is("one", &session, "miss").await;
    assert_eq!(world.reads(&session), 6);
    // What only says who asks does not matter.
    let same = asked("user-agent", "somebody").await;
    assert_eq!(same.header("tollgate-cache"), Some("hit"));
    world.finish().await;
}

#[tokio::test]
async fn u6_two_callers_never_share() {
    let world = World::with(kept_for("60s")).await;
    let session = world.created("one").await;
    world.fake.inject(Fault {
        kind: FaultKind::Latency(Duration::from_millis(300)),
        times: FaultTimes::Always,
        only: Some((Method::GET, SESSIONS.to_owned())),
    });
    let asked = [
        ("one", &session),
        ("two", &session),
        ("one", &session),
        ("two", &session),
    ];
    let answers = join_all(asked.map(|(caller, path)| world.get(caller, path))).await;
    assert_eq!(how(&answers), ["miss", "miss", "shared", "shared"]);
    assert_eq!(world.reads(&session), 2, "each asks for itself");
    // Both have theirs now; what one changes takes nothing of the other's away, and gives it nothing.
    for caller in ["one", "two"] {
        world.is(caller, &session, "hit").await;
    }
    let tags = format!("{session}/tags");
    let changed = world.post("one", &tags, r#"{"tags":["a"]}"#).await;
    changed.is_upstream(200);
    world.is("two", &session, "hit").await;
    world.is("one", &session, "miss").await;
    // Who shared with whom stands in the log.
    for line in world.lines().await {
        let Some(first) = line["first_request_id"].as_str() else {
            continue;
        };
        let lines = world.lines().await;
        let first = lines.iter().find(|it| it["request_id"] == first).unwrap();
        assert_eq!(first["caller"], line["caller"], "{line}");
        assert_eq!(first["upstream_attempts"], 1);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_leaves_fails_nobody() {
    let world = World::start().await;
    world.fake.inject(slow_answer());
    let leader = world.leaver("one", "/v3/self").await;
    world.until_read("/v3/self", 1).await;
    let follower = world.leaver("one", "/v3/self").await;
    let others = join_all((0..5).map(|_| world.get("one", "/v3/self")));
    let leaving = async {
        tokio::time::sleep(SLOW / 3).await;
        drop((leader, follower));
    };
    let (answers, ()) = futures_util::future::join(others, leaving).await;
    assert_eq!(how(&answers), ["shared"; 5]);
    for answer in &answers {
        answer.is_upstream(200);
    }
    assert_eq!(world.upstream().len(), 1, "it was not asked again");
    let lines = world.lines().await;
    let leader = lines
        .iter()
        .find(|it| it["upstream_attempts"] == 1)
        .unwrap();
    assert_eq!(leader["outcome"], "client-gone");
    assert_eq!(leader["cache"], "miss");
    assert_eq!(
        leader["upstream_status"], 200,
        "its line tells how it went on"
    );
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_comes_slowly_is_not_joined_for_long() {
    let world = World::with(kept_for("60s")).await;
    let session = world.created("one").await;
    world.fake.inject(Fault {
        kind: FaultKind::SlowBody { chunk_delay: SLOW },
        times: FaultTimes::Next(1),
        only: Some((Method::GET, session.clone())),
    });
    let request = Request::get(format!("http://{}{session}", world.gateway))
        .header("authorization", format!("Bearer {}", world.key("one")));
    let slow = world.begin(request.body(Full::default()).unwrap()).await;
    tokio::time::sleep(SLOW).await;
    world.is("one", &session, "miss").await;
    world.is("one", &session, "hit").await;
    drop(slow);
    world.finish().await;
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_is_broken_off() {
    let world = World::start().await;
    world.fake.inject(Fault::next(FaultKind::Hang));
    let all = [
        world.leaver("one", "/v3/self").await,
        world.leaver("one", "/v3/self").await,
    ];
    world.until_read("/v3/self", 1).await;
    drop(all);
    // It would hang for twenty seconds, and whoever asks now would join it.
    for line in world.lines().await {
        assert_eq!(line["outcome"], "client-gone");
    }
    world.is("one", "/v3/self", "miss").await;
    world.finish().await;
}

/// Holds what has this method up on its way to Devin, so that a test can do something meanwhile.
#[derive(Clone)]
struct Late<S> {
    inner: S,
    method: Method,
    calls: Arc<AtomicUsize>,
}

impl<S> Service<Exchange<Outbound>> for Late<S>
where
    S: Service<Exchange<Outbound>, Response = Response<Body>, Error = Rejection>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<Response<Body>, Rejection>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let mut inner = self.inner.clone();
        let is_held = exchange.request.method() == self.method;
        self.calls
            .fetch_add(usize::from(is_held), Ordering::Relaxed);
        Box::pin(async move {
            if is_held {
                tokio::time::sleep(SLOW).await;
            }
            inner.call(exchange).await
        })
    }
}

#[tokio::test]
async fn half_an_answer_is_shared_as_an_error_and_never_kept() {
    let calls: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&calls);
    let late = |inner| Late {
        inner,
        method: Method::GET,
        calls,
    };
    let mut world = World::around(kept_for("60s"), late).await;
    world.upstream_faulty();
    let session = world.created("one").await;
    world.fake.inject(Fault::next(FaultKind::HalfAnswer));
    let leader = async {
        let request = Request::get(format!("http://{}{session}", world.gateway))
            .header("authorization", format!("Bearer {}", world.key("one")));
        let answer = world.begin(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.headers()["tollgate-cache"], "miss");
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await
    };
    let followers = async {
        while counted.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        join_all((0..4).map(|_| world.get("one", &session))).await
    };
    let (half, followers) = futures_util::future::join(leader, followers).await;
    assert!(half.is_err(), "it got what there was");
    assert_eq!(how(&followers), ["shared"; 4]);
    for answer in &followers {
        answer.is_problem(502, "upstream-invalid");
    }
    assert_eq!(world.reads(&session), 1);
    world.is("one", &session, "miss").await;
    world.is("one", &session, "hit").await;
    world.finish().await;
}

#[tokio::test]
async fn a_failure_of_devins_is_shared_by_those_who_waited_and_by_nobody_later() {
    let mut world = World::with(Setup {
        timeouts: Timeouts {
            first_byte: SLOW,
            ..Timeouts::default()
        },
        ..kept_for("60s")
    })
    .await;
    world.upstream_faulty();
    let session = world.created("one").await;
    for kind in [
        FaultKind::Hang,
        FaultKind::Status {
            code: 500,
            retry_after: None,
            x_should_retry: None,
        },
    ] {
        let is_hanging = matches!(kind, FaultKind::Hang);
        world.fake.inject(Fault::next(kind));
        let before = world.reads(&session);
        if is_hanging {
            let answers = join_all((0..3).map(|_| world.get("one", &session))).await;
            assert_eq!(how(&answers), ["miss", "shared", "shared"]);
            for answer in &answers {
                answer.is_problem(504, "upstream-timeout");
            }
        } else {
            let answer = world.get("one", &session).await;
            assert_eq!(answer.status, 500);
            assert_eq!(answer.header("tollgate-cache"), Some("miss"));
        }
        assert_eq!(world.reads(&session), before + 1);
    }
    world.is("one", &session, "miss").await;
    world.finish().await;
}

#[tokio::test]
async fn what_is_too_large_or_a_file_is_everyones_own() {
    let large = vec![b' '; 2 * 1024 * 1024];
    let file = vec![("content-disposition".to_owned(), "attachment".to_owned())];
    for kind in [
        FaultKind::BodyAfterWork(large.into()),
        FaultKind::ExtraHeaders(file),
    ] {
        let world = World::with(kept_for("60s")).await;
        let session = world.created("one").await;
        world.fake.inject(Fault {
            kind,
            times: FaultTimes::Always,
            only: Some((Method::GET, session.clone())),
        });
        let answers = join_all((0..4).map(|_| world.get("one", &session))).await;
        assert_eq!(how(&answers), ["miss"; 4]);
        let lengths: Vec<usize> = answers.iter().map(|it| it.body.len()).collect();
        assert!(lengths.iter().all(|it| *it == lengths[0] && *it > 0));
        assert_eq!(world.reads(&session), 4);
        world.is("one", &session, "miss").await;
        world.finish().await;
    }
}
