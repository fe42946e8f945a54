//! What goes on spending without a cap: charged again at each window's start, while it is there (L3).

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::devin::{AskError, ToDevin, target};
use super::reconciler::{Reconciler, RoundError};
use crate::alerts::{Alert, Kind};
use crate::budget::{due, shortest};
use crate::ledger::moment::Moment;
use crate::ledger::{ObjectKey, Standing};
use crate::pipeline::fund::budgets;

/// What Devin says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Gone,
    Disabled,
    There,
}

impl<U> Reconciler<U>
where
    U: ToDevin,
{
    /// Charges whatever goes on spending for the windows that have begun.
    pub(super) async fn objects(&self) -> Result<(), RoundError> {
        let mut failed = None;
        for standing in self.ledger.standing(self.clock.now()).await? {
            let charged = self.charge(&standing).await;
            failed = charged.err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn charge(&self, standing: &Standing) -> Result<(), RoundError> {
        let moment = Moment::now(&*self.clock);
        let budgets = {
            let rules = self.policies.load();
            budgets(rules.policy(), &standing.payer)
        };
        // Without a budget, nothing has windows.
        let windows = shortest(&budgets, moment.at).map(|it| due(standing.since, moment.at, it));
        let windows = windows.unwrap_or_default();
        let key = &standing.key;
        let mut disabling = standing.disabling;
        if let Some(last) = windows.last() {
            match self.look(key).await? {
                Seen::Gone => {
                    self.ledger.taken_away(moment, key.clone()).await?;
                    return Ok(());
                }
                Seen::Disabled => {
                    self.ledger.sleeps(key.clone(), last.end).await?;
                    return Ok(());
                }
                Seen::There => {}
            }
            let full = self
                .ledger
                .charge_windows(moment, key.clone(), windows, budgets)
                .await?;
            if let Some((budget, disables)) = full {
                self.tell(moment.at, standing, &budget);
                disabling = disables;
            }
        }
        if disabling {
            self.disable(key).await?;
        }
        Ok(())
    }

    fn tell(&self, at: Timestamp, standing: &Standing, budget: &str) {
        let (key, caller) = (&standing.key, &standing.payer.caller);
        let (kind, object) = (key.kind.as_str(), &key.object);
        let text = format!(
            "{caller}: the {kind} {object} was charged for a window in which {budget} has no room"
        );
        let mut details = Map::new();
        for (name, value) in [
            ("organization", &*key.organization),
            ("object", kind),
            ("object_id", object),
            ("caller", caller),
            ("budget", budget),
        ] {
            details.insert(name.to_owned(), value.into());
        }
        let alert = Alert::new(Kind::NoRoom, at, &text, details);
        self.ledger.bell().ring(alert);
    }

    async fn look(&self, key: &ObjectKey) -> Result<Seen, AskError> {
        let answer = self.devin.get(key.kind.shown_by(), &path(key)).await;
        match answer {
            Ok(body) => {
                let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let enabled = value.get("enabled").and_then(Value::as_bool);
                Ok(match enabled {
                    Some(false) => Seen::Disabled,
                    Some(true) | None => Seen::There,
                })
            }
            Err(AskError::Status(status)) => match status.as_u16() {
                404 | 410 => Ok(Seen::Gone),
                // It may be there, and the token may not see it.
                401 | 403 | 405 => Ok(Seen::There),
                _ => Err(AskError::Status(status)),
            },
            Err(error) => Err(error),
        }
    }

    async fn disable(&self, key: &ObjectKey) -> Result<(), RoundError> {
        let (kind, object) = (key.kind.as_str(), &key.object);
        let now = self.clock.now();
        let Some(operation) = key.kind.disabled_by() else {
            tracing::warn!(kind, %object, "no request is known that would switch it off: do it in Devin's own settings");
            self.ledger.sleeps(key.clone(), now).await?;
            return Ok(());
        };
        match self.devin.disable(operation, &path(key)).await {
            Ok(_) => {
                tracing::warn!(kind, %object, "disabled, since no budget has room for it");
                self.ledger.sleeps(key.clone(), now).await?;
                Ok(())
            }
            Err(AskError::Status(status)) if status.as_u16() == 404 => {
                let moment = Moment::now(&*self.clock);
                self.ledger.taken_away(moment, key.clone()).await?;
                Ok(())
            }
            // The next round tries again.
            Err(error) => Err(error.into()),
        }
    }
}

fn path(key: &ObjectKey) -> String {
    let collection = key.kind.collection();
    target(
        &[
            "v3",
            "organizations",
            &key.organization,
            collection,
            &key.object,
        ],
        &[],
    )
}
