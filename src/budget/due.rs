//! Which windows are to be paid for by what goes on spending. Pure.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Budget, Every, Window};

/// The most windows that are charged at once: after a longer absence, the rest follow.
pub const MOST_DUE: usize = 400;

/// How long the windows of the budget are that turns the soonest; none without a live budget.
pub fn shortest(budgets: &[Arc<Budget>], now: Timestamp) -> Option<&Every> {
    let length = |it: &&Every| {
        let window = it.window(now);
        window.end.duration_since(window.start)
    };
    let live = budgets.iter().filter(|it| !it.shadow);
    live.map(|it| &it.every).min_by_key(length)
}

/// The windows that have begun by `now` and not before `charged_until`, the oldest first, [`MOST_DUE`] at most.
///
/// What was charged reaches until an instant and not through windows, so windows of another length or another time
/// zone charge nothing twice; nor does a clock that is set back.
pub fn due(charged_until: Timestamp, now: Timestamp, every: &Every) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut window = every.window(charged_until);
    if window.start < charged_until {
        window = every.window(window.end);
    }
    while window.start <= now && window.start >= charged_until && windows.len() < MOST_DUE {
        windows.push(window);
        let next = every.window(window.end);
        if next.start <= window.start {
            // The end of time.
            break;
        }
        window = next;
    }
    windows
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::super::Zone;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn l3_a_window_is_due_at_its_start_and_once() {
        let day = Every::Day(Zone::utc());
        let starts = |until: &str, now: &str| {
            let all = due(at(until), at(now), &day).into_iter();
            all.map(|it| it.start.to_string()).collect::<Vec<_>>()
        };
        let (until, third) = ("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z");
        assert!(starts(until, "2026-11-01T23:59:59Z").is_empty());
        assert_eq!(starts(until, until), [until]);
        assert_eq!(starts(until, "2026-11-03T12:00:00Z"), [until, third]);
        // Charged in the middle of a day, by another budget's windows: that day is paid for.
        assert_eq!(
            starts("2026-11-02T08:00:00Z", "2026-11-03T12:00:00Z"),
            [third]
        );
        let long = due(at("2000-01-01T00:00:00Z"), at(until), &day);
        assert_eq!(long.len(), MOST_DUE);
    }

    fn every() -> impl Strategy<Value = Every> {
        let zone = prop_oneof![
            "devin",
            "Asia/Tokyo",
            "Europe/Berlin",
            "Australia/Lord_Howe"
        ];
        (zone, 0..3).prop_map(|(zone, length)| {
            let zone = Zone::parse(&zone).unwrap();
            match length {
                0 => Every::Day(zone),
                1 => Every::Week(zone),
                _ => Every::Month(zone),
            }
        })
    }

    proptest! {
        #[test]
        fn l3_m18_no_clock_and_no_edit_charges_an_instant_twice(
            steps in prop::collection::vec((every(), -40_i64..200), 1..40),
        ) {
            let mut now = at("2026-10-20T00:00:00Z");
            let mut until = now;
            let mut charged: Vec<Window> = Vec::new();
            for (every, hours) in steps {
                now = now.checked_add(SignedDuration::from_hours(hours)).unwrap();
                for window in due(until, now, &every) {
                    prop_assert!(window.start <= now);
                    prop_assert!(charged.iter().all(|it| it.end <= window.start));
                    until = window.end;
                    charged.push(window);
                }
                // As long as the windows stay the same, none that has begun is left out.
                prop_assert!(due(until, now, &every).is_empty());
            }
        }
    }
}
