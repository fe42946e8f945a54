//! The attempts that are known in this process, and whose client each has. Pure: time is an argument, and what
//! is waited on (`E`: an attempt's end, `B`: a departure) is only carried.
//!
//! An intent is what a caller named with `Idempotency-Key`, or else a
//! fingerprint. A named one has one attempt. An unnamed one may have several,
//! since two equal requests can be two intents: only an attempt that somebody
//! has given up is taken over, and each has at most one client.
//!
//! An attempt that may still act, or have acted, is never forgotten to make
//! room: where nothing else can go, nothing new is begun.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::fingerprint::Fingerprint;
use super::key::Key;

/// How long a delivered answer may be had again, by who says that it repeats itself.
pub const DELIVERED: Duration = Duration::from_secs(10 * 60);
/// How long an answer is kept that nobody received, and an outcome that nobody can find out.
pub const UNDELIVERED: Duration = Duration::from_secs(60 * 60);
/// How long an attempt without a result is remembered where its outcome does not come to light.
pub const UNRESOLVED: Duration = Duration::from_secs(48 * 60 * 60);

/// How much is known at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Attempts of one caller.
    pub per_caller: usize,
    /// Attempts of all.
    pub total: usize,
    /// Bytes of the answers that are kept.
    pub bytes: usize,
}

/// What a process has room for.
pub const BOUNDS: Bounds = Bounds {
    per_caller: 8_192,
    total: 32_768,
    bytes: 64 * 1024 * 1024,
};

/// An attempt's number in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(u64);

/// The place of an attempt's client. Who comes later takes it over; it is then worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seat {
    /// The attempt.
    pub attempt: AttemptId,
    client: u64,
}

/// A request that wants something done.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub caller: Arc<str>,
    /// What the caller named it.
    pub key: Option<Key>,
    /// What it means.
    pub fingerprint: Fingerprint,
    /// Whether it says that it is a repeat.
    pub repeats: bool,
    /// Whether it can wait a moment for an earlier client's departure to show.
    pub lingers: bool,
    /// The request's id.
    pub request_id: Uuid,
}

/// What a request has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn<E, B> {
    /// Carry it out.
    Begin(Seat),
    /// Wait for the end of an earlier attempt, as its client.
    Join {
        /// As whose client.
        seat: Seat,
        /// Its end.
        end: E,
        /// The request that began it, if it was of this process.
        first: Option<Uuid>,
    },
    /// Wait a moment for a departure, then ask again.
    Linger(B),
    /// The key was given to another intent.
    Mismatch,
    /// There is no room.
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Intent {
    Named(Arc<str>, Key),
    Unnamed(Fingerprint),
}

impl Intent {
    fn of(ask: &Ask) -> Self {
        match &ask.key {
            Some(key) => Self::Named(Arc::clone(&ask.caller), key.clone()),
            // The caller is in it.
            None => Self::Unnamed(ask.fingerprint),
        }
    }

    fn is_named(&self) -> bool {
        matches!(self, Self::Named(..))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Under way.
    Running,
    /// Devin did it, and said so.
    Answered,
    /// It may have acted, and nobody knows yet.
    NoResult,
    /// It may have acted, and nobody will know.
    Unresolvable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Seems to wait.
    Waiting(u64),
    /// Left before it had an answer.
    Gone(Instant),
    /// Has its answer.
    Delivered(Instant),
}

#[derive(Clone, Debug)]
struct Known<E> {
    caller: Arc<str>,
    intent: Intent,
    fingerprint: Fingerprint,
    first: Option<Uuid>,
    state: State,
    client: Client,
    end: E,
    bytes: usize,
    /// When it is forgotten.
    due: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Group<B> {
    attempts: BTreeSet<AttemptId>,
    bell: B,
}

/// The attempts.
#[derive(Clone, Debug)]
pub struct Registry<E, B> {
    bounds: Bounds,
    known: BTreeMap<AttemptId, Known<E>>,
    groups: HashMap<Intent, Group<B>>,
    /// How many each caller has.
    counts: HashMap<Arc<str>, usize>,
    due: BTreeSet<(Instant, AttemptId)>,
    bytes: usize,
    next: u64,
}

impl<E: Clone, B: Clone + Default> Registry<E, B> {
    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            known: BTreeMap::new(),
            groups: HashMap::new(),
            counts: HashMap::new(),
            due: BTreeSet::new(),
            bytes: 0,
            next: 0,
        }
    }

    /// A request arrives. `end` is made for an attempt that is begun.
    pub fn arrive(&mut self, ask: &Ask, now: Instant, end: impl FnOnce() -> E) -> Turn<E, B> {
        self.expire(now);
        let intent = Intent::of(ask);
        if let Some(group) = self.groups.get(&intent) {
            let chosen = match &intent {
                Intent::Named(..) => group.attempts.first().copied(),
                Intent::Unnamed(_) => match self.choose(group, ask) {
                    Choice::Join(id) => Some(id),
                    Choice::Linger => return Turn::Linger(group.bell.clone()),
                    Choice::Begin => None,
                },
            };
            if let Some(id) = chosen {
                return self.join(id, ask);
            }
        }
        if !self.make_room(&ask.caller) {
            return Turn::Full;
        }
        let client = self.number();
        let attempt = self.insert(Known {
            caller: Arc::clone(&ask.caller),
            intent,
            fingerprint: ask.fingerprint,
            first: Some(ask.request_id),
            state: State::Running,
            client: Client::Waiting(client),
            end: end(),
            bytes: 0,
            due: None,
        });
        Turn::Begin(Seat { attempt, client })
    }

    /// An attempt of an earlier process, of which nobody knows the outcome. Bounds do not hold here: it has to be known.
    pub fn restore(
        &mut self,
        caller: Arc<str>,
        fingerprint: Fingerprint,
        now: Instant,
        end: E,
    ) -> AttemptId {
        let id = self.insert(Known {
            caller,
            intent: Intent::Unnamed(fingerprint),
            fingerprint,
            first: None,
            state: State::NoResult,
            client: Client::Gone(now),
            end,
            bytes: 0,
            due: None,
        });
        self.reschedule(id, now);
        id
    }

    /// Devin did it, with an answer of this size.
    pub fn answered(&mut self, id: AttemptId, bytes: usize, now: Instant) {
        self.advance(id, State::Answered, now);
        if let Some(known) = self.known.get_mut(&id) {
            known.bytes = bytes;
            self.bytes += bytes;
        }
        while self.bytes > self.bounds.bytes && self.evict(None) {}
    }

    /// It has ended, it may have acted, and nobody knows.
    pub fn without_result(&mut self, id: AttemptId, now: Instant) {
        self.advance(id, State::NoResult, now);
    }

    /// Nobody will know either.
    pub fn unresolvable(&mut self, id: AttemptId, now: Instant) {
        self.advance(id, State::Unresolvable, now);
    }

    /// It was definitely refused, never left, or is known not to have acted: nobody can join it any more.
    pub fn over(&mut self, id: AttemptId) {
        let Some(known) = self.known.remove(&id) else {
            return;
        };
        self.bytes -= known.bytes.min(self.bytes);
        if let Some(due) = known.due {
            self.due.remove(&(due, id));
        }
        if let Some(group) = self.groups.get_mut(&known.intent) {
            group.attempts.remove(&id);
            if group.attempts.is_empty() {
                self.groups.remove(&known.intent);
            }
        }
        if let Some(count) = self.counts.get_mut(&known.caller) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&known.caller);
            }
        }
    }

    /// Its client left without an answer. Gives what has to be rung, for whoever waits for that.
    #[must_use = "somebody may wait for it"]
    pub fn left(&mut self, seat: Seat, now: Instant) -> Option<B> {
        self.vacate(seat, Client::Gone(now), now)
    }

    /// Its client has its answer. Gives what has to be rung, as [`Self::left`].
    #[must_use = "somebody may wait for it"]
    pub fn delivered(&mut self, seat: Seat, now: Instant) -> Option<B> {
        self.vacate(seat, Client::Delivered(now), now)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn choose(&self, group: &Group<B>, ask: &Ask) -> Choice {
        let mut gone = None;
        let mut without_result = None;
        let mut delivered = None;
        let mut waiting = None;
        for id in &group.attempts {
            let Some(known) = self.known.get(id) else {
                continue;
            };
            match (known.state, known.client) {
                // Whose client seems to have waited longest is the likeliest to have given up.
                (_, Client::Waiting(_)) => waiting = waiting.or(Some(*id)),
                (State::Running | State::Answered, Client::Gone(at)) => {
                    gone = gone.max(Some((at, *id)));
                }
                (State::Answered, Client::Delivered(at)) => {
                    delivered = delivered.max(Some((at, *id)));
                }
                (State::NoResult | State::Unresolvable, Client::Gone(_) | Client::Delivered(_)) => {
                    without_result = Some(*id);
                }
                // Nobody is given an answer that is not there yet.
                (State::Running, Client::Delivered(_)) => {}
            }
        }
        if let Some(id) = gone.map(|(_, id)| id).or(without_result) {
            return Choice::Join(id);
        }
        if waiting.is_some() && ask.lingers {
            return Choice::Linger;
        }
        let repeated = delivered.map(|(_, id)| id).or(waiting);
        match repeated.filter(|_| ask.repeats) {
            Some(id) => Choice::Join(id),
            None => Choice::Begin,
        }
    }

    fn join(&mut self, id: AttemptId, ask: &Ask) -> Turn<E, B> {
        let client = self.number();
        let Some(known) = self.known.get_mut(&id) else {
            return Turn::Full;
        };
        if known.fingerprint != ask.fingerprint {
            return Turn::Mismatch;
        }
        known.client = Client::Waiting(client);
        let (end, first) = (known.end.clone(), known.first);
        // Who waits for an answer that is there keeps it there.
        if known.state == State::Answered
            && let Some(due) = known.due.take()
        {
            self.due.remove(&(due, id));
        }
        Turn::Join {
            seat: Seat {
                attempt: id,
                client,
            },
            end,
            first,
        }
    }

    fn vacate(&mut self, seat: Seat, client: Client, now: Instant) -> Option<B> {
        let known = self.known.get_mut(&seat.attempt)?;
        if known.client != Client::Waiting(seat.client) {
            return None;
        }
        known.client = client;
        let bell = self.groups.get(&known.intent).map(|it| it.bell.clone());
        self.reschedule(seat.attempt, now);
        bell
    }

    fn advance(&mut self, id: AttemptId, state: State, now: Instant) {
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        // Its client was only told that nobody knew: the answer is nobody's yet.
        if matches!(known.state, State::NoResult | State::Unresolvable)
            && matches!(known.client, Client::Delivered(_))
        {
            known.client = Client::Gone(now);
        }
        known.state = state;
        // What has a name and an end stands in the store.
        if known.intent.is_named() && state != State::NoResult {
            self.over(id);
        } else {
            self.reschedule(id, now);
        }
    }

    fn reschedule(&mut self, id: AttemptId, now: Instant) {
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        if let Some(due) = known.due.take() {
            self.due.remove(&(due, id));
        }
        known.due = match (known.state, known.client) {
            (State::Running, _) | (State::Answered, Client::Waiting(_)) => None,
            (State::Answered, Client::Delivered(at)) => Some(at + DELIVERED),
            (State::Answered, Client::Gone(_)) | (State::Unresolvable, _) => {
                Some(now + UNDELIVERED)
            }
            (State::NoResult, _) => Some(now + UNRESOLVED),
        };
        if let Some(due) = known.due {
            self.due.insert((due, id));
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((due, id)) = self.due.first().copied() {
            if due > now {
                return;
            }
            self.over(id);
        }
    }

    /// Whether there is room for one more of this caller's, if what may be forgotten is.
    fn make_room(&mut self, caller: &Arc<str>) -> bool {
        let has = self.counts.get(caller).copied().unwrap_or_default();
        if has >= self.bounds.per_caller && !self.evict(Some(caller)) {
            return false;
        }
        self.known.len() < self.bounds.total || self.evict(None)
    }

    /// Forgets the answer that would be forgotten next. Whether there was one.
    fn evict(&mut self, of: Option<&Arc<str>>) -> bool {
        let found = self.due.iter().map(|(_, id)| *id).find(|id| {
            self.known.get(id).is_some_and(|known| {
                known.state == State::Answered && of.is_none_or(|it| *it == known.caller)
            })
        });
        if let Some(id) = found {
            self.over(id);
        }
        found.is_some()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn insert(&mut self, known: Known<E>) -> AttemptId {
        let id = AttemptId(self.number());
        let group = self.groups.entry(known.intent.clone()).or_default();
        group.attempts.insert(id);
        *self.counts.entry(Arc::clone(&known.caller)).or_default() += 1;
        self.known.insert(id, known);
        id
    }
}

enum Choice {
    Join(AttemptId),
    Linger,
    Begin,
}
