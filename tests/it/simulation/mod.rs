//! A simulation of the whole stack: callers, the network, the gateway with its reconciler and its ledger on a file, and
//! Devin, in one thread, on clocks that move only when nothing else can. One number, the seed, decides all that happens:
//! who asks for what and hangs up when, what breaks, when the process dies and begins anew, how the wall clock is set,
//! how the policy is edited. What a seed finds, it finds again: `TOLLGATE_SEED=7 cargo nextest run simulation`.
//!
//! The world (callers, network, Devin) and the gateway have a runtime each, and take turns of a millisecond. So a crash
//! is what it is in life: everything of the gateway's is dropped, between any two steps of its tasks, and all that was
//! sent is still on its way.

mod account;
mod callers;
pub(crate) mod dice;
mod greedy;
mod network;
mod process;
mod trace;
mod weather;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;
use tollgate::api_key::ApiKey;
use tollgate::clock::Clock;
use tollgate::fake_devin::{self, Change, Ending, FakeDevin};
use tollgate::ledger::tag::TagKey;
use tollgate::ledger::{Ledger, Options};
use tollgate::pipeline::access_log::{MemoryLog, Output, Sink};

use account::{Account, Crash, SPEED};
use callers::Caller;
use dice::Dice;
use network::Network;
use process::{FAKE, Process, Site, TOKEN};
use trace::{BEGIN, Time, Trace};

/// How long the world is unruly, at most: callers have done what they wanted by then.
const UNRULY: i64 = 60_000;
/// How long it then takes to come to rest, at most.
const REST: i64 = 60_000;
/// How many milliseconds an hour has.
const HOUR: i64 = 3_600_000;

/// What a seed came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// All that was sent to Devin and answered to callers, with its time, and the end of the ledger's chain.
    hash: (u64, Vec<u8>),
    sessions: usize,
    crashes: usize,
    statuses: BTreeMap<u16, usize>,
    /// The same in words, if they were to be kept.
    text: String,
}

/// Lets a millisecond of a runtime go by.
async fn one_tick() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Something that happens from outside.
enum Event {
    Crash { turns: u64, down: u64 },
    Step(i64),
    Edit,
}

struct Simulation {
    dice: Dice,
    world: Runtime,
    fake: FakeDevin,
    site: Site,
    process: Option<Process>,
    trace: Trace,
    callers: Vec<JoinHandle<()>>,
    statuses: Arc<Mutex<Vec<u16>>>,
    weather: JoinHandle<()>,
    crashes: Vec<Crash>,
    _folder: tempfile::TempDir,
}

impl Simulation {
    fn new(seed: u64, has_words: bool) -> Self {
        let dice = Dice::new(seed);
        let world = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let _inside = world.enter();
        let time = Time::default();
        let trace = Trace::new(time.clone(), has_words);
        let begin: Timestamp = BEGIN.parse().unwrap();
        let fake = FakeDevin::new(fake_devin::Options {
            token: TOKEN.to_owned(),
            // A minute of work a second.
            speed: SPEED,
            start: Some(begin.as_second()),
            organizations: vec![("org-ds".to_owned(), "Data Science".to_owned())],
            audit_entries: 0,
            keep_requests: 1,
            seed: Some(dice.roll(u64::MAX)),
            ..fake_devin::Options::default()
        });
        let (listener, mut connections) = unbounded_channel();
        let network = Network::new(dice.fork(), world.handle().clone(), trace.clone(), listener);
        let serving = fake.clone();
        world.spawn(async move {
            while let Some(stream) = connections.recv().await {
                let fake = serving.clone();
                let base = format!("http://{FAKE}");
                tokio::spawn(async move { fake.attend(stream, &base).await });
            }
        });
        // Memory, where there is some: what is synced there is as safe, and nobody pulls a plug.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.unwrap();
        let limits = (0..3).map(|_| [8 + dice.roll(50), 6 + dice.roll(20)]);
        let site = Site {
            ledger: folder.path().join("tollgate.db"),
            keys: (0..3)
                .map(|ix| ApiKey::generate(&format!("k{ix}")).unwrap())
                .collect(),
            limits: limits.collect(),
            edit: Arc::new(AtomicUsize::new(0)),
            network: network.clone(),
            time,
            log: Sink::open(Output::Memory(MemoryLog::default())).unwrap(),
        };
        let (sessions, statuses) = (Arc::default(), Arc::default());
        let asks = 4 + dice.roll(8);
        let callers = 1 + dice.roll(3) as usize;
        let callers = (0..callers).map(|ix| {
            let caller = Caller {
                name: format!("c{ix}"),
                key: site.keys[ix].expose().to_owned(),
                dice: dice.fork(),
                network: network.clone(),
                trace: trace.clone(),
                sessions: Arc::clone(&sessions),
                statuses: Arc::clone(&statuses),
            };
            world.spawn(caller.live(asks))
        });
        let callers = callers.collect();
        let weather = world.spawn(weather::weather(fake.clone(), dice.fork()));
        let process = Some(Process::start(&site));
        drop(_inside);
        Self {
            dice,
            world,
            fake,
            site,
            process,
            trace,
            callers,
            statuses,
            weather,
            crashes: Vec::new(),
            _folder: folder,
        }
    }

    fn tick(&self) {
        self.world.block_on(one_tick());
        if let Some(process) = &self.process {
            process.tick();
        }
        self.site.time.tick();
    }

    fn crash(&mut self, turns: u64) {
        if let Some(process) = self.process.take() {
            self.trace.note("the gateway", b"crashes");
            process.crash(turns);
            self.crashes.push(Crash {
                at: self.site.time.now(),
                unknown: Account::open(&self.site.ledger).unknown(),
            });
        }
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Crash { turns, down } => {
                self.crash(*turns);
                for _ in 0..*down {
                    self.tick();
                }
                self.process = Some(Process::start(&self.site));
            }
            Event::Step(wrong) => self.site.time.step(*wrong),
            Event::Edit => {
                let edit = &self.site.edit;
                edit.store(
                    (edit.load(Ordering::SeqCst) + 1) % self.site.limits.len(),
                    Ordering::SeqCst,
                );
                if let Some(process) = &self.process {
                    process.reload(self.site.time.of_a_process().now());
                }
            }
        }
    }

    /// Something that happens at about every third second.
    fn event(&self) -> Event {
        match self.dice.roll(6) {
            0..3 => Event::Crash {
                turns: self.dice.roll(24),
                down: self.dice.roll(300),
            },
            3 | 4 => Event::Step([-HOUR, 0, HOUR][self.dice.roll(3) as usize]),
            _ => Event::Edit,
        }
    }

    /// Until all callers have asked for what they wanted.
    fn unruly(&mut self) {
        let mut next = self.dice.roll(3_000);
        for now in 0..UNRULY as u64 {
            if self.callers.iter().all(JoinHandle::is_finished) {
                for caller in std::mem::take(&mut self.callers) {
                    self.world.block_on(caller).unwrap();
                }
                return;
            }
            if now == next {
                next += 1 + self.dice.roll(3_000);
                let event = self.event();
                self.happens(&event);
            }
            self.tick();
        }
        panic!("callers still wait for answers");
    }

    /// Until the ledger has no wake in these states any more.
    fn until_none_is(&self, states: &str) {
        for now in 0..REST {
            if now % 100 == 0 && Account::open(&self.site.ledger).count(states) == 0 {
                return;
            }
            self.tick();
        }
        panic!("wakes are still {states}");
    }

    /// Nothing goes wrong any more: all becomes known, all sessions end, and the accounts are compared.
    fn rests(&mut self) {
        self.weather.abort();
        self.fake.clear_faults();
        self.site.network.calm();
        if self.dice.once_in(2) {
            // The next process finds what this one has left.
            self.crash(0);
            self.process = Some(Process::start(&self.site));
        }
        // What was refused until now has found no way to the ledger's file; the first wake makes it.
        for _ in 0..1_000 {
            self.tick();
        }
        self.until_none_is("'out', 'unknown'");
        for session in self.truth() {
            let ends = Change {
                ends: Some(Ending::Exit),
                ..Change::default()
            };
            let _inside = self.world.enter();
            assert!(self.fake.change(&session.id, ends));
        }
        self.until_none_is("'out', 'unknown', 'open'");
    }

    fn truth(&self) -> Vec<fake_devin::SessionTruth> {
        let _inside = self.world.enter();
        self.fake.truth()
    }

    fn compare(mut self) -> Outcome {
        let truth = self.truth();
        let account = Account::open(&self.site.ledger);
        account.agrees(&truth);
        let begin: Timestamp = BEGIN.parse().unwrap();
        account::is_one_session_each(&truth, &self.crashes, begin.as_second() as f64);
        let most = |ix: usize| self.site.limits.iter().map(|it| it[ix]).max().unwrap();
        account.was_never_over(most(0), most(1));
        let chain = account.chain();
        drop(account);
        self.process.take().unwrap().crash(0);
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let ledger = Ledger::open_in_one_thread(Options {
                path: self.site.ledger.clone(),
                tag_key: TagKey::new(&[7; 32]).unwrap(),
                quiet: Duration::ZERO,
                hand_over: Duration::ZERO,
            });
            account::verify(&ledger.await.unwrap()).await;
        });
        let mut statuses = BTreeMap::new();
        for status in self.statuses.lock().unwrap().iter() {
            *statuses.entry(*status).or_default() += 1;
        }
        Outcome {
            hash: (self.trace.hash(), chain),
            sessions: truth.len(),
            crashes: self.crashes.len(),
            statuses,
            text: self.trace.text(),
        }
    }
}

/// What becomes of the words of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// They are not made.
    None,
    /// They are part of the outcome.
    Kept,
    /// They are also printed, whatever comes of it.
    Told,
}

fn simulate(seed: u64, words: Words) -> Outcome {
    let mut simulation = Simulation::new(seed, words != Words::None);
    let (trace, log) = (simulation.trace.clone(), simulation.site.log.clone());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        simulation.unruly();
        simulation.rests();
        simulation.compare()
    }));
    log.close();
    if words == Words::Told {
        eprintln!("{}", trace.text());
    }
    match outcome {
        Ok(outcome) => outcome,
        Err(panic) => {
            eprintln!("TOLLGATE_SEED={seed} finds it again");
            resume_unwind(panic)
        }
    }
}

/// The seeds to go through: one, with all that happens in it, or so many.
fn seeds(few: u64, many: u64) -> Vec<u64> {
    if let Some(seed) = std::env::var_os("TOLLGATE_SEED") {
        return vec![seed.to_str().unwrap().parse().unwrap()];
    }
    let is_deep = std::env::var_os("TOLLGATE_DEEP").is_some();
    (1..=if is_deep { many } else { few }).collect()
}

#[test]
fn l5_l6_g8_whatever_happens_the_ledger_says_in_the_end_what_devin_says() {
    let seeds = seeds(100, 3_000);
    let words = match seeds.len() {
        1 => Words::Told,
        _ => Words::None,
    };
    let halves: Vec<&[u64]> = seeds.chunks(seeds.len().div_ceil(2)).collect();
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = halves
            .into_iter()
            .map(|half| {
                scope.spawn(move || {
                    half.iter()
                        .map(|seed| simulate(*seed, words))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let joined = threads.into_iter().map(|it| match it.join() {
            Ok(outcomes) => outcomes,
            Err(panic) => resume_unwind(panic),
        });
        joined.flatten().collect()
    });
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for outcome in &outcomes {
        for (status, count) in &outcome.statuses {
            *statuses.entry(*status).or_default() += count;
        }
    }
    let sessions: usize = outcomes.iter().map(|it| it.sessions).sum();
    let crashes: usize = outcomes.iter().map(|it| it.crashes).sum();
    eprintln!(
        "{} seeds: {sessions} sessions, {crashes} crashes, answers {statuses:?}",
        outcomes.len()
    );
    if words == Words::None {
        // A simulation in which nothing happens finds nothing.
        assert!(sessions > outcomes.len(), "{sessions}");
        assert!(crashes > outcomes.len(), "{crashes}");
        for status in [200, 402, 502, 504] {
            assert!(statuses.contains_key(&status), "{statuses:?}");
        }
    }
}

/// Once on this thread, and once on another one in the other order: what a seed does depends neither on what ran before
/// it nor on what runs beside it.
#[test]
fn a_seed_goes_the_same_way_each_time() {
    let seeds = seeds(5, 100);
    let (once, mut again) = std::thread::scope(|scope| {
        let again = scope.spawn(|| {
            let backwards = seeds.iter().rev();
            let again = backwards.map(|seed| simulate(*seed, Words::Kept));
            again.collect::<Vec<_>>()
        });
        let once = seeds.iter().map(|seed| simulate(*seed, Words::Kept));
        (once.collect::<Vec<_>>(), again.join().unwrap())
    });
    again.reverse();
    for (seed, (once, again)) in seeds.iter().zip(once.iter().zip(&again)) {
        for (one, other) in once.text.lines().zip(again.text.lines()) {
            assert_eq!(one, other, "seed {seed}");
        }
        assert_eq!(once, again, "seed {seed}");
    }
}
