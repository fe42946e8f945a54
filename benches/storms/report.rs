//! What a storm has shown: a few lines as soon as it is over, and all of them in one table at the end.

use std::time::Duration;

use crate::caller::Window;
use crate::process::Process;
use crate::scene::Counts;

/// What a process has at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: usize,
}

impl Usage {
    pub(crate) fn of(process: &Process) -> Self {
        Self {
            resident_kib: process.resident_kib(),
            descriptors: process.descriptors(),
        }
    }
}

/// One storm over one process.
pub(crate) struct Row {
    pub(crate) storm: &'static str,
    /// Or over the bare proxy.
    pub(crate) is_gateway: bool,
    pub(crate) round: usize,
    pub(crate) length: Duration,
    /// How the caller fared before the storm, while it rose, and during it.
    pub(crate) quiet: Window,
    pub(crate) rise: Window,
    pub(crate) during: Window,
    /// And one that goes to the upstream itself.
    pub(crate) direct_quiet: Window,
    pub(crate) direct_during: Window,
    pub(crate) before: Usage,
    pub(crate) held: Usage,
    pub(crate) peak_kib: u64,
    pub(crate) after: Usage,
    /// The processor time of the process, in cores.
    pub(crate) cores: f64,
    /// The share of the machine that its host took away.
    pub(crate) stolen: f64,
    /// How long it took until everything had come back.
    pub(crate) back: Option<Duration>,
    /// What attackers had done when it had risen, when it was over, and at their end.
    pub(crate) sent: Counts,
    pub(crate) done: Counts,
    pub(crate) ended: Counts,
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}

fn ratio(during: &Window, quiet: &Window) -> f64 {
    during.p99 / quiet.p99
}

impl Row {
    fn target(&self) -> &'static str {
        match self.is_gateway {
            true => "tollgate",
            false => "bare",
        }
    }

    /// What one of the connections that are held takes.
    fn bytes_each(&self) -> Option<f64> {
        let held = self.ended.get("held").filter(|it| **it > 0)?;
        let grown = self.held.resident_kib as f64 - self.before.resident_kib as f64;
        Some(grown * 1_024.0 / *held as f64)
    }

    /// What is known of it, in full.
    pub(crate) fn print(&self) {
        println!(
            "  {} {}: p50 {:.2} -> {:.2} ms, p99 {:.2} -> {:.2} ms, longest {:.1} ms of {} requests, {} failed; p99 since due {:.2} -> {:.2} ms",
            self.target(),
            self.round,
            self.quiet.p50,
            self.during.p50,
            self.quiet.p99,
            self.during.p99,
            self.during.longest,
            self.during.requests,
            self.during.failed,
            self.quiet.p99_since_due,
            self.during.p99_since_due,
        );
        if self.rise.requests > 0 {
            println!(
                "    while it rose: p99 {:.2} ms of {} requests, {} failed",
                self.rise.p99, self.rise.requests, self.rise.failed
            );
        }
        let seconds = self.length.as_secs_f64();
        let attackers: Vec<String> = self
            .ended
            .iter()
            .map(|(what, count)| {
                let at = |counts: &Counts| counts.get(what).copied().unwrap_or(0);
                let during = at(&self.done) - at(&self.sent);
                let rate = during as f64 / seconds;
                match during {
                    0 => format!("{what} {count}"),
                    _ => format!("{what} {count} ({rate:.0}/s)"),
                }
            })
            .collect();
        println!("    attackers: {}", attackers.join(", "));
        if let Some(bytes) = self.bytes_each() {
            println!(
                "    {:.1} KiB of memory for each that is held",
                bytes / 1_024.0
            );
        }
        println!(
            "    memory: the peak is {:.1} MiB over what it was, the end {:+.1}; {:.2} cores; {:.0} % of the machine stolen",
            mib(self.peak_kib.saturating_sub(self.before.resident_kib)),
            mib(self.after.resident_kib) - mib(self.before.resident_kib),
            self.cores,
            self.stolen * 100.0
        );
    }
}

/// All of them.
pub(crate) fn table(rows: &[Row]) {
    println!(
        "\np99 in ms of the well-behaved caller (aim: at most doubles), beside that of one that goes to the upstream itself; memory (RSS) in MiB"
    );
    println!(
        "{:<16}{:<9}{:>7}{:>8}{:>7}{:>8}{:>9}{:>7} |{:>7}{:>7}{:>7}{:>10} |{:>6}{:>7}{:>6} |{:>6}{:>9}",
        "storm",
        "attacked",
        "quiet",
        "storm",
        "ratio",
        "direct",
        "due",
        "failed",
        "before",
        "peak",
        "after",
        "KiB each",
        "fds",
        "most",
        "after",
        "cores",
        "back"
    );
    for row in rows {
        println!(
            "{:<16}{:<9}{:>7.2}{:>8.2}{:>7.2}{:>8.2}{:>9.1}{:>7} |{:>7.1}{:>7.1}{:>7.1}{:>10} |{:>6}{:>7}{:>6} |{:>6.2}{:>9}",
            row.storm,
            row.target(),
            row.quiet.p99,
            row.during.p99,
            ratio(&row.during, &row.quiet),
            ratio(&row.direct_during, &row.direct_quiet),
            row.during.p99_since_due,
            row.during.failed + row.rise.failed,
            mib(row.before.resident_kib),
            mib(row.peak_kib),
            mib(row.after.resident_kib),
            row.bytes_each()
                .map_or("-".to_owned(), |it| format!("{:.1}", it / 1_024.0)),
            row.before.descriptors,
            row.held.descriptors,
            row.after.descriptors,
            row.cores,
            row.back
                .map_or("NEVER".to_owned(), |it| format!("{} ms", it.as_millis())),
        );
    }
    println!(
        "ratio: of p99, storm to quiet; direct: the same of the caller beside it, so what the machine does to anybody; due: p99 since requests were due, which grows with the storm where answers take longer than the pace allows; back: until its connections and requests were gone"
    );
}
