//! What readiness depends on, and what is told with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::Parts;
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::pipeline::access_log::Sink;
use crate::pipeline::pressure::{PressureLayer, Seen};
use crate::problem::whole_seconds;
use crate::ruleset::{Current, Loaded, Named};

/// What readiness depends on, and what is told with it.
#[derive(Clone, Debug)]
pub struct Health {
    stopping: Arc<AtomicBool>,
    log: Sink,
    policies: Current,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    pressure: PressureLayer,
}

impl Health {
    /// Of a gateway that is made of these parts.
    pub fn new(parts: &Parts) -> Self {
        Self {
            stopping: Arc::default(),
            log: parts.log.clone(),
            policies: parts.policies.clone(),
            ledger: parts.ledger.clone(),
            clock: Arc::clone(&parts.clock),
            pressure: parts.pressure.clone(),
        }
    }

    /// From now on not ready.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn reasons(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            reasons.push("stopping");
        }
        if !self.log.is_healthy() {
            reasons.push("the access log cannot be written");
        }
        reasons
    }

    /// Whether anything may be spent. That nothing may is no reason not to be ready: reads go on (L13). The store is not
    /// asked: what its last write came to is known.
    pub(super) fn spending(&self) -> Value {
        let mut spending = json!({
            "stopped": self.ledger.stopped().map(|it| it.to_string()),
            "store": self.ledger.failure().map(|it| it.to_string()),
        });
        let unswept = self.ledger.unswept();
        if let (false, Value::Object(spending)) = (unswept.is_empty(), &mut spending) {
            let unswept: Vec<&String> = unswept.values().collect();
            spending.insert("organizations".to_owned(), json!(unswept));
        }
        spending
    }

    /// How Devin takes what it is sent. That it takes nothing is no reason not to be ready: another gateway would not do
    /// better.
    pub(super) fn upstream(&self) -> Value {
        let Seen {
            waiting,
            per_second,
            breaker,
            paused,
        } = self.pressure.seen();
        let paused = paused.into_iter();
        let paused: serde_json::Map<String, Value> = paused
            .map(|(class, left)| (class.to_owned(), json!(whole_seconds(left))))
            .collect();
        json!({
            "breaker": breaker,
            "paused_seconds": paused,
            "per_second": per_second,
            "waiting": waiting,
        })
    }

    /// The policies that run. That newer ones were refused is no reason not to be ready: these do their work.
    pub(super) fn policy(&self) -> Value {
        let Loaded {
            hash,
            callers,
            loaded_at,
            reloads,
            refused,
            last_refused,
            last_change,
        } = self.policies.loaded();
        let age = self.clock.now().as_second() - loaded_at.as_second();
        let mut policy = json!({
            "hash": hash,
            "callers": callers,
            "loaded_at": loaded_at.to_string(),
            "age_seconds": age.max(0),
            "reloads": reloads,
            "refused_reloads": refused,
        });
        if let (Some(change), Value::Object(policy)) = (last_change, &mut policy) {
            let named = |it: &Named| json!({"count": it.count, "rules": it.rules});
            let change = json!({
                "at": change.at.to_string(),
                "added": named(&change.added),
                "removed": named(&change.removed),
                "changed": named(&change.changed),
            });
            policy.insert("last_change".to_owned(), change);
        }
        if let (Some(refused), Value::Object(policy)) = (last_refused, &mut policy) {
            let refused = json!({
                "at": refused.at.to_string(),
                "count": refused.count,
                "mistakes": refused.mistakes,
            });
            policy.insert("last_refused".to_owned(), refused);
        }
        policy
    }
}
