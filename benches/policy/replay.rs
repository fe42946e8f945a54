//! A log decided again: lines in a second on one core, and the memory that it takes.
//!
//! The lines are real ones with other names and numbers in them: one in five
//! creates a session, with the facts of its body. The baseline only reads the
//! same file and checks that each line is JSON.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::Command;

use serde::de::IgnoredAny;
use tollgate::document::{Budget, Report};
use tollgate::policy::{Policy, PolicyFiles, compile};
use tollgate::replay::Replay;

use crate::set::{Credentials, Random, Rules, TEAM, files};
use crate::{cpu_seconds, median, peak_mib};

const CALLERS: usize = 1_000;

fn load(folder: &Path) -> Policy {
    let mut report = Report::default();
    let files = PolicyFiles::read(folder, Budget::default(), &mut report);
    let policy = compile(&files, &["ci"], &mut report);
    assert!(report.is_clean(), "{}", report.plain());
    policy.unwrap()
}

/// Calls for each line, without its end.
fn each_line(log: &Path, mut work: impl FnMut(&[u8])) {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(log).unwrap());
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).unwrap() > 0 {
        work(line.strip_suffix(b"\n").unwrap());
        line.clear();
    }
}

/// Replays the log of the folder, or only reads it; prints the seconds that it ran, and the memory that this took.
pub(crate) fn child(folder: &Path, only_read: bool) {
    let (base, candidate) = (load(&folder.join("base")), load(&folder.join("candidate")));
    let before = peak_mib();
    let begun = cpu_seconds();
    let log = folder.join("access.log");
    if only_read {
        each_line(&log, |line| {
            serde_json::from_slice::<IgnoredAny>(line).unwrap();
        });
        println!("{}", cpu_seconds() - begun);
        return;
    }
    let mut replay = Replay::new(&base, &candidate);
    each_line(&log, |line| replay.line(line).unwrap());
    let report = replay.finish();
    let elapsed = cpu_seconds() - begun;
    assert_eq!((report.undecided(), report.drifted()), (0, 0));
    assert!(report.flips() > 0 && report.unchanged > report.flips());
    println!("{elapsed} {before} {} {}", peak_mib(), report.flips());
}

/// One line of a caller of the generated sets, which the base allows.
fn line(random: &mut Random, number: usize, credentials: Credentials, hash: &str) -> String {
    let id = random.below(CALLERS);
    let team = id / TEAM;
    let identity = match credentials {
        Credentials::Keys => format!("{{\"kind\":\"api_key\",\"key_id\":\"k{id}\"}}"),
        Credentials::Claims => format!(
            "{{\"kind\":\"jwt\",\"issuer\":\"ci\",\"subject\":\"repo:acme/r{id}:ref:refs/heads/main\",\"key_id\":\"e1\",\"claims\":{{\"owner\":\"acme\",\"repository\":\"acme/r{id}\"}}}}"
        ),
    };
    let is_create = random.below(5) == 0;
    let (operation, method, below, rule, body) = if is_create {
        let limit = 1 + random.below(20);
        let fields = format!(
            ",\"fields\":{{\"query.devin_id\":null,\"body.max_acu_limit\":{limit},\"body.create_as_user_id\":null,\"body.bypass_approval\":null,\"body.session_links\":null,\"body.devin_mode\":null,\"body.advanced_mode\":null,\"body.is_advanced\":null,\"body.secret_ids\":null}},\"body_judged\":true"
        );
        ("sessions.create", "POST", "", 0, fields)
    } else {
        let (operation, rule) = [("sessions.get", 1), ("sessions.list", 2)][random.below(2)];
        (
            operation,
            "GET",
            "/devin-0123456789abcdef",
            rule,
            String::new(),
        )
    };
    format!(
        "{{\"kind\":\"request\",\"form\":2,\"time\":\"2026-11-24T22:59:37.149448165Z\",\"request_id\":\"01a20fc9-403d-74b0-ab91-{number:012x}\",\"trace_id\":\"01a20fc9403d74b0ab9160cd86d85bd3\",\"caller\":\"c{id}\",\"team\":\"t{team}\",\"identity\":{identity},\"operation\":\"{operation}\",\"method\":\"{method}\",\"path\":\"/v3/organizations/org-{team}/sessions{below}\",\"organization\":\"org-{team}\",\"decision\":\"allow\",\"rule\":\"t{team}/c{id}-{rule}\"{body},\"policy\":\"{hash}\",\"status\":200,\"answered_by\":\"upstream\",\"outcome\":\"complete\",\"upstream_status\":200,\"upstream_attempts\":1,\"bytes_in\":32,\"bytes_out\":592,\"duration_ms\":1.471,\"upstream_ms\":0.965,\"own_ms\":0.453,\"peer\":\"127.0.0.1:35496\",\"user_agent\":\"python-httpx/0.28.1\"}}"
    )
}

fn write(folder: &Path, lines: usize, credentials: Credentials) {
    for (set, max) in [("base", "max: 20"), ("candidate", "max: 19")] {
        let folder = folder.join(set);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files(CALLERS, Rules::Own, credentials) {
            std::fs::write(folder.join(name), text.replace("max: 20", max)).unwrap();
        }
    }
    let base = load(&folder.join("base"));
    let mut random = Random(11);
    let mut log = BufWriter::new(File::create(folder.join("access.log")).unwrap());
    for number in 0..lines {
        writeln!(
            log,
            "{}",
            line(&mut random, number, credentials, base.hash())
        )
        .unwrap();
    }
    log.flush().unwrap();
}

fn run(folder: &Path, role: &str) -> Vec<f64> {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(role)
        .arg(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8(output.stdout).unwrap();
    said.split_whitespace()
        .map(|it| it.parse().unwrap())
        .collect()
}

pub(crate) fn measure(lines: usize, rounds: usize) {
    for (name, credentials) in [("keys", Credentials::Keys), ("tokens", Credentials::Claims)] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), lines, credentials);
        let bytes = std::fs::metadata(folder.path().join("access.log"))
            .unwrap()
            .len();
        let mut all = Vec::new();
        for _ in 0..rounds {
            let read = run(folder.path(), "--read");
            all.push((read[0], run(folder.path(), "--replay")));
        }
        let seconds = median(all.iter().map(|(_, replay)| replay[0]).collect());
        let ratio = median(all.iter().map(|(read, replay)| replay[0] / read).collect());
        let last = &all[all.len() - 1].1;
        println!(
            "replay, {name}, {lines} lines of {} bytes, median of {rounds} rounds: {:.0} lines/s on one core, {ratio:.2} x only reading JSON; {:.1} MiB beside the two sets' {:.0} MiB; {} flips",
            bytes / lines as u64,
            lines as f64 / seconds,
            last[2] - last[1],
            last[1],
            last[3]
        );
    }
}
