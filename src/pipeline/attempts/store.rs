//! What of attempts outlives the process: an edge, with an implementation in memory.
//!
//! A named intent is noted before it leaves (with the hold that tells what
//! became of it, I8) and again with its answer. An unnamed one is noted by the
//! ledger itself, with its hold.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::fingerprint::Fingerprint;
use super::key::Key;
use super::outcome::Kept;
use crate::ledger::{HoldId, Resolution, StoreError};

/// How long a key keeps its answer, at least (I4).
pub const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// How many keys a caller can have at once (I7).
pub const MAX_KEYS: usize = 20_000;

/// What the store answers, later.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A key's intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it was given to.
    pub fingerprint: Fingerprint,
    /// How far it came.
    pub progress: Progress,
}

/// How far a named intent came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was begun with this hold.
    Begun(HoldId),
    /// It was answered.
    Answered(Kept),
    /// It was answered, and the answer is not kept.
    Withheld {
        /// The session that the answer was about.
        session: Option<String>,
    },
}

/// An attempt of an earlier process without a key, whose outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Whose it is.
    pub caller: Arc<str>,
    /// What it was about.
    pub fingerprint: Fingerprint,
    /// Its hold.
    pub hold: HoldId,
}

/// What is asked of a store.
pub trait Records: fmt::Debug + Send + Sync {
    /// What a key was given to, unless it has expired.
    fn find<'a>(
        &'a self,
        caller: &'a str,
        key: &'a Key,
        now: Timestamp,
    ) -> Stored<'a, Option<Record>>;

    /// Notes, durably, that a key's intent is about to leave. `false` if the caller has too many keys.
    fn begin<'a>(
        &'a self,
        caller: &'a str,
        key: &'a Key,
        fingerprint: Fingerprint,
        hold: HoldId,
        now: Timestamp,
    ) -> Stored<'a, bool>;

    /// Notes its end.
    fn finish<'a>(&'a self, caller: &'a str, key: &'a Key, end: Progress) -> Stored<'a, ()>;

    /// Frees a key whose intent was definitely not carried out.
    fn forget<'a>(&'a self, caller: &'a str, key: &'a Key) -> Stored<'a, ()>;

    /// Waits a little until no other process carries attempts out: before that, nothing that is read here is final.
    fn alone(&self) -> Stored<'_, ()>;

    /// The attempts without a key that an earlier process began, and whose outcome nobody knows. Asked once, at first.
    fn unresolved(&self) -> Stored<'_, Vec<Unresolved>>;

    /// Waits until it is known what became of a hold (L5). Of one that was never taken: that it is absent.
    fn resolved(&self, hold: HoldId) -> Stored<'_, Resolution>;
}

/// In memory, for one process. What it is told of holds is all that it knows of them.
#[derive(Clone, Debug)]
pub struct MemoryRecords(Arc<Inner>);

/// By caller and key, since when.
type Keys = HashMap<(Box<str>, Key), (Timestamp, Record)>;

#[derive(Debug)]
struct Inner {
    keys: Mutex<Keys>,
    unresolved: Mutex<Vec<Unresolved>>,
    resolutions: watch::Sender<HashMap<HoldId, Resolution>>,
    /// The hold that somebody last wanted to know about.
    asked: watch::Sender<Option<HoldId>>,
}

impl Default for MemoryRecords {
    fn default() -> Self {
        Self(Arc::new(Inner {
            keys: Mutex::default(),
            unresolved: Mutex::default(),
            resolutions: watch::Sender::default(),
            asked: watch::Sender::default(),
        }))
    }
}

impl MemoryRecords {
    /// Says what became of a hold.
    pub fn resolve(&self, hold: HoldId, resolution: Resolution) {
        self.0
            .resolutions
            .send_modify(|all| drop(all.insert(hold, resolution)));
    }

    /// Waits until somebody wants to know what became of a hold.
    pub async fn asked(&self) -> Option<HoldId> {
        let mut asked = self.0.asked.subscribe();
        let hold = asked.wait_for(Option::is_some).await;
        hold.ok().and_then(|it| *it)
    }

    /// As if an earlier process had begun this attempt.
    pub fn leave_behind(&self, attempt: Unresolved) {
        let list = &self.0.unresolved;
        list.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(attempt);
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_or_never<'a, T: Send + 'a>(value: T) -> Stored<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

fn has_expired(begun: Timestamp, now: Timestamp) -> bool {
    now.duration_since(begun) >= KEPT
}

impl Records for MemoryRecords {
    fn find<'a>(
        &'a self,
        caller: &'a str,
        key: &'a Key,
        now: Timestamp,
    ) -> Stored<'a, Option<Record>> {
        let keys = self.keys();
        let found = keys.get(&(caller.into(), key.clone()));
        now_or_never(
            found
                .filter(|(begun, _)| !has_expired(*begun, now))
                .map(|(_, record)| record.clone()),
        )
    }

    fn begin<'a>(
        &'a self,
        caller: &'a str,
        key: &'a Key,
        fingerprint: Fingerprint,
        hold: HoldId,
        now: Timestamp,
    ) -> Stored<'a, bool> {
        let mut keys = self.keys();
        keys.retain(|_, (begun, _)| !has_expired(*begun, now));
        let has = keys.keys().filter(|(of, _)| **of == *caller).count();
        if has >= MAX_KEYS {
            return now_or_never(false);
        }
        let record = Record {
            fingerprint,
            progress: Progress::Begun(hold),
        };
        keys.insert((caller.into(), key.clone()), (now, record));
        now_or_never(true)
    }

    fn finish<'a>(&'a self, caller: &'a str, key: &'a Key, end: Progress) -> Stored<'a, ()> {
        if let Some((_, record)) = self.keys().get_mut(&(caller.into(), key.clone())) {
            record.progress = end;
        }
        now_or_never(())
    }

    fn forget<'a>(&'a self, caller: &'a str, key: &'a Key) -> Stored<'a, ()> {
        self.keys().remove(&(caller.into(), key.clone()));
        now_or_never(())
    }

    fn alone(&self) -> Stored<'_, ()> {
        now_or_never(())
    }

    fn unresolved(&self) -> Stored<'_, Vec<Unresolved>> {
        let list = &self.0.unresolved;
        now_or_never(list.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn resolved(&self, hold: HoldId) -> Stored<'_, Resolution> {
        self.0.asked.send_replace(Some(hold));
        let mut resolutions = self.0.resolutions.subscribe();
        Box::pin(async move {
            let known = resolutions.wait_for(|all| all.contains_key(&hold)).await;
            let found = known.ok().and_then(|all| all.get(&hold).cloned());
            found.ok_or_else(|| StoreError("the store is gone".into()))
        })
    }
}
