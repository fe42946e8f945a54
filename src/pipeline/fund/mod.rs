//! Stage 11: what can spend is held in every budget before it leaves. Makes [`Funded`].
//!
//! A create is held for at the cap that Devin is told with it (L3), a message at its session's cap again (L7); what has
//! no cap is charged as its grant says, or refused. How the request ends says what becomes of the hold (L4, L5): this
//! runs in the attempt's own task, so a client that leaves changes nothing. What passes by of Devin's records is read
//! (L6).

mod objects;
mod outbound;
mod spend;
mod watch;

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::Response;
use tokio_util::task::TaskTracker;
use tower::{Layer, Service};

use super::attempts::Intended;
use super::ownership::Owned;
use super::pressure::PressureLayer;
use super::{BoxFuture, Permitted};
use crate::Parts;
use crate::body::Body;
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::ledger::Ledger;
use crate::rejection::Rejection;

pub use outbound::{ACU_CAP, ACU_REMAINING};
pub(crate) use spend::{budgets, text_digest};

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

/// What the services of this layer share.
#[derive(Debug)]
struct Purse {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    /// Organizations whose allowed tags leave out ours (L5).
    untagged: Arc<HashSet<String>>,
    /// The time in which a request has left and been answered, or never will be.
    total: Duration,
    /// Whether anything can leave for Devin.
    pressure: PressureLayer,
    /// What must be written down after the answer, however long the store takes.
    tasks: TaskTracker,
}

/// Makes [`Fund`] services.
#[derive(Clone, Debug)]
pub struct FundLayer {
    purse: Arc<Purse>,
}

impl FundLayer {
    /// Of this gateway.
    pub fn new(parts: &Parts) -> Self {
        Self {
            purse: Arc::new(Purse {
                ledger: parts.ledger.clone(),
                clock: Arc::clone(&parts.clock),
                untagged: Arc::clone(&parts.untagged),
                total: parts.pressure.wait() + parts.upstream_total,
                pressure: parts.pressure.clone(),
                tasks: parts.tasks.clone(),
            }),
        }
    }
}

impl<S> Layer<S> for FundLayer {
    type Service = Fund<S>;

    fn layer(&self, inner: S) -> Fund<S> {
        Fund {
            purse: Arc::clone(&self.purse),
            inner,
        }
    }
}

/// Takes the hold, and says how it ended.
#[derive(Clone, Debug)]
pub struct Fund<S> {
    purse: Arc<Purse>,
    inner: S,
}

impl<S> Service<Exchange<Intended>> for Fund<S>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>
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

    fn call(&mut self, exchange: Exchange<Intended>) -> Self::Future {
        let operation = exchange.proof.owned().permitted().operation().row();
        let charge = operation.charge().zip(exchange.proof.attempt());
        let taken = operation.takes_away();
        if charge.is_none() && taken.is_none() && !operation.answers_session() {
            let exchange = exchange.prove(|intended| Funded { intended });
            return Either::Left(self.inner.call(exchange));
        }
        let ready = super::take_ready(&mut self.inner);
        let purse = Arc::clone(&self.purse);
        Either::Right(match (charge, taken) {
            (Some((charge, attempt)), _) => {
                Box::pin(spend::spend(purse, ready, exchange, charge, attempt))
            }
            (None, Some(kind)) => Box::pin(objects::take_away(purse, ready, exchange, kind)),
            (None, None) => Box::pin(watch::watch(purse, ready, exchange)),
        })
    }
}
