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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LATER: Duration = Duration::from_secs(60);

    fn of(team: &str, caller: &str) -> Who {
        Who {
            flow: Flow::Team(team.into()),
            caller: caller.into(),
        }
    }

    fn weighted(weights: &[(&str, u32)]) -> Shares {
        Shares::new(
            weights
                .iter()
                .map(|(it, weight)| ((*it).into(), *weight))
                .collect(),
        )
    }

    fn join(shares: &mut Shares, who: &Who) -> u64 {
        shares.join(who, Class::Reads, LATER).unwrap().0
    }

    fn all(_: Class) -> bool {
        true
    }

    /// Who gets how many of so many requests if each sends its next one as soon as the one before has left.
    fn shared(shares: &mut Shares, greedy: &[Who], requests: usize) -> Vec<usize> {
        let mut ids: Vec<u64> = greedy.iter().map(|who| join(shares, who)).collect();
        let mut counts = vec![0; greedy.len()];
        for _ in 0..requests {
            let (id, _) = shares.pick(&all).unwrap();
            let at = ids.iter().position(|it| *it == id).unwrap();
            counts[at] += 1;
            ids[at] = join(shares, &greedy[at]);
        }
        counts
    }

    #[test]
    fn r13_a_team_with_many_callers_gets_no_more_than_another() {
        let mut greedy: Vec<Who> = (0..49).map(|ix| of("many", &format!("c{ix}"))).collect();
        greedy.push(of("one", "c"));
        let counts = shared(&mut Shares::default(), &greedy, 9_800);
        assert!((4_890..=4_910).contains(&counts[49]), "{counts:?}");
        assert!(
            counts[..49].iter().all(|it| (99..=101).contains(it)),
            "{counts:?}"
        );
    }

    #[test]
    fn r13_teams_get_what_their_weights_say() {
        let mut shares = weighted(&[("a", 1), ("b", 3), ("c", 6)]);
        let greedy = [of("a", "x"), of("b", "x"), of("c", "x"), of("c", "y")];
        let counts = shared(&mut shares, &greedy, 10_000);
        for (count, wanted) in counts.iter().zip([1_000_usize, 3_000, 3_000, 3_000]) {
            assert!(count.abs_diff(wanted) <= 5, "{counts:?}");
        }
    }

    #[test]
    fn r13_a_share_that_nobody_wants_is_others() {
        let mut shares = weighted(&[("idle", 1_000)]);
        let counts = shared(&mut shares, &[of("a", "x"), of("b", "x")], 1_000);
        assert_eq!(counts, [500, 500]);
        // Whoever comes back has saved nothing up, and owes nothing.
        let (idle, a) = (of("idle", "x"), of("a", "y"));
        let counts = shared(&mut shares, &[idle, a], 1_001);
        assert!(counts[0] <= 1_000, "{counts:?}");
    }

    #[test]
    fn the_gateways_own_requests_get_a_fifth_and_never_starve() {
        let mut greedy: Vec<Who> = (0..20).map(|ix| of(&format!("t{ix}"), "c")).collect();
        greedy.push(Who::own());
        let counts = shared(&mut Shares::default(), &greedy, 10_000);
        assert!((1_900..=2_100).contains(&counts[20]), "{counts:?}");
    }

    #[test]
    fn a_paused_class_does_not_hold_up_the_others() {
        let mut shares = Shares::default();
        let who = of("a", "x");
        let (spend, _) = shares.join(&who, Class::Spends, LATER).unwrap();
        let read = join(&mut shares, &who);
        let open = |class| class == Class::Reads;
        assert_eq!(shares.pick(&open), Some((read, Class::Reads)));
        assert_eq!(shares.pick(&open), None);
        assert!(!shares.has(&open) && shares.wants(Class::Spends));
        assert_eq!(shares.without_hope(Class::Spends, LATER * 2), [spend]);
        assert_eq!(shares.waiting(), 0);
    }

    #[test]
    fn r13_a_full_queue_makes_room_for_whoever_has_less() {
        let mut shares = Shares::default();
        for ix in 0..MOST_WAITING {
            join(&mut shares, &of("greedy", &format!("c{}", ix % 100)));
        }
        assert!(
            shares
                .join(&of("greedy", "new"), Class::Reads, LATER)
                .is_err()
        );
        let (_, leaves) = shares
            .join(&of("modest", "x"), Class::Reads, LATER)
            .unwrap();
        assert!(leaves.is_some());
        assert_eq!(shares.waiting(), MOST_WAITING);
    }

    #[test]
    fn a_caller_cannot_fill_the_queue() {
        let mut shares = Shares::default();
        let who = of("a", "x");
        for _ in 0..MOST_OF_A_CALLER {
            join(&mut shares, &who);
        }
        assert!(shares.join(&who, Class::Reads, LATER).is_err());
    }

    #[test]
    fn whoever_wants_nothing_is_forgotten() {
        let mut shares = Shares::default();
        for ix in 0..100 {
            shares.charge(&of(&format!("t{ix}"), "c"));
        }
        for _ in 0..SWEEP {
            shares.charge(&of("t0", "c"));
        }
        assert_eq!(shares.lanes.len(), 1);
        let most = MOST_IDLE + MOST_WAITING + SWEEP as usize;
        for ix in 0..20_000 {
            shares.charge(&of(&format!("t{ix}"), "c"));
            shares.charge(&of("t", &format!("c{ix}")));
            let callers = shares.lanes.get(&Flow::Team("t".into()));
            assert!(
                shares.lanes.len() <= most && callers.is_none_or(|it| it.callers.len() <= most)
            );
        }
    }

    proptest! {
        #[test]
        fn the_position_that_is_told_is_the_one_that_is_had(
            waiting in proptest::collection::vec((0..4_u8, 0..3_u8), 0..200),
            weights in proptest::collection::vec(1..20_u32, 4),
            me in (0..4_u8, 0..3_u8),
        ) {
            let name = |team: u8| format!("t{team}");
            let weights = weights.iter().zip(0..).map(|(it, team)| (name(team).into(), *it));
            let mut shares = Shares::new(weights.collect());
            for (team, caller) in waiting {
                join(&mut shares, &of(&name(team), &format!("c{caller}")));
            }
            let me = of(&name(me.0), &format!("c{}", me.1));
            let told = shares.position(&me);
            let id = join(&mut shares, &me);
            let mut had = 1;
            while shares.pick(&all).unwrap().0 != id {
                had += 1;
            }
            // Ties between lanes go either way.
            prop_assert!(had <= told && told <= had + 5, "told {told}, had {had}");
        }

        #[test]
        fn whatever_joins_and_leaves_the_counts_are_right(
            steps in proptest::collection::vec((0..4_u8, 0..3_u8, 0..3_usize), 0..500),
        ) {
            let mut shares = Shares::default();
            let mut ids = Vec::new();
            for (what, team, class) in steps {
                match what {
                    0 | 1 => {
                        let who = of(&format!("t{team}"), "c");
                        ids.push(shares.join(&who, Class::ALL[class], LATER).unwrap().0);
                    }
                    2 => {
                        let open = |it: Class| it.index() == class;
                        if let Some((id, _)) = shares.pick(&open) { ids.retain(|it| *it != id); }
                        else { prop_assert!(!shares.wants(Class::ALL[class])); }
                    }
                    _ => if let Some(id) = ids.pop() { prop_assert!(shares.leave(id).is_some()); },
                }
                let counted: u64 = shares.lanes.values().map(Lane::count).sum();
                prop_assert_eq!(counted, ids.len() as u64);
                prop_assert_eq!(shares.waiting(), ids.len());
            }
            shares.all();
            prop_assert_eq!(shares.waiting(), 0);
        }
    }
}
