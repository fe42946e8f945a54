//! The history: every entry, in order, never changed, each line chained to the one before.
//!
//! Whoever changes or removes a line, or puts one in, breaks the chain from there on; `tollgate budget verify` follows
//! it from its beginning, and each start of the process its last part.

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::HoldId;
use super::{StoreError, micros};
use crate::acu::Acu;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// When it is written.
    pub(crate) at: Timestamp,
    pub(crate) cause: &'a str,
    pub(crate) hold: Option<HoldId>,
    /// The session's bare id.
    pub(crate) session: Option<&'a str>,
    pub(crate) payer: Option<i64>,
    /// When it counts.
    pub(crate) instant: Option<Timestamp>,
    pub(crate) spent: Acu,
    pub(crate) held: Acu,
    pub(crate) note: Option<&'a str>,
}

/// The end of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(super) seq: i64,
    pub(super) head: [u8; 32],
}

/// A line as it stands in the file.
pub(super) struct Stored {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) cause: String,
    pub(super) hold: Option<Vec<u8>>,
    pub(super) session: Option<String>,
    pub(super) payer: Option<i64>,
    pub(super) instant: Option<i64>,
    pub(super) spent: i64,
    pub(super) held: i64,
    pub(super) note: Option<String>,
    pub(super) chain: Vec<u8>,
}

pub(super) const COLUMNS: &str =
    "seq, at, cause, hold, session, payer, instant, spent, held, note, chain";

impl Stored {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            cause: row.get(2)?,
            hold: row.get(3)?,
            session: row.get(4)?,
            payer: row.get(5)?,
            instant: row.get(6)?,
            spent: row.get(7)?,
            held: row.get(8)?,
            note: row.get(9)?,
            chain: row.get(10)?,
        })
    }

    /// The digest that it should have behind this one.
    pub(super) fn digest(&self, before: &[u8; 32]) -> [u8; 32] {
        digest(
            before,
            self.seq,
            self.at,
            &self.cause,
            self.hold.as_deref(),
            self.session.as_deref(),
            self.payer,
            self.instant,
            self.spent,
            self.held,
            self.note.as_deref(),
        )
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one for each column, so that none is left out of the digest"
)]
fn digest(
    before: &[u8; 32],
    seq: i64,
    at: i64,
    cause: &str,
    hold: Option<&[u8]>,
    session: Option<&str>,
    payer: Option<i64>,
    instant: Option<i64>,
    spent: i64,
    held: i64,
    note: Option<&str>,
) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(before);
    // Each column with its length, so that nothing can move from one to the next; none is not the same as empty.
    let mut column = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => {
            context.update(&(bytes.len() as u64 + 1).to_be_bytes());
            context.update(bytes);
        }
        None => context.update(&0_u64.to_be_bytes()),
    };
    column(Some(&seq.to_be_bytes()));
    column(Some(&at.to_be_bytes()));
    column(Some(cause.as_bytes()));
    column(hold);
    column(session.map(str::as_bytes));
    column(payer.map(i64::to_be_bytes).as_ref().map(|it| &it[..]));
    column(instant.map(i64::to_be_bytes).as_ref().map(|it| &it[..]));
    column(Some(&spent.to_be_bytes()));
    column(Some(&held.to_be_bytes()));
    column(note.map(str::as_bytes));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

impl Chain {
    /// How many lines there are.
    pub(crate) fn lines(&self) -> i64 {
        self.seq
    }

    /// The end of the file's history.
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT seq, chain FROM history ORDER BY seq DESC LIMIT 1";
        let last = connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))
            .optional()?;
        let Some((seq, head)) = last else {
            return Ok(Self::default());
        };
        let head = head
            .try_into()
            .map_err(|_| StoreError("the last line of its history has no digest".into()))?;
        Ok(Self { seq, head })
    }

    /// Writes a line.
    pub(crate) fn append(
        &mut self,
        connection: &Connection,
        line: &Line<'_>,
    ) -> Result<(), StoreError> {
        let seq = self.seq + 1;
        let hold = line.hold.map(|it| *it.0.as_bytes());
        let hold = hold.as_ref().map(|it| &it[..]);
        let (at, instant) = (micros(line.at), line.instant.map(micros));
        let (spent, held) = (line.spent.milli(), line.held.milli());
        let chain = digest(
            &self.head,
            seq,
            at,
            line.cause,
            hold,
            line.session,
            line.payer,
            instant,
            spent,
            held,
            line.note,
        );
        let sql = "INSERT INTO history (seq, at, cause, hold, session, payer, instant, spent, held, note, chain) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        connection.prepare_cached(sql)?.execute((
            seq,
            at,
            line.cause,
            hold,
            line.session,
            line.payer,
            instant,
            spent,
            held,
            line.note,
            &chain[..],
        ))?;
        *self = Self { seq, head: chain };
        Ok(())
    }
}
