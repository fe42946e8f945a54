//! What a policy set costs by its size: to decide, to load, and to try on a log.
//!
//! Only the ratios mean anything: absolute figures are this machine's, this
//! minute's.
//!
//! `cargo bench --bench policy`, or with `-- --only decide|load|replay --rounds 5 --lines 1000000`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that fails should say where, and asks real clocks"
)]

mod decide;
mod load;
mod replay;
mod set;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if let Some(folder) = value("--load") {
        load::child(folder.as_ref());
        return;
    }
    for (role, only_read) in [("--replay", false), ("--read", true)] {
        if let Some(folder) = value(role) {
            replay::child(folder.as_ref(), only_read);
            return;
        }
    }
    let rounds = value("--rounds").map_or(5, |it| it.parse().unwrap());
    let wants = |part: &str| value("--only").is_none_or(|it| it == part);
    if wants("decide") {
        decide::measure(rounds);
    }
    if wants("load") {
        load::measure();
    }
    if wants("replay") {
        let lines = value("--lines").map_or(1_000_000, |it| it.parse().unwrap());
        replay::measure(lines, rounds);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The seconds that this process has run.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    let nanoseconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1e9
}

/// The most memory that this process has had, in MiB.
fn peak_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<f64>().unwrap() / 1024.0
}
