//! One session's account: its wakes, and what becomes of their holds. Pure.
//!
//! A create and each message is a *wake* with a hold of its own (L7). What happens to it is an event: the answer came
//! ([`Book::answered`]), it was refused ([`Book::released`]), nobody knows ([`Book::unknown`]), Devin was asked
//! ([`Book::read`]). Each event gives the [`Entry`]s that it writes; the sum of all entries of a wake is what it has
//! spent and what it still holds, and nothing else changes either. The store loads a book, lets one event happen, and
//! writes down what came of it, in one transaction.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::HoldId;
use super::moment::{Begun, Moment, Tick};
use super::motion::Motion;
use crate::acu::Acu;

/// A session that answers polls no more is given up after so long a time of polls that succeeded otherwise (L6).
pub const VANISHED_AFTER: Duration = Duration::from_secs(48 * 3_600);

/// Where a wake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Its request is on its way, and no answer has come.
    Out,
    /// There was no answer that says whether it was carried out (L5).
    Unknown,
    /// It was carried out; the answer came at this tick.
    Open(Tick),
    /// It is settled: what it used is spent, the rest has been given back.
    Closed,
    /// It was refused, or never carried out: the hold has been given back.
    Released,
}

impl State {
    /// Whether its hold is still taken.
    pub fn holds(self) -> bool {
        match self {
            Self::Out | Self::Unknown | Self::Open(_) => true,
            Self::Closed | Self::Released => false,
        }
    }
}

/// One wake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wake {
    /// Its hold's id.
    pub hold: HoldId,
    /// Its place among the session's wakes.
    pub number: u32,
    /// The instant at which its entries count.
    pub at: Timestamp,
    /// How much was held.
    pub held: Acu,
    /// How much has been posted to it; above `held` only where Devin overran its cap.
    pub used: Acu,
    /// Where it stands.
    pub state: State,
}

impl Wake {
    /// What it still holds.
    pub fn left(&self) -> Acu {
        let left = self.held.saturating_sub(self.used);
        if self.state.holds() && !left.is_negative() {
            left
        } else {
            Acu::ZERO
        }
    }

    fn answered_before(&self, begun: Tick) -> bool {
        matches!(self.state, State::Open(answered) if answered < begun)
    }
}

/// A session that was seen at rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rest {
    /// When the reading that saw it began.
    pub begun: Tick,
    /// When it was recorded, on the clock that does not jump: it was not seen so any later.
    pub up: Duration,
    /// `status/detail`.
    pub state: Box<str>,
    /// The usage at that reading.
    pub usage: Acu,
}

/// What Devin said of a session, once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// When the request for it left.
    pub begun: Begun,
    /// When it is recorded.
    pub moment: Moment,
    /// `acus_consumed`; none where that is no amount.
    pub usage: Option<Acu>,
    /// `status`.
    pub status: Box<str>,
    /// `status_detail`.
    pub detail: Option<Box<str>>,
    /// The organization that it is of, where that is known.
    pub organization: Option<Arc<str>>,
}

/// Why an entry was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A hold was taken.
    Hold,
    /// A hold was given back: refused, or never carried out.
    Release,
    /// Usage within a hold.
    Use,
    /// Usage beyond a hold, while a wake was open.
    Overrun,
    /// Spend that never had a hold.
    Unheld,
    /// Usage that turned out to be another wake's of the same session.
    Move,
    /// What was charged for a spend without a cap.
    Uncapped,
    /// What a settled wake had left.
    Rest,
    /// What a vanished session, or a wake of which nothing can be found, still held: charged in full.
    Written,
}

impl Cause {
    /// The word for it, in the store and in what is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Use => "use",
            Self::Overrun => "overrun",
            Self::Unheld => "unheld",
            Self::Move => "move",
            Self::Uncapped => "uncapped",
            Self::Rest => "rest",
            Self::Written => "written",
        }
    }
}

/// One line of the account: by how much what is spent and what is held change, and at which instant that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Why.
    pub cause: Cause,
    /// The wake; none of unheld spend.
    pub hold: Option<HoldId>,
    /// The instant at which it counts (L8, L9).
    pub instant: Timestamp,
    /// What is added to what is spent.
    pub spent: Acu,
    /// What is added to what is held.
    pub held: Acu,
}

/// A session's account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Book {
    /// The highest usage that was ever read.
    pub usage: Acu,
    /// The wakes that hold something, in the order of their numbers.
    pub wakes: Vec<Wake>,
    /// The last reading that saw it at rest, if the newest did.
    pub rest: Option<Rest>,
    /// For how long polls that succeeded have not found it.
    pub missing: Duration,
    /// Whether it is over for good.
    pub ended: bool,
    /// What was charged for it in full without having been used: use that comes to light later is paid for by it.
    pub written: Acu,
}

impl Book {
    /// Takes a hold for a new wake. Whether there is room has been asked before.
    pub fn hold(&mut self, hold: HoldId, number: u32, at: Timestamp, held: Acu) -> Entry {
        self.wakes.push(Wake {
            hold,
            number,
            at,
            held,
            used: Acu::ZERO,
            state: State::Out,
        });
        // Whatever rested is about to be woken.
        self.rest = None;
        Entry {
            cause: Cause::Hold,
            hold: Some(hold),
            instant: at,
            spent: Acu::ZERO,
            held,
        }
    }

    /// Devin has carried out a wake. Again, or too late: nothing changes.
    pub fn answered(&mut self, hold: HoldId, at: Tick) -> Vec<Entry> {
        match self.wake(hold) {
            Some(wake) if matches!(wake.state, State::Out | State::Unknown) => {
                wake.state = State::Open(at);
                self.pour()
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Lays the usage that is posted to open wakes out anew: to the oldest that was answered, up to its hold, then to the
    /// next, and last to those whose answers are still out. Those may not have begun, and need all of their holds when
    /// they do; and of two that were answered, the older is the one to be closed. What is beyond a hold stays where it
    /// was seen.
    fn pour(&mut self) -> Vec<Entry> {
        let within = |wake: &Wake| wake.used.min(wake.held);
        let open = self.wakes.iter().filter(|it| it.state.holds());
        let mut rest = open.fold(Acu::ZERO, |sum, it| sum.saturating_add(within(it)));
        let mut entries = Vec::new();
        for wake in in_order(&mut self.wakes).filter(|it| it.state.holds()) {
            let part = rest.min(wake.held);
            rest = rest.saturating_sub(part);
            let by = part.saturating_sub(within(wake));
            if by != Acu::ZERO {
                wake.used = wake.used.saturating_add(by);
                entries.push(moved(wake, by));
            }
        }
        entries
    }

    /// There was no answer that says whether a wake was carried out: the hold stays (L5).
    pub fn unknown(&mut self, hold: HoldId) {
        if let Some(wake) = self.wake(hold)
            && wake.state == State::Out
        {
            wake.state = State::Unknown;
        }
    }

    /// A wake was not carried out: its hold is given back, once (L4). Of one that was answered, nothing is.
    pub fn released(&mut self, hold: HoldId) -> Option<Entry> {
        let wake = self.wake(hold)?;
        if !matches!(wake.state, State::Out | State::Unknown) {
            return None;
        }
        let entry = give_back(wake, Cause::Release);
        wake.state = State::Released;
        entry
    }

    /// A wake of which nothing can be found out: its hold is charged in full.
    pub fn written_off(&mut self, hold: HoldId) -> Option<Entry> {
        let wake = self.wake(hold)?;
        let entry = write_off(wake);
        wake.state = State::Closed;
        entry
    }

    /// What a reading changes (L6, L7). `quiet` apart, a session has to be seen at rest twice.
    pub fn read(&mut self, reading: &Reading, quiet: Duration) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.missing = Duration::ZERO;
        // The same reading again, or an older one, adds nothing: usage only rises.
        let usage = reading.usage.unwrap_or(self.usage).max(self.usage);
        let rise = usage.saturating_sub(self.usage);
        self.usage = usage;
        // It was charged for already, when nobody could say what was used.
        let paid = rise.min(self.written);
        self.written = self.written.saturating_sub(paid);
        let rise = rise.saturating_sub(paid);
        self.post(rise, reading.moment.at, &mut entries);
        self.close_earlier(reading.begun.tick, &mut entries);
        match Motion::of(&reading.status, reading.detail.as_deref()) {
            Motion::Ended => {
                self.ended = true;
                self.rest = None;
                self.close_answered(reading.begun.tick, &mut entries);
            }
            Motion::Resting => {
                if self.rests(reading, quiet) {
                    self.close_answered(reading.begun.tick, &mut entries);
                }
            }
            Motion::Active => self.rest = None,
        }
        entries
    }

    /// Adds a rise of the usage to the oldest wake that was answered, up to its hold, then to the next, and last to those
    /// whose answers are still out.
    fn post(&mut self, mut rise: Acu, at: Timestamp, entries: &mut Vec<Entry>) {
        for wake in in_order(&mut self.wakes) {
            let part = rise.min(wake.left());
            if part > Acu::ZERO {
                wake.used = wake.used.saturating_add(part);
                rise = rise.saturating_sub(part);
                entries.push(Entry {
                    cause: Cause::Use,
                    hold: Some(wake.hold),
                    instant: wake.at,
                    spent: part,
                    held: Acu::ZERO.saturating_sub(part),
                });
            }
        }
        if rise <= Acu::ZERO {
            return;
        }
        let newest = self.wakes.iter_mut().rev().find(|it| it.state.holds());
        entries.push(match newest {
            Some(wake) => {
                wake.used = wake.used.saturating_add(rise);
                Entry {
                    cause: Cause::Overrun,
                    hold: Some(wake.hold),
                    instant: wake.at,
                    spent: rise,
                    held: Acu::ZERO,
                }
            }
            None => Entry {
                cause: Cause::Unheld,
                hold: None,
                instant: at,
                spent: rise,
                held: Acu::ZERO,
            },
        });
    }

    /// The first reading begun after a wake's answer closes every earlier one whose answer had come too.
    fn close_earlier(&mut self, begun: Tick, entries: &mut Vec<Entry>) {
        let answered = self.wakes.iter().filter(|it| it.answered_before(begun));
        let Some(newest) = answered.map(|it| it.number).max() else {
            return;
        };
        for wake in &mut self.wakes {
            if wake.number < newest && wake.answered_before(begun) {
                close(wake, entries);
            }
        }
    }

    fn close_answered(&mut self, begun: Tick, entries: &mut Vec<Entry>) {
        for wake in &mut self.wakes {
            if wake.answered_before(begun) {
                close(wake, entries);
            }
        }
    }

    /// Whether this is the second of two readings that saw the session at rest, alike, and far enough apart.
    fn rests(&mut self, reading: &Reading, quiet: Duration) -> bool {
        let state: Box<str> = match &reading.detail {
            Some(detail) => format!("{}/{detail}", reading.status).into(),
            None => reading.status.clone(),
        };
        let answered = self.wakes.iter().filter_map(|it| match it.state {
            State::Open(answered) => Some(answered),
            State::Out | State::Unknown | State::Closed | State::Released => None,
        });
        let answered = answered.max();
        let first = self.rest.as_ref().filter(|rest| {
            rest.state == state
                && rest.usage == self.usage
                && answered.is_none_or(|answered| answered < rest.begun)
        });
        match first {
            // Who asks decides how slowly an answer is read, so when that was says nothing.
            Some(rest) if rest.begun <= reading.begun.tick => {
                let between = reading.begun.up.saturating_sub(rest.up);
                between >= quiet && rest.begun < reading.begun.tick
            }
            // An older reading, come late, says nothing new.
            Some(_) => false,
            None => {
                self.rest = Some(Rest {
                    begun: reading.begun.tick,
                    up: reading.moment.up,
                    state,
                    usage: self.usage,
                });
                false
            }
        }
    }

    /// A poll that succeeded, `after` the one before it, did not find the session.
    pub fn missed(&mut self, after: Duration) -> Vec<Entry> {
        self.missing = self.missing.saturating_add(after);
        if self.missing < VANISHED_AFTER {
            return Vec::new();
        }
        self.ended = true;
        let mut entries = Vec::new();
        for wake in &mut self.wakes {
            if matches!(wake.state, State::Open(_)) {
                self.written = self.written.saturating_add(wake.left());
                entries.extend(write_off(wake));
                wake.state = State::Closed;
            }
        }
        entries
    }

    fn wake(&mut self, hold: HoldId) -> Option<&mut Wake> {
        self.wakes.iter_mut().find(|it| it.hold == hold)
    }
}

/// Those that were answered, oldest first, then the others.
fn in_order(wakes: &mut [Wake]) -> impl Iterator<Item = &mut Wake> {
    let is_answered = |wake: &&mut Wake| matches!(wake.state, State::Open(_));
    let (answered, others): (Vec<_>, Vec<_>) = wakes.iter_mut().partition(is_answered);
    answered.into_iter().chain(others)
}

fn moved(wake: &Wake, by: Acu) -> Entry {
    Entry {
        cause: Cause::Move,
        hold: Some(wake.hold),
        instant: wake.at,
        spent: by,
        held: Acu::ZERO.saturating_sub(by),
    }
}

fn close(wake: &mut Wake, entries: &mut Vec<Entry>) {
    entries.extend(give_back(wake, Cause::Rest));
    wake.state = State::Closed;
}

fn give_back(wake: &Wake, cause: Cause) -> Option<Entry> {
    let left = wake.left();
    (left > Acu::ZERO).then(|| Entry {
        cause,
        hold: Some(wake.hold),
        instant: wake.at,
        spent: Acu::ZERO,
        held: Acu::ZERO.saturating_sub(left),
    })
}

fn write_off(wake: &mut Wake) -> Option<Entry> {
    let left = wake.left();
    wake.used = wake.used.saturating_add(left);
    (left > Acu::ZERO).then(|| Entry {
        cause: Cause::Written,
        hold: Some(wake.hold),
        instant: wake.at,
        spent: left,
        held: Acu::ZERO.saturating_sub(left),
    })
}
