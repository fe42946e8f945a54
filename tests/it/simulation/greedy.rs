//! Fifty greedy callers before a Devin that takes 300 requests a minute, through the whole stack, on a paused clock: how
//! much of its rate is used, and how much it has to refuse. And the same callers without the feedback.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tollgate::api_key::ApiKey;
use tollgate::body::{Body, empty};
use tollgate::clock::Clock;
use tollgate::document::Report;
use tollgate::exchange::Exchange;
use tollgate::fake_devin::{self, FakeDevin};
use tollgate::ledger::tag::TagKey;
use tollgate::ledger::{Ledger, Options};
use tollgate::metrics::Metrics;
use tollgate::pipeline::access_log::{MemoryLog, Output, Sink};
use tollgate::pipeline::credential::{Outbound, Pinned};
use tollgate::pipeline::edge::Arrival;
use tollgate::pipeline::pressure::PressureLayer;
use tollgate::pipeline::upstream::{Timeouts, Upstream};
use tollgate::policy::{Policy, PolicyFiles, compile};
use tollgate::pressure;
use tollgate::rejection::Rejection;
use tollgate::ruleset::Current;
use tollgate::token::ServiceToken;
use tollgate::{Parts, gateway};
use tower::{Layer, Service, ServiceExt};

use super::dice::Dice;
use super::network::{Dialer, Network};
use super::process::{FAKE, TOKEN};
use super::trace::{Time, Trace};

/// What Devin takes in a minute.
const RATE: u32 = 300;
/// When it is looked at what is used and refused.
const WARM_UP: Duration = Duration::from_secs(120);
const HALF_AN_HOUR: Duration = Duration::from_secs(1_800);
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// What Devin answered, each with its time and the team that had asked.
type Answers = Arc<Mutex<Vec<(Instant, u16, String)>>>;

/// Between the queue and the client: notes what Devin answers.
#[derive(Clone)]
struct Noting<S> {
    inner: S,
    answers: Answers,
}

impl<S> Service<Exchange<Outbound>> for Noting<S>
where
    S: Service<Exchange<Outbound>, Response = Response<Body>, Error = Rejection>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<'static, Result<Response<Body>, Rejection>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let answers = Arc::clone(&self.answers);
        let team = exchange.trail.caller.get().unwrap().team.to_string();
        let answer = self.inner.call(exchange);
        async move {
            let answer = answer.await?;
            let status = answer.status().as_u16();
            answers.lock().unwrap().push((Instant::now(), status, team));
            Ok(answer)
        }
        .boxed()
    }
}

/// Teams, each with its number of callers, and keys for all.
fn policy(teams: &[(&str, usize)]) -> (Policy, Vec<(String, ApiKey)>) {
    let mut texts = Vec::new();
    let mut keys = Vec::new();
    for (team, callers) in teams {
        let mut text = format!("team: {team}\ncallers:\n");
        for ix in 0..*callers {
            let name = format!("{team}-{ix}");
            let key = ApiKey::generate(&name).unwrap();
            let digest = key.digest_hex();
            text += &format!("  {name}: {{ keys: [{{ id: {name}, sha256: \"{digest}\" }}] }}\n");
            keys.push(((*team).to_owned(), key));
        }
        text += "allow:\n  - { name: self, operations: [self.get], organizations: any }\n";
        texts.push((format!("{team}.yaml"), text));
    }
    let mut report = Report::default();
    let files = texts.iter().map(|it| (it.0.as_str(), it.1.as_str()));
    let files = PolicyFiles::from_texts(files.collect::<Vec<_>>(), &mut report);
    let policy = compile(&files, &[], &mut report);
    (policy.unwrap_or_else(|| panic!("{}", report.plain())), keys)
}

/// A client that asks again and again, and waits only as long as it is told.
async fn greedy<G>(gateway: G, key: ApiKey)
where
    G: Service<Arrival, Response = Response<Body>> + Clone,
    G::Error: std::fmt::Debug,
{
    loop {
        let request = Request::get("/v3/self")
            .header("host", "tollgate.test")
            .header("authorization", format!("Bearer {}", key.expose()))
            .body(empty())
            .unwrap();
        let arrival = Arrival {
            request,
            peer: None,
        };
        let answer = gateway.clone().oneshot(arrival).await.unwrap();
        if answer.status() == 429 {
            let said = answer.headers().get("retry-after");
            let said = said.and_then(|it| it.to_str().ok()?.parse().ok());
            sleep(Duration::from_secs(said.unwrap_or(1))).await;
        } else {
            assert_eq!(answer.status(), 200);
            http_body_util::BodyExt::collect(answer.into_body())
                .await
                .unwrap();
        }
    }
}

/// What Devin answered in so long a time after the warm-up.
fn run(
    options: Option<pressure::Options>,
    teams: &[(&str, usize)],
    warm_up: Duration,
    measured: Duration,
) -> Vec<(u16, String)> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let answers = Answers::default();
    runtime.block_on(async {
        let time = Time::default();
        let fake = FakeDevin::new(fake_devin::Options {
            token: TOKEN.to_owned(),
            rate_limit_per_minute: Some(RATE),
            keep_requests: 1,
            audit_entries: 0,
            ..fake_devin::Options::default()
        });
        let (listener, mut connections) = unbounded_channel();
        let network = Network::new(
            Dice::new(7),
            Handle::current(),
            Trace::new(time.clone(), false),
            listener,
        );
        network.calm();
        tokio::spawn(async move {
            while let Some(stream) = connections.recv().await {
                let fake = fake.clone();
                let base = format!("http://{FAKE}");
                tokio::spawn(async move { fake.attend(stream, &base).await });
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open_in_one_thread(Options {
            path: folder.path().join("tollgate.db"),
            tag_key: TagKey::new(&[7; 32]).unwrap(),
            quiet: Duration::ZERO,
            hand_over: Duration::ZERO,
        });
        let ledger = ledger.await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(time.of_a_process());
        let (policy, keys) = policy(teams);
        let policies = Current::new(policy, clock.now());
        let timeouts = Timeouts::default();
        let metrics = Metrics::new(policies.clone());
        let settings = options.clone().unwrap_or_default();
        let total = timeouts.total;
        let pressure = PressureLayer::new(&settings, &metrics, Arc::clone(&clock), total);
        let parts = Parts {
            metrics,
            policies,
            issuers: Arc::new([]),
            token: ServiceToken::new(&TOKEN.to_owned().into()).unwrap(),
            pinned: Pinned {
                scheme: http::uri::Scheme::HTTP,
                authority: FAKE.parse().unwrap(),
            },
            upstream_total: timeouts.total,
            untagged: Arc::default(),
            times: None,
            records: Arc::new(ledger.clone()),
            ledger,
            tasks: TaskTracker::new(),
            log: Sink::open(Output::Memory(MemoryLog::default())).unwrap(),
            clock,
            pressure,
            capacity: Default::default(),
        };
        let began = Instant::now();
        let upstream = Noting {
            inner: Upstream::over(Dialer(network), timeouts),
            answers: Arc::clone(&answers),
        };
        let mut callers = tokio::task::JoinSet::new();
        if options.is_some() {
            let gateway = gateway(&parts, parts.pressure.layer(upstream));
            for (_, key) in keys {
                callers.spawn(greedy(gateway.clone(), key));
            }
        } else {
            let gateway = gateway(&parts, upstream);
            for (_, key) in keys {
                callers.spawn(greedy(gateway.clone(), key));
            }
        }
        sleep(warm_up + measured).await;
        assert_eq!(callers.len(), teams.iter().map(|it| it.1).sum::<usize>());
        callers.shutdown().await;
        let answers = answers.lock().unwrap();
        let measured = answers.iter().filter(|it| it.0 >= began + warm_up);
        measured.map(|it| (it.1, it.2.clone())).collect()
    })
}

/// What part of Devin's rate was used, and what part of what it was sent it refused.
fn shares(answers: &[(u16, String)], measured: Duration) -> (f64, f64) {
    let refused = answers.iter().filter(|it| it.0 == 429).count() as f64;
    let all = answers.len() as f64;
    let minutes = measured.as_secs_f64() / 60.0;
    ((all - refused) / (f64::from(RATE) * minutes), refused / all)
}

#[test]
fn r18_fifty_greedy_callers_use_devins_rate_and_are_hardly_ever_refused() {
    let teams = [("a", 20), ("b", 20), ("c", 10)];
    let (used, refused) = shares(
        &run(
            Some(pressure::Options::default()),
            &teams,
            WARM_UP,
            HALF_AN_HOUR,
        ),
        HALF_AN_HOUR,
    );
    // These fill each of Devin's minutes in seconds, so a few are enough.
    let without = run(None, &teams, Duration::ZERO, TEN_MINUTES);
    let (used_without, refused_without) = shares(&without, TEN_MINUTES);
    let percent = |it: f64| format!("{:.3} %", it * 100.0);
    println!(
        "with feedback: {} of the rate used, {} refused",
        percent(used),
        percent(refused)
    );
    println!(
        "without: {} of the rate used, {} refused",
        percent(used_without),
        percent(refused_without)
    );
    assert!(used >= 0.95, "{used}");
    assert!(refused < 0.001, "{refused}");
    assert!(refused_without > 0.1, "{refused_without}");
}

#[test]
fn r13_a_team_with_few_callers_gets_its_share_of_devins_rate() {
    let options = pressure::Options {
        shares: [("few".into(), 3)].into(),
        ..pressure::Options::default()
    };
    // Of the few, each waits for one request at a time: more than one is needed to want three quarters.
    let answers = run(
        Some(options),
        &[("few", 10), ("many", 40)],
        Duration::from_secs(120),
        TEN_MINUTES,
    );
    let of = |team: &str| answers.iter().filter(|it| it.1 == team).count() as f64;
    let share = of("few") / answers.len() as f64;
    println!("a team of 10 callers with the weight 3, beside one of 40: {share:.3}");
    assert!((0.70..=0.80).contains(&share), "{share}");
}
