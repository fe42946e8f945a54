//! One window of each kind: as many as go, one behind the other.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use tollgate::acu::{Acu, Cap, MAX_ACUS};
use tollgate::budget::{Budget, Every, Per, Zone};
use tollgate::ledger::moment::Moment;
use tollgate::ledger::{HoldId, Holding, Ledger, What};
use tollgate::policy::bounds::CapTerms;

use crate::seed;

/// What was measured.
pub(crate) struct Window {
    pub(crate) count: usize,
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Window {
    fn of(mut took: Vec<Duration>, all: Duration) -> Self {
        took.sort();
        let ms = |part: usize| took[took.len() * part / 100].as_secs_f64() * 1e3;
        Self {
            count: took.len(),
            rate: took.len() as f64 / all.as_secs_f64(),
            p50_ms: ms(50),
            p99_ms: ms(99),
        }
    }
}

/// A database with one table, and one row a commit.
pub(crate) struct Bare(Connection);

impl Bare {
    pub(crate) fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT NOT NULL);",
            )
            .unwrap();
        Self(connection)
    }

    pub(crate) fn commits(&mut self, length: Duration) -> Window {
        let sql = "INSERT INTO rows (text) VALUES (?1)";
        let mut insert = self.0.prepare_cached(sql).unwrap();
        let begun = Instant::now();
        let mut took = Vec::new();
        while begun.elapsed() < length {
            let one = Instant::now();
            insert
                .execute(["a row of about the size of a hold"])
                .unwrap();
            took.push(one.elapsed());
        }
        Window::of(took, begun.elapsed())
    }
}

/// The three budgets that most callers have.
fn budgets() -> Vec<Arc<Budget>> {
    let budget = |name: &str, team: Option<&str>, per| {
        Arc::new(Budget {
            name: name.into(),
            id: name.into(),
            team: team.map(Into::into),
            per,
            limit: Acu::whole(MAX_ACUS),
            every: Every::Month(Zone::devin()),
            alert_at: Vec::new(),
            shadow: false,
        })
    };
    vec![
        budget("rails/all", None, Per::Everyone),
        budget("team/month", Some(seed::TEAM), Per::Team),
        budget("team/mine", Some(seed::TEAM), Per::Caller),
    ]
}

/// So many callers, each asking for a hold as soon as it has the last.
pub(crate) async fn holds(ledger: &Ledger, callers: usize, length: Duration) -> Window {
    let budgets = budgets();
    let begun = Instant::now();
    let all = (0..callers).map(|caller| {
        let (ledger, budgets) = (ledger.clone(), budgets.clone());
        tokio::spawn(async move {
            let mut took = Vec::new();
            while begun.elapsed() < length {
                let one = Instant::now();
                let asked = Holding {
                    hold: HoldId::new(),
                    moment: Moment {
                        at: Timestamp::now(),
                        up: begun.elapsed(),
                    },
                    payer: seed::payer(caller),
                    asker: seed::payer(caller),
                    operation: "sessions.create",
                    what: What::Session {
                        wanted: Cap::new(1).unwrap(),
                        terms: CapTerms::default(),
                        alone: false,
                        text: None,
                    },
                    budgets: budgets.clone(),
                    slots: Vec::new(),
                    deadline: begun.elapsed(),
                    fingerprint: [0; 32],
                };
                ledger.hold(asked).await.unwrap();
                took.push(one.elapsed());
            }
            took
        })
    });
    let took = futures_util::future::join_all(all).await;
    let took = took.into_iter().flat_map(Result::unwrap).collect();
    Window::of(took, begun.elapsed())
}
