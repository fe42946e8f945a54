//! Who is next: a weighted fair queue over teams, and within a team over its callers. Pure.
//!
//! Start-time fair queueing: each lane has a place in virtual time at which its next request starts, the earliest start
//! goes first, and moves its lane on by one request divided by the lane's weight. A lane that has not wanted anything
//! meanwhile begins at the present, so that nobody saves up; one that has had more than its share waits until the
//! others have caught up, also if it never had two requests waiting at once.
//!
//! The gateway's own requests are a lane beside the teams, with a fifth of what they all get.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{CLASSES, Class};

/// Requests that wait, in all.
pub const MOST_WAITING: usize = 4_096;
/// Requests of one caller that wait.
pub const MOST_OF_A_CALLER: usize = 256;
/// How far one request moves a lane of weight 1.
const STEP: u64 = 4_000_000;
/// After so many requests, lanes that have no claim any more are forgotten.
const SWEEP: u32 = 256;
/// Lanes, and callers of a lane, that wait for nothing and are remembered for what they have had.
const MOST_IDLE: usize = 1_024;

/// Whose lane it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// The gateway's own.
    Own,
    /// A team's.
    Team(Arc<str>),
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Who {
    /// Whose lane it is in.
    pub flow: Flow,
    /// The caller.
    pub caller: Arc<str>,
}

impl Who {
    /// The gateway itself.
    pub fn own() -> Self {
        Self {
            flow: Flow::Own,
            caller: Arc::from(""),
        }
    }
}

/// One that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) id: u64,
    pub(super) class: Class,
    /// It will not wait longer than until then.
    pub(super) until: Duration,
}

/// A place in virtual time.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: u64,
    finish: u64,
}

impl Place {
    fn wants(&mut self, present: u64) {
        self.start = self.finish.max(present);
    }

    fn moves(&mut self, step: u64) {
        self.finish = self.start.saturating_add(step);
        self.start = self.finish;
    }
}

#[derive(Clone, Debug, Default)]
struct OfCaller {
    place: Place,
    waiting: VecDeque<Waiting>,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    place: Place,
    present: u64,
    callers: BTreeMap<Arc<str>, OfCaller>,
    waiting: [u32; CLASSES],
    /// The number of the request that was served last: of lanes that start at the same place, the one goes first that
    /// has waited longest.
    served: u64,
}

impl Lane {
    fn count(&self) -> u64 {
        self.waiting.iter().map(|it| u64::from(*it)).sum()
    }

    fn has(&self, open: &impl Fn(Class) -> bool) -> bool {
        let mut classes = Class::ALL.into_iter().zip(self.waiting);
        classes.any(|(class, count)| count > 0 && open(class))
    }
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    weights: BTreeMap<Arc<str>, u32>,
    lanes: BTreeMap<Flow, Lane>,
    present: u64,
    who: BTreeMap<u64, Who>,
    next: u64,
    since_sweep: u32,
}

impl Shares {
    /// With the weights of teams; one that is not named has 1.
    pub fn new(weights: BTreeMap<Arc<str>, u32>) -> Self {
        Self {
            weights,
            ..Self::default()
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.who.len()
    }

    /// Whether any of a class that is open waits.
    pub fn has(&self, open: &impl Fn(Class) -> bool) -> bool {
        self.lanes.values().any(|it| it.has(open))
    }

    fn weight(&self, flow: &Flow) -> u64 {
        match flow {
            Flow::Team(team) => 4 * u64::from(self.weights.get(team).copied().unwrap_or(1).max(1)),
            Flow::Own => {
                let wanting = self.lanes.iter().filter(|(_, lane)| lane.count() > 0);
                let teams = wanting.filter(|(flow, _)| **flow != Flow::Own);
                let sum: u64 = teams.map(|(flow, _)| self.weight(flow) / 4).sum();
                sum.max(1)
            }
        }
    }

    /// Which one it would be if it came now, counted from 1, as far as is known of who waits.
    pub fn position(&self, who: &Who) -> u32 {
        let nothing = Lane::default();
        let lane = self.lanes.get(&who.flow).unwrap_or(&nothing);
        let own = lane
            .callers
            .get(&who.caller)
            .map_or(0, |it| it.waiting.len());
        let before = lane
            .callers
            .iter()
            .map(|(name, it)| match *name == who.caller {
                true => own,
                false => it.waiting.len().min(own.saturating_add(1)),
            });
        let nth = 1 + before.sum::<usize>() as u64;
        let weight = self.weight(&who.flow).max(1);
        let others = self.lanes.iter().filter(|(flow, _)| **flow != who.flow);
        let before = others.map(|(flow, it)| {
            let meanwhile = nth.saturating_sub(1).saturating_mul(self.weight(flow)) / weight;
            it.count().min(meanwhile.saturating_add(1))
        });
        u32::try_from(nth.saturating_add(before.sum())).unwrap_or(u32::MAX)
    }

    /// Puts one into the queue. Gives its id, and who had to leave for it.
    ///
    /// # Errors
    /// The queue is full, and the caller or its team has its part of it.
    pub(super) fn join(
        &mut self,
        who: &Who,
        class: Class,
        until: Duration,
    ) -> Result<(u64, Option<u64>), ()> {
        let lane = self.lanes.get(&who.flow);
        let own = lane.and_then(|it| it.callers.get(&who.caller));
        if own.is_some_and(|it| it.waiting.len() >= MOST_OF_A_CALLER) {
            return Err(());
        }
        let mut leaves = None;
        if self.waiting() >= MOST_WAITING {
            let heaviest = self.heaviest().ok_or(())?;
            if self.load(&who.flow, 1) >= self.load(&heaviest, 0) {
                return Err(());
            }
            leaves = self.last_of(&heaviest);
            self.leave(leaves.ok_or(())?);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let present = self.present;
        let lane = self.lanes.entry(who.flow.clone()).or_default();
        if lane.count() == 0 {
            lane.place.wants(present);
        }
        let within = lane.present;
        let caller = lane.callers.entry(Arc::clone(&who.caller)).or_default();
        if caller.waiting.is_empty() {
            caller.place.wants(within);
        }
        caller.waiting.push_back(Waiting { id, class, until });
        if let Some(count) = lane.waiting.get_mut(class.index()) {
            *count = count.saturating_add(1);
        }
        self.who.insert(id, who.clone());
        Ok((id, leaves))
    }

    /// What waits in a lane, in thousandths of its weight.
    fn load(&self, flow: &Flow, more: u64) -> u64 {
        let count = self.lanes.get(flow).map_or(0, Lane::count);
        count.saturating_add(more).saturating_mul(1_000) / self.weight(flow).max(1)
    }

    fn heaviest(&self) -> Option<Flow> {
        let flows = self.lanes.keys();
        flows.max_by_key(|flow| self.load(flow, 0)).cloned()
    }

    /// The latest of the caller that has most waiting in a lane.
    fn last_of(&self, flow: &Flow) -> Option<u64> {
        let callers = self.lanes.get(flow)?.callers.values();
        let longest = callers.max_by_key(|it| it.waiting.len())?;
        longest.waiting.back().map(|it| it.id)
    }

    /// Takes the next one of an open class out.
    pub(super) fn pick(&mut self, open: &impl Fn(Class) -> bool) -> Option<(u64, Class)> {
        let lanes = self.lanes.iter().filter(|(_, lane)| lane.has(open));
        let (flow, lane) = lanes.min_by_key(|(_, lane)| (lane.place.start, lane.served))?;
        let callers = lane.callers.iter().filter_map(|(name, it)| {
            let next = it.waiting.iter().find(|it| open(it.class))?;
            Some((it.place.start, next.id, next.class, name))
        });
        let (_, id, class, caller) = callers.min_by_key(|(start, id, ..)| (*start, *id))?;
        let who = Who {
            flow: flow.clone(),
            caller: Arc::clone(caller),
        };
        self.remove(id);
        self.moves(&who);
        Some((id, class))
    }

    /// Notes that one leaves for Devin that has not waited.
    pub(super) fn charge(&mut self, who: &Who) {
        let present = self.present;
        let lane = self.lanes.entry(who.flow.clone()).or_default();
        if lane.count() == 0 {
            lane.place.wants(present);
        }
        let within = lane.present;
        let caller = lane.callers.entry(Arc::clone(&who.caller)).or_default();
        if caller.waiting.is_empty() {
            caller.place.wants(within);
        }
        self.moves(who);
    }

    fn moves(&mut self, who: &Who) {
        let step = STEP / self.weight(&who.flow).max(1);
        if let Some(lane) = self.lanes.get_mut(&who.flow) {
            self.present = self.present.max(lane.place.start);
            lane.place.moves(step);
            lane.served = self.next;
            if let Some(caller) = lane.callers.get_mut(&who.caller) {
                lane.present = lane.present.max(caller.place.start);
                caller.place.moves(STEP);
            }
        }
        self.since_sweep = self.since_sweep.saturating_add(1);
        if self.since_sweep >= SWEEP {
            self.sweep();
        }
    }

    /// Forgets whoever wants nothing and has had no more than its share.
    fn sweep(&mut self) {
        self.since_sweep = 0;
        let present = self.present;
        self.lanes.retain(|_, lane| {
            let within = lane.present;
            let callers = &mut lane.callers;
            callers.retain(|_, it| !it.waiting.is_empty() || it.place.finish > within);
            if callers.len() > MOST_IDLE + MOST_WAITING {
                callers.retain(|_, it| !it.waiting.is_empty());
            }
            lane.count() > 0 || lane.place.finish > present
        });
        if self.lanes.len() > MOST_IDLE + MOST_WAITING {
            self.lanes.retain(|_, lane| lane.count() > 0);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Who> {
        let who = self.who.remove(&id)?;
        let lane = self.lanes.get_mut(&who.flow)?;
        if let Entry::Occupied(mut caller) = lane.callers.entry(Arc::clone(&who.caller)) {
            let waiting = &mut caller.get_mut().waiting;
            if let Some(at) = waiting.iter().position(|it| it.id == id)
                && let Some(gone) = waiting.remove(at)
                && let Some(count) = lane.waiting.get_mut(gone.class.index())
            {
                *count = count.saturating_sub(1);
            }
        }
        Some(who)
    }

    /// Takes one out that waits no longer. Gives who it was, if it was there.
    pub(super) fn leave(&mut self, id: u64) -> Option<Who> {
        self.remove(id)
    }

    /// Takes out all of a class that will not wait until then, oldest first.
    pub(super) fn without_hope(&mut self, class: Class, paused_until: Duration) -> Vec<u64> {
        let callers = self.lanes.values().flat_map(|it| it.callers.values());
        let all = callers.flat_map(|it| it.waiting.iter());
        let mut ids: Vec<u64> = all
            .filter(|it| it.class == class && it.until < paused_until)
            .map(|it| it.id)
            .collect();
        ids.sort_unstable();
        for id in &ids {
            self.remove(*id);
        }
        ids
    }

    /// Takes all out, oldest first.
    pub(super) fn all(&mut self) -> Vec<u64> {
        let ids: Vec<u64> = self.who.keys().copied().collect();
        for id in &ids {
            self.remove(*id);
        }
        ids
    }

    /// Whether any of this class waits.
    pub(super) fn wants(&self, class: Class) -> bool {
        let mut lanes = self.lanes.values();
        lanes.any(|it| it.waiting.get(class.index()).is_some_and(|it| *it > 0))
    }
}

#[cfg(test)]
mod tests;
