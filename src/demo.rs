//! `tollgate demo`: gateway, fake Devin and the sample policies in one process.
//!
//! Nothing of it is a mock of the gateway: it is the same [`crate::gateway`] on
//! real sockets, in front of the fake. Keys are made at each start and live as
//! long as the process; nothing is written to disk unless a log file is asked for.

mod tour;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Parts;
use crate::api_key::ApiKey;
use crate::body::BoxError;
use crate::catalogue::OperationIx;
use crate::cli::{Failure, Format, print};
use crate::clock::{Clock, SystemClock};
use crate::document::Report;
use crate::fake_devin::{self, FakeDevin};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::pipeline::access_log::{MemoryLog, Output, Sink};
use crate::pipeline::credential::Pinned;
use crate::pipeline::pressure::PressureLayer;
use crate::pipeline::upstream::{Timeouts, Upstream};
use crate::policy::{Decision, Policy, PolicyFiles, compile};
use crate::pressure;
use crate::ruleset::Current;
use crate::serve::{Bound, Running, StopSignals, start};
use crate::token::ServiceToken;

/// The sample policies, as they stand in `policies/`.
const POLICIES: [(&str, &str); 4] = [
    (
        "policies/data-science.yaml",
        include_str!("../policies/data-science.yaml"),
    ),
    (
        "policies/guardrails.yaml",
        include_str!("../policies/guardrails.yaml"),
    ),
    (
        "policies/platform.yaml",
        include_str!("../policies/platform.yaml"),
    ),
    ("policies/web.yaml", include_str!("../policies/web.yaml")),
];

/// How the demo runs.
#[derive(Args, Debug)]
pub struct Options {
    /// Walk through allowed, denied and unknown requests by itself, show the access log, and exit.
    #[arg(long)]
    tour: bool,
    /// The port for callers; a taken one is replaced.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The port for the operator; a taken one is replaced.
    #[arg(long, default_value_t = 9090)]
    admin_port: u16,
    /// How many seconds pass for the fake Devin in one real second.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Write the access log to this file instead of standard error.
    #[arg(long)]
    access_log: Option<PathBuf>,
}

/// A sample caller with its key of this run.
#[derive(Serialize)]
struct DemoCaller {
    name: String,
    team: String,
    key: String,
    organizations: Vec<String>,
}

struct Demo {
    base_url: String,
    admin_url: String,
    upstream_url: String,
    callers: Vec<DemoCaller>,
    replaced: Vec<(u16, u16)>,
    running: Running,
    fake: JoinHandle<()>,
    stop_fake: CancellationToken,
}

impl Demo {
    fn caller(&self, name: &str) -> Option<&DemoCaller> {
        self.callers.iter().find(|it| it.name == name)
    }

    async fn stop(self) -> Result<(), BoxError> {
        let stopped = self.running.stop().await;
        self.stop_fake.cancel();
        let _ = self.fake.await;
        stopped
    }
}

pub(crate) async fn run(options: Options, format: Format) -> Result<(), Failure> {
    if options.tour {
        let log = MemoryLog::default();
        let demo = begin(&options, Output::Memory(log.clone())).await?;
        return tour::run(demo, log, format).await;
    }
    let output = match &options.access_log {
        Some(path) => Output::File {
            path: path.clone(),
            max_bytes: 100 << 20,
            keep: 5,
        },
        None => Output::Stderr,
    };
    let mut signals = StopSignals::listen()?;
    let demo = begin(&options, output).await?;
    match format {
        Format::Json => print(&describe(&demo).to_string())?,
        Format::Text => print(&welcome(&demo, options.access_log.as_deref()))?,
    }
    signals.told().await;
    signals.stop_or_leave(demo.stop()).await?;
    Ok(())
}

async fn begin(options: &Options, output: Output) -> Result<Demo, BoxError> {
    let stop_fake = CancellationToken::new();
    // The fake's token is as random as a real one: nothing can be right by chance.
    let secret = ApiKey::generate("fake-devin")?;
    let fake_options = fake_devin::Options {
        token: secret.expose().to_owned(),
        speed: options.speed,
        // Enough for an audit log of several pages within a month.
        audit_entries: 400,
        ..fake_devin::Options::default()
    };
    let organizations: Vec<String> = fake_options
        .organizations
        .iter()
        .map(|(id, _)| id.clone())
        .collect();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let upstream = listener.local_addr()?;
    let fake = FakeDevin::new(fake_options);
    let stopped = stop_fake.clone().cancelled_owned();
    let fake = tokio::spawn(async move { fake.serve(listener, stopped).await });

    let (policy, callers) = policy(&organizations)?;
    let mut replaced = Vec::new();
    let mut listen = async |port| -> io::Result<TcpListener> {
        let (listener, instead) = listen(port).await?;
        replaced.extend(instead.map(|instead| (port, instead)));
        Ok(listener)
    };
    let bound = Bound {
        callers: vec![listen(options.port).await?.into()],
        admin: listen(options.admin_port).await?.into(),
        socket: None,
    };
    let clock = SystemClock;
    let policies = Current::new(policy, clock.now());
    let timeouts = Timeouts::default();
    let ledger = Ledger::temporary(std::time::Duration::from_secs(60)).await?;
    let metrics = Metrics::new(policies.clone());
    let clock: Arc<dyn Clock> = Arc::new(clock);
    let pressure = PressureLayer::new(
        &pressure::Options::default(),
        &metrics,
        Arc::clone(&clock),
        timeouts.total,
    );
    let parts = Parts {
        metrics,
        policies,
        issuers: Arc::new([]),
        token: ServiceToken::new(&secret.expose().to_owned().into())?,
        pinned: Pinned {
            scheme: http::uri::Scheme::HTTP,
            authority: upstream.to_string().parse()?,
        },
        upstream_total: timeouts.total,
        untagged: Arc::default(),
        times: Some(crate::settle::Times::default()),
        records: Arc::new(ledger.clone()),
        ledger,
        tasks: TaskTracker::new(),
        log: Sink::open(output)?,
        clock,
        pressure,
        capacity: crate::capacity::Options::default(),
    };
    let to_fake = Upstream::new(&[], timeouts)?;
    parts.metrics.show_upstream(to_fake.counted());
    let running = start(bound, &parts, to_fake)?;
    let url =
        |address: Option<&SocketAddr>| address.map(|it| format!("http://{it}")).unwrap_or_default();
    Ok(Demo {
        base_url: url(running.callers.first()),
        admin_url: url(Some(&running.admin)),
        upstream_url: url(Some(&upstream)),
        callers,
        replaced,
        running,
        fake,
        stop_fake,
    })
}

/// This port, or another one if it is taken.
async fn listen(port: u16) -> io::Result<(TcpListener, Option<u16>)> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => Ok((listener, None)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let instead = listener.local_addr()?.port();
            Ok((listener, Some(instead)))
        }
        Err(error) => Err(error),
    }
}

/// The sample policies, with a fresh key for each caller.
fn policy(organizations: &[String]) -> Result<(Policy, Vec<DemoCaller>), BoxError> {
    let mut report = Report::default();
    let files = PolicyFiles::from_texts(POLICIES, &mut report);
    let mut policy = compile(&files, &[], &mut report).ok_or_else(|| report.plain())?;
    let list = OperationIx::served().find(|ix| ix.row().id == "sessions.list");
    let mut callers = Vec::new();
    for ix in policy.caller_ixs() {
        let known = policy.caller(ix);
        let may_list = |id: &&String| {
            list.is_some_and(|list| {
                matches!(policy.decide(ix, list, Some(id)), Decision::Allow { .. })
            })
        };
        let name = known.name().to_string();
        let key = ApiKey::generate(&format!("{name}-demo"))?;
        callers.push((
            DemoCaller {
                team: known.team().to_string(),
                key: key.expose().to_owned(),
                organizations: organizations.iter().filter(may_list).cloned().collect(),
                name,
            },
            key,
        ));
    }
    for (caller, key) in &callers {
        if !policy.add_key(
            &caller.name,
            &format!("{}-demo", caller.name),
            key.digest().clone(),
        ) {
            return Err("a sample caller's key id is taken".into());
        }
    }
    let mut callers: Vec<DemoCaller> = callers.into_iter().map(|(caller, _)| caller).collect();
    callers.sort_by_key(|caller| std::cmp::Reverse(caller.organizations.len()));
    Ok((policy, callers))
}

fn describe(demo: &Demo) -> serde_json::Value {
    serde_json::json!({
        "base_url": demo.base_url,
        "admin_url": demo.admin_url,
        "upstream_url": demo.upstream_url,
        "callers": demo.callers,
    })
}

fn welcome(demo: &Demo, log: Option<&Path>) -> String {
    let mut text = String::new();
    for (wanted, instead) in &demo.replaced {
        text += &format!("Port {wanted} is taken; {instead} is used instead.\n");
    }
    text += &format!(
        "Tollgate is running, in front of a fake Devin.\n\n  for callers   {}\n  for operators {}/readyz\n  fake Devin    {}\n\n",
        demo.base_url, demo.admin_url, demo.upstream_url
    );
    text += "The sample callers of policies/, with keys of this run:\n\n";
    for caller in &demo.callers {
        let organizations = caller.organizations.join(", ");
        text += &format!(
            "  {} (team {}; {organizations})\n    {}\n",
            caller.name, caller.team, caller.key
        );
    }
    let (Some(first), Some(organization)) = (
        demo.callers.first(),
        demo.callers.first().and_then(|it| it.organizations.first()),
    ) else {
        return text;
    };
    text += &format!(
        "\nTry it with curl:\n\n  curl -s {base}/v3beta1/enterprise/self \\\n    -H 'Authorization: Bearer {key}'\n\n  \
         curl -s -X POST {base}/v3beta1/organizations/{organization}/sessions \\\n    -H 'Authorization: Bearer {key}' \
         \\\n    -H 'Content-Type: application/json' -d '{{\"prompt\": \"Fix the login test\"}}'\n\nOr with Python:\n\n  \
         import requests\n  answer = requests.get(\"{base}/v3beta1/organizations/{organization}/sessions\",\n      \
         headers={{\"Authorization\": \"Bearer {key}\"}})\n  print(answer.json())\n\nThe access log {log}. Ctrl-C ends it all.",
        log = log.map_or_else(
            || "follows on standard error".to_owned(),
            |path| format!("goes to {}", path.display())
        ),
        base = demo.base_url,
        key = first.key,
    );
    text
}
