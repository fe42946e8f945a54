//! Devin's own account of each billing day, beside the ledger's: what it has and the ledger has not is unattributed (L11).
//!
//! The reconciler reads it once an hour, and whoever shows budgets shows this too: it is the only trace of what was
//! spent around the gateway.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use serde::{Serialize, Serializer};

use super::store::{self, instant, micros};
use super::writer::Work;
use super::{Ledger, StoreError};
use crate::acu::Acu;
use crate::budget::Window;

/// How long a day's figures are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);
/// The most days that are shown at once, the newest.
const SHOWN: i64 = 10_000;
/// A difference of so many hundredths of what Devin says is rounding.
const ROUNDING_PERCENT: i64 = 2;
/// Nor is one of so much anything else.
const ROUNDING: Acu = Acu::whole(1);

/// An organization's billing day in both accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedDay {
    /// The organization.
    pub organization: Box<str>,
    /// Its first instant: 08:00 UTC.
    #[serde(serialize_with = "text")]
    pub day: Timestamp,
    /// What Devin says was used.
    pub devin: Acu,
    /// What the ledger posted as used on that day: no charge for a spend without a cap, nor one in full for want of knowing.
    pub ledger: Acu,
    /// What Devin has and the ledger has not; nothing where that can be rounding.
    pub unattributed: Acu,
}

/// An organization whose consumption cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The organization.
    pub organization: Box<str>,
    /// Since when.
    #[serde(serialize_with = "text")]
    pub since: Timestamp,
    /// What Devin answers.
    pub status: u16,
}

/// All that is known of unattributed spend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unattributed {
    /// The days that were compared, the newest first.
    pub days: Vec<ComparedDay>,
    /// Of what nothing is known: the shared token has no right to read it.
    pub unreadable: Vec<Unreadable>,
}

fn text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// What of Devin's figure is unattributed. Pure.
fn unattributed(devin: Acu, ledger: Acu) -> Acu {
    let difference = devin.saturating_sub(ledger);
    let percent = Acu::from_milli(devin.milli().saturating_mul(ROUNDING_PERCENT) / 100);
    if difference > percent.max(ROUNDING) {
        difference
    } else {
        Acu::ZERO
    }
}

impl ComparedDay {
    fn new(organization: Box<str>, day: Timestamp, devin: Acu, ledger: Acu) -> Self {
        Self {
            organization,
            day,
            devin,
            ledger,
            unattributed: unattributed(devin, ledger),
        }
    }
}

impl Ledger {
    /// Since when the ledger has been kept: what was spent before is none of its business.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn kept_since(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let write = move |work: &mut Work<'_>| work.kept_since(now);
        self.0.writer.write(write).await
    }

    /// Devin's figures of an organization's days. Gives back the days that have something unattributed now and had not
    /// before.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn consumed(
        &self,
        now: Timestamp,
        organization: Box<str>,
        days: Vec<(Window, Acu)>,
    ) -> Result<Vec<ComparedDay>, StoreError> {
        let write = move |work: &mut Work<'_>| work.consumed(now, &organization, &days);
        self.0.writer.write(write).await
    }

    /// An organization's consumption cannot be read. Whether that is news.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn cannot_read(
        &self,
        now: Timestamp,
        organization: Box<str>,
        status: u16,
    ) -> Result<bool, StoreError> {
        let write = move |work: &mut Work<'_>| {
            let sql = "INSERT INTO unread (organization, since, status) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            let row = (&organization, micros(now), status);
            Ok(work.store.connection.execute(sql, row)? > 0)
        };
        self.0.writer.write(write).await
    }

    /// What Devin has billed and the ledger knows nothing of, by organization and billing day.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn unattributed(&self) -> Result<Unattributed, StoreError> {
        self.reading(shown).await
    }
}

impl Work<'_> {
    fn kept_since(&mut self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let connection = &self.store.connection;
        let known = store::meta(connection, "kept-since")?;
        if let Some(known) = known.and_then(|it| it.parse().ok()) {
            return Ok(instant(known));
        }
        let sql = "SELECT min(at) FROM history WHERE spent <> 0";
        let first: Option<i64> = connection.query_row(sql, [], |row| row.get(0))?;
        let since = first.map_or(now, |first| instant(first).min(now));
        let text = micros(since).to_string();
        store::set_meta(connection, "kept-since", Some(&text))?;
        Ok(since)
    }

    fn consumed(
        &mut self,
        now: Timestamp,
        organization: &str,
        days: &[(Window, Acu)],
    ) -> Result<Vec<ComparedDay>, StoreError> {
        let connection = &self.store.connection;
        let mut news = Vec::new();
        for (window, devin) in days {
            let ledger = posted(connection, organization, *window)?;
            let (day, devin) = (micros(window.start), *devin);
            let sql = "SELECT devin, ledger FROM consumption WHERE organization = ?1 AND day = ?2";
            let before = connection
                .prepare_cached(sql)?
                .query_row((organization, day), |row| {
                    let acu = |column| row.get(column).map(Acu::from_milli);
                    Ok(unattributed(acu(0)?, acu(1)?))
                })
                .optional()?;
            let sql = "INSERT INTO consumption (organization, day, devin, ledger) VALUES (?1, ?2, ?3, ?4) \
                       ON CONFLICT (organization, day) DO UPDATE SET devin = ?3, ledger = ?4";
            let row = (organization, day, devin.milli(), ledger.milli());
            connection.prepare_cached(sql)?.execute(row)?;
            let compared = ComparedDay::new(organization.into(), window.start, devin, ledger);
            if compared.unattributed > Acu::ZERO && before.is_none_or(|it| it == Acu::ZERO) {
                news.push(compared);
            }
        }
        connection.execute("DELETE FROM unread WHERE organization = ?1", [organization])?;
        if let Ok(oldest) = now.checked_sub(KEPT) {
            connection.execute("DELETE FROM consumption WHERE day < ?1", [micros(oldest)])?;
        }
        Ok(news)
    }
}

/// What was posted as spent in an organization while a window was open, whichever window it counts in.
fn posted(connection: &Connection, organization: &str, window: Window) -> Result<Acu, StoreError> {
    // `spent <> 0` says the same as the index, so that it is used. What is charged without being used is left out: it
    // would hide as much of what was used around the gateway.
    let sql = "SELECT coalesce(sum(h.spent), 0) FROM history h JOIN payers p ON p.id = h.payer \
               WHERE h.spent <> 0 AND h.at >= ?1 AND h.at < ?2 AND p.organization = ?3 \
               AND h.cause IN ('use', 'overrun', 'unheld', 'move')";
    let mut sum = connection.prepare_cached(sql)?;
    let row = (micros(window.start), micros(window.end), organization);
    Ok(Acu::from_milli(sum.query_row(row, |row| row.get(0))?))
}

fn shown(connection: &Connection) -> Result<Unattributed, StoreError> {
    let sql = "SELECT organization, day, devin, ledger FROM consumption ORDER BY day DESC, organization LIMIT ?1";
    let mut days = connection.prepare_cached(sql)?;
    let days = days.query_map([SHOWN], |row| {
        let acu = |column| row.get(column).map(Acu::from_milli);
        let organization: String = row.get(0)?;
        Ok(ComparedDay::new(
            organization.into(),
            instant(row.get(1)?),
            acu(2)?,
            acu(3)?,
        ))
    })?;
    let sql = "SELECT organization, since, status FROM unread ORDER BY organization";
    let mut unread = connection.prepare_cached(sql)?;
    let unread = unread.query_map([], |row| {
        let organization: String = row.get(0)?;
        Ok(Unreadable {
            organization: organization.into(),
            since: instant(row.get(1)?),
            status: row.get(2)?,
        })
    })?;
    Ok(Unattributed {
        days: days.collect::<Result<_, _>>()?,
        unreadable: unread.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l11_two_percent_or_one_acu_is_rounding() {
        for (devin, ledger, wanted) in [
            (0, 0, 0),
            (1_000, 0, 0),
            (1_001, 0, 1_001),
            (10_000, 9_000, 0),
            (10_000, 8_999, 1_001),
            (100_000, 98_000, 0),
            (100_000, 97_999, 2_001),
            (1_000_000, 980_000, 0),
            (1_000_000, 979_000, 21_000),
            // More than Devin says is a charge for what has no cap, or was used before the day turned.
            (5_000, 50_000, 0),
            (0, -5_000, 5_000),
        ] {
            let (devin, ledger) = (Acu::from_milli(devin), Acu::from_milli(ledger));
            assert_eq!(
                unattributed(devin, ledger).milli(),
                wanted,
                "{devin} {ledger}"
            );
        }
    }
}
