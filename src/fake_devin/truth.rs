//! What really happened, whatever the API was told to show: for tests that keep accounts of their
//! own and compare them to the last thousandth of an ACU.

use serde::Serialize;

use super::clock::Moment;
use super::life::Session;

/// One session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionTruth {
    /// 32 hex digits, without `devin-`.
    pub id: String,
    /// Its organization.
    pub org: String,
    /// Its parent's id, in the same form.
    pub parent: Option<String>,
    /// Its tags as they are now.
    pub tags: Vec<String>,
    /// `max_acu_limit` as it is now.
    pub cap: Option<i64>,
    /// When it was created, in epoch seconds with fractions.
    pub created: f64,
    /// The true `status`.
    pub status: &'static str,
    /// The true `status_detail`.
    pub status_detail: Option<&'static str>,
    /// Whether it was created without a call of the API.
    pub elsewhere: bool,
    /// Whether lists and gets pretend that there is no such session.
    pub vanished: bool,
    /// Thousandths of an ACU that it has spent: the sum over its wakes.
    pub spent_milli: i64,
    /// How often somebody told it what to do: its prompt, and each message. One that comes before the work on the
    /// last has begun begins no stretch of its own.
    pub told: usize,
    /// Its stretches of work, the oldest first.
    pub wakes: Vec<WakeTruth>,
}

/// One stretch of work: what a creation or a message began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WakeTruth {
    /// When it began, in epoch seconds with fractions.
    pub at: f64,
    /// Where Devin says that it stops the work, in thousandths of an ACU.
    pub cap_milli: Option<i64>,
    /// Thousandths of an ACU that it has spent.
    pub spent_milli: i64,
    /// Whether it was begun without a call of the API.
    pub elsewhere: bool,
}

impl SessionTruth {
    pub(super) fn of(session: &Session, now: Moment) -> Self {
        let state = session.state(now);
        let wakes: Vec<WakeTruth> = session
            .wakes()
            .iter()
            .map(|wake| WakeTruth {
                at: wake.at,
                cap_milli: wake.allowance.cap,
                spent_milli: session.spent_in(wake, now),
                elsewhere: wake.elsewhere,
            })
            .collect();
        Self {
            id: session.id.clone(),
            org: session.org.clone(),
            parent: session.wishes.parent.clone(),
            tags: session.tags().to_vec(),
            cap: session.wishes.cap,
            created: session.created,
            status: state.status,
            status_detail: state.detail,
            elsewhere: session.wishes.elsewhere,
            vanished: session.odd.vanished,
            spent_milli: session.spent(now),
            told: session
                .conversation(now)
                .iter()
                .filter(|it| it.source == "user")
                .count(),
            wakes,
        }
    }
}
