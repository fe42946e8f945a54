//! What happens, each in one step, and what must be so at each.

use std::time::Duration;

use super::super::book::{Entry, Reading, State};
use super::super::moment::{Begun, Moment};
use super::world::{
    Fallible, PROCESSES, Process, REQUESTS, Request, STEP, Slip, Stage, World, day, ensure,
    hold_of, is_create, session_of,
};
use crate::acu::{Acu, Cap};
use crate::budget::fit;
use crate::policy::bounds::{CapTerms, NoRoom};

impl World {
    pub(super) fn hold(&mut self, request: usize) -> Fallible<bool> {
        let session = session_of(request);
        let first = usize::from(self.slip == Slip::HoldsInOneBudgetOnly);
        let budgets = &self.budgets()[first..];
        let room = budgets.iter().map(|it| self.room(it, session)).min();
        let room = room.unwrap_or(Acu::ZERO);
        let wanted = Cap::new(i64::from(self.bounds.cap) + i64::from(request == 2)).unwrap();
        let terms = CapTerms {
            min: 1,
            no_room: if request == 2 {
                NoRoom::Clamp
            } else {
                NoRoom::Refuse
            },
        };
        let cap = if is_create(request) {
            fit(wanted, terms, room).ok()
        } else {
            // The session's stored cap, whole.
            Some(wanted).filter(|it| it.acu() <= room)
        };
        let Some(cap) = cap else {
            return Ok(false);
        };
        self.requests[request] = Request {
            stage: Stage::Held,
            by: (0..PROCESSES).find(|it| self.processes[*it] == Process::Serves),
            cap: cap.acu(),
            at: self.now,
            missed: 0,
        };
        let shares = self.slip == Slip::LetsMessagesShareAHold && request == 1;
        if shares || self.slip == Slip::SendsBeforeHolding {
            return Ok(true);
        }
        if self.slip == Slip::SendsMoreThanIsHeld {
            self.requests[request].cap = wanted.acu().saturating_add(STEP);
        }
        let now = self.now;
        let shelf = &mut self.shelves[session];
        shelf.wakes += 1;
        let number = shelf.wakes;
        let entry = shelf.book.hold(hold_of(request), number, now, cap.acu());
        self.note(session, &[entry])?;
        for budget in self.budgets() {
            ensure(self.room(budget, session) >= Acu::ZERO, || {
                format!("L2: {} is over its limit by a new hold", budget.name)
            })?;
        }
        Ok(true)
    }

    fn left(&self, request: usize) -> Option<Acu> {
        let wakes = &self.shelves[session_of(request)].book.wakes;
        let wake = wakes.iter().find(|it| it.hold == hold_of(request))?;
        Some(wake.left())
    }

    pub(super) fn send(&mut self, request: usize) -> Fallible {
        let wakes = &self.shelves[session_of(request)].book.wakes;
        let wake = wakes.iter().find(|it| it.hold == hold_of(request));
        let Some(wake) = wake else {
            let rule = if is_create(request) { "L1" } else { "L7" };
            return Err(format!(
                "{rule}: {request} leaves, and nothing is held for it"
            ));
        };
        let cap = self.requests[request].cap;
        ensure(wake.held == cap, || {
            format!("L3: {cap} goes to Devin, and {} is held", wake.held)
        })?;
        self.requests[request].stage = Stage::Sent;
        Ok(())
    }

    pub(super) fn carry_out(&mut self, request: usize) {
        self.requests[request].stage = Stage::Done;
        let truth = &mut self.truths[session_of(request)];
        truth.allowance = self.requests[request].cap;
        truth.exists = true;
        truth.rests = false;
    }

    fn release(&mut self, request: usize) -> Fallible {
        let session = session_of(request);
        let left = self.left(request).unwrap_or(Acu::ZERO);
        let book = &mut self.shelves[session].book;
        let entries: Vec<Entry> = book.released(hold_of(request)).into_iter().collect();
        let again = book.released(hold_of(request));
        let given: i64 = entries.iter().map(|it| it.held.milli()).sum();
        ensure(given == -left.milli() && again.is_none(), || {
            format!("L4: {left} was held, {given} given back, then {again:?}")
        })?;
        self.requests[request].stage = Stage::Over;
        self.requests[request].by = None;
        self.note(session, &entries)
    }

    pub(super) fn refuse(&mut self, request: usize) -> Fallible {
        if self.slip == Slip::KeepsWhatWasRefused {
            self.requests[request].stage = Stage::Over;
        } else {
            self.release(request)?;
        }
        let left = self.left(request);
        ensure(left.is_none(), || {
            format!("L4: {request} was refused, and holds {left:?}")
        })
    }

    pub(super) fn answer(&mut self, request: usize) {
        let tick = self.tick();
        let shelf = &mut self.shelves[session_of(request)];
        shelf.book.answered(hold_of(request), tick);
        shelf.known = true;
        self.requests[request].stage = Stage::Over;
        self.requests[request].by = None;
    }

    pub(super) fn lose(&mut self, request: usize) -> Fallible {
        let before = self.left(request);
        self.requests[request].by = None;
        let shelf = &mut self.shelves[session_of(request)];
        shelf.book.unknown(hold_of(request));
        if self.slip == Slip::FreesWhatIsUnknown {
            let session = session_of(request);
            let entry = self.shelves[session].book.released(hold_of(request));
            self.note(session, entry.as_slice())?;
        }
        let after = self.left(request);
        ensure(before == after, || {
            format!("L5: {request} has no known outcome, held {before:?}, and holds {after:?}")
        })
    }

    pub(super) fn miss(&mut self, request: usize) -> Fallible {
        let enough = if self.slip == Slip::FreesAtOneAbsence {
            1
        } else {
            2
        };
        self.requests[request].missed += 1;
        if self.requests[request].missed < enough {
            return Ok(());
        }
        ensure(self.requests[request].missed >= 2, || {
            format!("L5: {request} is freed by one listing")
        })?;
        self.release(request)
    }

    pub(super) fn crash(&mut self, process: usize) {
        self.crashes += 1;
        if self.processes[process] == Process::Serves {
            self.readings = Default::default();
        }
        // It is started again, and waits for the other to die.
        self.processes[process] = if self.crashes < self.bounds.crashes {
            Process::Waits
        } else {
            Process::Down
        };
        for request in &mut self.requests {
            if request.by == Some(process) {
                request.by = None;
                if request.stage == Stage::Held {
                    request.stage = Stage::Gone;
                }
            }
        }
    }

    /// What the next process does first: what was on its way is unknown.
    pub(super) fn take(&mut self, process: usize) -> Fallible {
        self.processes[process] = Process::Serves;
        for request in 0..REQUESTS {
            let before = self.left(request);
            let session = session_of(request);
            let book = &mut self.shelves[session].book;
            book.unknown(hold_of(request));
            if self.slip == Slip::ForgetsHoldsAtACrash {
                let entry = book.released(hold_of(request));
                self.note(session, entry.as_slice())?;
            }
            self.requests[request].missed = 0;
            let after = self.left(request);
            ensure(before == after, || {
                format!("L5: {request} held {before:?} before a crash, and {after:?} after it")
            })?;
        }
        for shelf in &mut self.shelves {
            shelf.book.rest = None;
        }
        Ok(())
    }

    pub(super) fn work(&mut self, session: usize) {
        let truth = &mut self.truths[session];
        let part = if self.bounds.brief && session == 1 {
            truth.allowance
        } else {
            STEP
        };
        truth.usage = truth.usage.saturating_add(part);
        truth.allowance = truth.allowance.saturating_sub(part);
    }

    pub(super) fn begin(&mut self, session: usize) {
        let begun = self.tick();
        let truth = &self.truths[session];
        let status = match (truth.ended, truth.rests) {
            (true, _) => "exit",
            (false, true) => "suspended",
            (false, false) => "running",
        };
        self.readings[session] = Some(Reading {
            begun: Begun {
                tick: begun,
                up: Duration::ZERO,
            },
            moment: Moment {
                at: day(0),
                up: Duration::ZERO,
            },
            usage: Some(truth.usage),
            status: status.into(),
            detail: None,
            organization: None,
        });
    }

    pub(super) fn arrive(&mut self, session: usize) -> Fallible {
        let Some(mut reading) = self.readings[session].take() else {
            return Ok(());
        };
        reading.moment.at = self.now;
        let begun = reading.begun;
        if self.slip == Slip::ClosesByAnyReading {
            reading.begun.tick = self.tick();
        }
        let book = &mut self.shelves[session].book;
        let before = book.clone();
        let entries = book.read(&reading, Duration::ZERO);
        for (had, has) in before.wakes.iter().zip(&book.wakes) {
            let may_close = matches!(had.state, State::Open(answered) if answered < begun.tick);
            ensure(has.state == had.state || may_close, || {
                format!("L6: a reading begun at {begun:?} closed {had:?}")
            })?;
        }
        ensure(book.usage >= before.usage, || {
            "L6: the usage went down".to_owned()
        })?;
        let again = book.clone().read(&reading, Duration::ZERO);
        ensure(again.is_empty(), || {
            format!("L6: the same reading again wrote {again:?}")
        })?;
        self.note(session, &entries)
    }

    pub(super) fn edit(&mut self) {
        self.edited = true;
        if self.slip == Slip::BeginsAnewAtAnEdit {
            self.tallies.clear();
        }
    }
}
