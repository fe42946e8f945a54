//! How many connections may be open, and what is done when the process has no descriptor for another.
//!
//! Nobody waits at the door: a connection that is one too many is closed as soon as it was accepted. Whoever is
//! turned away is counted, and told of in the process's own log once a minute at most.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::capacity::Options;
use crate::metrics::{Metrics, TurnedAway};
use crate::proxies::TrustedProxies;

/// From one line of a kind to the next.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// How long nothing is accepted after the process had no descriptor, at first.
const PAUSE: Duration = Duration::from_millis(50);
/// And at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Counts connections; clones count together.
#[derive(Clone, Debug)]
pub(super) struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_of_peer: usize,
    proxies: TrustedProxies,
    metrics: Option<Metrics>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// As many entries as connections at most.
    peers: BTreeMap<IpAddr, usize>,
    /// When it was last said that somebody was turned away, and how many were since.
    said: Option<Instant>,
    unsaid: u64,
}

/// An open connection; it is not when this is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    door: Door,
    peer: Option<IpAddr>,
}

impl Door {
    /// For so many connections, of whomever.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            most_of_peer: most,
            proxies: TrustedProxies::default(),
            metrics: None,
            open: Mutex::default(),
        }))
    }

    /// For callers, with the bounds of the settings.
    pub(super) fn of_callers(options: &Options, metrics: Option<Metrics>) -> Self {
        Self(Arc::new(Inner {
            most: options.connections,
            most_of_peer: options.connections_per_peer,
            proxies: options.proxies.clone(),
            metrics,
            open: Mutex::default(),
        }))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, or not.
    pub(super) fn enter(&self, peer: Option<SocketAddr>, now: Instant) -> Option<Entered> {
        // A proxy connects for many.
        let peer = peer.filter(|it| !self.0.proxies.has(it.ip()));
        let peer = peer.map(|it| one_peer(it.ip()));
        let mut open = self.open();
        let of_peer = peer.and_then(|it| open.peers.get(&it)).copied();
        let why = if open.all >= self.0.most {
            TurnedAway::All
        } else if of_peer.unwrap_or(0) >= self.0.most_of_peer {
            TurnedAway::Peer
        } else {
            open.all += 1;
            if let Some(peer) = peer {
                open.peers.insert(peer, of_peer.unwrap_or(0) + 1);
            }
            self.show(open.all);
            drop(open);
            let door = self.clone();
            return Some(Entered { door, peer });
        };
        if let Some(metrics) = &self.0.metrics {
            metrics.capacity().turned_away(why);
        }
        open.unsaid += 1;
        let is_due = open.said.is_none_or(|said| now >= said + SAID_EVERY);
        if is_due {
            open.said = Some(now);
            let count = std::mem::take(&mut open.unsaid);
            let (all, why) = (open.all, why.as_str());
            drop(open);
            tracing::warn!(
                count,
                open = all,
                why,
                ?peer,
                "connections were closed at once: too many are open"
            );
        }
        None
    }

    fn show(&self, open: usize) {
        if let Some(metrics) = &self.0.metrics {
            metrics.capacity().connections(open);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.door.open();
        open.all = open.all.saturating_sub(1);
        if let Some(peer) = self.peer {
            match open.peers.get_mut(&peer) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) | None => drop(open.peers.remove(&peer)),
            }
        }
        self.door.show(open.all);
    }
}

/// Who counts as one peer: an address, and of IPv6 its network of 64 bits, since whoever has one address has them all.
fn one_peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// How long to accept nothing after an error.
#[derive(Debug, Default)]
pub(super) struct Pause {
    last: Option<Duration>,
    said: Option<Instant>,
}

impl Pause {
    /// A connection was accepted: all is well.
    pub(super) fn over(&mut self) {
        self.last = None;
    }

    /// None was. A connection that broke off before it was accepted is no reason to wait.
    pub(super) fn after(&mut self, error: &io::Error) -> Option<Duration> {
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
        ) {
            return None;
        }
        let next = self.last.map_or(PAUSE, |it| LONGEST_PAUSE.min(it * 2));
        self.last = Some(next);
        Some(next)
    }

    /// Whether it is to be said that none was: once a minute at most.
    pub(super) fn is_said(&mut self, now: Instant) -> bool {
        let is_due = self.said.is_none_or(|said| now >= said + SAID_EVERY);
        if is_due {
            self.said = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxies::network;

    fn peer(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn r5_no_peer_has_more_than_its_share_and_all_no_more_than_there_is() {
        let now = Instant::now();
        let options = Options {
            connections: 4,
            connections_per_peer: 2,
            proxies: [network("10.9.0.0/16").unwrap()].into_iter().collect(),
            ..Options::default()
        };
        let door = Door::of_callers(&options, None);
        let proxies: Vec<_> = (1..=4)
            .map(|it| door.enter(peer(&format!("10.9.0.1:{it}")), now))
            .collect();
        assert!(
            proxies.iter().all(Option::is_some),
            "a proxy has all that there are"
        );
        drop(proxies);
        let one = door.enter(peer("10.0.0.1:1"), now).unwrap();
        let _two = door.enter(peer("10.0.0.1:2"), now).unwrap();
        assert!(door.enter(peer("10.0.0.1:3"), now).is_none());
        assert!(door.enter(peer("[::ffff:10.0.0.1]:3"), now).is_none());
        let _six = door.enter(peer("[2001:db8::1]:1"), now).unwrap();
        let seven = door.enter(peer("[2001:db8::2]:1"), now).unwrap();
        assert!(
            door.enter(peer("10.0.0.2:1"), now).is_none(),
            "all are in use"
        );
        assert!(door.enter(None, now).is_none());
        drop(seven);
        assert!(door.enter(peer("10.0.0.1:3"), now).is_none());
        drop(one);
        let again = door.enter(peer("10.0.0.1:3"), now);
        assert!(again.is_some() && door.enter(peer("[2001:db8::3]:1"), now).is_some());
        drop((again, _two, _six));
        let open = door.open();
        assert!(open.all == 0 && open.peers.is_empty(), "{open:?}");
        assert_eq!(
            open.unsaid, 4,
            "the first was said, the others wait for a minute to pass"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn r5_out_of_descriptors_the_pauses_grow_and_end() {
        let mut pause = Pause::default();
        let none_left = io::Error::from_raw_os_error(24);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            pauses.push(pause.after(&none_left).unwrap().as_millis());
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000, 1_000]);
        pause.over();
        let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(pause.after(&aborted), None);
        assert_eq!(pause.after(&none_left), Some(PAUSE));
        let now = Instant::now();
        assert!(pause.is_said(now) && !pause.is_said(now + SAID_EVERY / 2));
        assert!(pause.is_said(now + SAID_EVERY));
    }
}
