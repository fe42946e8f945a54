//! Sessions and their wakes, from rows to [`Book`]s and back.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::HoldId;
use super::super::book::{Book, Rest, State, Wake};
use super::super::moment::Tick;
use super::super::session::SessionId;
use super::payers::PayerIx;
use super::{StoreError, instant, micros};
use crate::acu::{Acu, Cap};

/// A session with its account, as it stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// Its number in the file: its place in the order of creation.
    pub(crate) id: i64,
    pub(crate) session: SessionId,
    pub(crate) payer: PayerIx,
    pub(crate) cap: Option<Cap>,
    /// How many wakes there have been.
    pub(crate) wakes: u32,
    pub(crate) book: Book,
}

/// What is written down of a new session.
#[derive(Clone, Debug)]
pub(crate) struct NewSession<'a> {
    pub(crate) session: &'a SessionId,
    pub(crate) payer: PayerIx,
    pub(crate) hold: Option<HoldId>,
    pub(crate) cap: Option<Cap>,
    pub(crate) parent: Option<&'a SessionId>,
    pub(crate) origin: &'static str,
}

/// What is written down of a new wake, beside what its book says.
#[derive(Clone, Debug)]
pub(crate) struct NewWake<'a> {
    pub(crate) session: Option<i64>,
    pub(crate) payer: PayerIx,
    pub(crate) kind: &'static str,
    pub(crate) operation: &'a str,
    pub(crate) deadline: Duration,
    pub(crate) fingerprint: &'a [u8; 32],
    pub(crate) text: Option<&'a [u8; 32]>,
    /// Of a create without a tag: no session that is older can be its own.
    pub(crate) since: Option<Timestamp>,
}

const WAKE: &str = "hold, number, at, held, used, state, answered";

fn read_wake(row: &Row<'_>) -> rusqlite::Result<Wake> {
    let hold: [u8; 16] = row.get(0)?;
    let state: String = row.get(5)?;
    let answered: Option<i64> = row.get(6)?;
    Ok(Wake {
        hold: HoldId(uuid::Uuid::from_bytes(hold)),
        number: row.get(1)?,
        at: instant(row.get(2)?),
        held: Acu::from_milli(row.get(3)?),
        used: Acu::from_milli(row.get(4)?),
        state: match (state.as_str(), answered) {
            ("out", _) => State::Out,
            ("open", Some(tick)) => State::Open(Tick(tick)),
            ("closed", _) => State::Closed,
            ("released", _) => State::Released,
            // What cannot be read is not known, and keeps its hold.
            _ => State::Unknown,
        },
    })
}

fn state(state: State) -> (&'static str, Option<i64>) {
    match state {
        State::Out => ("out", None),
        State::Unknown => ("unknown", None),
        State::Open(Tick(tick)) => ("open", Some(tick)),
        State::Closed => ("closed", None),
        State::Released => ("released", None),
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct StoredRest {
    begun: i64,
    up_ms: u64,
    state: String,
    usage: i64,
}

fn read_rest(text: &str) -> Option<Rest> {
    let stored: StoredRest = serde_json::from_str(text).ok()?;
    Some(Rest {
        begun: Tick(stored.begun),
        up: Duration::from_millis(stored.up_ms),
        state: stored.state.into(),
        usage: Acu::from_milli(stored.usage),
    })
}

fn rest_text(rest: &Rest) -> Option<String> {
    let stored = StoredRest {
        begun: rest.begun.0,
        up_ms: u64::try_from(rest.up.as_millis()).unwrap_or(u64::MAX),
        state: rest.state.to_string(),
        usage: rest.usage.milli(),
    };
    serde_json::to_string(&stored).ok()
}

/// How durations are stored.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A session with the wakes that hold something.
pub(crate) fn load(
    connection: &Connection,
    session: &SessionId,
) -> Result<Option<Loaded>, StoreError> {
    let sql = "SELECT id, payer, cap, wakes, usage, rest, missing, ended, written FROM sessions WHERE bare = ?1";
    let mut one = connection.prepare_cached(sql)?;
    let found = one.query_row([session.bare()], |row| {
        let cap: Option<i64> = row.get(2)?;
        let rest: Option<String> = row.get(5)?;
        let missing: i64 = row.get(6)?;
        Ok(Loaded {
            id: row.get(0)?,
            session: session.clone(),
            payer: PayerIx(row.get(1)?),
            cap: cap.and_then(Cap::new),
            wakes: row.get(3)?,
            book: Book {
                usage: Acu::from_milli(row.get(4)?),
                wakes: Vec::new(),
                rest: rest.as_deref().and_then(read_rest),
                missing: Duration::from_millis(missing.unsigned_abs()),
                ended: row.get(7)?,
                written: Acu::from_milli(row.get(8)?),
            },
        })
    });
    let Some(mut loaded) = found.optional()? else {
        return Ok(None);
    };
    let sql = format!(
        "SELECT {WAKE} FROM wakes WHERE session = ?1 AND state IN ('out', 'unknown', 'open') ORDER BY number"
    );
    let mut wakes = connection.prepare_cached(&sql)?;
    for wake in wakes.query_map([loaded.id], read_wake)? {
        loaded.book.wakes.push(wake?);
    }
    Ok(Some(loaded))
}

/// A wake, and what stands beside it in the file.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) wake: Wake,
    pub(crate) payer: PayerIx,
    /// None of a create without a known outcome, or a spend without a cap.
    pub(crate) session: Option<SessionId>,
    /// create, message, uncapped
    pub(crate) kind: Box<str>,
}

/// A wake by its hold, whatever its state.
pub(crate) fn wake(connection: &Connection, hold: HoldId) -> Result<Option<Found>, StoreError> {
    let sql = "SELECT w.hold, w.number, w.at, w.held, w.used, w.state, w.answered, w.payer, s.bare, w.kind \
               FROM wakes w LEFT JOIN sessions s ON s.id = w.session WHERE w.hold = ?1";
    let mut one = connection.prepare_cached(sql)?;
    let found = one.query_row([&hold.0.as_bytes()[..]], |row| {
        let bare: Option<String> = row.get(8)?;
        let kind: String = row.get(9)?;
        Ok(Found {
            wake: read_wake(row)?,
            payer: PayerIx(row.get(7)?),
            session: bare.as_deref().and_then(SessionId::parse),
            kind: kind.into(),
        })
    });
    Ok(found.optional()?)
}

/// Writes down a new session. Its number is its place in the order of creation.
pub(crate) fn insert_session(
    connection: &Connection,
    new: &NewSession<'_>,
) -> Result<i64, StoreError> {
    let sql = "INSERT INTO sessions (bare, payer, hold, cap, parent, origin, wakes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let id = connection.prepare_cached(sql)?.insert((
        new.session.bare(),
        new.payer.0,
        new.hold.map(|it| it.0.as_bytes().to_vec()),
        new.cap.map(Cap::get),
        new.parent.map(SessionId::bare),
        new.origin,
        i64::from(new.hold.is_some()),
    ))?;
    let sql = "UPDATE payers SET has_sessions = 1 WHERE id = ?1 AND has_sessions = 0";
    connection.prepare_cached(sql)?.execute([new.payer.0])?;
    Ok(id)
}

/// Writes down a new wake.
pub(crate) fn insert_wake(
    connection: &Connection,
    wake: &Wake,
    new: &NewWake<'_>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO wakes (hold, session, number, payer, kind, operation, at, held, used, state, answered, deadline, fingerprint, text, since) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let (state, answered) = state(wake.state);
    connection.prepare_cached(sql)?.execute((
        &wake.hold.0.as_bytes()[..],
        new.session,
        wake.number,
        new.payer.0,
        new.kind,
        new.operation,
        micros(wake.at),
        wake.held.milli(),
        wake.used.milli(),
        state,
        answered,
        millis(new.deadline),
        &new.fingerprint[..],
        new.text.map(|it| &it[..]),
        new.since.map(micros),
    ))?;
    Ok(())
}

/// Writes down what has changed about a wake.
pub(crate) fn update_wake(connection: &Connection, wake: &Wake) -> Result<(), StoreError> {
    let sql = "UPDATE wakes SET used = ?2, state = ?3, answered = ?4 WHERE hold = ?1";
    let (state, answered) = state(wake.state);
    connection.prepare_cached(sql)?.execute((
        &wake.hold.0.as_bytes()[..],
        wake.used.milli(),
        state,
        answered,
    ))?;
    Ok(())
}

/// A create's wake gets the session that came of it, and its place among that one's wakes.
pub(crate) fn assign(
    connection: &Connection,
    hold: HoldId,
    session: i64,
    number: u32,
) -> Result<(), StoreError> {
    let sql = "UPDATE wakes SET session = ?2, number = ?3 WHERE hold = ?1";
    connection
        .prepare_cached(sql)?
        .execute((&hold.0.as_bytes()[..], session, number))?;
    Ok(())
}

/// Writes down what has changed about a session since it was `before`.
pub(crate) fn update(
    connection: &Connection,
    before: &Loaded,
    after: &Loaded,
) -> Result<(), StoreError> {
    for wake in &after.book.wakes {
        let had = before.book.wakes.iter().find(|it| it.hold == wake.hold);
        if had.is_some_and(|had| had != wake) {
            update_wake(connection, wake)?;
        }
    }
    let (one, two) = (&before.book, &after.book);
    if before.wakes == after.wakes
        && (one.usage, &one.rest, one.missing, one.ended, one.written)
            == (two.usage, &two.rest, two.missing, two.ended, two.written)
    {
        return Ok(());
    }
    let sql = "UPDATE sessions SET wakes = ?2, usage = ?3, rest = ?4, missing = ?5, ended = ?6, written = ?7 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute((
        after.id,
        after.wakes,
        two.usage.milli(),
        two.rest.as_ref().and_then(rest_text),
        millis(two.missing),
        two.ended,
        two.written.milli(),
    ))?;
    Ok(())
}
