//! Standings as JSON, as the admin socket and the command line give them. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Standing;
use crate::budget::{Budget, Forecast};
use crate::ledger::Adjustment;

/// One line.
pub(super) fn line(it: &Standing, now: Timestamp) -> Value {
    let Budget {
        name,
        id,
        team: _,
        per,
        limit,
        every,
        alert_at: _,
        shadow,
    } = &*it.budget;
    let (balance, window) = (&it.now.balance, it.now.window);
    let (forecast, empty_at) = match it.forecast(now) {
        Forecast::Lasts => ("lasts", None),
        Forecast::EmptyAt(at) => ("empty_at", Some(at.to_string())),
        Forecast::Empty => ("empty", None),
    };
    json!({
        "budget": &**name,
        "id": &**id,
        "per": per.as_str(),
        "account": it.name.as_deref(),
        "every": every.to_string(),
        "shadow": shadow,
        "limit": limit,
        "adjusted_limit": it.now.limit,
        "spent": balance.spent,
        "held": balance.held,
        "overrun": balance.overrun,
        "unheld": balance.unheld,
        "remaining": it.remaining(),
        "from": window.start.to_string(),
        "until": window.end.to_string(),
        "forecast": forecast,
        "empty_at": empty_at,
    })
}

/// An adjustment.
pub(super) fn adjustment(it: &Adjustment) -> Value {
    let Adjustment {
        budget,
        scope,
        acus,
        at,
        until,
        who,
        why,
    } = it;
    json!({
        "budget": budget,
        "account": scope,
        "acus": acus,
        "at": at.to_string(),
        "until": until.map(|it| it.to_string()),
        "who": who,
        "why": why,
    })
}
