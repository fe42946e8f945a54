//! Looks at the accounts, and rings where a threshold was passed.
//!
//! Every two seconds, and only where the history has grown or the policies have changed: so a request costs nothing
//! for it. That a threshold was passed is written down before anybody is told, so a restart tells nothing twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use super::bell::{Alert, Kind};
use super::crossing::{Level, crossed};
use crate::accounts::{self, MOST, Standing, Which};
use crate::clock::Clock;
use crate::ledger::moment::Moment;
use crate::ledger::{Ledger, Passed, StoreError};
use crate::ruleset::Current;

/// How often the accounts are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// An account: the budget's id, and its own name.
type Key = (Arc<str>, Option<Arc<str>>);

/// Watches the accounts.
#[derive(Debug)]
pub struct Watch {
    ledger: Ledger,
    policies: Current,
    clock: Arc<dyn Clock>,
    /// How long the history was, and which policies ran, at the last look that went well.
    last: Option<(i64, String)>,
    /// How each account stood then, and in the window that began when. As many as are looked at.
    seen: HashMap<Key, (Timestamp, Level)>,
}

impl Watch {
    /// Of these policies' budgets.
    pub fn new(ledger: Ledger, policies: Current, clock: Arc<dyn Clock>) -> Self {
        Self {
            ledger,
            policies,
            clock,
            last: None,
            seen: HashMap::new(),
        }
    }

    /// Watches until told to stop, from when on this process has the ledger. First tells what an earlier process could
    /// not.
    pub async fn follow(mut self, stop: CancellationToken) {
        let looks = async {
            self.ledger.ours().await;
            self.again().await;
            loop {
                if let Err(error) = self.look().await {
                    tracing::debug!(%error, "the accounts could not be looked at");
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            () = looks => {}
            () = stop.cancelled() => {}
        }
    }

    /// Tells what an earlier process could not.
    async fn again(&self) {
        match self.ledger.untold(self.clock.now()).await {
            Ok(untold) => {
                for (id, body) in untold {
                    let kind = Kind::Threshold;
                    self.ledger.bell().again(Alert { id, kind, body });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "what was not told before is told at another start");
            }
        }
    }

    /// Looks once. How many thresholds were passed since the last look.
    ///
    /// # Errors
    /// The store does not answer; the next look finds the same.
    pub async fn look(&mut self) -> Result<usize, StoreError> {
        let rules = self.policies.load();
        let policy = rules.policy();
        let now = (self.ledger.lines(), policy.hash().to_owned());
        if self.last.as_ref() == Some(&now) {
            return Ok(0);
        }
        let budgets = policy.budgets().iter();
        let watched = budgets.filter(|it| !it.alert_at.is_empty() && !it.shadow);
        let watched: Vec<_> = watched.cloned().collect();
        let moment = Moment::now(&*self.clock);
        let ledger = self.ledger.clone();
        let found = accounts::look(&ledger, policy, &watched, Which::Used, MOST, moment).await?;
        let mut seen = HashMap::with_capacity(found.all.len());
        let mut count = 0;
        for it in &found.all {
            let key = (Arc::clone(&it.budget.id), it.name.clone());
            let after = Level {
                taken: it.now.balance.taken(),
                limit: it.now.limit,
            };
            let start = it.now.window.start;
            let before = self.seen.get(&key).filter(|(window, _)| *window == start);
            let before = before.map(|(_, level)| *level);
            for percent in crossed(before, after, &it.budget.alert_at) {
                count += usize::from(self.pass(it, percent, moment.at).await?);
            }
            seen.insert(key, (start, after));
        }
        (self.seen, self.last) = (seen, Some(now));
        Ok(count)
    }

    /// Rings, unless that was done in this window before.
    async fn pass(&self, it: &Standing, percent: u8, at: Timestamp) -> Result<bool, StoreError> {
        let alert = alert(it, percent, at);
        let passed = Passed {
            alert: alert.id.clone(),
            budget: it.budget.id.to_string(),
            account: it.name.as_deref().unwrap_or_default().to_owned(),
            window: it.now.window,
            threshold: percent,
            body: alert.body.clone(),
        };
        let is_first = self.ledger.passed(passed).await?;
        if is_first {
            self.ledger.bell().ring(alert);
        }
        Ok(is_first)
    }
}

fn alert(it: &Standing, percent: u8, at: Timestamp) -> Alert {
    let (budget, window) = (&it.budget.name, it.now.window);
    let (limit, taken) = (it.now.limit, it.now.balance.taken());
    let of = it.name.as_deref().map(|it| format!(" ({it})"));
    let text = format!(
        "{budget}{}: {taken} of {limit} ACUs are spent or held, {percent}% or more, until {}",
        of.unwrap_or_default(),
        window.end
    );
    let mut details = Map::new();
    let mut put = |name: &str, value| details.insert(name.to_owned(), value);
    put("budget", json!(&**budget));
    put("account", json!(it.name.as_deref()));
    put("threshold", json!(percent));
    put("limit", json!(limit));
    put("spent", json!(it.now.balance.spent));
    put("held", json!(it.now.balance.held));
    put("from", json!(window.start.to_string()));
    put("until", json!(window.end.to_string()));
    Alert::new(Kind::Threshold, at, &text, details)
}

#[cfg(test)]
mod tests;
