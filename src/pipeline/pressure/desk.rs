//! Where requests wait for their turn: carries out what [`crate::pressure`] decides.
//!
//! Whoever waits has a place. A task hands out the turns while somebody waits, and ends when nobody does; a place
//! that is dropped, since its client has left, is nobody's.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::metrics::{Metrics, OfPressure, Refused};
use crate::pressure::backoff::Backoff;
use crate::pressure::breaker;
use crate::pressure::{Class, Entry, Flow, Options, Outcome, Pass, Pressure, Refusal, Who};
use crate::rejection::Rejection;
use crate::trail::Trail;

use super::Seen;

/// How long the gateway's own requests wait for a turn: nobody waits for them.
const OWN_WAIT: Duration = Duration::from_secs(30);
/// What the limit is called that Devin sets.
const LIMIT: &str = "upstream";

/// One for each upstream.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// Told when a turn may have come.
    changed: Notify,
    /// Where its time begins.
    began: Instant,
    limit: Arc<str>,
    pub(super) clock: Arc<dyn Clock>,
    /// The time for a request, all its attempts together.
    pub(super) total: Duration,
    metrics: OfPressure,
}

#[derive(Debug)]
struct State {
    pressure: Pressure,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Pass, Refusal>>>,
    backoff: Backoff,
    /// Whether the task runs that hands out turns.
    is_driven: bool,
    /// What operators were shown of the breaker last.
    shown: Option<breaker::State>,
}

impl Desk {
    pub(super) fn new(
        options: &Options,
        metrics: &Metrics,
        clock: Arc<dyn Clock>,
        total: Duration,
    ) -> Self {
        // Of ids, the last bits are those that differ.
        let [.., a, b, c, d, e, f, g, h] = clock.id().into_bytes();
        Self {
            state: Mutex::new(State {
                pressure: Pressure::new(options),
                waiting: BTreeMap::new(),
                backoff: Backoff::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
                is_driven: false,
                shown: None,
            }),
            changed: Notify::new(),
            began: Instant::now(),
            limit: Arc::from(LIMIT),
            clock,
            total,
            metrics: metrics.pressure().clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn at(&self, at: Duration) -> Instant {
        self.began + at
    }

    /// What operators see.
    fn show(&self, state: &mut State, now: Duration) {
        let pressure = &state.pressure;
        self.metrics.show(pressure.waiting(), pressure.per_second());
        let breaker = pressure.breaker(now);
        if state.shown.replace(breaker) != Some(breaker) {
            self.metrics.show_breaker(breaker);
        }
    }

    /// How it stands now.
    pub(super) fn seen(&self) -> Seen {
        let state = self.lock();
        let now = self.now();
        let paused = Class::ALL.into_iter().filter_map(|class| {
            let left = state.pressure.paused_for(now, class)?;
            Some((class.as_str(), left))
        });
        Seen {
            waiting: state.pressure.waiting(),
            per_second: state.pressure.per_second(),
            breaker: state.pressure.breaker(now).as_str(),
            paused: paused.collect(),
        }
    }

    /// Refuses what would be refused anyway, before anything is held for it.
    pub(super) fn foresee(&self, trail: &Trail, class: Class) -> Result<(), Rejection> {
        let refusal = {
            let state = self.lock();
            let now = self.now();
            let paused = state.pressure.paused_for(now, class);
            let paused = paused.filter(|it| *it > state.pressure.wait());
            match (state.pressure.cooling_down(now), paused) {
                (Some(retry_after), _) => Refusal::CoolingDown { retry_after },
                (None, Some(retry_after)) => Refusal::TooLate { retry_after },
                (None, None) => return Ok(()),
            }
        };
        Err(self.refused(trail, refusal))
    }

    /// Waits for a turn, no longer than until then.
    pub(super) async fn enter(
        self: &Arc<Self>,
        trail: &Trail,
        class: Class,
        until: Instant,
    ) -> Result<Ticket, Rejection> {
        let who = who(trail);
        let until = until.saturating_duration_since(self.began);
        let mut place = {
            let mut state = self.lock();
            let now = self.now();
            let (id, instead_of) = match state.pressure.enter(now, &who, class, until) {
                Entry::Go(pass) => return Ok(Ticket::new(self, pass)),
                Entry::Refused(refusal) => return Err(self.refused(trail, refusal)),
                Entry::Wait { id, instead_of } => (id, instead_of),
            };
            if let Some((other, refusal)) = instead_of
                && let Some(other) = state.waiting.remove(&other)
            {
                let _ = other.send(Err(refusal));
            }
            let (sender, turn) = oneshot::channel();
            state.waiting.insert(id, sender);
            if !std::mem::replace(&mut state.is_driven, true) {
                tokio::spawn(Arc::clone(self).drive());
            }
            self.show(&mut state, now);
            Place {
                desk: Arc::clone(self),
                id,
                turn,
            }
        };
        self.changed.notify_one();
        let since = Instant::now();
        let turn = tokio::select! {
            biased;
            turn = &mut place.turn => turn.ok(),
            () = sleep_until(self.at(until)) => None,
        };
        let waited = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        trail.queued.fetch_add(waited, Ordering::Relaxed);
        match turn {
            Some(Ok(pass)) => Ok(Ticket::new(self, pass)),
            Some(Err(refusal)) => Err(self.refused(trail, refusal)),
            None => self.give_up(trail, class, &mut place),
        }
    }

    /// The time of one that waits is over; unless its turn has come just now.
    fn give_up(
        self: &Arc<Self>,
        trail: &Trail,
        class: Class,
        place: &mut Place,
    ) -> Result<Ticket, Rejection> {
        let told = {
            let mut state = self.lock();
            state.waiting.remove(&place.id);
            state.pressure.leave(self.now(), place.id, class)
        };
        match (told, place.turn.try_recv()) {
            (None, Ok(Ok(pass))) => Ok(Ticket::new(self, pass)),
            (None, Ok(Err(refusal))) | (Some(refusal), _) => Err(self.refused(trail, refusal)),
            (None, Err(_)) => Err(Rejection::Internal),
        }
    }

    fn refused(&self, trail: &Trail, refusal: Refusal) -> Rejection {
        match refusal {
            Refusal::TooLate { retry_after } => {
                let _ = trail.limit.set(Arc::clone(&self.limit));
                self.metrics.refused(Refused::TooLate);
                Rejection::RateLimited {
                    limit: Arc::clone(&self.limit),
                    retry_after,
                }
            }
            Refusal::CoolingDown { retry_after } => {
                self.metrics.refused(Refused::CoolingDown);
                Rejection::UpstreamCoolingDown { retry_after }
            }
        }
    }

    /// Hands out turns while somebody waits.
    async fn drive(self: Arc<Self>) {
        loop {
            let due = {
                let mut state = self.lock();
                let now = self.now();
                let turns = state.pressure.turns(now);
                for (id, turn) in turns {
                    let sender = state.waiting.remove(&id);
                    let unsent = match sender {
                        Some(sender) => sender.send(turn).err(),
                        None => Some(turn),
                    };
                    if let Some(Ok(pass)) = unsent {
                        state.pressure.give_back(pass);
                    }
                }
                self.show(&mut state, now);
                let Some(due) = state.pressure.due(now) else {
                    state.is_driven = false;
                    return;
                };
                self.at(due)
            };
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = sleep_until(due) => {}
            }
        }
    }

    /// How long a caller's request may wait for its turn.
    pub(super) fn wait(&self) -> Duration {
        self.lock().pressure.wait()
    }

    /// Counts a request. Tells whether it could be sent twice now, and how long it may wait for its turn.
    pub(super) fn begin(&self, trail: &Trail) -> (bool, Duration) {
        let mut state = self.lock();
        state.pressure.budget().request();
        let wait = match trail.caller.get() {
            Some(_) => state.pressure.wait(),
            None => OWN_WAIT,
        };
        (state.pressure.budget().has_room(), wait)
    }

    /// Pays for sending a request again. Tells how long to wait before, if it can be paid.
    pub(super) fn retry(&self, repetition: u32) -> Option<Duration> {
        let mut state = self.lock();
        let is_paid = state.pressure.budget().retry();
        is_paid.then(|| state.backoff.before(repetition))
    }

    /// What was paid for was not sent.
    pub(super) fn no_retry(&self) {
        self.lock().pressure.budget().give_back();
    }

    /// A request is sent again.
    pub(super) fn sent_again(&self) {
        self.metrics.retried();
    }

    /// How long a class is in a pause.
    pub(super) fn paused_for(&self, class: Class) -> Option<Duration> {
        let state = self.lock();
        state.pressure.paused_for(self.now(), class)
    }
}

/// Whoever has no caller is the gateway itself.
fn who(trail: &Trail) -> Who {
    match trail.caller.get() {
        Some(known) => Who {
            flow: Flow::Team(Arc::clone(&known.team)),
            caller: Arc::clone(&known.name),
        },
        None => Who::own(),
    }
}

/// A place in the queue.
struct Place {
    desk: Arc<Desk>,
    id: u64,
    turn: oneshot::Receiver<Result<Pass, Refusal>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turn.close();
        let turn = self.turn.try_recv();
        let mut state = self.desk.lock();
        let now = self.desk.now();
        if let Ok(Ok(pass)) = turn {
            state.pressure.give_back(pass);
        } else if state.waiting.remove(&self.id).is_some() {
            state.pressure.leave(now, self.id, Class::Reads);
        }
        self.desk.show(&mut state, now);
        drop(state);
        self.desk.changed.notify_one();
    }
}

/// A turn. One that is dropped before the request has left is given back.
#[derive(Debug)]
pub(super) struct Ticket {
    desk: Arc<Desk>,
    pass: Option<Pass>,
    has_left: bool,
}

impl Ticket {
    fn new(desk: &Arc<Desk>, pass: Pass) -> Self {
        Self {
            desk: Arc::clone(desk),
            pass: Some(pass),
            has_left: false,
        }
    }

    /// The request leaves now.
    pub(super) fn leaves(&mut self) {
        self.has_left = true;
    }

    /// It has ended so.
    pub(super) fn ended(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(pass) = self.pass.take() else {
            return;
        };
        let mut state = self.desk.lock();
        let now = self.desk.now();
        if self.has_left {
            state.pressure.ended(now, pass, outcome);
        } else {
            state.pressure.give_back(pass);
        }
        self.desk.show(&mut state, now);
        let is_driven = state.is_driven;
        drop(state);
        if is_driven {
            self.desk.changed.notify_one();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(Outcome::Gone);
    }
}
