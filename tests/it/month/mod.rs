//! A month in a minute: fifty callers, sessions, messages, wakes from elsewhere, children, lost answers, edits of the
//! policy and restarts, on clocks that are moved. At the end the ledger says what Devin's own truth says, to the last
//! thousandth of an ACU.

mod policies;
mod truth;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate::Parts;
use tollgate::acu::Acu;
use tollgate::api_key::ApiKey;
use tollgate::budget::Payer;
use tollgate::clock::{Clock, FakeClock};
use tollgate::document::Report;
use tollgate::fake_devin::{self, Change, Elsewhere, Ending, FakeDevin, Fault, FaultKind, Tuning};
use tollgate::ledger::moment::Moment;
use tollgate::ledger::tag::TagKey;
use tollgate::ledger::{Aliases, Ledger, Options};
use tollgate::metrics::Metrics;
use tollgate::pipeline::access_log::{MemoryLog, Output, Sink};
use tollgate::pipeline::upstream::{Timeouts, Upstream};
use tollgate::policy::{Policy, PolicyFiles, compile};
use tollgate::ruleset::Current;
use tollgate::serve::{Bound, Running, start};
use tollgate::settle::{Reconciler, Times};
use tollgate::token::ServiceToken;

use crate::world::at;
use policies::{callers, files, names};
use truth::{QUIET, Truth, UNKNOWN_AFTER};

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

/// One life of the gateway's process.
struct Boot {
    running: Running,
    ledger: Ledger,
    policies: Current,
    reconciler: Reconciler<Upstream>,
    address: std::net::SocketAddr,
}

struct Month {
    fake: FakeDevin,
    fake_address: std::net::SocketAddr,
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

/// A request of a caller's, and what it is for.
enum Ask {
    Create {
        organization: &'static str,
        cap: Option<u32>,
    },
    Message {
        session: String,
        organization: String,
    },
    Terminate {
        session: String,
        organization: String,
    },
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

    fn policy(&self) -> Policy {
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

    async fn start(&mut self) {
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
        let parts = Parts {
            metrics: Metrics::new(policies.clone()),
            policies: policies.clone(),
            issuers: Arc::new([]),
            token: ServiceToken::new(&"cog_month".to_owned().into()).unwrap(),
            pinned: at(self.fake_address),
            body_time: TOTAL,
            upstream_total: TOTAL,
            untagged: Arc::default(),
            times: None,
            records: Arc::new(ledger.clone()),
            ledger: ledger.clone(),
            tasks: TaskTracker::new(),
            log: Sink::open(Output::Memory(MemoryLog::default())).unwrap(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
        };
        let bound = Bound {
            callers: vec![TcpListener::bind("127.0.0.1:0").await.unwrap()],
            admin: TcpListener::bind("127.0.0.1:0").await.unwrap(),
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

    async fn stop(&mut self) {
        let boot = self.boot.take().unwrap();
        let (running, ledger) = (boot.running, boot.ledger);
        drop((boot.reconciler, boot.policies));
        drop(ledger);
        running.stop().await.unwrap();
        // Its connections are gone.
        self.client = Client::builder(TokioExecutor::new()).build_http();
    }

    fn boot(&self) -> &Boot {
        self.boot.as_ref().unwrap()
    }

    async fn round(&mut self) {
        assert!(self.boot().reconciler.round().await);
        self.truth
            .settled(&self.fake, self.clock.now(), self.clock.up());
    }

    fn payer(&self, caller: usize, organization: &str) -> Payer {
        let (caller, team) = names(caller, self.edits);
        Payer {
            organization: organization.into(),
            team: team.into(),
            caller: caller.into(),
        }
    }

    /// A caller of the same team as the one who created a session.
    fn mate(&mut self, session: &str) -> usize {
        let aliases = Aliases::of(self.boot().policies.load().policy());
        let team = aliases.today(self.truth.payer(session)).team;
        let mates: Vec<usize> = (0..callers())
            .filter(|ix| *names(*ix, self.edits).1 == *team)
            .collect();
        *self.dice.one(&mates).unwrap()
    }

    async fn send(&self, number: usize, caller: usize, ask: &Ask) -> (StatusCode, Value) {
        let (method, path, body) = match ask {
            Ask::Create { organization, cap } => (
                Method::POST,
                format!("/v3/organizations/{organization}/sessions"),
                json!({ "prompt": format!("task {number}"), "max_acu_limit": cap }),
            ),
            Ask::Message {
                session,
                organization,
            } => (
                Method::POST,
                format!("/v3/organizations/{organization}/sessions/{session}/messages"),
                json!({ "message": format!("go on {number}") }),
            ),
            Ask::Terminate {
                session,
                organization,
            } => (
                Method::DELETE,
                format!("/v3/organizations/{organization}/sessions/{session}"),
                Value::Null,
            ),
        };
        let mut body = body;
        if body["max_acu_limit"].is_null()
            && let Some(body) = body.as_object_mut()
        {
            body.remove("max_acu_limit");
        }
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.boot().address))
            .header(
                "authorization",
                format!("Bearer {}", self.keys[caller].expose()),
            )
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)));
        let answer = self.client.request(request.unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    fn note(&mut self, caller: usize, ask: &Ask, status: StatusCode, body: &Value) {
        match (ask, status.as_u16()) {
            (_, 402) => self.refused += 1,
            (Ask::Create { organization, .. }, 200) => {
                let id = body["session_id"].as_str().unwrap();
                let payer = self.payer(caller, organization);
                self.truth.created(bare(id), payer);
            }
            (Ask::Message { session, .. }, 200) => self.truth.woken(session),
            (Ask::Terminate { .. }, 200) => {}
            _ => panic!("{status}: {body}"),
        }
    }

    /// What callers ask for at one moment, all at once.
    async fn busy(&mut self, creates: usize) {
        let mut asks = Vec::new();
        for _ in 0..creates {
            let cap = match self.dice.roll(3) {
                0 => None,
                _ => Some(self.dice.roll(5) as u32 + 1),
            };
            let organization = ORGANIZATIONS[self.dice.roll(2) as usize];
            let caller = self.dice.roll(callers() as u64) as usize;
            asks.push((caller, Ask::Create { organization, cap }));
        }
        let living = self.truth.living(&self.fake);
        let mut chosen = std::collections::HashSet::new();
        for _ in 0..creates {
            // Mostly what was begun not long ago.
            let newest = living.len().saturating_sub(creates * 20);
            let from = if self.dice.roll(4) == 0 {
                &living[..]
            } else {
                &living[newest..]
            };
            let Some(it) = self.dice.one(from) else {
                continue;
            };
            if !chosen.insert(it.id.clone()) {
                continue;
            }
            let (session, organization) = (it.id.clone(), it.org.clone());
            let ask = match self.dice.roll(6) {
                0 => Ask::Terminate {
                    session,
                    organization,
                },
                _ => Ask::Message {
                    session,
                    organization,
                },
            };
            asks.push((self.mate(&it.id), ask));
        }
        let first = self.said;
        self.said += asks.len();
        let this = &*self;
        let answers: Vec<_> = stream::iter(asks.iter().enumerate())
            .map(|(ix, (caller, ask))| async move { this.send(first + ix, *caller, ask).await })
            .buffered(16)
            .collect()
            .await;
        for ((caller, ask), (status, body)) in asks.iter().zip(&answers) {
            self.note(*caller, ask, *status, body);
        }
    }

    /// A create or a message whose answer never comes; Devin has carried it out, or has never had it.
    async fn unlucky(&mut self) {
        let was_done = self.dice.roll(2) == 0;
        let kind = if was_done {
            FaultKind::ResetAfterWork
        } else {
            FaultKind::ResetBeforeWork
        };
        let living = self.truth.living(&self.fake);
        let message = self
            .dice
            .one(&living)
            .filter(|it| !self.truth.is_open(&it.id))
            .cloned();
        let (caller, ask) = match message.filter(|_| self.dice.roll(2) == 0) {
            Some(it) => (
                self.mate(&it.id),
                Ask::Message {
                    session: it.id,
                    organization: it.org,
                },
            ),
            None => (
                self.dice.roll(callers() as u64) as usize,
                Ask::Create {
                    organization: "org-ds",
                    cap: Some(1),
                },
            ),
        };
        let before = self.fake.truth().len();
        self.fake.inject(Fault::next(kind));
        self.said += 1;
        let (status, body) = self.send(self.said - 1, caller, &ask).await;
        self.fake.clear_faults();
        if status == StatusCode::PAYMENT_REQUIRED {
            self.refused += 1;
            return;
        }
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{body}");
        let (now, deadline) = (self.clock.now(), self.clock.up() + TOTAL);
        match ask {
            Ask::Create { organization, .. } => {
                let payer = self.payer(caller, organization);
                if was_done {
                    let all = self.fake.truth();
                    assert_eq!(all.len(), before + 1);
                    self.truth.created(&all.last().unwrap().id, payer);
                } else {
                    self.truth.lost(payer, now, 1, deadline);
                }
            }
            Ask::Message { session, .. } if was_done => self.truth.woken(&session),
            Ask::Message { session, .. } => {
                let all = self.fake.truth();
                let it = all.iter().find(|it| it.id == session).unwrap();
                let acus = u32::try_from(it.cap.unwrap()).unwrap();
                let payer = self.truth.payer(&session).clone();
                self.truth.unsettled(&session);
                self.truth.lost(payer, now, acus, deadline);
            }
            Ask::Terminate { .. } => unreachable!("it is not asked for"),
        }
    }

    /// What happens without a call of the API: all of it is over when the reconciler goes round again.
    fn elsewhere(&mut self, count: usize) {
        let short = |parent: Option<String>, org: Option<String>| Elsewhere {
            parent,
            org,
            acus_per_minute: Some(0.311),
            work_minutes: Some(8.0),
            ..Elsewhere::default()
        };
        let living = self.truth.living(&self.fake);
        let mut chosen = std::collections::HashSet::new();
        for _ in 0..count {
            let Some(it) = self.dice.one(&living).cloned() else {
                return;
            };
            if !chosen.insert(it.id.clone()) {
                continue;
            }
            match self.dice.roll(4) {
                // Only what sleeps, is settled, and works no longer than until then.
                0 => {
                    let works_briefly = it.created as i64 % 2 == 0;
                    let sleeps = it.status == "suspended" && !self.truth.is_open(&it.id);
                    if works_briefly && sleeps && !self.truth.has_lost() {
                        assert!(self.fake.wake_elsewhere(&it.id, "from the web"));
                    }
                }
                1 => {
                    let child = self.fake.begin_elsewhere(short(Some(it.id), None)).unwrap();
                    // And a child's child.
                    if self.dice.roll(2) == 0 {
                        self.fake.begin_elsewhere(short(Some(child), None)).unwrap();
                    }
                }
                // Nobody's.
                2 => {
                    self.fake
                        .begin_elsewhere(short(None, Some(it.org)))
                        .unwrap();
                }
                _ => {
                    if self.dice.roll(3) == 0 {
                        let ends = Some(Ending::Error);
                        self.fake.change(
                            &it.id,
                            Change {
                                ends,
                                ..Change::default()
                            },
                        );
                    }
                }
            }
        }
    }

    /// Time goes by, on all clocks. What is created at an even second works briefly, at an odd one long.
    fn wait(&mut self) {
        let minutes = 25 + self.dice.roll(350) as i64;
        let second = self.clock.now().as_second() + minutes * 60;
        let works_briefly = self.dice.roll(2) == 0;
        let odd = i64::from(!works_briefly);
        let by = minutes * 60 + (odd - second.rem_euclid(2));
        self.clock.advance(SignedDuration::from_secs(by));
        self.fake.advance(Duration::from_secs(by as u64));
        let (acus, minutes) = if works_briefly {
            (0.237, 8.0)
        } else {
            (0.019, 240.0)
        };
        self.fake.tune(&Tuning {
            acus_per_minute: Some(acus),
            work_minutes: Some(minutes),
            ..Tuning::default()
        });
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
        let creates = (sessions / 200).max(1);
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

fn bare(id: &str) -> &str {
    id.strip_prefix("devin-").unwrap_or(id)
}

async fn month(seed: u64, sessions: usize) {
    let mut month = Month::begin(seed, (sessions / 200).max(1)).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l10_a_month_of_spending_is_what_devin_says_it_is() {
    month(1, 600).await;
}

/// The whole of it: `cargo nextest run --run-ignored only -E 'test(l10_a_long_month)'`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes"]
async fn l10_a_long_month_of_spending_is_what_devin_says_it_is() {
    month(2, 20_000).await;
}
