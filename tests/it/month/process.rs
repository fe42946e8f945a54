//! The gateway of the month, over a ledger that outlives it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tollgate::Parts;
use tollgate::clock::Clock;
use tollgate::document::Report;
use tollgate::ledger::tag::TagKey;
use tollgate::ledger::{Aliases, Ledger, Options};
use tollgate::metrics::Metrics;
use tollgate::pipeline::access_log::{MemoryLog, Output, Sink};
use tollgate::pipeline::pressure::PressureLayer;
use tollgate::pipeline::upstream::{Timeouts, Upstream};
use tollgate::policy::{Policy, PolicyFiles, compile};
use tollgate::ruleset::Current;
use tollgate::serve::{Bound, Running, start};
use tollgate::settle::{Reconciler, Times};
use tollgate::token::ServiceToken;

use super::policies::{files, names};
use super::truth::{QUIET, UNKNOWN_AFTER};
use super::{Month, TOTAL};
use crate::world::at;

/// One life of the gateway's process.
pub(super) struct Boot {
    running: Running,
    pub(super) ledger: Ledger,
    pub(super) policies: Current,
    reconciler: Reconciler<Upstream>,
    pub(super) address: SocketAddr,
}

impl Month {
    pub(super) fn policy(&self) -> Policy {
        let files = files(self.edits, self.scale);
        let mut report = Report::default();
        let texts = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let files = PolicyFiles::from_texts(texts.collect::<Vec<_>>(), &mut report);
        let policy = compile(&files, &[], &mut report);
        let mut policy = policy.unwrap_or_else(|| panic!("{}", report.plain()));
        for (ix, key) in self.keys.iter().enumerate() {
            let (caller, _) = names(ix, self.edits);
            assert!(policy.add_key(&caller, &format!("k{ix}"), key.digest().clone()));
        }
        policy
    }

    pub(super) async fn start(&mut self) {
        let policies = Current::new(self.policy(), self.clock.now());
        let ledger = Ledger::open(Options {
            path: self.ledger.clone(),
            tag_key: TagKey::new(&[7; 32]).unwrap(),
            quiet: QUIET,
            hand_over: Duration::from_secs(5),
        });
        let ledger = ledger.await.unwrap();
        assert_eq!(ledger.stopped(), None);
        let aliases = Aliases::of(policies.load().policy());
        ledger.rename(aliases).await.unwrap();
        let metrics = Metrics::new(policies.clone());
        let pressure = PressureLayer::new(
            &tollgate::pressure::Options::default(),
            &metrics,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
            TOTAL,
        );
        let parts = Parts {
            metrics,
            policies: policies.clone(),
            issuers: Arc::new([]),
            token: ServiceToken::new(&"cog_month".to_owned().into()).unwrap(),
            pinned: at(self.fake_address),
            upstream_total: TOTAL,
            untagged: Arc::default(),
            times: None,
            records: Arc::new(ledger.clone()),
            ledger: ledger.clone(),
            tasks: TaskTracker::new(),
            log: Sink::open(Output::Memory(MemoryLog::default())).unwrap(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            pressure,
            capacity: Default::default(),
        };
        let bound = Bound {
            callers: vec![TcpListener::bind("127.0.0.1:0").await.unwrap().into()],
            admin: TcpListener::bind("127.0.0.1:0").await.unwrap().into(),
            socket: None,
        };
        let timeouts = Timeouts {
            connect: TOTAL,
            first_byte: TOTAL,
            total: TOTAL,
        };
        let upstream = Upstream::new(&[], timeouts).unwrap();
        let times = Times {
            unknown_after: UNKNOWN_AFTER,
            pace: Duration::ZERO,
            ..Times::default()
        };
        let reconciler = Reconciler::new(&parts, upstream.clone(), times);
        let running = start(bound, &parts, upstream).unwrap();
        let address = running.callers[0];
        self.boot = Some(Boot {
            running,
            ledger,
            policies,
            reconciler,
            address,
        });
        self.truth.restarted();
        self.round().await;
    }

    pub(super) async fn stop(&mut self) {
        let boot = self.boot.take().unwrap();
        let (running, ledger) = (boot.running, boot.ledger);
        drop((boot.reconciler, boot.policies));
        drop(ledger);
        running.stop().await.unwrap();
        // Its connections are gone.
        self.client = Client::builder(TokioExecutor::new()).build_http();
    }

    pub(super) fn boot(&self) -> &Boot {
        self.boot.as_ref().unwrap()
    }

    pub(super) async fn round(&mut self) {
        assert!(self.boot().reconciler.round().await);
        self.truth
            .settled(&self.fake, self.clock.now(), self.clock.up());
    }
}
