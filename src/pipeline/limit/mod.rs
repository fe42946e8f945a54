//! Stage 7b: has the caller asked too often? `Granted` again, if not.
//!
//! Before a body is read and judged, which costs more than anything else here: whoever sends many of them is
//! held to the limits, also if each would be refused. Where a limit lets its requests wait for their turn, they do
//! it here, before anything is held for them; one whose client leaves meanwhile leaves the line.
//!
//! One caller's requests in flight are bounded here as well, those that wait among them.
//!
//! The limits are those of the set that judges the request ([`crate::ruleset::Limiters`]); what is left of
//! them, and whose turn it is, is known to [`crate::limits`]. `fields` tells the caller how they stand,
//! `patience` reads from a request how long its client waits.

pub(super) mod fields;
mod patience;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::Response;
use tower::{Layer, Service};

use super::{BoxFuture, Granted};
use crate::body::Body;
use crate::capacity::Callers;
use crate::exchange::Exchange;
use crate::limits::{Asked, Refused};
use crate::policy::{CallerIx, Policy, Shadowed};
use crate::problem::Code;
use crate::rejection::Rejection;
use crate::ruleset::Limiters;
use crate::trail::{Decided, Trail};

/// Makes [`Limited`] services.
#[derive(Clone, Debug)]
pub struct LimitLayer {
    callers: Callers,
}

impl LimitLayer {
    /// With so many requests of each caller in flight.
    pub fn new(most: usize) -> Self {
        Self {
            callers: Callers::new(most),
        }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited {
            callers: self.callers.clone(),
            inner,
        }
    }
}

/// Takes each request from the limits that it counts in.
#[derive(Clone, Debug)]
pub struct Limited<S> {
    callers: Callers,
    inner: S,
}

impl<S> Service<Exchange<Granted>> for Limited<S>
where
    S: Service<Exchange<Granted>, Response = Response<Body>, Error = Rejection>
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

    fn call(&mut self, exchange: Exchange<Granted>) -> Self::Future {
        let patience = patience::of(exchange.request.headers());
        if let Some(patience) = patience {
            let _ = exchange.trail.patience.set(patience);
        }
        let proof = &exchange.proof;
        let caller = proof.policy().caller(proof.caller()).name();
        let Some(place) = self.callers.enter(caller) else {
            let refused =
                Rejection::Overloaded("As many of your requests are in flight as may be at once");
            note_allowed(&exchange);
            return Either::Right(Box::pin(async { Err(refused) }));
        };
        let _ = exchange.trail.callers_place.set(place);
        let named = (proof.operation(), proof.organization());
        let charges = proof
            .limiters()
            .charges(proof.policy(), proof.caller(), Some(named));
        if charges.is_empty() {
            return Either::Left(self.inner.call(exchange));
        }
        let mut ready = super::take_ready(&mut self.inner);
        Either::Right(Box::pin(async move {
            let proof = &exchange.proof;
            let caller = Arc::clone(proof.policy().caller(proof.caller()).name());
            let asked = Asked {
                caller,
                about: about(&exchange.trail),
                charges,
                patience: patience.unwrap_or(Duration::MAX),
            };
            let taken = admit(proof.limiters(), asked, &exchange.trail).await;
            if taken.is_err() {
                note_allowed(&exchange);
            }
            taken?;
            ready.call(exchange).await
        }))
    }
}

/// Of what is refused here, the head was allowed; nobody has looked at the body.
fn note_allowed(exchange: &Exchange<Granted>) {
    let proof = &exchange.proof;
    let rule = proof.policy().grant_name(proof.grant());
    let _ = exchange.trail.decided.set(Decided {
        allow: true,
        rule: Some(Arc::clone(rule)),
    });
}

/// Takes a request for one of a caller's own pages from its limits, at once or not at all.
pub(super) async fn own(
    policy: &Policy,
    limiters: &Limiters,
    caller: CallerIx,
    trail: &Trail,
) -> Result<(), Rejection> {
    let charges = limiters.charges(policy, caller, None);
    if charges.is_empty() {
        return Ok(());
    }
    let asked = Asked {
        caller: Arc::clone(policy.caller(caller).name()),
        about: about(trail),
        charges,
        patience: Duration::ZERO,
    };
    admit(limiters, asked, trail).await
}

/// What is asked for, as a number: a client that comes back asks for the same. Two that ask for the same may be told
/// apart or not; at worst one is refused a second time.
fn about(trail: &Trail) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&trail.method, &trail.path).hash(&mut hasher);
    hasher.finish()
}

async fn admit(limiters: &Limiters, asked: Asked, trail: &Trail) -> Result<(), Rejection> {
    let admitted = limiters.limits().admit(asked).await;
    let (standings, queued) = match &admitted {
        Ok(granted) => (&granted.standings, granted.queued),
        Err(refused) => (&refused.standings, refused.queued),
    };
    let _ = trail.limits.set(standings.clone());
    if !queued.is_zero() {
        let micros = u64::try_from(queued.as_micros()).unwrap_or(u64::MAX);
        trail.queued.fetch_add(micros, Ordering::Relaxed);
    }
    match admitted {
        Ok(granted) => {
            if let Some(limit) = granted.on_trial {
                let _ = trail.limit.set(Arc::clone(&limit));
                let _ = trail.shadow.set(Shadowed {
                    allow: false,
                    rule: Some(limit),
                    code: Some(Code::RateLimited),
                });
            }
            Ok(())
        }
        Err(Refused {
            limit, retry_after, ..
        }) => {
            let _ = trail.limit.set(Arc::clone(&limit));
            Err(Rejection::RateLimited { limit, retry_after })
        }
    }
}
