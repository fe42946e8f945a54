//! Stage 4: the one place where a refusal becomes an answer, and the border of the proofs.
//!
//! Above it, requests are plain and nothing fails; below it, they are
//! [`Exchange`]s and stages refuse with a [`Rejection`]. A panic below is caught
//! here, so that it costs its own request alone and the access log sees the 500.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, Version};
use tower::{Layer, Service};

use super::share::CACHE;
use super::trace::Traced;
use super::{BoxFuture, limit};
use crate::body::{Body, Leftover};
use crate::exchange::Exchange;
use crate::policy::Policy;
use crate::problem::{Answer, Code};
use crate::rejection::Rejection;
use crate::ruleset::{Current, Limiters, Ruleset};

/// Proof that a request is inside, with the set that judges it from here to its end.
#[derive(Clone, Debug)]
pub struct Arrived {
    rules: Arc<Ruleset>,
}

impl Arrived {
    /// The policy set.
    pub fn policy(&self) -> &Arc<Policy> {
        self.rules.policy()
    }
    /// What is left of its limits.
    pub fn limiters(&self) -> &Limiters {
        self.rules.limiters()
    }
}

/// Makes [`Problems`] services.
#[derive(Clone, Debug)]
pub struct ProblemsLayer {
    policies: Current,
}

impl ProblemsLayer {
    /// Requests are judged by what `policies` holds when they arrive.
    pub fn new(policies: Current) -> Self {
        Self { policies }
    }
}

impl<S> Layer<S> for ProblemsLayer {
    type Service = Problems<S>;

    fn layer(&self, inner: S) -> Problems<S> {
        Problems {
            policies: self.policies.clone(),
            inner,
        }
    }
}

/// Turns refusals and panics into answers.
#[derive(Clone, Debug)]
pub struct Problems<S> {
    policies: Current,
    inner: S,
}

impl<S> Service<Traced> for Problems<S>
where
    S: Service<Exchange<Arrived>, Response = Response<Body>, Error = Rejection>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // No stage below holds back: what is too much is refused, with a reason. A failure to be ready would be a
        // refusal without a request; the call gives it one.
        let _ = self.inner.poll_ready(cx);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, traced: Traced) -> Self::Future {
        let Traced {
            request,
            trail,
            head,
        } = traced;
        // Whoever frames or routes such a head otherwise may see another request behind it.
        let closes = head.is_err() && request.version() < Version::HTTP_2;
        let rules = self.policies.load();
        let _ = trail.policy.set(Arc::clone(rules.policy()));
        let (request, unread) = lend(request);
        let exchange = Exchange {
            request,
            trail: Arc::clone(&trail),
            proof: Arrived { rules },
        };
        // The call itself is guarded as well: a stage decides in it, and may panic there.
        let called =
            head.map(|()| std::panic::catch_unwind(AssertUnwindSafe(|| self.inner.call(exchange))));
        Box::pin(async move {
            let outcome = match called {
                Ok(Ok(answering)) => AssertUnwindSafe(answering).catch_unwind().await,
                Ok(Err(panic)) => Err(panic),
                Err(rejection) => Ok(Err(rejection)),
            };
            let rejection = match outcome {
                Ok(Ok(mut response)) => {
                    limit::fields::write(response.headers_mut(), trail.limits());
                    return Ok(response);
                }
                Ok(Err(rejection)) => rejection,
                Err(_panic) => Rejection::Internal,
            };
            // At once means that no body is waited for either; what is there is read.
            let is_at_once = matches!(rejection, Rejection::Overloaded(_));
            let within = if is_at_once {
                Duration::ZERO
            } else {
                DRAIN_TIME
            };
            let Answer {
                mut response,
                code,
                cause,
            } = rejection.answer(&trail);
            limit::fields::write(response.headers_mut(), trail.limits());
            // Also where Devin had answered, and that answer could not be used.
            trail.upstream_answered.store(false, Ordering::Relaxed);
            // What did not come in time is not waited for again, nor read to its end if it comes.
            let is_settled = match unread {
                Some(unread) => code != Code::RequestTimeout && unread.settle(within).await,
                None => true,
            };
            if closes || !is_settled {
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            if let Some(cache) = trail.cache.get() {
                let value = HeaderValue::from_static(cache.as_str());
                response.headers_mut().insert(CACHE, value);
            }
            let _ = trail.code.set(code);
            if let Some(cause) = cause {
                let request_id = trail.request_id;
                if code == Code::UpstreamCredentialRejected {
                    tracing::error!(%request_id, code = code.name(), cause, "request failed");
                } else if code != Code::CredentialInvalid {
                    // That one is the caller's own affair, as many as anyone likes to send: the access log has it.
                    tracing::warn!(%request_id, code = code.name(), cause, "request failed");
                }
                let _ = trail.cause.set(cause);
            }
            Ok(response)
        })
    }
}

/// The most of a refused request's body that is read, so that its connection can be used again.
const MAX_DRAIN: usize = 64 * 1024;
/// The time for that.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What is left of the body of an HTTP/1 request, if it is refused.
struct Unread {
    leftover: Leftover,
    /// The client waits for `100 Continue` before it sends the body, and whoever is refused gets none: reading
    /// would send it.
    expects_continue: bool,
}

impl Unread {
    /// Reads the rest, within bounds. `false` if the connection cannot be used again, which its client has to be told.
    async fn settle(&self, within: Duration) -> bool {
        !self.expects_continue && self.leftover.drain(MAX_DRAIN, within).await
    }
}

fn lend(request: Request<Body>) -> (Request<Body>, Option<Unread>) {
    // HTTP/2 has a stream for each request, and nothing to clean up.
    if request.version() >= Version::HTTP_2 || http_body::Body::is_end_stream(request.body()) {
        return (request, None);
    }
    let expects_continue = request.headers().contains_key(EXPECT);
    let (head, body) = request.into_parts();
    let (body, leftover) = Leftover::of(body);
    let unread = Unread {
        leftover,
        expects_continue,
    };
    (Request::from_parts(head, body), Some(unread))
}
