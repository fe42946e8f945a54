//! Stage 10: one intent, one session. Makes [`Intended`].
//!
//! Devin has no idempotency key, and its clients repeat a request whose answer
//! is late. Here a request that spends is compared with those before it: a
//! repeat becomes the client of the earlier attempt and gets its answer, and
//! what has been given a name (`Idempotency-Key`) is answered from the store.
//! Behind `authorize`, `bounds` and `ownership`: each is decided anew before it
//! gets anything.
//!
//! An attempt runs as a task of its own, so that a client that leaves neither
//! stops it nor escapes it, and its answer is read whole before anybody gets
//! any of it. [`registry`] knows who joins what, `desk` carries out, `client`
//! waits, [`store`] is what outlives the process.

mod client;
mod desk;
mod fingerprint;
mod key;
pub mod outcome;
pub mod registry;
pub mod store;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::Response;
use tower::{Layer, Service};

use super::BoxFuture;
use super::ownership::Owned;
use crate::Parts;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::ledger::HoldId;
use crate::rejection::Rejection;
use desk::Desk;

pub use client::GRACE;
pub use fingerprint::{Fingerprint, fingerprint};
pub use key::{IDEMPOTENCY_KEY, Key, MAX_KEY};
pub use outcome::{Kept, MAX_ANSWER, MAX_STORED, is_definite};
pub use registry::{BOUNDS, DELIVERED, UNDELIVERED, UNRESOLVED};
pub use store::{KEPT, MAX_KEYS, MemoryRecords, Progress, Record, Records, Stored, Unresolved};

/// One attempt to carry out an intent that spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What its hold will be known by.
    pub hold: HoldId,
    /// What makes a repeat of it one.
    pub fingerprint: Fingerprint,
}

/// Proof that no other attempt at the same intent is under way.
#[derive(Clone, Debug)]
pub struct Intended {
    owned: Owned,
    attempt: Option<Attempt>,
}

impl Intended {
    /// What came before.
    pub fn owned(&self) -> &Owned {
        &self.owned
    }
    /// The attempt; none of an operation that does not spend.
    pub fn attempt(&self) -> Option<Attempt> {
        self.attempt
    }
    /// The same for another page of a list.
    pub(super) fn with_query(self, query: String) -> Self {
        Self {
            owned: self.owned.with_query(query),
            ..self
        }
    }
}

/// Makes [`Attempts`] services, which know the same attempts.
#[derive(Clone, Debug)]
pub struct AttemptsLayer {
    desk: Arc<Desk>,
}

impl AttemptsLayer {
    /// Of this gateway.
    pub fn new(parts: &Parts) -> Self {
        Self {
            desk: Arc::new(Desk::new(
                Arc::clone(&parts.records),
                Arc::clone(&parts.clock),
                parts.tasks.clone(),
                parts.capacity.times.body,
                parts.upstream_total,
            )),
        }
    }
}

impl<S> Layer<S> for AttemptsLayer {
    type Service = Attempts<S>;

    fn layer(&self, inner: S) -> Attempts<S> {
        Attempts {
            desk: Arc::clone(&self.desk),
            inner,
        }
    }
}

/// Runs what spends once for each intent.
#[derive(Clone, Debug)]
pub struct Attempts<S> {
    desk: Arc<Desk>,
    inner: S,
}

impl<S> Service<Exchange<Owned>> for Attempts<S>
where
    S: Service<Exchange<Intended>, Response = Response<Body>, Error = Rejection>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = Either<S::Future, BoxFuture<Response<Body>, Rejection>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Owned>) -> Self::Future {
        let operation = exchange.proof.permitted().operation().row();
        if operation.spends.is_none() {
            let exchange = exchange.prove(|owned| Intended {
                owned,
                attempt: None,
            });
            return Either::Left(self.inner.call(exchange));
        }
        let ready = super::take_ready(&mut self.inner);
        let desk = Arc::clone(&self.desk);
        Either::Right(Box::pin(client::serve(desk, ready, exchange)))
    }
}
