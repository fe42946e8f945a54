//! Which sessions an allowed request may touch, what it may cost, and the budgets that it counts in.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::budget::Budget;
use crate::catalogue::Operation;
use crate::policy::bounds::{Applied, NoRoom, Reach, UncappedPer};
use crate::policy::{CallerIx, Grant, Policy};
use crate::rehearsal::Asked;

/// What is said of it.
pub(super) struct Spending<'a> {
    operation: Option<&'static Operation>,
    applied: Option<Applied<'a>>,
    budgets: &'a [Arc<Budget>],
}

impl<'a> Spending<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        caller: CallerIx,
        asked: Option<&Asked>,
        grant: Option<&Grant>,
    ) -> Self {
        let operation = asked.map(|it| it.operation.row());
        let spends = operation.is_some_and(|row| row.spends.is_some());
        Self {
            operation,
            applied: grant.map(|grant| policy.applied(grant)),
            budgets: if spends {
                policy.budgets_of(caller)
            } else {
                &[]
            },
        }
    }

    /// Which sessions may be touched, where any are.
    fn reach(&self) -> Option<&'static str> {
        let touches = self.operation.is_some_and(Operation::touches_sessions);
        let reach = self.applied.as_ref().filter(|_| touches)?.reach();
        Some(match reach {
            Reach::Own => "own",
            Reach::Team => "team",
            Reach::Any => "any",
        })
    }

    /// What becomes of a cap that no budget has room for, where there is a cap.
    fn no_room(&self) -> Option<(i64, &'static str)> {
        let takes_cap = self.operation.is_some_and(Operation::takes_cap);
        let terms = self.applied.as_ref().filter(|_| takes_cap)?.cap_terms();
        let said = match terms.no_room {
            NoRoom::Refuse => "refuse",
            NoRoom::Clamp => "clamp",
        };
        Some((terms.min, said))
    }

    /// What is charged where there is no cap, in words; none where nothing can be.
    fn uncapped(&self) -> Option<String> {
        let row = self.operation.filter(|row| row.spends.is_some())?;
        if row.takes_cap() {
            return None;
        }
        let said = match self.applied.as_ref()?.uncapped() {
            None if row.spends_uncapped() => {
                "nothing: it is refused (spend-uncapped), since it has no cap".to_owned()
            }
            None => return None,
            Some(it) => {
                let per = match it.per {
                    UncappedPer::Run => "for each request",
                    UncappedPer::Window => "for each window of the shortest budget",
                };
                let acus = it.acus;
                let disables = if it.disables {
                    "; without room it is disabled"
                } else {
                    ""
                };
                format!("{acus} ACUs {per}{disables}")
            }
        };
        Some(said)
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(reach) = self.reach() {
            text.push_str(&format!("\nsessions: {reach}\n"));
        }
        if let Some((min, no_room)) = self.no_room() {
            let said = match no_room {
                "clamp" => format!("lowered to it, to {min} at least"),
                _ => "refused".to_owned(),
            };
            text.push_str(&format!("\na cap that a budget has no room for: {said}\n"));
        }
        if let Some(said) = self.uncapped() {
            text.push_str(&format!("\ncharged without a cap: {said}\n"));
        }
        if !self.budgets.is_empty() {
            text.push_str("\nbudgets\n");
        }
        for budget in self.budgets {
            let shadow = if budget.shadow {
                " (shadowed, not held)"
            } else {
                ""
            };
            text.push_str(&format!("  {budget}{shadow}\n"));
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let budgets = self.budgets.iter().map(|it| {
            json!({
                "name": &*it.name, "id": &*it.id, "per": it.per.as_str(), "acus": it.limit,
                "every": it.every.to_string(), "shadow": it.shadow,
            })
        });
        json!({
            "sessions": self.reach(),
            "no_room": self.no_room().map(|it| it.1),
            "uncapped": self.uncapped(),
            "budgets": budgets.collect::<Value>(),
        })
    }
}
