//! How budgets stand, and what people have changed about them: raises and corrections.

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::super::StoreError;
use super::super::store::{self, Balance, Line, instant, micros};
use super::super::writer::Work;
use crate::acu::Acu;
use crate::budget::{Budget, Payer, Window};

/// A raise of a budget, or a correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// The budget's id.
    pub budget: String,
    /// One account of a budget that is split, by the caller's, team's or organization's name; else all of them.
    pub scope: Option<String>,
    /// How much more may be spent; less where it is negative.
    pub acus: Acu,
    /// When it was made.
    pub at: Timestamp,
    /// Until when it holds; none: as long as the window in which it was made.
    pub until: Option<Timestamp>,
    /// Who made it.
    pub who: String,
    /// Why.
    pub why: String,
}

/// How a budget stands for somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Budgeted {
    /// What is spent and held.
    pub balance: Balance,
    /// How much may be, with what was adjusted.
    pub limit: Acu,
    /// From when until when.
    pub window: Window,
}

impl Work<'_> {
    /// What a budget has spent and holds for this payer in its window of now, and how much it may.
    pub(in crate::ledger) fn budgeted(
        &mut self,
        budget: &Budget,
        window: Window,
        payer: &Payer,
        now: Timestamp,
    ) -> Result<(Balance, Acu), StoreError> {
        let store = &mut *self.store;
        // A request that is under way may still carry a team's former name.
        let account = store.payers.account_today(&budget.account(payer));
        let balance = store
            .balances
            .balance(&store.connection, &store.payers, &account, window)?;
        let mut limit = budget.limit;
        let adjustments = self.adjustments(&budget.id, now, window.start)?;
        let payers = &self.store.payers;
        let scope = budget.scope(payer);
        let scope = scope.map(|it| payers.scope_today(budget.per, it));
        for it in adjustments {
            let of = it.scope.as_deref();
            let is_of = of.is_none_or(|it| scope == Some(payers.scope_today(budget.per, it)));
            let holds = match it.until {
                Some(until) => it.at <= now && now < until,
                None => window.holds(it.at),
            };
            if is_of && holds {
                limit = limit.checked_add(it.acus).ok_or_else(store::overflow)?;
            }
        }
        Ok((balance, limit))
    }

    /// The adjustments of a budget that may hold now, oldest first.
    fn adjustments(
        &self,
        budget: &str,
        now: Timestamp,
        start: Timestamp,
    ) -> Result<Vec<Adjustment>, StoreError> {
        if !self.store.adjusted.may_have(budget) {
            return Ok(Vec::new());
        }
        let sql = "SELECT budget, scope, acus, at, until, who, why FROM adjustments \
                   WHERE budget = ?1 AND (until > ?2 OR (until IS NULL AND at >= ?3)) ORDER BY id";
        let mut all = self.store.connection.prepare_cached(sql)?;
        let rows = all.query_map((budget, micros(now), micros(start)), adjustment)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes down an adjustment.
    pub(in crate::ledger) fn adjust(&mut self, it: &Adjustment) -> Result<(), StoreError> {
        let sql = "INSERT INTO adjustments (budget, scope, acus, at, until, who, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.store.connection.prepare_cached(sql)?.execute((
            &it.budget,
            &it.scope,
            it.acus.milli(),
            micros(it.at),
            it.until.map(micros),
            &it.who,
            &it.why,
        ))?;
        self.store.adjusted.note(&it.budget);
        let scope = it.scope.as_deref().unwrap_or("all");
        let until = it
            .until
            .map_or_else(|| "its window's end".to_owned(), |it| it.to_string());
        let (budget, acus, who, why) = (&it.budget, it.acus, &it.who, &it.why);
        let note = format!("{budget} ({scope}): {acus} until {until}, by {who}: {why}");
        self.note(it.at, "adjust", &note)
    }

    /// A line of the history that moves nothing.
    pub(in crate::ledger) fn note(
        &mut self,
        at: Timestamp,
        cause: &str,
        note: &str,
    ) -> Result<(), StoreError> {
        let line = Line {
            at,
            cause,
            hold: None,
            session: None,
            payer: None,
            instant: None,
            spent: Acu::ZERO,
            held: Acu::ZERO,
            note: Some(note),
        };
        self.store.chain.append(&self.store.connection, &line)
    }
}

fn adjustment(row: &Row<'_>) -> rusqlite::Result<Adjustment> {
    Ok(Adjustment {
        budget: row.get(0)?,
        scope: row.get(1)?,
        acus: Acu::from_milli(row.get(2)?),
        at: instant(row.get(3)?),
        until: row.get::<_, Option<i64>>(4)?.map(instant),
        who: row.get(5)?,
        why: row.get(6)?,
    })
}

/// The last adjustments of a budget, newest first, whether they hold or not.
pub(in crate::ledger) fn adjusted(
    connection: &Connection,
    budget: &str,
    most: usize,
) -> Result<Vec<Adjustment>, StoreError> {
    let sql = "SELECT budget, scope, acus, at, until, who, why FROM adjustments \
               WHERE budget = ?1 ORDER BY id DESC LIMIT ?2";
    let mut all = connection.prepare_cached(sql)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = all.query_map((budget, most), adjustment)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
