//! Memory is bounded by the configuration (R16): the table for operators says what the constants say.

use std::path::Path;

use tollgate::capacity::Options;

const OPERATING: &str = include_str!("../../docs/operating.md");
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The value of a constant, or of a field of one, as the source has it: whole numbers, and products of them.
fn constant(file: &str, beginning: &str) -> u64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text
        .split_once(beginning)
        .unwrap_or_else(|| panic!("{file} has no `{beginning}`"));
    let value = rest.split([';', ',']).next().unwrap();
    let factors = value.split('*').map(|it| it.trim().replace('_', ""));
    factors.map(|it| it.parse::<u64>().unwrap()).product()
}

/// The second and third cell of the row that begins so: what is said of a part, and what it comes to in MiB.
fn row(part: &str) -> (&'static str, u64) {
    let line = OPERATING
        .lines()
        .find(|line| line.starts_with(&format!("| {part}")))
        .unwrap_or_else(|| panic!("no row for {part}"));
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    (cells[2], cells[3].replace(',', "").parse().unwrap())
}

#[test]
fn r16_the_worst_case_is_what_the_table_says() {
    let defaults = Options::default();
    let [connections, requests] =
        [defaults.connections, defaults.requests].map(|it| u64::try_from(it).unwrap());
    let head = constant("src/serve/connection.rs", "const BUFFER: usize = ");
    let body = constant("src/pipeline/bounds/mod.rs", "const MAX_BODY: usize = ");
    let answer = constant(
        "src/pipeline/attempts/outcome.rs",
        "const MAX_ANSWER: usize = ",
    );
    let page = constant("src/pipeline/filter/pages.rs", "const MAX_PAGE: usize = ");
    assert_eq!(answer, page, "the row is of both");
    let slots = constant("src/pipeline/access_log/sink.rs", "const SLOTS: usize = ");
    let pages = constant("src/ledger/store/mod.rs", "const CACHE_KIB: i64 = ");
    let readers = constant("src/ledger/reads.rs", "const READERS: usize = ");
    let accounts = constant("src/limits/table.rs", "const MOST_ACCOUNTS: usize = ");
    let shared = constant("src/pipeline/share/book.rs", "\n    bytes: ");
    let attempts = constant("src/pipeline/attempts/registry/mod.rs", "\n    bytes: ");
    let records = constant("src/ledger/reads.rs", "const MAX_RECORDS: usize = ");
    for (part, said, bytes) in [
        ("a connection: a head", "128 KiB", connections * head),
        (
            "a request in flight: a body that is read",
            "2 MiB",
            requests * body,
        ),
        (
            "a request in flight: what has come",
            "1 MiB",
            requests * MIB,
        ),
        ("a request in flight: an answer", "4 MiB", requests * answer),
        ("fixed: answers that are shared", "64 MiB", shared),
        ("fixed: answers of attempts", "64 MiB", attempts),
        ("fixed: records of lost creates", "16 MiB", records),
        (
            "fixed: accounts of rate limits",
            "1,000,000 of 200 bytes",
            accounts * 200,
        ),
        (
            "fixed: lines of the access log",
            "2 × 16,384 of 12 KiB",
            2 * slots * 12 * KIB,
        ),
        (
            "fixed: pages of the ledger",
            "3 × 32 MiB",
            (1 + readers) * pages * KIB,
        ),
    ] {
        assert_eq!(row(part), (said, bytes.div_ceil(MIB)), "{part}");
    }
    // The formula in one line, and the example under it.
    let each_request = (body + MIB + answer) / MIB;
    let formula = format!(
        "**fixed part + `limits.connections` × {} KiB + `limits.requests` × {each_request} MiB**",
        head / KIB
    );
    assert!(OPERATING.contains(&formula), "{formula}");
    let fixed = OPERATING
        .lines()
        .filter(|line| line.starts_with("| fixed: "))
        .map(|line| row(line.trim_start_matches("| ").split(" | ").next().unwrap()).1)
        .sum::<u64>();
    let example = fixed * MIB + 1_000 * head + 64 * each_request * MIB;
    let shown = format!("come to {:.1} GiB", example as f64 / (1_024 * MIB) as f64);
    assert!(OPERATING.contains(&shown), "{shown}");
}
