//! A session at a Devin that honours caps, and everything that can be seen of it, in any order.

use proptest::prelude::*;

use super::*;

const CAP: i64 = 5_000;
const QUIET: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Step {
    /// A hold is taken for a wake, and its request leaves.
    Send,
    /// Devin carries out one of the requests that are on their way.
    CarryOut(u8),
    /// The answer of one that was carried out comes.
    Answer(u8),
    /// One that was not carried out is known to have failed.
    Fail(u8),
    /// One is given up on.
    GiveUp(u8),
    /// The session uses so much, as far as its cap lets it.
    Work(u16),
    /// A reading begins, and sees what there is.
    Begin(bool),
    /// One of the readings that began arrives.
    Arrive(u8),
    /// The session ends.
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Send),
        4 => any::<u8>().prop_map(Step::CarryOut),
        4 => any::<u8>().prop_map(Step::Answer),
        1 => any::<u8>().prop_map(Step::Fail),
        1 => any::<u8>().prop_map(Step::GiveUp),
        5 => (0..3_000_u16).prop_map(Step::Work),
        4 => any::<bool>().prop_map(Step::Begin),
        4 => any::<u8>().prop_map(Step::Arrive),
        1 => Just(Step::End),
    ];
    proptest::collection::vec(step, 1..80)
}

/// What Devin itself knows of the session.
#[derive(Default)]
struct Truth {
    usage: i64,
    allowance: i64,
    rests: bool,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Sent {
    OnItsWay,
    CarriedOut,
    Over,
}

#[derive(Default)]
struct World {
    book: Book,
    truth: Truth,
    sent: Vec<(HoldId, Sent)>,
    readings: Vec<Reading>,
    ticks: i64,
    spent: i64,
    held: i64,
    entries: Vec<Entry>,
}

impl World {
    fn tick(&mut self) -> Tick {
        self.ticks += 1;
        Tick(self.ticks)
    }

    fn pick(&self, wanted: Sent, pick: u8) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.sent.len())
            .filter(|ix| self.sent[*ix].1 == wanted)
            .collect();
        (!fitting.is_empty()).then(|| fitting[usize::from(pick) % fitting.len()])
    }

    fn moment(&self) -> Moment {
        Moment {
            at: Timestamp::from_second(1_000 + self.ticks).unwrap(),
            up: Duration::from_secs(30 * self.ticks.unsigned_abs()),
        }
    }

    fn note(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            self.spent += entry.spent.milli();
            self.held += entry.held.milli();
            self.entries.push(entry);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Send => {
                let number = self.sent.len() as u32 + 1;
                let hold = HoldId(uuid::Uuid::from_u128(u128::from(number)));
                let at = self.moment().at;
                let entry = self.book.hold(hold, number, at, Acu::from_milli(CAP));
                self.note([entry]);
                self.sent.push((hold, Sent::OnItsWay));
            }
            Step::CarryOut(pick) => {
                if let Some(ix) = self
                    .pick(Sent::OnItsWay, *pick)
                    .filter(|_| !self.truth.ended)
                {
                    self.sent[ix].1 = Sent::CarriedOut;
                    self.truth.allowance = CAP;
                    self.truth.rests = false;
                }
            }
            Step::Answer(pick) => {
                if let Some(ix) = self.pick(Sent::CarriedOut, *pick) {
                    let at = self.tick();
                    let entries = self.book.answered(self.sent[ix].0, at);
                    self.note(entries);
                    self.sent[ix].1 = Sent::Over;
                }
            }
            Step::Fail(pick) => {
                if let Some(ix) = self.pick(Sent::OnItsWay, *pick) {
                    let entry = self.book.released(self.sent[ix].0);
                    self.note(entry);
                    self.sent[ix].1 = Sent::Over;
                }
            }
            Step::GiveUp(pick) => {
                let ix = usize::from(*pick) % self.sent.len().max(1);
                if let Some((hold, _)) = self.sent.get(ix) {
                    self.book.unknown(*hold);
                }
            }
            Step::Work(milli) => {
                if !self.truth.ended && !self.truth.rests {
                    let used = i64::from(*milli).min(self.truth.allowance);
                    self.truth.usage += used;
                    self.truth.allowance -= used;
                }
            }
            Step::Begin(resting) => {
                let begun = Begun {
                    tick: self.tick(),
                    up: self.moment().up,
                };
                self.truth.rests |= *resting;
                let status = match (self.truth.ended, self.truth.rests) {
                    (true, _) => "exit",
                    (false, true) => "suspended",
                    (false, false) => "running",
                };
                self.readings.push(Reading {
                    begun,
                    moment: self.moment(),
                    usage: Some(Acu::from_milli(self.truth.usage)),
                    status: status.into(),
                    detail: None,
                    organization: None,
                });
            }
            Step::Arrive(pick) => {
                if !self.readings.is_empty() {
                    let ix = usize::from(*pick) % self.readings.len();
                    let mut reading = self.readings.swap_remove(ix);
                    reading.moment = self.moment();
                    let entries = self.book.read(&reading, QUIET);
                    self.note(entries);
                }
            }
            Step::End => self.truth.ended = true,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn l7_wakes_stay_within_their_holds_in_any_order_of_answers_and_readings(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            world.step(step);
            let book = &world.book;
            let held: i64 = book.wakes.iter().map(|it| it.left().milli()).sum();
            prop_assert_eq!(held, world.held, "what the entries hold is what the wakes hold");
            prop_assert_eq!(world.spent, book.usage.milli(), "what the entries spend is what was read");
            prop_assert!(held >= 0);
            for wake in &book.wakes {
                prop_assert!(wake.used <= wake.held, "a wake stays within its hold");
            }
            for entry in &world.entries {
                prop_assert!(!matches!(entry.cause, Cause::Overrun | Cause::Unheld), "{:?}", entry);
            }
            // What Devin may still use, and what it has used unseen, is held.
            let unseen = world.truth.usage - book.usage.milli();
            let coming = if world.truth.ended { 0 } else { world.truth.allowance };
            let rested = world.truth.rests || world.truth.ended;
            prop_assert!(rested || unseen + coming <= held, "{unseen} + {coming} <= {held}");
        }
    }

    /// Whatever happens, no ACU is lost: what is spent is the highest usage that was read.
    #[test]
    fn l6_no_acu_is_lost_whatever_is_read(readings in proptest::collection::vec((any::<i8>(), 0..9_000_i64, 0..3_usize), 1..30)) {
        let mut world = World::default();
        world.step(&Step::Send);
        world.book.answered(world.sent[0].0, Tick(5));
        for (begun, usage, status) in readings {
            let reading = Reading {
                begun: Begun { tick: Tick(i64::from(begun)), up: Duration::from_secs(u64::from(begun.unsigned_abs()) * 20) },
                moment: Moment { at: Timestamp::from_second(i64::from(begun)).unwrap(), up: Duration::from_secs(u64::from(begun.unsigned_abs()) * 20) },
                usage: (usage < 8_500).then_some(Acu::from_milli(usage)),
                status: ["running", "suspended", "exit"][status].into(),
                detail: None,
                organization: None,
            };
            let entries = world.book.read(&reading, QUIET);
            world.note(entries);
            let again = world.book.read(&reading, QUIET);
            prop_assert!(again.is_empty(), "{again:?}");
            prop_assert_eq!(world.spent, world.book.usage.milli());
        }
    }
}
