//! Devin says 429, fails, or is gone: what callers are told, what is sent again, and what is not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tollgate::body::Body;
use tollgate::exchange::Exchange;
use tollgate::fake_devin::{Fault, FaultKind, FaultTimes};
use tollgate::pipeline::credential::Outbound;
use tollgate::pipeline::upstream::Upstream;
use tollgate::pressure::Options;
use tollgate::rejection::Rejection;
use tower::Service;

use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
const ME: &str = "/v3/self";
const PROMPT: &str = r#"{"prompt":"x"}"#;

fn waiting(wait: Duration) -> Setup {
    Setup {
        pressure: Options {
            wait,
            ..Options::default()
        },
        ..Setup::default()
    }
}

fn status(code: u16, retry_after: Option<u64>) -> FaultKind {
    FaultKind::Status {
        code,
        retry_after,
        x_should_retry: None,
    }
}

impl World {
    /// So many requests that go well: a tenth of them may be sent again.
    async fn go_well(&self, count: usize) {
        for _ in 0..count {
            self.get("one", ME).await.is_upstream(200);
        }
    }

    /// Every request of a method and path.
    fn all(&self, method: Method, path: &str, kind: FaultKind) {
        self.fake.inject(Fault {
            kind,
            times: FaultTimes::Always,
            only: Some((method, path.to_owned())),
        });
    }

    async fn metric(&self, line: &str) -> bool {
        let (_, _, page) = self.operator("/metrics").await;
        page.lines().any(|it| it == line)
    }
}

#[tokio::test]
async fn r18_a_429_pauses_its_class_for_everyone() {
    let world = World::with(waiting(Duration::from_millis(50))).await;
    world.fake.inject(Fault::next(status(429, Some(30))));
    let answer = world.get("one", ME).await;
    answer.is_upstream(429);
    assert_eq!(answer.header("retry-after"), Some("30"));
    let answer = world.get("slow", ME).await;
    answer.is_problem(429, "rate-limited");
    assert_eq!(answer.json()["limit"], "upstream");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((29..=30).contains(&seconds), "{seconds}");
    assert!(answer.header("x-should-retry").is_none());
    assert_eq!(world.upstream().len(), 1, "the pause is kept");
    // What spends is another class.
    world.post("one", SESSIONS, PROMPT).await.is_upstream(200);
    assert!(
        world
            .metric("tollgate_upstream_refused_total{why=\"rate\"} 1")
            .await
    );
    let (_, _, ready) = world.operator("/readyz").await;
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    assert_eq!(ready["upstream"]["breaker"], "closed", "{ready}");
    let paused = &ready["upstream"]["paused_seconds"];
    let left = paused["reads"].as_u64();
    assert!(left.is_some_and(|it| it > 25), "{ready}");
    assert!(paused["spends"].is_null(), "{ready}");
    world.finish().await;
}

#[tokio::test]
async fn r18_a_429_that_names_a_date_or_no_time_is_answered_with_one() {
    let world = World::with(waiting(Duration::from_millis(50))).await;
    let until = FaultKind::StatusUntil {
        code: 429,
        seconds: 20,
    };
    world.fake.inject(Fault::next(until));
    world.get("one", ME).await.is_upstream(429);
    let answer = world.get("one", ME).await;
    answer.is_problem(429, "rate-limited");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((15..=21).contains(&seconds), "{seconds}");
    // A create that Devin refuses so has spent nothing, and its caller is told when to come back.
    world.fake.inject(Fault::next(status(429, None)));
    let answer = world.post("one", SESSIONS, PROMPT).await;
    answer.is_upstream(429);
    assert_eq!(answer.header("retry-after"), Some("1"));
    world.finish().await;
}

#[tokio::test]
async fn r18_those_who_can_outlast_a_pause_wait_for_it() {
    let world = World::start().await;
    world.fake.inject(Fault::next(status(429, Some(1))));
    world.get("one", ME).await.is_upstream(429);
    let since = Instant::now();
    world.get("one", ME).await.is_upstream(200);
    assert!(since.elapsed() >= Duration::from_millis(900));
    let line = world.last_line().await;
    assert!(line["queue_ms"].as_f64().unwrap() >= 900.0, "{line}");
    world.finish().await;
}

#[tokio::test]
async fn r18_nobody_waits_longer_than_its_client() {
    let world = World::with(waiting(Duration::from_secs(10))).await;
    world.fake.inject(Fault::next(status(429, Some(3))));
    world.fake.inject(Fault::next(status(429, Some(3))));
    let credential = format!("Bearer {}", world.key("one"));
    let impatient = || {
        let request = http::Request::get("/").header("authorization", &credential);
        request.header("prefer", "wait=1")
    };
    // Devin's own refusal, since its pause is too long for this client; and then ours.
    world.send(ME, impatient(), "").await.is_upstream(429);
    let asked = Instant::now();
    let answer = world.send(ME, impatient(), "").await;
    answer.is_problem(429, "rate-limited");
    assert_eq!(answer.json()["limit"], "upstream");
    assert!(asked.elapsed() < Duration::from_secs(2));
    world.finish().await;
}

#[tokio::test]
async fn r18_a_read_is_sent_again_within_the_budget() {
    let mut world = World::start().await;
    world.upstream_faulty();
    // Nothing is saved up yet.
    world.fake.inject(Fault::next(status(503, None)));
    world.get("one", ME).await.is_upstream(503);
    world.go_well(20).await;
    for code in [502, 503, 504] {
        world.go_well(10).await;
        world.fake.inject(Fault::next(status(code, None)));
        world.get("one", ME).await.is_upstream(200);
        let line = world.last_line().await;
        assert_eq!(line["upstream_attempts"], 2, "{line}");
        assert_eq!(line["upstream_retries"], 1, "{line}");
        assert_eq!(line["upstream_status"], 200, "{line}");
    }
    world.go_well(10).await;
    world.fake.inject(Fault::next(FaultKind::ResetBeforeWork));
    world.get("one", ME).await.is_upstream(200);
    world.go_well(10).await;
    world.fake.inject(Fault::next(status(429, Some(1))));
    world.get("one", ME).await.is_upstream(200);
    // Longer than it may wait: Devin's own answer.
    world.go_well(10).await;
    world.fake.inject(Fault::next(status(503, Some(30))));
    let answer = world.get("one", ME).await;
    answer.is_upstream(503);
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert!(world.metric("tollgate_upstream_retries_total 5").await);
    world.finish().await;
}

#[tokio::test]
async fn r18_nothing_is_sent_again_beyond_the_requests_time() {
    let mut setup = waiting(Duration::from_secs(30));
    setup.timeouts.first_byte = Duration::from_secs(2);
    setup.timeouts.total = Duration::from_secs(2);
    let mut world = World::with(setup).await;
    world.upstream_faulty();
    world.go_well(20).await;
    // It may wait so long, but its time would be over.
    world.fake.inject(Fault::next(status(503, Some(3))));
    let since = Instant::now();
    world.get("one", ME).await.is_upstream(503);
    assert!(since.elapsed() < Duration::from_secs(2));
    // Both attempts together have the time of one.
    world.fake.inject(Fault::next(status(503, Some(1))));
    world.fake.inject(Fault::next(FaultKind::Hang));
    let since = Instant::now();
    world
        .get("one", ME)
        .await
        .is_problem(504, "upstream-timeout");
    assert!(
        since.elapsed() < Duration::from_millis(2_900),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(world.last_line().await["upstream_attempts"], 2);
    world.finish().await;
}

#[tokio::test]
async fn m3_a_create_that_has_waited_still_has_its_whole_time() {
    let mut setup = waiting(Duration::from_secs(2));
    setup.pressure.ceiling = Some(1.5);
    setup.timeouts.first_byte = Duration::from_secs(1);
    setup.timeouts.total = Duration::from_secs(1);
    let world = World::with(setup).await;
    world.go_well(1).await;
    // Two thirds of a second for its turn, and half a second for its answer.
    let latency = Duration::from_millis(500);
    world.fake.inject(Fault::next(FaultKind::Latency(latency)));
    world.post("one", SESSIONS, PROMPT).await.is_upstream(200);
    let line = world.last_line().await;
    assert!(line["queue_ms"].as_f64().unwrap() > 500.0, "{line}");
    world.finish().await;
}

#[tokio::test]
async fn r18_what_changes_or_spends_is_never_sent_again() {
    let mut world = World::start().await;
    world.upstream_faulty();
    world.go_well(100).await;
    let before = world.upstream().len();
    for kind in [
        status(503, None),
        status(502, None),
        FaultKind::ResetBeforeWork,
        FaultKind::ResetAfterWork,
        status(429, Some(1)),
    ] {
        world.fake.inject(Fault::next(kind));
        let body = format!(r#"{{"prompt":"{}"}}"#, world.upstream().len());
        let answer = world.post("one", SESSIONS, &body).await;
        assert_ne!(answer.status, StatusCode::OK);
    }
    assert_eq!(world.upstream().len(), before + 5);
    world.finish().await;
}

/// Lets every second answer be a 503.
#[derive(Clone)]
struct Half {
    inner: Upstream,
    count: Arc<AtomicUsize>,
    is_on: Arc<AtomicBool>,
}

impl Service<Exchange<Outbound>> for Half {
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<'static, Result<Response<Body>, Rejection>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        // Not in step with retries: what follows a failure fails as often as anything else.
        let fails =
            self.is_on.load(Ordering::SeqCst) && (number / 2 + number / 7).is_multiple_of(2);
        let answer = self.inner.call(exchange);
        async move {
            let mut answer = answer.await?;
            if fails {
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok(answer)
        }
        .boxed()
    }
}

/// Opens connections to the fake, but for the next few.
#[derive(Clone)]
struct Flaky {
    to: SocketAddr,
    fails: Arc<AtomicUsize>,
}

impl Service<Uri> for Flaky {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let less = |left: usize| left.checked_sub(1);
        let (to, order) = (self.to, Ordering::SeqCst);
        let fails = self.fails.fetch_update(order, order, less).is_ok();
        async move {
            if fails {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(TokioIo::new(TcpStream::connect(to).await?))
        }
        .boxed()
    }
}

#[tokio::test]
async fn r18_a_create_that_had_no_connection_is_sent_again_and_made_once() {
    let fails = Arc::new(AtomicUsize::new(0));
    // Where the fake is is known only later.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let through = listener.local_addr().unwrap();
    let connector = Flaky {
        to: through,
        fails: Arc::clone(&fails),
    };
    let timeouts = Setup::default().timeouts;
    let mut world = World::around(Setup::default(), |_| Upstream::over(connector, timeouts)).await;
    world.upstream_faulty();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let fake = world.fake_address;
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut there = TcpStream::connect(fake).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    world.go_well(20).await;
    // The one connection that is open is in use, so a create needs another.
    let slow = Duration::from_millis(500);
    world.fake.inject(Fault {
        kind: FaultKind::Latency(slow),
        times: FaultTimes::Next(1),
        only: Some((Method::GET, ME.to_owned())),
    });
    fails.store(1, Ordering::SeqCst);
    let create = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.post("one", SESSIONS, PROMPT).await
    };
    let (slow, created) = tokio::join!(world.get("one", ME), create);
    slow.is_upstream(200);
    created.is_upstream(200);
    assert_eq!(fails.load(Ordering::SeqCst), 0);
    assert_eq!(world.fake.truth().len(), 1);
    let lines = world.lines().await;
    let line = lines.iter().find(|it| it["method"] == "POST").unwrap();
    assert_eq!(line["upstream_retries"], 1, "{line}");
    assert_eq!(line["upstream_attempts"], 2, "{line}");
    world.finish().await;
}

#[tokio::test]
async fn r18_half_of_all_fails_and_a_tenth_more_is_sent() {
    let is_on = Arc::new(AtomicBool::new(true));
    let half = Arc::clone(&is_on);
    let mut world = World::around(Setup::default(), |inner| Half {
        inner,
        count: Arc::default(),
        is_on: half,
    })
    .await;
    world.upstream_faulty();
    let mut good = 0;
    for _ in 0..500 {
        good += usize::from(world.get("one", ME).await.status == StatusCode::OK);
    }
    let sent = world.upstream().len();
    println!("500 requests, of which Devin fails half: {sent} sent to it, {good} answered well");
    assert!((501..=550).contains(&sent), "{sent}");
    assert!(good > 250, "{good}");
    assert!(
        world
            .metric("tollgate_upstream_breaker{state=\"closed\"} 1")
            .await
    );
    world.finish().await;
}

#[tokio::test]
async fn r17_devin_gone_opens_the_breaker_and_it_closes_when_devin_is_back() {
    let mut world = World::start().await;
    world.upstream_faulty();
    world.all(Method::GET, ME, status(503, None));
    for _ in 0..10 {
        world.get("one", ME).await.is_upstream(503);
    }
    let before = world.upstream().len();
    let mut times = Vec::new();
    for _ in 0..50 {
        let since = Instant::now();
        let answer = world.get("one", ME).await;
        times.push(since.elapsed());
        answer.is_problem(503, "upstream-cooling-down");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=2).contains(&seconds), "{seconds}");
    }
    times.sort();
    println!(
        "the breaker is open: {:?} in the middle, {:?} at most",
        times[25], times[49]
    );
    assert!(times[25] < Duration::from_millis(5), "{times:?}");
    // What spends is not held for while it cannot leave.
    let mut times = Vec::new();
    for number in 0..50 {
        let body = format!(r#"{{"prompt":"{number}"}}"#);
        let since = Instant::now();
        let answer = world.post("one", SESSIONS, &body).await;
        times.push(since.elapsed());
        answer.is_problem(503, "upstream-cooling-down");
        let repeats = answer.header("x-should-retry");
        assert!(repeats.is_none(), "it never left");
    }
    times.sort();
    println!(
        "creates meanwhile: {:?} in the middle, {:?} at most",
        times[25], times[49]
    );
    assert_eq!(world.upstream().len(), before);
    assert_eq!(world.fake.truth().len(), 0);
    assert!(
        world
            .metric("tollgate_upstream_breaker{state=\"open\"} 1")
            .await
    );
    world.fake.clear_faults();
    tokio::time::sleep(Duration::from_millis(2_050)).await;
    world.go_well(3).await;
    world.post("one", SESSIONS, PROMPT).await.is_upstream(200);
    assert!(
        world
            .metric("tollgate_upstream_breaker{state=\"closed\"} 1")
            .await
    );
    world.finish().await;
}

#[tokio::test]
async fn r13_a_ceiling_is_kept_and_whoever_leaves_waits_no_longer() {
    let setup = Setup {
        pressure: Options {
            ceiling: Some(2.0),
            wait: Duration::from_secs(20),
            ..Options::default()
        },
        ..Setup::default()
    };
    let world = World::with(setup).await;
    // Two at once, as the burst has it, and one that has to wait.
    world.go_well(2).await;
    let since = Instant::now();
    {
        let leaving = (0..8).map(|_| world.get("one", ME));
        let leaving = futures_util::future::join_all(leaving);
        let left = tokio::time::timeout(Duration::from_millis(200), leaving).await;
        assert!(left.is_err());
    }
    let mut is_empty = false;
    for _ in 0..100 {
        is_empty = world.metric("tollgate_upstream_waiting 0").await;
        if is_empty {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_empty, "those who left still wait");
    // Whoever comes now does not wait behind them.
    world.get("one", ME).await.is_upstream(200);
    assert!(
        since.elapsed() < Duration::from_secs(3),
        "{:?}",
        since.elapsed()
    );
    world.finish().await;
}
