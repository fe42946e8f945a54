//! What a storm is, the list of them, and what attackers share.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::process::TlsSide;
use crate::{fast, h2, idle, large, slow};

/// An attack under way: it says when it has risen, and ends when it is told to.
pub(crate) type Attacking = Pin<Box<dyn Future<Output = ()>>>;

/// A kind of attack.
pub(crate) struct Storm {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// It says nothing if it is shorter.
    pub(crate) least: Duration,
    /// Whether a bare proxy can be attacked in this way too.
    pub(crate) has_control: bool,
    pub(crate) attack: fn(Scene, Sender<()>, CancellationToken) -> Attacking,
}

const fn storm(
    name: &'static str,
    what: &'static str,
    attack: fn(Scene, Sender<()>, CancellationToken) -> Attacking,
) -> Storm {
    Storm {
        name,
        what,
        least: Duration::ZERO,
        has_control: true,
        attack,
    }
}

/// All of them.
pub(crate) static STORMS: &[Storm] = &[
    Storm {
        // Until the first ones are cut, and come again.
        least: Duration::from_secs(12),
        ..storm(
            "slowloris",
            "2,000 connections that send a byte of a head every second",
            |scene, ready, stop| Box::pin(slow::heads(scene, ready, stop)),
        )
    },
    storm(
        "slow-body",
        "500 POSTs whose bodies come a byte a second",
        |scene, ready, stop| Box::pin(slow::bodies(scene, ready, stop)),
    ),
    storm(
        "slow-form",
        "100 uploads that come at 10 KiB a second",
        |scene, ready, stop| Box::pin(slow::forms(scene, ready, stop)),
    ),
    storm(
        "slow-reader",
        "100 connections that ask for 100 MiB and take nothing",
        |scene, ready, stop| Box::pin(slow::readers(scene, ready, stop)),
    ),
    storm(
        "slow-reader-h2",
        "96 streams on 8 connections that ask for 100 MiB each with open windows, and take nothing",
        |scene, ready, stop| Box::pin(h2::readers(scene, ready, stop)),
    ),
    storm(
        "idle",
        "10,000 connections that have had one request, and are kept",
        |scene, ready, stop| Box::pin(idle::plain(scene, ready, stop)),
    ),
    Storm {
        has_control: false,
        ..storm(
            "idle-tls",
            "2,000 connections of TLS that have had one request, and are kept",
            |scene, ready, stop| Box::pin(idle::tls(scene, ready, stop)),
        )
    },
    storm(
        "upload",
        "forms of 100 MiB, one after the other at 1 Gbit/s",
        |scene, ready, stop| Box::pin(large::upload(scene, ready, stop)),
    ),
    storm(
        "download",
        "answers of 100 MiB, one after the other at 1 Gbit/s",
        |scene, ready, stop| Box::pin(large::download(scene, ready, stop)),
    ),
    storm(
        "h2-reset",
        "HEADERS and RST_STREAM as fast as it goes on 8 connections",
        |scene, ready, stop| Box::pin(h2::resets(scene, ready, stop)),
    ),
    storm(
        "h2-ping",
        "PING as fast as it goes on 8 connections",
        |scene, ready, stop| Box::pin(h2::pings(scene, ready, stop)),
    ),
    storm(
        "h2-settings",
        "SETTINGS as fast as it goes on 8 connections",
        |scene, ready, stop| Box::pin(h2::settings(scene, ready, stop)),
    ),
    storm(
        "h2-continuation",
        "a head without end, in CONTINUATION, on 8 connections",
        |scene, ready, stop| Box::pin(h2::continuations(scene, ready, stop)),
    ),
    storm(
        "wrong-keys",
        "requests with wrong keys at full speed on 8 connections",
        |scene, ready, stop| Box::pin(fast::wrong_keys(scene, ready, stop)),
    ),
    storm(
        "accept",
        "connect and close, as fast as it goes",
        |scene, ready, stop| Box::pin(fast::accept(scene, ready, stop)),
    ),
];

/// What an attack is given.
#[derive(Clone)]
pub(crate) struct Scene {
    /// Where HTTP is spoken.
    pub(crate) address: SocketAddr,
    /// And where TLS is.
    pub(crate) tls: Option<TlsSide>,
    /// Good keys, of as many callers.
    pub(crate) keys: Arc<[String]>,
    /// Connections at once.
    pub(crate) most: usize,
    pub(crate) tally: Tally,
}

/// How many addresses attackers come from: no address may have more than its share of connections.
const SOURCES: usize = 40;

impl Scene {
    /// The n-th connection, from one of the attackers' addresses.
    pub(crate) async fn connect(&self, to: SocketAddr, n: usize) -> std::io::Result<TcpStream> {
        let stream = self.socket(n)?.connect(to).await?;
        stream.set_nodelay(true)?;
        self.tally.add("connections", 1);
        Ok(stream)
    }

    /// Its socket.
    pub(crate) fn socket(&self, n: usize) -> std::io::Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        let host = u8::try_from(1 + n % SOURCES).unwrap();
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::new(127, 0, 9, host), 0).into())?;
        Ok(socket)
    }

    /// The key of the n-th attacker.
    pub(crate) fn key(&self, n: usize) -> &str {
        &self.keys[n % self.keys.len()]
    }
}

/// What attackers have done, by name; clones count together.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<&'static str, u64>>>);

/// What a tally says at one moment.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

impl Tally {
    pub(crate) fn add(&self, what: &'static str, count: u64) {
        *self.0.lock().unwrap().entry(what).or_default() += count;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, what: &str) -> u64 {
        self.0.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    /// Until so many were counted.
    pub(crate) async fn reaches(&self, what: &str, count: u64) {
        while self.count(what) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
