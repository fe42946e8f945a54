//! Stage 9: is the session that the request is about one that the caller may touch? Makes [`Owned`].

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::Permitted;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::ledger::{Known, Ledger};
use crate::rejection::Rejection;

/// Proof that the caller may touch the session, if the request is about one.
#[derive(Clone, Debug)]
pub struct Owned {
    permitted: Permitted,
    session: Option<Arc<Known>>,
}

impl Owned {
    /// What the policy permits.
    pub fn permitted(&self) -> &Permitted {
        &self.permitted
    }
    /// The session that the path names, if the ledger knows it.
    pub fn session(&self) -> Option<&Arc<Known>> {
        self.session.as_ref()
    }
    /// The same for another page of a list.
    pub(super) fn with_query(self, query: String) -> Self {
        Self {
            permitted: self.permitted.with_query(query),
            ..self
        }
    }
}

/// Makes [`Ownership`] services.
#[derive(Clone, Debug)]
pub struct OwnershipLayer {
    ledger: Ledger,
}

impl OwnershipLayer {
    /// Asking this ledger whose a session is.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }
}

impl<S> Layer<S> for OwnershipLayer {
    type Service = Ownership<S>;

    fn layer(&self, inner: S) -> Ownership<S> {
        Ownership {
            ledger: self.ledger.clone(),
            inner,
        }
    }
}

/// Lets through what is about the caller's own sessions, or about none.
#[derive(Clone, Debug)]
pub struct Ownership<S> {
    ledger: Ledger,
    inner: S,
}

impl<S> Service<Exchange<Permitted>> for Ownership<S>
where
    S: Service<Exchange<Owned>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Permitted>) -> Self::Future {
        let _ = &self.ledger;
        self.inner.call(exchange.prove(|permitted| Owned {
            permitted,
            session: None,
        }))
    }
}
