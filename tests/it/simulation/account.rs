//! The comparison at the end: the ledger's file against what Devin knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use tollgate::fake_devin::SessionTruth;
use tollgate::ledger::Ledger;

use crate::agreement::{agrees, number};

/// How many seconds go by for Devin in one of the gateway's.
pub(super) const SPEED: f64 = 60.0;

/// The end of a process.
pub(super) struct Crash {
    /// When, in milliseconds.
    pub(super) at: i64,
    /// The holds whose outcome nobody knew then.
    pub(super) unknown: BTreeSet<String>,
}

/// The ledger's file, read beside whoever has it.
pub(super) struct Account(Connection);

impl Account {
    pub(super) fn open(path: &Path) -> Self {
        Self(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap())
    }

    /// How many wakes are in one of these states.
    pub(super) fn count(&self, states: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM wakes WHERE state IN ({states})");
        number(&self.0, &sql)
    }

    /// The holds whose outcome is unknown.
    pub(super) fn unknown(&self) -> BTreeSet<String> {
        let sql = "SELECT lower(hex(hold)) FROM wakes WHERE state IN ('out', 'unknown')";
        let mut all = self.0.prepare(sql).unwrap();
        let holds = all.query_map([], |row| row.get(0)).unwrap();
        holds.map(Result::unwrap).collect()
    }

    /// See [`agrees`].
    pub(super) fn agrees(&self, truth: &[SessionTruth]) {
        agrees(&self.0, truth);
    }

    /// The digest of the whole history.
    pub(super) fn chain(&self) -> Vec<u8> {
        let sql = "SELECT chain FROM history ORDER BY seq DESC LIMIT 1";
        self.0
            .query_row(sql, [], |row| row.get(0))
            .unwrap_or_default()
    }

    /// Follows the history: at no hold was a window of a budget beyond the largest limit that it ever had.
    pub(super) fn was_never_over(&self, month: u64, day: u64) {
        let sql = "SELECT cause, payer, instant, spent + held FROM history \
                   WHERE payer IS NOT NULL ORDER BY seq";
        let mut lines = self.0.prepare(sql).unwrap();
        let mut rows = lines.query([]).unwrap();
        let mut sums: BTreeMap<(String, Option<i64>), i64> = BTreeMap::new();
        while let Some(row) = rows.next().unwrap() {
            let (cause, payer): (String, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
            let instant = Timestamp::from_microsecond(row.get(2).unwrap()).unwrap();
            let date = instant.to_string()[..10].to_owned();
            let more: i64 = row.get(3).unwrap();
            for (window, payer, limit) in [
                (date[..7].to_owned(), None, month),
                (date, Some(payer), day),
            ] {
                let sum = sums.entry((window.clone(), payer)).or_default();
                *sum += more;
                if cause == "hold" {
                    let most = i64::try_from(limit).unwrap() * 1_000;
                    assert!(*sum <= most, "{sum} of {most} in {window} of {payer:?}");
                }
            }
        }
    }
}

/// Adds everything up anew, as the ledger itself does.
pub(super) async fn verify(ledger: &Ledger) {
    let verdict = ledger.verify().await.unwrap();
    assert!(verdict.is_sound(), "{verdict:?}");
}

/// No intent has become two sessions: unless it had no key, the first one was known and its answer on the way when the
/// process died. Who then repeats it cannot be told from who wants another.
pub(super) fn is_one_session_each(truth: &[SessionTruth], crashes: &[Crash], begin: f64) {
    let mut seen: BTreeMap<&str, &SessionTruth> = BTreeMap::new();
    for session in truth {
        let intent = session.tags.iter().find(|it| it.starts_with("intent:"));
        let intent = intent.expect("the caller's own tag");
        let Some(before) = seen.insert(intent, session) else {
            continue;
        };
        let ours = before.tags.iter().find(|it| it.starts_with("tollgate."));
        let hold = ours.unwrap().split('.').nth(1).unwrap();
        let between = |it: &&Crash| {
            let at = begin + it.at as f64 * SPEED / 1_000.0;
            before.created <= at && at <= session.created
        };
        let mut between = crashes.iter().filter(between);
        let is_lost = between.any(|it| !it.unknown.contains(hold));
        assert!(
            is_lost && !intent.ends_with('k'),
            "two sessions of one intent: {before:?}, {session:?}"
        );
    }
}
