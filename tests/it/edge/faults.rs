//! Devin, or what is between, failing in each way; and that nothing of it stays behind.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tollgate::fake_devin::{Fault, FaultKind, FaultTimes};
use tollgate::pipeline::upstream::{Timeouts, Upstream};

use super::relay::{Relay, Way};
use super::tls::{Ca, Place};
use super::{PROMPT, SESSIONS};
use crate::world::{Setup, World, at};

/// What has to stand where it stood, once it is over.
const STANDS: [&str; 4] = [
    "tollgate_upstream_requests",
    "tollgate_requests_in_flight",
    "tollgate_upstream_connections",
    "tollgate_tasks",
];

fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        first_byte: Duration::from_millis(800),
        total: Duration::from_millis(1_600),
    }
}

/// A world whose Devin is behind a wire.
async fn wired() -> (World, Relay) {
    let fake = Place::default();
    let relay = Relay::to(&fake).await;
    let mut world = World::with(Setup {
        timeouts: timeouts(),
        pinned: Some(at(relay.at)),
        ..Setup::default()
    })
    .await;
    world.upstream_faulty();
    fake.set(world.fake_address).unwrap();
    (world, relay)
}

impl World {
    /// Enough goes well that the breaker stays closed.
    async fn heal(&self) {
        for _ in 0..8 {
            self.get("one", "/v3/self").await.is_upstream(200);
        }
    }

    /// Where the gauges stand, with one connection of either side open and nothing under way.
    async fn at_rest(&self) -> [i64; 4] {
        self.get("one", SESSIONS).await.is_upstream(200);
        for gauge in &STANDS[..2] {
            self.gauge_becomes(gauge, 0).await;
        }
        self.gauge_becomes(STANDS[2], 1).await;
        STANDS.map(|it| self.gauge(it))
    }

    /// Waits until they stand there again, or below. What has no result is watched for by a task until there is one.
    async fn is_at_rest_again(&self, mut before: [i64; 4]) {
        before[3] += i64::try_from(self.ledger.unsure().await.unwrap().len()).unwrap();
        self.get("one", SESSIONS).await.is_upstream(200);
        let mut now = before;
        for _ in 0..1_000 {
            now = STANDS.map(|it| self.gauge(it));
            if now.iter().zip(&before).all(|(now, before)| now <= before) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{STANDS:?} stood at {before:?}, and stand at {now:?}");
    }

    /// What a caller sees of the body of an answer whose head is good: what came, and whether it was whole.
    async fn body_of(&self, path: &str) -> Result<Bytes, Bytes> {
        let request = Request::get(format!("http://{}{path}", self.gateway))
            .header("authorization", format!("Bearer {}", self.key("one")))
            .body(Full::new(Bytes::new()))
            .unwrap();
        let answer = self.begin(request).await;
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        let mut came = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => came.extend_from_slice(frame.data_ref().unwrap()),
                Err(_) => return Err(came.into()),
            }
        }
        Ok(came.into())
    }
}

#[tokio::test]
async fn r17_each_fault_before_an_answer_has_its_code_and_leaves_nothing() {
    let (world, relay) = wired().await;
    let before = world.at_rest().await;
    let second = Duration::from_secs(1);
    for (way, code) in [
        (Way::Resets(0), "upstream-unreachable"),
        (Way::Resets(20), "upstream-unreachable"),
        (Way::Ends(0), "upstream-unreachable"),
        (Way::Ends(20), "upstream-unreachable"),
        (Way::Stalls(0), "upstream-timeout"),
        (Way::Stalls(20), "upstream-timeout"),
        (Way::Drips(0, second), "upstream-timeout"),
    ] {
        // A read, and what spends: its hold is kept until it is known what became of it.
        for method in [Method::GET, Method::POST] {
            let spends = method == Method::POST;
            let body = match spends {
                // Each its own: an equal one would be a repeat.
                true => format!("{{\"prompt\":\"{way:?}\"}}"),
                false => String::new(),
            };
            relay.goes(way);
            let answer = world.call("one", method, SESSIONS, &body).await;
            relay.goes(Way::Whole);
            let status = if code == "upstream-timeout" { 504 } else { 502 };
            answer.is_problem(status, code);
            let should_retry = spends.then_some("false");
            assert_eq!(answer.header("x-should-retry"), should_retry, "{way:?}");
            world.heal().await;
        }
    }
    world.is_at_rest_again(before).await;
    world.finish().await;
}

#[tokio::test]
async fn f18_garbage_instead_of_an_answer_leaves_nothing() {
    let (world, _relay) = wired().await;
    let before = world.at_rest().await;
    for garbage in [
        "\0\u{1}\u{2}\u{3}",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "<html>it works</html>\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ] {
        for _ in 0..3 {
            world
                .fake
                .inject(Fault::next(FaultKind::Raw(garbage.into())));
        }
        let answer = world.get("one", SESSIONS).await;
        answer.is_problem(502, "upstream-invalid");
        world.fake.clear_faults();
        world.heal().await;
    }
    // A good head, and no chunks behind it: only a broken answer can say so.
    let bad = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    world.fake.inject(Fault::next(FaultKind::Raw(bad.into())));
    world.sent(1);
    let head = format!("{}\r\n", world.head("GET", SESSIONS));
    let answer = world.raw(head.as_bytes()).await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    assert!(
        !answer.to_lowercase().contains("content-length"),
        "{answer}"
    );
    let line = world.last_line().await;
    assert_eq!(line["outcome"], "upstream-aborted", "{line}");
    world.is_at_rest_again(before).await;
    world.finish().await;
}

#[tokio::test]
async fn half_an_answer_is_seen_as_half_over_http_1_however_it_broke() {
    let (world, relay) = wired().await;
    world.post("one", SESSIONS, PROMPT).await.is_upstream(200);
    let whole = world.body_of(SESSIONS).await.unwrap();
    assert!(whole.len() > 200);
    let before = world.at_rest().await;
    let second = Duration::from_secs(1);
    // With a length, and in chunks, of which the last one is cut, or missing.
    let chunked = Duration::from_millis(1);
    let chunked = || FaultKind::SlowBody {
        chunk_delay: chunked,
    };
    let (aborted, late) = ("upstream-aborted", "timed-out");
    for (way, fault, outcome) in [
        (Way::Resets(-20), None, aborted),
        (Way::Ends(-20), None, aborted),
        (Way::Stalls(-20), None, late),
        (Way::Drips(-20, second), None, late),
        (Way::Ends(-5), Some(chunked()), aborted),
        (Way::Resets(-5), Some(chunked()), aborted),
    ] {
        if let Some(fault) = fault {
            let of_this = Fault {
                kind: fault,
                times: FaultTimes::Next(1),
                only: None,
            };
            world.fake.inject(of_this);
        }
        relay.goes(way);
        let came = world.body_of(SESSIONS).await;
        relay.goes(Way::Whole);
        let came = came.expect_err("half an answer was given out as a whole one");
        assert!(came.len() < whole.len(), "{way:?}");
        assert!(whole.starts_with(&came), "{way:?}");
        let line = world.last_line().await;
        assert_eq!(line["outcome"], outcome, "{way:?}: {line}");
        world.heal().await;
    }
    world.is_at_rest_again(before).await;
    world.finish().await;
}

#[tokio::test]
async fn half_an_answer_is_seen_as_half_over_http_2_on_either_side() {
    let ca = Ca::of(&["localhost"]);
    let fake = Place::default();
    let end = ca.terminate("127.0.0.1:0", &fake).await;
    let timeouts = Setup::default().timeouts;
    let setup = Setup {
        pinned: super::pinned("localhost", end.port()),
        ..Setup::default()
    };
    let upstream = Upstream::new(std::slice::from_ref(&ca.root), timeouts).unwrap();
    let counted = upstream.counted();
    let mut world = World::around(setup, |_| upstream).await;
    world.metrics.show_upstream(counted);
    fake.set(world.fake_address).unwrap();
    world.upstream_faulty();
    world.post("one", SESSIONS, PROMPT).await.is_upstream(200);
    let before = world.at_rest().await;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<Bytes>>();
    for _ in 0..3 {
        // RST_STREAM on the way here, and to the caller.
        world.fake.inject(Fault::next(FaultKind::HalfAnswer));
        let request = Request::get(format!("http://{}{SESSIONS}", world.gateway))
            .header("authorization", format!("Bearer {}", world.key("one")))
            .body(Full::new(Bytes::new()))
            .unwrap();
        world.sent(1);
        let answer = client.request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.version(), http::Version::HTTP_2);
        let error = answer.into_body().collect().await.unwrap_err();
        assert!(format!("{error:?}").contains("Reset"), "{error:?}");
        let line = world.last_line().await;
        assert_eq!(line["outcome"], "upstream-aborted", "{line}");
        world.heal().await;
    }
    // One stream that breaks takes none of the others with it.
    let seen = world.upstream();
    assert!(seen.iter().all(|it| it.version == http::Version::HTTP_2));
    drop(client);
    world.is_at_rest_again(before).await;
    world.finish().await;
}

#[tokio::test]
async fn r17_a_storm_of_faults_leaves_no_task_and_no_connection() {
    let (world, relay) = wired().await;
    world.post("one", SESSIONS, PROMPT).await.is_upstream(200);
    let before = world.at_rest().await;
    for way in [
        Way::Resets(-20),
        Way::Stalls(-20),
        Way::Ends(0),
        Way::Stalls(0),
        Way::Drips(-20, Duration::from_secs(1)),
        Way::Resets(20),
    ] {
        relay.goes(way);
        // Some callers leave before it is over.
        let calls = (0..30).map(|number| {
            let path = format!("{SESSIONS}?first={number}");
            let key = world.key("one");
            let gateway = world.gateway;
            world.sent(1);
            tokio::spawn(async move {
                let client = Client::builder(TokioExecutor::new()).build_http();
                let request = Request::get(format!("http://{gateway}{path}"))
                    .header("authorization", format!("Bearer {key}"))
                    .body(Full::<Bytes>::new(Bytes::new()))
                    .unwrap();
                let patience = Duration::from_millis(150 + 50 * (number % 20));
                let call = async {
                    let answer = client.request(request).await?;
                    let _ = answer.into_body().collect().await;
                    Ok::<_, hyper_util::client::legacy::Error>(())
                };
                let _ = tokio::time::timeout(patience, call).await;
            })
        });
        let calls: Vec<_> = calls.collect();
        assert!(world.gauge(STANDS[0]) <= 31);
        join_all(calls).await;
        relay.goes(Way::Whole);
        // The breaker may have opened, and closes by itself.
        let mut is_well = false;
        for _ in 0..200 {
            is_well = world.get("one", "/v3/self").await.status == 200;
            if is_well {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(is_well);
    }
    // Connections that are whole are kept for a while, and each has its task here and at the fake.
    let mut seen = [0; 4];
    for _ in 0..400 {
        seen = STANDS.map(|it| world.gauge(it));
        let idle = seen[2];
        if seen[..2] == before[..2] && seen[3] <= before[3] + 8 * idle {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(seen[..2], before[..2]);
    assert!(seen[2] <= 31, "{seen:?}");
    assert!(
        seen[3] <= before[3] + 8 * seen[2],
        "{before:?} and then {seen:?}"
    );
    world.finish().await;
}

#[tokio::test]
async fn r17_a_connection_that_went_silent_takes_no_further_requests() {
    let ca = Ca::of(&["localhost"]);
    let (fake, end) = (Place::default(), Place::default());
    end.set(ca.terminate("127.0.0.1:0", &fake).await).unwrap();
    let relay = Relay::to(&end).await;
    let setup = Setup {
        pinned: super::pinned("localhost", relay.at.port()),
        timeouts: timeouts(),
        ..Setup::default()
    };
    let upstream = Upstream::new(std::slice::from_ref(&ca.root), timeouts()).unwrap();
    let counted = upstream.counted();
    let mut world = World::around(setup, |_| upstream).await;
    world.metrics.show_upstream(counted);
    fake.set(world.fake_address).unwrap();
    world.upstream_faulty();
    let before = world.at_rest().await;
    // Of one HTTP/2 connection for all, nothing comes any more; of another one, it does.
    relay.goes(Way::Stalls(0));
    let answer = world.get("one", SESSIONS).await;
    answer.is_problem(504, "upstream-timeout");
    relay.goes(Way::Whole);
    for _ in 0..3 {
        world.get("one", SESSIONS).await.is_upstream(200);
    }
    assert_eq!(world.gauge(STANDS[0]), before[0]);
    world.finish().await;
}
