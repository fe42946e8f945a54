//! `tollgate serve`: the gateway, from its files.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Config, Failure, Format, print};
use crate::Parts;
use crate::alerts::send;
use crate::body::BoxError;
use crate::clock::{Clock, SystemClock};
use crate::document::Report;
use crate::ledger::{Aliases, HandOver, Ledger, OpenError};
use crate::metrics::Metrics;
use crate::pipeline::access_log::Sink;
use crate::pipeline::authenticate::Issuer;
use crate::pipeline::pressure::PressureLayer;
use crate::pipeline::upstream::Upstream;
use crate::policy::{Policy, PolicyFiles, compile};
use crate::reload::{Files, Reload};
use crate::ruleset::Current;
use crate::serve::{
    Inherited, StopSignals, Systemd, bind, descriptors, hangups, harden, reopen_log_on_signal,
    start,
};
use crate::settings::{Settings, TokenSource, load};
use crate::token::ServiceToken;

pub(super) async fn run(config: Config, format: Format) -> Result<(), Failure> {
    harden();
    // First of all: it takes what it reads out of the environment.
    let inherited = Inherited::from_env()?;
    let mut report = Report::default();
    let loaded = load_all(&config, &mut report);
    let Some((settings, policy)) = loaded else {
        match format {
            Format::Json => {
                print(&serde_json::json!({"ok": false, "mistakes": report.json()}).to_string())?
            }
            Format::Text => {
                let text = report.human(io::stderr().is_terminal());
                writeln!(
                    io::stderr(),
                    "{text}{}; nothing was started",
                    report.count()
                )?;
            }
        }
        return Err(Failure::Bad);
    };
    policy.advise(SystemClock.now(), &mut report);
    if report.warnings() > 0 {
        let warnings = report.warnings();
        tracing::warn!(warnings, "the policies have warnings: run `tollgate check`");
    }
    let token = settings.token.open()?;
    for exposed in settings.exposed() {
        tracing::warn!("{exposed}; keep them out with chmod, or with the mode of the mount");
    }
    let proxy = settings.proxy.as_ref().map(|it| it.open()).transpose()?;
    let upstream = Upstream::through(proxy.as_ref(), &settings.ca, settings.timeouts)?;
    let webhook = settings.alerts.as_ref().map(|it| it.open()).transpose()?;
    // Bound before anything is written: a port in use changes nothing.
    let bound = bind(
        &settings.listen,
        settings.admin,
        settings.admin_socket.as_deref(),
        inherited,
    )
    .await?;
    let files = files(&settings, &token);
    let log = Sink::open(settings.access_log)?;
    reopen_log_on_signal(log.clone())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let policies = Current::new(policy, clock.now());
    let metrics = Metrics::new(policies.clone());
    metrics.show_upstream(upstream.counted());
    let hash = policies.loaded().hash;
    let (ledger, hand_over) = Ledger::open_or_wait(settings.ledger.options()?).await?;
    if hand_over.is_none() {
        bound.is_whole()?;
    }
    ledger.rename(Aliases::of(policies.load().policy())).await?;
    let reload = Reload::new(
        settings.policies.folder,
        settings.policies.budget,
        settings.issuers.iter().map(|it| it.name.clone()),
        policies.clone(),
        metrics.clone(),
        Arc::clone(&clock),
    )
    .telling(ledger.clone())
    .with_files(files);
    tokio::spawn(reload.follow(hangups()?));
    let stop_alerts = CancellationToken::new();
    match webhook {
        Some(webhook) => {
            let (ledger, clock) = (ledger.clone(), Arc::clone(&clock));
            tokio::spawn(send(webhook, ledger, clock, stop_alerts.clone()));
        }
        None => ledger.bell().mute(),
    }
    let pressure = PressureLayer::new(
        &settings.pressure,
        &metrics,
        Arc::clone(&clock),
        settings.timeouts.total,
    );
    let parts = Parts {
        metrics,
        policies,
        issuers: settings.issuers.into(),
        token,
        pinned: settings.pinned,
        upstream_total: settings.timeouts.total,
        untagged: settings.ledger.restricted_tags,
        times: Some(settings.ledger.times),
        records: Arc::new(ledger.clone()),
        ledger,
        tasks: TaskTracker::new(),
        log,
        clock: Arc::clone(&clock),
        pressure,
        capacity: descriptors::fitting(settings.capacity, descriptors::most()),
    };
    let mut signals = StopSignals::listen()?;
    let running = start(bound, &parts, upstream)?;
    tracing::info!(callers = ?running.callers, admin = %running.admin, policy = hash, "ready");
    Systemd.ready();
    tokio::spawn(Systemd.keep_alive());
    // A task of its own: it goes on while the process stops, since what was accepted may wait for the ledger.
    let taking = tokio::spawn(never_had(hand_over, clock));
    let why: Result<(), BoxError> = tokio::select! {
        () = signals.told() => Ok(()),
        ended = taking => Err(ended.map_or_else(BoxError::from, BoxError::from)),
    };
    tracing::info!("stopping");
    Systemd.stopping(running.drain());
    signals.stop_or_leave(running.stop()).await?;
    stop_alerts.cancel();
    Ok(why?)
}

/// What is read again when it changes, beside the policies.
fn files(settings: &Settings, token: &ServiceToken) -> Files {
    let mut files = Files::default();
    if let TokenSource::File(path) = &settings.token {
        files.add(token.renewal(path.clone()));
    }
    for renewal in settings.issuers.iter().filter_map(Issuer::renewal) {
        files.add(renewal);
    }
    for tls in settings.listen.iter().filter_map(|it| it.tls.as_ref()) {
        files.add(tls.renewal());
    }
    files
}

/// Takes the ledger over. Comes to an end only if it cannot be had.
async fn never_had(hand_over: Option<HandOver>, clock: Arc<dyn Clock>) -> OpenError {
    if let Some(hand_over) = hand_over {
        match hand_over.wait(&*clock).await {
            Ok(()) => tracing::info!("the ledger was let go, and is this process's now"),
            Err(error) => return error,
        }
    }
    std::future::pending().await
}

/// Settings and policies, or everything that is wrong with either.
pub(super) fn load_all(config: &Config, report: &mut Report) -> Option<(Settings, Policy)> {
    let settings = load(&config.config, &config.overrides(), report)?;
    let files = PolicyFiles::read(&settings.policies.folder, settings.policies.budget, report);
    let issuers: Vec<&str> = settings.issuers.iter().map(|it| it.name.as_str()).collect();
    let policy = compile(&files, &issuers, report)?;
    settings.check_shares(&policy, report);
    report.is_clean().then_some((settings, policy))
}
