//! Which thresholds of a budget are passed. Pure.

use crate::acu::Acu;

/// What is taken of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// What is spent and held.
    pub taken: Acu,
    /// The limit.
    pub limit: Acu,
}

impl Level {
    /// Whether so many percent of the limit are taken. Of nothing, nothing is.
    fn has_reached(self, percent: u8) -> bool {
        let taken = i128::from(self.taken.milli()) * 100;
        let limit = i128::from(self.limit.milli()) * i128::from(percent);
        self.taken > Acu::ZERO && taken >= limit
    }
}

/// The thresholds, in percent, that are reached after a change and were not before. Before anything was seen of a
/// window, none was.
pub fn crossed(before: Option<Level>, after: Level, thresholds: &[u8]) -> Vec<u8> {
    let is_new = |percent: &u8| {
        after.has_reached(*percent) && !before.is_some_and(|it| it.has_reached(*percent))
    };
    thresholds.iter().copied().filter(is_new).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn level(taken: i64, limit: i64) -> Level {
        Level {
            taken: Acu::from_milli(taken),
            limit: Acu::from_milli(limit),
        }
    }

    #[test]
    fn a_threshold_is_passed_when_it_is_reached() {
        let all = [50, 80, 95, 100];
        for (before, after, wanted) in [
            (None, level(499, 1_000), &[][..]),
            (None, level(500, 1_000), &[50][..]),
            (None, level(2_000, 1_000), &all[..]),
            (Some(level(500, 1_000)), level(799, 1_000), &[]),
            (Some(level(500, 1_000)), level(950, 1_000), &[80, 95]),
            (Some(level(900, 1_000)), level(400, 1_000), &[]),
            // A limit that is lowered passes thresholds, too; one that is raised passes none.
            (Some(level(600, 1_000)), level(600, 700), &[80]),
            (Some(level(600, 700)), level(600, 1_000), &[]),
            (None, level(0, 0), &[]),
            (None, level(0, -5), &[]),
            (None, level(1, -5), &all[..]),
        ] {
            assert_eq!(crossed(before, after, &all), wanted, "{before:?} {after:?}");
        }
    }

    proptest! {
        #[test]
        fn m18_no_amount_is_too_large_and_each_threshold_is_passed_once_on_the_way_up(
            limit in 1..i64::MAX,
            mut steps: Vec<i64>,
        ) {
            steps.sort_unstable();
            let (mut before, mut passed) = (None, Vec::new());
            for taken in steps.iter().copied() {
                let after = level(taken, limit);
                passed.extend(crossed(before, after, &[50, 80]));
                before = Some(after);
            }
            let most = i128::from(steps.last().copied().unwrap_or(0));
            let wanted = [50_u8, 80].into_iter().filter(|it| most > 0 && most * 100 >= i128::from(limit) * i128::from(*it));
            prop_assert_eq!(passed, wanted.collect::<Vec<u8>>());
        }
    }
}
