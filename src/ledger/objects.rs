//! What goes on spending after the request that set it up: charged for each window while it is there (L3).

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::book::{Cause, Entry};
use super::moment::Moment;
use super::store::{self, PayerIx, instant, micros};
use super::writer::Work;
use super::{HoldId, Ledger, StoreError};
use crate::acu::Acu;
use crate::budget::{Budget, Payer, Window};
use crate::catalogue::Object;

/// The most objects that are looked at at once, those first that have waited longest.
const MOST: i64 = 1_000;

/// What an object is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// What it is.
    pub kind: Object,
    /// Where it is.
    pub organization: Arc<str>,
    /// Devin's id of it.
    pub object: Box<str>,
}

/// What an object costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costs {
    /// For each window.
    pub acus: Acu,
    /// Whether it is disabled where a window has no room for it.
    pub disables: bool,
    /// Until when it has been paid for.
    pub until: Timestamp,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub key: ObjectKey,
    /// Who pays for it, under the names of today.
    pub payer: Payer,
    /// From when on it is to be paid for.
    pub since: Timestamp,
    /// Whether it is to be disabled.
    pub disabling: bool,
}

impl Ledger {
    /// An object was set up or changed, and its present window is paid for under this hold.
    ///
    /// # Errors
    /// The store does not take it: then it has to be tried again.
    pub async fn stands_up(
        &self,
        hold: HoldId,
        key: ObjectKey,
        costs: Costs,
    ) -> Result<(), StoreError> {
        let write = move |work: &mut Work<'_>| work.stands_up(hold, &key, &costs);
        self.0.writer.write(write).await
    }

    /// An object is gone.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn taken_away(&self, moment: Moment, key: ObjectKey) -> Result<(), StoreError> {
        let write = move |work: &mut Work<'_>| {
            let sql = "UPDATE objects SET gone = 1 WHERE kind = ?1 AND organization = ?2 AND object = ?3 AND gone = 0";
            if work.store.connection.execute(sql, columns(&key))? > 0 {
                let note = format!("{} {} is gone", key.kind.as_str(), key.object);
                work.note(moment.at, "object", &note)?;
            }
            Ok(())
        };
        self.0.writer.write(write).await
    }

    /// An object is there, and disabled: until then it costs nothing.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn sleeps(&self, key: ObjectKey, until: Timestamp) -> Result<(), StoreError> {
        let write = move |work: &mut Work<'_>| {
            let sql = "UPDATE objects SET looked_until = max(looked_until, ?4), disabling = 0 \
                       WHERE kind = ?1 AND organization = ?2 AND object = ?3";
            let (kind, organization, object) = columns(&key);
            let row = (kind, organization, object, micros(until));
            work.store.connection.execute(sql, row)?;
            Ok(())
        };
        self.0.writer.write(write).await
    }

    /// Objects that may have to be paid for again, or are to be disabled.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn standing(&self, now: Timestamp) -> Result<Vec<Standing>, StoreError> {
        let aliases = self.0.aliases.load_full();
        self.reading(move |connection| {
            let mut all = standing(connection, now)?;
            for it in &mut all {
                it.payer = aliases.today(&it.payer);
            }
            Ok(all)
        })
        .await
    }

    /// Charges an object for these windows, room or not. The budget that had none, if one had, and whether the object
    /// is to be disabled for it.
    ///
    /// # Errors
    /// The store does not take it: the next round tries again.
    pub async fn charge_windows(
        &self,
        moment: Moment,
        key: ObjectKey,
        windows: Vec<Window>,
        budgets: Vec<Arc<Budget>>,
    ) -> Result<Option<(Arc<str>, bool)>, StoreError> {
        let write =
            move |work: &mut Work<'_>| work.charge_windows(moment, &key, &windows, &budgets);
        self.0.writer.write(write).await
    }
}

fn columns(key: &ObjectKey) -> (&str, &str, &str) {
    (key.kind.as_str(), &key.organization, &key.object)
}

impl Work<'_> {
    fn stands_up(
        &mut self,
        hold: HoldId,
        key: &ObjectKey,
        costs: &Costs,
    ) -> Result<(), StoreError> {
        let Some(found) = store::wake(&self.store.connection, hold)? else {
            return Ok(());
        };
        // Whoever set it up goes on paying for it.
        let sql = "INSERT INTO objects (kind, organization, object, payer, acus, disables, charged_until, looked_until) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0) ON CONFLICT (kind, organization, object) DO UPDATE \
                   SET acus = ?5, disables = ?6, charged_until = max(charged_until, ?7), disabling = 0, gone = 0";
        let (kind, organization, object) = columns(key);
        self.store.connection.prepare_cached(sql)?.execute((
            kind,
            organization,
            object,
            found.payer.0,
            costs.acus.milli(),
            costs.disables,
            micros(costs.until),
        ))?;
        Ok(())
    }

    /// What has still to be paid for an object's present window.
    pub(super) fn object_due(
        &self,
        key: &ObjectKey,
        acus: Acu,
        now: Timestamp,
    ) -> Result<Acu, StoreError> {
        let sql = "SELECT acus FROM objects WHERE kind = ?1 AND organization = ?2 AND object = ?3 \
                   AND gone = 0 AND charged_until > ?4";
        let (kind, organization, object) = columns(key);
        let mut one = self.store.connection.prepare_cached(sql)?;
        let row = (kind, organization, object, micros(now));
        let paid = one.query_row(row, |row| row.get(0).map(Acu::from_milli));
        let paid = paid.optional()?.unwrap_or(Acu::ZERO);
        Ok(acus.saturating_sub(paid).max(Acu::ZERO))
    }

    fn charge_windows(
        &mut self,
        moment: Moment,
        key: &ObjectKey,
        windows: &[Window],
        budgets: &[Arc<Budget>],
    ) -> Result<Option<(Arc<str>, bool)>, StoreError> {
        let sql = "SELECT payer, acus, disables, charged_until FROM objects \
                   WHERE kind = ?1 AND organization = ?2 AND object = ?3 AND gone = 0";
        let mut one = self.store.connection.prepare_cached(sql)?;
        let found = one.query_row(columns(key), |row| {
            Ok((
                PayerIx(row.get(0)?),
                Acu::from_milli(row.get(1)?),
                row.get::<_, bool>(2)?,
                instant(row.get(3)?),
            ))
        });
        let found = found.optional()?;
        drop(one);
        let Some((payer_ix, acus, disables, until)) = found else {
            return Ok(None);
        };
        let Some(payer) = self.store.payers.today(payer_ix) else {
            return Ok(None);
        };
        // Again, or too late: what is paid for is not charged again.
        let due: Vec<&Window> = windows.iter().filter(|it| it.start >= until).collect();
        let mut full = None;
        for (ix, window) in due.iter().enumerate() {
            for budget in budgets.iter().filter(|it| !it.shadow) {
                // Before anything is posted, since balances are kept in step only behind this.
                let turn = budget.every.window(window.start);
                let (balance, limit) = self.budgeted(budget, turn, &payer, window.start)?;
                let before = due.iter().take(ix).filter(|it| turn.holds(it.start));
                let taken = before.fold(balance.taken(), |sum, _| sum.saturating_add(acus));
                if limit.saturating_sub(taken) < acus {
                    full = Some(Arc::clone(&budget.name));
                }
            }
        }
        let mut charged_until = until;
        for window in due {
            let entry = Entry {
                cause: Cause::Uncapped,
                hold: None,
                instant: window.start,
                spent: acus,
                held: Acu::ZERO,
            };
            self.entry(moment.at, payer_ix, None, &entry)?;
            charged_until = charged_until.max(window.end);
        }
        let disabling = disables && full.is_some();
        let sql = "UPDATE objects SET charged_until = ?4, disabling = ?5 \
                   WHERE kind = ?1 AND organization = ?2 AND object = ?3";
        let (kind, organization, object) = columns(key);
        let row = (kind, organization, object, micros(charged_until), disabling);
        self.store.connection.execute(sql, row)?;
        Ok(full.map(|budget| (budget, disables)))
    }
}

fn standing(connection: &Connection, now: Timestamp) -> Result<Vec<Standing>, StoreError> {
    let sql = "SELECT o.kind, o.organization, o.object, p.organization, p.team, p.caller, \
               max(o.charged_until, o.looked_until), o.disabling \
               FROM objects o JOIN payers p ON p.id = o.payer \
               WHERE o.gone = 0 AND (o.disabling OR (o.charged_until <= ?1 AND o.looked_until <= ?1)) \
               ORDER BY max(o.charged_until, o.looked_until) LIMIT ?2";
    let mut all = connection.prepare_cached(sql)?;
    let mut rows = all.query((micros(now), MOST))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| row.get::<_, String>(column);
        let Some(kind) = Object::parse(&text(0)?) else {
            continue;
        };
        found.push(Standing {
            key: ObjectKey {
                kind,
                organization: text(1)?.into(),
                object: text(2)?.into(),
            },
            payer: Payer {
                organization: text(3)?.into(),
                team: text(4)?.into(),
                caller: text(5)?.into(),
            },
            since: instant(row.get(6)?),
            disabling: row.get(7)?,
        });
    }
    Ok(found)
}
