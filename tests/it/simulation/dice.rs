//! Numbers that look random, and are the same in each run with the same seed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Clones roll the same dice, one after the other.
#[derive(Clone)]
pub(crate) struct Dice(Arc<Mutex<u64>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// Dice of somebody's own: how often they are rolled changes nothing for others.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.next())
    }

    fn next(&self) -> u64 {
        // splitmix64
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = *state;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    pub(crate) fn roll(&self, sides: u64) -> u64 {
        self.next() % sides
    }

    /// Once in so many times.
    pub(crate) fn once_in(&self, times: u64) -> bool {
        self.roll(times) == 0
    }

    pub(crate) fn one<T: Clone>(&self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.roll(of.len() as u64) as usize].clone())
    }

    /// Less than so many milliseconds.
    pub(crate) fn time(&self, below: u64) -> Duration {
        Duration::from_millis(self.roll(below))
    }
}
