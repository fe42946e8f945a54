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
const LEAST: f64 = 0.1;
/// Beyond this, in requests a second, a rate is no limit any more, and is forgotten.
const MOST: f64 = 10_000.0;
/// What the rate drops to, as a part of the refused one.
const DROP: f64 = 0.9;
/// What it returns to.
const NEAR: f64 = 0.98;
/// How long the return takes.
const RETURN: Duration = Duration::from_secs(10);
/// By what factor a refused rate may differ from the one before and still confirm it.
const SAME: f64 = 1.1;
/// By how much it is then taken for greater at most: so little that [`NEAR`] it is still below the one before.
const NEXT: f64 = 1.01;
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
/// Of a minute's requests, the part that may leave at once. With [`NEAR`], still less than what was refused.
const BURST: f64 = 0.01;
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
    /// Until then further refusals are the same event.
    until: Duration,
}

impl Learned {
    /// Requests a second.
    fn per_second(&self) -> f64 {
        let near = self.refused * NEAR;
        let grown = self.grown.as_secs_f64();
        let back = RETURN.as_secs_f64();
        if grown < back {
            let left = 1.0 - grown / back;
            return near - self.refused * (NEAR - DROP) * left * left * left;
        }
        let last = PLATEAUS.len().saturating_sub(1);
        let plateau = PLATEAUS.get(self.confirmed.min(last));
        let plateau = plateau.copied().unwrap_or_default().as_secs_f64();
        let beyond = (grown - back - plateau).max(0.0);
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
        let per_second = self.per_second()?.clamp(LEAST / 10.0, MOST);
        let at_once = (per_second * PERIOD.as_secs_f64() * BURST).floor();
        let spacing = Duration::try_from_secs_f64(1.0 / per_second).ok()?;
        Some((spacing, spacing.mul_f64(at_once.clamp(0.0, MOST_AT_ONCE))))
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
    }

    /// Devin has refused one, and nothing of its kind leaves before `paused_until`.
    pub fn refused(&mut self, now: Duration, paused_until: Duration) {
        if let Some(same) = self.learned.as_mut().filter(|it| now < it.until) {
            // What Devin counts has not recovered yet.
            same.grown = Duration::ZERO;
            self.last = paused_until.max(now);
            return;
        }
        let sent = self.accepted.count(now) / PERIOD.as_secs_f64();
        let refused = self.per_second().map_or(sent, |pace| pace.min(sent));
        let refused = refused.max(LEAST);
        let before = self.learned.take();
        let (refused, confirmed) = match before {
            // From here it has to look for what the limit is.
            None => (refused, 0),
            Some(it) if refused > it.refused * FAR => (refused, 0),
            Some(it) if it.confirmed == 0 && refused > it.refused * SAME => (refused, 0),
            // Devin may count in minutes of its own, and of two of them that were looked at one was not full.
            Some(it) if refused <= it.refused * SAME && refused * SAME >= it.refused => (
                refused.min(it.refused * NEXT),
                it.confirmed.saturating_add(1),
            ),
            // It was above, or the limit has moved: what is accepted now is what there is.
            Some(_) => (refused, 1),
        };
        self.learned = Some(Learned {
            refused,
            grown: Duration::ZERO,
            confirmed: confirmed.min(PLATEAUS.len()),
            until: paused_until.max(now).saturating_add(PERIOD),
        });
        let early = self.spacing().map_or(Duration::ZERO, |(_, early)| early);
        self.spaced = self.spaced.max(now.saturating_add(early));
        self.last = paused_until.max(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pause::Pause;
    use super::*;

    fn secs(it: f64) -> Duration {
        Duration::from_secs_f64(it)
    }

    /// Sends whenever it is due, against a limit of so many in each fixed minute, and says what was accepted and refused
    /// in the last hour.
    fn greedy(limit: u32, warm_up: f64, total: f64) -> (u32, u32) {
        let mut rate = Rate::new(None);
        let (mut now, mut minute, mut used) = (Duration::ZERO, 0, 0);
        let mut pause = Pause::default();
        let (mut accepted, mut refused) = (0, 0);
        while now < secs(total) {
            now = rate.due(now).max(now + Duration::from_millis(1));
            rate.take(now, true);
            if now.as_secs() / 60 != minute {
                (minute, used) = (now.as_secs() / 60, 0);
            }
            let counts = now >= secs(warm_up);
            if used < limit {
                used += 1;
                rate.accepted(now);
                pause.accepted(now);
                accepted += u32::from(counts);
            } else {
                refused += u32::from(counts);
                let until = pause.refused(now, None);
                rate.refused(now, until);
                now = until;
            }
        }
        (accepted, refused)
    }

    #[test]
    fn what_is_refused_is_remembered_and_hardly_touched_again() {
        for limit in [60, 300, 1_000] {
            let (accepted, refused) = greedy(limit, 600.0, 4_200.0);
            let share = f64::from(accepted) / f64::from(limit * 60);
            assert!(share > 0.96, "{limit}: {share}");
            // Of sixty a minute, each one is much.
            assert!(refused * 1_000 < accepted.max(6_000), "{limit}: {refused}");
        }
    }

    #[test]
    fn nothing_limits_until_devin_does() {
        let mut rate = Rate::new(None);
        for _ in 0..1_000 {
            assert_eq!(rate.due(secs(5.0)), secs(5.0));
            rate.take(secs(5.0), true);
            rate.accepted(secs(5.0));
        }
        assert_eq!(rate.per_second(), None);
        rate.refused(secs(5.0), secs(6.0));
        let learned = rate.per_second().unwrap();
        assert!((learned - 15.0).abs() < 0.1, "{learned}");
    }

    #[test]
    fn a_ceiling_is_kept_in_every_minute() {
        let mut rate = Rate::new(Some(5.0));
        let mut left = Vec::new();
        let mut now = Duration::ZERO;
        while now < secs(600.0) {
            now = rate.due(now);
            rate.take(now, true);
            rate.accepted(now);
            left.push(now);
        }
        for from in 0..540 {
            let of = secs(f64::from(from))..secs(f64::from(from) + 60.0);
            let count = left.iter().filter(|it| of.contains(it)).count();
            assert!((298..=304).contains(&count), "{from}: {count}");
        }
    }

    #[test]
    fn several_refusals_within_a_minute_are_one() {
        let mut rate = Rate::new(None);
        for second in 0..60 {
            rate.accepted(secs(f64::from(second)));
        }
        rate.refused(secs(60.0), secs(61.0));
        let once = rate.per_second();
        for second in 61..100 {
            rate.refused(secs(f64::from(second)), secs(f64::from(second) + 1.0));
        }
        assert_eq!(rate.per_second(), once);
    }

    #[test]
    fn a_rate_that_nobody_wants_in_full_does_not_grow() {
        let mut rate = Rate::new(None);
        for second in 0..60 {
            rate.accepted(secs(f64::from(second)));
        }
        rate.refused(secs(60.0), secs(61.0));
        let before = rate.per_second();
        for second in 70..10_000 {
            rate.take(secs(f64::from(second)), false);
        }
        assert_eq!(rate.per_second(), before);
    }

    #[test]
    fn a_limit_that_was_raised_is_found() {
        let mut rate = Rate::new(None);
        for tick in 0..300 {
            rate.accepted(secs(f64::from(tick) * 0.2));
        }
        rate.refused(secs(60.0), secs(61.0));
        let mut now = secs(61.0);
        while rate.per_second().is_some_and(|it| it < 50.0) {
            now = rate.due(now);
            rate.take(now, true);
        }
        assert!(now < secs(300.0), "{now:?}");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_rate_is_a_sane_number(
            ceiling in proptest::option::of(0.01..1_000.0),
            steps in proptest::collection::vec((0..4_u8, 0..100_000_u64, any::<bool>()), 0..300),
        ) {
            let mut rate = Rate::new(ceiling);
            let mut now = Duration::ZERO;
            for (what, millis, is_wanted) in steps {
                now += Duration::from_millis(millis);
                match what {
                    0 => rate.take(now, is_wanted),
                    1 => rate.accepted(now),
                    2 => rate.refused(now, now + Duration::from_millis(millis)),
                    _ => rate.give_back(),
                }
                if let Some(it) = rate.per_second() {
                    prop_assert!(it.is_finite() && it > 0.0 && it <= MOST * 2.0, "{it}");
                    prop_assert!(ceiling.is_none_or(|ceiling| it <= ceiling));
                }
                prop_assert!(rate.due(now) >= now);
            }
        }

        #[test]
        fn no_minute_has_more_than_the_rate_and_its_burst(
            per_minute in 1..2_000_u32,
            pauses in proptest::collection::vec(0..5_000_u64, 1..400),
        ) {
            let mut rate = Rate::new(Some(f64::from(per_minute) / 60.0));
            let mut left = Vec::new();
            let mut now = Duration::ZERO;
            for pause in pauses {
                now = rate.due(now + Duration::from_millis(pause));
                rate.take(now, true);
                left.push(now);
            }
            let burst = 1 + per_minute / 100;
            for from in &left {
                let until = *from + PERIOD;
                let count = left.iter().filter(|it| *from <= **it && **it < until).count();
                prop_assert!(count <= (per_minute + burst + 1) as usize, "{count}");
            }
        }
    }
}
