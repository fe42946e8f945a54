//! A month in a minute: fifty callers, sessions, messages, wakes from elsewhere, children, lost answers, edits of the
//! policy and restarts, on clocks that are moved. At the end the ledger says what Devin's own truth says, to the last
//! thousandth of an ACU.

mod events;
mod policies;
mod process;
mod truth;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tollgate::acu::Acu;
use tollgate::api_key::ApiKey;
use tollgate::clock::{Clock, FakeClock};
use tollgate::fake_devin::{self, FakeDevin};
use tollgate::ledger::Aliases;
use tollgate::ledger::moment::Moment;

use policies::callers;
use process::Boot;
use truth::Truth;

const ORGANIZATIONS: [&str; 2] = ["org-ds", "org-web"];
/// The clocks of Berlin and New York are set in this month, and a calendar month ends.
const BEGIN: &str = "2026-10-16T00:00:00Z";
const DAYS: i64 = 30;
/// Before which days the policy is edited.
const EDITS: [i64; 6] = [5, 9, 12, 16, 19, 23];
/// Before which days the process is restarted.
const RESTARTS: [i64; 4] = [3, 10, 17, 26];
/// The time that an attempt has.
const TOTAL: Duration = Duration::from_secs(20);

/// Numbers that look random, and are the same in each run with the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % sides
    }

    fn one<'t, T>(&mut self, of: &'t [T]) -> Option<&'t T> {
        (!of.is_empty()).then(|| &of[self.roll(of.len() as u64) as usize])
    }
}

struct Month {
    fake: FakeDevin,
    fake_address: SocketAddr,
    clock: Arc<FakeClock>,
    ledger: PathBuf,
    _folder: tempfile::TempDir,
    keys: Vec<ApiKey>,
    client: Client<HttpConnector, Full<Bytes>>,
    boot: Option<Boot>,
    truth: Truth,
    dice: Dice,
    scale: usize,
    edits: usize,
    said: usize,
    refused: usize,
}

impl Month {
    async fn begin(seed: u64, scale: usize) -> Self {
        let begin: Timestamp = BEGIN.parse().unwrap();
        let fake = FakeDevin::new(fake_devin::Options {
            token: "cog_month".to_owned(),
            speed: 0.0,
            start: Some(begin.as_second()),
            organizations: ORGANIZATIONS
                .map(|id| (id.to_owned(), id.to_owned()))
                .into(),
            audit_entries: 0,
            keep_requests: 1,
            ..fake_devin::Options::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake_address = listener.local_addr().unwrap();
        let serving = fake.clone();
        tokio::spawn(async move {
            serving
                .serve(listener, CancellationToken::new().cancelled_owned())
                .await;
        });
        let folder = tempfile::tempdir().unwrap();
        let mut month = Self {
            fake,
            fake_address,
            clock: Arc::new(FakeClock::at(begin)),
            ledger: folder.path().join("tollgate.db"),
            _folder: folder,
            keys: (0..callers())
                .map(|ix| ApiKey::generate(&format!("k{ix}")).unwrap())
                .collect(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            boot: None,
            truth: Truth::default(),
            dice: Dice(seed),
            scale,
            edits: 0,
            said: 0,
            refused: 0,
        };
        month.start().await;
        month
    }

    /// Every budget, account and window of the policy as it is now. How many there were.
    async fn compare(&self) -> usize {
        let rules = self.boot().policies.load();
        let policy = rules.policy();
        let aliases = Aliases::of(policy);
        let mut count = 0;
        for budget in policy.budgets() {
            for (payer, window, wanted) in self.truth.of(&self.fake, budget, &aliases) {
                let moment = Moment {
                    at: window.start,
                    up: self.clock.up(),
                };
                let asked = vec![(Arc::clone(budget), payer.clone())];
                let found = self.boot().ledger.budgeted(moment, asked).await.unwrap();
                let (name, found) = (&budget.name, &found[0]);
                assert_eq!(found.window, window, "{name}");
                assert_eq!(found.balance, wanted, "{name} of {payer:?} in {window:?}");
                assert_eq!(found.balance.overrun, Acu::ZERO);
                count += 1;
            }
        }
        let verdict = self.boot().ledger.verify().await.unwrap();
        assert!(verdict.is_sound(), "{:?}", verdict.differences);
        count
    }

    /// Goes through the month with about so many sessions.
    async fn go(&mut self, sessions: usize) {
        let begin: Timestamp = BEGIN.parse().unwrap();
        let creates = (sessions / 130).max(1);
        let mut day = 0;
        loop {
            let today = self.clock.now().duration_since(begin).as_hours() / 24;
            while day < today {
                day += 1;
                if EDITS.contains(&day) {
                    self.compare().await;
                    self.edits += 1;
                    let policy = self.policy();
                    let aliases = Aliases::of(&policy);
                    self.boot().ledger.rename(aliases).await.unwrap();
                    self.boot().policies.replace(policy, self.clock.now());
                    self.compare().await;
                }
                if RESTARTS.contains(&day) {
                    self.stop().await;
                    self.start().await;
                    self.compare().await;
                }
            }
            if day >= DAYS {
                break;
            }
            self.busy(creates).await;
            if self.dice.roll(4) == 0 {
                self.unlucky().await;
            }
            self.round().await;
            self.elsewhere(creates);
            self.wait();
            self.round().await;
        }
    }
}

/// How many sessions the budgets of the policies are made for.
const SMALL: usize = 400;

async fn month(seed: u64, sessions: usize) {
    // Budgets grow with the sessions: some of them must have no room.
    let scale = (sessions / SMALL).max(1);
    let mut month = Month::begin(seed, scale).await;
    month.go(sessions).await;
    // What is still at work is held for; compared as it stands, and again when all has come to rest.
    let count = month.compare().await;
    assert!(count > 100, "{count}");
    for _ in 0..3 {
        month.clock.advance(SignedDuration::from_hours(6));
        month.fake.advance(Duration::from_secs(6 * 3_600));
        month.round().await;
    }
    month.compare().await;
    for it in month.truth.living(&month.fake) {
        assert!(!month.truth.is_open(&it.id), "{} is still held for", it.id);
    }
    assert!(month.refused > 0, "no budget ever had no room");
    assert!(
        month.truth.count() > sessions / 4,
        "{}",
        month.truth.count()
    );
    month.stop().await;
}

/// With `TOLLGATE_DEEP`, as large as a large company's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l10_a_month_of_spending_is_what_devin_says_it_is() {
    let is_deep = std::env::var_os("TOLLGATE_DEEP").is_some();
    month(1, if is_deep { 20_000 } else { SMALL }).await;
}
