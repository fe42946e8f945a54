//! Opening the ledger: the lock, the file, and what the last process left.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use tokio::sync::{SetOnce, broadcast};

use super::StoreError;
use super::cache::Cache;
use super::commands::{self, Sought};
use super::handle::{Inner, Ledger};
use super::moment::Ticks;
use super::reads::Readers;
use super::store::{self, Lock, Store, Verdict, verify};
use super::tag::TagKey;
use super::writer::{Place, Work, Writer};
use crate::alerts::{Bell, Kind};
use crate::clock::{Clock as _, SystemClock};

/// How long a second process usually waits for the first to let the ledger go.
pub const HAND_OVER: Duration = Duration::from_secs(10);
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
        let fingerprint = options.tag_key.fingerprint().map(str::to_owned);
        let opening = move || {
            let store = Store::open(&file)?;
            let believed = store::meta(&store.connection, "believed")?;
            let believed = believed.and_then(|it| it.parse().ok()).unwrap_or(0);
            let after = store.chain.lines().saturating_sub(TAIL).max(believed);
            let verdict = verify(&store.connection, Some(after))?;
            let stopped = store::meta(&store.connection, "stopped")?;
            let last = store.last_tick()?;
            let before = store::meta(&store.connection, OPEN_FOR)?;
            let before = before.and_then(|it| it.parse().ok()).unwrap_or(0);
            let before = Duration::from_millis(before);
            let strange = strange_tags(&store, fingerprint.as_deref())?;
            Ok((store, verdict, stopped, last, before, strange))
        };
        let opened = match place {
            Place::Threads => tokio::task::spawn_blocking(opening)
                .await
                .map_err(|error| failed(StoreError(error.to_string().into())))?,
            Place::Runtime => opening(),
        };
        let (store, verdict, stopped, last, before, strange) = opened.map_err(failed)?;
        if strange > 0 {
            let creates = strange;
            return Err(OpenError::TagKey { path, creates });
        }
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
            before,
            unswept: ArcSwap::default(),
            admits: SetOnce::new(),
            resolutions: Mutex::default(),
            resolved: broadcast::channel(64).0,
            path: path.clone(),
            writing,
            left_behind: OnceLock::new(),
            _folder: folder,
        }));
        let unknown = ledger
            .0
            .writer
            .write(move |work| work.begin(before))
            .await
            .map_err(failed)?;
        let left = ledger.now_unresolved().await.map_err(failed)?;
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
