//! One life of the gateway's process: a runtime of its own, which a crash drops with every task in it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate::api_key::ApiKey;
use tollgate::clock::Clock;
use tollgate::document::Report;
use tollgate::ledger::tag::TagKey;
use tollgate::ledger::{Aliases, Ledger, Options};
use tollgate::metrics::Metrics;
use tollgate::pipeline::access_log::Sink;
use tollgate::pipeline::credential::Pinned;
use tollgate::pipeline::pressure::PressureLayer;
use tollgate::pipeline::upstream::{Timeouts, Upstream};
use tollgate::policy::{Policy, PolicyFiles, compile};
use tollgate::pressure;
use tollgate::ruleset::Current;
use tollgate::settle::{Reconciler, Times};
use tollgate::token::ServiceToken;
use tollgate::{Parts, gateway, serve};
use tower::Layer;

use super::network::{Dialer, Network};
use super::trace::Time;

/// The name of the fake, and its token.
pub(super) const FAKE: &str = "devin.test";
pub(super) const TOKEN: &str = "cog_simulation";
/// How long Devin is waited for.
pub(super) const TOTAL: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_millis(300);
const TIMES: Times = Times {
    every: Duration::from_millis(400),
    unknown_after: Duration::from_millis(800),
    pace: Duration::from_millis(5),
};

/// What every process of the gateway has in common: the ledger's file, the policy, and the network.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) ledger: PathBuf,
    pub(super) keys: Arc<[ApiKey]>,
    /// The limits of the policy's budgets, one set after the other.
    pub(super) limits: Arc<[[u64; 2]]>,
    pub(super) edit: Arc<AtomicUsize>,
    pub(super) network: Network,
    pub(super) time: Time,
    pub(super) log: Sink,
}

impl Site {
    pub(super) fn policy(&self) -> Policy {
        let [team, day] = self.limits[self.edit.load(Ordering::SeqCst)];
        let key = |ix: usize| self.keys[ix].digest_hex();
        let text = format!(
            "
team: t
callers:
  c0: {{ keys: [{{ id: k0, sha256: \"{}\" }}] }}
  c1: {{ keys: [{{ id: k1, sha256: \"{}\" }}] }}
  c2: {{ keys: [{{ id: k2, sha256: \"{}\" }}] }}
allow:
  - name: sessions
    operations: [sessions.create, sessions.terminate, sessions.messages.send]
    organizations: [org-ds]
    sessions: team
    body: {{ max_acu_limit: {{ default: 2, max: 3 }} }}
  - name: polling
    operations: [sessions.get, sessions.list]
    organizations: [org-ds]
    sessions: team
    cache: 3s
limits:
  - {{ name: all, per: team, rate: 120/min, burst: 10, wait: 3s }}
  - {{ name: creates, per: caller+operation, operations: [sessions.create], rate: 60/min, burst: 3 }}
  - {{ name: running, per: caller, sessions: 5 }}
budgets:
  - {{ name: month, per: team, acus: {team}, every: month }}
  - {{ name: day, per: caller, acus: {day}, every: day }}
",
            key(0),
            key(1),
            key(2)
        );
        let mut report = Report::default();
        let files = PolicyFiles::from_texts(vec![("t.yaml", text.as_str())], &mut report);
        let policy = compile(&files, &[], &mut report);
        policy.unwrap_or_else(|| panic!("{}", report.plain()))
    }
}

/// A process.
pub(super) struct Process {
    runtime: Runtime,
    life: JoinHandle<()>,
    policies: Arc<Mutex<Option<Current>>>,
    site: Site,
}

impl Process {
    pub(super) fn start(site: &Site) -> Self {
        // One task a turn: a crash can come between any two.
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .event_interval(1)
            .build()
            .unwrap();
        let (listener, connections) = unbounded_channel();
        let policies = Arc::default();
        let life = runtime.spawn(live(site.clone(), Arc::clone(&policies), connections));
        site.network.gateway_is(listener);
        Self {
            runtime,
            life,
            policies,
            site: site.clone(),
        }
    }

    /// Lets a millisecond go by.
    pub(super) fn tick(&self) {
        self.runtime.block_on(super::one_tick());
        assert!(!self.life.is_finished(), "the gateway has ended by itself");
    }

    /// Ends it after so many more turns, wherever its tasks are then.
    pub(super) fn crash(self, turns: u64) {
        self.runtime.block_on(async {
            for _ in 0..turns {
                yield_now().await;
            }
        });
        self.site.network.gateway_ends();
    }

    /// The policy has been edited.
    pub(super) fn reload(&self, at: jiff::Timestamp) {
        if let Some(policies) = &*self.policies.lock().unwrap() {
            policies.replace(self.site.policy(), at);
        }
    }
}

async fn live(
    site: Site,
    told: Arc<Mutex<Option<Current>>>,
    mut connections: UnboundedReceiver<DuplexStream>,
) {
    let clock: Arc<dyn Clock> = Arc::new(site.time.of_a_process());
    let policies = Current::new(site.policy(), clock.now());
    let ledger = Ledger::open_in_one_thread(Options {
        path: site.ledger.clone(),
        tag_key: TagKey::new(&[7; 32]).unwrap(),
        quiet: QUIET,
        hand_over: Duration::ZERO,
    });
    let ledger = ledger.await.unwrap();
    assert_eq!(ledger.stopped(), None);
    let aliases = Aliases::of(policies.load().policy());
    ledger.rename(aliases).await.unwrap();
    let metrics = Metrics::new(policies.clone());
    let options = pressure::Options {
        // A minute of work a second.
        haste: 60,
        ..pressure::Options::default()
    };
    let pressure = PressureLayer::new(&options, &metrics, Arc::clone(&clock), TOTAL);
    let parts = Parts {
        metrics,
        policies: policies.clone(),
        issuers: Arc::new([]),
        token: ServiceToken::new(&TOKEN.to_owned().into()).unwrap(),
        pinned: Pinned {
            scheme: http::uri::Scheme::HTTP,
            authority: FAKE.parse().unwrap(),
        },
        upstream_total: TOTAL,
        untagged: Arc::default(),
        times: Some(TIMES),
        records: Arc::new(ledger.clone()),
        ledger,
        tasks: TaskTracker::new(),
        log: site.log.clone(),
        clock,
        pressure,
        capacity: Default::default(),
    };
    let timeouts = Timeouts {
        connect: TOTAL,
        first_byte: TOTAL / 2,
        total: TOTAL,
    };
    let upstream = Upstream::over(Dialer(site.network.clone()), timeouts);
    let upstream = parts.pressure.layer(upstream);
    let reconciler = Reconciler::new(&parts, upstream.clone(), TIMES);
    tokio::spawn(reconciler.follow(CancellationToken::new()));
    *told.lock().unwrap() = Some(policies);
    let gateway = gateway(&parts, upstream);
    let parts = Arc::new(parts);
    while let Some(stream) = connections.recv().await {
        let (gateway, parts) = (gateway.clone(), Arc::clone(&parts));
        let peer = ([127, 0, 0, 1], 1).into();
        tokio::spawn(async move { serve::one(stream, peer, gateway, &parts).await });
    }
}
