//! How fast requests may leave for Devin: a rate that nobody publishes, learned from what Devin refuses. Pure.
//!
//! Until Devin's first 429 there is only the configured ceiling, if any. A 429 shows that what was accepted over the last
//! minute is all that there is. This is remembered; the rate drops a little below it, so that what Devin counts can
//! recover, returns within seconds to just below it and stays there. Only after a long while does it probe beyond, at
//! first hardly, then faster and faster: the shape of CUBIC (RFC 9438) with a plateau. Where the next refusal comes at the same
//! rate again, the plateaus grow longer, so that a limit that does not change is hardly ever touched.
//!
//! It is grown by use alone: a rate that nobody wants in full is not known to be had.

use std::time::Duration;

use super::recent::Recent;

/// Over how long it is looked at what Devin accepts, and how long after a refusal further ones are the same event.
pub const PERIOD: Duration = Duration::from_secs(60);
/// The lowest rate that is learned, in requests a second.
const LEAST: f64 = 0.05;
/// The lowest that is learned from one refusal alone: of a few requests in a minute, one that is refused says little about
/// a rate, and the pause is enough.
const FEW: f64 = 0.5;
/// For how long one refusal makes the next one more than that.
const RECENT: Duration = Duration::from_secs(600);
/// Beyond this, in requests a second, a rate is no limit any more, and is forgotten.
const MOST: f64 = 10_000.0;
/// What the rate drops to, as a part of the refused one.
const DROP: f64 = 0.9;
/// What it returns to.
const NEAR: f64 = 0.98;
/// How long the return takes.
const RETURN: Duration = Duration::from_secs(10);
/// Devin that still refuses so long after, though hardly anything was sent meanwhile, counts over a minute or so: then
/// what it had accepted is the limit, and there is nothing to look for.
const LONG: Duration = Duration::from_secs(12);
/// How late after a refusal what left before it may still be answered.
const EVEN_LATER: Duration = Duration::from_secs(1);
/// By what factor a refused rate may differ from the one before and still confirm it.
const SAME: f64 = 1.1;
/// By how much it is then taken for greater at most: so little that [`NEAR`] it is still below the one before.
const NEXT: f64 = 1.01;
/// What part of the pace at the refusal is taken for the limit, where Devin may count over seconds.
const PACED: f64 = 0.98;
/// By what factor it has to be greater for the limit to be looked for anew.
const FAR: f64 = 1.25;
/// How long the rate stays below what was refused: while the limit is not found yet, and after each refusal at the same
/// rate.
const PLATEAUS: [Duration; 4] = [
    Duration::from_secs(20),
    Duration::from_secs(600),
    Duration::from_secs(1_200),
    Duration::from_secs(1_800),
];
/// How long it then takes to grow by a tenth: of a rate that was refused once, and of one that was confirmed.
const RAMPS: [f64; 2] = [20.0, 180.0];
/// The growth after that long, as a part of the rate or, of small ones, of [`STEP`].
const GROWTH: f64 = 0.1;
/// In requests a second: a rate that is far too small must not take for ever to grow.
const STEP: f64 = 0.5;
/// The lowest rate that is kept at all.
const SLOWEST: f64 = 0.0001;
/// Of a minute's requests within a ceiling, the part that may leave at once. A learned rate has no burst: nobody knows
/// over how long a time Devin counts.
const BURST: f64 = 0.01;
/// How much earlier than evenly spaced anything may leave: timers are no more exact.
const EARLY: Duration = Duration::from_millis(5);
/// The most that may leave at once.
const MOST_AT_ONCE: f64 = 100.0;

/// A rate that was refused.
#[derive(Clone, Debug)]
struct Learned {
    /// What Devin accepted in a second when it refused more.
    refused: f64,
    /// How long the rate has been wanted in full since.
    grown: Duration,
    /// How often it was confirmed: 0 while the limit may be far above it.
    confirmed: usize,
    /// Whether Devin is known to count over a minute or so, and not over a second: then what it accepted in a minute is
    /// the limit, however fast it came at the end.
    is_counted: bool,
    /// When it was refused first.
    since: Duration,
    /// Until then, what is accepted had left before the refusal, and is part of what there was; only of a rate that was
    /// not known before.
    late_until: Duration,
    /// Whether anything has been accepted that left later.
    is_accepted: bool,
    /// Until then further refusals are the same event.
    until: Duration,
}

impl Learned {
    fn plateau(&self) -> Duration {
        let last = PLATEAUS.len().saturating_sub(1);
        let plateau = PLATEAUS.get(self.confirmed.min(last));
        plateau.copied().unwrap_or_default()
    }

    /// Whether it has gone beyond what was refused.
    fn is_probing(&self) -> bool {
        self.grown > RETURN.saturating_add(self.plateau())
    }

    /// Requests a second.
    fn per_second(&self) -> f64 {
        let near = self.refused * NEAR;
        let grown = self.grown.as_secs_f64();
        let back = RETURN.as_secs_f64();
        if grown < back {
            let left = 1.0 - grown / back;
            return near - self.refused * (NEAR - DROP) * left * left * left;
        }
        let beyond = (grown - back - self.plateau().as_secs_f64()).max(0.0);
        let ramp = if self.confirmed == 0 {
            RAMPS[0]
        } else {
            RAMPS[1]
        };
        let far = beyond / ramp;
        near + GROWTH * self.refused.max(STEP) * far * far * far
    }
}

/// The rate, and what has left within it.
#[derive(Clone, Debug)]
pub struct Rate {
    /// Requests a second that are never exceeded.
    ceiling: Option<f64>,
    learned: Option<Learned>,
    accepted: Recent,
    /// When the next one would be due if all had been evenly spaced (GCRA).
    spaced: Duration,
    /// When something left last: growth is counted from there.
    last: Duration,
}

impl Rate {
    /// With this ceiling, in requests a second.
    pub fn new(ceiling: Option<f64>) -> Self {
        Self {
            ceiling: ceiling.filter(|it| it.is_finite() && *it > 0.0),
            learned: None,
            accepted: Recent::of_seconds(60),
            spaced: Duration::ZERO,
            last: Duration::ZERO,
        }
    }

    /// Requests a second; none while nothing limits them.
    pub fn per_second(&self) -> Option<f64> {
        let learned = self.learned.as_ref().map(Learned::per_second);
        match (self.ceiling, learned) {
            (Some(ceiling), Some(learned)) => Some(ceiling.min(learned)),
            (one, other) => one.or(other),
        }
    }

    /// The time from one request to the next, and how much earlier than evenly spaced one may leave.
    fn spacing(&self) -> Option<(Duration, Duration)> {
        let per_second = self.per_second()?.clamp(SLOWEST, MOST);
        let spacing = Duration::try_from_secs_f64(1.0 / per_second).ok()?;
        let at_once = match self.learned {
            Some(_) => 0.0,
            None => (per_second * PERIOD.as_secs_f64() * BURST).floor(),
        };
        let early = spacing.mul_f64(at_once.clamp(0.0, MOST_AT_ONCE));
        Some((spacing, early.max(EARLY)))
    }

    /// When the next request may leave: now at the latest if it may at once.
    pub fn due(&self, now: Duration) -> Duration {
        match self.spacing() {
            Some((_, early)) => self.spaced.saturating_sub(early).max(now),
            None => now,
        }
    }

    /// How long so many requests take to leave from now on.
    pub fn time_for(&self, now: Duration, requests: u32) -> Duration {
        match self.spacing() {
            Some((spacing, _)) => {
                let first = self.due(now).saturating_sub(now);
                first.saturating_add(spacing.saturating_mul(requests.saturating_sub(1)))
            }
            None => Duration::ZERO,
        }
    }

    /// One leaves. `is_wanted`: others wait for the rate.
    pub fn take(&mut self, now: Duration, is_wanted: bool) {
        let Some((spacing, _)) = self.spacing() else {
            self.last = now;
            return;
        };
        if let Some(learned) = self.learned.as_mut().filter(|_| is_wanted) {
            // What was not wanted in between shows nothing.
            let most = Duration::from_secs(2).max(spacing.saturating_mul(2));
            let since = now.saturating_sub(self.last).min(most);
            learned.grown = learned.grown.saturating_add(since);
            if learned.per_second() > MOST {
                self.learned = None;
            }
        }
        self.last = now;
        self.spaced = self.spaced.max(now).saturating_add(spacing);
    }

    /// One that was to leave did not.
    pub fn give_back(&mut self) {
        if let Some((spacing, _)) = self.spacing() {
            self.spaced = self.spaced.saturating_sub(spacing);
        }
    }

    /// Devin has accepted one.
    pub fn accepted(&mut self, now: Duration) {
        self.accepted.add(now);
        if let Some(learned) = &mut self.learned {
            if now < learned.late_until {
                let sent = self.accepted.count(now) / PERIOD.as_secs_f64();
                learned.refused = learned.refused.max(sent);
            } else {
                learned.is_accepted |= now >= learned.since.saturating_add(EVEN_LATER);
            }
        }
    }

    /// Devin has refused one, and nothing of its kind leaves before `paused_until`.
    pub fn refused(&mut self, now: Duration, paused_until: Duration) {
        if let Some(same) = self.learned.as_mut().filter(|it| now < it.until) {
            // What Devin counts has not recovered yet.
            same.grown = Duration::ZERO;
            let is_long = now >= same.since.saturating_add(LONG);
            if is_long && !same.is_accepted && same.refused > FEW {
                same.is_counted = true;
                same.confirmed = same.confirmed.max(1);
            }
            self.last = paused_until.max(now);
            return;
        }
        let sent = self.accepted.count(now) / PERIOD.as_secs_f64();
        let refused = self.per_second().map_or(sent, |pace| pace.min(sent));
        let pace = self.per_second().unwrap_or(refused);
        let before = self.learned.take();
        let is_first = before.is_none() && self.ceiling.is_none();
        let is_alone = before
            .as_ref()
            .is_none_or(|it| it.refused >= FEW && now > it.until.saturating_add(RECENT));
        let refused = refused.max(if is_alone { FEW } else { LEAST });
        let (refused, confirmed, is_counted) = match before {
            // From here it has to look for what the limit is.
            None => (refused, 0, false),
            Some(it) if refused > it.refused * FAR => (refused, 0, false),
            Some(it) if it.confirmed == 0 && refused > it.refused * SAME => (refused, 0, false),
            Some(it) if it.confirmed > 0 && !it.is_probing() => (refused, 1, true),
            Some(it) => {
                let refused = match it.is_counted {
                    // Of two minutes of Devin's that were looked at, one was not full.
                    true => refused.min(it.refused * NEXT),
                    false if pace <= refused * FAR => refused.max(pace * PACED),
                    false => refused,
                };
                let is_same = refused <= it.refused * SAME && refused * SAME >= it.refused;
                let confirmed = it.confirmed.saturating_mul(usize::from(is_same));
                (refused, confirmed.saturating_add(1), it.is_counted)
            }
        };
        self.learned = Some(Learned {
            refused,
            grown: Duration::ZERO,
            confirmed: confirmed.min(PLATEAUS.len()),
            is_counted,
            since: now,
            late_until: if is_first { paused_until } else { now },
            is_accepted: false,
            until: paused_until.max(now).saturating_add(PERIOD),
        });
        let early = self.spacing().map_or(Duration::ZERO, |(_, early)| early);
        self.spaced = self.spaced.max(now.saturating_add(early));
        self.last = paused_until.max(now);
    }
}

#[cfg(test)]
mod tests;
