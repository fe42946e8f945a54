//! The life of a session, computed from the clock whenever somebody looks (Devin's API reference,
//! SessionResponse).
//!
//! new → claimed → running/working → running/finished → suspended/inactivity. A message begins a
//! new *wake*. `max_acu_limit` bounds each wake, not the whole life: that is what Devin's support
//! describes, and what makes capping hard.

use super::clock::{DAY, Moment, day_of};

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
}

/// What one wake may spend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) cap: Option<f64>,
    pub(super) organization: Option<f64>,
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
    allowance: Allowance,
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
    pub(super) cap: Option<f64>,
    pub(super) mode: Option<String>,
    pub(super) parent: Option<String>,
    pub(super) user: Option<String>,
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
    pub(super) tags: Vec<String>,
    pub(super) wishes: Wishes,
    pub(super) archived: bool,
    pub(super) analysed: bool,
    pace: Pace,
    wakes: Vec<Wake>,
    said: Vec<Said>,
    slept: Option<Moment>,
    ended: Option<Moment>,
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
            tags: Vec::new(),
            wishes,
            archived: false,
            analysed: false,
            pace,
            wakes: Vec::new(),
            said: Vec::new(),
            slept: None,
            ended: None,
        };
        session.wake(Begin::Created, allowance, now);
        session.say(prompt, now);
        session
    }

    fn wake(&mut self, begin: Begin, allowance: Allowance, now: Moment) {
        self.wakes.push(Wake {
            at: now,
            begin,
            until: None,
            allowance,
        });
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
    pub(super) fn message(&mut self, text: String, allowance: Allowance, now: Moment) -> bool {
        let begin = match self.state(now).status {
            "exit" => return false,
            "new" | "claimed" | "resuming" => None,
            "suspended" => Some(Begin::Resumed),
            _ => Some(Begin::Awake),
        };
        if let Some(begin) = begin {
            self.interrupt(now);
            self.slept = None;
            self.wake(begin, allowance, now);
        }
        self.say(text, now);
        true
    }

    /// Ends the session for good.
    pub(super) fn terminate(&mut self, now: Moment) {
        self.interrupt(now);
        self.ended.get_or_insert(now);
    }

    /// Puts the session to sleep and out of sight.
    pub(super) fn archive(&mut self, now: Moment) {
        self.interrupt(now);
        self.slept.get_or_insert(now);
        self.archived = true;
    }

    /// When a wake's work begins, how many seconds it can last, and what stops it then.
    fn plan(&self, wake: &Wake) -> (Moment, f64, End) {
        let delay = match wake.begin {
            Begin::Created => self.pace.start,
            Begin::Resumed => self.pace.resume,
            Begin::Awake => 0.0,
        };
        let mut plan = (self.pace.work, End::Finished);
        let limits = [
            (wake.allowance.cap, End::Capped),
            (wake.allowance.organization, End::OrganizationSpent),
        ];
        for (limit, end) in limits {
            let seconds = limit.map(|acus| acus / self.pace.acus_per_second);
            if let Some(seconds) = seconds.filter(|seconds| *seconds < plan.0) {
                plan = (seconds, end);
            }
        }
        (wake.at + delay, plan.0, plan.1)
    }

    /// Beginning of the work and seconds worked until now.
    fn worked(&self, wake: &Wake, now: Moment) -> (Moment, f64) {
        let (begin, lasts, _) = self.plan(wake);
        let stop = wake.until.map_or(now, |until| until.min(now));
        (begin, (stop - begin).clamp(0.0, lasts))
    }

    /// ACUs spent so far.
    pub(super) fn spent(&self, now: Moment) -> f64 {
        let seconds = self.wakes.iter().map(|wake| self.worked(wake, now).1);
        round(seconds.sum::<f64>() * self.pace.acus_per_second)
    }

    /// ACUs spent so far, by billing day.
    pub(super) fn spent_by_day(&self, now: Moment) -> Vec<(Moment, f64)> {
        let mut days = Vec::new();
        for wake in &self.wakes {
            let (mut begin, mut left) = self.worked(wake, now);
            while left > 0.0 {
                let day = day_of(begin);
                let here = (day + DAY - begin).min(left);
                days.push((day, here * self.pace.acus_per_second));
                begin = day + DAY;
                left -= here;
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
            return state("exit", None, ended);
        }
        if let Some(slept) = self.slept {
            return state("suspended", Some("user_request"), slept);
        }
        let Some(wake) = self.wakes.last() else {
            return state("new", None, self.created);
        };
        let (begin, lasts, end) = self.plan(wake);
        if now < begin {
            return match wake.begin {
                Begin::Created if now < wake.at + self.pace.claim => state("new", None, wake.at),
                Begin::Created => state("claimed", None, wake.at + self.pace.claim),
                Begin::Resumed | Begin::Awake => state("resuming", None, wake.at),
            };
        }
        let stop = begin + lasts;
        if now < stop {
            return state("running", Some("working"), begin);
        }
        match end {
            End::Capped => state("suspended", Some("usage_limit_exceeded"), stop),
            End::OrganizationSpent => state("suspended", Some("org_usage_limit_exceeded"), stop),
            End::Finished if now < stop + self.pace.idle => {
                state("running", Some("finished"), stop)
            }
            End::Finished => state("suspended", Some("inactivity"), stop + self.pace.idle),
        }
    }

    /// Whether the work of any wake has come to its end.
    pub(super) fn has_finished(&self, now: Moment) -> bool {
        self.wakes
            .iter()
            .any(|wake| self.finish(wake, now).is_some())
    }

    fn finish(&self, wake: &Wake, now: Moment) -> Option<Moment> {
        let (begin, lasts, end) = self.plan(wake);
        let stop = begin + lasts;
        let interrupted = wake.until.is_some_and(|until| until < stop);
        (end == End::Finished && !interrupted && stop <= now).then_some(stop)
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
            let (begin, _, _) = self.plan(wake);
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

/// Six decimals: enough for a bill, and free of what floating point adds.
pub(super) fn round(acus: f64) -> f64 {
    (acus * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(cap: Option<f64>, organization: Option<f64>) -> Session {
        let pace = Pace {
            claim: 2.0,
            start: 5.0,
            resume: 5.0,
            work: 600.0,
            idle: 60.0,
            acus_per_second: 0.01,
        };
        let allowance = Allowance { cap, organization };
        let wishes = Wishes::default();
        Session::new(
            "0".repeat(32),
            "org-a".into(),
            "go".into(),
            wishes,
            pace,
            allowance,
            0.0,
        )
    }

    fn status(session: &Session, now: Moment) -> (&'static str, Option<&'static str>) {
        let state = session.state(now);
        (state.status, state.detail)
    }

    #[test]
    fn walks_through_its_states() {
        let session = session(None, None);
        assert_eq!(status(&session, 1.0), ("new", None));
        assert_eq!(status(&session, 3.0), ("claimed", None));
        assert_eq!(status(&session, 5.0), ("running", Some("working")));
        assert_eq!(status(&session, 605.0), ("running", Some("finished")));
        assert_eq!(status(&session, 665.0), ("suspended", Some("inactivity")));
        assert_eq!(session.spent(305.0), 3.0);
        assert_eq!(session.spent(1e6), 6.0);
        assert_eq!(session.conversation(1e6).len(), 3);
    }

    #[test]
    fn the_cap_holds_for_each_wake_only() {
        let allowance = Allowance {
            cap: Some(2.0),
            organization: None,
        };
        let mut session = session(Some(2.0), None);
        assert_eq!(
            status(&session, 205.0),
            ("suspended", Some("usage_limit_exceeded"))
        );
        assert!(session.message("more".into(), allowance, 1_000.0));
        assert_eq!(status(&session, 1_001.0), ("resuming", None));
        assert_eq!(session.spent(1_105.0), 3.0);
        assert_eq!(session.spent(1e6), 4.0);
        session.terminate(2_000.0);
        assert!(!session.message("too late".into(), allowance, 2_001.0));
    }

    #[test]
    fn an_empty_organization_holds_a_session_at_once() {
        let session = session(Some(2.0), Some(0.0));
        assert_eq!(
            status(&session, 5.0),
            ("suspended", Some("org_usage_limit_exceeded"))
        );
        assert_eq!(session.spent(1e6), 0.0);
    }

    #[test]
    fn spending_is_split_at_the_billing_day() {
        let mut session = session(None, None);
        session.wakes[0].at = 28_800.0 - 105.0;
        let days = session.spent_by_day(1e6);
        assert_eq!(days.len(), 2);
        assert_eq!(round(days[0].1), 1.0);
        assert_eq!(round(days[1].1), 5.0);
    }
}
