//! Stage 13b: is Devin's answer no larger than one of its operation may be?
//!
//! Behind `credential`, around everything that is sent: an answer that says how large it is is refused before any of
//! it goes on, any other breaks off where it becomes too large, which its client sees as an answer that broke off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::{Layer, Service};

use super::BoxFuture;
use super::credential::Outbound;
use crate::body::{Body, BoxError};
use crate::capacity::Sizes;
use crate::exchange::Exchange;
use crate::rejection::Rejection;

/// Makes [`AnswerSize`] services.
#[derive(Clone, Debug)]
pub struct AnswerSizeLayer(Arc<Sizes>);

impl AnswerSizeLayer {
    /// Of answers of these sizes.
    pub fn new(sizes: Arc<Sizes>) -> Self {
        Self(sizes)
    }
}

impl<S> Layer<S> for AnswerSizeLayer {
    type Service = AnswerSize<S>;

    fn layer(&self, inner: S) -> AnswerSize<S> {
        let sizes = Arc::clone(&self.0);
        AnswerSize { sizes, inner }
    }
}

/// Holds answers to their sizes.
#[derive(Clone, Debug)]
pub struct AnswerSize<S> {
    sizes: Arc<Sizes>,
    inner: S,
}

impl<S> Service<Exchange<Outbound>> for AnswerSize<S>
where
    S: Service<Exchange<Outbound>, Response = Response<Body>, Error = Rejection>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<Response<Body>, Rejection>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let operation = exchange.proof.operation().row();
        let most = self.sizes.answer(operation);
        let answering = self.inner.call(exchange);
        Box::pin(async move {
            let answer = answering.await?;
            if answer.body().size_hint().lower() > most {
                return Err(Rejection::UpstreamInvalid {
                    source: TooLarge(most).into(),
                    may_have_acted: operation.mutates,
                });
            }
            Ok(answer.map(|inner| {
                let left = most;
                Measured { inner, left, most }.boxed_unsync()
            }))
        })
    }
}

/// Devin's answer is larger than it may be.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("an answer of more than {0} bytes, which is what `limits.sizes` allows")]
struct TooLarge(u64);

struct Measured {
    inner: Body,
    left: u64,
    most: u64,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(TooLarge(self.most).into()))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
