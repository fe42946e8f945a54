//! Stage 11: what can spend is held in every budget before it leaves. Makes [`Funded`].

use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::Permitted;
use super::attempts::Intended;
use super::ownership::Owned;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::ledger::Ledger;
use crate::rejection::Rejection;

/// Proof that what the request can spend is held.
#[derive(Clone, Debug)]
pub struct Funded {
    intended: Intended,
}

impl Funded {
    /// What the policy permits.
    pub fn permitted(&self) -> &Permitted {
        self.owned().permitted()
    }
    /// Whose the session is.
    pub fn owned(&self) -> &Owned {
        self.intended.owned()
    }
    /// The same for another page of a list.
    pub(super) fn with_query(self, query: String) -> Self {
        Self {
            intended: self.intended.with_query(query),
        }
    }
}

/// Makes [`Fund`] services.
#[derive(Clone, Debug)]
pub struct FundLayer {
    ledger: Ledger,
}

impl FundLayer {
    /// Holding in this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }
}

impl<S> Layer<S> for FundLayer {
    type Service = Fund<S>;

    fn layer(&self, inner: S) -> Fund<S> {
        Fund {
            ledger: self.ledger.clone(),
            inner,
        }
    }
}

/// Takes the hold, and says how it ended.
#[derive(Clone, Debug)]
pub struct Fund<S> {
    ledger: Ledger,
    inner: S,
}

impl<S> Service<Exchange<Intended>> for Fund<S>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Intended>) -> Self::Future {
        let _ = &self.ledger;
        self.inner
            .call(exchange.prove(|intended| Funded { intended }))
    }
}
