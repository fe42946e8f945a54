//! The one part of the limits that sleeps: a request that waits for its turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::table::{Answer, Request, Ticket};
use super::{Charge, Limits, Standing};

/// What is asked for a request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The caller: at one account, callers take turns.
    pub caller: Arc<str>,
    /// What it asks for, as a number: whoever comes back asks for the same.
    pub about: u64,
    /// The limits that it is taken from, all or none. Those on trial are only looked at if it goes on.
    pub charges: Vec<Charge>,
    /// How long its client waits, as far as that is known.
    pub patience: Duration,
}

/// It may go on: all of its limits were charged.
#[derive(Debug)]
pub struct Granted {
    /// How its limits stand.
    pub standings: Box<[Standing]>,
    /// The first limit on trial that would have refused it.
    pub on_trial: Option<Arc<str>>,
    /// How long it has waited.
    pub queued: Duration,
}

/// It may not: none of its limits was charged.
#[derive(Debug)]
pub struct Refused {
    /// The limit that fits it last.
    pub limit: Arc<str>,
    /// From now until that one does.
    pub retry_after: Duration,
    /// How its limits stand.
    pub standings: Box<[Standing]>,
    /// How long it has waited.
    pub queued: Duration,
}

/// A request's places in line; they are given up with it.
struct InLine<'a> {
    limits: &'a Limits,
    ticket: Ticket,
    is_waiting: bool,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if self.is_waiting {
            self.limits.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        if self.ticket.is_in_line() {
            self.limits.table().leave(&mut self.ticket);
        }
    }
}

impl Limits {
    /// Takes one request from all of its limits, as soon as it fits into all of them; or from none, if that would be
    /// longer than it may wait.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn admit(&self, asked: Asked) -> Result<Granted, Refused> {
        let began = Instant::now();
        let (mut enforced, mut on_trial) = (asked.charges, Vec::new());
        if enforced.iter().any(|it| it.meter.is_shadowed()) {
            (on_trial, enforced) = enforced.into_iter().partition(|it| it.meter.is_shadowed());
        }
        let mut place = InLine {
            limits: self,
            ticket: Ticket::default(),
            is_waiting: false,
        };
        let mut now = began;
        let request = Request {
            caller: &asked.caller,
            about: asked.about,
            charges: &enforced,
            asked: self.nanos(began),
            patience: asked.patience,
        };
        loop {
            let at = self.nanos(now);
            let answer = self.table().ask(request, &mut place.ticket, at);
            // Whoever goes on at once has not waited.
            let queued = now.saturating_duration_since(began);
            match answer {
                Answer::Go { standings } => {
                    let on_trial = self.try_out(&on_trial, at);
                    return Ok(Granted {
                        standings,
                        on_trial,
                        queued,
                    });
                }
                Answer::No {
                    limit,
                    retry_after,
                    standings,
                } => {
                    return Err(Refused {
                        limit,
                        retry_after,
                        standings,
                        queued,
                    });
                }
                Answer::Wait { until } => {
                    if !std::mem::replace(&mut place.is_waiting, true) {
                        self.waiting.fetch_add(1, Ordering::Relaxed);
                    }
                    let until = self.began + Duration::from_nanos(until);
                    let until = tokio::time::sleep_until(until);
                    match place.ticket.wake.clone() {
                        Some(wake) => tokio::select! {
                            biased;
                            () = wake.notified() => {}
                            () = until => {}
                        },
                        None => until.await,
                    }
                    now = Instant::now();
                }
            }
        }
    }

    /// Takes a request that goes on from the limits on trial that it fits into: the first that it does not.
    fn try_out(&self, charges: &[Charge], at: u64) -> Option<Arc<str>> {
        let mut refusing = None;
        for charge in charges {
            if !self.table().try_out(charge, at) && refusing.is_none() {
                refusing = Some(Arc::clone(charge.meter.name()));
            }
        }
        refusing
    }
}
