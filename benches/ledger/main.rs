//! What a durable hold costs: beside a bare commit of SQLite, by how many callers ask at once, and by how long the
//! ledger's history is.
//!
//! Only the ratios mean anything: absolute figures are this machine's disk, this minute's. What is compared with each
//! other is measured in turn, window by window.
//!
//! `cargo bench --bench ledger`, or with `-- --only commit|history --rounds 5 --seconds 2 --sessions 10000000 --folder /var/tmp`.
//! Ten million sessions, as with `TOLLGATE_DEEP=1`, want 12 GB there, and ten minutes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that fails should say where, and asks real clocks"
)]

mod seed;
mod window;

use std::path::Path;
use std::time::{Duration, Instant};

use tollgate::ledger::tag::TagKey;
use tollgate::ledger::{HAND_OVER, Ledger, Options};

use crate::window::{Bare, Window};

/// How many ask at once.
const CALLERS: [usize; 3] = [1, 16, 256];
/// Of a ledger this long, all sums are added up anew to see that its history is one.
const VERIFIED: u64 = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let rounds = value("--rounds").map_or(5, |it| it.parse().unwrap());
    let length = Duration::from_secs_f64(value("--seconds").map_or(2.0, |it| it.parse().unwrap()));
    let usual = match std::env::var_os("TOLLGATE_DEEP") {
        Some(_) => 10_000_000,
        None => 200_000,
    };
    let sessions = value("--sessions").map_or(usual, |it| it.parse().unwrap());
    let wants = |part: &str| value("--only").is_none_or(|it| it == part);
    // Not below /tmp by itself: that is memory on many machines, and memory syncs nothing.
    let beside = value("--folder").unwrap_or(env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::tempdir_in(beside).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if wants("commit") {
            commit(folder.path(), rounds, length).await;
        }
        if wants("history") {
            history(folder.path(), rounds, length, sessions).await;
        }
    });
}

async fn open(path: &Path) -> Ledger {
    let options = Options {
        path: path.to_owned(),
        tag_key: TagKey::new(&[7; 32]).unwrap(),
        quiet: Duration::from_secs(60),
        hand_over: HAND_OVER,
    };
    let ledger = Ledger::open(options).await.unwrap();
    ledger.admit();
    assert_eq!(
        ledger.stopped(),
        None,
        "a ledger that is damaged holds nothing"
    );
    ledger
}

/// Holds beside bare commits.
async fn commit(folder: &Path, rounds: usize, length: Duration) {
    let ledger = open(&folder.join("commit.db")).await;
    let mut bare = Bare::open(&folder.join("bare.db"));
    let mut alone = Vec::new();
    let mut together: [Vec<(Window, u64)>; CALLERS.len()] = Default::default();
    for round in 0..=rounds {
        let commits = tokio::task::block_in_place(|| bare.commits(length));
        let mut holds = Vec::new();
        for callers in CALLERS {
            let groups = ledger.groups();
            let window = window::holds(&ledger, callers, length).await;
            holds.push((window, ledger.groups() - groups));
        }
        // The first round warms up.
        if round > 0 {
            alone.push(commits);
            for (all, one) in together.iter_mut().zip(holds) {
                all.push(one);
            }
        }
    }
    println!("holds beside bare commits, median of {rounds} rounds of {length:?}:");
    println!(
        "  a bare commit      {:>8.0}/s             p50 {:>7.2} ms  p99 {:>7.2} ms",
        middle(&alone, |it| it.rate),
        middle(&alone, |it| it.p50_ms),
        middle(&alone, |it| it.p99_ms),
    );
    for (callers, windows) in CALLERS.iter().zip(&together) {
        let pairs: Vec<(&Window, &Window)> = windows.iter().map(|(it, _)| it).zip(&alone).collect();
        println!(
            "  {callers:>3} callers at once {:>7.0}/s, {:>5.2} x   p50 {:>7.2} ms  p99 {:>7.2} ms, {:>5.2} x   {:>4.0} a sync",
            middle(&pairs, |(it, _)| it.rate),
            middle(&pairs, |(it, bare)| it.rate / bare.rate),
            middle(&pairs, |(it, _)| it.p50_ms),
            middle(&pairs, |(it, _)| it.p99_ms),
            middle(&pairs, |(it, bare)| it.p99_ms / bare.p99_ms),
            middle(windows, |(it, groups)| it.count as f64 / *groups as f64),
        );
    }
    println!("  aims: at 256 callers 10 x the rate or more, at 16 callers 3 x the p99 or less");
    ledger.close().await;
}

/// An empty ledger beside one with a long history.
async fn history(folder: &Path, rounds: usize, length: Duration, sessions: u64) {
    let path = folder.join("full.db");
    open(&path).await.close().await;
    let begun = Instant::now();
    tokio::task::block_in_place(|| seed::fill(&path, sessions));
    let seeded = begun.elapsed();
    let begun = Instant::now();
    let full = open(&path).await;
    let opened = begun.elapsed();
    let size = std::fs::metadata(&path).unwrap().len();
    println!(
        "a history of {sessions} sessions: {:.1} GB, written in {:.0} s, opened in {:.2} s",
        size as f64 / 1e9,
        seeded.as_secs_f64(),
        opened.as_secs_f64(),
    );
    if sessions <= VERIFIED {
        let begun = Instant::now();
        let verdict = full.verify().await.unwrap();
        assert!(verdict.is_sound(), "{verdict:?}");
        println!("  verified in {:.1} s", begun.elapsed().as_secs_f64());
    }
    let empty = open(&folder.join("empty.db")).await;
    for callers in CALLERS {
        let mut pairs = Vec::new();
        for round in 0..=rounds {
            let pair = (
                window::holds(&empty, callers, length).await,
                window::holds(&full, callers, length).await,
            );
            if round > 0 {
                pairs.push(pair);
            }
        }
        println!(
            "  {callers:>3} callers at once: {:>7.0}/s empty, {:>7.0}/s full, {:.2} x",
            middle(&pairs, |(empty, _)| empty.rate),
            middle(&pairs, |(_, full)| full.rate),
            middle(&pairs, |(empty, full)| empty.rate / full.rate),
        );
    }
    println!("  aim: 1.3 x or less");
    full.close().await;
    empty.close().await;
}

fn middle<T>(all: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
