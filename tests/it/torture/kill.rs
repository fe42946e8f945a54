//! A process that is killed at random moments, again and again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::is_deep;
use super::load::{Load, Site};

/// Numbers that can be had again: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

async fn kill(rounds: usize, seed: u64) {
    // Room for some hundred sessions: sometimes there is none left until something is settled.
    let site = Site::new(300, 20.0).await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed);
    let mut gateway = site.serve(None);
    let load = Load::on(&site, gateway.callers);
    for _ in 0..rounds {
        load.answers(random.below(6)).await;
        // Not a wait for something: the moment is the test.
        tokio::time::sleep(Duration::from_millis(random.below(40))).await;
        gateway.kill();
        gateway = site.serve(None);
        *load.to.lock().unwrap() = gateway.callers;
    }
    let done = load.done.load(Ordering::SeqCst);
    load.end().await;
    let unknown = site.number("SELECT count(*) FROM wakes WHERE state = 'unknown'");
    eprintln!(
        "seed {seed}: {rounds} kills, {done} answers, {} sessions, {unknown} outcomes unknown at the end",
        site.fake.truth().len()
    );
    assert!(done > rounds / 2, "the load came to nothing");
    tokio::task::block_in_place(|| site.settles(gateway));
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_m20_kills_at_random_moments_lose_nothing_and_settle_nothing_twice() {
    // Fifty; a thousand where there is time.
    let times = if is_deep() { 20 } else { 1 };
    for seed in 1..=times {
        kill(50, seed).await;
    }
}
