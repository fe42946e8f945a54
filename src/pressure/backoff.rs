//! How long to wait before a request is sent again: anything up to a bound that doubles ("full jitter"). Pure.

use std::time::Duration;

/// The bound before the first repetition.
const FIRST: Duration = Duration::from_millis(100);
/// The bound before any.
const MOST: Duration = Duration::from_secs(2);

/// Numbers that look random; the same ones for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Backoff(u64);

impl Backoff {
    /// With this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    /// Before the repetition of this number, from 1.
    pub fn before(&mut self, repetition: u32) -> Duration {
        let doubled = 1_u32.checked_shl(repetition.saturating_sub(1));
        let bound = FIRST.saturating_mul(doubled.unwrap_or(u32::MAX)).min(MOST);
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.next() % micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r18_repetitions_are_spread_over_a_bound_that_doubles() {
        let mut backoff = Backoff::new(7);
        for (repetition, millis) in [(1, 100), (2, 200), (3, 400), (6, 2_000), (u32::MAX, 2_000)] {
            let waits: Vec<u128> = (0..1_000)
                .map(|_| backoff.before(repetition).as_millis())
                .collect();
            let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(
                *most < millis && *most > millis * 9 / 10,
                "{repetition}: {most}"
            );
            assert!(*least < millis / 10, "{repetition}: {least}");
        }
    }

    #[test]
    fn the_same_seed_waits_the_same() {
        let (mut one, mut other) = (Backoff::new(1), Backoff::new(1));
        for repetition in 1..10 {
            assert_eq!(one.before(repetition), other.before(repetition));
        }
    }
}
