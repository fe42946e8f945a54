//! What a caller is told of the budgets that its spending counts in: of its own the numbers, of wider ones only that
//! they are there and when they reset, since their numbers are others' business (M24).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::list::{Listed, listed};
use super::{MOST, standing};
use crate::budget::{Payer, Per};
use crate::ledger::moment::Moment;
use crate::ledger::{Ledger, StoreError};
use crate::policy::{CallerIx, Policy};

/// The budgets of a caller. What is on trial is never held in, and is left out.
///
/// # Errors
/// The store does not answer.
pub async fn own(
    ledger: &Ledger,
    policy: &Policy,
    caller: CallerIx,
    moment: Moment,
) -> Result<Value, StoreError> {
    let payers = ledger.payers().await?;
    let mut asked = accounts(policy, caller, &payers);
    asked.truncate(MOST);
    let found = standing(ledger, asked, moment).await?;
    let lines: Vec<Value> = found
        .iter()
        .map(|it| {
            let resets_at = it.now.window.end.to_string();
            if !it.budget.is_own() {
                return json!({ "budget": &*it.budget.name, "own": false, "resets_at": resets_at });
            }
            let (balance, per) = (&it.now.balance, it.budget.per);
            json!({
                "budget": &*it.budget.name,
                "own": true,
                "per": per.as_str(),
                "account": it.name.as_deref(),
                "limit": it.now.limit,
                "spent": balance.spent,
                "held": balance.held,
                "remaining": it.remaining(),
                "resets_at": resets_at,
            })
        })
        .collect();
    let known = policy.caller(caller);
    Ok(json!({ "caller": &**known.name(), "team": &**known.team(), "budgets": lines }))
}

/// The accounts that a caller's spending counts in. Of one that is split by organization: those that its grants name,
/// or that it has spent in; a budget that others share stands there once.
fn accounts(policy: &Policy, caller: CallerIx, payers: &[Payer]) -> Vec<Listed> {
    let known = policy.caller(caller);
    let mut all = Vec::new();
    for budget in policy.budgets_of(caller).iter().filter(|it| !it.shadow) {
        match budget.per {
            Per::Everyone => all.push(listed(budget, None)),
            Per::Team => all.push(listed(budget, Some(Arc::clone(known.team())))),
            Per::Caller => all.push(listed(budget, Some(Arc::clone(known.name())))),
            Per::Organization if !budget.is_own() => all.push(listed(budget, None)),
            Per::Organization => {
                let mine = payers.iter().filter(|it| it.caller == *known.name());
                let spent_in = mine.map(|it| Arc::clone(&it.organization));
                let granted = policy.organizations_of(caller);
                let granted = granted.into_iter().map(Arc::from);
                let names: BTreeSet<Arc<str>> = granted.chain(spent_in).collect();
                all.extend(names.into_iter().map(|name| listed(budget, Some(name))));
            }
        }
    }
    all
}
