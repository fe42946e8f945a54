//! The writer: one thread that has the store, and writes in groups.
//!
//! Whoever wants something written sends a piece of work and waits. What has gathered while the last group went to the
//! disk is the next group: one transaction, one sync. Each piece has a savepoint of its own, so one that fails takes
//! nothing of the others' with it; and nobody is told "done" before it is on the disk.
//!
//! In a simulation it is a task of the one thread that there is, since nothing else may go on while it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use serde_json::{Map, json};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::book::{Cause, Entry};
use super::store::{Line, Loaded, Lock, PayerIx, Posted, Store, posted, tally};
use crate::alerts::{Alert, Bell, Kind};

/// How many pieces of work may wait.
const QUEUE: usize = 8_192;
/// The largest group.
const GROUP: usize = 1_024;
/// How long a piece of work is waited for: a disk that takes longer is as good as none.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A piece of work, and what tells its sender how it went.
type Job = Box<dyn FnOnce(Result<&mut Work<'_>, StoreError>) -> Told + Send>;
/// Tells the sender, once it is known whether the group was committed. Whether the piece itself went well.
struct Told {
    went_well: bool,
    tell: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// The store inside a transaction.
pub(super) struct Work<'s> {
    pub(super) store: &'s mut Store,
    posted: Vec<Posted>,
    /// What is rung once it is on the disk.
    alarms: Vec<Alert>,
}

impl Work<'_> {
    /// Writes an entry: a line of the history, and the payer's sums.
    pub(super) fn entry(
        &mut self,
        at: Timestamp,
        payer: PayerIx,
        session: Option<&str>,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let line = Line {
            at,
            cause: entry.cause.as_str(),
            hold: entry.hold,
            session,
            payer: Some(payer.0),
            instant: Some(entry.instant),
            spent: entry.spent,
            held: entry.held,
            note: None,
        };
        self.store.chain.append(&self.store.connection, &line)?;
        let posted = posted(payer, entry);
        tally(&self.store.connection, &posted)?;
        self.posted.push(posted);
        self.alarm(at, payer, session, entry);
        Ok(())
    }

    /// ACUs were charged beyond what was seen to be within a hold, where they were.
    fn alarm(&mut self, at: Timestamp, payer: PayerIx, session: Option<&str>, entry: &Entry) {
        let spent = entry.spent;
        let (kind, said) = match entry.cause {
            Cause::Overrun => (
                Kind::Overrun,
                format!("a session used {spent} ACUs more than it was held for"),
            ),
            Cause::Written => (
                Kind::Written,
                format!("{spent} ACUs were charged, since nobody knows what became of their hold"),
            ),
            Cause::Hold
            | Cause::Release
            | Cause::Use
            | Cause::Unheld
            | Cause::Uncapped
            | Cause::Rest
            | Cause::Move => return,
        };
        let payer = self.store.payers.today(payer);
        let caller = payer.map_or_else(String::new, |it| it.caller.to_string());
        let text = format!("{caller}: {said}");
        let mut details = Map::new();
        details.insert("caller".to_owned(), caller.into());
        details.insert(
            "session".to_owned(),
            session.map(|it| format!("devin-{it}")).into(),
        );
        details.insert(
            "hold".to_owned(),
            entry.hold.map(|it| it.to_string()).into(),
        );
        details.insert("acus".to_owned(), json!(spent));
        self.alarms.push(Alert::new(kind, at, &text, details));
    }

    /// Writes what an event has changed about a session, and its entries.
    pub(super) fn session(
        &mut self,
        at: Timestamp,
        before: &Loaded,
        after: &Loaded,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        super::store::update(&self.store.connection, before, after)?;
        let bare = after.session.bare();
        for entry in entries {
            self.entry(at, after.payer, Some(bare), entry)?;
        }
        Ok(())
    }
}

/// Where the ledger's own work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On threads of its own: the disk keeps no request waiting that does not need it.
    Threads,
    /// In the runtime, whose clock stands still meanwhile: for simulations.
    Runtime,
}

/// What writes, to wait for.
#[derive(Debug)]
pub(super) enum Writing {
    Thread(std::thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl Writing {
    /// Waits until the file is let go.
    pub(super) async fn ended(self) {
        match self {
            Self::Thread(thread) => {
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
            Self::Task(task) => {
                let _ = task.await;
            }
        }
    }
}

/// The way to what writes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    state: Arc<State>,
}

/// What is known of the writer from outside.
#[derive(Debug, Default)]
struct State {
    /// How many groups were committed.
    groups: AtomicU64,
    /// How many lines the history has.
    lines: AtomicI64,
    /// Why the last group that had something to write could not be written, if so.
    failure: ArcSwapOption<StoreError>,
}

impl Writer {
    /// Starts the thread, or the task. It ends when the last `Writer` is dropped, after what was sent until then.
    ///
    /// # Errors
    /// The system has no thread.
    pub(super) fn start(
        mut store: Store,
        lock: Lock,
        bell: Bell,
        place: Place,
    ) -> std::io::Result<(Self, Writing)> {
        let (jobs, mut waiting) = mpsc::channel(QUEUE);
        let state = Arc::new(State::default());
        state.lines.store(store.chain.lines(), Ordering::Relaxed);
        let told = Arc::clone(&state);
        let mut group = Vec::with_capacity(GROUP);
        let mut next = move |group: &mut Vec<Job>| {
            write(&mut store, group, &told, &bell);
            told.groups.fetch_add(1, Ordering::Relaxed);
        };
        // Nobody else may open the file before the connection is closed: the lock goes last.
        let writing = match place {
            Place::Threads => {
                let thread = std::thread::Builder::new().name("ledger".to_owned());
                Writing::Thread(thread.spawn(move || {
                    while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
                        next(&mut group);
                    }
                    drop(next);
                    drop(lock);
                })?)
            }
            Place::Runtime => Writing::Task(tokio::spawn(async move {
                while waiting.recv_many(&mut group, GROUP).await > 0 {
                    next(&mut group);
                }
                drop(next);
                drop(lock);
            })),
        };
        Ok((Self { jobs, state }, writing))
    }

    /// How many groups were committed.
    pub(super) fn groups(&self) -> u64 {
        self.state.groups.load(Ordering::Relaxed)
    }

    /// How many lines the history has.
    pub(super) fn lines(&self) -> i64 {
        self.state.lines.load(Ordering::Relaxed)
    }

    /// Why nothing can be written, if so: the last attempt to write something failed.
    pub(super) fn failure(&self) -> Option<Arc<StoreError>> {
        self.state.failure.load_full()
    }

    /// Does a piece of work in a transaction, and waits until it is on the disk.
    ///
    /// Who stops waiting must not rely on it: a piece that nobody waits for is not begun, but it can have been.
    ///
    /// # Errors
    /// The work's own, or the store did not take it (in time).
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let outcome = self.try_write(work).await;
        outcome.unwrap_or_else(|| Err(StoreError::late()))
    }

    /// The same. `None` if it is not known in time how it went: only then it may be done, or be done yet, although nobody
    /// says so.
    pub(super) async fn try_write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<Result<T, StoreError>> {
        let (done, wait) = oneshot::channel();
        let job: Job = Box::new(move |begun| {
            let outcome = match begun {
                Ok(_) if done.is_closed() => {
                    return Told {
                        went_well: true,
                        tell: Box::new(|_| {}),
                    };
                }
                Ok(begun) => work(begun),
                Err(error) => Err(error),
            };
            Told {
                went_well: outcome.is_ok(),
                tell: Box::new(move |committed| {
                    let _ = done.send(committed.and(outcome));
                }),
            }
        });
        let sent_and_done = async {
            let gone = || StoreError("its writer has stopped".into());
            self.jobs.send(job).await.map_err(|_| gone())?;
            wait.await.map_err(|_| gone())?
        };
        match tokio::time::timeout(PATIENCE, sent_and_done).await {
            Ok(outcome) => Some(outcome),
            Err(_) => {
                let late = Arc::new(StoreError::late());
                self.state.failure.store(Some(late));
                None
            }
        }
    }
}

/// Writes a group.
fn write(store: &mut Store, group: &mut Vec<Job>, state: &State, bell: &Bell) {
    let mut told = Vec::with_capacity(group.len());
    let mut alarms = Vec::new();
    let changes = store.connection.total_changes();
    if !store.connection.is_autocommit() {
        // An earlier one could not even be taken back.
        let _ = store.connection.execute_batch("ROLLBACK");
    }
    let begun = run(store, "BEGIN IMMEDIATE");
    if let Err(error) = begun {
        let error = StoreError::from(error);
        state.failure.store(Some(Arc::new(error.clone())));
        for job in group.drain(..) {
            told.push(job(Err(error.clone())));
        }
        return tell(told, &Err(error));
    }
    for job in group.drain(..) {
        // Some errors (a full disk) make SQLite give up the whole transaction: nothing of the group holds then, and
        // what came behind would be committed piece by piece, to a history whose end is not the file's.
        if store.connection.is_autocommit() {
            told.push(job(Err(taken_back())));
        } else {
            told.push(one(store, job, &mut alarms));
        }
    }
    let committed = if store.connection.is_autocommit() {
        Err(taken_back())
    } else {
        run(store, "COMMIT").map_err(StoreError::from)
    };
    if let Err(error) = &committed {
        // Nothing of the group holds, and what is kept in memory may say that it did.
        tracing::error!(%error, "the ledger could not be written");
        state.failure.store(Some(Arc::new(error.clone())));
        if !store.connection.is_autocommit() {
            let _ = store.connection.execute_batch("ROLLBACK");
        }
        if let Err(error) = store.recall() {
            tracing::error!(%error, "the ledger could not be read either");
        }
    } else {
        // A group that only looked says nothing about the disk.
        if store.connection.total_changes() != changes {
            state.failure.store(None);
        }
        state.lines.store(store.chain.lines(), Ordering::Relaxed);
        alarms.into_iter().for_each(|it| bell.ring(it));
    }
    tell(told, &committed);
}

fn taken_back() -> StoreError {
    StoreError("the disk did not take it".into())
}

fn tell(told: Vec<Told>, committed: &Result<(), StoreError>) {
    for it in told {
        (it.tell)(committed.clone());
    }
}

/// A statement without values or rows, prepared once.
fn run(store: &Store, sql: &str) -> rusqlite::Result<()> {
    store
        .connection
        .prepare_cached(sql)?
        .execute([])
        .map(|_| ())
}

/// One piece of work, in a savepoint.
fn one(store: &mut Store, job: Job, alarms: &mut Vec<Alert>) -> Told {
    let kept = store.chain.clone();
    if let Err(error) = run(store, "SAVEPOINT piece") {
        return job(Err(error.into()));
    }
    let mut work = Work {
        store,
        posted: Vec::new(),
        alarms: Vec::new(),
    };
    let told = job(Ok(&mut work));
    let (posted, rung) = (work.posted, work.alarms);
    let noted = told.went_well && store.balances.note(&store.payers, &posted).is_ok();
    if noted && run(store, "RELEASE piece").is_ok() {
        alarms.extend(rung);
        return told;
    }
    let _ = store
        .connection
        .execute_batch("ROLLBACK TO piece; RELEASE piece");
    store.chain = kept;
    store.balances.clear();
    let _ = store.payers.reload(&store.connection);
    if told.went_well {
        // It went well, and could not be kept.
        let tell = told.tell;
        return Told {
            went_well: false,
            tell: Box::new(move |_| tell(Err(StoreError("it could not be added up".into())))),
        };
    }
    told
}
