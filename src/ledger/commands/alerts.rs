//! Which thresholds were passed, once in each window, and what is still to be told of it.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::super::StoreError;
use super::super::store::micros;
use crate::budget::Window;

/// How long after its window's end it is remembered that a threshold was passed: a clock can be set back.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How many are told of anew after a start.
const MOST: i64 = 1_000;

/// A threshold that was passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// By which a receiver knows it again.
    pub alert: String,
    /// The budget's id.
    pub budget: String,
    /// The account's name; empty where there is one account for all.
    pub account: String,
    /// In which window.
    pub window: Window,
    /// The threshold, in percent.
    pub threshold: u8,
    /// What is told, as JSON.
    pub body: String,
}

/// Writes it down. Whether it is the first time in its window.
pub(in crate::ledger) fn passed(connection: &Connection, it: &Passed) -> Result<bool, StoreError> {
    let sql = "INSERT INTO alerts (id, budget, account, window, threshold, ends, body) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (budget, account, window, threshold) DO NOTHING";
    let mut insert = connection.prepare_cached(sql)?;
    let (start, end) = (micros(it.window.start), micros(it.window.end));
    let row = (
        &it.alert,
        &it.budget,
        &it.account,
        start,
        it.threshold,
        end,
        &it.body,
    );
    Ok(insert.execute(row)? > 0)
}

/// Those that nobody was told of: their ids, and what is told. What is over for long is forgotten.
pub(in crate::ledger) fn untold(
    connection: &Connection,
    now: Timestamp,
) -> Result<Vec<(String, String)>, StoreError> {
    let over = now.saturating_sub(KEPT).map_or(i64::MIN, micros);
    connection.execute("DELETE FROM alerts WHERE ends < ?1", [over])?;
    let sql = "SELECT id, body FROM alerts WHERE told = 0 ORDER BY id LIMIT ?1";
    let mut all = connection.prepare(sql)?;
    let rows = all.query_map([MOST], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Somebody was told of it.
pub(in crate::ledger) fn told(connection: &Connection, alert: &str) -> Result<(), StoreError> {
    let sql = "UPDATE alerts SET told = 1 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([alert])?;
    Ok(())
}
