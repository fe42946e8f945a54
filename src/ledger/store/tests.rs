//! Files of earlier versions, and sums of accounts with few payers and with many.

use super::*;
use crate::acu::Acu;
use crate::budget::{Account, Payer, Window};

/// Every sum of the file, by payer and slot.
fn tallies(connection: &Connection) -> Vec<[i64; 6]> {
    let sql = "SELECT payer, slot, spent, held, overrun, unheld FROM tallies ORDER BY payer, slot";
    let mut all = connection.prepare(sql).unwrap();
    let rows = all.query_map([], |row| {
        let mut read = [0; 6];
        for (column, it) in read.iter_mut().enumerate() {
            *it = row.get(column)?;
        }
        Ok(read)
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_sum_of_the_version_before_slots_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let old = Connection::open(&path).unwrap();
    let slots = MIGRATIONS
        .iter()
        .position(|sql| sql.contains("tallies_by_slot"))
        .unwrap();
    for sql in &MIGRATIONS[..slots] {
        old.execute_batch(sql).unwrap();
    }
    old.pragma_update(None, "user_version", i64::try_from(slots).unwrap())
        .unwrap();
    for payer in 1..=30_i64 {
        let sql = "INSERT INTO payers (id, organization, team, caller) VALUES (?1, 'o', 't', ?2)";
        old.execute(sql, (payer, format!("c{payer}"))).unwrap();
        for slot in [-3, 0, 1, 96, 2_000_000] {
            let sql = "INSERT INTO tallies (payer, slot, spent, held, overrun, unheld) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let sums = (payer, slot, 10 * payer + slot, payer, slot % 7, 3);
            old.execute(sql, sums).unwrap();
        }
    }
    let before = tallies(&old);
    assert_eq!(before.len(), 150);
    drop(old);
    let store = Store::open(&path).unwrap();
    assert_eq!(tallies(&store.connection), before);
    let version: i64 = store
        .connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(usize::try_from(version).unwrap(), MIGRATIONS.len());
    let check: String = store
        .connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn l9_few_payers_and_many_are_added_up_alike_within_the_window() {
    const QUARTER: i64 = 15 * 60 * 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("l.db")).unwrap();
    // From within a slot on, to within another: both count in the windows that they begin in.
    let (first, end) = (-2, 5);
    let window = Window {
        start: instant(first * QUARTER - 7),
        end: instant(end * QUARTER - 7),
    };
    let account = |team: &str| Account {
        organization: None,
        team: Some(team.into()),
        caller: None,
    };
    // On both sides of where another way is taken to the same sums, each among payers of other teams.
    for many in [0, 1, 15, 16, 17, 33] {
        let (team, mut expected) = (format!("team of {many}"), Balance::default());
        for n in 0..2 * many {
            let is_of_it = n % 2 == 0;
            let payer = Payer {
                organization: "o".into(),
                team: if is_of_it { &*team } else { "another" }.into(),
                caller: format!("{many}/{n}").into(),
            };
            let payer = store.payers.number(&store.connection, &payer).unwrap();
            for slot in [first - 1, first, 0, end - 1, end] {
                let change = Balance {
                    spent: Acu::from_milli(1_000 * n + slot),
                    held: Acu::from_milli(n - slot),
                    overrun: Acu::from_milli(n % 3),
                    unheld: Acu::from_milli(n % 5),
                };
                let posted = Posted {
                    payer,
                    slot,
                    change,
                };
                // Twice, so that the sums of a slot are changed and not only made.
                tally(&store.connection, &posted).unwrap();
                tally(&store.connection, &posted).unwrap();
                if is_of_it && (first..end).contains(&slot) {
                    expected.add(&change).unwrap();
                    expected.add(&change).unwrap();
                }
            }
        }
        let has =
            Balances::default().balance(&store.connection, &store.payers, &account(&team), window);
        assert_eq!(has.unwrap(), expected, "{team}");
    }
}
