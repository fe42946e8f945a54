//! A file of an earlier version is brought up to date with all that it has.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::*;
use crate::ledger::store::{MIGRATIONS, Store};

const DAY: i64 = 24 * 60 * 60;

/// What accounts with one payer, with many and with none have in the months and days of three months.
async fn all_stands(ledger: &Ledger) -> Vec<(i64, String, Budgeted)> {
    let mut all = Vec::new();
    for day in [0, 1, 20, 40, 41, 80] {
        for caller in ["c0", "c1", "c19", "nobody"] {
            for per in [Per::Caller, Per::Team, Per::Everyone] {
                for every in [Every::Month(Zone::devin()), Every::Day(Zone::devin())] {
                    let mut budget = (*budget("b", None, per, 10_000)).clone();
                    budget.every = every;
                    let asked = vec![(Arc::new(budget), payer(caller))];
                    let stands = ledger.budgeted(at(day * DAY), asked).await.unwrap();
                    let name = format!("{caller} {per:?}");
                    all.extend(stands.into_iter().map(|it| (day, name.clone(), it)));
                }
            }
        }
    }
    all
}

/// How many rows each table has.
fn rows(file: &Connection) -> BTreeMap<String, i64> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let mut tables = file.prepare(sql).unwrap();
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let count = |table: String| {
        let sql = format!("SELECT count(*) FROM {table}");
        let count = file.query_row(&sql, [], |row| row.get(0)).unwrap();
        (table, count)
    };
    tables.map(|it| count(it.unwrap())).collect()
}

/// A file with what `newer` has, as a program would have left it that knew the first `version` migrations.
fn of_version(version: usize, path: &std::path::Path, newer: &std::path::Path) -> Connection {
    let old = Connection::open(path).unwrap();
    for sql in &MIGRATIONS[..version] {
        old.execute_batch(sql).unwrap();
    }
    let taken = i64::try_from(version).unwrap();
    old.pragma_update(None, "user_version", taken).unwrap();
    old.pragma_update(None, "foreign_keys", "OFF").unwrap();
    let newer = newer.to_str().unwrap();
    old.execute("ATTACH ?1 AS newer", [newer]).unwrap();
    for table in rows(&old).into_keys() {
        let sql = format!("SELECT group_concat(name) FROM pragma_table_info('{table}', 'main')");
        let columns: String = old.query_row(&sql, [], |row| row.get(0)).unwrap();
        let sql =
            format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}");
        old.execute(&sql, []).unwrap();
    }
    old.execute("DETACH newer", []).unwrap();
    old
}

/// A ledger with something of every kind, of twenty callers, over three months.
async fn filled(options: Options) -> Ledger {
    let ledger = opened(options).await;
    let month = budget("month", None, Per::Everyone, 10_000);
    for (n, day) in (0_u32..).zip([0, 0, 1, 20, 20, 40, 41, 41, 80, 80]) {
        // One of them comes again and again.
        for (caller, id) in [(n, n), (n + 10, n + 10), (0, n + 20)] {
            let now = at(day * DAY + i64::from(id));
            let mut asked = create(&format!("c{caller}"), 5, &[&month]);
            asked.moment = now;
            let hold = asked.hold;
            ledger.hold(asked).await.unwrap();
            if id % 4 == 3 {
                // Its answer is never heard of.
                continue;
            }
            let made = session(id);
            ledger.created(now, hold, made.clone()).await.unwrap();
            let mut seen = reading(&ledger, 0, 1.5 + f64::from(n), "exit");
            seen.moment = now;
            if id % 4 == 2 {
                let child = session(100 + id);
                ledger.child(child, made, seen).await.unwrap();
            } else {
                // From the fourth on it is more than was held.
                ledger.read(made, seen).await.unwrap();
            }
        }
    }
    ledger
}

#[tokio::test]
async fn l9_m16_the_seventh_migration_keeps_every_balance_and_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let ledger = filled(options.clone()).await;
    sound(&ledger).await;
    let before = all_stands(&ledger).await;
    let (usage, unknown) = (
        ledger.usage(at(-DAY).at, at(100 * DAY).at).await.unwrap(),
        ledger.unknown_holds().await.unwrap(),
    );
    let organizations = ledger.organizations().await.unwrap();
    ledger.close().await;
    let sum = |of: fn(&store::Balance) -> Acu| {
        let all = usage.values().map(|it| of(it).milli());
        all.sum::<i64>()
    };
    for of in [
        |it: &store::Balance| it.spent,
        |it: &store::Balance| it.held,
        |it: &store::Balance| it.overrun,
        |it: &store::Balance| it.unheld,
    ] {
        assert!(sum(of) > 0, "{usage:?}");
    }
    assert!(unknown.0 == 0 && usage.len() == 20);

    let old = Options {
        path: folder.path().join("old.db"),
        ..options.clone()
    };
    let file = of_version(6, &old.path, &options.path);
    let had = rows(&file);
    assert!(
        had["tallies"] > 20 && had["history"] > 40 && had["wakes"] == 30,
        "{had:?}"
    );
    let verdict = store::verify(&file, None).unwrap();
    assert!(verdict.is_sound(), "{verdict:?}");
    drop(file);

    let migrated = Store::open(&old.path).unwrap();
    assert_eq!(rows(&migrated.connection), had);
    drop(migrated);
    let ledger = opened(old.clone()).await;
    assert_eq!(ledger.stopped(), None);
    sound(&ledger).await;
    assert_eq!(all_stands(&ledger).await, before);
    assert_eq!(
        ledger.usage(at(-DAY).at, at(100 * DAY).at).await.unwrap(),
        usage
    );
    assert_eq!(ledger.organizations().await.unwrap(), organizations);
    // What was under way when the first one ended is unknown now, and nothing else has changed.
    assert_eq!(ledger.unknown_holds().await.unwrap().0, 7);
}
