//! What the gateway does while it is attacked: how long a well-behaved caller waits meanwhile, what the attack takes, and
//! whether all of it comes back.
//!
//! The real binary serves as a process of its own, with a null upstream on loopback. A caller on one kept connection
//! sends requests at a fixed pace, each timed, before and during each storm; the
//! ratio of the two is the figure. Two controls tell the gateway's part from the machine's: the same caller going to the
//! upstream itself during the same storm, and the same storm against a bare hyper proxy. Attackers have one thread of
//! this process, and share the machine with what they attack.
//!
//! Only ratios of one run mean anything. What is held after a storm, or a gateway that does not serve, ends the run
//! with exit 1; how long anybody waited is never judged, since that is the machine's too.
//!
//! `cargo bench --bench storms`, or with `-- --only idle,h2-reset --seconds 10 --rounds 3 --pace 500 --no-control`.
//! `--binary PATH` attacks another build of the gateway. Give it descriptors: `ulimit -n 20000`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that fails should say where, and asks real clocks"
)]

mod caller;
mod fast;
mod frames;
mod h2;
mod http1;
mod idle;
mod large;
mod process;
mod report;
mod roles;
mod scene;
mod slow;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::process::{Attacked, Keys, Process};
use crate::report::{Row, Usage};
use crate::scene::{Scene, Storm, Tally};

/// How long the caller goes without being measured, to warm everything up.
const WARM: Duration = Duration::from_secs(1);
/// How long it is measured before a storm.
const QUIET: Duration = Duration::from_secs(3);
/// How long a storm may take to come into being.
const RISE: Duration = Duration::from_secs(60);
/// How long what a storm took may take to come back.
const RETURN: Duration = Duration::from_secs(20);
/// How long is waited before the memory afterwards is looked at.
const SETTLE: Duration = Duration::from_secs(1);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    match value("--role") {
        Some("upstream") => return roles::upstream(),
        Some("bare") => return roles::bare(value("--to").unwrap()),
        _ => {}
    }
    let options = Options {
        seconds: Duration::from_secs_f64(value("--seconds").map_or(5.0, |it| it.parse().unwrap())),
        rounds: value("--rounds").map_or(1, |it| it.parse().unwrap()),
        pace: value("--pace").map_or(200.0, |it| it.parse().unwrap()),
        descriptors: process::descriptors_allowed(),
    };
    let only: Option<Vec<&str>> = value("--only").map(|it| it.split(',').collect());
    let is_control_wanted = !arguments.iter().any(|it| it == "--no-control");
    let storms: Vec<&Storm> = scene::STORMS
        .iter()
        .filter(|it| only.as_ref().is_none_or(|only| only.contains(&it.name)))
        .collect();
    if storms.is_empty() {
        let names: Vec<&str> = scene::STORMS.iter().map(|it| it.name).collect();
        panic!("--only is one or several of {}", names.join(","));
    }
    if options.descriptors < process::DESCRIPTORS {
        println!(
            "only {} descriptors: there will be fewer connections than there should be (`ulimit -n 20000`)",
            options.descriptors
        );
    }
    let binary = value("--binary").unwrap_or(env!("CARGO_BIN_EXE_tollgate"));
    let keys = Keys::generate();
    let upstream = process::role(&["--role", "upstream"]);
    let mut rows = Vec::new();
    for storm in storms {
        println!("\n{}: {}", storm.name, storm.what);
        let gateway = process::tollgate(binary, upstream.address, &keys);
        storming(storm, &gateway, &upstream, &keys, &options, &mut rows);
        drop(gateway);
        if is_control_wanted && storm.has_control {
            let bare = process::bare(upstream.address);
            storming(storm, &bare, &upstream, &keys, &options, &mut rows);
        }
    }
    report::table(&rows);
    let lost: Vec<&str> = rows
        .iter()
        .filter(|it| it.is_gateway && it.back.is_none())
        .map(|it| it.storm)
        .collect();
    if !lost.is_empty() {
        println!("\nNOT EVERYTHING CAME BACK after {}", lost.join(", "));
        std::process::exit(1);
    }
}

struct Options {
    seconds: Duration,
    rounds: usize,
    /// Requests a second of the well-behaved caller.
    pace: f64,
    descriptors: usize,
}

/// One storm over one process, as often as is wanted: what grows from round to round is a leak.
fn storming(
    storm: &'static Storm,
    attacked: &Attacked,
    upstream: &Process,
    keys: &Keys,
    options: &Options,
    rows: &mut Vec<Row>,
) {
    let caller = Caller::start(attacked.process.address, &keys.well, options.pace);
    let direct = Caller::start(upstream.address, &keys.well, options.pace);
    std::thread::sleep(WARM);
    for round in 0..options.rounds {
        let quiet = Instant::now();
        std::thread::sleep(QUIET);
        let before = Usage::of(&attacked.process);
        attacked.process.forget_peak();
        let scene = Scene {
            address: attacked.process.address,
            tls: attacked.tls.clone(),
            keys: keys.attackers.clone(),
            most: process::connections(options.descriptors),
            tally: Tally::default(),
        };
        let stop = CancellationToken::new();
        let (ready, is_ready) = mpsc::channel();
        let begun = Instant::now();
        let attackers = attack(storm, scene.clone(), stop.clone(), ready);
        is_ready
            .recv_timeout(RISE)
            .expect("the storm did not come into being");
        let (risen, ticks) = (Instant::now(), process::machine_ticks());
        let (cpu, sent) = (attacked.process.cpu(), scene.tally.counts());
        let length = options.seconds.max(storm.least);
        let mut descriptors = 0;
        while risen.elapsed() < length {
            std::thread::sleep(Duration::from_millis(500).min(length));
            descriptors = descriptors.max(attacked.process.descriptors());
        }
        let over = Instant::now();
        let held = Usage::of(&attacked.process);
        let used = attacked.process.cpu() - cpu;
        let (stolen, done) = (process::stolen_since(ticks), scene.tally.counts());
        stop.cancel();
        attackers.join().expect("the attackers failed");
        let back = attacked.returned(before.descriptors, RETURN);
        std::thread::sleep(SETTLE);
        let row = Row {
            storm: storm.name,
            is_gateway: attacked.admin.is_some(),
            round,
            length: over - risen,
            quiet: caller.window(quiet, begun),
            rise: caller.window(begun, risen),
            during: caller.window(risen, over),
            direct_quiet: direct.window(quiet, begun),
            direct_during: direct.window(risen, over),
            before,
            held: Usage {
                descriptors,
                ..held
            },
            peak_kib: attacked.process.peak_kib(),
            after: Usage::of(&attacked.process),
            cores: used.as_secs_f64() / (over - risen).as_secs_f64(),
            stolen,
            back,
            sent,
            done,
            ended: scene.tally.counts(),
        };
        row.print();
        rows.push(row);
    }
}

/// Attackers have a thread of their own, and one only: the machine is not theirs.
fn attack(
    storm: &'static Storm,
    scene: Scene,
    stop: CancellationToken,
    ready: mpsc::Sender<()>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on((storm.attack)(scene, ready, stop));
        // What it still holds is closed with it.
        drop(runtime);
    })
}
