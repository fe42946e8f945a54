//! Each clause of "one intent, one session", and what holds whatever happens.

use proptest::prelude::*;

use super::*;

type Turns = Turn<u32, ()>;

const SMALL: Bounds = Bounds {
    per_caller: 3,
    total: 5,
    bytes: 100,
};

struct Room {
    registry: Registry<u32, ()>,
    now: Instant,
    ends: u32,
}

impl Room {
    fn new() -> Self {
        Self::with(BOUNDS)
    }

    fn with(bounds: Bounds) -> Self {
        Self {
            registry: Registry::new(bounds),
            now: Instant::now(),
            ends: 0,
        }
    }

    fn arrive(&mut self, ask: &Ask) -> Turns {
        self.ends += 1;
        let end = self.ends;
        self.registry.arrive(ask, self.now, || end)
    }

    #[track_caller]
    fn begin(&mut self, ask: &Ask) -> Seat {
        let turn = self.arrive(ask);
        let Turn::Begin(seat) = turn else {
            panic!("{turn:?}");
        };
        seat
    }

    #[track_caller]
    fn join(&mut self, ask: &Ask) -> Seat {
        let turn = self.arrive(ask);
        let Turn::Join { seat, .. } = turn else {
            panic!("{turn:?}");
        };
        seat
    }

    fn left(&mut self, seat: Seat) -> bool {
        self.registry.left(seat, self.now).is_some()
    }

    fn delivered(&mut self, seat: Seat) -> bool {
        self.registry.delivered(seat, self.now).is_some()
    }

    fn answered(&mut self, seat: Seat) {
        self.registry.answered(seat.attempt, 10, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Fingerprints hold the caller.
fn plain(caller: &str, body: u8) -> Ask {
    let mut fingerprint = [body; 32];
    fingerprint[0] = caller.as_bytes()[0];
    Ask {
        caller: caller.into(),
        key: None,
        fingerprint,
        repeats: false,
        lingers: true,
        request_id: Uuid::from_u128(u128::from(body)),
    }
}

fn named(caller: &str, body: u8, key: &str) -> Ask {
    Ask {
        key: Key::parse(key.as_bytes()),
        ..plain(caller, body)
    }
}

/// As after the moment in which a departure would have shown.
fn waited(ask: Ask) -> Ask {
    Ask {
        lingers: false,
        ..ask
    }
}

fn repeated(ask: Ask) -> Ask {
    Ask {
        repeats: true,
        ..ask
    }
}

#[test]
fn m6_a_repeat_joins_the_attempt_whose_client_has_gone() {
    let mut room = Room::new();
    let first = room.begin(&plain("a", 1));
    assert!(room.left(first));
    let second = room.join(&plain("a", 1));
    assert_eq!(second.attempt, first.attempt);
    // And so does the next one, when that one leaves.
    assert!(room.left(second));
    assert_eq!(room.join(&plain("a", 1)).attempt, first.attempt);
}

#[test]
fn m6_an_answer_that_nobody_received_is_the_next_ones() {
    let mut room = Room::new();
    for leaves_first in [true, false] {
        let first = room.begin(&plain("a", 1));
        if leaves_first {
            room.left(first);
        }
        room.answered(first);
        room.left(first);
        room.pass(UNDELIVERED - SECOND);
        let second = room.join(&plain("a", 1));
        assert_eq!(second.attempt, first.attempt);
        room.delivered(second);
        room.pass(DELIVERED);
    }
    let first = room.begin(&plain("a", 1));
    room.answered(first);
    room.left(first);
    room.pass(UNDELIVERED);
    room.begin(&plain("a", 1));
}

#[test]
fn m6_only_the_same_caller_operation_path_and_body_is_a_repeat() {
    let mut room = Room::new();
    let first = room.begin(&plain("a", 1));
    room.left(first);
    room.begin(&plain("b", 1));
    room.begin(&plain("a", 2));
}

#[test]
fn an_attempt_that_was_answered_without_a_result_is_joined_by_whoever_repeats_it() {
    let mut room = Room::new();
    let first = room.begin(&plain("a", 1));
    room.registry.without_result(first.attempt, room.now);
    room.delivered(first);
    let second = room.join(&plain("a", 1));
    assert_eq!(second.attempt, first.attempt);
    // It has a client now: who says nothing of repeating is another intent.
    assert_eq!(room.arrive(&plain("a", 1)), Turn::Linger(()));
    room.begin(&waited(plain("a", 1)));
    room.left(second);
    assert_eq!(room.join(&plain("a", 1)).attempt, first.attempt);
}

#[test]
fn what_came_to_light_before_anybody_asked_again_is_the_next_ones() {
    let mut room = Room::new();
    let first = room.begin(&plain("a", 1));
    room.registry.without_result(first.attempt, room.now);
    // What it was given was that nobody knew.
    room.delivered(first);
    room.answered(first);
    let second = room.join(&plain("a", 1));
    assert_eq!(second.attempt, first.attempt);
    room.delivered(second);
    room.begin(&plain("a", 1));
}

#[test]
fn the_order_of_choice_is_gone_then_no_result_then_delivered_then_waiting() {
    let mut room = Room::new();
    let waiting = room.begin(&plain("a", 1));
    let delivered = room.begin(&waited(plain("a", 1)));
    let lost = room.begin(&waited(plain("a", 1)));
    let gone = room.begin(&waited(plain("a", 1)));
    room.answered(delivered);
    room.delivered(delivered);
    room.registry.without_result(lost.attempt, room.now);
    room.delivered(lost);
    room.left(gone);
    let repeat = waited(repeated(plain("a", 1)));
    assert_eq!(room.join(&repeat).attempt, gone.attempt);
    assert_eq!(room.join(&repeat).attempt, lost.attempt);
    let again = room.join(&repeat);
    assert_eq!(again.attempt, delivered.attempt);
    assert_eq!(room.join(&repeat).attempt, waiting.attempt);
}

#[test]
fn delivered_answers_are_only_for_who_says_that_it_repeats_and_for_ten_minutes() {
    let mut room = Room::new();
    let first = room.begin(&plain("a", 1));
    room.answered(first);
    room.delivered(first);
    room.pass(DELIVERED - SECOND);
    let other = room.begin(&plain("a", 1));
    room.registry.over(other.attempt);
    let again = room.join(&repeated(plain("a", 1)));
    assert_eq!(again.attempt, first.attempt);
    room.delivered(again);
    room.pass(DELIVERED);
    room.begin(&repeated(plain("a", 1)));
}

#[test]
fn an_equal_request_waits_a_moment_before_it_is_another_intent() {
    let mut room = Room::new();
    let first = room.begin(&plain("a", 1));
    // Also where it says that it repeats: its own attempt may be the one whose client is about to show that it left.
    for ask in [plain("a", 1), repeated(plain("a", 1))] {
        assert_eq!(room.arrive(&ask), Turn::Linger(()));
    }
    let second = room.begin(&waited(plain("a", 1)));
    assert_ne!(first.attempt, second.attempt);
    assert!(room.left(second), "there is a bell to ring");
    assert_eq!(room.join(&plain("a", 1)).attempt, second.attempt);
}

#[test]
fn an_attempt_has_one_live_client() {
    let mut room = Room::new();
    let first = room.begin(&plain("a", 1));
    let second = room.join(&waited(repeated(plain("a", 1))));
    // What becomes of the former one changes nothing.
    assert!(!room.left(first));
    assert!(!room.delivered(first));
    assert_eq!(room.arrive(&plain("a", 1)), Turn::Linger(()));
    assert!(room.left(second));
    assert_eq!(room.join(&plain("a", 1)).attempt, first.attempt);
}

#[test]
fn i5_what_is_over_cannot_be_joined() {
    let mut room = Room::new();
    for repeat in [plain("a", 1), repeated(plain("a", 1)), named("a", 1, "k")] {
        let first = room.begin(&repeat);
        room.registry.over(first.attempt);
        assert!(!room.left(first));
        let second = room.begin(&repeat);
        assert_ne!(first.attempt, second.attempt);
        room.registry.over(second.attempt);
    }
    assert!(room.registry.is_empty());
}

#[test]
fn i1_i2_i3_a_key_names_one_intent_of_one_caller() {
    let mut room = Room::new();
    let first = room.begin(&named("a", 1, "k"));
    // However many, and without a moment's wait: the name says that it is the same.
    for _ in 0..100 {
        assert_eq!(room.join(&named("a", 1, "\"k\"")).attempt, first.attempt);
    }
    assert_eq!(room.arrive(&named("a", 2, "k")), Turn::Mismatch);
    room.begin(&named("b", 1, "k"));
    room.begin(&named("a", 1, "l"));
    // An unnamed one is none of them.
    room.begin(&plain("a", 1));
}

#[test]
fn a_named_attempt_is_forgotten_when_the_store_has_its_answer() {
    let mut room = Room::new();
    let first = room.begin(&named("a", 1, "k"));
    room.registry.without_result(first.attempt, room.now);
    assert_eq!(room.join(&named("a", 1, "k")).attempt, first.attempt);
    room.answered(first);
    assert!(room.registry.is_empty());
}

#[test]
fn what_an_earlier_process_began_is_joined() {
    let mut room = Room::new();
    let ask = plain("a", 1);
    let left = room
        .registry
        .restore(Arc::clone(&ask.caller), ask.fingerprint, room.now, 9);
    let turn = room.arrive(&ask);
    let Turn::Join { seat, end, first } = turn else {
        panic!("{turn:?}");
    };
    assert_eq!((seat.attempt, end, first), (left, 9, None));
}

#[test]
fn i7_what_may_have_acted_is_never_forgotten_to_make_room() {
    let mut room = Room::with(SMALL);
    let kept: Vec<Seat> = (1..=3).map(|body| room.begin(&plain("a", body))).collect();
    room.registry.without_result(kept[0].attempt, room.now);
    room.delivered(kept[0]);
    assert_eq!(room.arrive(&plain("a", 4)), Turn::Full, "of this caller");
    room.begin(&plain("b", 1));
    let answered = room.begin(&plain("b", 2));
    assert_eq!(room.arrive(&plain("c", 1)), Turn::Full, "of all");
    room.answered(answered);
    assert_eq!(room.arrive(&plain("c", 1)), Turn::Full, "its client waits");
    room.delivered(answered);
    room.begin(&plain("c", 1));
    room.pass(UNRESOLVED);
    room.begin(&plain("a", 4));
    assert_eq!(room.registry.len(), 5);
}

#[test]
fn i7_answers_that_are_kept_have_a_bound_in_bytes() {
    let mut room = Room::with(Bounds {
        bytes: 25,
        ..BOUNDS
    });
    let seats: Vec<Seat> = (1..=3).map(|body| room.begin(&plain("a", body))).collect();
    for seat in &seats {
        room.answered(*seat);
        room.delivered(*seat);
        room.pass(SECOND);
    }
    // Ten bytes each: the oldest had to go.
    let last = room.begin(&plain("a", 4));
    room.answered(last);
    assert_eq!(room.registry.len(), 2);
    room.begin(&repeated(plain("a", 1)));
}

/// What can happen to the requests of two intents.
#[derive(Clone, Copy, Debug)]
enum Event {
    Arrive {
        body: u8,
        repeats: bool,
        lingers: bool,
    },
    Leave(usize),
    Deliver(usize),
    Answer(usize),
    NoResult(usize),
    Unresolvable(usize),
    Over(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let at = 0..8_usize;
    prop_oneof![
        4 => (0..2_u8, any::<bool>(), any::<bool>())
            .prop_map(|(body, repeats, lingers)| Event::Arrive { body, repeats, lingers }),
        2 => at.clone().prop_map(Event::Leave),
        1 => at.clone().prop_map(Event::Deliver),
        1 => at.clone().prop_map(Event::Answer),
        2 => at.clone().prop_map(Event::NoResult),
        1 => at.clone().prop_map(Event::Unresolvable),
        1 => at.prop_map(Event::Over),
        1 => (0..1_000_u64).prop_map(Event::Pass),
    ]
}

/// What the outside knows of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Model {
    id: AttemptId,
    body: u8,
    /// Ended, maybe acted, not known.
    open: bool,
    has_ended: bool,
    client: Option<Seat>,
    served: bool,
}

proptest! {
    #[test]
    fn no_intent_runs_twice_while_one_is_given_up_and_not_resolved(events in prop::collection::vec(event(), 0..60)) {
        let mut room = Room::with(Bounds { per_caller: 50, ..BOUNDS });
        let mut models: Vec<Model> = Vec::new();
        let mut seats: Vec<Seat> = Vec::new();
        for event in events {
            let place = |at: usize, count: usize| (count > 0).then(|| at % count);
            match event {
                Event::Arrive { body, repeats, lingers } => {
                    let ask = Ask { repeats, lingers, ..plain("a", body) };
                    match room.arrive(&ask) {
                        Turn::Begin(seat) => {
                            let given_up = |it: &&Model| it.body == body && it.client.is_none() && !it.served;
                            prop_assert_eq!(models.iter().find(given_up), None);
                            seats.push(seat);
                            models.push(Model {
                                id: seat.attempt, body, open: false, has_ended: false, client: Some(seat), served: false,
                            });
                        }
                        Turn::Join { seat, .. } => {
                            let model = models.iter_mut().find(|it| it.id == seat.attempt).unwrap();
                            prop_assert_eq!(model.body, body);
                            prop_assert!(model.client.is_none() || (repeats && !lingers));
                            model.client = Some(seat);
                            model.served = false;
                            seats.push(seat);
                        }
                        Turn::Linger(()) => {
                            prop_assert!(lingers && models.iter().any(|it| it.body == body && it.client.is_some()));
                        }
                        other @ (Turn::Mismatch | Turn::Full) => prop_assert!(false, "{:?}", other),
                    }
                }
                Event::Leave(at) | Event::Deliver(at) => {
                    let Some(at) = place(at, seats.len()) else { continue };
                    let seat = seats[at];
                    let is_delivery = matches!(event, Event::Deliver(_));
                    let model = models.iter_mut().find(|it| it.id == seat.attempt);
                    if is_delivery && model.as_ref().is_some_and(|it| !it.has_ended) {
                        continue;
                    }
                    let is_live = model.as_ref().is_some_and(|it| it.client == Some(seat));
                    let rang = if is_delivery { room.delivered(seat) } else { room.left(seat) };
                    prop_assert_eq!(rang, is_live, "only the live client counts");
                    if let Some(model) = model.filter(|_| is_live) {
                        model.client = None;
                        model.served = is_delivery && !model.open;
                    }
                }
                Event::Answer(at) | Event::NoResult(at) | Event::Unresolvable(at) | Event::Over(at) => {
                    let Some(at) = place(at, models.len()) else { continue };
                    let model = &mut models[at];
                    // What has its result keeps it.
                    if model.has_ended && !model.open {
                        continue;
                    }
                    model.has_ended = true;
                    model.open = matches!(event, Event::NoResult(_) | Event::Unresolvable(_));
                    let id = model.id;
                    if matches!(event, Event::Answer(_)) {
                        room.registry.answered(id, 1, room.now);
                    } else if matches!(event, Event::NoResult(_)) {
                        room.registry.without_result(id, room.now);
                    } else if matches!(event, Event::Unresolvable(_)) {
                        room.registry.unresolvable(id, room.now);
                    } else {
                        room.registry.over(id);
                        models.remove(at);
                    }
                }
                Event::Pass(seconds) => {
                    room.pass(Duration::from_secs(seconds));
                    // So long that something may be forgotten: what the outside knows is not compared any further.
                    if room.now.duration_since(Instant::now()) > DELIVERED {
                        return Ok(());
                    }
                }
            }
            let live = room.registry.known.values().map(|it| it.client).collect::<Vec<_>>();
            let waiting: Vec<u64> = live.iter().filter_map(|it| match it {
                Client::Waiting(number) => Some(*number),
                Client::Gone(_) | Client::Delivered(_) => None,
            }).collect();
            let expected: Vec<u64> = models.iter().filter_map(|it| it.client).map(|it| it.client).collect();
            prop_assert_eq!(waiting.len(), expected.len());
            prop_assert!(expected.iter().all(|it| waiting.contains(it)));
            prop_assert_eq!(room.registry.counts.values().sum::<usize>(), room.registry.known.len());
            let grouped: usize = room.registry.groups.values().map(|it| it.attempts.len()).sum();
            prop_assert_eq!(grouped, room.registry.known.len());
        }
    }
}
