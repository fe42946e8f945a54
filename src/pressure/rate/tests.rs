//! Against several ways in which Devin may count.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::pause::Pause;
use super::*;

fn secs(it: f64) -> Duration {
    Duration::from_secs_f64(it)
}

/// How Devin may count, over a minute or less: longer ones are not learned, and met with pauses.
/// Says whether it takes one more.
trait Quota {
    fn takes(&mut self, now: Duration) -> bool;
}

/// So many in each window of its own clock.
struct Windows {
    limit: u32,
    length: Duration,
    window: u128,
    used: u32,
}

impl Quota for Windows {
    fn takes(&mut self, now: Duration) -> bool {
        let window = now.as_nanos() / self.length.as_nanos();
        if window != self.window {
            (self.window, self.used) = (window, 0);
        }
        self.used += 1;
        self.used <= self.limit
    }
}

/// A bucket that fills steadily.
struct Bucket {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    at: Duration,
}

impl Quota for Bucket {
    fn takes(&mut self, now: Duration) -> bool {
        let filled = (now - self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + filled).min(self.capacity);
        self.at = now;
        let takes = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(takes));
        takes
    }
}

/// So many in any minute.
struct Sliding {
    limit: usize,
    taken: VecDeque<Duration>,
}

impl Quota for Sliding {
    fn takes(&mut self, now: Duration) -> bool {
        while self.taken.front().is_some_and(|it| now - *it >= PERIOD) {
            self.taken.pop_front();
        }
        let takes = self.taken.len() < self.limit;
        if takes {
            self.taken.push_back(now);
        }
        takes
    }
}

fn windows(limit: u32, seconds: u64) -> Box<dyn Quota> {
    Box::new(Windows {
        limit,
        length: Duration::from_secs(seconds),
        window: 0,
        used: 0,
    })
}

fn bucket(per_second: f64, capacity: f64) -> Box<dyn Quota> {
    Box::new(Bucket {
        per_second,
        capacity,
        tokens: capacity,
        at: Duration::ZERO,
    })
}

fn sliding(limit: usize) -> Box<dyn Quota> {
    Box::new(Sliding {
        limit,
        taken: VecDeque::new(),
    })
}

/// Sends whenever it is due, and hears of it so much later. Says what was accepted and refused in the hour after the
/// warm-up.
fn greedy(mut quota: Box<dyn Quota>, latency: Duration, warm_up: Duration) -> (u32, u32) {
    let mut rate = Rate::new(None);
    let mut pause = Pause::default();
    let mut now = Duration::ZERO;
    let mut under_way: VecDeque<(Duration, bool)> = VecDeque::new();
    let (mut accepted, mut refused) = (0, 0);
    let end = warm_up + Duration::from_secs(3_600);
    while now < end {
        let next = rate
            .due(now)
            .max(pause.until())
            .max(now + Duration::from_millis(1));
        if let Some((at, takes)) = under_way.front().copied()
            && at <= next
        {
            under_way.pop_front();
            now = now.max(at);
            let counts = u32::from(now >= warm_up);
            if takes {
                rate.accepted(now);
                pause.accepted(now);
                accepted += counts;
            } else {
                refused += counts;
                let until = pause.refused(now, None);
                rate.refused(now, until);
            }
            continue;
        }
        now = next;
        rate.take(now, true);
        pause.leaves(now);
        under_way.push_back((now + latency, quota.takes(now)));
    }
    (accepted, refused)
}

#[test]
fn what_is_refused_is_remembered_and_hardly_touched_again() {
    let latency = Duration::from_millis(200);
    let warm_up = Duration::from_secs(900);
    for (name, a_minute, quota) in [
        ("300 in each minute", 300.0, windows(300, 60)),
        ("1,000 in each minute", 1_000.0, windows(1_000, 60)),
        ("10 in each second", 600.0, windows(10, 1)),
        ("100 in ten seconds", 600.0, windows(100, 10)),
        ("a bucket of 10", 300.0, bucket(5.0, 10.0)),
        ("a bucket of 300", 300.0, bucket(5.0, 300.0)),
        ("300 in any minute", 300.0, sliding(300)),
    ] {
        let (accepted, refused) = greedy(quota, latency, warm_up);
        let share = f64::from(accepted) / (a_minute * 60.0);
        let part = f64::from(refused) / f64::from(accepted + refused);
        println!(
            "{name}: {:.2} % used, {refused} refused ({:.4} %)",
            share * 100.0,
            part * 100.0
        );
        assert!(share > 0.95, "{name}: {share}");
        assert!(part < 0.001, "{name}: {refused}");
    }
}

#[test]
fn a_small_limit_is_used_too() {
    for limit in [10, 60] {
        let (accepted, refused) = greedy(
            windows(limit, 60),
            Duration::from_millis(200),
            Duration::from_secs(900),
        );
        let share = f64::from(accepted) / f64::from(limit * 60);
        println!(
            "{limit} a minute: {:.2} % used, {refused} refused",
            share * 100.0
        );
        // Each refusal is much of a few requests.
        assert!(share > 0.9 && refused <= 8, "{limit}: {share}, {refused}");
    }
}

#[test]
fn nothing_limits_until_devin_does() {
    let mut rate = Rate::new(None);
    for _ in 0..1_000 {
        assert_eq!(rate.due(secs(5.0)), secs(5.0));
        rate.take(secs(5.0), true);
        rate.accepted(secs(5.0));
    }
    assert_eq!(rate.per_second(), None);
    rate.refused(secs(5.0), secs(6.0));
    let learned = rate.per_second().unwrap();
    assert!((learned - 15.0).abs() < 0.1, "{learned}");
}

#[test]
fn a_ceiling_is_kept_in_every_minute() {
    let mut rate = Rate::new(Some(5.0));
    let mut left = Vec::new();
    let mut now = Duration::ZERO;
    while now < secs(600.0) {
        now = rate.due(now);
        rate.take(now, true);
        rate.accepted(now);
        left.push(now);
    }
    for from in 0..540 {
        let of = secs(f64::from(from))..secs(f64::from(from) + 60.0);
        let count = left.iter().filter(|it| of.contains(*it)).count();
        assert!((298..=304).contains(&count), "{from}: {count}");
    }
}

#[test]
fn several_refusals_within_a_minute_are_one() {
    let mut rate = Rate::new(None);
    for second in 0..60 {
        rate.accepted(secs(f64::from(second)));
    }
    rate.refused(secs(60.0), secs(61.0));
    let once = rate.per_second();
    for second in 61..100 {
        rate.refused(secs(f64::from(second)), secs(f64::from(second) + 1.0));
    }
    assert_eq!(rate.per_second(), once);
}

#[test]
fn a_rate_that_nobody_wants_in_full_does_not_grow() {
    let mut rate = Rate::new(None);
    for second in 0..60 {
        rate.accepted(secs(f64::from(second)));
    }
    rate.refused(secs(60.0), secs(61.0));
    let before = rate.per_second();
    for second in 70..10_000 {
        rate.take(secs(f64::from(second)), false);
    }
    assert_eq!(rate.per_second(), before);
}

#[test]
fn a_limit_that_was_raised_is_found() {
    let mut rate = Rate::new(None);
    for tick in 0..300 {
        rate.accepted(secs(f64::from(tick) * 0.2));
    }
    rate.refused(secs(60.0), secs(61.0));
    let mut now = secs(61.0);
    while rate.per_second().is_some_and(|it| it < 50.0) {
        now = rate.due(now);
        rate.take(now, true);
    }
    assert!(now < secs(300.0), "{now:?}");
}

proptest! {
    #[test]
    fn whatever_comes_the_rate_is_a_sane_number(
        ceiling in proptest::option::of(0.01..1_000.0),
        steps in proptest::collection::vec((0..4_u8, 0..100_000_u64, any::<bool>()), 0..300),
    ) {
        let mut rate = Rate::new(ceiling);
        let mut now = Duration::ZERO;
        for (what, millis, is_wanted) in steps {
            now += Duration::from_millis(millis);
            match what {
                0 => rate.take(now, is_wanted),
                1 => rate.accepted(now),
                2 => rate.refused(now, now + Duration::from_millis(millis)),
                _ => rate.give_back(),
            }
            if let Some(it) = rate.per_second() {
                prop_assert!(it.is_finite() && it > 0.0 && it <= MOST * 2.0, "{it}");
                prop_assert!(ceiling.is_none_or(|ceiling| it <= ceiling));
            }
            prop_assert!(rate.due(now) >= now);
        }
    }

    #[test]
    fn no_minute_has_more_than_the_rate_and_its_burst(
        per_minute in 1..2_000_u32,
        pauses in proptest::collection::vec(0..5_000_u64, 1..400),
    ) {
        let mut rate = Rate::new(Some(f64::from(per_minute) / 60.0));
        let mut left = Vec::new();
        let mut now = Duration::ZERO;
        for pause in pauses {
            now = rate.due(now + Duration::from_millis(pause));
            rate.take(now, true);
            left.push(now);
        }
        let burst = 1 + per_minute / 100;
        for from in &left {
            let until = *from + PERIOD;
            let count = left.iter().filter(|it| *from <= **it && **it < until).count();
            prop_assert!(count <= (per_minute + burst + 1) as usize, "{count}");
        }
    }
}

#[test]
fn devin_that_goes_on_refusing_counts_over_a_minute_and_nothing_is_looked_for() {
    let mut rate = Rate::new(None);
    for _ in 0..290 {
        rate.accepted(secs(0.01));
    }
    rate.refused(secs(0.02), secs(1.02));
    // Ten that had left before it are answered late.
    for _ in 0..10 {
        rate.accepted(secs(0.5));
    }
    for second in [1.0, 3.0, 7.0, 15.0, 31.0] {
        rate.refused(secs(second), secs(second + 1.0));
    }
    let mut now = secs(63.0);
    while now < secs(600.0) {
        now = rate.due(now);
        rate.take(now, true);
        rate.accepted(now);
    }
    let pace = rate.per_second().unwrap();
    assert!((4.89..4.91).contains(&pace), "{pace}");
}

#[test]
fn devin_that_takes_more_at_once_is_asked_for_more() {
    let mut rate = Rate::new(None);
    for _ in 0..300 {
        rate.accepted(secs(0.01));
    }
    rate.refused(secs(0.02), secs(1.02));
    let mut now = secs(2.0);
    while now < secs(120.0) {
        now = rate.due(now);
        rate.take(now, true);
        rate.accepted(now);
    }
    assert!(rate.per_second().is_some_and(|it| it > 10.0));
}
