//! What is only looked up, over a connection of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::super::session::{Origin, Position, SessionId};
use super::super::store::{self, Aliases, Balance};
use super::super::{HoldId, Resolution, StoreError};
use crate::acu::{Acu, Cap};
use crate::budget::{Account, Payer};

/// Where a session comes from.
pub(in crate::ledger) fn origin(
    connection: &Connection,
    session: &SessionId,
) -> Result<Option<Origin>, StoreError> {
    let sql = "SELECT p.organization, p.team, p.caller, s.hold, s.cap, s.id FROM sessions s \
               JOIN payers p ON p.id = s.payer WHERE s.bare = ?1";
    let mut one = connection.prepare_cached(sql)?;
    let found = one.query_row([session.bare()], |row| {
        let text = |column| row.get::<_, String>(column).map(Arc::from);
        let hold: Option<[u8; 16]> = row.get(3)?;
        let cap: Option<i64> = row.get(4)?;
        Ok(Origin {
            position: Position(row.get(5)?),
            payer: Payer {
                organization: text(0)?,
                team: text(1)?,
                caller: text(2)?,
            },
            hold: hold.map(|it| HoldId(uuid::Uuid::from_bytes(it))),
            cap: cap.and_then(Cap::new),
        })
    });
    Ok(found.optional()?)
}

/// Sessions of an account's payers, newest first.
pub(in crate::ledger) fn sessions_of(
    connection: &Connection,
    account: &Account,
    aliases: &Aliases,
    after: Option<Position>,
    limit: usize,
) -> Result<Vec<(Position, SessionId)>, StoreError> {
    // Not those who only asked: they can be many more.
    let sql = "SELECT id, organization, team, caller FROM payers WHERE has_sessions = 1";
    let mut payers = connection.prepare_cached(sql)?;
    let mut rows = payers.query([])?;
    let mut wanted = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| row.get::<_, String>(column).map(Arc::from);
        let payer = Payer {
            organization: text(1)?,
            team: text(2)?,
            caller: text(3)?,
        };
        if account.counts(&aliases.today(&payer)) {
            wanted.push(row.get::<_, i64>(0)?);
        }
    }
    let before = after.map_or(i64::MAX, |Position(it)| it);
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql =
        "SELECT id, bare FROM sessions WHERE payer = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
    let mut newest = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    for payer in wanted {
        let rows = newest.query_map((payer, before, most), |row| {
            Ok((Position(row.get(0)?), row.get::<_, String>(1)?))
        })?;
        for row in rows {
            let (position, bare) = row?;
            found.extend(SessionId::parse(&bare).map(|it| (position, it)));
        }
    }
    found.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
    found.truncate(limit);
    Ok(found)
}

/// What the ledger knows of the session of a create's hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It never heard of such a hold.
    Unheard,
    /// The create has no known outcome yet.
    Awaited,
    /// It has its session.
    Known,
    /// The hold was given back or written off: no session was to come of it.
    Ruled,
}

/// What is known of the session of a create's hold.
pub(in crate::ledger) fn birth(connection: &Connection, hold: HoldId) -> Result<Birth, StoreError> {
    let sql = "SELECT w.session IS NOT NULL OR EXISTS (SELECT 1 FROM sessions WHERE hold = ?1), \
               w.state IN ('closed', 'released') FROM (SELECT 1) LEFT JOIN wakes w ON w.hold = ?1";
    let mut one = connection.prepare_cached(sql)?;
    Ok(one.query_row([&hold.0.as_bytes()[..]], |row| {
        Ok(match (row.get(0)?, row.get::<_, Option<bool>>(1)?) {
            (true, _) => Birth::Known,
            (false, Some(true)) => Birth::Ruled,
            (false, Some(false)) => Birth::Awaited,
            (false, None) => Birth::Unheard,
        })
    })?)
}

/// How a hold ended, if its outcome is known by now.
pub(in crate::ledger) fn ended(
    connection: &Connection,
    hold: HoldId,
) -> Result<Option<Resolution>, StoreError> {
    let sql = "SELECT w.state, s.bare FROM wakes w LEFT JOIN sessions s ON s.id = w.session WHERE w.hold = ?1";
    let mut one = connection.prepare_cached(sql)?;
    let found = one.query_row([&hold.0.as_bytes()[..]], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
    });
    Ok(match found.optional()? {
        // A hold that was never taken, or was given back: nothing came of it.
        None => Some(Resolution::Absent),
        Some((state, _)) if state == "released" => Some(Resolution::Absent),
        Some((state, Some(bare))) if state == "open" || state == "closed" => {
            let session = SessionId::parse(&bare);
            Some(session.map_or(Resolution::Unresolvable, |session| {
                // Devin's own record was seen by another process; what matters of it is which session it is.
                let record = serde_json::json!({ "session_id": session.to_string() });
                Resolution::Accepted(record.to_string().into())
            }))
        }
        Some((state, None)) if state == "closed" => Some(Resolution::Unresolvable),
        Some(_) => None,
    })
}

/// What each payer has spent and holds of what counts from `from` until just before `to`, under the names of today.
pub(in crate::ledger) fn usage(
    connection: &Connection,
    aliases: &Aliases,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<Payer, Balance>, StoreError> {
    let sql = "SELECT p.organization, p.team, p.caller, sum(t.spent), sum(t.held), sum(t.overrun), sum(t.unheld) \
               FROM tallies t JOIN payers p ON p.id = t.payer WHERE t.slot >= ?1 AND t.slot < ?2 GROUP BY p.id";
    let mut all = connection.prepare(sql)?;
    let mut rows = all.query((store::slot_from(from), store::slot_from(to)))?;
    let mut found: BTreeMap<Payer, Balance> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let text = |column| row.get::<_, String>(column).map(Arc::from);
        let acu = |column| row.get(column).map(Acu::from_milli);
        let payer = Payer {
            organization: text(0)?,
            team: text(1)?,
            caller: text(2)?,
        };
        let part = Balance {
            spent: acu(3)?,
            held: acu(4)?,
            overrun: acu(5)?,
            unheld: acu(6)?,
        };
        let sum = found.entry(aliases.today(&payer)).or_default();
        sum.add(&part).ok_or_else(store::overflow)?;
    }
    Ok(found)
}

/// How many holds have no known outcome, and how much they are.
pub(in crate::ledger) fn unknown_holds(connection: &Connection) -> Result<(u64, Acu), StoreError> {
    let sql = "SELECT count(*), coalesce(sum(held - used), 0) FROM wakes WHERE state = 'unknown'";
    let mut one = connection.prepare_cached(sql)?;
    Ok(one.query_row([], |row| {
        Ok((
            row.get::<_, i64>(0)?.unsigned_abs(),
            Acu::from_milli(row.get(1)?),
        ))
    })?)
}
