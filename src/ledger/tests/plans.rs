//! No statement reads a table of the history from its beginning to its end, however long that is.

use crate::ledger::store::Store;

/// What is asked of the file while the gateway runs, or when it starts. Not `verify`, which reads all on purpose.
const SOURCES: [(&str, &str); 17] = [
    ("answers", include_str!("../answers.rs")),
    ("consumption", include_str!("../consumption.rs")),
    ("objects", include_str!("../objects.rs")),
    ("open", include_str!("../open.rs")),
    ("adjust", include_str!("../commands/adjust.rs")),
    ("adopt", include_str!("../commands/adopt.rs")),
    ("alerts", include_str!("../commands/alerts.rs")),
    ("hold", include_str!("../commands/hold.rs")),
    ("look", include_str!("../commands/look.rs")),
    ("settle", include_str!("../commands/settle.rs")),
    ("unsure", include_str!("../commands/unsure.rs")),
    ("store", include_str!("../store/mod.rs")),
    ("adjusted", include_str!("../store/adjusted.rs")),
    ("balances", include_str!("../store/balances.rs")),
    ("books", include_str!("../store/books.rs")),
    ("history", include_str!("../store/history.rs")),
    ("payers", include_str!("../store/payers.rs")),
];
/// What grows with each session.
const LONG: [&str; 5] = ["sessions", "wakes", "tallies", "history", "answers"];

/// A scan in the table's own order, without a condition, that ends with its first row: it reads no other.
const LAST_LINE: &str = "SELECT seq, chain FROM history ORDER BY seq DESC LIMIT 1";

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

/// The steps by which SQLite carries a statement out.
fn plan(connection: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let mut plan = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    let mut rows = plan.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get(3).unwrap());
    }
    steps
}

/// The tables that a plan reads whole, by the names that the statement gives them.
fn scanned(connection: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    for step in plan(connection, sql) {
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
            let all = scanned(connection, &sql);
            if sql != LAST_LINE && all.iter().any(|it| is_long(&sql, it)) {
                whole.push(format!("{name}: {sql}"));
            }
        }
    }
    assert!(count > 50, "only {count} statements were found");
    assert!(whole.is_empty(), "{whole:#?}");
}

#[test]
fn every_index_is_one_that_a_statement_uses() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("l.db")).unwrap();
    let connection = &store.connection;
    let all = SOURCES.iter().flat_map(|(_, source)| statements(source));
    let steps: Vec<String> = all.flat_map(|sql| plan(connection, &sql)).collect();
    // Those that SQLite makes by itself keep names apart.
    let sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";
    let mut indexes = connection.prepare(sql).unwrap();
    let indexes = indexes
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    let uses = |index: &String| {
        let of = format!("INDEX {index}");
        steps
            .iter()
            .any(|step| step.split(" (").next().unwrap().ends_with(&of))
    };
    let idle: Vec<String> = indexes.map(Result::unwrap).filter(|it| !uses(it)).collect();
    assert!(idle.is_empty(), "each write pays for {idle:?}");
}
