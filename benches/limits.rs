//! What a check of rate limits costs beside a bare governor, and what a million accounts cost.
//!
//! Only the ratios mean anything: absolute figures are this machine's, this
//! minute's.
//!
//! `cargo bench --bench limits`, or with `-- --rounds 5`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that fails should say where, and asks real clocks"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tollgate::limits::{Account, Asked, Charge, Limits, MOST_ACCOUNTS, Meter};
use tollgate::policy::{Limit, LimitPer, Limited, Rate};

/// Callers, each with an account of its own.
const CALLERS: usize = 10_000;
/// Checks in one window.
const CHECKS: usize = 1_000_000;
/// So much fits that nothing is refused.
const BURST: u32 = 1_000_000;

fn limit(name: &str) -> Limit {
    Limit {
        name: name.into(),
        team: None,
        callers: None,
        per: LimitPer::Caller,
        operations: None,
        what: Limited::Rate(Rate {
            period: Duration::from_micros(1),
            burst: BURST.try_into().unwrap(),
            wait: Duration::ZERO,
        }),
        shadow: false,
    }
}

/// Checks of one limit, or of three at once, by callers in an order that no cache likes.
struct Ours {
    limits: Limits,
    meters: Vec<Arc<Meter>>,
    callers: Vec<Arc<str>>,
}

impl Ours {
    fn new(count: usize) -> Self {
        let limits = Limits::new();
        let meters = (0..count).map(|n| Arc::new(limits.meter(&limit(&format!("t/{n}"))).unwrap()));
        Self {
            meters: meters.collect(),
            callers: callers(),
            limits,
        }
    }

    fn window(&self) -> f64 {
        timed(|n| {
            let caller = &self.callers[place(n)];
            let charges = self.meters.iter().map(|meter| Charge {
                meter: Arc::clone(meter),
                account: Account::Caller(Arc::clone(caller)),
            });
            let asked = Asked {
                caller: Arc::clone(caller),
                about: 0,
                charges: charges.collect(),
                patience: Duration::MAX,
            };
            let granted = self.limits.admit(asked).now_or_never().unwrap();
            assert!(black_box(granted).is_ok());
        })
    }
}

fn callers() -> Vec<Arc<str>> {
    (0..CALLERS).map(|n| format!("caller-{n}").into()).collect()
}

fn place(n: usize) -> usize {
    n.wrapping_mul(7_919) % CALLERS
}

fn timed(mut check: impl FnMut(usize)) -> f64 {
    let begun = Instant::now();
    for n in 0..CHECKS {
        check(n);
    }
    begun.elapsed().as_nanos() as f64 / CHECKS as f64
}

/// governor by itself, with a key for each caller.
fn bare(limiters: &[DefaultKeyedRateLimiter<Arc<str>>], callers: &[Arc<str>]) -> f64 {
    timed(|n| {
        for limiter in limiters {
            assert!(black_box(limiter.check_key(&callers[place(n)])).is_ok());
        }
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The memory of this process now, in bytes.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<f64>().unwrap() * 1024.0
}

fn memory() {
    let limits = Limits::new();
    let mut slow = limit("t/slow");
    slow.what = Limited::Rate(Rate {
        period: Duration::from_secs(3_600),
        burst: 1.try_into().unwrap(),
        wait: Duration::ZERO,
    });
    let meter = Arc::new(limits.meter(&slow).unwrap());
    let before = resident();
    let caller: Arc<str> = "caller".into();
    for n in 0..MOST_ACCOUNTS {
        let asked = Asked {
            caller: Arc::clone(&caller),
            about: 0,
            charges: vec![Charge {
                meter: Arc::clone(&meter),
                account: Account::Caller(format!("caller-{n:025}").into()),
            }],
            patience: Duration::ZERO,
        };
        assert!(limits.admit(asked).now_or_never().unwrap().is_ok());
    }
    let each = (resident() - before) / MOST_ACCOUNTS as f64;
    assert_eq!(limits.counts().accounts, MOST_ACCOUNTS);
    println!("{MOST_ACCOUNTS} accounts: {each:.0} bytes each, with a name of 32 of its own");
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|it| it == "--rounds");
    let rounds = at.map_or(9, |at| arguments[at + 1].parse().unwrap());
    memory();
    let callers = callers();
    for count in [1, 3] {
        let ours = Ours::new(count);
        let quota = Quota::with_period(Duration::from_micros(1))
            .unwrap()
            .allow_burst(BURST.try_into().unwrap());
        let limiters: Vec<_> = (0..count).map(|_| RateLimiter::keyed(quota)).collect();
        let (mut base, mut own, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds {
            let (bare, mine) = (bare(&limiters, &callers), ours.window());
            // The first round warms up.
            if round > 0 {
                base.push(bare);
                own.push(mine);
                ratios.push(mine / bare);
            }
        }
        println!(
            "{count} at once, {CALLERS} callers, median of {rounds} rounds: {:.0} ns, bare governor {:.0} ns, ratio {:.2}",
            median(own),
            median(base),
            median(ratios)
        );
    }
}
