//! A ledger with a long history: sessions of the two years before now, all settled.
//!
//! Written into the file itself, which is some hundred times faster than to live through it; whether the ledger takes
//! it for its own is asked of the ledger.

use std::collections::HashMap;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use rusqlite::{Connection, Transaction};
use tollgate::budget::Payer;
use uuid::{NoContext, Uuid};

pub(crate) const TEAM: &str = "team";
/// How many callers there are.
const CALLERS: usize = 256;
/// How long ago the first session was, in microseconds.
const SPAN: i64 = 2 * 365 * 86_400 * 1_000_000;
/// How many sessions are written in one transaction.
const PART: u64 = 100_000;
/// What each session held, and what it used, in thousandths of an ACU.
const HELD: i64 = 5_000;
const USED: i64 = 3_210;

pub(crate) fn payer(caller: usize) -> Payer {
    Payer {
        organization: "org-bench".into(),
        team: TEAM.into(),
        caller: format!("caller-{}", caller % CALLERS).into(),
    }
}

/// Writes so many sessions into a ledger that is closed.
pub(crate) fn fill(path: &Path, sessions: u64) {
    let mut connection = Connection::open(path).unwrap();
    // Nothing is to outlive a crash here.
    connection
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;")
        .unwrap();
    let mut history = History::default();
    let begun = Timestamp::now().as_microsecond() - SPAN;
    for first in (0..sessions).step_by(PART as usize) {
        let transaction = connection.transaction().unwrap();
        if first == 0 {
            payers(&transaction);
        }
        for number in first..sessions.min(first + PART) {
            let share = i128::from(SPAN) * i128::from(number) / i128::from(sessions);
            let at = begun + i64::try_from(share).unwrap();
            history.session(&transaction, number, at);
        }
        history.post(&transaction);
        transaction.commit().unwrap();
    }
    connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")
        .unwrap();
}

fn payers(transaction: &Transaction<'_>) {
    let sql = "INSERT INTO payers (id, organization, team, caller) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = transaction.prepare(sql).unwrap();
    for caller in 0..CALLERS {
        let it = payer(caller);
        let names = (&*it.organization, &*it.team, &*it.caller);
        insert
            .execute((caller as i64 + 1, names.0, names.1, names.2))
            .unwrap();
    }
}

/// What has been written so far: the end of the chain, and the sums that are not in the file yet.
#[derive(Default)]
struct History {
    line: i64,
    head: [u8; 32],
    spent: HashMap<(i64, i64), i64>,
}

impl History {
    fn session(&mut self, transaction: &Transaction<'_>, number: u64, at: i64) {
        let payer = i64::try_from(number % CALLERS as u64).unwrap() + 1;
        let seconds = u64::try_from(at).unwrap() / 1_000_000;
        let hold = Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, 0));
        let hold = hold.as_bytes();
        let bare = Uuid::now_v7().simple().to_string();
        let id = i64::try_from(number).unwrap() + 1;
        let sql = "INSERT INTO sessions (id, bare, payer, hold, cap, origin, wakes, usage, ended) \
                   VALUES (?1, ?2, ?3, ?4, ?5, 'created', 1, ?6, 1)";
        transaction
            .prepare_cached(sql)
            .unwrap()
            .execute((id, &bare, payer, &hold[..], HELD / 1_000, USED))
            .unwrap();
        let sql = "INSERT INTO wakes (hold, session, number, payer, kind, operation, at, held, used, state, deadline, fingerprint) \
                   VALUES (?1, ?2, 1, ?3, 'create', 'sessions.create', ?4, ?5, ?6, 'closed', 0, zeroblob(32))";
        transaction
            .prepare_cached(sql)
            .unwrap()
            .execute((&hold[..], id, payer, at, HELD, USED))
            .unwrap();
        let entries = [
            ("hold", None, 0, HELD),
            ("use", Some(&*bare), USED, -USED),
            ("rest", Some(&*bare), 0, USED - HELD),
        ];
        for (cause, session, spent, held) in entries {
            self.append(transaction, cause, hold, session, payer, at, spent, held);
        }
        *self.spent.entry((payer, at / 900_000_000)).or_default() += USED;
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one for each column that is not empty"
    )]
    fn append(
        &mut self,
        transaction: &Transaction<'_>,
        cause: &str,
        hold: &[u8; 16],
        session: Option<&str>,
        payer: i64,
        at: i64,
        spent: i64,
        held: i64,
    ) {
        self.line += 1;
        let mut context = Context::new(&SHA256);
        context.update(&self.head);
        let mut column = |bytes: Option<&[u8]>| {
            let length = bytes.map_or(0, |it| it.len() as u64 + 1);
            context.update(&length.to_be_bytes());
            context.update(bytes.unwrap_or_default());
        };
        column(Some(&self.line.to_be_bytes()));
        column(Some(&at.to_be_bytes()));
        column(Some(cause.as_bytes()));
        column(Some(hold));
        column(session.map(str::as_bytes));
        column(Some(&payer.to_be_bytes()));
        column(Some(&at.to_be_bytes()));
        column(Some(&spent.to_be_bytes()));
        column(Some(&held.to_be_bytes()));
        column(None);
        self.head.copy_from_slice(context.finish().as_ref());
        let sql = "INSERT INTO history (seq, at, cause, hold, session, payer, instant, spent, held, chain) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?2, ?7, ?8, ?9)";
        transaction
            .prepare_cached(sql)
            .unwrap()
            .execute((
                self.line,
                at,
                cause,
                &hold[..],
                session,
                payer,
                spent,
                held,
                &self.head[..],
            ))
            .unwrap();
    }

    /// Writes the sums.
    fn post(&mut self, transaction: &Transaction<'_>) {
        let sql = "INSERT INTO tallies (payer, slot, spent, held) VALUES (?1, ?2, ?3, 0) \
                   ON CONFLICT (payer, slot) DO UPDATE SET spent = spent + ?3";
        let mut upsert = transaction.prepare_cached(sql).unwrap();
        for ((payer, slot), spent) in self.spent.drain() {
            upsert.execute((payer, slot, spent)).unwrap();
        }
    }
}
