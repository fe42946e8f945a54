//! Files of earlier versions.

use super::*;

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
