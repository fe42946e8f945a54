//! How long nothing of a class leaves after Devin refused one. Pure.

use std::time::Duration;

/// The longest pause that Devin's word makes: after that, it is asked again.
pub const LONGEST: Duration = Duration::from_secs(3_600);
/// The first pause where Devin does not say how long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest one then: each is twice the one before, until something is accepted.
const UNSAID: Duration = Duration::from_secs(60);

/// After such a pause one request goes ahead of the others, which wait for its answer; no longer than this.
const AHEAD: Duration = Duration::from_secs(1);

/// The pause of one class.
#[derive(Clone, Debug, Default)]
pub struct Pause {
    until: Duration,
    /// Until then the others wait for one that went ahead.
    ahead_until: Duration,
    /// The length of the last one that Devin did not give, until something is accepted.
    last: Option<Duration>,
}

impl Pause {
    /// When it ends; not later than now if there is none.
    pub fn until(&self) -> Duration {
        self.until.max(self.ahead_until)
    }

    /// Whether it is on.
    pub fn is_on(&self, now: Duration) -> bool {
        now < self.until()
    }

    /// One leaves.
    pub fn leaves(&mut self, now: Duration) {
        if self.last.is_some() {
            self.ahead_until = now.saturating_add(AHEAD);
        }
    }

    /// Devin refused one and said how long to wait, or did not. Gives the pause's end.
    pub fn refused(&mut self, now: Duration, retry_after: Option<Duration>) -> Duration {
        self.ahead_until = Duration::ZERO;
        let length = match retry_after.filter(|it| !it.is_zero()) {
            Some(said) => said.min(LONGEST),
            // What was under way when the pause began says nothing new.
            None if now < self.until => return self.until,
            None => {
                let next = self.last.map_or(FIRST, |it| it.saturating_mul(2));
                let next = next.min(UNSAID);
                self.last = Some(next);
                next
            }
        };
        self.until = self.until.max(now.saturating_add(length));
        self.until
    }

    /// Devin accepted one.
    pub fn accepted(&mut self, now: Duration) {
        if now >= self.until {
            self.last = None;
            self.ahead_until = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(it: u64) -> Duration {
        Duration::from_secs(it)
    }

    #[test]
    fn devins_word_counts_and_a_shorter_one_does_not_shorten_it() {
        let mut pause = Pause::default();
        assert_eq!(pause.refused(secs(10), Some(secs(30))), secs(40));
        assert_eq!(pause.refused(secs(11), Some(secs(2))), secs(40));
        assert_eq!(pause.refused(secs(11), None), secs(40));
        assert!(pause.is_on(secs(39)) && !pause.is_on(secs(40)));
        assert_eq!(pause.refused(secs(50), Some(secs(86_400))), secs(3_650));
    }

    #[test]
    fn after_a_pause_without_a_word_one_goes_ahead() {
        let mut pause = Pause::default();
        pause.leaves(secs(0));
        assert!(!pause.is_on(secs(0)));
        pause.refused(secs(0), None);
        pause.leaves(secs(1));
        assert!(pause.is_on(secs(1)) && !pause.is_on(secs(2)));
        pause.accepted(secs(1));
        assert!(!pause.is_on(secs(1)));
        pause.refused(secs(5), Some(secs(1)));
        pause.leaves(secs(6));
        assert!(
            !pause.is_on(secs(6)),
            "Devin has said that it takes them now"
        );
    }

    #[test]
    fn without_a_word_pauses_double_until_something_is_accepted() {
        let mut pause = Pause::default();
        let mut now = Duration::ZERO;
        let mut lengths = Vec::new();
        for _ in 0..8 {
            let until = pause.refused(now, None);
            lengths.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
        pause.accepted(now);
        assert_eq!(pause.refused(now, Some(Duration::ZERO)), now + secs(1));
    }
}
