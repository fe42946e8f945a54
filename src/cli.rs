//! The command line. Every command says `--output json` if asked; exit 0 is fine, 1 means that the thing
//! checked is bad, 2 that the call is.

mod ask;
mod budget;
mod check;
mod explain;
mod health;
mod keys;
mod operations;
mod order;
mod replay;
mod schema;
mod serve;
mod source;
mod status;
mod table;
mod test;
mod upstream;
mod usage;

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::body::{BoxError, chain};
use crate::demo;
use crate::settings::Override;
use crate::telemetry;

/// An authenticating, policy-enforcing reverse proxy for a shared Devin service user.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, about)]
struct Call {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value = "text")]
    output: Output,
    /// What the process logs on standard error, such as `info` or `tollgate=debug`.
    #[arg(
        long = "log-level",
        global = true,
        env = "RUST_LOG",
        default_value = "info",
        hide_env_values = true
    )]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

impl Format {
    /// A result: as it is, or in the words that `text` has for it.
    fn print(self, said: &serde_json::Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self {
            Self::Json => print(&said.to_string())?,
            Self::Text => print(&text())?,
        }
        Ok(())
    }
}

/// How results are printed, where one is a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// For spreadsheets: only what is a table.
    Csv,
}

impl Output {
    /// For a result that is no table.
    fn plain(self) -> Result<Format, Failure> {
        match self {
            Self::Text => Ok(Format::Text),
            Self::Json => Ok(Format::Json),
            Self::Csv => Err(Failure::Unusable(
                "only `budget show` and `usage` give a table: use --output json".into(),
            )),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(Config),
    /// Run the gateway, a fake Devin and the sample policies in one process: no token, no server, no file.
    Demo(demo::Options),
    /// Check the configuration and all policies, and list every mistake and what is surely not meant.
    Check(check::Options),
    /// Run the tests that stand beside the policies (`*.test.yaml`).
    Test(test::Options),
    /// Say what would be done with one request, and why. Exits with 1 if it would be refused.
    Explain(explain::Options),
    /// List the operations that policies can name, or show one with its fields.
    Operations(operations::Options),
    /// Print the JSON Schema of policies, their tests, or the configuration, for editors.
    Schema(schema::Options),
    /// Decide a recorded access log again under other policies, and list what flips.
    Replay(replay::Options),
    /// Make API keys.
    Keys {
        #[command(subcommand)]
        command: keys::Command,
    },
    /// Ask a running gateway whether it is alive (for container health checks).
    Health(health::Options),
    /// Ask a running gateway how it is, which policies it runs, and why newer ones were refused.
    Status(status::Options),
    /// Show budgets, raise and correct them, and check the ledger.
    Budget {
        #[command(subcommand)]
        command: budget::Command,
    },
    /// Show who has spent how much.
    Usage(usage::Options),
    /// Run only the fake Devin.
    FakeDevin(upstream::Options),
}

/// Where the configuration is.
#[derive(Args, Debug)]
struct Config {
    /// The configuration file.
    #[arg(long, default_value = "tollgate.yaml")]
    config: PathBuf,
    /// Override a setting: `--set upstream.base_url=https://…`. Environment: `TOLLGATE__UPSTREAM__BASE_URL`.
    #[arg(long = "set", value_name = "SETTING=VALUE", value_parser = parse_override)]
    sets: Vec<Override>,
}

fn parse_override(text: &str) -> Result<Override, String> {
    Override::from_flag(text).ok_or_else(|| "write it as SETTING=VALUE".to_owned())
}

impl Config {
    fn overrides(&self) -> Vec<Override> {
        let mut all = Override::from_env();
        all.extend(self.sets.iter().cloned());
        all
    }
}

/// How a command ended.
#[derive(Debug)]
pub enum Failure {
    /// What was checked is bad; everything has been said.
    Bad,
    /// The call is wrong, or cannot be answered; everything has been said.
    Call,
    /// It could not be done.
    Error(BoxError),
    /// It cannot be done with what the call names.
    Unusable(BoxError),
}

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Runs the call of this process.
pub fn main() -> ExitCode {
    let call = Call::parse();
    telemetry::start(&call.log_level);
    // What goes wrong is no table either.
    let format = match call.output {
        Output::Json => Format::Json,
        Output::Text | Output::Csv => Format::Text,
    };
    match run(call.command, call.output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Bad) => ExitCode::FAILURE,
        // As for a call that does not parse.
        Err(Failure::Call) => ExitCode::from(2),
        Err(Failure::Error(error)) => {
            complain(format, &*error);
            ExitCode::FAILURE
        }
        Err(Failure::Unusable(error)) => {
            complain(format, &*error);
            ExitCode::from(2)
        }
    }
}

fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Serve(config) => on_runtime(serve::run(config, output.plain()?)),
        Command::Demo(options) => on_runtime(demo::run(options, output.plain()?)),
        Command::Check(options) => check::run(&options, output.plain()?),
        Command::Test(options) => test::run(&options, output.plain()?),
        Command::Explain(options) => explain::run(&options, output.plain()?),
        Command::Operations(options) => operations::run(&options, output.plain()?),
        Command::Schema(options) => schema::run(&options),
        Command::Replay(options) => replay::run(&options, output.plain()?),
        Command::Keys { command } => keys::run(&command, output.plain()?),
        Command::Health(options) => on_runtime(health::run(options, output.plain()?)),
        Command::Status(options) => on_runtime(status::run(options, output.plain()?)),
        Command::Budget { command } => on_runtime(budget::run(command, output)),
        Command::Usage(options) => on_runtime(usage::run(options, output)),
        Command::FakeDevin(options) => on_runtime(upstream::run(options, output.plain()?)),
    }
}

fn on_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    // What still runs (an aborted client's task) does not hold the process.
    runtime.shutdown_background();
    result
}

fn complain(format: Format, error: &(dyn std::error::Error + 'static)) {
    let text = chain(error);
    let _ = match format {
        Format::Text => writeln!(io::stderr(), "error: {text}"),
        Format::Json => print(&serde_json::json!({"error": text}).to_string()),
    };
}

/// A line on standard output; a reader that has gone is not an error of ours.
pub(crate) fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
