//! Signals: those that end the process, and those that it goes on after.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::body::BoxError;
use crate::pipeline::access_log::Sink;

/// The signals that end the process: SIGTERM and SIGINT.
///
/// Listened for from before the first request is answered, so that none of them ends the process unheard.
#[derive(Debug)]
pub struct StopSignals {
    term: Signal,
    int: Signal,
}

impl StopSignals {
    /// Begins to listen.
    ///
    /// # Errors
    /// The process cannot listen for signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Stops, unless another signal says to leave at once.
    ///
    /// # Errors
    /// That signal came, or stopping failed.
    pub async fn stop_or_leave(
        mut self,
        stopping: impl Future<Output = Result<(), BoxError>>,
    ) -> Result<(), BoxError> {
        tokio::select! {
            stopped = stopping => stopped,
            () = self.told() => Err("told twice to stop: requests in flight were given up".into()),
        }
    }
}

/// Opens the log anew at each SIGUSR1, for the whole life of the process.
///
/// # Errors
/// The process cannot listen for signals.
pub fn reopen_log_on_signal(log: Sink) -> io::Result<()> {
    let mut usr1 = signal(SignalKind::user_defined1())?;
    tokio::spawn(async move {
        while usr1.recv().await.is_some() {
            log.reopen();
        }
    });
    Ok(())
}

/// Notifies at each SIGHUP, for the whole life of the process. Several that come before anybody looks are one.
///
/// # Errors
/// The process cannot listen for signals.
pub fn hangups() -> io::Result<Arc<Notify>> {
    let mut hup = signal(SignalKind::hangup())?;
    let heard = Arc::new(Notify::new());
    let notify = Arc::clone(&heard);
    tokio::spawn(async move {
        while hup.recv().await.is_some() {
            notify.notify_one();
        }
    });
    Ok(heard)
}
