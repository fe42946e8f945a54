//! How often something happened in the last while. Pure.

use std::time::Duration;

/// Counts of the last `SECONDS` seconds, and of the one that runs.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    /// One count for each second; the place of a second is its number modulo the length.
    counts: Vec<u32>,
    /// The second that runs.
    second: u64,
    /// All counts together.
    sum: u32,
}

impl Recent {
    /// Of this many seconds.
    pub(super) fn of_seconds(seconds: u16) -> Self {
        Self {
            counts: vec![0; usize::from(seconds) + 1],
            second: 0,
            sum: 0,
        }
    }

    fn place(&self, second: u64) -> usize {
        let length = self.counts.len().max(1) as u64;
        usize::try_from(second % length).unwrap_or(0)
    }

    /// Forgets what is too long ago.
    fn roll(&mut self, now: Duration) {
        let second = now.as_secs();
        let steps = second.saturating_sub(self.second);
        if steps >= self.counts.len() as u64 {
            self.clear();
        } else {
            for step in 1..=steps {
                let place = self.place(self.second + step);
                if let Some(count) = self.counts.get_mut(place) {
                    self.sum = self.sum.saturating_sub(*count);
                    *count = 0;
                }
            }
        }
        self.second = self.second.max(second);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        self.sum = 0;
    }

    /// Notes one.
    pub(super) fn add(&mut self, now: Duration) {
        self.roll(now);
        let place = self.place(self.second);
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
            self.sum = self.sum.saturating_add(1);
        }
    }

    /// How many there were; of the oldest second, which is partly too old, as large a part as is not.
    pub(super) fn count(&mut self, now: Duration) -> f64 {
        self.roll(now);
        let oldest = self.counts.get(self.place(self.second + 1));
        let oldest = f64::from(oldest.copied().unwrap_or(0));
        let too_old = oldest * f64::from(now.subsec_nanos()) / 1e9;
        f64::from(self.sum) - too_old
    }

    /// How many there were, in whole seconds.
    pub(super) fn sum(&mut self, now: Duration) -> u32 {
        self.roll(now);
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_steady_counts_the_same_at_every_instant() {
        let mut recent = Recent::of_seconds(60);
        for tick in 0..1_200 {
            recent.add(at(tick * 200));
        }
        for tick in 1_200..2_400 {
            let count = recent.count(at(tick * 200));
            assert!((count - 300.0).abs() <= 5.0, "{tick}: {count}");
            recent.add(at(tick * 200));
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut recent = Recent::of_seconds(30);
        recent.add(at(0));
        recent.add(at(15_000));
        assert_eq!(recent.sum(at(29_999)), 2);
        assert_eq!(recent.sum(at(31_000)), 1);
        assert_eq!(recent.sum(at(46_000)), 0);
        recent.add(at(90_000));
        assert_eq!(recent.sum(at(90_000)), 1);
        assert_eq!(recent.sum(at(10_000_000)), 0);
    }
}
