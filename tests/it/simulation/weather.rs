//! What goes wrong at Devin, one thing after the other.

use std::time::Duration;

use http::Method;
use tollgate::fake_devin::{FakeDevin, Fault, FaultKind, FaultTimes};

use super::dice::Dice;

/// Puts faults in the way of requests, until nobody waits for it any more.
pub(super) async fn weather(fake: FakeDevin, dice: Dice) {
    loop {
        tokio::time::sleep(Duration::from_millis(20) + dice.time(700)).await;
        let only = match dice.roll(5) {
            0 => None,
            1 => Some((Method::GET, "/v3/".to_owned())),
            _ => Some((Method::POST, "/v3/organizations/org-ds/sessions".to_owned())),
        };
        fake.inject(Fault {
            kind: fault(&dice),
            times: FaultTimes::Next(1 + dice.roll(2) as u32),
            only,
        });
        if dice.once_in(8) {
            fake.clear_faults();
        }
    }
}

fn fault(dice: &Dice) -> FaultKind {
    let status = |code| FaultKind::Status {
        code,
        retry_after: None,
        x_should_retry: None,
    };
    match dice.roll(14) {
        // Some of them are longer than the gateway waits.
        0 => FaultKind::Latency(dice.time(3_000)),
        1 => FaultKind::LatencyAfterWork(dice.time(3_000)),
        2 => FaultKind::ResetBeforeWork,
        3 | 4 => FaultKind::ResetAfterWork,
        5 => status(429),
        6 => status(503),
        7 => FaultKind::StatusAfterWork { code: 500 },
        8 => FaultKind::StatusAfterWork { code: 502 },
        9 => FaultKind::HalfAnswer,
        10 => FaultKind::BodyAfterWork("{\"session".into()),
        11 => FaultKind::WithoutMember("session_id".to_owned()),
        12 => FaultKind::SlowBody {
            chunk_delay: dice.time(200),
        },
        _ => FaultKind::Hang,
    }
}
