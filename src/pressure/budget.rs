//! The retry budget: what is sent again is at most a tenth of what was sent. Pure.

/// Retries that can be saved up.
const MOST_SAVED: u32 = 10;
/// Requests that pay for one retry.
pub const REQUESTS: u32 = 10;

/// Counts in tenths of a retry, from nothing: also of the first requests no more than a tenth is sent twice.
#[derive(Clone, Debug, Default)]
pub struct Budget(u32);

impl Budget {
    /// A request is sent for the first time.
    pub fn request(&mut self) {
        self.0 = self.0.saturating_add(1).min(MOST_SAVED * REQUESTS);
    }

    /// Whether a retry can be paid.
    pub fn has_room(&self) -> bool {
        self.0 >= REQUESTS
    }

    /// Pays for a retry, if it can be paid.
    pub fn retry(&mut self) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.0 = self.0.saturating_sub(REQUESTS);
        }
        has_room
    }

    /// A retry that was paid for was not sent.
    pub fn give_back(&mut self) {
        self.0 = self.0.saturating_add(REQUESTS).min(MOST_SAVED * REQUESTS);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn r18_never_more_than_a_tenth_is_sent_again(steps in proptest::collection::vec(any::<bool>(), 0..2_000)) {
            let mut budget = Budget::default();
            let (mut requests, mut retries) = (0_u32, 0_u32);
            for is_request in steps {
                if is_request {
                    budget.request();
                    requests += 1;
                } else {
                    retries += u32::from(budget.retry());
                }
                prop_assert!(retries * 10 <= requests);
            }
        }
    }

    #[test]
    fn r18_what_was_saved_is_bounded() {
        let mut budget = Budget::default();
        for _ in 0..100_000 {
            budget.request();
        }
        assert_eq!((0..1_000).filter(|_| budget.retry()).count(), 10);
    }
}
