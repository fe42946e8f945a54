//! Holds without a known outcome, and how they get one (L5).

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::moment::Tick;
use super::super::session::SessionId;
use super::super::store::{self, instant};
use super::super::writer::Work;
use super::super::{HoldId, StoreError};
use crate::acu::Acu;

/// The most holds of a kind that are looked at at once.
pub(in crate::ledger) const MOST: usize = 1_000;

/// Which holds without a known outcome are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// Creates.
    Creates,
    /// Messages.
    Messages,
}

impl Sought {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Creates => "create",
            Self::Messages => "message",
        }
    }
}

/// What kind of wake a hold is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsureKind {
    /// A create: a session with its tag is looked for.
    Create,
    /// A message: it is looked for among its session's messages.
    Message {
        /// The session.
        session: SessionId,
        /// The digest of its text.
        text: [u8; 32],
    },
}

/// A hold without a known outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsure {
    /// The hold.
    pub hold: HoldId,
    /// What for.
    pub kind: UnsureKind,
    /// In which organization.
    pub organization: Box<str>,
    /// By which caller.
    pub caller: Box<str>,
    /// When it was taken.
    pub at: Timestamp,
    /// How much it is.
    pub held: Acu,
    /// When its attempt was given up, in the time that the ledger has been open: see [`Ledger::open_for`].
    ///
    /// [`Ledger::open_for`]: super::super::Ledger::open_for
    pub deadline: Duration,
    /// Of a create without a tag: no session that Devin made before this can be its own.
    pub since: Option<Timestamp>,
    /// When the first listing began that should have had it and had not.
    pub absent: Option<Tick>,
    /// What makes a repeat of its attempt one.
    pub fingerprint: [u8; 32],
}

/// Holds whose outcome is unknown, the oldest behind `after` first. Not those whose request is on its way.
pub(in crate::ledger) fn unsure(
    connection: &Connection,
    sought: Sought,
    after: Option<HoldId>,
) -> Result<Vec<Unsure>, StoreError> {
    let sql = "SELECT w.hold, w.kind, p.organization, p.caller, w.at, w.held, w.deadline, w.absent, w.fingerprint, s.bare, w.text, w.since \
               FROM wakes w JOIN payers p ON p.id = w.payer LEFT JOIN sessions s ON s.id = w.session \
               WHERE w.state = 'unknown' AND w.kind = ?1 AND w.hold > ?2 ORDER BY w.hold LIMIT ?3";
    let mut all = connection.prepare_cached(sql)?;
    let after = after.map_or([0; 16], |it| *it.0.as_bytes());
    let most = i64::try_from(MOST).unwrap_or(i64::MAX);
    let mut rows = all.query((sought.as_str(), &after[..], most))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get(1)?;
        let session: Option<String> = row.get(9)?;
        let text: Option<[u8; 32]> = row.get(10)?;
        let kind = match (
            kind.as_str(),
            session.as_deref().and_then(SessionId::parse),
            text,
        ) {
            ("message", Some(session), Some(text)) => UnsureKind::Message { session, text },
            ("create", _, _) => UnsureKind::Create,
            _ => continue,
        };
        let hold: [u8; 16] = row.get(0)?;
        let text = |column| row.get::<_, String>(column).map(String::into_boxed_str);
        let deadline: i64 = row.get(6)?;
        found.push(Unsure {
            hold: HoldId(uuid::Uuid::from_bytes(hold)),
            kind,
            organization: text(2)?,
            caller: text(3)?,
            at: instant(row.get(4)?),
            held: Acu::from_milli(row.get(5)?),
            deadline: Duration::from_millis(deadline.unsigned_abs()),
            absent: row.get::<_, Option<i64>>(7)?.map(Tick),
            fingerprint: row.get(8)?,
            since: row.get::<_, Option<i64>>(11)?.map(instant),
        });
    }
    Ok(found)
}

impl Work<'_> {
    /// What was on its way when the last process ended is unknown (L5), and its attempt has ended with it. `before` is how long
    /// the ledger has been open so far: what was waited for by then stays so, however often a process dies.
    pub(in crate::ledger) fn begin(&mut self, before: Duration) -> Result<usize, StoreError> {
        let connection = &self.store.connection;
        // Of a spend without a cap nothing can be found out: it stays charged.
        let sql = "UPDATE wakes SET state = 'closed' WHERE state IN ('out', 'unknown') AND kind = 'uncapped'";
        connection.execute(sql, [])?;
        let sql = "UPDATE wakes SET state = 'unknown' WHERE state = 'out'";
        let found = connection.execute(sql, [])?;
        let sql = "UPDATE wakes SET deadline = min(deadline, ?1) WHERE state = 'unknown'";
        connection.execute(sql, [store::millis(before)])?;
        let sql = "INSERT OR IGNORE INTO sweeps (organization, until) SELECT p.organization, 0 \
                   FROM wakes w JOIN payers p ON p.id = w.payer WHERE w.state = 'unknown' AND w.kind = 'create'";
        connection.execute(sql, [])?;
        // A rest was timed by a clock that has ended.
        connection.execute("UPDATE sessions SET rest = NULL WHERE rest IS NOT NULL", [])?;
        Ok(found)
    }

    /// A complete listing that began at this tick has not found it. Released at the second one; whether this was it.
    pub(in crate::ledger) fn absent(
        &mut self,
        at: Timestamp,
        hold: HoldId,
        begun: Tick,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT absent FROM wakes WHERE hold = ?1 AND state = 'unknown'";
        let key = hold.0.as_bytes().to_vec();
        let mut one = self.store.connection.prepare_cached(sql)?;
        let first: Option<Option<i64>> = {
            use rusqlite::OptionalExtension;
            one.query_row([&key], |row| row.get(0)).optional()?
        };
        drop(one);
        match first {
            None => Ok(false),
            Some(Some(first)) if first < begun.0 => self.released(at, hold),
            Some(Some(_)) => Ok(false),
            Some(None) => {
                let sql = "UPDATE wakes SET absent = ?2 WHERE hold = ?1";
                self.store.connection.execute(sql, (&key, begun.0))?;
                let line = format!("{hold} was not found, once");
                self.note(at, "absent", &line)?;
                Ok(false)
            }
        }
    }
}

/// What the ledger has of messages of one text to a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alike {
    /// How many were carried out.
    pub carried_out: usize,
    /// How many are on their way.
    pub on_their_way: usize,
    /// Whether the session's prompt was the same.
    pub is_prompt: bool,
}

/// What the ledger has of messages of this text to a session.
pub(in crate::ledger) fn alike(
    connection: &Connection,
    session: &SessionId,
    text: &[u8; 32],
) -> Result<Alike, StoreError> {
    let sql = "SELECT coalesce(sum(w.state IN ('open', 'closed')), 0), coalesce(sum(w.state = 'out'), 0), \
               EXISTS (SELECT 1 FROM sessions s JOIN wakes c ON c.hold = s.hold WHERE s.bare = ?1 AND c.text = ?2) \
               FROM wakes w WHERE w.session = (SELECT id FROM sessions WHERE bare = ?1) AND w.kind = 'message' AND w.text = ?2";
    let mut one = connection.prepare_cached(sql)?;
    let count = |it: i64| usize::try_from(it).unwrap_or(usize::MAX);
    Ok(one.query_row((session.bare(), &text[..]), |row| {
        Ok(Alike {
            carried_out: count(row.get(0)?),
            on_their_way: count(row.get(1)?),
            is_prompt: row.get(2)?,
        })
    })?)
}

/// Sessions that hold something, with their organizations: what the reconciler asks Devin about.
pub(in crate::ledger) fn open_sessions(
    connection: &Connection,
) -> Result<Vec<(Box<str>, SessionId)>, StoreError> {
    let sql = "SELECT DISTINCT p.organization, s.bare FROM wakes w JOIN sessions s ON s.id = w.session \
               JOIN payers p ON p.id = s.payer WHERE w.state IN ('out', 'unknown', 'open')";
    let mut all = connection.prepare_cached(sql)?;
    let mut rows = all.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (organization, bare): (String, String) = (row.get(0)?, row.get(1)?);
        if let Some(session) = SessionId::parse(&bare) {
            found.push((organization.into(), session));
        }
    }
    Ok(found)
}

/// An organization, and until when it has been swept.
pub type Swept = (Box<str>, Option<Timestamp>);

/// Every organization that the ledger knows sessions of, or where a create once had no known outcome. One that was only
/// asked for may not even exist: who may ask for any could make up more of them than can be swept.
pub(in crate::ledger) fn organizations(connection: &Connection) -> Result<Vec<Swept>, StoreError> {
    let sql = "SELECT o.organization, nullif(s.until, 0) FROM ( \
                   SELECT organization FROM payers p WHERE EXISTS (SELECT 1 FROM sessions WHERE payer = p.id) \
                   UNION SELECT organization FROM sweeps \
               ) o LEFT JOIN sweeps s ON s.organization = o.organization";
    let mut all = connection.prepare_cached(sql)?;
    let rows = all.query_map([], |row| {
        let until: Option<i64> = row.get(1)?;
        Ok((
            row.get::<_, String>(0)?.into_boxed_str(),
            until.map(instant),
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How far an organization has been swept, from now on.
pub(in crate::ledger) fn swept(
    connection: &Connection,
    organization: &str,
    until: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO sweeps (organization, until) VALUES (?1, ?2) \
               ON CONFLICT (organization) DO UPDATE SET until = max(until, ?2)";
    connection
        .prepare_cached(sql)?
        .execute((organization, store::micros(until)))?;
    Ok(())
}
