//! What whoever started the process is told of it: systemd's `sd_notify(3)`, where there is one to be told.
//!
//! Without `NOTIFY_SOCKET` in the environment, nothing is said to anybody.

use std::io;
use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};

/// The service manager.
#[derive(Clone, Copy, Debug, Default)]
pub struct Systemd;

impl Systemd {
    /// Requests are answered, with what was read last.
    pub fn ready(self) {
        say(&[NotifyState::Ready]);
    }

    /// Policies, keys, token and certificates are read again; [`ready`](Self::ready) follows.
    pub fn reloading(self) {
        // The time tells which reload the next `READY=1` is about.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => say(&[NotifyState::Reloading, now]),
            Err(error) => said(Err(error)),
        }
    }

    /// What is in flight is finished, for as long as `within`.
    pub fn stopping(self, within: Duration) {
        let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
        say(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(micros),
        ]);
    }

    /// Says until the end of the process that it lives, where the unit has `WatchdogSec=`: a runtime that stands still
    /// says nothing, and is restarted.
    pub async fn keep_alive(self) {
        // A time of nothing is none, as `sd_watchdog_enabled(3)` has it.
        let Some(within) = watchdog_enabled().filter(|it| !it.is_zero()) else {
            return;
        };
        let mut ticks = tokio::time::interval(within / 2);
        loop {
            ticks.tick().await;
            say(&[NotifyState::Watchdog]);
        }
    }
}

fn say(state: &[NotifyState<'_>]) {
    said(notify(state));
}

/// Nobody's requests depend on it.
fn said(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the service manager cannot be told how the process is");
    }
}
