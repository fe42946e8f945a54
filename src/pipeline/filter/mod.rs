//! Stage 12: of a list of organizations or sessions, a caller sees its own.
//!
//! Sits behind the limit, since all pages of a list are one request of the
//! caller's, and in front of the credential, since each page is one request to
//! Devin. What a caller may see whole goes by untouched. Any other list is read
//! (bounded in size, pages and time), filtered by [`crate::filter`], and
//! answered as what is left: `organizations` walks Devin's pages until
//! something of one is left, `sessions` asks for the caller's own by their ids.
//! What cannot be filtered is an error, never passed on.

mod organizations;
mod pages;
mod sessions;

use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::Response;
use tower::{Layer, Service};

use super::BoxFuture;
use super::Funded;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::ledger::Ledger;
use crate::rejection::Rejection;

pub use organizations::MAX_PAGES;
pub use pages::MAX_PAGE;
pub use sessions::MAX_REQUESTS;

/// Makes [`Filter`] services.
#[derive(Clone, Debug)]
pub struct FilterLayer {
    within: Duration,
    ledger: Ledger,
}

impl FilterLayer {
    /// With this time for all pages together, and with this ledger's word on whose each session is.
    pub fn new(within: Duration, ledger: Ledger) -> Self {
        Self { within, ledger }
    }
}

impl<S> Layer<S> for FilterLayer {
    type Service = Filter<S>;

    fn layer(&self, inner: S) -> Filter<S> {
        Filter {
            within: self.within,
            ledger: self.ledger.clone(),
            inner,
        }
    }
}

/// Filters lists.
#[derive(Clone, Debug)]
pub struct Filter<S> {
    within: Duration,
    ledger: Ledger,
    inner: S,
}

impl<S> Service<Exchange<Funded>> for Filter<S>
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

    fn call(&mut self, exchange: Exchange<Funded>) -> Self::Future {
        let proof = exchange.proof.permitted();
        let list = exchange.proof.owned().list().cloned();
        let is_whole = list.is_none()
            && (!proof.operation().row().filtered
                || proof.policy().shows_all(proof.caller(), proof.operation()));
        if is_whole {
            return Either::Left(self.inner.call(exchange));
        }
        let ready = super::take_ready(&mut self.inner);
        let (within, ledger) = (self.within, self.ledger.clone());
        Either::Right(Box::pin(async move {
            let answer = async {
                match list {
                    Some(list) => sessions::answer(ready, exchange, &ledger, &list).await,
                    None => organizations::answer(ready, exchange).await,
                }
            };
            match tokio::time::timeout(within, answer).await {
                Ok(answer) => answer,
                Err(_) => Err(pages::late()),
            }
        }))
    }
}
