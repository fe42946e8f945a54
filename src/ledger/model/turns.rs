//! What can happen next, and what has to hold always.

use super::explore::Model;
use super::world::{
    Action, Fallible, Process, SESSIONS, Shelf, Stage, Sums, World, day, ensure, is_create,
    session_of,
};
use crate::acu::Acu;

impl Model for World {
    type Action = Action;

    fn actions(&self) -> Vec<Action> {
        use Stage::{Done, Gone, Held, Idle, Sent};
        let mut all = Vec::new();
        let mut may = |holds: bool, action| {
            if holds {
                all.push(action);
            }
        };
        let serves = self.serves();
        for (ix, process) in self.processes.iter().enumerate() {
            may(*process == Process::Waits && !serves, Action::Take(ix));
            let lives = *process == Process::Serves;
            may(
                lives && self.crashes < self.bounds.crashes,
                Action::Crash(ix),
            );
        }
        for (ix, request) in self.requests.iter().enumerate() {
            let truth = &self.truths[session_of(ix)];
            let known = is_create(ix) || self.shelves[session_of(ix)].known;
            let (stage, waited) = (request.stage, request.by.is_some());
            may(stage == Idle && known && serves, Action::Hold(ix));
            may(stage == Held, Action::Send(ix));
            may(stage == Sent && !truth.ended, Action::CarryOut(ix));
            let brief = self.bounds.brief && ix == 2;
            may(stage == Sent && waited && !brief, Action::Refuse(ix));
            may(stage == Done && waited, Action::Answer(ix));
            let on_its_way = matches!(stage, Sent | Done) && waited;
            may(on_its_way && !brief, Action::Lose(ix));
            may(stage == Sent && !waited, Action::Expire(ix));
            may(stage == Done && !waited && serves, Action::Find(ix));
            may(stage == Gone && serves, Action::Miss(ix));
        }
        for (ix, truth) in self.truths.iter().enumerate() {
            let moves = truth.exists && !truth.ended && !truth.rests;
            may(moves && truth.allowance > Acu::ZERO, Action::Work(ix));
            let brief = self.bounds.brief && ix == 1;
            may(moves && !brief, Action::Rest(ix));
            may(truth.exists && !truth.ended, Action::End(ix));
            let reads = self.readings[ix].is_some();
            may(
                self.shelves[ix].known && serves && !reads,
                Action::Begin(ix),
            );
            may(reads, Action::Arrive(ix));
        }
        may(self.bounds.edits && !self.edited, Action::Edit);
        may(self.bounds.days && self.now == day(0), Action::Turn);
        all
    }

    fn after(&self, action: Action) -> Fallible<Option<Self>> {
        let mut next = self.clone();
        match action {
            Action::Take(process) => next.take(process)?,
            Action::Crash(process) => next.crash(process),
            Action::Hold(request) => {
                if !next.hold(request)? {
                    return Ok(None);
                }
                if next.bounds.brief && request == 2 {
                    next.send(request)?;
                }
            }
            Action::Send(request) => next.send(request)?,
            Action::CarryOut(request) => next.carry_out(request),
            Action::Refuse(request) => next.refuse(request)?,
            Action::Answer(request) | Action::Find(request) => next.answer(request),
            Action::Lose(request) => next.lose(request)?,
            Action::Expire(request) => next.requests[request].stage = Stage::Gone,
            Action::Miss(request) => next.miss(request)?,
            Action::Work(session) => next.work(session),
            Action::Rest(session) => next.truths[session].rests = true,
            Action::End(session) => next.truths[session].ended = true,
            Action::Begin(session) => {
                next.begin(session);
                if next.bounds.brief && session == 1 {
                    next.arrive(session)?;
                }
            }
            Action::Arrive(session) => next.arrive(session)?,
            Action::Edit => next.edit(),
            Action::Turn => next.now = day(1),
        }
        next.renumber();
        Ok(Some(next))
    }

    fn check(&self) -> Fallible {
        for (session, (shelf, truth)) in self.shelves.iter().zip(&self.truths).enumerate() {
            let left: i64 = shelf.book.wakes.iter().map(|it| it.left().milli()).sum();
            ensure(left == shelf.held, || {
                format!(
                    "L10: {session} has {left} left, and its entries hold {}",
                    shelf.held
                )
            })?;
            let usage = shelf.book.usage.milli();
            ensure(usage == shelf.spent, || {
                format!(
                    "L6: {session} has used {usage}, and its entries spend {}",
                    shelf.spent
                )
            })?;
            for wake in &shelf.book.wakes {
                ensure(wake.used <= wake.held, || {
                    format!("L7: {wake:?} is beyond its hold")
                })?;
            }
            let unseen = truth.usage.milli() - usage;
            let coming = if truth.rests || truth.ended {
                0
            } else {
                truth.allowance.milli()
            };
            ensure(unseen + coming <= left, || {
                format!("L7: {session} may come to {unseen} + {coming} more, and holds {left}")
            })?;
        }
        let entries = |it: fn(&Sums) -> i64| self.tallies.values().map(it).sum::<i64>();
        let shelves = |it: fn(&Shelf) -> i64| self.shelves.iter().map(it).sum::<i64>();
        ensure(
            entries(|it| it.spent) == shelves(|it| it.spent)
                && entries(|it| it.held) == shelves(|it| it.held),
            || format!("L9: an entry was lost: {:?}", self.tallies),
        )?;
        if !self.edited {
            for budget in self.budgets() {
                for session in 0..SESSIONS {
                    ensure(self.room(budget, session) >= Acu::ZERO, || {
                        format!("L2: {} is over its limit", budget.name)
                    })?;
                }
            }
        }
        Ok(())
    }
}
