//! What operators ask and change: the commands of `tollgate budget` and `tollgate usage`.
//!
//! An [`Order`] comes over the admin socket, or from the command line where no gateway runs. Both are carried out here.
//! What changes anything is written down with who, when and why.

use std::sync::Arc;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::list::named;
use super::usage::{By, sums};
use super::{MOST, Which, look, show};
use crate::acu::Acu;
use crate::budget::{Budget, Per};
use crate::document::nearest;
use crate::ledger::moment::Moment;
use crate::ledger::{Adjustment, Ledger, StoreError, Verdict};
use crate::policy::Policy;

/// The most characters of a reason.
pub const MAX_REASON: usize = 500;
/// How many adjustments of a budget are shown: the last ones.
const SHOWN: usize = 100;
/// How many names are listed where none is like the one that was given.
const LISTED: usize = 10;

/// Something that an operator asks for. Amounts, instants and days are as he wrote them: they are read in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// How budgets stand.
    Show {
        /// Only this one.
        name: Option<String>,
    },
    /// More for a while.
    Raise {
        /// The budget.
        name: String,
        /// How much more.
        acus: String,
        /// Until when: an instant, or a time from now.
        until: String,
        /// Why.
        reason: String,
        /// Only for this account.
        account: Option<String>,
    },
    /// More or less in the present window.
    Adjust {
        /// The budget.
        name: String,
        /// How much more, or less.
        acus: String,
        /// Why.
        reason: String,
        /// Only for this account.
        account: Option<String>,
    },
    /// Spending goes on after it was stopped.
    Resume {
        /// Why.
        reason: String,
    },
    /// Whether the ledger's parts agree.
    Verify {},
    /// Who has spent how much.
    Usage {
        /// Summed up by what.
        by: By,
        /// The first day, in UTC; left out, the month's first.
        from: Option<String>,
        /// The last day; left out, today.
        to: Option<String>,
    },
    /// What Devin has billed and the ledger does not know of (L11).
    Unattributed {},
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// It makes no sense: what is said helps whoever gave it.
    #[error("{0}")]
    Call(String),
    /// The ledger cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn wrong<T>(message: impl Into<String>) -> Result<T, OrderError> {
    Err(OrderError::Call(message.into()))
}

/// Carries out orders.
#[derive(Clone, Debug)]
pub struct Desk {
    /// What they are about.
    pub ledger: Ledger,
    /// The budgets.
    pub policy: Arc<Policy>,
    /// Now.
    pub moment: Moment,
}

impl Desk {
    /// Carries out an order of `who`.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn carry_out(&self, order: Order, who: &str) -> Result<Value, OrderError> {
        match order {
            Order::Show { name } => self.show(name.as_deref()).await,
            Order::Raise {
                name,
                acus,
                until,
                reason,
                account,
            } => {
                let acus = amount(&acus)?;
                if acus <= Acu::ZERO {
                    return wrong("a raise is more than nothing; `budget adjust` takes away");
                }
                let until = Some(instant(&until, self.moment.at)?);
                self.adjust(&name, acus, until, reason, account, who).await
            }
            Order::Adjust {
                name,
                acus,
                reason,
                account,
            } => {
                let acus = amount(&acus)?;
                if acus == Acu::ZERO {
                    return wrong("an adjustment by nothing changes nothing");
                }
                self.adjust(&name, acus, None, reason, account, who).await
            }
            Order::Resume { reason } => {
                let stopped = self.ledger.stopped();
                let said = format!("{who}: {}", checked(reason)?);
                self.ledger.stop_spending(self.moment, None, said).await?;
                Ok(json!({ "was_stopped": stopped.map(|it| it.to_string()), "who": who }))
            }
            Order::Verify {} => Ok(verdict(&self.ledger.verify().await?)),
            Order::Usage { by, from, to } => self.usage(by, from, to).await,
            Order::Unattributed {} => {
                let known = self.ledger.unattributed().await?;
                Ok(json!({ "days": known.days, "unreadable": known.unreadable }))
            }
        }
    }

    async fn show(&self, name: Option<&str>) -> Result<Value, OrderError> {
        let budgets = match name {
            Some(name) => vec![self.budget(name)?],
            None => self.policy.budgets().to_vec(),
        };
        let (ledger, policy) = (&self.ledger, &self.policy);
        let found = look(ledger, policy, &budgets, Which::All, MOST, self.moment).await?;
        let lines = found.all.iter().map(|it| show::line(it, self.moment.at));
        let mut adjustments = Vec::new();
        if let (Some(_), [budget]) = (name, budgets.as_slice()) {
            let all = ledger.adjusted(Arc::clone(&budget.id), SHOWN).await?;
            adjustments.extend(all.iter().map(show::adjustment));
        }
        Ok(json!({
            "at": self.moment.at.to_string(),
            "stopped": ledger.stopped().map(|it| it.to_string()),
            "budgets": lines.collect::<Vec<_>>(),
            "left_out": found.left_out,
            "adjustments": adjustments,
        }))
    }

    async fn adjust(
        &self,
        name: &str,
        acus: Acu,
        until: Option<Timestamp>,
        reason: String,
        account: Option<String>,
        who: &str,
    ) -> Result<Value, OrderError> {
        let budget = self.budget(name)?;
        let scope = match account {
            Some(account) => Some(self.account(&budget, account).await?),
            None => None,
        };
        let adjustment = Adjustment {
            budget: budget.id.to_string(),
            scope,
            acus,
            at: self.moment.at,
            until,
            who: who.to_owned(),
            why: checked(reason)?,
        };
        self.ledger.adjust(adjustment.clone()).await?;
        Ok(show::adjustment(&adjustment))
    }

    /// The budget of this name or id.
    fn budget(&self, name: &str) -> Result<Arc<Budget>, OrderError> {
        let all = self.policy.budgets();
        let found = all.iter().find(|it| &*it.name == name);
        if let Some(found) = found.or_else(|| all.iter().find(|it| &*it.id == name)) {
            return Ok(Arc::clone(found));
        }
        let known = all.iter().map(|it| &*it.name);
        wrong(unknown("budget", name, known.collect()))
    }

    /// The account of this name.
    async fn account(&self, budget: &Budget, account: String) -> Result<String, OrderError> {
        let what = match budget.per {
            Per::Everyone => {
                return wrong(format!(
                    "`{}` has one account for everyone: leave --for out",
                    budget.name
                ));
            }
            Per::Organization => "organization",
            Per::Team => "team",
            Per::Caller => "caller",
        };
        let payers = self.ledger.payers().await?;
        let of_team = payers
            .iter()
            .filter(|it| budget.team.is_none() || budget.team.as_ref() == Some(&it.team));
        let spent = of_team.filter_map(|it| budget.scope(it).cloned());
        let named = named(budget, &self.policy).into_iter().flatten();
        let known: Vec<Arc<str>> = named.chain(spent).collect();
        if known.iter().any(|it| **it == *account) {
            return Ok(account);
        }
        let mut known: Vec<&str> = known.iter().map(|it| &**it).collect();
        known.sort_unstable();
        known.dedup();
        wrong(unknown(what, &account, known))
    }

    async fn usage(
        &self,
        by: By,
        from: Option<String>,
        to: Option<String>,
    ) -> Result<Value, OrderError> {
        let today = TimeZone::UTC.to_datetime(self.moment.at).date();
        let from = day(from)?.unwrap_or_else(|| today.first_of_month());
        let to = day(to)?.unwrap_or(today);
        if to < from {
            return wrong(format!("{to} is before {from}"));
        }
        let end = to.tomorrow().unwrap_or(to);
        let (Some(start), Some(end)) = (midnight(from), midnight(end)) else {
            return wrong("these days are beyond what a clock shows");
        };
        let usage = self.ledger.usage(start, end).await?;
        let Some(lines) = sums(&usage, by) else {
            return Err(OrderError::Store(StoreError(
                "a sum of ACUs is larger than can be shown".into(),
            )));
        };
        Ok(json!({ "by": by, "from": from.to_string(), "to": to.to_string(), "usage": lines }))
    }
}

/// What was found, and whether it is sound.
pub(crate) fn verdict(it: &Verdict) -> Value {
    json!({ "sound": it.is_sound(), "lines": it.lines, "differences": it.differences })
}

fn unknown(what: &str, name: &str, known: Vec<&str>) -> String {
    let said = format!("no {what} is named `{}`", name.escape_debug());
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("{said}; did you mean `{near}`?");
    }
    match known.as_slice() {
        [] => said,
        all if all.len() <= LISTED => format!("{said}; there is {}", all.join(", ")),
        all => format!("{said}; there are {} others", all.len()),
    }
}

fn amount(text: &str) -> Result<Acu, OrderError> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    let parsed = plain.parse::<Acu>();
    parsed.map_err(|error| OrderError::Call(format!("`{}`: {error}", text.escape_debug())))
}

/// An instant, or a time from now.
fn instant(text: &str, now: Timestamp) -> Result<Timestamp, OrderError> {
    let from_now = || {
        let span: Span = text.parse().ok()?;
        let then = TimeZone::UTC.to_datetime(now).checked_add(span).ok()?;
        TimeZone::UTC.to_timestamp(then).ok()
    };
    let found = text.parse::<Timestamp>().ok().or_else(from_now);
    match found {
        Some(at) if at > now => Ok(at),
        Some(_) => wrong(format!("`{}` is over", text.escape_debug())),
        None => wrong(format!(
            "`{}` is no time: write 3d, 12h or 2026-12-01T00:00:00Z",
            text.escape_debug()
        )),
    }
}

fn day(text: Option<String>) -> Result<Option<Date>, OrderError> {
    let Some(text) = text else {
        return Ok(None);
    };
    match text.parse::<Date>() {
        Ok(day) => Ok(Some(day)),
        Err(_) => wrong(format!(
            "`{}` is no day: write it as 2026-12-01",
            text.escape_debug()
        )),
    }
}

fn midnight(day: Date) -> Option<Timestamp> {
    let midnight = day.to_datetime(Time::midnight());
    TimeZone::UTC.to_timestamp(midnight).ok()
}

/// A reason that says something.
fn checked(reason: String) -> Result<String, OrderError> {
    let reason = reason.trim().to_owned();
    if reason.is_empty() {
        return wrong("say why: it is written down with the change");
    }
    if reason.chars().count() > MAX_REASON {
        return wrong(format!(
            "a reason has at most {MAX_REASON} characters; write down where more of it stands"
        ));
    }
    Ok(reason)
}
