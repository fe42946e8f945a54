//! Every account of every limit, under one lock: all of a request's limits are charged, or none is. It has no clock, and
//! nothing waits here.

#[cfg(test)]
mod checks;
mod sweep;

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{Equivalent, HashMap};
use slab::Slab;
use tokio::sync::Notify;

use super::line::{Here, Line, Place};
use super::{Account, Charge, Standing, nanos};
use crate::problem::whole_seconds;

/// The most accounts that are not as good as unused; further ones share one of their limit. Those of organizations do
/// from half as many on.
pub const MOST_ACCOUNTS: usize = 1_000_000;
/// The most places in all lines together.
pub const MOST_PLACES: usize = 65_536;
/// The most of them that one caller has, at however many accounts.
pub(super) const MOST_OF_CALLER: usize = 4_096;
/// How long a promise is kept beyond the second in which whoever was refused was told to come back.
const GRACE: u64 = 2_000_000_000;
/// How many accounts there are before unused ones are looked for.
const FIRST_SWEEP: usize = 1_024;
/// How often they are looked for at least, and at most: in nanoseconds.
const SWEEP_EVERY: u64 = 60_000_000_000;
const SWEEP_AT_MOST: u64 = 1_000_000_000;

/// An account of a meter.
#[derive(Debug, PartialEq, Eq)]
struct Key(u32, Account);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Sought(self.0, &self.1).hash(state);
    }
}

/// The same, without an account of its own: most are there already.
#[derive(Hash)]
struct Sought<'a>(u32, &'a Account);

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0 && *self.1 == key.1
    }
}

/// How many places its caller has: each has a clone, and so have the table and whoever asks.
fn places_of(counted: &Arc<()>) -> usize {
    Arc::strong_count(counted).saturating_sub(2)
}

#[derive(Debug, Default)]
struct State {
    /// See [`super::meter`]. In the past, the account is as good as unused.
    tat: u64,
    line: Option<Box<Line>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    accounts: HashMap<Key, usize>,
    states: Slab<State>,
    ids: u32,
    arrivals: u64,
    places: usize,
    /// For each caller with places, what each of these has a clone of.
    callers: HashMap<Arc<str>, Arc<()>>,
    /// How many accounts there are when unused ones are looked for again.
    sweep_at: usize,
    swept: u64,
    /// What was found out about each charge of the request that is looked at.
    looked: Vec<Looked>,
}

/// What was found out about one charge.
#[derive(Clone, Copy, Debug)]
struct Looked {
    slot: usize,
    /// The TAT before and, if it fits, after.
    before: u64,
    after: Option<u64>,
    /// Its place in line: the one that it has, the one that was kept for it, or the one that it would get.
    place: Place,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            accounts: HashMap::new(),
            states: Slab::new(),
            ids: 0,
            arrivals: 0,
            places: 0,
            callers: HashMap::new(),
            sweep_at: FIRST_SWEEP,
            swept: 0,
            looked: Vec::new(),
        }
    }
}

/// A request that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) caller: &'a Arc<str>,
    pub(super) about: u64,
    /// Those of limits that are enforced.
    pub(super) charges: &'a [Charge],
    /// When it asked first.
    pub(super) asked: u64,
    /// How long it may wait, whatever its limits say.
    pub(super) patience: Duration,
}

/// Where a request stands while it waits.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    /// Told when it may be its turn; none while it has not waited.
    pub(super) wake: Option<Arc<Notify>>,
    /// For each of its charges, its place there. While it has one, the account stays.
    places: Vec<Option<(usize, Place)>>,
}

/// What a request is told.
#[derive(Debug)]
pub(super) enum Answer {
    /// All of its limits were charged.
    Go { standings: Box<[Standing]> },
    /// It stands in line, until it is woken, or this instant comes.
    Wait { until: u64 },
    /// It is refused.
    No {
        limit: Arc<str>,
        retry_after: Duration,
        standings: Box<[Standing]>,
    },
}

impl Ticket {
    /// Whether the request stands anywhere.
    pub(super) fn is_in_line(&self) -> bool {
        self.places.iter().any(Option::is_some)
    }
}

impl Table {
    pub(super) fn next_id(&mut self) -> u32 {
        self.ids = self.ids.wrapping_add(1);
        self.ids
    }

    /// How many accounts there are, and places in all lines.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.accounts.len(), self.places)
    }

    /// Looks at a request; again, if it has a ticket with places.
    pub(super) fn ask(&mut self, request: Request<'_>, ticket: &mut Ticket, now: u64) -> Answer {
        self.looked.clear();
        // Promises that ended where nobody asks any more.
        if self.places >= MOST_PLACES && now.saturating_sub(self.swept) >= SWEEP_AT_MOST {
            self.sweep(now);
        }
        // Whoever waits already does not take what is kept for others: those would wake each other for ever.
        let is_new = ticket.places.is_empty();
        for (ix, charge) in request.charges.iter().enumerate() {
            let mine = ticket.places.get(ix).copied().flatten();
            let looked = self.look(request, charge, mine, is_new, now);
            self.looked.push(looked);
        }
        if self.looked.iter().any(|it| it.after.is_none()) {
            for looked in &self.looked {
                if let Some(state) = self.states.get_mut(looked.slot) {
                    state.tat = looked.before;
                }
            }
            return self.refuse(request, ticket, now);
        }
        if self.places > 0 {
            self.serve(ticket);
        }
        let standings = self.standings(request.charges, now);
        Answer::Go { standings }
    }

    /// Takes one request from an account of a limit on trial, if it fits. Nobody waits there.
    pub(super) fn try_out(&mut self, charge: &Charge, now: u64) -> bool {
        let slot = self.slot(charge, now);
        let Some(state) = self.states.get_mut(slot) else {
            return false;
        };
        let after = charge.meter.take(state.tat, now);
        state.tat = after.unwrap_or(state.tat);
        after.is_some()
    }

    /// Gives up every place of a request that waits no more.
    pub(super) fn leave(&mut self, ticket: &mut Ticket) {
        for (slot, place) in ticket.places.drain(..).flatten() {
            if let Some(line) = self.line(slot) {
                let gone = usize::from(line.leave(place).is_some());
                line.wake();
                self.places -= gone;
                self.close(slot);
            }
        }
    }

    /// What each place of this caller's has a clone of: so it is known how many these are.
    fn counted(&mut self, caller: &Arc<str>) -> Arc<()> {
        if let Some(counted) = self.callers.get(caller) {
            return Arc::clone(counted);
        }
        let counted = Arc::default();
        self.callers
            .insert(Arc::clone(caller), Arc::clone(&counted));
        counted
    }

    fn line(&mut self, slot: usize) -> Option<&mut Line> {
        self.states.get_mut(slot)?.line.as_deref_mut()
    }

    /// A line without anybody in it is none.
    fn close(&mut self, slot: usize) {
        if let Some(state) = self.states.get_mut(slot)
            && state.line.as_ref().is_some_and(|it| it.is_empty())
        {
            state.line = None;
        }
    }

    /// Takes the request from one account, if it fits there and nobody comes first.
    fn look(
        &mut self,
        request: Request<'_>,
        charge: &Charge,
        mine: Option<(usize, Place)>,
        is_new: bool,
        now: u64,
    ) -> Looked {
        // While it stands there, the account stays; whoever has lost its place begins anew.
        let mine = mine.filter(|(slot, place)| self.line(*slot).is_some_and(|it| it.has(*place)));
        let slot = mine.map_or_else(|| self.slot(charge, now), |(slot, _)| slot);
        self.arrivals += 1;
        let arrival = self.arrivals;
        let mut looked = Looked {
            slot,
            before: 0,
            after: None,
            place: Place::first(arrival),
        };
        let Some(state) = self.states.get_mut(slot) else {
            return looked;
        };
        let mut ahead = 0;
        if let Some(line) = &mut state.line {
            let before = line.len();
            let meter = &charge.meter;
            state.tat = line.pay(meter, state.tat, now);
            let unused = line.forget(now);
            state.tat = meter.put_back(state.tat, unused);
            let gone = before - line.len();
            self.places -= gone;
            if gone > 0 {
                // Whoever waits may come sooner than it was reckoned.
                line.wake();
            }
            let mut place = mine.map(|(_, place)| place);
            if place.is_none() {
                let found = line.called_for(request.caller, request.about, now);
                if let Some((place, true)) = found {
                    return Looked {
                        slot,
                        before: state.tat,
                        after: Some(state.tat),
                        place,
                    };
                }
                place = found.map(|(place, _)| place);
            }
            looked.place = place.unwrap_or_else(|| line.last(request.caller, arrival));
            ahead = line.ahead(looked.place);
        }
        looked.before = state.tat;
        if ahead == 0 || charge.meter.free(state.tat, now) > ahead {
            looked.after = charge.meter.take(state.tat, now);
            state.tat = looked.after.unwrap_or(state.tat);
        }
        if looked.after.is_none()
            && is_new
            && let Some(line) = &mut state.line
            && let Some((place, paid)) = line.early(request.caller, now)
        {
            state.tat = charge.meter.put_back(state.tat, paid);
            looked.before = state.tat;
            let ahead = line.ahead(place);
            if (ahead == 0 || charge.meter.free(state.tat, now) > ahead)
                && let Some(after) = charge.meter.take(state.tat, now)
            {
                (looked.after, looked.place) = (Some(after), place);
                state.tat = after;
            }
        }
        looked
    }

    /// Gives up the places of a request that goes on, and wakes who comes next.
    fn serve(&mut self, ticket: &mut Ticket) {
        ticket.places.clear();
        for ix in 0..self.looked.len() {
            let Some(Looked { slot, place, .. }) = self.looked.get(ix).copied() else {
                continue;
            };
            if let Some(line) = self.line(slot) {
                let before = line.len();
                line.leave(place);
                let gone = before - line.len();
                line.wake();
                self.places -= gone;
                self.close(slot);
            }
        }
    }

    /// Lets a request that does not fit wait, or tells it when to come back.
    fn refuse(&mut self, request: Request<'_>, ticket: &mut Ticket, now: u64) -> Answer {
        let mut due = now;
        let mut limit = None;
        let mut wait = request.patience;
        let mut until = u64::MAX;
        for (Charge { meter, .. }, looked) in request.charges.iter().zip(&self.looked) {
            let Some(state) = self.states.get(looked.slot) else {
                continue;
            };
            if looked.after.is_some() {
                continue;
            }
            let line = state.line.as_ref();
            let ahead = line.map_or(0, |it| it.ahead(looked.place));
            let from = meter.from(looked.before, now, ahead);
            if limit.is_none() || from > due {
                (due, limit) = (from, Some(Arc::clone(meter.name())));
            }
            // Whoever is waited for may not come: then it is sooner.
            let ends = line.map_or(u64::MAX, |it| it.ends().saturating_add(1));
            until = until.min(from).min(ends);
            wait = wait.min(meter.wait());
        }
        let end = request.asked.saturating_add(nanos(wait));
        if due <= end && self.wait(request, ticket, due, now) {
            return Answer::Wait {
                until: until.max(now.saturating_add(1)).min(end),
            };
        }
        self.promise(request, ticket, due, now);
        let standings = self.standings(request.charges, now);
        Answer::No {
            // There is always one that refuses.
            limit: limit.unwrap_or_default(),
            retry_after: Duration::from_nanos(due - now),
            standings,
        }
    }

    /// Stands in line at every limit that refuses. False if one of those has no place for it.
    fn wait(&mut self, request: Request<'_>, ticket: &mut Ticket, due: u64, now: u64) -> bool {
        ticket.places.resize(self.looked.len(), None);
        let counted = self.counted(request.caller);
        for (ix, mine) in ticket.places.iter_mut().enumerate() {
            let Some(Looked {
                slot, place, after, ..
            }) = self.looked.get(ix).copied()
            else {
                continue;
            };
            let Some(state) = self.states.get_mut(slot) else {
                continue;
            };
            let is_there = mine.is_some_and(|(_, mine)| mine == place)
                && state.line.as_ref().is_some_and(|it| it.has(place));
            if is_there {
                // Where it would fit, it waits for another limit: those behind it may go first. Not if it is about to
                // go: where each of two limits always has others that need that one alone, it never would.
                let period = request.charges.get(ix).map_or(0, |it| it.meter.period());
                let for_another = after.is_some() && due > now.saturating_add(period);
                if let Some(line) = &mut state.line
                    && line.wait_for(place, after.is_some(), for_another)
                    && after.is_some()
                {
                    line.wake();
                }
                continue;
            }
            *mine = None;
            if after.is_some() {
                continue;
            }
            let line = state.line.get_or_insert_default();
            let before = line.len();
            // A promise that could not be kept at its time.
            line.leave(place);
            let here = Here::Waiting {
                wake: Arc::clone(ticket.wake.get_or_insert_default()),
                for_another: false,
                fits: false,
            };
            let has_room = self.places - (before - line.len()) < MOST_PLACES
                && places_of(&counted) < MOST_OF_CALLER;
            let stands = has_room && line.stand(place, request.caller, here, &counted);
            self.places = self.places + line.len() - before;
            if !stands {
                return false;
            }
            *mine = Some((slot, place));
        }
        true
    }

    /// Keeps what fits then for whoever is told to come back, at every limit that refuses it.
    fn promise(&mut self, request: Request<'_>, ticket: &mut Ticket, due: u64, now: u64) {
        self.leave(ticket);
        let counted = self.counted(request.caller);
        // As `Retry-After` says it.
        let seconds = whole_seconds(Duration::from_nanos(due - now));
        let told = now.saturating_add(nanos(Duration::from_secs(seconds)));
        for ix in 0..self.looked.len() {
            let Some(Looked {
                slot, place, after, ..
            }) = self.looked.get(ix).copied()
            else {
                continue;
            };
            let Some(state) = self.states.get_mut(slot) else {
                continue;
            };
            if after.is_some() {
                continue;
            }
            let line = state.line.get_or_insert_default();
            let before = line.len();
            // A promise that could not be kept, as somebody came before it.
            if line.leave(place).is_some() {
                line.wake();
            }
            let here = Here::Away {
                since: now,
                about: request.about,
                told,
                until: told.saturating_add(GRACE),
                is_paid: false,
            };
            if self.places - (before - line.len()) < MOST_PLACES
                && places_of(&counted) < MOST_OF_CALLER
            {
                line.stand(place, request.caller, here, &counted);
            }
            self.places = self.places + line.len() - before;
            self.close(slot);
        }
    }

    fn standings(&self, charges: &[Charge], now: u64) -> Box<[Standing]> {
        let looked = charges.iter().zip(&self.looked);
        looked
            .map(|(charge, it)| {
                let tat = self.states.get(it.slot).map_or(0, |it| it.tat);
                charge.meter.standing(tat, now)
            })
            .collect()
    }

    /// Where the state of an account is; it is made where there is none.
    fn slot(&mut self, Charge { meter, account }: &Charge, now: u64) -> usize {
        if let Some(slot) = self.accounts.get(&Sought(meter.id, account)) {
            return *slot;
        }
        let is_full = self.accounts.len() >= MOST_ACCOUNTS / 2;
        // Whoever asked the clock first may come second: it is never far behind.
        let wanted =
            self.accounts.len() >= self.sweep_at || now.saturating_sub(self.swept) >= SWEEP_EVERY;
        if wanted && (!is_full || now.saturating_sub(self.swept) >= SWEEP_AT_MOST) {
            self.sweep(now);
        }
        let most = match account {
            // They can be made up: there is always room for those that the policies name.
            Account::Organization(_) => MOST_ACCOUNTS / 2,
            Account::Everyone
            | Account::Team(_)
            | Account::Caller(_)
            | Account::CallerAndOperation(..)
            | Account::Rest => MOST_ACCOUNTS,
        };
        if self.accounts.len() >= most && *account != Account::Rest {
            let rest = Charge {
                meter: Arc::clone(meter),
                account: Account::Rest,
            };
            return self.slot(&rest, now);
        }
        let slot = self.states.insert(State::default());
        self.accounts.insert(Key(meter.id, account.clone()), slot);
        slot
    }
}
