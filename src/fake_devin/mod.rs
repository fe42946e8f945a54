//! A faithful stand-in for Devin's REST API (v3 and v3beta1), for tests, demos and benchmarks.
//!
//! It follows Devin's API reference and, in the same objects, the spellings of the early v3beta1
//! usage page (`organizations`, `data`, `id`, `acu_limit`, `api_key`, `name`, `role`). Sessions run
//! on a clock of its own, spend ACUs, stop at their cap and wake on a message. Every request is
//! recorded, and faults can be ordered, in process with [`FakeDevin::inject`] or over HTTP below
//! `/.fake/`:
//!
//! | Request | Effect |
//! | --- | --- |
//! | `GET /.fake/requests` | the recordings, credentials included: it is a fake |
//! | `DELETE /.fake/requests` | forgets them |
//! | `POST /.fake/clock` | `{"advance_seconds": 60}` moves the clock |
//! | `POST /.fake/faults` | queues a fault: `{"kind": "status", "code": 503, "times": 2}` |
//! | `DELETE /.fake/faults` | drops all faults |
//! | `GET /.fake/sessions` | every session as it really is, a list of [`SessionTruth`] |
//! | `POST /.fake/sessions` | begins one without a call of the API, a child or in the web UI: [`Elsewhere`] |
//! | `PATCH /.fake/sessions/{id}` | changes one, or how it is shown: [`Change`] |
//! | `POST /.fake/wake` | `{"session": "…", "message": "go on"}` sends a message without a call of the API |
//! | `POST /.fake/consumption` | adds use that belongs to no session: [`Unattributed`] |
//! | `PATCH /.fake/options` | changes settings: [`Tuning`] |
//!
//! A fault's `kind` is the name of a [`FaultKind`] in snake case, with its fields beside it; times
//! are `ms`, the headers of `extra_headers` are pairs, the bytes of `raw` are `text`. `times` is a
//! number (1 when absent) or `"always"`, `only` is `{"method": "POST", "path": "/v3/"}`.
//!
//! ACUs are counted in whole thousandths, and a wake that is not interrupted stops exactly at its
//! cap, or [`Options::overrun_milli_acus`] beyond it: accounts kept beside the fake can be compared
//! with [`FakeDevin::truth`] to the last of them.
//!
//! Nothing here comes from the gateway, so that a mistake there is not repeated here.

mod answer;
mod attachments;
mod audit;
mod call;
mod clock;
mod consumption;
mod control;
mod conversation;
mod documents;
mod elsewhere;
mod enterprise;
mod exchange;
mod faults;
mod fields;
mod filter;
mod ids;
mod insights;
mod life;
mod members;
mod notes;
mod odd;
mod options;
mod organizations;
mod page;
mod playbooks;
mod problem;
mod recording;
mod registry;
mod repositories;
mod router;
mod schedules;
mod secrets;
mod server;
mod service_users;
mod sessions;
mod state;
mod truth;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::net::TcpListener;

pub use elsewhere::{Change, Elsewhere, Ending, Tuning, Unattributed};
pub use faults::{Fault, FaultKind, FaultTimes};
pub use odd::OddPage;
pub use options::Options;
pub use recording::Recorded;
pub use truth::{SessionTruth, WakeTruth};

use clock::Clock;
use faults::Faults;
use recording::Recordings;
use router::Routes;
use state::World;

/// A running fake; clones share one state.
#[derive(Clone)]
pub struct FakeDevin {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    routes: Routes,
    world: Mutex<World>,
    faults: Faults,
    recordings: Recordings,
}

impl FakeDevin {
    /// A fake with the organizations and audit entries that the options ask for.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let clock = Clock::new(options.start, options.speed);
        let recordings = Recordings::new(options.keep_requests);
        let world = World::new(options, clock.now());
        Self {
            inner: Arc::new(Inner {
                clock,
                routes: Routes::new(),
                world: Mutex::new(world),
                faults: Faults::default(),
                recordings,
            }),
        }
    }

    /// Answers on an already bound listener, HTTP/1.1 and HTTP/2 with prior knowledge, until
    /// `shutdown` resolves; then every connection is cut.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        server::serve(self, listener, shutdown).await;
    }

    /// Answers on a connection in memory to its end. `base` is the URL that links in answers begin with.
    pub async fn attend(&self, connection: DuplexStream, base: &str) {
        server::run(self.clone(), connection, base.to_owned()).await;
    }

    /// Every request seen so far, in order of arrival. Control requests are not among them.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.inner.recordings.all()
    }

    /// Forgets the recordings.
    pub fn clear_requests(&self) {
        self.inner.recordings.clear();
    }

    /// Moves the fake clock on.
    pub fn advance(&self, by: Duration) {
        self.inner.clock.advance(by);
    }

    /// Fake time now, in whole epoch seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        clock::epoch(self.inner.clock.now())
    }

    /// Queues a fault behind those that are queued already.
    pub fn inject(&self, fault: Fault) {
        self.inner.faults.push(fault);
    }

    /// Drops all queued faults.
    pub fn clear_faults(&self) {
        self.inner.faults.clear();
    }

    /// A session as `GET` would show it now; both forms of the id do.
    #[must_use]
    pub fn session(&self, id: &str) -> Option<Value> {
        let now = self.inner.clock.now();
        let world = self.world();
        let session = world.session(id)?;
        Some(sessions::view(&world, session, now))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.inner
            .world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FakeDevin {
    // The state holds the token, which stays out of every log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FakeDevin").finish_non_exhaustive()
    }
}
