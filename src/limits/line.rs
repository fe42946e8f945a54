//! Who stands in line at an account, and in which order. It has no clock, and nothing waits here: it only rings.
//!
//! Callers take turns, much as in start-time fair queueing: each further place of a caller's is of the turn after that of
//! its place before, and a caller's first place is of the last turn that is some caller's first. So whoever comes new
//! stands behind the first places of all others, whose times it does not move, and before their further ones.
//!
//! A place is a request that waits, or a promise. Whoever is refused is told, in whole seconds, when to come back. As
//! soon as its request would fit it is *paid*: taken from the limit, and kept for its caller until shortly after the
//! second that was told. Without promises, all who were told the same second would come back at once, and all but
//! one would be refused again; and whoever asks most often would get most. What is paid and not called for is put back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Notify;

use super::Meter;

/// The most places of one line. Who comes last is refused, and which that is depends on the turns.
pub(super) const MOST_IN_LINE: usize = 1_024;
/// The most promises that one caller has in one line: a caller that only ever asks reserves no more.
pub(super) const MOST_AWAY: usize = 64;
/// When a promise counts as not called for by whom it was made to, in nanoseconds after it was told to come back:
/// then another request of the same caller's may have it.
const LATE: u64 = 500_000_000;
/// How long before somebody was told to come back its promise is one that moved up, in nanoseconds: times are told in
/// whole seconds, so others are not paid earlier than that.
const EARLY: u64 = 1_000_000_000;

/// A place in line; smaller ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    turn: u64,
    arrival: u64,
}

impl Place {
    /// The first one of a line, with an arrival that no other place has.
    pub(super) fn first(arrival: u64) -> Self {
        Self { turn: 0, arrival }
    }
}

/// Who stands at a place.
#[derive(Debug)]
pub(super) enum Here {
    /// A request that waits. While another of its limits is what it waits for, others may go first here.
    Waiting {
        /// Told when it may be its turn.
        wake: Arc<Notify>,
        /// Whether it waits for another limit, and not for this one.
        for_another: bool,
        /// Whether it would fit here: then it need not be told when something fits.
        fits: bool,
    },
    /// One that was refused and told to come back. Times are in nanoseconds.
    Away {
        /// When it was made.
        since: u64,
        /// What was asked for: whoever asks for something else is another client of its caller's, or comes first.
        about: u64,
        /// When it was told to come back.
        told: u64,
        /// Until then it is waited for.
        until: u64,
        /// Whether that was taken.
        is_paid: bool,
    },
}

impl Here {
    fn waits_here(&self) -> bool {
        matches!(
            self,
            Self::Waiting {
                for_another: false,
                ..
            }
        )
    }
}

#[derive(Debug)]
struct Entry {
    caller: Arc<str>,
    here: Here,
    /// Counts its caller's places in all lines, for as long as it is one.
    _counted: Arc<()>,
}

/// One caller's places.
#[derive(Debug, Default)]
struct Theirs {
    places: BTreeSet<Place>,
    /// Those that are promises.
    away: BTreeSet<Place>,
}

/// The line at one account.
#[derive(Debug)]
pub(super) struct Line {
    entries: BTreeMap<Place, Entry>,
    callers: BTreeMap<Arc<str>, Theirs>,
    /// The last turn that was some caller's first.
    turn: u64,
    /// How many wait here, and promises that are not paid yet.
    waiting: u64,
    unpaid: u64,
    /// No promise can be paid before this, and none ends before that.
    pays: u64,
    ends: u64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            callers: BTreeMap::new(),
            turn: 0,
            waiting: 0,
            unpaid: 0,
            pays: u64::MAX,
            ends: u64::MAX,
        }
    }
}

impl Line {
    /// How many stand in it, promises included.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody stands in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the next promise ends, at the earliest; never, if there is none.
    pub(super) fn ends(&self) -> u64 {
        self.ends
    }

    /// The place that this caller gets if it stands in line now, as the one with this arrival.
    pub(super) fn last(&self, caller: &str, arrival: u64) -> Place {
        let theirs = self.callers.get(caller);
        // What waits for another limit takes no turn here meanwhile: those behind it would be passed for ever.
        let is_here = |place: &&Place| {
            let here = self.entries.get(place).map(|it| &it.here);
            !matches!(
                here,
                Some(Here::Waiting {
                    for_another: true,
                    ..
                })
            )
        };
        let before = theirs.and_then(|it| it.places.iter().rev().find(is_here));
        let next = before.map_or(0, |it| it.turn.saturating_add(1));
        Place {
            turn: next.max(self.turn),
            arrival,
        }
    }

    /// The promise to this caller that a request about this calls for, and whether it is paid: one that was made to
    /// it, or else one that nobody seems to call for.
    pub(super) fn called_for(&self, caller: &str, about: u64, now: u64) -> Option<(Place, bool)> {
        let theirs = self.callers.get(caller)?;
        let (mut late, mut unpaid) = (None, None);
        for place in &theirs.away {
            let Some(Here::Away {
                about: asked,
                told,
                is_paid,
                ..
            }) = self.entries.get(place).map(|it| &it.here)
            else {
                continue;
            };
            match (*is_paid, *asked == about) {
                (true, true) if *told <= now => return Some((*place, true)),
                (true, false) if told.saturating_add(LATE) <= now => late = late.or(Some(*place)),
                (false, true) if *told <= now => unpaid = unpaid.or(Some(*place)),
                (true | false, true | false) => {}
            }
        }
        let late = late.map(|place| (place, true));
        late.or(unpaid.map(|place| (place, false)))
    }

    /// The first promise to this caller that moved up, and how many of those were paid, which they are no more: that is
    /// put back. If one of them could be kept now, another request of the caller's may have it: it would be kept for
    /// long, and paid ones would add up to a burst of the caller's own.
    pub(super) fn early(&mut self, caller: &str, now: u64) -> Option<(Place, u64)> {
        let theirs = self.callers.get(caller)?;
        let (mut first, mut paid) = (None, 0);
        for place in &theirs.away {
            if let Some(Here::Away { told, is_paid, .. }) =
                self.entries.get_mut(place).map(|it| &mut it.here)
                && *told > now.saturating_add(EARLY)
            {
                first = first.or(Some(*place));
                paid += u64::from(std::mem::take(is_paid));
            }
        }
        if paid > 0 {
            self.unpaid += paid;
            self.pays = 0;
            // It fits now, if this request does not take it.
            self.wake();
        }
        first.map(|place| (place, paid))
    }

    /// Whether there is somebody at this place.
    pub(super) fn has(&self, place: Place) -> bool {
        self.entries.contains_key(&place)
    }

    /// How many come before this place.
    pub(super) fn ahead(&self, place: Place) -> u64 {
        let last = self.entries.last_key_value();
        if last.is_none_or(|(last, _)| *last < place) {
            return self.waiting + self.unpaid;
        }
        let before = self.entries.range(..place).map(|(_, it)| match it.here {
            Here::Away { is_paid, .. } => u64::from(!is_paid),
            Here::Waiting { for_another, .. } => u64::from(!for_another),
        });
        before.sum()
    }

    /// Gives this caller a place, `counted` with its others. False if there is none to give: it has as many promises as
    /// it gets, or the line is full of those who come first.
    pub(super) fn stand(
        &mut self,
        place: Place,
        caller: &Arc<str>,
        here: Here,
        counted: &Arc<()>,
    ) -> bool {
        let is_away = matches!(here, Here::Away { .. });
        if is_away && (self.callers.get(caller)).is_some_and(|it| it.away.len() >= MOST_AWAY) {
            return false;
        }
        if self.entries.len() >= MOST_IN_LINE {
            // What is paid stays: that was taken from the limit for it.
            let is_kept = |it: &Entry| matches!(it.here, Here::Away { is_paid: true, .. });
            match self.entries.iter().rfind(|(_, it)| !is_kept(it)) {
                Some((last, _)) if *last > place => {
                    let last = *last;
                    if let Some(Here::Waiting { wake, .. }) = self.leave(last) {
                        // It finds its place gone, and is refused.
                        wake.notify_one();
                    }
                }
                Some(_) | None => return false,
            }
        }
        if self.entries.is_empty() {
            // It may have stood in a line that was given up meanwhile: whoever comes new stands behind it.
            self.turn = self.turn.max(place.turn);
        }
        match here {
            Here::Away { until, .. } => {
                self.unpaid += 1;
                self.pays = 0;
                self.ends = self.ends.min(until);
            }
            Here::Waiting { .. } => self.waiting += u64::from(here.waits_here()),
        }
        let theirs = self.callers.entry(Arc::clone(caller)).or_default();
        theirs.places.insert(place);
        if is_away {
            theirs.away.insert(place);
        }
        let caller = Arc::clone(caller);
        let entry = Entry {
            caller,
            here,
            _counted: Arc::clone(counted),
        };
        self.entries.insert(place, entry);
        true
    }

    /// Notes whether the request that waits here would fit here, and whether others may go first until then. Whether that
    /// is new.
    pub(super) fn wait_for(&mut self, place: Place, fits_now: bool, another: bool) -> bool {
        let Some(Entry {
            here: Here::Waiting {
                for_another, fits, ..
            },
            ..
        }) = self.entries.get_mut(&place)
        else {
            return false;
        };
        let does_fit = std::mem::replace(fits, fits_now) != fits_now;
        let is_new = std::mem::replace(for_another, another) != another;
        if is_new {
            // Whoever was behind it may be paid now.
            self.pays = 0;
            self.waiting = if another {
                self.waiting - 1
            } else {
                self.waiting + 1
            };
        }
        is_new || does_fit
    }

    /// Gives a place up.
    pub(super) fn leave(&mut self, place: Place) -> Option<Here> {
        let Entry { caller, here, .. } = self.entries.remove(&place)?;
        match here {
            Here::Waiting { .. } => self.waiting -= u64::from(here.waits_here()),
            Here::Away { is_paid, .. } => self.unpaid -= u64::from(!is_paid),
        }
        // Whoever was behind it may be paid now.
        self.pays = 0;
        if let Some(theirs) = self.callers.get_mut(&caller) {
            theirs.places.remove(&place);
            theirs.away.remove(&place);
            match theirs.places.first() {
                Some(first) => self.turn = self.turn.max(first.turn),
                None => {
                    self.callers.remove(&caller);
                }
            }
        }
        Some(here)
    }

    /// Forgets a promise that was not kept, or not called for: those to the same caller that are not paid move up, each
    /// to the place of the one before.
    fn break_promise(&mut self, place: Place) {
        let Some(Entry { caller, .. }) = self.entries.get(&place) else {
            return;
        };
        let caller = Arc::clone(caller);
        self.leave(place);
        let Some(theirs) = self.callers.get_mut(&caller) else {
            return;
        };
        let mut free = place;
        for behind in theirs.away.split_off(&place) {
            let is_paid = |it: &Entry| matches!(it.here, Here::Away { is_paid: true, .. });
            match self.entries.remove(&behind) {
                Some(entry) if !is_paid(&entry) => {
                    theirs.places.remove(&behind);
                    theirs.places.insert(free);
                    theirs.away.insert(free);
                    self.entries.insert(free, entry);
                    free = behind;
                }
                Some(entry) => {
                    theirs.away.insert(behind);
                    self.entries.insert(behind, entry);
                }
                None => {}
            }
        }
    }

    /// Pays the promises that can be, each when it could be: the TAT afterwards. Those who wait pay for themselves,
    /// but what they are about to take is left for them.
    pub(super) fn pay(&mut self, meter: &Meter, mut tat: u64, now: u64) -> u64 {
        if self.pays > now || self.unpaid == 0 {
            return tat;
        }
        self.pays = u64::MAX;
        let mut before = 0;
        for Entry { here, .. } in self.entries.values_mut() {
            match here {
                Here::Waiting { for_another, .. } => before += u64::from(!*for_another),
                Here::Away { is_paid: true, .. } => {}
                Here::Away { since, is_paid, .. } => {
                    let at = meter.from(tat, *since, before);
                    let Some(after) = (at <= now).then(|| meter.take(tat, at)).flatten() else {
                        // Those behind it are paid later still.
                        self.pays = at.max(now.saturating_add(1));
                        break;
                    };
                    tat = after;
                    *is_paid = true;
                    self.unpaid -= 1;
                }
            }
        }
        tat
    }

    /// Forgets the promises that ended. How many of them had been paid: that is put back.
    pub(super) fn forget(&mut self, now: u64) -> u64 {
        if self.ends >= now {
            return 0;
        }
        let mut ended = Vec::new();
        let mut paid = 0;
        self.ends = u64::MAX;
        for (place, entry) in self.entries.iter().rev() {
            match entry.here {
                Here::Away { until, is_paid, .. } if until < now => {
                    ended.push(*place);
                    paid += u64::from(is_paid);
                }
                Here::Away { until, .. } => self.ends = self.ends.min(until),
                Here::Waiting { .. } => {}
            }
        }
        // From behind, so that none of them has moved.
        for place in ended {
            self.break_promise(place);
        }
        paid
    }

    /// Wakes whoever comes first of those that wait for this limit.
    pub(super) fn wake(&self) {
        if self.waiting == 0 {
            return;
        }
        let mut waiting = self.entries.values().filter_map(|it| match &it.here {
            Here::Waiting {
                wake,
                for_another: false,
                fits: false,
            } => Some(wake),
            Here::Waiting { .. } | Here::Away { .. } => None,
        });
        if let Some(first) = waiting.next() {
            first.notify_one();
        }
    }

    /// What is counted is there.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let count = |is: fn(&Here) -> bool| {
            let all = self.entries.values().filter(|it| is(&it.here)).count();
            u64::try_from(all).unwrap_or(u64::MAX)
        };
        assert_eq!(self.waiting, count(Here::waits_here));
        let unpaid = |it: &Here| matches!(it, Here::Away { is_paid: false, .. });
        assert_eq!(self.unpaid, count(unpaid));
        let mut places = 0;
        for (caller, theirs) in &self.callers {
            assert!(!theirs.places.is_empty());
            assert!(theirs.away.is_subset(&theirs.places));
            places += theirs.places.len();
            for place in &theirs.places {
                let entry = self.entries.get(place);
                assert!(entry.is_some_and(|it| it.caller == *caller));
                let is_away = entry.is_some_and(|it| matches!(it.here, Here::Away { .. }));
                assert_eq!(is_away, theirs.away.contains(place));
            }
        }
        assert_eq!(self.entries.len(), places);
        for entry in self.entries.values() {
            if let Here::Away { until, .. } = entry.here {
                assert!(self.ends <= until);
            }
        }
    }
}
