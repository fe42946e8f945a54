//! Opening the ledger: the lock, the file, and what the last process left.
//!
//! A gateway that finds the ledger in use starts without it ([`Ledger::open_or_wait`]): it reads the file beside the
//! process that has it, and takes over when that one lets go. Nothing of the file is kept in memory before that, but
//! whose a session is, which never changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use tokio::sync::broadcast;

use super::StoreError;
use super::cache::Cache;
use super::commands::{self, Sought};
use super::handle::{Inner, Ledger};
use super::moment::{Tick, Ticks};
use super::reads::Readers;
use super::store::{self, Attempt, Holder, Lock, Store, Verdict, verify};
use super::tag::TagKey;
use super::turn::Turn;
use super::writer::{Place, Work, Writer};
use crate::alerts::{Bell, Kind};
use crate::clock::{Clock, SystemClock};

/// How long a second process usually waits for the first to let the ledger go: longer than it takes to see that the
/// second one is ready, to tell the first one to stop, and then for all that it has in flight.
pub const HAND_OVER: Duration = Duration::from_secs(15 * 60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);
/// How many lines of the history are followed at each start.
const TAIL: i64 = 10_000;

/// What says how long the ledger has been open, in milliseconds.
pub(super) const OPEN_FOR: &str = "open-for";
/// What the key of tags is known by.
const TAG_KEY: &str = "tag-key";
/// That another key was refused.
const REFUSED_KEY: &str = "refused-tag-key";

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file.
    pub path: PathBuf,
    /// What tags are signed with.
    pub tag_key: TagKey,
    /// How far apart two readings of a session at rest have to be (L6).
    pub quiet: Duration,
    /// How long is waited for another process to let it go; usually [`HAND_OVER`].
    pub hand_over: Duration,
}

/// Why a ledger is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0}: stop it first, or give this one a `store:` of its own")]
    Locked(Holder),
    /// It cannot be used.
    #[error("the ledger {path} cannot be opened: {source}")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// Tags are to be signed with another key, and some are still looked for that the last one has signed.
    #[error(
        "the ledger {path} has {creates} creates without a known outcome, whose tags another `tag_key` has signed: start with that key until they are settled; if it is lost, `tollgate budget adjust --resume` charges them in full"
    )]
    TagKey {
        /// The file.
        path: PathBuf,
        /// How many.
        creates: u64,
    },
    /// The system gave no thread.
    #[error("the ledger has no thread of its own: {0}")]
    Thread(std::io::Error),
}

/// A ledger that another process has, on its way to this one.
#[derive(Debug)]
#[must_use = "nobody has the ledger until it is waited for"]
pub struct HandOver {
    ledger: Ledger,
    within: Duration,
}

impl HandOver {
    /// Waits until the other process lets the ledger go, and takes it.
    ///
    /// # Errors
    /// See [`OpenError`]; that it was not let go is one.
    pub async fn wait(self, clock: &dyn Clock) -> Result<(), OpenError> {
        let lock = lock(self.ledger.path(), self.within).await?;
        self.ledger.take(lock, clock.up()).await?;
        // A reload may have come in the middle of it.
        let told = self.ledger.tell_names().await;
        told.map_err(|source| OpenError::Store {
            path: self.ledger.path().to_owned(),
            source,
        })
    }
}

/// What is read of the file at first.
struct Opened {
    store: Store,
    lock: Lock,
    damage: Option<String>,
    stopped: Option<String>,
    last: Tick,
    /// How long it has been open so far.
    before: Duration,
    /// How many tags another key has signed.
    strange: u64,
}

impl Opened {
    fn read(path: &Path, lock: Lock, fingerprint: Option<&str>) -> Result<Self, StoreError> {
        let store = Store::open(path)?;
        let believed = store::meta(&store.connection, "believed")?;
        let believed = believed.and_then(|it| it.parse().ok()).unwrap_or(0);
        let after = store.chain.lines().saturating_sub(TAIL).max(believed);
        let verdict = verify(&store.connection, Some(after))?;
        let damage = verdict.differences.first().map(|it| {
            format!(
                "the ledger is damaged ({it}): restore it, or `tollgate budget adjust --resume`"
            )
        });
        let stopped = store::meta(&store.connection, "stopped")?;
        let last = store.last_tick()?;
        let before = store::meta(&store.connection, OPEN_FOR)?;
        let before = before.and_then(|it| it.parse().ok()).unwrap_or(0);
        let before = Duration::from_millis(before);
        let strange = strange_tags(&store, fingerprint)?;
        Ok(Self {
            store,
            lock,
            damage,
            stopped,
            last,
            before,
            strange,
        })
    }
}

/// How long the ledger has been open: what those before this process have counted, and since when this one has it.
#[derive(Debug)]
pub(super) struct OpenFor {
    before: Duration,
    /// In the time that this process has been up.
    since: Duration,
}

impl OpenFor {
    pub(super) fn at(&self, up: Duration) -> Duration {
        self.before.saturating_add(up.saturating_sub(self.since))
    }
}

impl Ledger {
    /// Opens the ledger, waiting for a process that is about to let it go. What was on its way when the last one ended
    /// is unknown from now on.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        Self::open_in(options, None, Place::Threads).await
    }

    /// The same ledger without a thread: all of its work is done in the runtime that opens it, where nothing else goes
    /// on meanwhile. For simulations, which have to go the same way each time; a gateway would wait for its disk.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub async fn open_in_one_thread(options: Options) -> Result<Self, OpenError> {
        Self::open_in(options, None, Place::Runtime).await
    }

    /// Opens the ledger if no process has it. Else it is as one whose store does not answer, except for what is read of
    /// the file, until the hand-over has been waited for.
    ///
    /// # Errors
    /// See [`OpenError`]. That another process has it is none here.
    pub async fn open_or_wait(options: Options) -> Result<(Self, Option<HandOver>), OpenError> {
        let within = options.hand_over;
        match try_lock(&options.path)? {
            Attempt::Taken(lock) => {
                let ledger = Self::waiting(options, None, Place::Threads, opening());
                ledger.take(lock, Duration::ZERO).await?;
                Ok((ledger, None))
            }
            Attempt::Held(holder) => {
                tracing::warn!(
                    "{holder}: until it lets go, what spends waits for the ledger, and the rest is served"
                );
                let waits = StoreError(format!("{holder}, and this one waits for it").into());
                let ledger = Self::waiting(options, None, Place::Threads, waits);
                let hand_over = HandOver {
                    ledger: ledger.clone(),
                    within,
                };
                Ok((ledger, Some(hand_over)))
            }
        }
    }

    /// A ledger that lasts as long as its process: for demos and tests.
    ///
    /// # Errors
    /// As [`Ledger::open`]; or there is no folder for it.
    pub async fn temporary(quiet: Duration) -> Result<Self, OpenError> {
        // A container's root can be read-only; its shared memory is not.
        let folder = tempfile::tempdir().or_else(|_| tempfile::tempdir_in("/dev/shm"));
        let folder = folder.map_err(|error| OpenError::Store {
            path: std::env::temp_dir(),
            source: StoreError(error.to_string().into()),
        })?;
        let path = folder.path().join("tollgate.db");
        let tag_key = TagKey::random().ok_or_else(|| OpenError::Store {
            path: path.clone(),
            source: StoreError("the system gives no random bytes".into()),
        })?;
        let options = Options {
            path,
            tag_key,
            quiet,
            hand_over: HAND_OVER,
        };
        let ledger = Self::open_in(options, Some(folder), Place::Threads).await?;
        // It is new: there is nothing that it could have forgotten.
        ledger.admit();
        Ok(ledger)
    }

    async fn open_in(
        options: Options,
        folder: Option<tempfile::TempDir>,
        place: Place,
    ) -> Result<Self, OpenError> {
        let lock = lock(&options.path, options.hand_over).await?;
        let ledger = Self::waiting(options, folder, place, opening());
        ledger.take(lock, Duration::ZERO).await?;
        Ok(ledger)
    }

    /// A ledger that another process has, or that is not open yet.
    fn waiting(
        options: Options,
        folder: Option<tempfile::TempDir>,
        place: Place,
        waits: StoreError,
    ) -> Self {
        let Options {
            path,
            tag_key,
            quiet,
            hand_over: _,
        } = options;
        Self(Arc::new(Inner {
            writer: Turn::waiting(waits),
            readers: Readers::of(path.clone(), place),
            cache: Cache::default(),
            ticks: Ticks::after(Tick(0)),
            aliases: ArcSwap::default(),
            tag_key,
            bell: Bell::default(),
            quiet,
            stopped: ArcSwapOption::empty(),
            open: OnceLock::new(),
            unswept: ArcSwap::default(),
            resolutions: Mutex::default(),
            resolved: broadcast::channel(64).0,
            path,
            left_behind: OnceLock::new(),
            _folder: folder,
        }))
    }

    /// Opens the file, which is this process's now, `up` after it began.
    async fn take(&self, lock: Lock, up: Duration) -> Result<(), OpenError> {
        let (path, place) = (self.0.path.clone(), self.0.readers.place);
        let failed = |source| OpenError::Store {
            path: path.clone(),
            source,
        };
        let opening = path.clone();
        let fingerprint = self.0.tag_key.fingerprint().map(str::to_owned);
        // The lock goes along: whoever stops waiting for this does not let it go in the middle.
        let read = move || Opened::read(&opening, lock, fingerprint.as_deref());
        let opened = match place {
            Place::Threads => tokio::task::spawn_blocking(read)
                .await
                .map_err(|error| failed(StoreError(error.to_string().into())))?,
            Place::Runtime => read(),
        };
        let Opened {
            store,
            lock,
            damage,
            stopped,
            last,
            before,
            strange: creates,
        } = opened.map_err(failed)?;
        if creates > 0 {
            return Err(OpenError::TagKey { path, creates });
        }
        if let Some(damage) = &damage {
            let text = format!("nothing is spent: {damage}");
            let now = SystemClock.now();
            self.0.bell.tell(Kind::Damage, now, &text);
        }
        self.0.stopped.store(damage.or(stopped).map(Arc::new));
        // What was read until here counts as begun before all that the last process has seen.
        self.0.ticks.go_behind(last);
        let started = Writer::start(store, lock, self.0.bell.clone(), place);
        let (writer, writing) = started.map_err(OpenError::Thread)?;
        let aliases = self.0.aliases.load_full();
        let begin = move |work: &mut Work<'_>| {
            work.rename(aliases)?;
            work.begin(before)
        };
        let unknown = writer.write(begin).await.map_err(failed)?;
        let left = self.now_unresolved().await.map_err(failed)?;
        let _ = self.0.left_behind.set(left);
        if unknown > 0 {
            tracing::warn!(
                unknown,
                "spends were on their way when the last process ended: they keep their holds until they are found"
            );
        }
        // Only one lock can be had, so this is the first that is put here.
        let _ = self.0.open.set(OpenFor { before, since: up });
        self.0.writer.take(writer, writing);
        Ok(())
    }
}

fn opening() -> StoreError {
    StoreError("it is being opened".into())
}

/// How many creates have tags that another key than this has signed; if none, it is this one's ledger from now on. What
/// passes without a fingerprint signs nothing.
fn strange_tags(store: &Store, fingerprint: Option<&str>) -> Result<u64, StoreError> {
    let Some(fingerprint) = fingerprint else {
        return Ok(0);
    };
    let connection = &store.connection;
    let known = store::meta(connection, TAG_KEY)?;
    if known.is_some_and(|known| known != fingerprint) {
        let sql =
            "SELECT count(*) FROM wakes WHERE state IN ('out', 'unknown') AND kind = 'create'";
        let creates: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        if creates > 0 {
            store::set_meta(connection, REFUSED_KEY, Some("1"))?;
            return Ok(creates.unsigned_abs());
        }
    }
    store::set_meta(connection, TAG_KEY, Some(fingerprint))?;
    store::set_meta(connection, REFUSED_KEY, None)?;
    Ok(0)
}

impl Work<'_> {
    /// Where another key was refused, the one before it is lost: what was looked for by its tags is charged in full.
    pub(super) fn forget_key(&mut self, at: Timestamp) -> Result<(), StoreError> {
        if store::meta(&self.store.connection, REFUSED_KEY)?.is_none() {
            return Ok(());
        }
        store::set_meta(&self.store.connection, REFUSED_KEY, None)?;
        store::set_meta(&self.store.connection, TAG_KEY, None)?;
        let mut after = None;
        loop {
            let found = commands::unsure(&self.store.connection, Sought::Creates, after)?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = Some(last.hold);
            for it in &found {
                self.written_off(at, it.hold)?;
            }
        }
    }
}

/// Checks the whole ledger while no process has it, without changing anything of it.
///
/// # Errors
/// See [`OpenError`].
pub async fn check(path: &Path) -> Result<Verdict, OpenError> {
    let lock = lock(path, Duration::ZERO).await?;
    let reading = path.to_owned();
    let checked = tokio::task::spawn_blocking(move || {
        let verdict = verify(&store::reader(&reading)?, None);
        drop(lock);
        verdict
    });
    let checked = checked
        .await
        .unwrap_or_else(|error| Err(StoreError(error.to_string().into())));
    checked.map_err(|source| OpenError::Store {
        path: path.to_owned(),
        source,
    })
}

fn try_lock(path: &Path) -> Result<Attempt, OpenError> {
    Lock::try_take(path).map_err(|source| OpenError::Store {
        path: path.to_owned(),
        source,
    })
}

async fn lock(path: &Path, within: Duration) -> Result<Lock, OpenError> {
    let begun = tokio::time::Instant::now();
    loop {
        match try_lock(path)? {
            Attempt::Taken(lock) => return Ok(lock),
            Attempt::Held(holder) if begun.elapsed() >= within => {
                return Err(OpenError::Locked(holder));
            }
            Attempt::Held(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
