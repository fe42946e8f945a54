//! The world: a ledger's file, the processes that have it in turns, requests, and what Devin itself knows.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use jiff::Timestamp;

use super::super::HoldId;
use super::super::book::{Book, Cause, Entry, Reading, State};
use super::super::moment::Tick;
use crate::acu::Acu;
use crate::budget::{Budget, Every, Payer, Per, Zone};

/// Two creates, and a message to the session of the first in between.
pub(super) const REQUESTS: usize = 3;
pub(super) const SESSIONS: usize = 2;
pub(super) const PROCESSES: usize = 2;
pub(super) const STEP: Acu = Acu::whole(1);

/// How much is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounds {
    /// How many processes die.
    pub(super) crashes: u8,
    /// Whether the budgets are edited at some time.
    pub(super) edits: bool,
    /// Whether a day ends at some time.
    pub(super) days: bool,
    /// Whether the other session's life is told in few words: its request leaves at once, it is
    /// read at once, and works all it may or nothing.
    pub(super) brief: bool,
    /// The cap that the first create asks for, in whole ACUs; the other asks for one more, and takes less.
    pub(super) cap: u32,
}

/// A mistake that a gateway could make, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Slip {
    None,
    SendsBeforeHolding,
    HoldsInOneBudgetOnly,
    SendsMoreThanIsHeld,
    KeepsWhatWasRefused,
    FreesWhatIsUnknown,
    FreesAtOneAbsence,
    ForgetsHoldsAtACrash,
    ClosesByAnyReading,
    LetsMessagesShareAHold,
    CountsByTheClock,
    BeginsAnewAtAnEdit,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A process takes the file, once the other has let it go.
    Take(usize),
    /// It dies, and everything that was on its way back to it is lost.
    Crash(usize),
    /// A request comes, and its hold is taken.
    Hold(usize),
    /// It leaves.
    Send(usize),
    /// Devin does what it says.
    CarryOut(usize),
    /// Devin refuses it, and says so.
    Refuse(usize),
    /// Devin's answer arrives, and is written down.
    Answer(usize),
    /// The process gives up waiting.
    Lose(usize),
    /// So much later, nothing will come of it any more.
    Expire(usize),
    /// The reconciler finds what came of it.
    Find(usize),
    /// A complete listing does not have it.
    Miss(usize),
    /// A session uses an ACU.
    Work(usize),
    /// A session goes to rest.
    Rest(usize),
    /// A session ends for good.
    End(usize),
    /// A reading of a session begins, and sees what there is.
    Begin(usize),
    /// It arrives.
    Arrive(usize),
    /// The budgets are halved, and count by the month.
    Edit,
    /// A day later.
    Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Process {
    Down,
    Waits,
    Serves,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Idle,
    /// Held, and not sent.
    Held,
    /// On its way to Devin.
    Sent,
    /// Devin did it.
    Done,
    /// It will never be done.
    Gone,
    /// What came of it is written down.
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) stage: Stage,
    /// The process that waits for its answer.
    pub(super) by: Option<usize>,
    /// What Devin is told.
    pub(super) cap: Acu,
    /// The instant of its hold.
    pub(super) at: Timestamp,
    /// In how many listings it was not, that should have had it.
    pub(super) missed: u8,
}

/// What stands in the file about a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Shelf {
    pub(super) book: Book,
    /// How many wakes there have been.
    pub(super) wakes: u32,
    /// Whether its id is known.
    pub(super) known: bool,
    /// What all its entries add up to.
    pub(super) spent: i64,
    pub(super) held: i64,
}

/// What Devin knows of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    pub(super) usage: Acu,
    /// What it may still use before somebody wakes it.
    pub(super) allowance: Acu,
    pub(super) exists: bool,
    pub(super) rests: bool,
    pub(super) ended: bool,
}

/// What the entries of a payer at an instant add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sums {
    pub(super) spent: i64,
    pub(super) held: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) bounds: Bounds,
    pub(super) slip: Slip,
    pub(super) processes: [Process; PROCESSES],
    pub(super) crashes: u8,
    pub(super) edited: bool,
    pub(super) now: Timestamp,
    pub(super) ticks: i64,
    pub(super) requests: [Request; REQUESTS],
    pub(super) shelves: [Shelf; SESSIONS],
    /// By the caller and the instant.
    pub(super) tallies: BTreeMap<(usize, Timestamp), Sums>,
    pub(super) truths: [Truth; SESSIONS],
    pub(super) readings: [Option<Reading>; SESSIONS],
}

/// The session that a request is for, which is the number of its payer as well.
pub(super) const fn session_of(request: usize) -> usize {
    request / 2
}

pub(super) fn is_create(request: usize) -> bool {
    request != 1
}

pub(super) fn hold_of(request: usize) -> HoldId {
    HoldId(uuid::Uuid::from_u128(request as u128 + 1))
}

pub(super) fn day(number: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + number * 86_400).unwrap()
}

/// Who created a session.
fn payer(session: usize) -> &'static Payer {
    static ALL: LazyLock<[Payer; SESSIONS]> = LazyLock::new(|| {
        ["a", "b"].map(|caller| Payer {
            organization: "o".into(),
            team: "t".into(),
            caller: caller.into(),
        })
    });
    &ALL[session]
}

fn budgets(cap: u32, edited: bool) -> [Budget; 2] {
    let (acus, every) = if edited {
        ([cap, cap], Every::Month(Zone::devin()))
    } else {
        ([2 * cap + 1, 2 * cap], Every::Day(Zone::devin()))
    };
    let budget = |name: &str, per, acus| Budget {
        name: name.into(),
        id: name.into(),
        team: Some("t".into()),
        per,
        limit: Acu::whole(acus),
        every: every.clone(),
        alert_at: Vec::new(),
        shadow: false,
    };
    [
        budget("team", Per::Team, acus[0]),
        budget("mine", Per::Caller, acus[1]),
    ]
}

pub(super) type Fallible<T = ()> = Result<T, String>;

pub(super) fn ensure(holds: bool, rule: impl FnOnce() -> String) -> Fallible {
    if holds { Ok(()) } else { Err(rule()) }
}

impl World {
    pub(super) fn new(bounds: Bounds, slip: Slip) -> Self {
        let request = || Request {
            stage: Stage::Idle,
            by: None,
            cap: Acu::ZERO,
            at: day(0),
            missed: 0,
        };
        Self {
            bounds,
            slip,
            processes: [Process::Serves, Process::Waits],
            crashes: 0,
            edited: false,
            now: day(0),
            ticks: 0,
            requests: [request(), request(), request()],
            shelves: Default::default(),
            tallies: BTreeMap::new(),
            truths: Default::default(),
            readings: Default::default(),
        }
    }

    pub(super) fn serves(&self) -> bool {
        self.processes.contains(&Process::Serves)
    }

    pub(super) fn tick(&mut self) -> Tick {
        self.ticks += 1;
        Tick(self.ticks)
    }

    /// Only the order of ticks matters: the same order is the same state.
    pub(super) fn renumber(&mut self) {
        let books = self.shelves.iter_mut().flat_map(|it| {
            let open = it
                .book
                .wakes
                .iter_mut()
                .filter_map(|it| match &mut it.state {
                    State::Open(tick) => Some(tick),
                    State::Out | State::Unknown | State::Closed | State::Released => None,
                });
            open.chain(it.book.rest.iter_mut().map(|it| &mut it.begun))
        });
        let readings = self.readings.iter_mut().flatten();
        let mut all: Vec<&mut Tick> = books.chain(readings.map(|it| &mut it.begun.tick)).collect();
        all.sort();
        let (mut last, mut number) = (None, 0);
        for tick in all {
            if last != Some(*tick) {
                number += 1;
            }
            last = Some(*tick);
            *tick = Tick(number);
        }
        self.ticks = number;
    }

    /// The budgets of now: the team's, and each caller's own.
    pub(super) fn budgets(&self) -> &'static [Budget; 2] {
        static ALL: LazyLock<HashMap<(u32, bool), [Budget; 2]>> = LazyLock::new(|| {
            let caps = [1, 2]
                .into_iter()
                .flat_map(|cap| [(cap, false), (cap, true)]);
            caps.map(|it| (it, budgets(it.0, it.1))).collect()
        });
        &ALL[&(self.bounds.cap, self.edited)]
    }

    /// What a budget has left for the payer of a session.
    pub(super) fn room(&self, budget: &Budget, session: usize) -> Acu {
        let account = budget.account(payer(session));
        let window = budget.every.window(self.now);
        let taken = self.tallies.iter().filter(|((payer_of, instant), _)| {
            account.counts(payer(*payer_of)) && window.holds(*instant)
        });
        let taken: i64 = taken.map(|(_, sums)| sums.spent + sums.held).sum();
        Acu::from_milli(budget.limit.milli() - taken)
    }

    pub(super) fn note(&mut self, session: usize, entries: &[Entry]) -> Fallible {
        for entry in entries {
            ensure(
                !matches!(entry.cause, Cause::Overrun | Cause::Unheld),
                || format!("L2: {entry:?}, and Devin honours caps"),
            )?;
            let request = (0..REQUESTS).find(|it| Some(hold_of(*it)) == entry.hold);
            let Some(request) = request else {
                return Err(format!("L8: {entry:?} is of no wake"));
            };
            let slips = self.slip == Slip::CountsByTheClock;
            let instant = if slips { self.now } else { entry.instant };
            ensure(instant == self.requests[request].at, || {
                format!("L8: {entry:?} counts at {instant}")
            })?;
            let shelf = &mut self.shelves[session];
            shelf.spent += entry.spent.milli();
            shelf.held += entry.held.milli();
            let sums = self.tallies.entry((session, instant)).or_default();
            sums.spent += entry.spent.milli();
            sums.held += entry.held.milli();
        }
        // What holds nothing any more is not loaded again.
        self.shelves[session]
            .book
            .wakes
            .retain(|it| it.state.holds());
        Ok(())
    }
}
