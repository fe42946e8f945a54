//! Taking a hold: in every budget that applies, or in none (L1, L2, L3).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::super::book::{Book, Cause, Entry, State, Wake};
use super::super::moment::Moment;
use super::super::objects::ObjectKey;
use super::super::session::SessionId;
use super::super::store::{self, Balance, NewWake, PayerIx};
use super::super::writer::Work;
use super::super::{HoldId, StoreError};
use crate::acu::{Acu, Cap};
use crate::budget::{Budget, Payer, Slots, Window, fit};
use crate::policy::bounds::CapTerms;

/// Up to so many payers are asked about one by one how many sessions of theirs run.
const FEW_PAYERS: usize = 64;

/// What a hold is for.
#[derive(Clone, Debug)]
pub enum What {
    /// A new session.
    Session {
        /// The cap that is wanted.
        wanted: Cap,
        /// Whether it may be lowered.
        terms: CapTerms,
        /// Whether it waits until no other create in its organization is without a known outcome (L5).
        alone: bool,
        /// The digest of its prompt, which stands among the session's messages.
        text: Option<[u8; 32]>,
    },
    /// A message to a session: a wake with the session's cap again.
    Message {
        /// The session.
        session: SessionId,
        /// The digest of its text, by which it is found again.
        text: [u8; 32],
    },
    /// A spend without a cap: charged at once.
    Uncapped(Acu),
    /// Something that goes on spending: its present window is charged, as far as that is not paid for.
    Standing {
        /// What it costs in each window.
        acus: Acu,
        /// Which, if it is there already.
        object: Option<ObjectKey>,
    },
}

/// A hold that is asked for.
#[derive(Clone, Debug)]
pub struct Holding {
    /// What it will be known by.
    pub hold: HoldId,
    /// When.
    pub moment: Moment,
    /// Who pays; of a message, whoever pays for its session does.
    pub payer: Payer,
    /// Who asks: sees the numbers of its own budgets alone (M24).
    pub asker: Payer,
    /// The operation.
    pub operation: &'static str,
    /// What for.
    pub what: What,
    /// The budgets that apply, shadowed ones too.
    pub budgets: Vec<Arc<Budget>>,
    /// How many sessions may run at once, where one of the payer's counts; shadowed limits too.
    pub slots: Vec<Slots>,
    /// When its attempt will be given up, on the clock that does not jump.
    pub deadline: Duration,
    /// What makes a repeat of the attempt one.
    pub fingerprint: [u8; 32],
}

/// What is left of a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The budget's name.
    pub budget: Arc<str>,
    /// Whether it is the asking caller's or its team's: then its numbers are theirs to see.
    pub is_own: bool,
    /// What may still be held in it.
    pub acus: Acu,
    /// When its window ends.
    pub resets_at: Timestamp,
}

/// A hold that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How much.
    pub amount: Acu,
    /// The cap that goes to Devin; none of a spend without one.
    pub cap: Option<Cap>,
    /// The tightest of the budgets that are the caller's own, after it; else of all.
    pub remaining: Option<Remaining>,
    /// What on trial would have refused it.
    pub on_trial: Option<OnTrial>,
}

/// What is evaluated and not enforced, and would have refused a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnTrial {
    /// A budget without room.
    Budget(Arc<str>),
    /// A limit of sessions at once.
    Slots(Arc<str>),
}

/// The budget that has no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRoomIn {
    /// What it has.
    pub remaining: Remaining,
    /// What was wanted, at least.
    pub least: Acu,
}

/// Why no hold was taken.
#[derive(Clone, Debug)]
pub enum NotHeld {
    /// A budget has no room.
    NoRoom(Box<NoRoomIn>),
    /// As many sessions run as may: of the limit of this name.
    NoSlot(Arc<str>),
    /// The session of a message is not known, or has no cap: its wake can only be charged as `uncapped`.
    NoCap,
    /// Another create in the organization has no known outcome yet.
    Busy,
    /// The ledger cannot be used. Nothing was held.
    Store(StoreError),
    /// The ledger took too long. It may have been held all the same.
    Late,
}

impl From<StoreError> for NotHeld {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A budget for this hold, and how it stands.
struct Standing<'b> {
    budget: &'b Budget,
    remaining: Acu,
    resets_at: Timestamp,
    is_own: bool,
}

impl Standing<'_> {
    fn shown(&self, taken: Acu) -> Remaining {
        Remaining {
            budget: Arc::clone(&self.budget.name),
            is_own: self.is_own,
            acus: self.remaining.saturating_sub(taken),
            resets_at: self.resets_at,
        }
    }
}

impl Work<'_> {
    /// How each budget stands for this payer, at this instant.
    fn standings<'b>(
        &mut self,
        budgets: &'b [Arc<Budget>],
        windows: &[Window],
        payer: &Payer,
        asker: &Payer,
        now: Timestamp,
    ) -> Result<Vec<Standing<'b>>, StoreError> {
        let mut all = Vec::with_capacity(budgets.len());
        for (budget, window) in budgets.iter().zip(windows) {
            let (balance, limit) = self.budgeted(budget, *window, payer, now)?;
            all.push(Standing {
                budget,
                remaining: limit.saturating_sub(Balance::taken(&balance)),
                resets_at: window.end,
                is_own: budget.is_own() && budget.account(payer) == budget.account(asker),
            });
        }
        Ok(all)
    }

    /// Takes a hold, or says why not. `windows` are those that the budgets have at its moment, in their order.
    pub(in crate::ledger) fn hold(
        &mut self,
        asked: &Holding,
        windows: &[Window],
    ) -> Result<Result<Held, NotHeld>, StoreError> {
        let connection = &self.store.connection;
        let session = match &asked.what {
            What::Message { session, .. } => match store::load(connection, session)? {
                Some(loaded) if loaded.cap.is_some() => Some(loaded),
                Some(_) | None => return Ok(Err(NotHeld::NoCap)),
            },
            What::Session { alone: true, .. }
                if self.has_unsure_create(&asked.payer.organization)? =>
            {
                return Ok(Err(NotHeld::Busy));
            }
            What::Session { .. } | What::Uncapped(_) | What::Standing { .. } => None,
        };
        let payers = &self.store.payers;
        let of_session = session.as_ref().and_then(|it| payers.today(it.payer));
        let today = of_session.unwrap_or_else(|| payers.now(&asked.payer));
        let asker = payers.now(&asked.asker);
        let standings = self.standings(&asked.budgets, windows, &today, &asker, asked.moment.at)?;
        let live = || standings.iter().filter(|it| !it.budget.shadow);
        let tightest = live().min_by_key(|it| it.remaining);
        let room = tightest.map_or(Acu::from_milli(i64::MAX), |it| it.remaining);
        let due = match &asked.what {
            What::Standing {
                acus,
                object: Some(object),
            } => self.object_due(object, *acus, asked.moment.at)?,
            What::Standing { acus, object: None } | What::Uncapped(acus) => *acus,
            What::Session { .. } | What::Message { .. } => Acu::ZERO,
        };
        let (amount, cap) = match wanted(asked, due, session.as_ref().and_then(|it| it.cap), room) {
            Ok(taken) => taken,
            Err(least) => {
                let Some(tightest) = tightest else {
                    return Ok(Err(NotHeld::NoCap));
                };
                return Ok(Err(NotHeld::NoRoom(Box::new(NoRoomIn {
                    remaining: tightest.shown(Acu::ZERO),
                    least,
                }))));
            }
        };
        let mut on_trial = standings.iter().filter(|it| it.budget.shadow);
        let on_trial = on_trial.find(|it| it.remaining < amount);
        let mut on_trial = on_trial.map(|it| OnTrial::Budget(Arc::clone(&it.budget.name)));
        if takes_slot(&asked.what, session.as_ref()) {
            for slots in &asked.slots {
                if self.running(slots)? < i64::from(slots.most.get()) {
                    continue;
                }
                let limit = Arc::clone(&slots.limit);
                if !slots.shadow {
                    return Ok(Err(NotHeld::NoSlot(limit)));
                }
                on_trial = on_trial.or(Some(OnTrial::Slots(limit)));
            }
        }
        let own = live().filter(|it| it.is_own);
        let shown = own.min_by_key(|it| it.remaining).or(tightest);
        let remaining = shown.map(|it| it.shown(amount));
        self.take(asked, session, amount)?;
        Ok(Ok(Held {
            amount,
            cap,
            remaining,
            on_trial,
        }))
    }

    /// How many sessions run there: those that may still use what is held for them, and creates that may have made one.
    fn running(&self, slots: &Slots) -> Result<i64, StoreError> {
        let sql = "SELECT count(DISTINCT session) + coalesce(sum(session IS NULL), 0) FROM wakes \
                   WHERE payer = ?1 AND state IN ('out', 'unknown', 'open') AND kind <> 'uncapped'";
        let mut one = self.store.connection.prepare_cached(sql)?;
        let mut all = 0_i64;
        let mut add = |PayerIx(payer)| -> Result<(), StoreError> {
            all += one.query_row([payer], |row| row.get::<_, i64>(0))?;
            Ok(())
        };
        let payers = &self.store.payers;
        let mut there = payers.running_in(slots);
        let few: Vec<PayerIx> = there.by_ref().take(FEW_PAYERS).collect();
        if there.next().is_none() {
            few.into_iter().try_for_each(&mut add)?;
            return Ok(all);
        }
        // Most of so many have no session that runs: a payer is known for ever, and organizations can be made up.
        let sql = "SELECT payer FROM wakes WHERE payer > ?1 AND state IN ('out', 'unknown', 'open') \
                   AND kind <> 'uncapped' ORDER BY payer LIMIT 1";
        let mut next = self.store.connection.prepare_cached(sql)?;
        let mut last = i64::MIN;
        while let Some(payer) = next.query_row([last], |row| row.get(0)).optional()? {
            last = payer;
            let today = payers.today(PayerIx(payer));
            if today.is_some_and(|it| slots.counts(&it)) {
                add(PayerIx(payer))?;
            }
        }
        Ok(all)
    }

    fn take(
        &mut self,
        asked: &Holding,
        session: Option<store::Loaded>,
        amount: Acu,
    ) -> Result<(), StoreError> {
        let at = asked.moment.at;
        let (kind, text) = match &asked.what {
            What::Session { text, .. } => ("create", text.as_ref()),
            What::Message { text, .. } => ("message", Some(text)),
            What::Uncapped(_) | What::Standing { .. } => ("uncapped", None),
        };
        let since = match &asked.what {
            What::Session { alone: true, .. } => self.changed(&asked.payer.organization)?,
            What::Session { .. }
            | What::Message { .. }
            | What::Uncapped(_)
            | What::Standing { .. } => None,
        };
        // Only whoever holds something is written down: organizations can be made up.
        let payer = match &session {
            Some(loaded) => loaded.payer,
            None => self
                .store
                .payers
                .number(&self.store.connection, &asked.payer)?,
        };
        let mut new = NewWake {
            session: None,
            payer,
            kind,
            operation: asked.operation,
            deadline: asked.deadline,
            fingerprint: &asked.fingerprint,
            text,
            since,
        };
        if let Some(before) = session {
            let mut after = before.clone();
            after.wakes += 1;
            let entry = after.book.hold(asked.hold, after.wakes, at, amount);
            new.session = Some(after.id);
            if let Some(wake) = after.book.wakes.last() {
                store::insert_wake(&self.store.connection, wake, &new)?;
            }
            return self.session(at, &before, &after, &[entry]);
        }
        let mut book = Book::default();
        let entry = match asked.what {
            What::Uncapped(_) | What::Standing { .. } => {
                book.wakes.push(Wake {
                    hold: asked.hold,
                    number: 1,
                    at,
                    held: amount,
                    used: amount,
                    state: State::Out,
                });
                Entry {
                    cause: Cause::Uncapped,
                    hold: Some(asked.hold),
                    instant: at,
                    spent: amount,
                    held: Acu::ZERO,
                }
            }
            What::Session { .. } | What::Message { .. } => book.hold(asked.hold, 1, at, amount),
        };
        for wake in &book.wakes {
            store::insert_wake(&self.store.connection, wake, &new)?;
        }
        self.entry(at, payer, None, &entry)
    }

    /// When Devin had last changed a session of this organization, by its own clock, as far as was swept: what is created
    /// from now on is no older.
    fn changed(&self, organization: &str) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT until FROM sweeps WHERE organization = ?1 AND until > 0";
        let mut one = self.store.connection.prepare_cached(sql)?;
        let until = one.query_row([organization], |row| row.get(0).map(store::instant));
        Ok(until.optional()?)
    }

    /// Whether a create in this organization is on its way, or its outcome unknown.
    fn has_unsure_create(&self, organization: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM wakes w JOIN payers p ON p.id = w.payer \
                   WHERE w.state IN ('out', 'unknown') AND w.kind = 'create' AND p.organization = ?1)";
        let mut one = self.store.connection.prepare_cached(sql)?;
        Ok(one.query_row([organization], |row| row.get(0))?)
    }
}

/// Whether one more session runs after it: a message to one that runs wakes none.
fn takes_slot(what: &What, session: Option<&store::Loaded>) -> bool {
    match what {
        What::Session { .. } => true,
        What::Message { .. } => {
            session.is_none_or(|it| !it.book.wakes.iter().any(|it| it.state.holds()))
        }
        What::Uncapped(_) | What::Standing { .. } => false,
    }
}

/// The amount that is taken, and the cap that goes with it; or the least that there would have to be room for.
fn wanted(
    asked: &Holding,
    due: Acu,
    stored: Option<Cap>,
    room: Acu,
) -> Result<(Acu, Option<Cap>), Acu> {
    match &asked.what {
        What::Session { wanted, terms, .. } => match fit(*wanted, *terms, room) {
            Ok(cap) => Ok((cap.acu(), Some(cap))),
            Err(no_fit) => Err(no_fit.least),
        },
        What::Message { .. } => match stored {
            Some(cap) if cap.acu() <= room => Ok((cap.acu(), Some(cap))),
            Some(cap) => Err(cap.acu()),
            None => Err(Acu::ZERO),
        },
        // Nothing is due of what is paid for, whatever the room.
        What::Uncapped(_) | What::Standing { .. } if due <= room.max(Acu::ZERO) => Ok((due, None)),
        What::Uncapped(_) | What::Standing { .. } => Err(due),
    }
}
