//! What limits promise, on a clock that moves only when everyone waits.

mod attack;
mod exact;
mod fair;
mod obedient;
mod properties;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::policy::{Limit, LimitPer, Limited, Rate};

/// A limit with accounts, for requests that are taken from a few of them.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) limits: Limits,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            limits: Limits::new(),
        }
    }

    pub(super) fn meter(&self, name: &str, period: Duration, burst: u32) -> Arc<Meter> {
        self.waiting(name, period, burst, Duration::ZERO)
    }

    pub(super) fn waiting(
        &self,
        name: &str,
        period: Duration,
        burst: u32,
        wait: Duration,
    ) -> Arc<Meter> {
        let limit = limit(name, period, burst, wait, false);
        Arc::new(self.limits.meter(&limit).unwrap())
    }

    pub(super) async fn ask(
        &self,
        caller: &str,
        meters: &[(&Arc<Meter>, Account)],
    ) -> Result<Granted, Refused> {
        self.ask_about(0, caller, meters).await
    }

    pub(super) async fn ask_about(
        &self,
        about: u64,
        caller: &str,
        meters: &[(&Arc<Meter>, Account)],
    ) -> Result<Granted, Refused> {
        let charges = meters.iter().map(|(meter, account)| Charge {
            meter: Arc::clone(meter),
            account: account.clone(),
        });
        let asked = Asked {
            caller: caller.into(),
            about,
            charges: charges.collect(),
            patience: Duration::MAX,
        };
        self.limits.admit(asked).await
    }
}

pub(super) fn limit(
    name: &str,
    period: Duration,
    burst: u32,
    wait: Duration,
    shadow: bool,
) -> Limit {
    let burst = burst.try_into().unwrap();
    Limit {
        name: name.into(),
        team: None,
        callers: None,
        per: LimitPer::Caller,
        operations: None,
        what: Limited::Rate(Rate {
            period,
            burst,
            wait,
        }),
        shadow,
    }
}

/// The seconds of `Retry-After`.
pub(super) fn told(refused: &Refused) -> Duration {
    let wait = refused.retry_after;
    Duration::from_secs((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}

pub(super) const SECOND: Duration = Duration::from_secs(1);
