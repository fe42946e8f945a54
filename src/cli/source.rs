//! Which policies a command looks at: those of a configuration, or a folder by itself.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Config;
use crate::document::{Budget, Report};
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
    /// The most nodes of each file, where there is no configuration.
    #[arg(long, value_name = "NUMBER", requires = "policies", default_value_t = Budget::default().nodes())]
    max_nodes: usize,
}

/// A policy set, and where it came from.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) policy: Policy,
    pub(super) folder: PathBuf,
    /// How large each file may be.
    pub(super) budget: Budget,
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
                folder: settings.policies.folder.clone(),
                budget: settings.policies.budget,
                settings: Some(settings),
            });
        };
        let budget = Budget::of_nodes(self.max_nodes);
        let files = PolicyFiles::read(folder, budget, report);
        let issuers: Vec<&str> = self.issuers.iter().map(String::as_str).collect();
        let policy = compile(&files, &issuers, report)?;
        report.is_clean().then_some(Loaded {
            policy,
            folder: folder.clone(),
            budget,
            settings: None,
        })
    }

    /// Another folder of policies, read as those were that were loaded: with the same issuers, and files of the same size.
    pub(super) fn beside(
        &self,
        loaded: &Loaded,
        folder: &Path,
        report: &mut Report,
    ) -> Option<Policy> {
        let files = PolicyFiles::read(folder, loaded.budget, report);
        let configured = loaded.settings.iter().flat_map(|it| &it.issuers);
        let issuers: Vec<&str> = configured
            .map(|it| it.name.as_str())
            .chain(self.issuers.iter().map(String::as_str))
            .collect();
        let policy = compile(&files, &issuers, report)?;
        report.is_clean().then_some(policy)
    }
}
