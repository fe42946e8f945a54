//! Which reads are under way, and which answers are kept: everything that is decided about sharing. Pure.
//!
//! All is kept by caller, and nothing looks across: what one caller asks for or changes says nothing to another (U6).
//! A change takes away what it may have made stale, under way or kept; so an answer that was under way across a change
//! is joined by nobody new, and kept for nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;
use uuid::Uuid;

use super::key::{About, Key};

/// What is kept at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of one answer's body that are shared or kept.
    pub answer: usize,
    /// Bytes of all answers, those that are read just now among them.
    pub bytes: usize,
    /// Bytes of one caller's answers that are read just now: who reads slowly takes nobody else's room.
    pub caller_reading: usize,
    /// Bytes of the kept answers of one caller.
    pub caller_bytes: usize,
    /// Kept answers of one caller.
    pub caller_entries: usize,
    /// Kept answers of all callers.
    pub entries: usize,
}

/// The bounds of a gateway.
pub const BOUNDS: Bounds = Bounds {
    answer: 1024 * 1024,
    bytes: 64 * 1024 * 1024,
    caller_reading: 16 * 1024 * 1024,
    caller_bytes: 8 * 1024 * 1024,
    caller_entries: 500,
    entries: 10_000,
};

/// How long after its head an answer can still be joined: a first client that reads slowly makes no other one's old.
pub const JOINABLE: Duration = Duration::from_secs(1);

/// What an answer takes beside its body: headers, and places in these maps.
const BESIDE: usize = 2 * 1024;

/// A whole answer of Devin's, of the status 200.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The request that asked Devin for it.
    pub first: Uuid,
}

/// A kept answer, found again.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The answer.
    pub kept: Arc<Kept>,
    /// How long ago it was asked for.
    pub age: Duration,
}

/// Names a read that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    caller: Arc<str>,
    key: Key,
    number: u64,
}

/// The reads under way, each with a handle `F`, and the kept answers.
#[derive(Debug)]
pub struct Book<F> {
    bounds: Bounds,
    callers: BTreeMap<Arc<str>, OfCaller<F>>,
    /// The kept answers in the order in which they were kept.
    order: BTreeMap<u64, (Arc<str>, Key)>,
    /// Counts reads and kept answers.
    next: u64,
    /// Bytes of all answers.
    bytes: usize,
}

#[derive(Debug)]
struct OfCaller<F> {
    under_way: BTreeMap<Key, UnderWay<F>>,
    kept: BTreeMap<Key, Entry>,
    /// Of the kept ones.
    bytes: usize,
    /// Of those that are read just now.
    reading: usize,
}

#[derive(Debug)]
struct UnderWay<F> {
    number: u64,
    about: About,
    left: Instant,
    /// How long the answer may be kept.
    lasts: Option<Duration>,
    /// When the head of its answer had come.
    head: Option<Instant>,
    handle: F,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    about: About,
    left: Instant,
    until: Instant,
    bytes: usize,
    kept: Arc<Kept>,
}

impl<F> Default for OfCaller<F> {
    fn default() -> Self {
        Self {
            under_way: BTreeMap::new(),
            kept: BTreeMap::new(),
            bytes: 0,
            reading: 0,
        }
    }
}

impl<F> Book<F> {
    /// Nothing is under way or kept.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            callers: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
            bytes: 0,
        }
    }

    /// The answer that is kept for this.
    pub fn hit(&mut self, caller: &str, key: &Key, now: Instant) -> Option<Hit> {
        self.drop_stale(now);
        let entry = self.callers.get(caller)?.kept.get(key)?;
        if entry.until <= now {
            self.drop_kept(entry.number);
            return None;
        }
        Some(Hit {
            kept: Arc::clone(&entry.kept),
            age: now.saturating_duration_since(entry.left),
        })
    }

    /// The same read, under way: until its answer has come, which is soon after its head, or not for [`JOINABLE`].
    pub fn under_way(&self, caller: &str, key: &Key, now: Instant) -> Option<&F> {
        let found = self.callers.get(caller)?.under_way.get(key)?;
        let since = found.head.map(|it| now.saturating_duration_since(it));
        let is_new = since.is_none_or(|it| it <= JOINABLE);
        is_new.then_some(&found.handle)
    }

    /// A name for a read that [`Book::begin`] tells of.
    pub fn seat(&mut self, caller: &Arc<str>, key: &Key) -> Seat {
        Seat {
            caller: Arc::clone(caller),
            key: key.clone(),
            number: self.number(),
        }
    }

    /// A read leaves for Devin; its answer may be kept so long from now on. One that was under way with the same key is
    /// joined no more.
    pub fn begin(
        &mut self,
        seat: &Seat,
        about: About,
        lasts: Option<Duration>,
        now: Instant,
        handle: F,
    ) {
        let begun = UnderWay {
            number: seat.number,
            about,
            left: now,
            lasts,
            head: None,
            handle,
        };
        let of_caller = self.callers.entry(Arc::clone(&seat.caller)).or_default();
        of_caller.under_way.insert(seat.key.clone(), begun);
    }

    /// The head of the answer is there.
    pub fn answered(&mut self, seat: &Seat, now: Instant) {
        if let Some(of_caller) = self.callers.get_mut(&seat.caller)
            && let Some(found) = of_caller.under_way.get_mut(&seat.key)
            && found.number == seat.number
        {
            found.head = Some(now);
        }
    }

    /// Whether this read's answer, if it is one that can be, would be kept as things stand.
    pub fn would_keep(&self, seat: &Seat) -> bool {
        self.found(seat).is_some_and(|it| it.lasts.is_some())
    }

    /// A read is over, or can be shared no more; a whole answer is kept where it may be.
    pub fn end(&mut self, seat: &Seat, answer: Option<Kept>, now: Instant) {
        if self.found(seat).is_none() {
            // Something was changed meanwhile.
            return;
        }
        let Some(of_caller) = self.callers.get_mut(&seat.caller) else {
            return;
        };
        let ended = of_caller.under_way.remove(&seat.key);
        if let Some((ended, kept)) = ended.zip(answer)
            && let Some(lasts) = ended.lasts
            && let Some(until) = ended.left.checked_add(lasts)
            && until > now
        {
            self.keep(seat, ended.about, ended.left, until, kept, now);
        }
        self.tidy(&seat.caller);
    }

    fn keep(
        &mut self,
        seat: &Seat,
        about: About,
        left: Instant,
        until: Instant,
        kept: Kept,
        now: Instant,
    ) {
        // The one before goes in any case.
        let of_caller = self.callers.get(&seat.caller);
        let before = of_caller.and_then(|it| it.kept.get(&seat.key));
        if let Some(number) = before.map(|it| it.number) {
            self.drop_kept(number);
        }
        self.drop_stale(now);
        let bytes = kept.body.len() + 2 * seat.key.length() + BESIDE;
        if kept.body.len() > self.bounds.answer || bytes > self.bounds.caller_bytes {
            return;
        }
        while let Some(of_caller) = self.callers.get(&seat.caller)
            && (of_caller.kept.len() >= self.bounds.caller_entries
                || of_caller.bytes + bytes > self.bounds.caller_bytes)
            && let Some(oldest) = of_caller.kept.values().map(|it| it.number).min()
        {
            self.drop_kept(oldest);
        }
        while self.order.len() >= self.bounds.entries
            && let Some(oldest) = self.order.keys().next().copied()
        {
            self.drop_kept(oldest);
        }
        if !self.make_room(bytes) {
            return;
        }
        let number = self.number();
        let place = (Arc::clone(&seat.caller), seat.key.clone());
        self.order.insert(number, place);
        let of_caller = self.callers.entry(Arc::clone(&seat.caller)).or_default();
        of_caller.bytes += bytes;
        let entry = Entry {
            number,
            about,
            left,
            until,
            bytes,
            kept: Arc::new(kept),
        };
        of_caller.kept.insert(seat.key.clone(), entry);
    }

    /// Something is about to be changed, or has been: what it may show in is neither kept nor joined from now on.
    pub fn change(&mut self, caller: &Arc<str>, about: &About) {
        let Some(of_caller) = self.callers.get_mut(caller) else {
            return;
        };
        of_caller
            .under_way
            .retain(|_, it| !about.touches(&it.about));
        let stale = of_caller
            .kept
            .values()
            .filter(|it| about.touches(&it.about));
        let stale: Vec<u64> = stale.map(|it| it.number).collect();
        for number in stale {
            self.drop_kept(number);
        }
        self.tidy(caller);
    }

    /// Sets room aside for an answer that is being read. What is kept makes way. `false` if there is none.
    pub fn reserve(&mut self, seat: &Seat, bytes: usize) -> bool {
        let of_caller = self.callers.get(&seat.caller);
        let reading = of_caller.map_or(0, |it| it.reading).saturating_add(bytes);
        if reading > self.bounds.caller_reading || !self.make_room(bytes) {
            return false;
        }
        let of_caller = self.callers.entry(Arc::clone(&seat.caller)).or_default();
        of_caller.reading = reading;
        // An empty piece takes no room.
        self.tidy(&seat.caller);
        true
    }

    /// Gives back room that was set aside.
    pub fn release(&mut self, seat: &Seat, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(of_caller) = self.callers.get_mut(&seat.caller) {
            of_caller.reading = of_caller.reading.saturating_sub(bytes);
        }
        self.tidy(&seat.caller);
    }

    /// Takes room of all, if need be the least recently kept answers'.
    fn make_room(&mut self, bytes: usize) -> bool {
        loop {
            let after = self.bytes.saturating_add(bytes);
            if after <= self.bounds.bytes {
                self.bytes = after;
                return true;
            }
            let Some(oldest) = self.order.keys().next().copied() else {
                return false;
            };
            self.drop_kept(oldest);
        }
    }

    /// What stands first is gone once its time is over; what stands behind something that lasts longer is found out
    /// when it is asked for, or pushed out.
    fn drop_stale(&mut self, now: Instant) {
        while let Some((number, (caller, key))) = self.order.first_key_value()
            && let Some(entry) = self.callers.get(caller).and_then(|it| it.kept.get(key))
            && entry.until <= now
        {
            let number = *number;
            self.drop_kept(number);
        }
    }

    fn drop_kept(&mut self, number: u64) {
        let Some((caller, key)) = self.order.remove(&number) else {
            return;
        };
        if let Some(of_caller) = self.callers.get_mut(&caller)
            && let Some(entry) = of_caller.kept.remove(&key)
        {
            of_caller.bytes = of_caller.bytes.saturating_sub(entry.bytes);
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
        self.tidy(&caller);
    }

    /// Of a caller that has nothing here, nothing is left.
    fn tidy(&mut self, caller: &str) {
        let is_empty =
            |it: &OfCaller<F>| it.under_way.is_empty() && it.kept.is_empty() && it.reading == 0;
        if self.callers.get(caller).is_some_and(is_empty) {
            self.callers.remove(caller);
        }
    }

    fn found(&self, seat: &Seat) -> Option<&UnderWay<F>> {
        let of_caller = self.callers.get(&seat.caller)?;
        let found = of_caller.under_way.get(&seat.key)?;
        (found.number == seat.number).then_some(found)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests;
