//! The shape that all deciding layers share.
//!
//! A stage is a plain function from one proof to the next, or to a refusal:
//! [`Stage::judge`] neither waits nor sees the service below. [`StageLayer`]
//! makes a tower layer of it, in one place, so that readiness, refusal and hand-over
//! are written (and tested) once.

use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::Response;
use tower::{Layer, Service};

use crate::body::Body;
use crate::exchange::Exchange;
use crate::rejection::Rejection;

/// A decision about a request with the proof `In`.
pub trait Stage<In> {
    /// What is proved where the decision is yes.
    type Out;

    /// Decides.
    ///
    /// # Errors
    /// The refusal.
    fn judge(&self, exchange: Exchange<In>) -> Result<Exchange<Self::Out>, Rejection>;
}

/// The layer of a stage.
#[derive(Clone, Debug)]
pub struct StageLayer<J>(J);

impl<J> StageLayer<J> {
    /// Of this stage.
    pub fn new(stage: J) -> Self {
        Self(stage)
    }
}

impl<J: Clone, S> Layer<S> for StageLayer<J> {
    type Service = Staged<J, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Staged {
            stage: self.0.clone(),
            inner,
        }
    }
}

/// The service of a stage: what it lets through goes on, what it refuses does not.
#[derive(Clone, Debug)]
pub struct Staged<J, S> {
    stage: J,
    inner: S,
}

impl<In, J, S> Service<Exchange<In>> for Staged<J, S>
where
    J: Stage<In>,
    S: Service<Exchange<J::Out>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Rejection>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<In>) -> Self::Future {
        match self.stage.judge(exchange) {
            Ok(exchange) => Either::Left(self.inner.call(exchange)),
            Err(rejection) => Either::Right(ready(Err(rejection))),
        }
    }
}
