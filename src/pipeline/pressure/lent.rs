//! A body that comes back where nobody has begun to read it.
//!
//! The client drops a request whose connection failed, and the body with it. This one is only lent to it: as long as
//! nothing was read, it can be sent with another request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

use crate::body::{Body, BoxError};

struct State {
    body: Body,
    is_begun: bool,
}

/// The lender's half.
pub(super) struct Lender(Arc<Mutex<State>>);

struct Lent(Arc<Mutex<State>>);

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body to send, and the way to get it back.
pub(super) fn lend(body: Body) -> (Body, Lender) {
    let state = Arc::new(Mutex::new(State {
        body,
        is_begun: false,
    }));
    (Lent(Arc::clone(&state)).boxed_unsync(), Lender(state))
}

impl Lender {
    /// The body, if nobody has begun to read it and nobody can any more.
    pub(super) fn back(self) -> Option<Body> {
        let state = Arc::into_inner(self.0)?;
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (!state.is_begun).then_some(state.body)
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = lock(&self.0);
        state.is_begun = true;
        Pin::new(&mut state.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::body::full;

    fn read(body: Body) -> Bytes {
        let read = body.collect().now_or_never().unwrap();
        read.unwrap().to_bytes()
    }

    #[test]
    fn what_nobody_has_read_comes_back() {
        let (body, lender) = lend(full("abc"));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(3));
        drop(body);
        assert_eq!(read(lender.back().unwrap()), "abc");
    }

    #[test]
    fn what_was_begun_or_is_still_held_does_not() {
        let (mut body, lender) = lend(full("abc"));
        assert!(body.frame().now_or_never().unwrap().is_some());
        drop(body);
        assert!(lender.back().is_none());
        let (body, lender) = lend(full("abc"));
        assert!(lender.back().is_none());
        assert_eq!(read(body), "abc");
    }
}
