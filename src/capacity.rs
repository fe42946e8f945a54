//! How much the gateway takes on at once, and how long it waits for whoever is at the other end.
//!
//! [`Room`] counts the requests in flight. A request takes a [`Place`] when it arrives (`pipeline/admit`), carries it
//! in its trail, and gives it back with the last of what still works on it: what spends without its client keeps its
//! place to its end. Connections are counted at the door (`serve/door`), times are kept by each connection's
//! [`Pulse`](crate::pipeline::edge::Pulse).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::catalogue::{Operation, Takes};
use crate::proxies::TrustedProxies;

/// Requests for the gateway's own pages that are answered at once: beside the others, so that they are answered when
/// there is no room for those.
pub const OWN_PAGES: usize = 64;

/// What bounds callers' connections and requests: `limits:` of `tollgate.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Connections of callers in all.
    pub connections: usize,
    /// Connections from one address (of IPv6, one /64).
    pub connections_per_peer: usize,
    /// Requests in flight in all.
    pub requests: usize,
    /// Of these, those of one caller: who waits with many takes nobody else's place.
    pub requests_per_caller: usize,
    /// Streams of one HTTP/2 connection.
    pub streams: u32,
    /// How long is waited for clients.
    pub times: Times,
    /// How large bodies may be.
    pub sizes: Arc<Sizes>,
    /// Peers that connect for others: of their connections there may be as many as in all.
    pub proxies: TrustedProxies,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_peer: 1_024,
            requests: 1_024,
            requests_per_caller: 256,
            streams: 128,
            times: Times::default(),
            sizes: Arc::default(),
            proxies: TrustedProxies::default(),
        }
    }
}

/// How long is waited for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// For a request's head, from its first byte; on a new connection from the beginning.
    pub head: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// For the next piece of a request's body.
    pub body_idle: Duration,
    /// For all of a body that is read before it goes on.
    pub body: Duration,
    /// For all of a body that streams by.
    pub upload: Duration,
    /// For a client to take anything of what is written to it.
    pub write: Duration,
    /// For TLS, where a listener speaks it.
    pub handshake: Duration,
    /// For what is in flight, when the process is told to stop.
    pub drain: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body_idle: Duration::from_secs(30),
            body: Duration::from_secs(60),
            upload: Duration::from_secs(300),
            write: Duration::from_secs(60),
            handshake: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        }
    }
}

/// How large bodies may be, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The body of a request, but forms. What is read before it goes on has a bound of its own beside.
    pub body: u64,
    /// A form.
    pub upload: u64,
    /// An answer of Devin's.
    pub answer: u64,
    /// What is otherwise of single operations, by their ids.
    pub operations: BTreeMap<&'static str, OfOperation>,
}

/// Sizes of one operation; none for the usual ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfOperation {
    /// The body of its request.
    pub request: Option<u64>,
    /// Its answer.
    pub answer: Option<u64>,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            body: 4 << 20,
            upload: 100 << 20,
            answer: 256 << 20,
            operations: BTreeMap::new(),
        }
    }
}

impl Sizes {
    /// The most bytes of a request's body.
    pub fn request(&self, operation: &Operation) -> u64 {
        let usual = match operation.takes {
            Some(Takes::Multipart) => self.upload,
            Some(Takes::Json) | None => self.body,
        };
        let of_operation = self.operations.get(operation.id);
        of_operation.and_then(|it| it.request).unwrap_or(usual)
    }

    /// The most bytes of its answer.
    pub fn answer(&self, operation: &Operation) -> u64 {
        let of_operation = self.operations.get(operation.id);
        of_operation.and_then(|it| it.answer).unwrap_or(self.answer)
    }
}

/// Places for requests; clones are the same room.
#[derive(Clone, Debug)]
pub struct Room(Arc<Places>);

#[derive(Debug)]
struct Places {
    taken: AtomicUsize,
    most: usize,
}

/// A place of a room, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Room {
    /// Of so many places.
    pub fn new(most: usize) -> Self {
        let taken = AtomicUsize::new(0);
        Self(Arc::new(Places { taken, most }))
    }

    /// A place, if one is free. Nobody waits for one.
    pub fn enter(&self) -> Option<Place> {
        let more = |taken| (taken < self.0.most).then_some(taken + 1);
        let taken = &self.0.taken;
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Place(Arc::clone(&self.0)))
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// How many places there are.
    pub fn most(&self) -> usize {
        self.0.most
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Places for the requests of each caller; clones are the same room. It knows those that have some now.
#[derive(Clone, Debug)]
pub struct Callers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    taken: Mutex<HashMap<Arc<str>, usize>>,
    most: usize,
}

/// A caller's place, which is free again when this is dropped.
#[derive(Debug)]
pub struct CallersPlace {
    room: Callers,
    caller: Arc<str>,
}

impl Callers {
    /// Of so many places for each.
    pub fn new(most: usize) -> Self {
        let taken = Mutex::default();
        Self(Arc::new(Shared { taken, most }))
    }

    /// A place for this caller, if it has one left. Nobody waits for one.
    pub fn enter(&self, caller: &Arc<str>) -> Option<CallersPlace> {
        let mut taken = self.taken();
        let of_caller = taken.entry(Arc::clone(caller)).or_default();
        if *of_caller >= self.0.most {
            return None;
        }
        *of_caller += 1;
        Some(CallersPlace {
            room: self.clone(),
            caller: Arc::clone(caller),
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        // Nothing panics while it is held.
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CallersPlace {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        if let Some(of_caller) = taken.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_holder_is_gone() {
        let room = Room::new(2);
        let first = room.enter().unwrap();
        let second = room.clone().enter();
        assert!(second.is_some() && room.enter().is_none());
        assert_eq!((room.taken(), room.most()), (2, 2));
        drop(first);
        let third = room.enter();
        assert!(third.is_some() && room.enter().is_none());
        drop((second, third));
        assert_eq!(room.taken(), 0);
        assert!(Room::new(0).enter().is_none());
    }

    #[test]
    fn r13_a_caller_takes_its_own_places_and_nobody_elses() {
        let callers = Callers::new(2);
        let (one, two) = (Arc::from("one"), Arc::from("two"));
        let first = callers.enter(&one);
        let second = callers.enter(&one);
        assert!(first.is_some() && second.is_some());
        assert!(callers.enter(&one).is_none());
        assert!(callers.enter(&two).is_some());
        drop(first);
        assert!(callers.enter(&one).is_some());
        drop(second);
        assert!(callers.taken().is_empty());
    }
}
