//! The life of a session, computed from the clock whenever somebody looks (Devin's API reference,
//! SessionResponse).
//!
//! new → claimed → running/working → running/finished → suspended/inactivity. A message begins a
//! new *wake*. `max_acu_limit` bounds each wake, not the whole life: that is what Devin's support
//! describes, and what makes capping hard.
//!
//! Spending is counted in whole thousandths of an ACU, so that whoever keeps accounts beside the
//! fake can be compared with it exactly.

use super::clock::{DAY, Moment, day_of};
use super::odd::Odd;

/// Thousandths of an ACU.
pub(super) type Milli = i64;

/// One ACU.
pub(super) const ACU: Milli = 1_000;

#[cfg(test)]
mod tests;

/// How fast sessions move on, in fake seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) claim: f64,
    pub(super) start: f64,
    pub(super) resume: f64,
    pub(super) work: f64,
    pub(super) idle: f64,
    pub(super) acus_per_second: f64,
}

impl Pace {
    /// `fast` works at twice the speed and four times the cost.
    pub(super) fn in_mode(mut self, mode: Option<&str>) -> Self {
        if mode == Some("fast") {
            self.work /= 2.0;
            self.acus_per_second *= 4.0;
        }
        self
    }

    /// What so many seconds of work cost, in thousandths that are whole.
    fn spends(&self, seconds: f64) -> Milli {
        // The clock's floats are a little off: a minute is 59.9999998 seconds, and means a minute.
        let milli = seconds * self.acus_per_second * ACU as f64 + 1e-3;
        milli.max(0.0).floor() as Milli
    }
}

/// What one wake may spend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// `max_acu_limit`, or the organization's limit for a session.
    pub(super) cap: Option<Milli>,
    /// What Devin lets the session use beyond its cap: nothing, unless a test wants it.
    pub(super) overrun: Milli,
    /// What the organization has left.
    pub(super) organization: Option<Milli>,
}

/// How a wake begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// A new session: queued, claimed, started.
    Created,
    /// A message to a sleeping session.
    Resumed,
    /// A message to a running session.
    Awake,
}

/// How a wake's work ends if nothing interrupts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Capped,
    OrganizationSpent,
}

/// A stretch of work.
#[derive(Debug)]
pub(super) struct Wake {
    pub(super) at: Moment,
    begin: Begin,
    until: Option<Moment>,
    pub(super) allowance: Allowance,
    /// Begun without a call of the API.
    pub(super) elsewhere: bool,
}

/// What a wake's work comes to if nothing interrupts it.
struct Plan {
    begin: Moment,
    /// Seconds.
    lasts: f64,
    most: Milli,
    end: End,
}

impl Plan {
    fn stop(&self) -> Moment {
        self.begin + self.lasts
    }
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct State {
    pub(super) status: &'static str,
    pub(super) detail: Option<&'static str>,
    pub(super) since: Moment,
}

/// One message of a conversation.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) id: String,
    pub(super) at: Moment,
    pub(super) source: &'static str,
    pub(super) text: String,
}

/// What the creator of a session asked for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) title: Option<String>,
    /// Whole ACUs.
    pub(super) cap: Option<i64>,
    pub(super) mode: Option<String>,
    pub(super) parent: Option<String>,
    pub(super) user: Option<String>,
    pub(super) service_user: Option<String>,
    pub(super) origin: String,
    /// Begun without a call of the API.
    pub(super) elsewhere: bool,
    pub(super) playbook: Option<String>,
    pub(super) category: Option<String>,
    pub(super) repos: Vec<String>,
    pub(super) attachments: Vec<String>,
    pub(super) structured: bool,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    /// 32 hex digits, without a prefix.
    pub(super) id: String,
    pub(super) org: String,
    pub(super) created: Moment,
    pub(super) touched: Moment,
    pub(super) wishes: Wishes,
    pub(super) archived: bool,
    pub(super) analysed: bool,
    pub(super) odd: Odd,
    tags: Vec<String>,
    pace: Pace,
    wakes: Vec<Wake>,
    said: Vec<Said>,
    slept: Option<Moment>,
    ended: Option<(Moment, &'static str)>,
}

impl Session {
    /// Begins a session.
    pub(super) fn new(
        id: String,
        org: String,
        prompt: String,
        wishes: Wishes,
        pace: Pace,
        allowance: Allowance,
        now: Moment,
    ) -> Self {
        let pace = pace.in_mode(wishes.mode.as_deref());
        let mut session = Self {
            id,
            org,
            created: now,
            touched: now,
            wishes,
            archived: false,
            analysed: false,
            odd: Odd::default(),
            tags: Vec::new(),
            pace,
            wakes: Vec::new(),
            said: Vec::new(),
            slept: None,
            ended: None,
        };
        let elsewhere = session.wishes.elsewhere;
        session.wake(Begin::Created, allowance, elsewhere, now);
        session.say(prompt, now);
        session
    }

    fn wake(&mut self, begin: Begin, allowance: Allowance, elsewhere: bool, now: Moment) {
        self.wakes.push(Wake {
            at: now,
            begin,
            until: None,
            allowance,
            elsewhere,
        });
    }

    /// Its tags.
    pub(super) fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Other tags. For the registry alone, which has an index of them.
    pub(super) fn retag(&mut self, tags: Vec<String>) {
        self.tags = tags;
    }

    fn say(&mut self, text: String, now: Moment) {
        self.touched = now;
        self.said.push(Said {
            id: format!("event-{}-u{}", self.id, self.said.len()),
            at: now,
            source: "user",
            text,
        });
    }

    /// Ends the running wake early.
    fn interrupt(&mut self, now: Moment) {
        self.touched = now;
        if let Some(wake) = self.wakes.last_mut() {
            wake.until.get_or_insert(now);
        }
    }

    /// A message: wakes the session and begins a new allowance. False when it has ended for good.
    pub(super) fn message(
        &mut self,
        text: String,
        allowance: Allowance,
        elsewhere: bool,
        now: Moment,
    ) -> bool {
        let begin = match self.state(now).status {
            "exit" | "error" => return false,
            "new" | "claimed" | "resuming" => None,
            "suspended" => Some(Begin::Resumed),
            _ => Some(Begin::Awake),
        };
        if let Some(begin) = begin {
            self.interrupt(now);
            self.slept = None;
            self.wake(begin, allowance, elsewhere, now);
        }
        self.say(text, now);
        true
    }

    /// Ends the session for good: `exit`, or `error`.
    pub(super) fn end(&mut self, how: &'static str, now: Moment) {
        self.interrupt(now);
        self.ended.get_or_insert((now, how));
    }

    /// Another cap for all wakes to come, and for the one at work as far as it has not passed it.
    pub(super) fn recap(&mut self, acus: i64, now: Moment) {
        self.wishes.cap = Some(acus);
        let working = self.state(now).detail == Some("working");
        let Some(spent) = self.wakes.last().map(|wake| self.spent_in(wake, now)) else {
            return;
        };
        if let Some(wake) = self.wakes.last_mut().filter(|_| working) {
            wake.allowance.cap = Some(acus.saturating_mul(ACU).max(spent));
        }
    }

    /// Puts the session to sleep and out of sight.
    pub(super) fn archive(&mut self, now: Moment) {
        self.interrupt(now);
        self.slept.get_or_insert(now);
        self.archived = true;
    }

    fn plan(&self, wake: &Wake) -> Plan {
        let delay = match wake.begin {
            Begin::Created => self.pace.start,
            Begin::Resumed => self.pace.resume,
            Begin::Awake => 0.0,
        };
        let mut plan = Plan {
            begin: wake.at + delay,
            lasts: self.pace.work,
            most: self.pace.spends(self.pace.work),
            end: End::Finished,
        };
        let allowance = &wake.allowance;
        let cap = allowance.cap;
        let limits = [
            (
                cap.map(|cap| cap.saturating_add(allowance.overrun)),
                End::Capped,
            ),
            (allowance.organization, End::OrganizationSpent),
        ];
        for (limit, end) in limits {
            if let Some(limit) = limit.filter(|limit| *limit < plan.most) {
                plan.lasts = limit as f64 / ACU as f64 / self.pace.acus_per_second;
                plan.most = limit;
                plan.end = end;
            }
        }
        plan
    }

    /// What a wake has spent until now.
    pub(super) fn spent_in(&self, wake: &Wake, now: Moment) -> Milli {
        let plan = self.plan(wake);
        let seconds = wake.until.map_or(now, |until| until.min(now)) - plan.begin;
        if seconds >= plan.lasts {
            plan.most
        } else {
            self.pace.spends(seconds).min(plan.most)
        }
    }

    /// Whose limits bound its wakes: its organization, and its own cap.
    pub(super) fn billed_to(&self) -> (String, Option<i64>) {
        (self.org.clone(), self.wishes.cap)
    }

    /// The wakes so far, the oldest first.
    pub(super) fn wakes(&self) -> &[Wake] {
        &self.wakes
    }

    /// Spent so far.
    pub(super) fn spent(&self, now: Moment) -> Milli {
        self.wakes.iter().map(|wake| self.spent_in(wake, now)).sum()
    }

    /// Spent so far, by billing day. The days of a wake add up to what it has spent.
    pub(super) fn spent_by_day(&self, now: Moment) -> Vec<(Moment, Milli)> {
        let mut days = Vec::new();
        for wake in &self.wakes {
            let total = self.spent_in(wake, now);
            let mut day = day_of(self.plan(wake).begin);
            let mut before = 0;
            while before < total {
                let until = self.spent_in(wake, (day + DAY).min(now));
                if until > before {
                    days.push((day, until - before));
                }
                (day, before) = (day + DAY, until);
            }
        }
        days
    }

    /// What the session is doing now.
    pub(super) fn state(&self, now: Moment) -> State {
        let state = |status, detail, since| State {
            status,
            detail,
            since,
        };
        if let Some(ended) = self.ended {
            let (at, how) = ended;
            return state(how, None, at);
        }
        if let Some(slept) = self.slept {
            return state("suspended", Some("user_request"), slept);
        }
        let Some(wake) = self.wakes.last() else {
            return state("new", None, self.created);
        };
        let plan = self.plan(wake);
        let (begin, stop) = (plan.begin, plan.stop());
        if now < begin {
            return match wake.begin {
                Begin::Created if now < wake.at + self.pace.claim => state("new", None, wake.at),
                Begin::Created => state("claimed", None, wake.at + self.pace.claim),
                Begin::Resumed | Begin::Awake => state("resuming", None, wake.at),
            };
        }
        if now < stop {
            return state("running", Some("working"), begin);
        }
        match plan.end {
            End::Capped => state("suspended", Some("usage_limit_exceeded"), stop),
            End::OrganizationSpent => state("suspended", Some("org_usage_limit_exceeded"), stop),
            End::Finished if now < stop + self.pace.idle => {
                state("running", Some("finished"), stop)
            }
            End::Finished => state("suspended", Some("inactivity"), stop + self.pace.idle),
        }
    }

    /// When anything last happened to it: somebody's doing, or a change of its state.
    pub(super) fn updated(&self, now: Moment) -> Moment {
        self.touched.max(self.state(now).since)
    }

    /// Whether the work of any wake has come to its end.
    pub(super) fn has_finished(&self, now: Moment) -> bool {
        self.wakes
            .iter()
            .any(|wake| self.finish(wake, now).is_some())
    }

    fn finish(&self, wake: &Wake, now: Moment) -> Option<Moment> {
        let plan = self.plan(wake);
        let stop = plan.stop();
        let interrupted = wake.until.is_some_and(|until| until < stop);
        (plan.end == End::Finished && !interrupted && stop <= now).then_some(stop)
    }

    /// The conversation so far: what the user said, and what Devin answered on starting and ending.
    pub(super) fn conversation(&self, now: Moment) -> Vec<Said> {
        let mut all = self.said.clone();
        for (number, wake) in self.wakes.iter().enumerate() {
            let mut answer = |at: Moment, part: char, text: &str| {
                all.push(Said {
                    id: format!("event-{}-d{number}{part}", self.id),
                    at,
                    source: "devin",
                    text: text.to_owned(),
                });
            };
            let begin = self.plan(wake).begin;
            if begin <= now && wake.until.is_none_or(|until| begin < until) {
                answer(begin, 'a', "I am on it.");
            }
            if let Some(stop) = self.finish(wake, now) {
                answer(stop, 'b', "I have finished the task.");
            }
        }
        all.sort_by(|one, other| one.at.total_cmp(&other.at));
        all
    }
}

/// As Devin writes it: a number of ACUs.
pub(super) fn acus(milli: Milli) -> f64 {
    milli as f64 / ACU as f64
}
