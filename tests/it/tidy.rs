//! Taste that a machine can check: the core stays pure, the fake stays apart, rooms stay small.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// The part of a file before its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

#[test]
fn the_core_is_pure() {
    let core = [
        "src/acu.rs",
        "src/budget/",
        "src/accounts/list.rs",
        "src/accounts/show.rs",
        "src/accounts/usage.rs",
        "src/alerts/crossing.rs",
        "src/target.rs",
        "src/catalogue/",
        "src/policy/",
        "src/json/",
        "src/filter/",
        "src/replay/",
        "src/document/",
        "src/pipeline/access_log/record.rs",
        "src/problem/codes.rs",
        "src/limits/account.rs",
        "src/schema/",
        "src/rehearsal/",
        "src/pressure/",
    ];
    let impure = [
        "async fn",
        "tokio::",
        "hyper::",
        "std::fs",
        "std::net::Tcp",
        "std::env",
        "::now(",
        "Clock",
    ];
    let mut seen = 0;
    for (path, text) in sources("src") {
        let name = path
            .strip_prefix(env!("CARGO_MANIFEST_DIR"))
            .unwrap()
            .display()
            .to_string();
        // The one file of the policy that reads a folder; the core gets texts.
        if !core.iter().any(|it| name.starts_with(it)) || name == "src/policy/files.rs" {
            continue;
        }
        seen += 1;
        for word in impure {
            assert!(
                !code(&text).contains(word),
                "{name} is of the pure core and says `{word}`"
            );
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn the_fake_and_the_gateway_share_nothing() {
    for (path, text) in sources("src/fake_devin") {
        assert!(
            !text.contains("crate::") || text.contains("crate::fake_devin"),
            "{}",
            path.display()
        );
    }
    for (path, text) in sources("src/pipeline") {
        assert!(!text.contains("fake_devin"), "{}", path.display());
    }
}

#[test]
fn no_room_is_a_heap_and_no_test_is_left_out() {
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 550, "{} has {lines} lines", path.display());
            for word in [
                concat!("#[", "ignore"),
                concat!("should_", "panic"),
                concat!("FIX", "ME"),
            ] {
                assert!(!text.contains(word), "{} says {word}", path.display());
            }
            let is_module = !path.ends_with("operations.rs");
            assert!(
                !is_module || text.starts_with("//!"),
                "{} does not say what it is",
                path.display()
            );
        }
    }
}

#[test]
fn every_stage_of_the_path_stands_in_the_architecture() {
    let text = include_str!("../../ARCHITECTURE.md");
    for (path, _) in sources("src/pipeline") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let name = if name == "mod" {
            path.parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
        } else {
            name
        };
        let parts = ["pipeline", "jwt", "jwks", "record", "output"];
        assert!(
            parts.contains(&name) || text.contains(name),
            "{name} is missing in ARCHITECTURE.md"
        );
    }
}

/// The names of the dependencies in these sections of a manifest.
fn dependencies(manifest: &str, sections: &[&str]) -> BTreeSet<String> {
    let mut is_wanted = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_wanted = sections.contains(&line);
        } else if let (true, Some((name, _))) = (is_wanted, line.split_once(" = ")) {
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn every_dependency_is_reviewed_in_the_documentation() {
    let manifest = include_str!("../../Cargo.toml");
    let sections = [
        "[dependencies]",
        "[dev-dependencies]",
        "[build-dependencies]",
    ];
    let mut wanted = dependencies(manifest, &sections);
    // It depends on itself, for the tests' failpoints.
    wanted.remove("tollgate");
    assert!(wanted.len() > 40, "{wanted:?}");
    let page = include_str!("../../docs/dependencies.md");
    let mut rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    rows.sort_unstable();
    let all: BTreeSet<String> = rows.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(all.len(), rows.len(), "a crate has two rows: {rows:?}");
    assert_eq!(
        all, wanted,
        "docs/dependencies.md has these, Cargo.toml those"
    );
    let lock = include_str!("../../Cargo.lock");
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let version = cells[2].split(',').next().unwrap();
        let locked = format!(
            "name = {:?}\nversion = {version:?}\n",
            cells[1].trim_matches('`')
        );
        assert!(
            lock.contains(&locked),
            "Cargo.lock has another version: {line}"
        );
        assert_eq!(line.matches(" | ").count(), 5, "{line}");
        assert!(!line.contains("|  |"), "an empty cell: {line}");
    }
}

/// The sections of the threats in SECURITY.md, each with how many ids it has.
const THREATS: [(char, u32); 11] = [
    ('F', 18),
    ('P', 16),
    ('H', 12),
    ('J', 15),
    ('C', 10),
    ('B', 15),
    ('M', 25),
    ('I', 10),
    ('R', 18),
    ('U', 13),
    ('A', 16),
];

/// The names of everything that could be a test: functions of Rust here and beside the code, and Python's.
fn functions() -> BTreeSet<String> {
    let mut texts: Vec<String> = ["src", "tests"]
        .into_iter()
        .flat_map(sources)
        .map(|(_, text)| text)
        .collect();
    let outer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    for entry in std::fs::read_dir(outer).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "py") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    let names = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| {
            let line = line.trim_start().trim_start_matches("async ");
            let rest = line
                .strip_prefix("fn ")
                .or_else(|| line.strip_prefix("def "))?;
            let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_')?;
            Some(rest[..end].to_owned())
        });
    names.collect()
}

/// The ids that a test's name begins with: `j1_to_j3_j10_…` is of J1, J2, J3 and J10.
fn ids(name: &str) -> Vec<(char, u32)> {
    let id = |word: &str| {
        let letter = word.chars().next()?.to_ascii_uppercase();
        let number = word.get(1..)?.parse().ok()?;
        THREATS
            .iter()
            .any(|(it, _)| *it == letter)
            .then_some((letter, number))
    };
    // Of rules of the ledger and of invariants, which stand in front of some, there is no row.
    let is_other = |word: &str| {
        let of = word.strip_prefix(['l', 'g']).unwrap_or_default();
        !of.is_empty() && of.bytes().all(|it| it.is_ascii_digit())
    };
    let words: Vec<&str> = name.trim_start_matches("test_").split('_').collect();
    let mut found: Vec<(char, u32)> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        match (id(word), found.last().copied()) {
            (Some((_, to)), Some((letter, from))) if at > 0 && words[at - 1] == "to" => {
                found.extend((from + 1..=to).map(|it| (letter, it)));
            }
            (Some(id), _) => found.push(id),
            (None, _) if *word == "to" || is_other(word) => {}
            (None, _) => break,
        }
    }
    found
}

#[test]
fn the_threats_and_the_tests_know_of_each_other() {
    assert_eq!(
        ids("l2_j1_to_j3_j10_x_j5"),
        [('J', 1), ('J', 2), ('J', 3), ('J', 10)]
    );
    let functions = functions();
    // What is no test has shorter names: `h2_head` writes a head of HTTP/2.
    let tests = functions.iter().filter(|it| it.matches('_').count() > 1);
    let proved: BTreeMap<(char, u32), &String> = tests
        .flat_map(|name| ids(name).into_iter().map(move |id| (id, name)))
        .collect();
    let mut rows = Vec::new();
    for line in include_str!("../../SECURITY.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(&[id]) = cells.get(1).map(|it| ids(&it.to_lowercase())).as_deref() else {
            continue;
        };
        assert_eq!(cells.len(), 7, "{line}");
        rows.push(id);
        let named: Vec<&str> = cells[5]
            .split('`')
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        if named == ["none yet"] {
            assert!(
                !proved.contains_key(&id),
                "{line}\nhas a test: {}",
                proved[&id]
            );
            continue;
        }
        for name in &named {
            assert!(functions.contains(*name), "there is no {name}: {line}");
        }
        assert!(
            !proved.contains_key(&id) || named.iter().any(|it| ids(it).contains(&id)),
            "{line}\nnames none of its own tests, such as {}",
            proved[&id]
        );
    }
    let all: Vec<(char, u32)> = THREATS
        .into_iter()
        .flat_map(|(letter, count)| (1..=count).map(move |it| (letter, it)))
        .collect();
    assert_eq!(rows, all, "each id has one row, in this order");
    for (id, name) in proved {
        assert!(all.contains(&id), "{name} is of no threat that is known");
    }
}
