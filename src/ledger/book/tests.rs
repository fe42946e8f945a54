//! The rules of a session's account, one by one.

use super::*;

fn hold(n: u128) -> HoldId {
    HoldId(uuid::Uuid::from_u128(n))
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const QUIET: Duration = Duration::from_secs(60);

fn reading(begun: i64, second: u64, acus: f64, status: &str) -> Reading {
    let (status, detail) = match status.split_once('/') {
        Some((status, detail)) => (status, Some(detail.into())),
        None => (status, None),
    };
    Reading {
        begun: Begun {
            tick: Tick(begun),
            up: Duration::from_secs(second),
        },
        moment: Moment {
            at: instant(1_000_000 + second as i64),
            up: Duration::from_secs(second),
        },
        usage: Acu::from_reported(acus),
        status: status.into(),
        detail,
        organization: None,
    }
}

/// A book with one wake of five ACUs, answered at tick 10.
fn open() -> Book {
    let mut book = Book::default();
    book.hold(hold(1), 1, instant(1), Acu::whole(5));
    book.answered(hold(1), Tick(10));
    book
}

fn sums(entries: &[Entry]) -> (i64, i64) {
    entries.iter().fold((0, 0), |(spent, held), it| {
        (spent + it.spent.milli(), held + it.held.milli())
    })
}

fn causes(entries: &[Entry]) -> Vec<Cause> {
    entries.iter().map(|it| it.cause).collect()
}

#[test]
fn l4_a_hold_is_given_back_once() {
    let mut book = Book::default();
    let taken = book.hold(hold(1), 1, instant(1), Acu::whole(5));
    assert_eq!(taken.held, Acu::whole(5));
    let back = book.released(hold(1)).unwrap();
    assert_eq!(
        (back.held, back.instant),
        (Acu::from_milli(-5_000), instant(1))
    );
    assert_eq!(book.released(hold(1)), None);
    book.answered(hold(1), Tick(9));
    assert_eq!(
        book.wakes[0].state,
        State::Released,
        "an answer that comes too late opens nothing"
    );
    let mut answered = open();
    assert_eq!(
        answered.released(hold(1)),
        None,
        "what was carried out is not given back"
    );
}

#[test]
fn l5_an_unknown_outcome_keeps_the_hold_until_it_is_seen() {
    let mut book = Book::default();
    book.hold(hold(1), 1, instant(1), Acu::whole(5));
    book.unknown(hold(1));
    assert_eq!(book.wakes[0].left(), Acu::whole(5));
    assert!(book.missed(Duration::from_secs(10)).is_empty());
    book.missed(VANISHED_AFTER);
    assert_eq!(book.wakes[0].left(), Acu::whole(5), "no timer frees it");
    book.answered(hold(1), Tick(12));
    assert_eq!(book.wakes[0].state, State::Open(Tick(12)));
    book.unknown(hold(1));
    assert_eq!(
        book.wakes[0].state,
        State::Open(Tick(12)),
        "what is known stays known"
    );
}

#[test]
fn l6_usage_is_posted_once_however_often_it_is_read() {
    let mut book = open();
    assert_eq!(
        sums(&book.read(&reading(11, 1, 1.5, "running"), QUIET)),
        (1_500, -1_500)
    );
    assert_eq!(
        sums(&book.read(&reading(11, 1, 1.5, "running"), QUIET)),
        (0, 0)
    );
    assert_eq!(
        sums(&book.read(&reading(9, 2, 1.0, "running"), QUIET)),
        (0, 0)
    );
    assert_eq!(
        sums(&book.read(&reading(12, 3, f64::NAN, "running"), QUIET)),
        (0, 0)
    );
    assert_eq!(
        sums(&book.read(&reading(13, 4, 2.0, "running"), QUIET)),
        (500, -500)
    );
    assert_eq!(book.wakes[0].left(), Acu::whole(3));
}

#[test]
fn l6_the_end_closes_at_once_and_gives_the_rest_back() {
    for end in ["exit", "error"] {
        let mut book = open();
        let entries = book.read(&reading(11, 1, 2.0, end), QUIET);
        assert_eq!(causes(&entries), [Cause::Use, Cause::Rest]);
        assert_eq!(sums(&entries), (2_000, -5_000));
        assert!(book.ended && !book.wakes[0].state.holds());
        let later = book.read(&reading(12, 2, 2.5, end), QUIET);
        assert_eq!(
            causes(&later),
            [Cause::Unheld],
            "a rise on a closed session is new"
        );
        assert_eq!(later[0].instant, instant(1_000_002));
    }
}

#[test]
fn l6_a_reading_begun_before_the_answer_closes_nothing() {
    for status in ["exit", "suspended/inactivity", "running/finished"] {
        let mut book = open();
        for second in [1, 100, 1_000] {
            let entries = book.read(&reading(10, second, 1.0, status), QUIET);
            assert!(!causes(&entries).contains(&Cause::Rest), "{status}");
        }
        assert_eq!(book.wakes[0].left(), Acu::whole(4));
    }
}

#[test]
fn l6_rest_is_believed_when_it_is_seen_twice() {
    for status in [
        "suspended/inactivity",
        "running/finished",
        "suspended/a reason of tomorrow",
    ] {
        let mut book = open();
        assert_eq!(
            sums(&book.read(&reading(11, 0, 1.0, status), QUIET)),
            (1_000, -1_000)
        );
        assert_eq!(
            sums(&book.read(&reading(12, 59, 1.0, status), QUIET)),
            (0, 0),
            "too soon"
        );
        assert_eq!(
            sums(&book.read(&reading(13, 60, 1.0, status), QUIET)),
            (0, -4_000),
            "{status}"
        );
    }
    // With another state, another usage, or work between them, it is not the same rest.
    for between in [
        reading(12, 30, 1.0, "running/working"),
        reading(12, 30, 1.2, "suspended/inactivity"),
        reading(12, 30, 1.0, "suspended/user_request"),
    ] {
        let mut book = open();
        book.read(&reading(11, 0, 1.0, "suspended/inactivity"), QUIET);
        book.read(&between, QUIET);
        let last = format!("{}/{}", between.status, between.detail.unwrap());
        let usage = between.usage.unwrap().as_f64();
        let entries = book.read(&reading(13, 61, usage, &last), QUIET);
        assert_eq!(sums(&entries), (0, 0), "{last}");
    }
}

#[test]
fn l6_who_reads_an_answer_slowly_makes_no_time_pass_between_two_readings() {
    let mut book = open();
    assert!(book.read(&reading(20, 0, 1.0, "suspended"), QUIET).len() == 1);
    let mut slow = reading(21, 1, 1.0, "suspended");
    slow.moment.up = Duration::from_secs(300);
    assert!(book.read(&slow, QUIET).is_empty());
    assert_eq!(book.wakes[0].left(), Acu::whole(4));
    let causes = causes(&book.read(&reading(22, 60, 1.0, "suspended"), QUIET));
    assert_eq!(causes, [Cause::Rest]);
}

#[test]
fn l6_rest_seen_before_a_message_says_nothing_of_the_time_after_it() {
    let mut book = open();
    book.read(&reading(11, 0, 1.0, "suspended/inactivity"), QUIET);
    book.hold(hold(2), 2, instant(2), Acu::whole(5));
    book.answered(hold(2), Tick(20));
    let entries = book.read(&reading(21, 100, 1.0, "suspended/inactivity"), QUIET);
    assert_eq!(
        sums(&entries),
        (0, -4_000),
        "the first wake is over, the second is not"
    );
    assert_eq!(book.wakes[1].left(), Acu::whole(5));
    book.read(&reading(22, 200, 1.0, "suspended/inactivity"), QUIET);
    assert_eq!(book.wakes[1].state, State::Closed);
}

#[test]
fn l6_a_vanished_session_is_charged_in_full_after_two_days_of_polls() {
    let mut book = open();
    book.read(&reading(11, 1, 1.0, "running"), QUIET);
    let day = Duration::from_secs(24 * 3_600);
    assert!(book.missed(day).is_empty());
    book.read(&reading(12, 2, 1.0, "running"), QUIET);
    assert!(book.missed(day).is_empty(), "it was seen in between");
    let entries = book.missed(day);
    assert_eq!(causes(&entries), [Cause::Written]);
    assert_eq!(sums(&entries), (4_000, -4_000));
    assert!(book.missed(day).is_empty());
}

#[test]
fn l6_a_session_that_comes_back_is_charged_only_for_what_was_not_written_off() {
    let mut book = open();
    book.read(&reading(11, 1, 1.0, "running"), QUIET);
    let entries = book.missed(VANISHED_AFTER);
    assert_eq!(sums(&entries), (4_000, -4_000));
    assert!(
        book.read(&reading(12, 2, 3.0, "running"), QUIET).is_empty(),
        "it was paid for"
    );
    let entries = book.read(&reading(13, 3, 5.5, "running"), QUIET);
    assert_eq!(causes(&entries), [Cause::Unheld]);
    assert_eq!(sums(&entries), (500, 0));
    let entries = book.read(&reading(14, 4, 6.0, "running"), QUIET);
    assert_eq!(sums(&entries), (500, 0));
}

#[test]
fn l7_usage_goes_to_the_oldest_wake_first() {
    let mut book = open();
    book.hold(hold(2), 2, instant(2), Acu::whole(5));
    let entries = book.read(&reading(11, 1, 7.0, "running"), QUIET);
    assert_eq!(sums(&entries), (7_000, -7_000));
    let by_wake: Vec<_> = entries
        .iter()
        .map(|it| (it.hold, it.spent.milli(), it.instant))
        .collect();
    assert_eq!(
        by_wake,
        [
            (Some(hold(1)), 5_000, instant(1)),
            (Some(hold(2)), 2_000, instant(2))
        ]
    );
}

#[test]
fn l7_the_first_reading_after_an_answer_closes_the_wakes_before_it() {
    let mut book = open();
    book.hold(hold(2), 2, instant(2), Acu::whole(5));
    book.hold(hold(3), 3, instant(3), Acu::whole(5));
    book.answered(hold(3), Tick(20));
    let entries = book.read(&reading(21, 1, 1.0, "running"), QUIET);
    assert_eq!(sums(&entries), (1_000, -5_000), "the first is over");
    assert_eq!(
        book.wakes[1].left(),
        Acu::whole(5),
        "the second's answer is still out"
    );
    assert_eq!(book.wakes[2].left(), Acu::whole(5));
    book.answered(hold(2), Tick(30));
    let entries = book.read(&reading(30, 2, 1.0, "running"), QUIET);
    assert_eq!(sums(&entries), (0, 0), "begun before that answer");
    book.read(&reading(31, 3, 1.0, "running"), QUIET);
    assert_eq!(book.wakes[1].state, State::Closed);
    assert_eq!(book.wakes[2].left(), Acu::whole(5));
}

#[test]
fn l7_usage_of_an_answered_wake_takes_nothing_from_one_that_has_not_begun() {
    let mut book = Book::default();
    for n in 1..=3 {
        book.hold(hold(n), n as u32, instant(n as i64), Acu::whole(5));
    }
    // The second was carried out, and has used all of its cap; no answer has come.
    book.read(&reading(5, 1, 5.0, "running"), QUIET);
    let moved = book.answered(hold(2), Tick(10));
    assert_eq!(sums(&moved), (0, 0));
    assert_eq!(causes(&moved), [Cause::Move, Cause::Move]);
    let left: Vec<_> = book.wakes.iter().map(|it| it.left().milli()).collect();
    assert_eq!(left, [5_000, 0, 5_000]);
    // Rest closes what was answered, and no more.
    book.read(&reading(11, 10, 5.0, "suspended"), QUIET);
    book.read(&reading(12, 70, 5.0, "suspended"), QUIET);
    let left: Vec<_> = book.wakes.iter().map(|it| it.left().milli()).collect();
    assert_eq!(left, [5_000, 0, 5_000]);
    assert!(book.answered(hold(2), Tick(11)).is_empty());
}

#[test]
fn l2_use_beyond_every_hold_is_charged_as_overrun() {
    let mut book = open();
    let entries = book.read(&reading(11, 1, 7.5, "running"), QUIET);
    assert_eq!(causes(&entries), [Cause::Use, Cause::Overrun]);
    assert_eq!(sums(&entries), (7_500, -5_000));
    assert_eq!(book.wakes[0].left(), Acu::ZERO);
    assert_eq!(
        sums(&book.read(&reading(12, 2, 7.5, "exit"), QUIET)),
        (0, 0)
    );
}
