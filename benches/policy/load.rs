//! Reading and checking a set of 100,000 callers, in a process of its own for its peak memory.

use std::path::Path;
use std::process::Command;

use tollgate::document::{Budget, Report};
use tollgate::policy::{PolicyFiles, compile};

use crate::set::{Credentials, Rules, files, team};
use crate::{cpu_seconds, peak_mib};

const CALLERS: usize = 100_000;

/// Loads the folder, and prints what that took.
pub(crate) fn child(folder: &Path) {
    let before = peak_mib();
    let begun = cpu_seconds();
    let mut report = Report::default();
    let files = PolicyFiles::read(folder, Budget::default(), &mut report);
    let read = cpu_seconds() - begun;
    let policy = compile(&files, &["ci"], &mut report);
    let all = cpu_seconds() - begun;
    assert!(report.is_clean(), "{}", report.plain());
    let callers = policy.as_ref().map_or(0, |it| it.callers().count());
    let peak = peak_mib();
    drop((files, report));
    println!(
        "{:.2} s ({:.2} s of it to read the files), peak {peak:.0} MiB ({before:.0} MiB before), {callers} callers",
        all, read,
    );
}

fn run(name: &str, texts: impl Iterator<Item = (String, String)>) {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = 0;
    let mut count = 0;
    for (name, text) in texts {
        bytes += text.len();
        count += 1;
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("--load")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    let mib = bytes as f64 / f64::from(1 << 20);
    println!("load, {name}, {count} files, {mib:.1} MiB: {}", said.trim());
}

pub(crate) fn measure() {
    for (name, rules, credentials) in [
        (
            "keys, 10 rules for each team",
            Rules::Shared,
            Credentials::Keys,
        ),
        (
            "keys, 10 rules for each caller",
            Rules::Own,
            Credentials::Keys,
        ),
        (
            "tokens, 10 rules for each team",
            Rules::Shared,
            Credentials::Claims,
        ),
    ] {
        run(name, files(CALLERS, rules, credentials));
    }
    let one = team(0, CALLERS, Rules::Shared, Credentials::Keys);
    run(
        "keys, 10 rules for all",
        std::iter::once(("all.yaml".to_owned(), one)),
    );
    let few = files(1_000, Rules::Own, Credentials::Keys);
    run("1,000 callers, keys, 10 rules for each caller", few);
}
