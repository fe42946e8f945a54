//! `tollgate check`: every mistake of the configuration and of all policies, at once.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Config, Failure, Format, print};
use crate::document::{Budget, Report};
use crate::policy::{Policy, PolicyFiles, compile};

/// What is checked.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    config: Config,
    /// Check only this folder of policies, without a configuration.
    #[arg(long, conflicts_with_all = ["config", "sets"])]
    policies: Option<PathBuf>,
    /// A token issuer that policies may name, where there is no configuration.
    #[arg(long = "issuer", requires = "policies")]
    issuers: Vec<String>,
    /// The most nodes of each policy file, where there is no configuration.
    #[arg(long, requires = "policies", default_value_t = Budget::default().nodes())]
    max_nodes: usize,
}

pub(super) fn run(options: &Options, format: Format) -> Result<(), Failure> {
    let mut report = Report::default();
    let policy = match &options.policies {
        Some(folder) => {
            let files = PolicyFiles::read(folder, Budget::of_nodes(options.max_nodes), &mut report);
            let issuers: Vec<&str> = options.issuers.iter().map(String::as_str).collect();
            compile(&files, &issuers, &mut report)
        }
        None => super::serve::load_all(&options.config, &mut report).map(|(_, policy)| policy),
    };
    let policy = policy.filter(|_| report.is_clean());
    match format {
        Format::Json => {
            let hash = policy.as_ref().map(Policy::hash);
            let callers = policy.as_ref().map(|it| it.callers().count());
            print(&json!({"ok": policy.is_some(), "policy": hash, "callers": callers, "mistakes": report.json()}).to_string())?;
        }
        Format::Text => match &policy {
            Some(policy) => print(&format!(
                "fine: {} callers, policy {}",
                policy.callers().count(),
                policy.hash()
            ))?,
            None => writeln!(
                io::stderr(),
                "{}{}",
                report.human(io::stderr().is_terminal()),
                report.count()
            )?,
        },
    }
    policy.map(|_| ()).ok_or(Failure::Bad)
}
