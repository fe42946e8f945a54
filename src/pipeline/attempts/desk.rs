//! Carries attempts out, each as a task of its own, and finds out later what became of those that ended without a
//! result.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use http_body_util::LengthLimitError;
use tokio::sync::{Notify, OnceCell, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tower::Service;

use super::fingerprint::Fingerprint;
use super::key::Key;
use super::outcome::{Ending, Failure, Given, Kept, MAX_ANSWER, Seen, is_definite};
use super::registry::{AttemptId, BOUNDS, Registry, UNRESOLVED};
use super::store::{Progress, Record, Records};
use super::{Attempt, Intended};
use crate::body::{Body, DeadlineExceeded, read_whole};
use crate::catalogue::Operation;
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::ledger::{HoldId, Resolution, StoreError};
use crate::pipeline::ownership::Owned;
use crate::rejection::Rejection;
use crate::trail::{Again, Trail};

/// How often who waits for an outcome looks whether the process is stopping.
const LOOK: Duration = Duration::from_secs(1);
/// How long after a store that did not answer it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The attempts of a process.
pub(super) type Attempts = Registry<watch::Sender<Seen>, Arc<Notify>>;

/// What the services of this layer share.
#[derive(Debug)]
pub(super) struct Desk {
    registry: Mutex<Attempts>,
    records: Arc<dyn Records>,
    pub(super) clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    restored: OnceCell<()>,
    /// The time for a caller's body.
    pub(super) body_time: Duration,
    /// The time for an answer, and for whoever waits for another's.
    pub(super) total: Duration,
}

/// An attempt that was begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) id: AttemptId,
    pub(super) caller: Arc<str>,
    pub(super) key: Option<Key>,
    pub(super) fingerprint: Fingerprint,
    pub(super) hold: HoldId,
    pub(super) operation: &'static Operation,
    pub(super) seen: watch::Sender<Seen>,
}

impl Desk {
    pub(super) fn new(
        records: Arc<dyn Records>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
        body_time: Duration,
        total: Duration,
    ) -> Self {
        Self {
            registry: Mutex::new(Registry::new(BOUNDS)),
            records,
            clock,
            tasks,
            restored: OnceCell::new(),
            body_time,
            total,
        }
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Attempts> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows the attempts of earlier processes, from the first spending request on: a repeat must find them, and those
    /// of a process that has not ended yet, too.
    pub(super) async fn restore(self: &Arc<Self>) -> Result<(), Rejection> {
        // Each waits for itself: behind one another they would wait for as long as there are many.
        self.records.alone().await.map_err(Rejection::Store)?;
        let restoring = self.restored.get_or_try_init(async || {
            for left in self.records.unresolved().await? {
                let seen = watch::Sender::new(Seen::Running);
                let now = Instant::now();
                let id = self
                    .registry()
                    .restore(left.caller, left.fingerprint, now, seen.clone());
                let desk = Arc::clone(self);
                tokio::spawn(async move { desk.watch(id, left.hold, None, &seen).await });
            }
            Ok(())
        });
        restoring.await.map(drop).map_err(Rejection::Store)
    }

    /// Carries an attempt out, whether or not anybody waits for it.
    pub(super) fn carry_out<S>(self: &Arc<Self>, begun: Begun, ready: S, exchange: Exchange<Owned>)
    where
        S: Service<Exchange<Intended>, Response = http::Response<Body>, Error = Rejection>
            + Send
            + 'static,
        S::Future: Send,
    {
        let desk = Arc::clone(self);
        // A client that leaves has its line when there is something to say. Taken here, while it cannot have left.
        let line = exchange.trail.line.get().and_then(Weak::upgrade);
        self.tasks.spawn(async move {
            let trail = Arc::clone(&exchange.trail);
            let proceed = match &begun.key {
                Some(key) => desk.look_up(&begun, key, &trail).await,
                None => true,
            };
            if proceed {
                desk.run(&begun, ready, exchange).await;
            }
            drop(line);
            if matches!(*begun.seen.borrow(), Seen::NoResult(_)) {
                // What is left is to find out. The process does not wait for that when it stops.
                tokio::spawn(async move {
                    let key = begun.key.as_ref().map(|key| (&*begun.caller, key));
                    desk.watch(begun.id, begun.hold, key, &begun.seen).await;
                });
            }
        });
    }

    /// Looks whether a key has been used, and notes that it is now. Whether the attempt has to be carried out.
    async fn look_up(&self, begun: &Begun, key: &Key, trail: &Trail) -> bool {
        let refuse = |rejection| {
            self.registry().over(begun.id);
            begun
                .seen
                .send_replace(Seen::Refused(Failure::of(rejection)));
            false
        };
        let now = self.clock.now();
        let given = match self.records.find(&begun.caller, key, now).await {
            Err(error) => return refuse(Rejection::Store(error)),
            Ok(Some(record)) if record.fingerprint != begun.fingerprint => {
                return refuse(Rejection::IdempotencyMismatch);
            }
            Ok(Some(Record { progress, .. })) => match progress {
                Progress::Answered(kept) => Given::Open(kept),
                Progress::Withheld { session } => Given::Withheld { session },
                // An earlier process began it, and did not live to hear the answer.
                Progress::Begun(hold) => match timeout(self.total, self.resolution(hold)).await {
                    Ok(Resolution::Absent) => return self.note(begun, key, refuse).await,
                    Ok(Resolution::Accepted(record)) => {
                        let kept = Kept::record(record);
                        self.keep(&begun.caller, key, begun.operation, &kept).await;
                        Given::Open(kept)
                    }
                    Ok(Resolution::Unresolvable) | Err(_) => {
                        self.registry().over(begun.id);
                        begun.seen.send_replace(Seen::Unresolvable);
                        return false;
                    }
                },
            },
            Ok(None) => return self.note(begun, key, refuse).await,
        };
        let _ = trail.again.set(Again::Replayed);
        self.registry().over(begun.id);
        begun.seen.send_replace(Seen::Answered(Arc::new(given)));
        false
    }

    /// Notes that a key is used, before anything leaves.
    async fn note(&self, begun: &Begun, key: &Key, refuse: impl Fn(Rejection) -> bool) -> bool {
        let Begun {
            caller,
            fingerprint,
            hold,
            ..
        } = begun;
        let now = self.clock.now();
        match self
            .records
            .begin(caller, key, *fingerprint, *hold, now)
            .await
        {
            Ok(true) => true,
            Ok(false) => refuse(Rejection::Overloaded(
                "You have too many idempotency keys that are still kept",
            )),
            Err(error) => refuse(Rejection::Store(error)),
        }
    }

    /// The attempt itself, to its end.
    async fn run<S>(&self, begun: &Begun, mut ready: S, exchange: Exchange<Owned>)
    where
        S: Service<Exchange<Intended>, Response = http::Response<Body>, Error = Rejection>,
    {
        let operation = begun.operation;
        let attempt = Attempt {
            hold: begun.hold,
            fingerprint: begun.fingerprint,
        };
        let exchange = exchange.prove(|owned| Intended {
            owned,
            attempt: Some(attempt),
        });
        let trail = Arc::clone(&exchange.trail);
        let running = async move { whole(operation, ready.call(exchange).await?).await };
        let outcome = AssertUnwindSafe(running).catch_unwind().await;
        // A panic may have come before or after the request left.
        let ending = match outcome {
            Ok(outcome) => Ending::of(operation, outcome),
            Err(_panic) => Ending::NoResult(Failure::of(Rejection::Internal)),
        };
        let key = begun.key.as_ref();
        let seen = match ending {
            Ending::Done(kept) => {
                if let Some(key) = key {
                    // Before the client hears it: what was said once is said again.
                    self.keep(&begun.caller, key, operation, &kept).await;
                }
                self.registry()
                    .answered(begun.id, kept.body.len(), Instant::now());
                Seen::Answered(Arc::new(Given::new(operation, kept)))
            }
            Ending::Refused(failure) => {
                if let Some(key) = key {
                    let forgotten = self.records.forget(&begun.caller, key).await;
                    tell(forgotten, "a key could not be freed");
                }
                self.registry().over(begun.id);
                Seen::Refused(failure)
            }
            Ending::NoResult(failure) => {
                tracing::warn!(request_id = %trail.request_id, hold = %begun.hold, ?failure,
                    "a request that spends has ended without a result");
                self.registry().without_result(begun.id, Instant::now());
                Seen::NoResult(failure)
            }
        };
        begun.seen.send_replace(seen);
    }

    /// Finds out what became of an attempt without a result.
    async fn watch(
        &self,
        id: AttemptId,
        hold: HoldId,
        key: Option<(&str, &Key)>,
        seen: &watch::Sender<Seen>,
    ) {
        let known = tokio::select! {
            known = timeout(UNRESOLVED, self.resolution(hold)) => known,
            // The next process finds out; this one lets the ledger go.
            () = self.stopping() => return,
        };
        let found = match known {
            Ok(Resolution::Accepted(record)) => {
                let kept = Kept::record(record);
                if let Some((caller, key)) = key {
                    let end = Progress::Answered(kept.clone());
                    tell(
                        self.records.finish(caller, key, end).await,
                        "an answer could not be stored",
                    );
                }
                self.registry()
                    .answered(id, kept.body.len(), Instant::now());
                Seen::Answered(Arc::new(Given::Open(kept)))
            }
            Ok(Resolution::Absent) => {
                if let Some((caller, key)) = key {
                    tell(
                        self.records.forget(caller, key).await,
                        "a key could not be freed",
                    );
                }
                self.registry().over(id);
                Seen::Absent
            }
            Ok(Resolution::Unresolvable) | Err(_) => {
                self.registry().unresolvable(id, Instant::now());
                Seen::Unresolvable
            }
        };
        seen.send_replace(found);
    }

    /// Waits until the process is stopping.
    async fn stopping(&self) {
        while !self.tasks.is_closed() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What became of a hold, as soon as it is known.
    async fn resolution(&self, hold: HoldId) -> Resolution {
        loop {
            match self.records.resolved(hold).await {
                Ok(resolution) => return resolution,
                Err(error) => {
                    tracing::warn!(%hold, %error, "nobody can say what became of a hold");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
    }

    /// Stores an answer, or that there was one. If that fails, the hold will tell what became of the request.
    async fn keep(&self, caller: &str, key: &Key, operation: &Operation, kept: &Kept) {
        let end = if kept.is_storable(operation) {
            Progress::Answered(kept.again())
        } else {
            Progress::Withheld {
                session: kept.session(),
            }
        };
        tell(
            self.records.finish(caller, key, end).await,
            "an answer could not be stored",
        );
    }
}

fn tell(stored: Result<(), StoreError>, what: &str) {
    if let Err(error) = stored {
        tracing::warn!(%error, "{what}");
    }
}

/// Reads an answer to its end. Part of one is no answer.
async fn whole(operation: &Operation, response: http::Response<Body>) -> Result<Kept, Rejection> {
    let (head, body) = response.into_parts();
    let may_have_acted = !is_definite(operation, head.status);
    match read_whole(body, MAX_ANSWER).await {
        Ok(body) => Ok(Kept {
            status: head.status,
            headers: head.headers,
            body,
        }),
        Err(error) if error.is::<DeadlineExceeded>() => Err(Rejection::UpstreamTimeout {
            phase: "the answer did not come whole in time",
            may_have_acted,
        }),
        Err(error) => {
            let source = if error.is::<LengthLimitError>() {
                format!("an answer of more than {MAX_ANSWER} bytes").into()
            } else {
                error
            };
            Err(Rejection::UpstreamInvalid {
                source,
                may_have_acted,
            })
        }
    }
}
