//! How the policy's budgets stand, account by account, and what operators change about them.
//!
//! Beside the path of a request: the admin socket, the command line, the metrics, the callers' own page and the alerts
//! all look here, and here are the same rows that a hold is judged by (L10). Nothing of it decides about a request.

mod list;
mod orders;
mod own;
mod show;
mod usage;

use std::sync::Arc;

use jiff::Timestamp;

use crate::acu::Acu;
use crate::budget::{Budget, Forecast, Payer};
use crate::ledger::moment::Moment;
use crate::ledger::{Budgeted, Ledger, StoreError};
use crate::policy::Policy;

use list::Listed;
pub use list::Which;
pub(crate) use orders::verdict;
pub use orders::{Desk, MAX_REASON, Order, OrderError};
pub use own::own;
pub use usage::By;

/// The most accounts that are looked at at once.
pub const MOST: usize = 10_000;
/// How many are asked for in one piece of the writer's work: holds wait for no more than that.
const CHUNK: usize = 200;

/// How an account stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The budget.
    pub budget: Arc<Budget>,
    /// The account's name; none where there is one account for all.
    pub name: Option<Arc<str>>,
    /// Its numbers.
    pub now: Budgeted,
}

impl Standing {
    /// What may still be held; negative where it is overdrawn.
    pub fn remaining(&self) -> Acu {
        self.now.limit.saturating_sub(self.now.balance.taken())
    }

    /// Where its pace leads.
    pub fn forecast(&self, at: Timestamp) -> Forecast {
        Forecast::of(
            self.now.balance.taken(),
            self.now.limit,
            self.now.window,
            at,
        )
    }
}

/// How accounts stand, and how many were left out.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    /// In the order of the budgets, then of their names.
    pub all: Vec<Standing>,
    /// How many more there are.
    pub left_out: usize,
}

/// How the accounts of these budgets stand.
///
/// # Errors
/// The store does not answer.
pub async fn look(
    ledger: &Ledger,
    policy: &Policy,
    budgets: &[Arc<Budget>],
    which: Which,
    most: usize,
    moment: Moment,
) -> Result<Standings, StoreError> {
    let payers = ledger.payers().await?;
    let (listed, left_out) = list::list(policy, budgets, &payers, which, most);
    let all = standing(ledger, listed, moment).await?;
    Ok(Standings { all, left_out })
}

/// How these accounts stand, in the same order.
async fn standing(
    ledger: &Ledger,
    listed: Vec<Listed>,
    moment: Moment,
) -> Result<Vec<Standing>, StoreError> {
    let mut all = Vec::with_capacity(listed.len());
    for chunk in listed.chunks(CHUNK) {
        let asked: Vec<(Arc<Budget>, Payer)> = chunk
            .iter()
            .map(|it| (Arc::clone(&it.budget), it.payer.clone()))
            .collect();
        let found = ledger.budgeted(moment, asked).await?;
        all.extend(chunk.iter().zip(found).map(|(it, now)| Standing {
            budget: Arc::clone(&it.budget),
            name: it.name.clone(),
            now,
        }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
