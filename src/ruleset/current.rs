//! The set of the moment, and how it came to be that one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::{Change, Ruleset};
use crate::policy::Policy;

/// The set that new requests get; a reload puts another in its place.
#[derive(Clone, Debug)]
pub struct Current(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rules: ArcSwap<Ruleset>,
    history: Mutex<History>,
}

#[derive(Debug)]
struct History {
    loaded_at: Timestamp,
    reloads: u64,
    refused: u64,
    last_refused: Option<Arc<Refused>>,
    last_change: Option<Arc<Change>>,
}

/// What runs, for the operator.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The set's content hash.
    pub hash: String,
    /// How many callers it has.
    pub callers: usize,
    /// Since when it runs.
    pub loaded_at: Timestamp,
    /// How many sets have followed the first one.
    pub reloads: u64,
    /// How many were refused.
    pub refused: u64,
    /// What is wrong with the files as they are now, if they do not make up the set that runs.
    pub last_refused: Option<Arc<Refused>>,
    /// How its rules differ from those of the set before it.
    pub last_change: Option<Arc<Change>>,
}

/// A set that was not taken.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// How many mistakes it has.
    pub count: usize,
    /// The first of them, as `check --output json` shows them.
    pub mistakes: Vec<serde_json::Value>,
}

impl Current {
    /// Starts with this policy.
    pub fn new(policy: Policy, now: Timestamp) -> Self {
        Self(Arc::new(Shared {
            rules: ArcSwap::from_pointee(Ruleset::new(policy)),
            history: Mutex::new(History {
                loaded_at: now,
                reloads: 0,
                refused: 0,
                last_refused: None,
                last_change: None,
            }),
        }))
    }

    /// The set as it is now. A request asks once and keeps what it got.
    pub fn load(&self) -> Arc<Ruleset> {
        self.0.rules.load_full()
    }

    /// Puts this policy in the place of the one that runs, and says what that changes. Requests in flight keep theirs.
    pub fn replace(&self, policy: Policy, now: Timestamp) -> Arc<Change> {
        let mut history = self.history();
        let old = self.load();
        let change = Arc::new(Change::between(old.policy(), &policy, now));
        self.0.rules.store(Arc::new(old.followed_by(policy)));
        history.loaded_at = now;
        history.reloads += 1;
        history.last_refused = None;
        history.last_change = Some(Arc::clone(&change));
        change
    }

    /// Notes that a set was refused; the one that runs stays.
    pub fn refuse(&self, refused: Refused) {
        let mut history = self.history();
        history.refused += 1;
        history.last_refused = Some(Arc::new(refused));
    }

    /// Notes that the files are again what runs. Whether they were not before.
    pub fn confirm(&self) -> bool {
        self.history().last_refused.take().is_some()
    }

    /// What runs.
    pub fn loaded(&self) -> Loaded {
        let history = self.history();
        let rules = self.load();
        Loaded {
            hash: rules.policy().hash().to_owned(),
            callers: rules.policy().callers().count(),
            loaded_at: history.loaded_at,
            reloads: history.reloads,
            refused: history.refused,
            last_refused: history.last_refused.clone(),
            last_change: history.last_change.clone(),
        }
    }

    /// Held while the set is replaced, so that nobody sees one set's hash with another's age.
    fn history(&self) -> MutexGuard<'_, History> {
        let history = self.0.history.lock();
        history.unwrap_or_else(PoisonError::into_inner)
    }
}
