//! The one place that alarms and alerts go through: each is logged, counted, and waits for the webhook.
//!
//! Ringing never waits and never fails, so the ledger's writer can ring while holds wait for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::Notify;

/// How many alerts wait for the webhook at most; beyond that the newest are lost to it, and counted.
const QUEUE: usize = 1_000;

/// What somebody has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A budget has passed one of its thresholds.
    Threshold,
    /// More was used than was held (L2).
    Overrun,
    /// A hold was charged in full, since nobody knows what became of it (L5, L6).
    Written,
    /// The ledger did not know a session of its own (L13).
    Adopted,
    /// Several sessions could be the one of a create without an answer (L5).
    Ambiguous,
    /// A tag of ours names a caller whom no policy knows: nothing is spent (L13).
    UnknownCaller,
    /// The ledger is damaged: nothing is spent (L13).
    Damage,
    /// Spend that has no cap was charged without room in its budgets (L3).
    NoRoom,
    /// Devin has billed what the ledger does not know of (L11).
    Unattributed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Threshold,
        Self::Overrun,
        Self::Written,
        Self::Adopted,
        Self::Ambiguous,
        Self::UnknownCaller,
        Self::Damage,
        Self::NoRoom,
        Self::Unattributed,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Overrun => "overrun",
            Self::Written => "written",
            Self::Adopted => "adopted",
            Self::Ambiguous => "ambiguous",
            Self::UnknownCaller => "unknown-caller",
            Self::Damage => "damage",
            Self::NoRoom => "no-room",
            Self::Unattributed => "unattributed",
        }
    }

    /// Whether something is wrong; else it is only worth knowing.
    const fn is_alarm(self) -> bool {
        !matches!(self, Self::Threshold)
    }
}

/// One alert: what is told, as JSON with `id`, `kind`, `at`, `text` and what else there is to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// By which a receiver knows it again when it is sent twice.
    pub id: String,
    /// What kind.
    pub kind: Kind,
    /// What is told.
    pub body: String,
}

impl Alert {
    /// Of this kind, at this instant; `text` says it in words.
    pub fn new(kind: Kind, at: Timestamp, text: &str, details: Map<String, Value>) -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        let mut body = Map::new();
        body.insert("id".to_owned(), id.as_str().into());
        body.insert("kind".to_owned(), kind.as_str().into());
        body.insert("at".to_owned(), at.to_string().into());
        body.insert("text".to_owned(), text.into());
        body.extend(details);
        Self {
            id,
            kind,
            body: Value::Object(body).to_string(),
        }
    }
}

/// The bell, cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    news: Notify,
    rung: [AtomicU64; Kind::ALL.len()],
    lost: AtomicU64,
    delivered: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Alert>,
    is_mute: bool,
}

impl Bell {
    /// Nobody will come for alerts: they are logged and counted, and not kept.
    pub fn mute(&self) {
        let mut waiting = self.waiting();
        waiting.is_mute = true;
        waiting.queue = VecDeque::new();
    }

    /// Rings for what a sentence says all of.
    pub fn tell(&self, kind: Kind, at: Timestamp, text: &str) {
        self.ring(Alert::new(kind, at, text, Map::new()));
    }

    /// Logs and counts an alert, and hands it to whoever sends.
    pub fn ring(&self, alert: Alert) {
        let (kind, body) = (alert.kind.as_str(), alert.body.as_str());
        if alert.kind.is_alarm() {
            tracing::error!(alarm = kind, body, "alarm");
        } else {
            tracing::warn!(alert = kind, body, "alert");
        }
        if let Some(count) = self.0.rung.get(alert.kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.again(alert);
    }

    /// Hands on an alert that was logged and counted before, by a process that has ended.
    pub fn again(&self, alert: Alert) {
        {
            let mut waiting = self.waiting();
            if waiting.is_mute {
                return;
            }
            if waiting.queue.len() >= QUEUE {
                self.0.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            waiting.queue.push_back(alert);
        }
        self.0.news.notify_one();
    }

    /// The next alert; waits for it. For one who sends.
    pub async fn next(&self) -> Alert {
        loop {
            let next = self.waiting().queue.pop_front();
            if let Some(alert) = next {
                return alert;
            }
            self.0.news.notified().await;
        }
    }

    /// One was delivered, or given up.
    pub(super) fn sent(&self, is_delivered: bool) {
        let count = if is_delivered {
            &self.0.delivered
        } else {
            &self.0.lost
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many of each kind there were.
    pub fn rung(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        let counts = self.0.rung.iter().map(|it| it.load(Ordering::Relaxed));
        Kind::ALL.into_iter().zip(counts)
    }

    /// How many were delivered, and how many were lost to the webhook.
    pub fn sends(&self) -> (u64, u64) {
        let of = |it: &AtomicU64| it.load(Ordering::Relaxed);
        (of(&self.0.delivered), of(&self.0.lost))
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        let waiting = self.0.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: Kind) -> Alert {
        Alert::new(kind, Timestamp::UNIX_EPOCH, "x", Map::new())
    }

    #[test]
    fn every_kind_has_its_place_among_the_counts() {
        let bell = Bell::default();
        for (ix, kind) in Kind::ALL.into_iter().enumerate() {
            for _ in 0..=ix {
                bell.ring(alert(kind));
            }
        }
        let counts: Vec<u64> = bell.rung().map(|(_, count)| count).collect();
        assert_eq!(counts, (1..=9).collect::<Vec<u64>>());
    }

    #[tokio::test]
    async fn g9_what_nobody_fetches_is_bounded_and_what_is_lost_is_counted() {
        let bell = Bell::default();
        let first = alert(Kind::Overrun);
        bell.ring(first.clone());
        for _ in 0..QUEUE {
            bell.ring(alert(Kind::Written));
        }
        assert_eq!(bell.sends(), (0, 1));
        assert_eq!(bell.next().await, first);
        bell.ring(alert(Kind::Written));
        assert_eq!(bell.sends(), (0, 1));
        bell.mute();
        bell.ring(alert(Kind::Written));
        assert_eq!((bell.waiting().queue.len(), bell.sends()), (0, (0, 1)));
    }
}
