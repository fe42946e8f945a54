//! Which policies a command looks at: those of a configuration, or a folder by itself.

use std::path::PathBuf;

use clap::Args;

use super::Config;
use crate::document::Report;
use crate::policy::{Policy, PolicyFiles, compile};
use crate::settings::Settings;

/// Where the policies are.
#[derive(Args, Debug)]
pub(super) struct Source {
    #[command(flatten)]
    config: Config,
    /// Take only this folder of policies, without a configuration.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "sets"])]
    policies: Option<PathBuf>,
    /// A token issuer that policies may name, where there is no configuration.
    #[arg(long = "issuer", value_name = "NAME", requires = "policies")]
    issuers: Vec<String>,
}

/// A policy set, and where it came from.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) policy: Policy,
    pub(super) folder: PathBuf,
    /// None for a folder by itself.
    pub(super) settings: Option<Settings>,
}

impl Source {
    /// The policy set, or everything that is wrong with it.
    pub(super) fn load(&self, report: &mut Report) -> Option<Loaded> {
        let Some(folder) = &self.policies else {
            let (settings, policy) = super::serve::load_all(&self.config, report)?;
            return Some(Loaded {
                policy,
                folder: settings.policies.clone(),
                settings: Some(settings),
            });
        };
        let files = PolicyFiles::read(folder, report);
        let issuers: Vec<&str> = self.issuers.iter().map(String::as_str).collect();
        let policy = compile(&files, &issuers, report)?;
        report.is_clean().then_some(Loaded {
            policy,
            folder: folder.clone(),
            settings: None,
        })
    }
}
