//! Time, and the trace of all that happened in it, as one number.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tollgate::clock::Clock;
use uuid::Uuid;

/// When it begins: not long before a day ends in UTC, so that an hour back and forth crosses it.
pub(super) const BEGIN: &str = "2026-11-30T23:59:50Z";

/// Milliseconds since the simulation began, and how wrong the wall clock is.
#[derive(Clone, Debug, Default)]
pub(super) struct Time {
    now: Arc<AtomicI64>,
    wrong: Arc<AtomicI64>,
    ids: Arc<AtomicU64>,
}

impl Time {
    pub(super) fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    pub(super) fn tick(&self) {
        self.now.fetch_add(1, Ordering::SeqCst);
    }

    /// Sets the wall clock so many milliseconds wrong.
    pub(super) fn step(&self, wrong: i64) {
        self.wrong.store(wrong, Ordering::SeqCst);
    }

    /// The clock of a process that begins now.
    pub(super) fn of_a_process(&self) -> ProcessClock {
        ProcessClock {
            began: self.now(),
            time: self.clone(),
        }
    }
}

/// What a process of the gateway reads: a wall clock that is set, and its own time, which only goes on.
#[derive(Debug)]
pub(super) struct ProcessClock {
    began: i64,
    time: Time,
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        let begin: Timestamp = BEGIN.parse().unwrap();
        let since = self.time.now() + self.time.wrong.load(Ordering::SeqCst);
        Timestamp::from_millisecond(begin.as_millisecond() + since).unwrap()
    }

    fn up(&self) -> Duration {
        Duration::from_millis((self.time.now() - self.began) as u64)
    }

    fn id(&self) -> Uuid {
        let number = self.time.ids.fetch_add(1, Ordering::SeqCst);
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&number.to_be_bytes());
        let now = self.now().as_millisecond() as u64;
        uuid::Builder::from_unix_timestamp_millis(now, &bytes).into_uuid()
    }
}

/// All that was sent and answered, with its time.
#[derive(Clone)]
pub(super) struct Trace {
    time: Time,
    lines: Arc<Mutex<(DefaultHasher, String)>>,
    has_words: bool,
}

impl Trace {
    /// `has_words`: its text is kept as well, for whoever looks into a failure.
    pub(super) fn new(time: Time, has_words: bool) -> Self {
        Self {
            time,
            lines: Arc::default(),
            has_words,
        }
    }

    pub(super) fn note(&self, who: &str, what: &[u8]) {
        let mut lines = self.lines.lock().unwrap();
        (self.time.now(), who, what).hash(&mut lines.0);
        if self.has_words {
            let (now, what) = (self.time.now(), String::from_utf8_lossy(what));
            writeln!(lines.1, "{now:>6} {who}: {what}").unwrap();
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.lines.lock().unwrap().0.finish()
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().unwrap().1.clone()
    }
}
