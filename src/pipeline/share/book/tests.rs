//! What is kept, joined and pushed out; and a model that goes through many orders of events.

use super::*;
use crate::ledger::SessionId;

const SECOND: Duration = Duration::from_secs(1);

/// A book with room for four answers of one byte, three of them one caller's.
fn book() -> Book<&'static str> {
    let one = 1 + BESIDE + 2 * key("k1").length();
    Book::new(Bounds {
        answer: 100,
        bytes: 4 * one,
        caller_reading: 3 * one,
        caller_bytes: 3 * one,
        caller_entries: 3,
        entries: 4,
    })
}

fn key(target: &str) -> Key {
    Key::new("", "", "", target, &HeaderMap::new())
}

fn about(session: &str) -> About {
    About {
        organization: Some("org-a".into()),
        session: SessionId::parse(session),
    }
}

fn kept(body: &'static str) -> Kept {
    Kept {
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
        first: Uuid::nil(),
    }
}

fn begin(book: &mut Book<&'static str>, caller: &str, target: &str, now: Instant) -> Seat {
    let seat = book.seat(&caller.into(), &key(target));
    book.begin(&seat, about(target), Some(2 * SECOND), now, "flight");
    seat
}

/// An answer that is asked for and there at once.
fn keep(book: &mut Book<&'static str>, caller: &str, target: &str, now: Instant) {
    let seat = begin(book, caller, target, now);
    book.end(&seat, Some(kept("x")), now);
}

fn has(book: &mut Book<&'static str>, caller: &str, target: &str, now: Instant) -> bool {
    book.hit(caller, &key(target), now).is_some()
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_from_when_it_was_asked_for() {
    let (mut book, now) = (book(), Instant::now());
    let seat = begin(&mut book, "one", "k1", now);
    assert!(book.under_way("one", &key("k1"), now).is_some());
    assert!(!has(&mut book, "one", "k1", now));
    book.end(&seat, Some(kept("x")), now + SECOND);
    assert!(book.under_way("one", &key("k1"), now + SECOND).is_none());
    let hit = book.hit("one", &key("k1"), now + SECOND).unwrap();
    assert_eq!(hit.age, SECOND);
    let almost = 2 * SECOND - Duration::from_millis(1);
    assert!(has(&mut book, "one", "k1", now + almost));
    assert!(!has(&mut book, "one", "k1", now + 2 * SECOND));
    assert_eq!((book.bytes, book.callers.len()), (0, 0), "nothing is left");
    // One that took longer than it may be kept is not.
    let seat = begin(&mut book, "one", "k1", now);
    book.end(&seat, Some(kept("x")), now + 2 * SECOND);
    assert!(!has(&mut book, "one", "k1", now));
}

#[tokio::test(start_paused = true)]
async fn u6_nothing_is_found_under_another_caller() {
    let (mut book, now) = (book(), Instant::now());
    keep(&mut book, "one", "k1", now);
    begin(&mut book, "one", "k2", now);
    assert!(!has(&mut book, "two", "k1", now));
    assert!(book.under_way("two", &key("k2"), now).is_none());
    book.change(&"two".into(), &About::default());
    assert!(
        has(&mut book, "one", "k1", now),
        "it is none of its business"
    );
    assert!(book.under_way("one", &key("k2"), now).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_way_across_a_change_is_neither_joined_nor_kept() {
    let (mut book, now) = (book(), Instant::now());
    let one: Arc<str> = "one".into();
    let across = begin(&mut book, "one", "k1", now);
    let other = begin(&mut book, "one", "k2", now);
    book.change(&one, &about("k1"));
    assert!(book.under_way("one", &key("k1"), now).is_none());
    assert!(book.under_way("one", &key("k2"), now).is_some());
    // One that begins after it is another one, whatever becomes of the first.
    let after = begin(&mut book, "one", "k1", now);
    book.end(&across, Some(kept("old")), now);
    assert!(!has(&mut book, "one", "k1", now));
    assert!(book.under_way("one", &key("k1"), now).is_some());
    book.end(&after, Some(kept("new")), now);
    book.end(&other, Some(kept("x")), now);
    assert_eq!(book.hit("one", &key("k1"), now).unwrap().kept.body, "new");
    // A change that names no session takes all of the organization.
    book.change(&one, &about(""));
    assert!(!has(&mut book, "one", "k1", now) && !has(&mut book, "one", "k2", now));
    assert_eq!((book.bytes, book.callers.len()), (0, 0), "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_kept_is_only_shared() {
    let (mut book, now) = (book(), Instant::now());
    let seat = book.seat(&"one".into(), &key("k1"));
    book.begin(&seat, about("k1"), None, now, "flight");
    assert!(!book.would_keep(&seat));
    book.end(&seat, Some(kept("x")), now);
    assert!(!has(&mut book, "one", "k1", now));
    let seat = begin(&mut book, "one", "k1", now);
    assert!(book.would_keep(&seat));
    book.end(&seat, None, now);
    assert!(!has(&mut book, "one", "k1", now), "it broke off");
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_first_client_reads_slowly_is_not_joined_for_long() {
    let (mut book, now) = (book(), Instant::now());
    let seat = begin(&mut book, "one", "k1", now);
    let later = now + 100 * SECOND;
    assert!(
        book.under_way("one", &key("k1"), later).is_some(),
        "Devin thinks"
    );
    book.answered(&seat, later);
    assert!(
        book.under_way("one", &key("k1"), later + JOINABLE)
            .is_some()
    );
    let too_late = later + JOINABLE + Duration::from_millis(1);
    assert!(book.under_way("one", &key("k1"), too_late).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_kept_goes_first() {
    let (mut book, now) = (book(), Instant::now());
    for target in ["k1", "k2", "k3"] {
        keep(&mut book, "one", target, now);
    }
    // Found again, it stays where it is; kept again, it is the newest.
    assert!(has(&mut book, "one", "k2", now));
    keep(&mut book, "one", "k1", now);
    keep(&mut book, "one", "k4", now);
    assert!(!has(&mut book, "one", "k2", now), "a caller has three");
    keep(&mut book, "two", "k5", now);
    keep(&mut book, "three", "k6", now);
    assert!(!has(&mut book, "one", "k3", now), "all have four");
    for (caller, target) in [("one", "k1"), ("one", "k4"), ("two", "k5"), ("three", "k6")] {
        assert!(has(&mut book, caller, target, now), "{target}");
    }
    assert_eq!(book.order.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_just_now_counts_and_pushes_out_what_is_kept() {
    let (mut book, now) = (book(), Instant::now());
    let (most, of_one) = (book.bounds.bytes, book.bounds.caller_reading);
    let (one, two) = (
        book.seat(&"one".into(), &key("k")),
        book.seat(&"two".into(), &key("k")),
    );
    keep(&mut book, "one", "k1", now);
    assert!(book.reserve(&one, of_one));
    assert!(!book.reserve(&one, 1), "it has its share");
    assert!(has(&mut book, "one", "k1", now));
    assert!(book.reserve(&two, most - of_one));
    assert!(!has(&mut book, "one", "k1", now));
    assert!(!book.reserve(&two, 1));
    keep(&mut book, "one", "k1", now);
    assert!(!has(&mut book, "one", "k1", now), "there is no room");
    book.release(&one, of_one);
    book.release(&two, most - of_one);
    assert_eq!((book.bytes, book.callers.len()), (0, 0), "nothing is left");
    keep(&mut book, "one", "k1", now);
    assert!(has(&mut book, "one", "k1", now));
    // One that is too large is not kept, and the one before it is gone.
    let seat = begin(&mut book, "one", "k1", now);
    let large = Kept {
        body: Bytes::from(vec![0; 101]),
        ..kept("")
    };
    book.end(&seat, Some(large), now);
    assert!(!has(&mut book, "one", "k1", now));
    assert_eq!(book.bytes, 0);
}

mod model {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Begin(usize, usize),
        End(usize, bool),
        Change(usize, usize),
        Wait(u64),
        Reserve(usize, usize),
        Release(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3usize, 0..5usize).prop_map(|(caller, key)| Step::Begin(caller, key)),
            (0..8usize, any::<bool>()).prop_map(|(at, whole)| Step::End(at, whole)),
            (0..3usize, 0..6usize).prop_map(|(caller, key)| Step::Change(caller, key)),
            (0..1_500u64).prop_map(Step::Wait),
            (0..3usize, 0..5_000usize).prop_map(|(caller, bytes)| Step::Reserve(caller, bytes)),
            (0..4usize).prop_map(Step::Release),
        ]
    }

    const CALLERS: [&str; 3] = ["one", "two", "three"];
    const KEYS: [&str; 6] = ["k1", "k2", "k3", "k4", "k5", ""];

    proptest! {
        /// Whatever happens: no answer is found that was asked for before a change, or too long ago, and the bounds hold.
        #[test]
        fn nothing_stale_is_found(steps in proptest::collection::vec(step(), 1..80)) {
            let mut book = book();
            let bounds = book.bounds;
            let start = Instant::now();
            let mut now = start;
            // The reads under way, and by caller and key when something last changed.
            let mut flights: Vec<(Seat, usize, usize, Instant, usize)> = Vec::new();
            let mut changed = [[0_usize; 5]; 3];
            let mut reserved: Vec<(Seat, usize)> = Vec::new();
            let mut asked: BTreeMap<usize, (usize, usize, Instant, usize)> = BTreeMap::new();
            for (tick, step) in steps.into_iter().enumerate() {
                let tick = tick + 1;
                match step {
                    Step::Begin(caller, at) => {
                        let seat = begin(&mut book, CALLERS[caller], KEYS[at], now);
                        flights.push((seat, caller, at, now, tick));
                    }
                    Step::End(at, is_whole) if at < flights.len() => {
                        let (seat, caller, key_at, left, begun) = flights.remove(at);
                        let first = Uuid::from_u128(begun as u128);
                        asked.insert(begun, (caller, key_at, left, begun));
                        book.end(&seat, is_whole.then(|| Kept { first, ..kept("x") }), now);
                    }
                    Step::End(..) => {}
                    Step::Change(caller, at) => {
                        book.change(&CALLERS[caller].into(), &about(KEYS[at]));
                        for (key_at, last) in changed[caller].iter_mut().enumerate() {
                            if KEYS[at].is_empty() || key_at == at {
                                *last = tick;
                            }
                        }
                    }
                    Step::Wait(millis) => now += Duration::from_millis(millis),
                    Step::Reserve(caller, bytes) => {
                        let seat = book.seat(&CALLERS[caller].into(), &key("k"));
                        if book.reserve(&seat, bytes) {
                            reserved.push((seat, bytes));
                        }
                    }
                    Step::Release(at) if at < reserved.len() => {
                        let (seat, bytes) = reserved.remove(at);
                        book.release(&seat, bytes);
                    }
                    Step::Release(_) => {}
                }
                prop_assert!(book.bytes <= bounds.bytes);
                let held: usize = book.callers.values().map(|it| it.bytes).sum();
                prop_assert_eq!(book.bytes, held + reserved.iter().map(|it| it.1).sum::<usize>());
                let reading: usize = book.callers.values().map(|it| it.reading).sum();
                prop_assert_eq!(book.bytes, held + reading);
                let entries: usize = book.callers.values().map(|it| it.kept.len()).sum();
                prop_assert_eq!(entries, book.order.len());
                prop_assert!(entries <= bounds.entries);
                for of_caller in book.callers.values() {
                    prop_assert!(of_caller.kept.len() <= bounds.caller_entries);
                    prop_assert!(of_caller.bytes <= bounds.caller_bytes);
                    prop_assert!(of_caller.reading <= bounds.caller_reading);
                    let is_empty = of_caller.kept.is_empty() && of_caller.under_way.is_empty();
                    prop_assert!(!is_empty || of_caller.reading > 0);
                }
                for (caller, name) in CALLERS.iter().enumerate() {
                    for (key_at, target) in KEYS.iter().take(5).enumerate() {
                        let Some(hit) = book.hit(name, &key(target), now) else { continue };
                        let begun = usize::try_from(hit.kept.first.as_u128()).unwrap();
                        let (whose, which, left, _) = asked[&begun];
                        prop_assert_eq!((whose, which), (caller, key_at));
                        prop_assert!(now < left + 2 * SECOND);
                        prop_assert!(changed[caller][key_at] < begun);
                    }
                }
            }
        }
    }
}
