//! The comparison at the end of whatever was done to the gateway: the ledger's file against what Devin knows.

use rusqlite::Connection;
use tollgate::fake_devin::SessionTruth;

/// The one number that a statement finds.
pub(crate) fn number(ledger: &Connection, sql: &str) -> i64 {
    ledger.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// No session without a hold, no hold without a session, nothing lost, nothing twice, nothing beyond a cap.
pub(crate) fn agrees(ledger: &Connection, truth: &[SessionTruth]) {
    for session in truth {
        agrees_on(ledger, session);
    }
    let count = i64::try_from(truth.len()).unwrap();
    assert_eq!(number(ledger, "SELECT count(*) FROM sessions"), count);
    let spent: i64 = truth.iter().map(|it| it.spent_milli).sum();
    let sum = |what: &str| {
        number(
            ledger,
            &format!("SELECT coalesce(sum({what}), 0) FROM tallies"),
        )
    };
    assert_eq!(
        (sum("spent"), sum("held"), sum("overrun"), sum("unheld")),
        (spent, 0, 0, 0),
        "spent, held, overrun, unheld"
    );
    let orphans = "SELECT count(*) FROM wakes WHERE state = 'closed' AND session IS NULL";
    assert_eq!(
        number(ledger, orphans),
        0,
        "holds that were kept for no session"
    );
    let twice = "SELECT count(*) FROM (SELECT hold FROM history WHERE cause IN ('release', 'rest') \
                 GROUP BY hold, cause HAVING count(*) > 1)";
    assert_eq!(number(ledger, twice), 0, "holds that were given back twice");
}

fn agrees_on(ledger: &Connection, session: &SessionTruth) {
    let sql = "SELECT s.usage, s.cap, s.hold IS NOT NULL, \
               (SELECT count(*) FROM wakes w WHERE w.session = s.id AND w.state = 'closed') \
               FROM sessions s WHERE s.bare = ?1";
    let row = ledger.query_row(sql, [&session.id], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, Option<i64>>(1)?,
            row.get::<_, bool>(2)?,
            row.get::<_, i64>(3)?,
        ))
    });
    let (usage, cap, has_hold, wakes) =
        row.unwrap_or_else(|error| panic!("{error}: {session:?} is not in the ledger"));
    assert!(has_hold, "{session:?}");
    assert_eq!(usage, session.spent_milli, "{session:?}");
    assert_eq!(cap, session.cap, "{session:?}");
    let told = i64::try_from(session.told).unwrap();
    assert_eq!(wakes, told, "a hold for each message, no more: {session:?}");
}
