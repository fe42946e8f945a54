//! When a connection is waited for no longer: pure, and told the time.
//!
//! One state for each connection. The socket tells it what is read and written, each request when it begins, when it
//! gives a piece of its answer and when it is asked for the next; the connection's task asks it what is due. No timer
//! is armed by any of these: the task looks again before anything new could be due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use http::Version;
use tokio::time::Instant;

use super::taken_back::TakenBack;
use crate::capacity::Times;

/// Written at once, this much is more than a control frame: HTTP/2's own pings tell nothing of who reads. Nor do its
/// answers to a client's control frames, of which none has more than twice as many bytes as what it answers.
const MORE_THAN_A_FRAME: usize = 1_024;
/// How long a connection that is idle may take to say good-bye.
const LEAVING: Duration = Duration::from_secs(2);
/// The most bytes that an HTTP/2 connection may say with which nothing gets on: neither begins a request, nor comes a
/// piece of a body, nor goes a piece of an answer. Four times what the windows let come of bodies that wait to be read.
/// h2 bounds what such frames (`PING`, `SETTINGS`, `WINDOW_UPDATE`, `PRIORITY`, unknown ones, heads that it refuses) take
/// in memory, and not how many there are.
const MAX_IDLE_TALK: usize = 4 * 1024 * 1024;

/// How long a connection without a request is kept when the process is told to stop: a request that is on its way then
/// is served, with the word that it is the last one. Without that, HTTP/1 has no way to close an idle connection of which
/// its client is sure not to have used it at the same moment.
const LINGER: Duration = Duration::from_secs(1);

/// Why a connection is waited for no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A head that does not come to its end.
    Head {
        /// Whether any of it has come.
        begun: bool,
    },
    /// No request for a while: it is told to end.
    Idle,
    /// It was told so, and has not ended.
    Gone,
    /// Its client takes nothing of what is written.
    Write,
}

/// What is next of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// To look again then.
    At(Instant),
    /// To end it.
    Over(Over),
}

/// What is known of one connection; clones are the same.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    times: Times,
    /// Whether it speaks HTTP/2; then what is read is no sign of a head.
    is_two: bool,
    /// Whether anything was read since the last request ended.
    has_read: bool,
    requests: usize,
    /// Since when there is no request.
    since: Instant,
    /// Since when a head is waited for.
    head: Option<Instant>,
    /// Since when requests wait for their clients to take what they gave, by the request's number.
    given: BTreeMap<u64, Instant>,
    numbered: u64,
    /// When something was last taken.
    written: Instant,
    /// Since when the socket takes nothing.
    blocked: Option<Instant>,
    /// Whether what was taken waits in TLS for its client.
    is_unflushed: bool,
    leaving: Option<Instant>,
    /// Since when the process is told to stop.
    stopping: Option<Instant>,
    is_late: bool,
    /// What was read of HTTP/2 since anything last got on, in bytes.
    idle_talk: usize,
    /// What was read of HTTP/2 and could still be answered by control frames, in bytes.
    heard: usize,
    taken_back: TakenBack,
    /// How long the last request's body is.
    body: Option<u64>,
    /// Who waits to be told so.
    waits: Option<Waker>,
}

impl Pulse {
    /// Of a connection that was accepted `now`.
    pub fn new(times: Times, now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            times,
            is_two: false,
            has_read: false,
            requests: 0,
            since: now,
            head: Some(now),
            given: BTreeMap::new(),
            numbered: 0,
            written: now,
            blocked: None,
            is_unflushed: false,
            leaving: None,
            stopping: None,
            is_late: false,
            idle_talk: 0,
            heard: 0,
            taken_back: TakenBack::new(now),
            body: None,
            waits: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The times.
    pub fn times(&self) -> Times {
        self.state().times
    }

    /// So many bytes came.
    pub fn read(&self, bytes: usize, now: Instant) {
        let mut state = self.state();
        state.has_read = true;
        if state.is_two {
            state.idle_talk = state.idle_talk.saturating_add(bytes);
            state.heard = state.heard.saturating_add(bytes);
        }
        if state.requests == 0 && !state.is_two {
            state.head.get_or_insert(now);
        }
    }

    /// A piece of a request's body came.
    pub fn came(&self) {
        self.state().idle_talk = 0;
    }

    /// What of HTTP/2 it does too much of to be served on: it is cut.
    pub fn abuse(&self) -> Option<&'static str> {
        let state = self.state();
        if !state.is_two {
            None
        } else if state.idle_talk > MAX_IDLE_TALK {
            Some("too many frames with which nothing gets on")
        } else if state.taken_back.is_too_much() {
            Some("too many requests that were taken back")
        } else {
            None
        }
    }

    /// It begins with HTTP/2's preface.
    pub fn speaks_two(&self) {
        self.state().is_two = true;
    }

    /// So many bytes were taken.
    pub fn wrote(&self, bytes: usize, now: Instant) {
        let mut state = self.state();
        state.blocked = None;
        let replies = state.heard.saturating_mul(2);
        if !state.is_two || bytes >= MORE_THAN_A_FRAME.saturating_add(replies) {
            state.written = now;
        }
        state.heard = state.heard.saturating_sub(bytes / 2);
    }

    /// Nothing was taken.
    pub fn is_blocked(&self, now: Instant) {
        self.state().blocked.get_or_insert(now);
    }

    /// Whether what was taken is on its way, all of it.
    pub fn flushed(&self, all: bool) {
        self.state().is_unflushed = !all;
    }

    /// Of HTTP/1, how long the body of the last request is, if that many have begun; the inner one is none where that is
    /// not known. Otherwise this is woken with the next one.
    pub fn body_of(&self, requests: u64, waker: &Waker) -> Option<Option<u64>> {
        let mut state = self.state();
        if state.numbered >= requests {
            return Some(state.body);
        }
        state.waits = Some(waker.clone());
        None
    }

    /// A request begins, with a body of this length if that is known.
    pub fn request(&self, version: Version, body: Option<u64>) -> Beat {
        let mut state = self.state();
        state.body = body;
        if let Some(waker) = state.waits.take() {
            waker.wake();
        }
        state.is_two = version >= Version::HTTP_2;
        state.requests += 1;
        state.head = None;
        state.numbered += 1;
        state.idle_talk = 0;
        Beat {
            number: state.numbered,
            is_answered: false,
            pulse: self.clone(),
        }
    }

    /// The process is told to stop: the next answer is the last one.
    pub fn stops(&self, now: Instant) {
        self.state().stopping.get_or_insert(now);
    }

    /// Whether it is.
    pub fn is_stopping(&self) -> bool {
        self.state().stopping.is_some()
    }

    /// Whether it speaks HTTP/2, as far as is known.
    pub fn is_two(&self) -> bool {
        self.state().is_two
    }

    /// It was told to end.
    pub fn leaves(&self, now: Instant) {
        self.state().leaving.get_or_insert(now);
    }

    /// Its head has not come in time: what is read is its end.
    pub fn late(&self) {
        self.state().is_late = true;
    }

    /// Whether it is; and if so, whether to say it in HTTP/1.
    pub fn is_late(&self) -> Option<bool> {
        let state = self.state();
        // Behind the end of another answer that waits, it could come into that one's midst.
        let says_so = state.has_read && !state.is_two && state.blocked.is_none();
        state.is_late.then_some(says_so)
    }

    /// What is next.
    pub fn next(&self, now: Instant) -> Next {
        let state = self.state();
        let times = &state.times;
        // What begins later is not due before that.
        let mut next = now + times.head.min(times.write).min(times.idle);
        if state.stopping.is_some() {
            next = next.min(now + LINGER);
        }
        let mut due = |since: Instant, time: Duration, over: Over| {
            let at = since + time;
            next = next.min(at);
            (at <= now).then_some(Next::Over(over))
        };
        let mut over = state
            .blocked
            .and_then(|since| due(since, times.write, Over::Write));
        if state.requests > 0 {
            // One that takes what is written of HTTP/1 takes it of its only answer.
            let taken = |since: Instant| match state.is_two {
                true => since,
                false => since.max(state.written),
            };
            let oldest = state.given.values().min().copied();
            over = over.or(oldest.and_then(|it| due(taken(it), times.write, Over::Write)));
        } else if state.stopping.is_some() && (state.blocked.is_some() || state.is_unflushed) {
            // The end of an answer waits here for its client to take it: that has the drain, as the answer had.
        } else if let Some(since) = state.leaving {
            over = over.or(due(since.max(state.since), LEAVING, Over::Gone));
        } else if let (Some(stopping), false) = (state.stopping, state.has_read) {
            over = over.or(due(stopping.max(state.since), LINGER, Over::Idle));
        } else if let Some(since) = state.head {
            let begun = state.has_read;
            over = over.or(due(since, times.head, Over::Head { begun }));
        } else {
            let since = state.since.max(state.written);
            over = over.or(due(since, times.idle, Over::Idle));
        }
        over.unwrap_or(Next::At(next))
    }
}

/// One request of a connection, from its head until its answer was given.
#[derive(Debug)]
pub struct Beat {
    number: u64,
    is_answered: bool,
    pulse: Pulse,
}

impl Beat {
    /// Its answer begins.
    pub fn answered(&mut self) {
        self.is_answered = true;
    }

    /// It gave a piece of its answer.
    pub fn gave(&self, now: Instant) {
        let mut state = self.pulse.state();
        state.given.insert(self.number, now);
        state.idle_talk = 0;
    }

    /// That was taken: it is asked for the next.
    pub fn asked(&self) {
        self.pulse.state().given.remove(&self.number);
    }

    /// The times of its connection.
    pub fn times(&self) -> Times {
        self.pulse.times()
    }

    /// Whether it is the last one of its connection.
    pub fn is_last(&self) -> bool {
        self.pulse.is_stopping()
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.pulse.state();
        state.given.remove(&self.number);
        state.requests = state.requests.saturating_sub(1);
        state.taken_back.ends(self.is_answered, now);
        if state.requests == 0 {
            state.since = now;
            state.has_read = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What it ends of, and when, if nothing happens any more.
    fn end(pulse: &Pulse, from: Instant) -> (Over, u64) {
        let mut now = from;
        for _ in 0..1_000 {
            match pulse.next(now) {
                Next::At(at) => {
                    assert!(at > now, "it is looked at again at once");
                    now = at;
                }
                Next::Over(over) => return (over, (now - from).as_secs()),
            }
        }
        panic!("it never ends");
    }

    #[tokio::test(start_paused = true)]
    async fn r1_a_head_has_its_time_from_its_first_byte() {
        let start = Instant::now();
        let pulse = Pulse::new(Times::default(), start);
        assert_eq!(end(&pulse, start), (Over::Head { begun: false }, 10));
        pulse.read(1, start + 9 * SECOND);
        assert_eq!(end(&pulse, start), (Over::Head { begun: true }, 10));
        drop(pulse.request(Version::HTTP_11, None));
        assert_eq!(end(&pulse, start), (Over::Idle, 75));
        pulse.read(1, start + 70 * SECOND);
        pulse.read(1, start + 75 * SECOND);
        assert_eq!(end(&pulse, start), (Over::Head { begun: true }, 80));
        assert_eq!(pulse.is_late(), None);
        pulse.late();
        assert_eq!(pulse.is_late(), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a11_who_was_told_to_stop_lingers_for_a_request_on_its_way() {
        let start = Instant::now();
        let new = Pulse::new(Times::default(), start);
        let used = Pulse::new(Times::default(), start);
        drop(used.request(Version::HTTP_11, Some(0)));
        let busy = Pulse::new(Times::default(), start);
        let request = busy.request(Version::HTTP_11, Some(0));
        let begun = Pulse::new(Times::default(), start);
        begun.read(1, start);
        for pulse in [&new, &used, &busy, &begun] {
            assert!(!pulse.is_stopping());
            pulse.stops(start + 5 * SECOND);
        }
        assert_eq!(end(&new, start), (Over::Idle, 6));
        assert_eq!(end(&used, start), (Over::Idle, 6));
        assert_eq!(end(&begun, start), (Over::Head { begun: true }, 10));
        assert!(request.is_last());
        let Next::At(_) = busy.next(start + 500 * SECOND) else {
            panic!("a request that is in flight has the drain");
        };
    }

    #[tokio::test(start_paused = true)]
    async fn a11_who_still_takes_the_end_of_an_answer_is_not_idle_while_the_process_stops() {
        let start = Instant::now();
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let pulse = Pulse::new(Times::default(), start);
            drop(pulse.request(version, Some(0)));
            pulse.is_blocked(start);
            pulse.stops(start);
            assert_eq!(end(&pulse, start), (Over::Write, 60));
            pulse.wrote(1, start + 50 * SECOND);
            pulse.is_blocked(start + 50 * SECOND);
            assert_eq!(end(&pulse, start), (Over::Write, 110));
            // It has all of it but what stands in TLS, and then that.
            pulse.wrote(1, start + 100 * SECOND);
            pulse.flushed(false);
            let Next::At(_) = pulse.next(start + 200 * SECOND) else {
                panic!("what it was given is waited for as long as the drain is");
            };
            pulse.flushed(true);
            assert_eq!(end(&pulse, start), (Over::Idle, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_told_to_be_late_in_the_midst_of_an_answer() {
        let start = Instant::now();
        let pulse = Pulse::new(Times::default(), start);
        drop(pulse.request(Version::HTTP_11, Some(0)));
        pulse.read(1, start);
        pulse.is_blocked(start);
        pulse.late();
        assert_eq!(pulse.is_late(), Some(false));
        pulse.wrote(1, start);
        assert_eq!(pulse.is_late(), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn of_http_2_neither_pings_nor_their_answers_are_a_sign_of_life() {
        let start = Instant::now();
        let pulse = Pulse::new(Times::default(), start);
        drop(pulse.request(Version::HTTP_2, None));
        pulse.read(17, start + 30 * SECOND);
        pulse.wrote(17, start + 60 * SECOND);
        // A hundred pings at once, and what answers them in two writes.
        pulse.read(1_700, start + 60 * SECOND);
        pulse.wrote(1_200, start + 60 * SECOND);
        pulse.wrote(500, start + 61 * SECOND);
        assert_eq!(end(&pulse, start), (Over::Idle, 75));
        pulse.leaves(start + 75 * SECOND);
        assert_eq!(end(&pulse, start), (Over::Gone, 77));
        let request = pulse.request(Version::HTTP_2, None);
        let Next::At(_) = pulse.next(start + 80 * SECOND) else {
            panic!("a request that came meanwhile is served");
        };
        drop(request);
    }

    #[tokio::test(start_paused = true)]
    async fn r2_who_takes_something_is_waited_for_and_who_takes_nothing_is_not() {
        let start = Instant::now();
        let pulse = Pulse::new(Times::default(), start);
        let request = pulse.request(Version::HTTP_11, None);
        request.gave(start);
        assert_eq!(end(&pulse, start), (Over::Write, 60));
        pulse.wrote(1, start + 59 * SECOND);
        assert_eq!(end(&pulse, start), (Over::Write, 119));
        request.asked();
        pulse.is_blocked(start + 60 * SECOND);
        drop(request);
        assert_eq!(end(&pulse, start), (Over::Write, 120));
        pulse.wrote(1, start + 70 * SECOND);
        pulse.is_blocked(start + 71 * SECOND);
        assert_eq!(end(&pulse, start), (Over::Write, 131));
        // A window of HTTP/2 that stays shut, whatever its other streams take.
        let pulse = Pulse::new(Times::default(), start);
        let stuck = pulse.request(Version::HTTP_2, None);
        let other = pulse.request(Version::HTTP_2, None);
        stuck.gave(start);
        pulse.wrote(100_000, start + 59 * SECOND);
        other.gave(start + 59 * SECOND);
        assert_eq!(end(&pulse, start), (Over::Write, 60));
        drop(stuck);
        other.asked();
        let Next::At(_) = pulse.next(start + 500 * SECOND) else {
            panic!("a request that waits for Devin is waited for");
        };
    }

    #[tokio::test(start_paused = true)]
    async fn r3_who_only_talks_is_cut_and_who_gets_on_is_not() {
        let start = Instant::now();
        let pulse = Pulse::new(Times::default(), start);
        pulse.read(MAX_IDLE_TALK + 1, start);
        assert_eq!(
            pulse.abuse(),
            None,
            "of HTTP/1 the parser has its own bounds"
        );
        pulse.speaks_two();
        pulse.read(MAX_IDLE_TALK, start);
        assert_eq!(pulse.abuse(), None);
        for gets_on in [0, 1, 2] {
            match gets_on {
                0 => drop(pulse.request(Version::HTTP_2, None)),
                1 => pulse.came(),
                _ => pulse.request(Version::HTTP_2, None).gave(start),
            }
            pulse.read(MAX_IDLE_TALK, start);
            assert_eq!(pulse.abuse(), None);
        }
        pulse.read(1, start);
        assert!(pulse.abuse().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn r3_who_takes_most_requests_back_is_cut_after_many() {
        let pulse = Pulse::new(Times::default(), Instant::now());
        for _ in 0..=500 {
            assert_eq!(pulse.abuse(), None);
            drop(pulse.request(Version::HTTP_2, None));
        }
        assert!(pulse.abuse().is_some());
    }
}
