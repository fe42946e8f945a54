//! Whatever is asked, in whatever order: no account gives more than its rate, and no place is lost.

use proptest::prelude::*;

use super::super::table::{Answer, Request, Table, Ticket};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A request of a caller's, at one or both limits, that waits up to so many milliseconds.
    Ask(u8, u8, u16),
    /// The first of those that wait asks again, or leaves.
    Again(u8),
    Leave(u8),
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, 1..4_u8, 0..3_000_u16).prop_map(|(caller, which, wait)| Step::Ask(caller, which, wait)),
        3 => any::<u8>().prop_map(Step::Again),
        1 => any::<u8>().prop_map(Step::Leave),
        3 => (0..1_500_u16).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn r12_no_order_of_requests_exceeds_a_rate_or_loses_a_place(
        steps in proptest::collection::vec(step(), 1..200),
        bursts in [1..4_u32, 1..4_u32],
    ) {
        let mut table = Table::default();
        let wait = SECOND * 3;
        let [one, two] = [("one", 300, bursts[0]), ("two", 700, bursts[1])].map(|(name, period, burst)| {
            let limit = limit(name, Duration::from_millis(period), burst, wait, false);
            (Arc::new(Meter::new(table.next_id(), &limit).unwrap()), period * 1_000_000, u64::from(burst))
        });
        let charge = |meter: &Arc<Meter>| Charge { meter: Arc::clone(meter), account: Account::Everyone };
        let mut now = 1_u64;
        let mut waiting: Vec<(Arc<str>, u8, u64, u16, Ticket)> = Vec::new();
        let mut admitted: [Vec<u64>; 2] = [Vec::new(), Vec::new()];
        for step in steps {
            let asked = match step {
                Step::Pass(millis) => {
                    now += u64::from(millis) * 1_000_000;
                    None
                }
                Step::Leave(n) => {
                    if !waiting.is_empty() {
                        let mut gone = waiting.remove(usize::from(n) % waiting.len());
                        table.leave(&mut gone.4);
                    }
                    None
                }
                Step::Again(n) => (!waiting.is_empty()).then(|| waiting.remove(usize::from(n) % waiting.len())),
                Step::Ask(caller, which, patience) => {
                    Some((Arc::from(format!("caller-{caller}")), which, now, patience, Ticket::default()))
                }
            };
            let Some((caller, which, asked, patience, mut ticket)) = asked else { continue };
            let mut charges = Vec::new();
            if which & 1 > 0 { charges.push(charge(&one.0)); }
            if which & 2 > 0 { charges.push(charge(&two.0)); }
            let request = Request { caller: &caller, about: 0, charges: &charges, asked, patience: Duration::from_millis(patience.into()) };
            match table.ask(request, &mut ticket, now) {
                Answer::Go { .. } => {
                    prop_assert!(!ticket.is_in_line());
                    if which & 1 > 0 { admitted[0].push(now); }
                    if which & 2 > 0 { admitted[1].push(now); }
                }
                Answer::Wait { until } => {
                    prop_assert!(until > now && until <= asked + u64::from(patience) * 1_000_000);
                    waiting.push((caller, which, asked, patience, ticket));
                }
                Answer::No { retry_after, .. } => {
                    prop_assert!(!ticket.is_in_line());
                    prop_assert!(!retry_after.is_zero());
                }
            }
        }
        for (times, (_, period, burst)) in admitted.iter().zip([&one, &two]) {
            for (at, first) in times.iter().enumerate() {
                for (last, count) in times.iter().skip(at).zip(1_u64..) {
                    // What was paid is called for within the second that was told, and its grace; what moved up was
                    // paid before.
                    let late = 6_000_000_000;
                    let most = burst + (last - first + late) / period;
                    prop_assert!(count <= most, "{count} in {} ns", last - first);
                }
            }
        }
        // Once all have left and all promises are over, nothing is kept.
        for mut gone in waiting {
            table.leave(&mut gone.4);
        }
        table.forget_all(now + 3_600_000_000_000);
        prop_assert_eq!(table.counts(), (0, 0));
    }
}

/// Somebody who waits, as the part that sleeps does it.
#[derive(Debug)]
struct Waiter {
    caller: Arc<str>,
    about: u64,
    charges: Vec<Charge>,
    asked: u64,
    patience: Duration,
    ticket: Ticket,
    until: u64,
}

impl Waiter {
    /// Asks; none if that was all.
    fn ask(mut self, table: &mut Table, now: u64) -> (Option<Self>, Option<Answer>) {
        let request = Request {
            caller: &self.caller,
            about: self.about,
            charges: &self.charges,
            asked: self.asked,
            patience: self.patience,
        };
        match table.ask(request, &mut self.ticket, now) {
            Answer::Wait { until } => {
                assert!(until > now);
                self.until = until;
                (Some(self), None)
            }
            other @ (Answer::Go { .. } | Answer::No { .. }) => {
                assert!(!self.ticket.is_in_line());
                (None, Some(other))
            }
        }
    }

    /// Whether it was woken.
    fn is_woken(&self) -> bool {
        use std::future::Future;
        use std::task::{Context, Poll, Waker};
        let Some(wake) = &self.ticket.wake else {
            return false;
        };
        let notified = std::pin::pin!(wake.notified());
        notified.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }
}

/// Lets time pass until then: whoever is woken asks, and whoever's time has come.
fn pass(table: &mut Table, waiting: &mut Vec<Waiter>, now: &mut u64, end: u64) {
    for round in 0_u32.. {
        assert!(round < 100_000, "they wake one another for ever");
        if let Some(ix) = waiting
            .iter()
            .position(|it| it.until <= *now || it.is_woken())
        {
            let (still, _) = waiting.remove(ix).ask(table, *now);
            if let Some(still) = still {
                waiting.insert(ix, still);
            }
            continue;
        }
        let next = waiting.iter().map(|it| it.until).min().unwrap_or(u64::MAX);
        if next > end {
            *now = end;
            return;
        }
        *now = next;
    }
}

proptest! {
    #[test]
    fn nobody_waits_while_something_fits_and_what_is_counted_is_there(
        steps in proptest::collection::vec(step(), 1..300),
        bursts in [1..4_u32, 1..4_u32],
        wait in 1..40_u64,
    ) {
        let mut table = Table::default();
        let wait = SECOND * u32::try_from(wait).unwrap();
        let meters = [("one", 307, bursts[0]), ("two", 701, bursts[1])].map(|(name, period, burst)| {
            let limit = limit(name, Duration::from_millis(period), burst, wait, false);
            Arc::new(Meter::new(table.next_id(), &limit).unwrap())
        });
        let mut now = 1_u64;
        let mut waiting: Vec<Waiter> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(millis) => {
                    let end = now + u64::from(millis) * 1_000_000;
                    pass(&mut table, &mut waiting, &mut now, end);
                }
                Step::Leave(n) => {
                    if !waiting.is_empty() {
                        let mut gone = waiting.remove(usize::from(n) % waiting.len());
                        table.leave(&mut gone.ticket);
                    }
                }
                // Nobody told it to.
                Step::Again(n) => {
                    if !waiting.is_empty() {
                        let ix = usize::from(n) % waiting.len();
                        let still = waiting.remove(ix).ask(&mut table, now).0;
                        waiting.extend(still);
                    }
                }
                Step::Ask(caller, which, patience) => {
                    let about = u64::from(patience % 3);
                    let account = |n: u8| match caller % 2 {
                        _ if n == 0 => Account::Everyone,
                        0 => Account::Team("even".into()),
                        _ => Account::Team("odd".into()),
                    };
                    let charges = (0..2_u8).zip(&meters).filter(|(n, _)| which & (1 << n) > 0);
                    let charges = charges.map(|(n, meter)| Charge { meter: Arc::clone(meter), account: account(n) });
                    let waiter = Waiter {
                        caller: format!("caller-{caller}").into(),
                        about,
                        charges: charges.collect(),
                        asked: now,
                        patience: Duration::from_millis(u64::from(patience) * 10),
                        ticket: Ticket::default(),
                        until: 0,
                    };
                    waiting.extend(waiter.ask(&mut table, now).0);
                }
            }
            let at = now;
            pass(&mut table, &mut waiting, &mut now, at);
            table.check();
            // Whoever comes first where something is left, and waits for nothing else, was let in.
            for it in &waiting {
                prop_assert!(!table.would_fit(&it.charges, &it.ticket, now), "{it:?}");
            }
        }
        // All of them come to an end, each within its time.
        let end = now + 3_600_000_000_000;
        pass(&mut table, &mut waiting, &mut now, end);
        prop_assert!(waiting.is_empty());
        table.forget_all(now);
        prop_assert_eq!(table.counts(), (0, 0));
    }
}
