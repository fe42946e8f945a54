//! `tollgate serve`: the gateway, from its files.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Config, Failure};
use crate::Parts;
use crate::clock::SystemClock;
use crate::document::Report;
use crate::pipeline::access_log::Sink;
use crate::pipeline::limit::Limiters;
use crate::pipeline::upstream::Upstream;
use crate::policy::{Current, Policy, PolicyFiles, compile};
use crate::serve::{bind, reopen_log_on_signal, start, stop_or_leave, told_to_stop};
use crate::settings::{Settings, TokenSource, load};

pub(super) async fn run(config: Config) -> Result<(), Failure> {
    let mut report = Report::default();
    let loaded = load_all(&config, &mut report);
    let Some((settings, policy)) = loaded else {
        let text = report.human(io::stderr().is_terminal());
        writeln!(
            io::stderr(),
            "{text}{} mistakes; nothing was started",
            report.len()
        )?;
        return Err(Failure::Bad);
    };
    let token = settings.token.open()?;
    let extra = match &settings.ca {
        Some(path) => certificates(path)?,
        None => Vec::new(),
    };
    let upstream = Upstream::new(&extra, settings.timeouts)?;
    // Bound before anything is written: a port in use changes nothing.
    let bound = bind(&settings.listen, settings.admin).await?;
    let log = Sink::open(settings.access_log)?;
    reopen_log_on_signal(log.clone())?;
    if let TokenSource::File(path) = &settings.token {
        tokio::spawn(token.clone().follow(path.clone()));
    }
    let hash = policy.hash().to_owned();
    let parts = Parts {
        limiters: Arc::new(Limiters::new(&policy)),
        policies: Current::new(policy),
        issuers: settings.issuers.into(),
        token,
        pinned: settings.pinned,
        log,
        clock: Arc::new(SystemClock),
    };
    let running = start(bound, &parts, upstream)?;
    tracing::info!(callers = ?running.callers, admin = %running.admin, policy = hash, "ready");
    told_to_stop().await?;
    tracing::info!("stopping");
    stop_or_leave(running.stop()).await?;
    Ok(())
}

/// Settings and policies, or everything that is wrong with either.
pub(super) fn load_all(config: &Config, report: &mut Report) -> Option<(Settings, Policy)> {
    let settings = load(&config.config, &config.overrides(), report)?;
    let files = PolicyFiles::read(&settings.policies, report);
    let issuers: Vec<&str> = settings.issuers.iter().map(|it| it.name.as_str()).collect();
    let policy = compile(&files, &issuers, report)?;
    report.is_clean().then_some((settings, policy))
}

#[derive(Debug, thiserror::Error)]
#[error("the certificates of `upstream.ca`, {}, cannot be read: {source}", path.display())]
struct CertificateError {
    path: PathBuf,
    source: rustls::pki_types::pem::Error,
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|source| CertificateError {
        path: path.to_owned(),
        source,
    })
}
