//! Windows against calendars that people have lived by.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap_or_else(|why| panic!("{name}: {why:?}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn whole(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

fn cycle(starts: Date, length: Length) -> Every {
    let zone = Zone::utc();
    Every::Cycle(Cycle {
        zone,
        starts,
        length,
    })
}

#[test]
fn m17_windows_are_those_of_the_calendar() {
    let day = |name: &str| Every::Day(zone(name));
    let month = |name: &str| Every::Month(zone(name));
    let week = |name: &str| Every::Week(zone(name));
    for (every, instant, start, end) in [
        // The day of 23 hours and the day of 25, of which one hour comes twice.
        (
            day("Europe/Berlin"),
            "2026-03-29T01:30Z",
            "2026-03-28T23:00Z",
            "2026-03-29T22:00Z",
        ),
        (
            day("Europe/Berlin"),
            "2026-10-25T00:30Z",
            "2026-10-24T22:00Z",
            "2026-10-25T23:00Z",
        ),
        (
            day("Europe/Berlin"),
            "2026-10-25T01:30Z",
            "2026-10-24T22:00Z",
            "2026-10-25T23:00Z",
        ),
        (
            day("America/New_York"),
            "2026-03-08T07:00Z",
            "2026-03-08T05:00Z",
            "2026-03-09T04:00Z",
        ),
        (
            day("America/New_York"),
            "2026-11-01T06:30Z",
            "2026-11-01T04:00Z",
            "2026-11-02T05:00Z",
        ),
        // There is no midnight: the day begins at one.
        (
            day("America/Sao_Paulo"),
            "2017-10-15T03:00Z",
            "2017-10-15T03:00Z",
            "2017-10-16T02:00Z",
        ),
        (
            day("America/Sao_Paulo"),
            "2017-10-15T02:59:59Z",
            "2017-10-14T03:00Z",
            "2017-10-15T03:00Z",
        ),
        (
            day("Africa/Cairo"),
            "2026-04-23T22:00Z",
            "2026-04-23T22:00Z",
            "2026-04-24T21:00Z",
        ),
        // The last hour of a day comes twice, or the first one does.
        (
            day("America/Sao_Paulo"),
            "2018-02-18T02:30Z",
            "2018-02-17T02:00Z",
            "2018-02-18T03:00Z",
        ),
        (
            day("America/Havana"),
            "2024-11-03T05:30Z",
            "2024-11-03T04:00Z",
            "2024-11-04T05:00Z",
        ),
        // A minute after midnight it was yesterday again: that belongs to the day that had begun.
        (
            day("America/St_Johns"),
            "2010-11-07T02:45Z",
            "2010-11-07T02:30Z",
            "2010-11-08T03:30Z",
        ),
        // A day that never was.
        (
            day("Pacific/Apia"),
            "2011-12-30T09:59:59Z",
            "2011-12-29T10:00Z",
            "2011-12-30T10:00Z",
        ),
        (
            day("Pacific/Apia"),
            "2011-12-30T10:00Z",
            "2011-12-30T10:00Z",
            "2011-12-31T10:00Z",
        ),
        // Parts of an hour.
        (
            day("Asia/Kathmandu"),
            "2026-11-25T18:15Z",
            "2026-11-25T18:15Z",
            "2026-11-26T18:15Z",
        ),
        (
            day("Asia/Kolkata"),
            "2026-11-25T18:29:59Z",
            "2026-11-24T18:30Z",
            "2026-11-25T18:30Z",
        ),
        (
            day("Australia/Lord_Howe"),
            "2026-04-05T12:00Z",
            "2026-04-04T13:00Z",
            "2026-04-05T13:30Z",
        ),
        (
            day("-03:30"),
            "2026-11-25T03:30Z",
            "2026-11-25T03:30Z",
            "2026-11-26T03:30Z",
        ),
        // Devin's own day.
        (
            day("devin"),
            "2026-07-01T07:59:59Z",
            "2026-06-30T08:00Z",
            "2026-07-01T08:00Z",
        ),
        (
            day("devin"),
            "2026-07-01T08:00Z",
            "2026-07-01T08:00Z",
            "2026-07-02T08:00Z",
        ),
        // Tokyo is a day ahead of UTC for a third of it, at the end of a month too.
        (
            day("Asia/Tokyo"),
            "2026-11-30T15:00Z",
            "2026-11-30T15:00Z",
            "2026-12-01T15:00Z",
        ),
        (
            month("Asia/Tokyo"),
            "2026-11-30T14:59:59Z",
            "2026-10-31T15:00Z",
            "2026-11-30T15:00Z",
        ),
        (
            month("Asia/Tokyo"),
            "2026-11-30T15:00Z",
            "2026-11-30T15:00Z",
            "2026-12-31T15:00Z",
        ),
        // Months: a leap year's February, another one's, and the turn of the year.
        (
            month("UTC"),
            "2028-02-29T23:59:59.999Z",
            "2028-02-01T00:00Z",
            "2028-03-01T00:00Z",
        ),
        (
            month("UTC"),
            "2026-02-28T23:59:59Z",
            "2026-02-01T00:00Z",
            "2026-03-01T00:00Z",
        ),
        (
            month("UTC"),
            "2026-12-31T23:59:59Z",
            "2026-12-01T00:00Z",
            "2027-01-01T00:00Z",
        ),
        (
            month("Europe/Berlin"),
            "2026-03-15T00:00Z",
            "2026-02-28T23:00Z",
            "2026-03-31T22:00Z",
        ),
        (
            day("UTC"),
            "2028-02-29T12:00Z",
            "2028-02-29T00:00Z",
            "2028-03-01T00:00Z",
        ),
        // A leap second has no instant of its own: it is the last second of its day.
        (
            day("UTC"),
            "2016-12-31T23:59:60Z",
            "2016-12-31T00:00Z",
            "2017-01-01T00:00Z",
        ),
        // Weeks begin on Monday, over the turn of a year too.
        (
            week("UTC"),
            "2027-01-01T00:00Z",
            "2026-12-28T00:00Z",
            "2027-01-04T00:00Z",
        ),
        (
            week("UTC"),
            "2026-12-27T23:59:59Z",
            "2026-12-21T00:00Z",
            "2026-12-28T00:00Z",
        ),
        (
            week("Europe/Berlin"),
            "2026-03-29T12:00Z",
            "2026-03-22T23:00Z",
            "2026-03-29T22:00Z",
        ),
    ] {
        let window = every.window(at(instant));
        assert_eq!(
            window,
            Window {
                start: at(start),
                end: at(end)
            },
            "{every} {instant}"
        );
    }
}

#[test]
fn cycles_run_on_in_both_directions() {
    let days = cycle(date(2026, 11, 5), Length::Days(whole(30)));
    let month = cycle(date(2026, 11, 5), Length::Months(whole(1)));
    let quarter = cycle(date(2026, 11, 28), Length::Months(whole(3)));
    for (every, instant, start, end) in [
        (
            &days,
            "2026-11-05T00:00Z",
            "2026-11-05T00:00Z",
            "2026-12-05T00:00Z",
        ),
        (
            &days,
            "2026-11-04T23:59Z",
            "2026-10-06T00:00Z",
            "2026-11-05T00:00Z",
        ),
        (
            &days,
            "2028-03-01T00:00Z",
            "2028-02-28T00:00Z",
            "2028-03-29T00:00Z",
        ),
        (
            &month,
            "2026-12-04T12:00Z",
            "2026-11-05T00:00Z",
            "2026-12-05T00:00Z",
        ),
        (
            &month,
            "2027-01-05T00:00Z",
            "2027-01-05T00:00Z",
            "2027-02-05T00:00Z",
        ),
        (
            &month,
            "2026-01-04T00:00Z",
            "2025-12-05T00:00Z",
            "2026-01-05T00:00Z",
        ),
        (
            &quarter,
            "2027-02-27T23:59Z",
            "2026-11-28T00:00Z",
            "2027-02-28T00:00Z",
        ),
        (
            &quarter,
            "2026-11-27T00:00Z",
            "2026-08-28T00:00Z",
            "2026-11-28T00:00Z",
        ),
    ] {
        let window = every.window(at(instant));
        assert_eq!(
            window,
            Window {
                start: at(start),
                end: at(end)
            },
            "{every} {instant}"
        );
    }
    assert_eq!(days.to_string(), "30 days from 2026-11-05");
    assert_eq!(month.to_string(), "1 month from 2026-11-05");
    assert_eq!(
        Every::Day(zone("Asia/Tokyo")).to_string(),
        "day in Asia/Tokyo"
    );
}

#[test]
fn what_clocks_showed_a_century_ago_is_rounded_to_the_slot() {
    // Until 1937, Amsterdam was 19 minutes and 32 seconds (later 20 minutes) ahead of UTC.
    let window = Every::Day(zone("Europe/Amsterdam")).window(at("1916-03-01T12:00Z"));
    assert!(window.holds(at("1916-03-01T12:00Z")));
    for edge in [window.start, window.end] {
        assert_eq!(edge.as_second().rem_euclid(SLOT), 0, "{edge}");
    }
}

#[test]
fn the_ends_of_time_are_in_a_window() {
    for name in ["UTC", "Asia/Tokyo", "-12:00", "+14:00", "Europe/Berlin"] {
        let zone = zone(name);
        for every in [
            Every::Day(zone.clone()),
            Every::Week(zone.clone()),
            Every::Month(zone),
            cycle(date(2026, 11, 5), Length::Months(whole(12))),
            cycle(date(2026, 11, 5), Length::Days(whole(366))),
        ] {
            let first = every.window(Timestamp::MIN);
            assert!(first.holds(Timestamp::MIN), "{every} {first:?}");
            let last = every.window(Timestamp::MAX);
            assert!(
                last.start <= Timestamp::MAX && last.end == Timestamp::MAX,
                "{every} {last:?}"
            );
        }
    }
}

fn an_every() -> impl Strategy<Value = Every> {
    let zones = proptest::sample::select(Zone::names()).prop_map(|name| zone(&name));
    let fixed = (-48..=56_i32).prop_map(|quarters| {
        let sign = if quarters < 0 { '-' } else { '+' };
        let minutes = quarters.abs() * 15;
        zone(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
    });
    let length = prop_oneof![
        (1..=Cycle::MAX_DAYS).prop_map(|it| Length::Days(whole(it))),
        (1..=Cycle::MAX_MONTHS).prop_map(|it| Length::Months(whole(it))),
    ];
    let starts = (2000..2100_i16, 1..=12_i8, 1..=Cycle::LAST_DAY);
    (prop_oneof![4 => zones, 1 => fixed], 0..4_u8, starts, length).prop_map(
        |(zone, which, (year, month, day), length)| match which {
            0 => Every::Day(zone),
            1 => Every::Week(zone),
            2 => Every::Month(zone),
            _ => Every::Cycle(Cycle {
                zone,
                starts: date(year, month, day),
                length,
            }),
        },
    )
}

/// From 1900 to 2200.
fn an_instant() -> impl Strategy<Value = Timestamp> {
    (-2_208_988_800..7_258_118_400_i64).prop_map(|it| Timestamp::from_second(it).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn m17_every_instant_lies_in_exactly_one_window(
        every in an_every(), at in an_instant(), fraction in 0..1_000_000_u64,
    ) {
        let window = every.window(at);
        prop_assert!(window.holds(at), "{every} {at} {window:?}");
        for edge in [window.start, window.end] {
            prop_assert_eq!(edge.as_second().rem_euclid(SLOT), 0);
            prop_assert_eq!(edge.subsec_nanosecond(), 0);
        }
        // The same for every instant in it.
        let length = window.end.duration_since(window.start).as_secs();
        let into = i64::try_from(u128::from(fraction) * u128::try_from(length).unwrap() / 1_000_000).unwrap();
        for other in [
            window.start,
            Timestamp::from_second(window.start.as_second() + into).unwrap(),
            Timestamp::from_nanosecond(window.end.as_nanosecond() - 1).unwrap(),
        ] {
            prop_assert_eq!(every.window(other), window, "{} {}", every, other);
        }
        // The next one begins where it ends, and the one before ends where it begins.
        prop_assert_eq!(every.window(window.end).start, window.end);
        let before = Timestamp::from_nanosecond(window.start.as_nanosecond() - 1).unwrap();
        prop_assert_eq!(every.window(before).end, window.start);
    }
}
