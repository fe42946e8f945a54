//! `tollgate replay`: a recorded access log under a candidate set of policies, against the set that is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Config, Failure, Format, print};
use crate::body::BoxError;
use crate::document::{Budget, Report};
use crate::policy::{Policy, PolicyFiles, compile};
use crate::replay::{LineError, MAX_LINE, Replay};
use crate::settings::load;

/// What is decided again.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// An access log, or `-` for standard input; several are read in this order.
    #[arg(long = "log", required = true, value_name = "FILE")]
    logs: Vec<PathBuf>,
    /// The folder of policies to try.
    #[arg(long, value_name = "FOLDER")]
    policies: PathBuf,
    /// The folder of policies to compare with; without it, the configuration's own.
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
    /// The configuration file; without `--against`, `tollgate.yaml` if none is named.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A token issuer that policies may name, beside those of the configuration.
    #[arg(long = "issuer", value_name = "NAME")]
    issuers: Vec<String>,
    /// How many decisions may flip.
    #[arg(long, default_value_t = 0, value_name = "N")]
    allow_flips: u64,
    /// How many requests may be undecidable.
    #[arg(long, default_value_t = 0, value_name = "N")]
    allow_undecidable: u64,
}

pub(super) fn run(options: &Options, format: Format) -> Result<(), Failure> {
    let mut report = Report::default();
    let Some((base, candidate)) = policies(options, &mut report) else {
        return bad(&report, format);
    };
    let mut replay = Replay::new(&base, &candidate);
    for path in &options.logs {
        if path == Path::new("-") {
            read(&mut replay, "standard input", io::stdin().lock())
        } else {
            let opened = File::open(path).map_err(|error| {
                Failure::Unusable(format!("{}: {error}", path.display()).into())
            })?;
            // Lines are some hundred bytes.
            let reader = BufReader::with_capacity(1 << 18, opened);
            read(&mut replay, &path.display().to_string(), reader)
        }
        .map_err(Failure::Unusable)?;
    }
    let found = replay.finish();
    let ok = found.flips() <= options.allow_flips && found.undecided() <= options.allow_undecidable;
    match format {
        Format::Json => print(&found.json(ok).to_string())?,
        Format::Text => print(found.text().trim_end())?,
    }
    if ok { Ok(()) } else { Err(Failure::Bad) }
}

/// The base and the candidate, or everything that is wrong with either.
fn policies(options: &Options, report: &mut Report) -> Option<(Policy, Policy)> {
    let config = match (&options.config, &options.against) {
        (Some(config), _) => Some(config.clone()),
        (None, None) => Some(PathBuf::from("tollgate.yaml")),
        (None, Some(_)) => None,
    };
    let settings = match config {
        Some(config) => {
            let config = Config {
                config,
                sets: Vec::new(),
            };
            Some(load(&config.config, &config.overrides(), report)?)
        }
        None => None,
    };
    let of_settings = settings.iter().flat_map(|it| &it.issuers);
    let issuers: Vec<&str> = of_settings
        .map(|it| it.name.as_str())
        .chain(options.issuers.iter().map(String::as_str))
        .collect();
    let own = settings.as_ref().map(|it| &it.policies);
    let budget = own.map_or(Budget::default(), |it| it.budget);
    let folder = options.against.as_ref().or(own.map(|it| &it.folder))?;
    let mut compiled = |folder: &Path| {
        let files = PolicyFiles::read(folder, budget, report);
        compile(&files, &issuers, report)
    };
    let (base, candidate) = (compiled(folder), compiled(&options.policies));
    let both = base.zip(candidate);
    both.filter(|_| report.is_clean())
}

fn bad(report: &Report, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let said = serde_json::json!({"ok": false, "mistakes": report.json()});
            print(&said.to_string())?;
        }
        Format::Text => writeln!(
            io::stderr(),
            "{}{}; nothing was decided",
            report.human(io::stderr().is_terminal()),
            report.count()
        )?,
    }
    Err(Failure::Bad)
}

/// Decides every line of a log again.
fn read(replay: &mut Replay<'_>, name: &str, mut log: impl BufRead) -> Result<(), BoxError> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let at_most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX) + 1;
        let read = (&mut log).take(at_most).read_until(b'\n', &mut line);
        read.map_err(|error| format!("{name}: {error}"))?;
        let refused = |error: LineError| format!("{name}:{number}: {error}");
        match line.strip_suffix(b"\n") {
            Some(whole) => replay.line(whole).map_err(refused)?,
            None if line.is_empty() => break,
            None if line.len() > MAX_LINE => return Err(refused(LineError::TooLong).into()),
            // It is still being written, or a crash cut it.
            None => replay.unfinished(),
        }
    }
    Ok(())
}
