//! No statement reads a table of the history from its beginning to its end, however long that is.

use crate::ledger::store::Store;

/// What is asked of the file while the gateway runs, or when it starts. Not `verify`, which reads all on purpose.
const SOURCES: [(&str, &str); 13] = [
    ("answers", include_str!("../answers.rs")),
    ("consumption", include_str!("../consumption.rs")),
    ("objects", include_str!("../objects.rs")),
    ("adjust", include_str!("../commands/adjust.rs")),
    ("adopt", include_str!("../commands/adopt.rs")),
    ("alerts", include_str!("../commands/alerts.rs")),
    ("hold", include_str!("../commands/hold.rs")),
    ("look", include_str!("../commands/look.rs")),
    ("settle", include_str!("../commands/settle.rs")),
    ("unsure", include_str!("../commands/unsure.rs")),
    ("balances", include_str!("../store/balances.rs")),
    ("books", include_str!("../store/books.rs")),
    ("history", include_str!("../store/history.rs")),
];
/// What grows with each session.
const LONG: [&str; 5] = ["sessions", "wakes", "tallies", "history", "answers"];

/// The statements of a source: its literals that begin as one does. What the tests ask is not looked at.
fn statements(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let literals = source.split('"').skip(1).step_by(2);
    let begins = |it: &&str| {
        let verbs = ["SELECT ", "UPDATE ", "DELETE ", "INSERT "];
        verbs.iter().any(|verb| it.starts_with(verb)) && it.len() > 10
    };
    literals
        .filter(begins)
        .map(|it| {
            it.replace("\\\n", " ")
                .replace("{WAKE}", "*")
                .replace("{COLUMNS}", "*")
        })
        .collect()
}

/// The tables that a plan reads whole, by the names that the statement gives them.
fn scanned(connection: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let mut plan = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    let mut rows = plan.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let step: String = row.get(3).unwrap();
        // An index that has but a part of the table's rows is short; the others are named by their tables.
        if let Some(scan) = step.strip_prefix("SCAN ")
            && !scan.contains("USING INDEX wakes_open")
            && !scan.contains("USING INDEX answers_begun")
            && !scan.contains("USING COVERING INDEX answers_begun")
        {
            found.push(scan.split(' ').next().unwrap().to_owned());
        }
    }
    found
}

/// Whether the statement calls one of the long tables so.
fn is_long(sql: &str, name: &str) -> bool {
    LONG.iter().any(|table| {
        *table == name
            || sql.contains(&format!(" {table} {name} "))
            || sql.contains(&format!(" {table} {name})"))
    })
}

#[test]
fn g9_every_statement_finds_what_it_asks_for_by_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("l.db")).unwrap();
    let connection = &store.connection;
    // One that is known to read all shows that this is seen.
    let bad = "SELECT hold FROM wakes w WHERE w.state = 'unknown'";
    assert!(scanned(connection, bad).iter().any(|it| is_long(bad, it)));
    let (mut count, mut whole) = (0, Vec::new());
    for (name, source) in SOURCES {
        for sql in statements(source) {
            count += 1;
            // One that ends with the first row in the table's own order reads that one.
            let is_last = sql.ends_with("ORDER BY seq DESC LIMIT 1");
            let all = scanned(connection, &sql);
            if !is_last && all.iter().any(|it| is_long(&sql, it)) {
                whole.push(format!("{name}: {sql}"));
            }
        }
    }
    assert!(count > 50, "only {count} statements were found");
    assert!(whole.is_empty(), "{whole:#?}");
}
