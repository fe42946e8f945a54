//! What a month has cost, told by Devin's own truth alone: an account beside the ledger, kept another way.
//!
//! The ledger learns from answers and polls what sessions have used; here it is read off each stretch of work as it
//! really was. What they share is whom and which instant a stretch counts for, which the design says (L6 to L9, L12).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tollgate::acu::Acu;
use tollgate::budget::{Budget, Payer, Window};
use tollgate::fake_devin::{FakeDevin, SessionTruth};
use tollgate::ledger::{Aliases, Balance};

/// How far apart two readings of a session at rest are at least.
pub(super) const QUIET: Duration = Duration::from_secs(60);
/// How long a hold is kept for an attempt that Devin knows nothing of.
pub(super) const UNKNOWN_AFTER: Duration = Duration::from_secs(15 * 60);

/// A session as the account follows it.
#[derive(Default)]
struct Followed {
    /// What each stretch that was begun elsewhere had spent when it was read last.
    read: Vec<i64>,
    /// The newest stretch that was paid for in advance is not settled yet.
    open: bool,
    /// How it was seen at rest, and when first.
    rest: Option<(String, i64, Duration)>,
}

/// A hold for something that Devin has never heard of.
struct Lost {
    payer: Payer,
    at: Timestamp,
    acus: u32,
    deadline: Duration,
    missed: u32,
}

/// The account.
#[derive(Default)]
pub(super) struct Truth {
    /// Who pays for each session that was created through the gateway, under the names of then.
    payers: HashMap<String, Payer>,
    followed: HashMap<String, Followed>,
    /// What was spent without a hold, at the instant at which it was read.
    unheld: Vec<(Payer, Timestamp, i64)>,
    lost: Vec<Lost>,
}

/// One line of the account.
struct Line {
    payer: Payer,
    at: Timestamp,
    balance: Balance,
}

impl Truth {
    pub(super) fn created(&mut self, session: &str, payer: Payer) {
        self.payers.insert(session.to_owned(), payer);
        self.woken(session);
    }

    /// A message has been carried out, or may have been.
    pub(super) fn woken(&mut self, session: &str) {
        let followed = self.followed.entry(session.to_owned()).or_default();
        followed.open = true;
        followed.rest = None;
    }

    /// Something was asked for that Devin has never heard of, and nobody can know that yet.
    pub(super) fn lost(&mut self, payer: Payer, at: Timestamp, acus: u32, deadline: Duration) {
        self.lost.push(Lost {
            payer,
            at,
            acus,
            deadline,
            missed: 0,
        });
    }

    /// A message to this session was lost: whatever rested may be about to wake.
    pub(super) fn unsettled(&mut self, session: &str) {
        if let Some(followed) = self.followed.get_mut(session) {
            followed.rest = None;
        }
    }

    pub(super) fn payer(&self, session: &str) -> &Payer {
        &self.payers[session]
    }

    pub(super) fn is_open(&self, session: &str) -> bool {
        self.followed.get(session).is_some_and(|it| it.open)
    }

    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.payers.len()
    }

    /// The process has begun anew: its clock for rests and deadlines has. That something was missed before is kept, in the
    /// order of the ledger's own ticks.
    pub(super) fn restarted(&mut self) {
        for followed in self.followed.values_mut() {
            followed.rest = None;
        }
        for lost in &mut self.lost {
            lost.deadline = Duration::ZERO;
        }
    }

    /// The reconciler has gone round: everything is as it stands now.
    pub(super) fn settled(&mut self, fake: &FakeDevin, at: Timestamp, up: Duration) {
        let all = fake.truth();
        let parents: HashMap<&str, Option<&str>> = all
            .iter()
            .map(|it| (it.id.as_str(), it.parent.as_deref()))
            .collect();
        for session in &all {
            let Some(payer) = self.paying(&session.id, &parents).cloned() else {
                continue;
            };
            let followed = self.followed.entry(session.id.clone()).or_default();
            followed.read.resize(session.wakes.len(), 0);
            for (wake, read) in session.wakes.iter().zip(&mut followed.read) {
                let is_held = !wake.elsewhere && !session.elsewhere;
                if !is_held && wake.spent_milli > *read {
                    let more = wake.spent_milli - *read;
                    self.unheld.push((payer.clone(), at, more));
                }
                *read = wake.spent_milli;
            }
            if followed.open {
                followed.look(session, up);
            }
        }
        for lost in &mut self.lost {
            if up >= lost.deadline + UNKNOWN_AFTER {
                lost.missed += 1;
            }
        }
        self.lost.retain(|it| it.missed < 2);
    }

    /// Who pays: the creator, or of a child its parent's.
    fn paying<'t>(
        &'t self,
        session: &'t str,
        parents: &HashMap<&str, Option<&'t str>>,
    ) -> Option<&'t Payer> {
        let mut session = session;
        loop {
            if let Some(payer) = self.payers.get(session) {
                return Some(payer);
            }
            session = (*parents.get(session)?)?;
        }
    }

    fn lines(&self, fake: &FakeDevin) -> Vec<Line> {
        let mut lines = Vec::new();
        for session in &fake.truth() {
            let Some(payer) = self.payers.get(&session.id) else {
                continue;
            };
            let held: Vec<_> = session.wakes.iter().filter(|it| !it.elsewhere).collect();
            let is_open = self.followed[&session.id].open;
            for (ix, wake) in held.iter().enumerate() {
                let cap = wake.cap_milli.expect("a cap");
                let is_newest = ix + 1 == held.len();
                let left = if is_open && is_newest {
                    cap - wake.spent_milli
                } else {
                    0
                };
                assert!(wake.spent_milli <= cap, "Devin overran a cap");
                lines.push(Line {
                    payer: payer.clone(),
                    at: instant(wake.at),
                    balance: Balance {
                        spent: Acu::from_milli(wake.spent_milli),
                        held: Acu::from_milli(left),
                        ..Balance::default()
                    },
                });
            }
        }
        for (payer, at, milli) in &self.unheld {
            lines.push(Line {
                payer: payer.clone(),
                at: *at,
                balance: Balance {
                    spent: Acu::from_milli(*milli),
                    unheld: Acu::from_milli(*milli),
                    ..Balance::default()
                },
            });
        }
        for lost in &self.lost {
            lines.push(Line {
                payer: lost.payer.clone(),
                at: lost.at,
                balance: Balance {
                    held: Acu::whole(lost.acus),
                    ..Balance::default()
                },
            });
        }
        lines
    }

    /// What a budget has in each of its accounts and windows, with somebody whose account it is.
    pub(super) fn of(
        &self,
        fake: &FakeDevin,
        budget: &Budget,
        aliases: &Aliases,
    ) -> Vec<(Payer, Window, Balance)> {
        let mut all = BTreeMap::new();
        for line in self.lines(fake) {
            let payer = aliases.today(&line.payer);
            let account = budget.account(&payer);
            if !account.counts(&payer) {
                continue;
            }
            let window = budget.every.window(line.at);
            let (_, balance) = all
                .entry((account, window))
                .or_insert_with(|| (payer, Balance::default()));
            add(balance, &line.balance);
        }
        all.into_iter()
            .map(|((_, window), (payer, balance))| (payer, window, balance))
            .collect()
    }

    /// Sessions that were created through the gateway and have no end.
    pub(super) fn living(&self, fake: &FakeDevin) -> Vec<SessionTruth> {
        let ended: HashSet<&str> = ["exit", "error"].into();
        let mut all = fake.truth();
        all.retain(|it| self.payers.contains_key(&it.id) && !ended.contains(it.status));
        all
    }
}

impl Followed {
    /// What a poll makes of it.
    fn look(&mut self, session: &SessionTruth, up: Duration) {
        let detail = session.status_detail.unwrap_or_default();
        let state = format!("{}/{detail}", session.status);
        match (session.status, detail) {
            ("exit" | "error", _) => self.open = false,
            ("suspended", _) | ("running", "finished") => match &self.rest {
                Some((seen, usage, since)) if *seen == state && *usage == session.spent_milli => {
                    self.open = up - *since < QUIET;
                }
                Some(_) | None => self.rest = Some((state, session.spent_milli, up)),
            },
            _ => self.rest = None,
        }
    }
}

fn add(to: &mut Balance, other: &Balance) {
    for (sum, more) in [
        (&mut to.spent, other.spent),
        (&mut to.held, other.held),
        (&mut to.unheld, other.unheld),
    ] {
        *sum = sum.checked_add(more).unwrap();
    }
}

/// The fake's moments of this test are whole seconds.
fn instant(at: f64) -> Timestamp {
    assert!((at - at.round()).abs() < 1e-4, "{at}");
    Timestamp::from_second(at.round() as i64).unwrap()
}
