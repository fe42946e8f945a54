//! Opening the ledger: the lock, the file, and what the last process left.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{broadcast, watch};

use super::StoreError;
use super::answers::left_behind;
use super::cache::Cache;
use super::handle::{Inner, Ledger};
use super::moment::Ticks;
use super::reads::Readers;
use super::store::{self, Lock, Store, Verdict, verify};
use super::tag::TagKey;
use super::writer::{Place, Writer};
use crate::alerts::{Bell, Kind};
use crate::clock::{Clock as _, SystemClock};

/// How long a second process usually waits for the first to let the ledger go.
pub const HAND_OVER: Duration = Duration::from_secs(10);
/// How many lines of the history are followed at each start.
const TAIL: i64 = 10_000;

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
    #[error(
        "another process has the ledger {0}: stop it first, or give this one a `store:` of its own"
    )]
    Locked(PathBuf),
    /// It cannot be used.
    #[error("the ledger {path} cannot be opened: {source}")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The system gave no thread.
    #[error("the ledger has no thread of its own: {0}")]
    Thread(std::io::Error),
}

impl Ledger {
    /// Opens the ledger, waiting a little for a process that is about to let it go. What was on its way when the last
    /// one ended is unknown from now on.
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
        let path = options.path;
        let failed = |source| OpenError::Store {
            path: path.clone(),
            source,
        };
        let lock = lock(&path, options.hand_over).await?;
        let file = path.clone();
        let opening = move || {
            let store = Store::open(&file)?;
            let believed = store::meta(&store.connection, "believed")?;
            let believed = believed.and_then(|it| it.parse().ok()).unwrap_or(0);
            let after = store.chain.lines().saturating_sub(TAIL).max(believed);
            let verdict = verify(&store.connection, Some(after))?;
            let stopped = store::meta(&store.connection, "stopped")?;
            let last = store.last_tick()?;
            Ok((store, verdict, stopped, last))
        };
        let opened = match place {
            Place::Threads => tokio::task::spawn_blocking(opening)
                .await
                .map_err(|error| failed(StoreError(error.to_string().into())))?,
            Place::Runtime => opening(),
        };
        let (store, verdict, stopped, last) = opened.map_err(failed)?;
        let damage = verdict.differences.first().map(|it| {
            format!(
                "the ledger is damaged ({it}): restore it, or `tollgate budget adjust --resume`"
            )
        });
        let bell = Bell::default();
        if let Some(damage) = &damage {
            let text = format!("nothing is spent: {damage}");
            let now = SystemClock.now();
            bell.tell(Kind::Damage, now, &text);
        }
        let started = Writer::start(store, lock, bell.clone(), place);
        let (writer, writing) = started.map_err(OpenError::Thread)?;
        let ledger = Self(Arc::new(Inner {
            writer,
            readers: Readers::of(path.clone(), place),
            cache: Cache::default(),
            ticks: Ticks::after(last),
            aliases: ArcSwap::default(),
            tag_key: options.tag_key,
            bell,
            quiet: options.quiet,
            stopped: ArcSwapOption::from_pointee(damage.or(stopped)),
            admits: watch::Sender::new(false),
            resolutions: Mutex::default(),
            resolved: broadcast::channel(64).0,
            path: path.clone(),
            writing,
            left_behind: OnceLock::new(),
            _folder: folder,
        }));
        let begun = ledger.0.writer.write(|work| {
            let unknown = work.begin()?;
            Ok((unknown, left_behind(&work.store.connection)?))
        });
        let (unknown, left) = begun.await.map_err(failed)?;
        let _ = ledger.0.left_behind.set(left);
        if unknown > 0 {
            tracing::warn!(
                unknown,
                "spends were on their way when the last process ended: they keep their holds until they are found"
            );
        }
        Ok(ledger)
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

async fn lock(path: &Path, within: Duration) -> Result<Lock, OpenError> {
    let begun = tokio::time::Instant::now();
    loop {
        let taken = Lock::try_take(path).map_err(|source| OpenError::Store {
            path: path.to_owned(),
            source,
        })?;
        match taken {
            Some(lock) => return Ok(lock),
            None if begun.elapsed() >= within => {
                return Err(OpenError::Locked(path.to_owned()));
            }
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
