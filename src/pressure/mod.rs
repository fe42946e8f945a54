//! What leaves for Devin, and when: decided here, carried out by [`crate::pipeline::pressure`]. Pure.
//!
//! Devin's rate is everybody's: one 429 is about all callers. So there is one [`Pressure`] for an upstream. It knows
//! the [`rate`] that Devin takes, the classes that are in a [`pause`], whose turn it is ([`shares`]), whether Devin is
//! there at all ([`breaker`]), and how much may be sent twice ([`budget`]). Time is told to it, as the time since it was made.

pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod pause;
pub mod rate;
mod recent;
pub mod retry_after;
pub mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use breaker::{Breaker, Let};
use budget::Budget;
use pause::Pause;
use rate::Rate;
use shares::Shares;

pub use shares::{Flow, Who};

use crate::catalogue::Operation;

/// How many classes there are.
const CLASSES: usize = 3;

/// What a 429 is about: Devin may take reads while it takes no more sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Changes nothing.
    Reads,
    /// Changes something, and spends nothing.
    Changes,
    /// Can spend.
    Spends,
}

impl Class {
    /// All, in the order of their indices.
    pub const ALL: [Self; CLASSES] = [Self::Reads, Self::Changes, Self::Spends];

    /// Of an operation.
    pub const fn of(operation: &Operation) -> Self {
        match (operation.spends.is_some(), operation.mutates) {
            (true, _) => Self::Spends,
            (false, true) => Self::Changes,
            (false, false) => Self::Reads,
        }
    }

    /// Its place among [`Self::ALL`].
    const fn index(self) -> usize {
        match self {
            Self::Reads => 0,
            Self::Changes => 1,
            Self::Spends => 2,
        }
    }

    /// For operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Changes => "changes",
            Self::Spends => "spends",
        }
    }
}

/// The settings `upstream.rate`, `upstream.shares` and `upstream.wait`.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Requests a second that are never exceeded, whatever Devin would take.
    pub ceiling: Option<f64>,
    /// The weights of teams; of one that is not named, 1.
    pub shares: BTreeMap<Arc<str>, u32>,
    /// How long a request may wait for its turn.
    pub wait: Duration,
    /// How many times faster than usual the rate is learned: a simulation's minutes are seconds. No setting.
    pub haste: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ceiling: None,
            shares: BTreeMap::new(),
            wait: Duration::from_secs(2),
            haste: 1,
        }
    }
}

/// That a request may leave.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    class: Class,
    by_breaker: Let,
    /// When it left, or may.
    at: Duration,
}

/// Why one may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its turn comes too late.
    TooLate {
        /// When it would come, as far as is known.
        retry_after: Duration,
    },
    /// Devin fails.
    CoolingDown {
        /// When it will be tried again.
        retry_after: Duration,
    },
}

/// What becomes of a request that comes.
#[derive(Debug)]
pub enum Entry {
    /// It may leave.
    Go(Pass),
    /// It has to wait, under this number; and one that waits leaves for it.
    Wait {
        /// Its number.
        id: u64,
        /// Who is refused in its place.
        instead_of: Option<(u64, Refusal)>,
    },
    /// It may not.
    Refused(Refusal),
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Devin answered.
    Answered,
    /// Devin answered 429.
    Refused {
        /// How long it said to wait.
        retry_after: Option<Duration>,
    },
    /// Devin was not there, not in time, or answered 502, 503 or 504.
    Failed,
    /// Its client left before.
    Gone,
}

/// A client that leaves after so long was not answered in time, by whatever time it had.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that is known of one upstream.
#[derive(Debug)]
pub struct Pressure {
    rate: Rate,
    pauses: [Pause; CLASSES],
    shares: Shares,
    breaker: Breaker,
    budget: Budget,
    wait: Duration,
    /// Whether a pause has begun that some of those who wait may not outlast.
    has_new_pause: bool,
    /// The rate is told a time that goes so many times faster.
    haste: u32,
}

impl Pressure {
    /// Nothing known yet.
    pub fn new(options: &Options) -> Self {
        Self {
            rate: Rate::new(
                options
                    .ceiling
                    .map(|it| it / f64::from(options.haste.max(1))),
            ),
            pauses: Default::default(),
            shares: Shares::new(options.shares.clone()),
            breaker: Breaker::default(),
            budget: Budget::default(),
            wait: options.wait,
            has_new_pause: false,
            haste: options.haste.max(1),
        }
    }

    fn pause(&self, class: Class) -> &Pause {
        let [reads, changes, spends] = &self.pauses;
        match class {
            Class::Reads => reads,
            Class::Changes => changes,
            Class::Spends => spends,
        }
    }

    fn pause_mut(&mut self, class: Class) -> &mut Pause {
        let [reads, changes, spends] = &mut self.pauses;
        match class {
            Class::Reads => reads,
            Class::Changes => changes,
            Class::Spends => spends,
        }
    }

    /// How long a request may wait for its turn.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// How long a class is still in a pause; none if it is in none.
    pub fn paused_for(&self, now: Duration, class: Class) -> Option<Duration> {
        let pause = self.pause(class);
        pause.is_on(now).then(|| pause.until().saturating_sub(now))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.shares.waiting()
    }

    /// Requests a second; none while nothing limits them.
    pub fn per_second(&self) -> Option<f64> {
        let per_second = self.rate.per_second();
        per_second.map(|it| it * f64::from(self.haste))
    }

    /// The time that the rate is told.
    fn hasty(&self, now: Duration) -> Duration {
        now.saturating_mul(self.haste)
    }

    /// When the next request may leave, as far as the rate goes.
    fn rate_due(&self, now: Duration) -> Duration {
        (self.rate.due(self.hasty(now)) / self.haste).max(now)
    }

    /// What the breaker does.
    pub fn breaker(&self, now: Duration) -> breaker::State {
        self.breaker.state(now)
    }

    /// How long until the breaker lets something through; none if it does.
    pub fn cooling_down(&self, now: Duration) -> Option<Duration> {
        self.breaker.refuses(now)
    }

    /// What may be sent twice.
    pub fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// One comes, and would wait until then.
    pub fn enter(&mut self, now: Duration, who: &Who, class: Class, until: Duration) -> Entry {
        if let Some(retry_after) = self.breaker.refuses(now) {
            return Entry::Refused(Refusal::CoolingDown { retry_after });
        }
        let open = |it: Class| !self.pause(it).is_on(now);
        let goes_at_once = open(class)
            && self.rate_due(now) <= now
            && (self.shares.waiting() == 0 || !self.shares.has(&open));
        if goes_at_once {
            return match self.breaker.pass(now) {
                Ok(by_breaker) => {
                    if self.rate.per_second().is_some() {
                        self.shares.charge(who);
                    }
                    self.rate.take(self.hasty(now), false);
                    self.pause_mut(class).leaves(now);
                    Entry::Go(Pass {
                        class,
                        by_breaker,
                        at: now,
                    })
                }
                Err(retry_after) => Entry::Refused(Refusal::CoolingDown { retry_after }),
            };
        }
        let retry_after = self.turn_in(now, who, class);
        if now.saturating_add(retry_after) > until {
            return Entry::Refused(Refusal::TooLate { retry_after });
        }
        match self.shares.join(who, class, until) {
            Ok((id, leaves)) => Entry::Wait {
                id,
                instead_of: leaves.map(|it| (it, Refusal::TooLate { retry_after })),
            },
            Err(()) => Entry::Refused(Refusal::TooLate { retry_after }),
        }
    }

    /// How long it takes until one would have its turn that came now, as far as is known.
    pub fn turn_in(&self, now: Duration, who: &Who, class: Class) -> Duration {
        let paused = self.paused_for(now, class).unwrap_or_default();
        let from = now.saturating_add(paused);
        let position = self.shares.position(who);
        let queue = self.rate.time_for(self.hasty(from), position) / self.haste;
        paused.saturating_add(queue)
    }

    /// One waits no longer: it has gone, or its time is over. Then this is what it is told.
    pub fn leave(&mut self, now: Duration, id: u64, class: Class) -> Option<Refusal> {
        let who = self.shares.leave(id)?;
        let retry_after = self.turn_in(now, &who, class);
        Some(Refusal::TooLate { retry_after })
    }

    /// One that may leave did not.
    pub fn give_back(&mut self, pass: Pass) {
        self.breaker.gone(pass.by_breaker);
        self.rate.give_back();
    }

    /// How it went.
    pub fn ended(&mut self, now: Duration, pass: Pass, outcome: Outcome) {
        match outcome {
            Outcome::Gone if now < pass.at.saturating_add(PATIENCE) => {
                self.breaker.gone(pass.by_breaker);
            }
            Outcome::Gone | Outcome::Failed => {
                self.breaker.ended(now, pass.by_breaker, true);
            }
            Outcome::Answered => {
                self.rate.accepted(self.hasty(now));
                self.pause_mut(pass.class).accepted(now);
                self.breaker.ended(now, pass.by_breaker, false);
            }
            Outcome::Refused { retry_after } => {
                self.breaker.ended(now, pass.by_breaker, false);
                let until = self.pause_mut(pass.class).refused(now, retry_after);
                self.rate.refused(self.hasty(now), self.hasty(until));
                self.has_new_pause = true;
            }
        }
    }

    /// Whoever has its turn now, or will not have one.
    pub fn turns(&mut self, now: Duration) -> Vec<(u64, Result<Pass, Refusal>)> {
        let mut turns = Vec::new();
        if std::mem::take(&mut self.has_new_pause) {
            for class in Class::ALL {
                let until = self.pause(class).until();
                let retry_after = until.saturating_sub(now);
                let hopeless = self.shares.without_hope(class, until);
                let refusal = Refusal::TooLate { retry_after };
                turns.extend(hopeless.into_iter().map(|id| (id, Err(refusal))));
            }
        }
        loop {
            if self.shares.waiting() == 0 {
                return turns;
            }
            if let Some(retry_after) = self.breaker.refuses(now) {
                let refusal = Refusal::CoolingDown { retry_after };
                let all = self.shares.all().into_iter();
                turns.extend(all.map(|id| (id, Err(refusal))));
                return turns;
            }
            if self.rate_due(now) > now {
                return turns;
            }
            let paused = self.pauses.each_ref().map(|it| it.is_on(now));
            let open = |it: Class| paused.get(it.index()).is_some_and(|it| !it);
            let Some((id, class)) = self.shares.pick(&open) else {
                return turns;
            };
            match self.breaker.pass(now) {
                Ok(by_breaker) => {
                    self.rate.take(self.hasty(now), true);
                    self.pause_mut(class).leaves(now);
                    let pass = Pass {
                        class,
                        by_breaker,
                        at: now,
                    };
                    turns.push((id, Ok(pass)));
                }
                Err(retry_after) => turns.push((id, Err(Refusal::CoolingDown { retry_after }))),
            }
        }
    }

    /// When [`Self::turns`] has to be asked again, if nothing happens before; none while nobody waits.
    pub fn due(&self, now: Duration) -> Option<Duration> {
        let wanted = Class::ALL.into_iter().filter(|it| self.shares.wants(*it));
        let opens = wanted.map(|it| self.pause(it).until().max(now)).min()?;
        Some(self.rate_due(now).max(opens))
    }
}

#[cfg(test)]
mod tests;
