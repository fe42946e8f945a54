//! The two bodies of a request at the edge: what comes has its time, and what goes tells whether it is taken.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::pulse::{Beat, Pulse};
use crate::body::{Body, BoxError};
use crate::capacity::Times;

/// A client's body did not come in its time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub struct BodyLate;

/// A client's body, with a time for each piece and one for all of it.
///
/// Only waiting for the client counts: while nobody asks for the next piece, that is not its fault.
pub(super) struct Arriving {
    inner: Body,
    pulse: Pulse,
    times: Times,
    until: Instant,
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    pub(super) fn new(inner: Body, pulse: Pulse, now: Instant) -> Self {
        let times = pulse.times();
        Self {
            inner,
            pulse,
            times,
            until: now + times.upload.max(times.body),
            waiting: None,
            timer: None,
        }
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.waiting = None;
            if matches!(frame, Some(Ok(_))) {
                self.pulse.came();
            }
            return Poll::Ready(frame);
        }
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let at = self.until.min(since + self.times.body_idle);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyLate.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer, which tells its connection of each piece that is given, and of each that was taken.
pub(super) struct Leaving {
    inner: Body,
    beat: Beat,
}

impl Leaving {
    pub(super) fn new(inner: Body, beat: Beat) -> Self {
        Self { inner, beat }
    }
}

impl http_body::Body for Leaving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.beat.asked();
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if matches!(frame, Some(Ok(_))) {
            self.beat.gave(Instant::now());
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
    use std::collections::VecDeque;
    use std::time::Duration;

    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    /// Pieces, each after a while.
    fn slowly(pauses: &[u64]) -> Body {
        let pauses: VecDeque<u64> = pauses.iter().copied().collect();
        let pieces = futures_util::stream::unfold(pauses, |mut pauses| async move {
            tokio::time::sleep(Duration::from_secs(pauses.pop_front()?)).await;
            let frame: Result<_, BoxError> = Ok(Frame::data(Bytes::from_static(b"x")));
            Some((frame, pauses))
        });
        StreamBody::new(Box::pin(pieces)).boxed_unsync()
    }

    fn pulse(now: Instant) -> Pulse {
        Pulse::new(Times::default(), now)
    }

    #[tokio::test(start_paused = true)]
    async fn r1_a_body_has_a_time_for_each_piece_and_one_for_all() {
        for (pauses, wanted) in [
            (vec![29; 10], Ok(10)),
            (vec![1, 31], Err(31)),
            (vec![29; 11], Err(300)),
        ] {
            let begun = Instant::now();
            let body = Arriving::new(slowly(&pauses), pulse(begun), begun)
                .collect()
                .await;
            match (body, wanted) {
                (Ok(body), Ok(length)) => assert_eq!(body.to_bytes().len(), length),
                (Err(error), Err(seconds)) => {
                    assert!(error.is::<BodyLate>());
                    assert_eq!(begun.elapsed().as_secs(), seconds, "{pauses:?}");
                }
                (body, _) => panic!("{pauses:?}: {body:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_nobody_asks_for_is_not_late() {
        let now = Instant::now();
        let mut body = Arriving::new(slowly(&[1, 1]), pulse(now), now);
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert!(body.frame().await.unwrap().is_ok());
    }
}
