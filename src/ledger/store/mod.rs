//! The ledger's file: one SQLite database, one process at a time.
//!
//! WAL with `synchronous=FULL`: what was committed is on the disk. Only the writer's thread has a [`Store`]; others
//! read over connections of their own.

mod adjusted;
mod balances;
mod books;
mod history;
mod lock;
mod payers;
#[cfg(test)]
mod tests;
mod verify;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use adjusted::Adjusted;
pub use balances::Balance;
pub(super) use balances::{Balances, Posted, overflow, posted, slot_from, tally};
pub(super) use books::{
    Loaded, NewSession, NewWake, assign, insert_session, insert_wake, load, millis, update,
    update_wake, wake,
};
pub(super) use history::{Chain, Line};
pub use lock::Holder;
pub(super) use lock::{Attempt, Lock};
pub use payers::Aliases;
pub(super) use payers::{PayerIx, Payers};
pub use verify::Verdict;
pub(super) use verify::verify;

use super::StoreError;
use super::moment::Tick;

/// Each step from one form of the tables to the next; the number of steps taken is the file's `user_version`.
pub(super) const MIGRATIONS: [&str; 8] = [
    include_str!("schema.sql"),
    include_str!("answers.sql"),
    include_str!("alerts.sql"),
    include_str!("consumption.sql"),
    include_str!("objects.sql"),
    include_str!("unknown.sql"),
    include_str!("slots.sql"),
    include_str!("running.sql"),
];

/// How long a statement waits for another connection's.
const BUSY: Duration = Duration::from_secs(5);
/// How many pages of 4 KiB the write-ahead log has before a commit takes them over into the file: 32 MiB. Whoever waits
/// for that commit waits longer, so it is seldom; and what changes often is taken over once.
const LOG_PAGES: i64 = 8_192;
/// How much of the file the writer keeps in memory, in KiB.
const CACHE_KIB: i64 = 32_768;

/// Microseconds since 1970: how instants are stored.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The instant back. What cannot be one is the beginning of time: only a damaged file has it.
pub(super) fn instant(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MIN)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(crate::body::chain(&error).into())
    }
}

/// The writer's connection, and what it keeps in memory of the file.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) connection: Connection,
    pub(super) payers: Payers,
    pub(super) balances: Balances,
    pub(super) chain: Chain,
    pub(super) adjusted: Adjusted,
}

impl Store {
    /// Opens the file, makes or migrates its tables, and reads what is kept in memory.
    ///
    /// # Errors
    /// The file cannot be used, is damaged, or is of a later version of this program.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // Made here if need be: SQLite gives its other files the mode of this one, and they hold callers' answers.
        let made = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        made.map_err(|error| StoreError(error.to_string().into()))?;
        let mut connection = Connection::open(path)?;
        prepare(&connection)?;
        migrate(&mut connection)?;
        let chain = Chain::load(&connection)?;
        let payers = Payers::load(&connection)?;
        let adjusted = Adjusted::load(&connection)?;
        Ok(Self {
            connection,
            payers,
            balances: Balances::default(),
            chain,
            adjusted,
        })
    }

    /// Forgets what is kept in memory, after a transaction that failed: the file says what holds.
    pub(super) fn recall(&mut self) -> Result<(), StoreError> {
        self.balances.clear();
        self.chain = Chain::load(&self.connection)?;
        self.adjusted = Adjusted::load(&self.connection)?;
        self.payers.reload(&self.connection)
    }

    /// The last tick that stands in the file.
    pub(super) fn last_tick(&self) -> Result<Tick, StoreError> {
        // Only wakes that hold matter: what is settled is compared with nothing any more.
        let sql = "SELECT max(coalesce(max(answered), 0), coalesce(max(absent), 0)) FROM wakes \
                   WHERE state IN ('out', 'unknown', 'open')";
        let last: Option<i64> = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(Tick(last.unwrap_or(0)))
    }
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError(
            format!("the file system has no write-ahead log for it (journal_mode is {mode})")
                .into(),
        ));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // What a piece of work could be taken back to is no business of the disk's.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A prepared statement stays as it is: else one whose plan could depend on a value is prepared anew for each.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > MIGRATIONS.len() {
        return Err(StoreError(
            format!(
                "it is of version {version}, and this program knows up to {}; use the program that wrote it",
                MIGRATIONS.len()
            )
            .into(),
        ));
    }
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        let taken = i64::try_from(step + 1).unwrap_or(i64::MAX);
        transaction.pragma_update(None, "user_version", taken)?;
        transaction.commit()?;
    }
    Ok(())
}

/// A connection that only reads.
///
/// # Errors
/// The file cannot be opened.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

/// A value of `meta`.
pub(super) fn meta(connection: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let value = connection.query_row(sql, [key], |row| row.get(0));
    Ok(value.optional()?)
}

/// Sets a value of `meta`, or takes it out.
pub(super) fn set_meta(
    connection: &Connection,
    key: &str,
    value: Option<&str>,
) -> Result<(), StoreError> {
    match value {
        Some(value) => connection.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
            [key, value],
        )?,
        None => connection.execute("DELETE FROM meta WHERE key = ?1", [key])?,
    };
    Ok(())
}
