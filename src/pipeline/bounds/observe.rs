//! Rules on trial about bodies that nothing else makes the gateway read: a copy is judged once the body has gone by.
//!
//! Such a rule can neither refuse a request nor hold it up. What it would have
//! said of a body that breaks off, is too large or is no plain JSON is left open.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use super::{MAX_BODY, is_plain_json, judged_text, length, shadow_outcome};
use crate::body::{Body, BoxError};
use crate::exchange::Exchange;
use crate::pipeline::authorize::Granted;
use crate::policy::{Grant, Policy, Stop};
use crate::trail::Trail;

/// Notes what rules on trial would have done with a request whose body is not read: at once, or when it has gone.
pub(super) fn on_trial(exchange: Exchange<Granted>) -> Exchange<Granted> {
    let proof = &exchange.proof;
    let policy = proof.policy();
    let Some(shadow) = proof.shadow() else {
        return exchange;
    };
    let trial = Trial {
        policy: Arc::clone(policy),
        trail: Arc::clone(&exchange.trail),
        live: Ok(proof.grant().clone()),
        shadow: shadow.clone(),
    };
    let reads = shadow
        .as_ref()
        .is_ok_and(|grant| policy.applied(grant).reads_body());
    let headers = exchange.request.headers();
    let nothing = Bytes::new();
    if !reads || exchange.request.body().is_end_stream() {
        trial.note(judged_text(headers, &nothing));
        return exchange;
    }
    if is_plain_json(headers).is_err() || length(headers).is_some_and(|it| it > MAX_BODY as u64) {
        return exchange;
    }
    let Exchange {
        request,
        trail,
        proof,
    } = exchange;
    Exchange {
        request: request.map(|body| Copied::boxed(body, MAX_BODY, move |text| trial.note(text))),
        trail,
        proof,
    }
}

/// What is tried, beside what counts.
struct Trial {
    policy: Arc<Policy>,
    trail: Arc<Trail>,
    live: Result<Grant, Stop>,
    shadow: Result<Grant, Stop>,
}

impl Trial {
    fn note(&self, text: &[u8]) {
        let outcome = shadow_outcome(&self.policy, Some(&self.shadow), text);
        if let Some(outcome) = outcome
            && let Some(shadow) = self.policy.shadowed(&self.live, &outcome)
        {
            let _ = self.trail.shadow.set(shadow);
        }
    }
}

/// A body that goes by as it is, and is told of as a whole when it has, if it was no longer than `max`.
struct Copied<F> {
    inner: Body,
    max: usize,
    /// None once nothing is to be told any more.
    copy: Option<(Vec<u8>, F)>,
}

impl<F: FnOnce(&[u8]) + Send + Unpin + 'static> Copied<F> {
    fn boxed(inner: Body, max: usize, tell: F) -> Body {
        let copy = Some((Vec::new(), tell));
        Self { inner, max, copy }.boxed_unsync()
    }

    fn keep(&mut self, data: &Bytes) {
        let Some((copy, _)) = &mut self.copy else {
            return;
        };
        if data.len() <= self.max.saturating_sub(copy.len()) {
            copy.extend_from_slice(data);
        } else {
            self.copy = None;
        }
    }

    /// Whether nothing more comes. Who knows the length does not ask again after the last byte.
    fn is_over(&self) -> bool {
        self.inner.is_end_stream() || self.inner.size_hint().exact() == Some(0)
    }

    fn end(&mut self) {
        if let Some((copy, tell)) = self.copy.take() {
            tell(&copy);
        }
    }
}

impl<F: FnOnce(&[u8]) + Send + Unpin + 'static> http_body::Body for Copied<F> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(part)) => {
                if let Some(data) = part.data_ref() {
                    self.keep(data);
                }
                if self.is_over() {
                    self.end();
                }
            }
            Some(Err(_)) => self.copy = None,
            None => self.end(),
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

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;
    use crate::body::full;

    /// A body of these frames, whose end is only known by asking.
    fn frames(parts: &[Result<&'static str, &'static str>]) -> Body {
        let frames: Vec<Result<Frame<Bytes>, BoxError>> = parts
            .iter()
            .map(|part| match part {
                Ok(text) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
                Err(said) => Err((*said).into()),
            })
            .collect();
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    /// As `frames`, with a length that is known.
    struct Sized(Body, u64);

    impl http_body::Body for Sized {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
            if let Some(Ok(part)) = &frame {
                self.1 -= part.data_ref().map_or(0, Bytes::len) as u64;
            }
            Poll::Ready(frame)
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.1)
        }
    }

    /// What is told of a body after this many frames were asked for.
    async fn told(body: Body, max: usize, asked: usize) -> Option<Vec<u8>> {
        let told = Arc::new(OnceLock::new());
        let tell = Arc::clone(&told);
        let mut body = Copied::boxed(body, max, move |text: &[u8]| {
            tell.set(text.to_vec()).unwrap();
        });
        for _ in 0..asked {
            let _ = body.frame().await;
        }
        drop(body);
        told.get().cloned()
    }

    #[tokio::test]
    async fn a_body_is_told_of_once_it_has_gone_by_and_not_before() {
        let parts = [Ok("ab"), Ok("c")];
        assert_eq!(told(frames(&parts), 9, 2).await, None);
        assert_eq!(told(frames(&parts), 9, 3).await.unwrap(), b"abc");
        // Of these nobody asks for more after the last byte.
        assert_eq!(told(full("abc"), 9, 1).await.unwrap(), b"abc");
        let sized = || Sized(frames(&parts), 3).boxed_unsync();
        assert_eq!(told(sized(), 9, 1).await, None);
        assert_eq!(told(sized(), 9, 2).await.unwrap(), b"abc");
    }

    #[tokio::test]
    async fn nothing_is_told_of_a_body_that_is_too_long_or_breaks_off() {
        let parts = [Ok("ab"), Ok("c")];
        assert_eq!(told(frames(&parts), 3, 3).await.unwrap(), b"abc");
        assert_eq!(told(frames(&parts), 2, 3).await, None);
        // What would fit again behind it makes no whole.
        assert_eq!(told(frames(&[Ok("abc"), Ok("d")]), 2, 3).await, None);
        assert_eq!(told(frames(&[Ok("a"), Err("gone")]), 9, 3).await, None);
    }

    #[tokio::test]
    async fn what_goes_by_is_what_came() {
        for max in [2, 9] {
            let body = Copied::boxed(frames(&[Ok("ab"), Ok("c")]), max, |_: &[u8]| {});
            assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        }
        let body = Copied::boxed(full("abc"), 9, |_: &[u8]| {});
        assert_eq!(body.size_hint().exact(), Some(3));
    }
}
