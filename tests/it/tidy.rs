//! Taste that a machine can check: the core stays pure, the fake stays apart, rooms stay small.

use std::collections::BTreeSet;
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
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        assert_eq!(line.matches(" | ").count(), 5, "{line}");
        assert!(!line.contains("|  |"), "an empty cell: {line}");
    }
}
