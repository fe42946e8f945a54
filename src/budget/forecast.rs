//! When a budget will be empty if it goes on like this. Pure.
//!
//! The pace is what was taken since the window began, held amounts included: what is held may well be used. It is a
//! plain run rate, without seasons and without smoothing, so that whoever reads it can check it in his head.

use jiff::Timestamp;

use super::Window;
use crate::acu::Acu;

/// What becomes of a budget at its present pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// It lasts until its window ends.
    Lasts,
    /// It will be empty at this instant, before its window ends.
    EmptyAt(Timestamp),
    /// It is empty.
    Empty,
}

impl Forecast {
    /// Of what was taken of a limit in a window, so far.
    pub fn of(taken: Acu, limit: Acu, window: Window, now: Timestamp) -> Self {
        let (taken, limit) = (i128::from(taken.milli()), i128::from(limit.milli()));
        if taken >= limit {
            return Self::Empty;
        }
        let gone = now.as_millisecond() - window.start.as_millisecond();
        // A clock that was set back shows an instant before the window.
        if taken <= 0 || gone <= 0 {
            return Self::Lasts;
        }
        let empty = i128::from(window.start.as_millisecond()) + i128::from(gone) * limit / taken;
        let empty = i64::try_from(empty).ok();
        match empty.and_then(|it| Timestamp::from_millisecond(it).ok()) {
            Some(at) if at < window.end => Self::EmptyAt(at),
            Some(_) | None => Self::Lasts,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const DAY: i64 = 86_400;

    fn month() -> Window {
        Window {
            start: at(0),
            end: at(30 * DAY),
        }
    }

    #[test]
    fn a_pace_is_carried_on_to_the_end() {
        let of = |taken, limit, day| {
            Forecast::of(Acu::whole(taken), Acu::whole(limit), month(), at(day * DAY))
        };
        // 10 a day.
        assert_eq!(of(100, 200, 10), Forecast::EmptyAt(at(20 * DAY)));
        assert_eq!(of(100, 299, 10), Forecast::EmptyAt(at(29 * DAY + 77_760)));
        assert_eq!(of(100, 300, 10), Forecast::Lasts);
        assert_eq!(of(100, 100, 10), Forecast::Empty);
        assert_eq!(of(101, 100, 10), Forecast::Empty);
        assert_eq!(of(0, 100, 10), Forecast::Lasts);
        // In the first instant there is no pace yet, and before it there is none at all.
        assert_eq!(of(99, 100, 0), Forecast::Lasts);
        assert_eq!(of(99, 100, -1), Forecast::Lasts);
    }

    #[test]
    fn m18_a_limit_that_was_lowered_below_nothing_is_empty() {
        let limit = Acu::from_milli(-5);
        let of = |taken| Forecast::of(taken, limit, month(), at(DAY));
        assert_eq!(of(Acu::ZERO), Forecast::Empty);
        assert_eq!(of(Acu::from_milli(-6)), Forecast::Lasts);
    }

    proptest! {
        #[test]
        fn m18_no_amount_and_no_instant_is_too_large(taken: i64, limit: i64, now in -377_705_023_201_i64..253_402_207_200) {
            let found = Forecast::of(Acu::from_milli(taken), Acu::from_milli(limit), month(), at(now));
            match found {
                Forecast::Empty => prop_assert!(taken >= limit),
                Forecast::EmptyAt(empty) => prop_assert!(taken < limit && empty >= at(now).min(month().end) && empty < month().end),
                Forecast::Lasts => prop_assert!(taken < limit),
            }
        }
    }
}
