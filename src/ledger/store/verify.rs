//! Whether the ledger's parts agree: the chain is followed, and every sum is added up anew from the history.

use rusqlite::Connection;
use serde::Serialize;

use super::StoreError;
use super::history::{COLUMNS, Stored};

/// The most differences of one kind that are listed.
const MOST: usize = 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How many lines the history has.
    pub lines: i64,
    /// What does not agree, in words; empty where all does.
    pub differences: Vec<String>,
}

impl Verdict {
    /// Whether all agrees.
    pub fn is_sound(&self) -> bool {
        self.differences.is_empty()
    }

    fn note(&mut self, count: &mut usize, what: impl FnOnce() -> String) {
        *count += 1;
        if *count <= MOST {
            self.differences.push(what());
        } else if *count == MOST + 1 {
            self.differences.push("… and more of this kind".to_owned());
        }
    }
}

/// Checks the chain behind the line `after`, which is believed; or all of it, and every sum.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn verify(connection: &Connection, after: Option<i64>) -> Result<Verdict, StoreError> {
    let mut verdict = Verdict::default();
    follow_chain(connection, after.unwrap_or(0), &mut verdict)?;
    if after.is_none() {
        for (what, sql) in SUMS {
            compare(connection, what, sql, &mut verdict)?;
        }
    }
    Ok(verdict)
}

fn follow_chain(
    connection: &Connection,
    after: i64,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let last: i64 =
        connection.query_row("SELECT coalesce(max(seq), 0) FROM history", [], |row| {
            row.get(0)
        })?;
    verdict.lines = last;
    let sql = format!("SELECT {COLUMNS} FROM history WHERE seq >= ?1 ORDER BY seq");
    let mut lines = connection.prepare(&sql)?;
    let mut lines = lines.query_map([after], Stored::read)?;
    let mut count = 0;
    // From the middle, the first line is believed.
    let (mut before, mut expected) = ([0; 32], 1);
    if after > 0 {
        let first = lines.next().transpose()?;
        if first.as_ref().is_none_or(|it| it.seq != after) {
            verdict.note(&mut count, || format!("history: line {after} is missing"));
        }
        let Some(line) = first else {
            return Ok(());
        };
        before = line.chain.try_into().unwrap_or([0; 32]);
        expected = line.seq + 1;
    }
    for line in lines {
        let line = line?;
        if line.seq != expected {
            verdict.note(&mut count, || {
                format!("history: line {expected} is missing")
            });
        } else if line.digest(&before)[..] != line.chain[..] {
            let seq = line.seq;
            verdict.note(&mut count, || {
                format!("history: line {seq} is not as it was written")
            });
        }
        expected = line.seq + 1;
        before = line.chain.try_into().unwrap_or([0; 32]);
    }
    Ok(())
}

/// What has to agree, and the statement that lists where it does not: a name, what stands there, what it should be.
const SUMS: [(&str, &str); 4] = [
    (
        "the sums of payer and slot",
        "WITH added AS (
             SELECT payer, instant / 900000000 AS slot, sum(spent) AS spent, sum(held) AS held,
                 sum(CASE WHEN cause = 'overrun' THEN spent ELSE 0 END) AS overrun,
                 sum(CASE WHEN cause = 'unheld' THEN spent ELSE 0 END) AS unheld
             FROM history WHERE payer IS NOT NULL AND instant IS NOT NULL GROUP BY 1, 2),
         both AS (
             SELECT payer, slot, spent, held, overrun, unheld, 0 AS s, 0 AS h, 0 AS o, 0 AS u FROM tallies
             UNION ALL SELECT payer, slot, 0, 0, 0, 0, spent, held, overrun, unheld FROM added)
         SELECT payer || '/' || slot,
             sum(spent) || ' spent, ' || sum(held) || ' held, ' || sum(overrun) || ' overrun, ' || sum(unheld) || ' unheld',
             sum(s) || ' spent, ' || sum(h) || ' held, ' || sum(o) || ' overrun, ' || sum(u) || ' unheld'
         FROM both GROUP BY payer, slot
         HAVING sum(spent) <> sum(s) OR sum(held) <> sum(h) OR sum(overrun) <> sum(o) OR sum(unheld) <> sum(u)",
    ),
    (
        "what a hold has used",
        "SELECT hex(w.hold), w.used, coalesce(sum(h.spent), 0) FROM wakes w
         LEFT JOIN history h ON h.hold = w.hold GROUP BY w.hold HAVING w.used <> coalesce(sum(h.spent), 0)",
    ),
    (
        "what a hold has left",
        "SELECT hex(w.hold), CASE WHEN w.state IN ('out', 'unknown', 'open') THEN max(w.held - w.used, 0) ELSE 0 END,
             coalesce(sum(h.held), 0)
         FROM wakes w LEFT JOIN history h ON h.hold = w.hold WHERE w.kind <> 'uncapped' GROUP BY w.hold
         HAVING coalesce(sum(h.held), 0) <>
             CASE WHEN w.state IN ('out', 'unknown', 'open') THEN max(w.held - w.used, 0) ELSE 0 END",
    ),
    (
        "the usage of a session",
        "SELECT s.bare, s.usage, coalesce(sum(h.spent), 0) FROM sessions s
         LEFT JOIN history h ON h.session = s.bare AND h.cause IN ('use', 'overrun', 'unheld')
         GROUP BY s.bare HAVING s.usage <> coalesce(sum(h.spent), 0)",
    ),
];

fn compare(
    connection: &Connection,
    what: &str,
    sql: &str,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let text = |column| -> rusqlite::Result<String> {
            Ok(match row.get_ref(column)?.as_i64() {
                Ok(number) => number.to_string(),
                Err(_) => row.get_ref(column)?.as_str().unwrap_or("?").to_owned(),
            })
        };
        let (name, has, should) = (text(0)?, text(1)?, text(2)?);
        verdict.note(&mut count, || {
            format!("{what}: {name} has {has}, and its history says {should}")
        });
    }
    Ok(())
}
