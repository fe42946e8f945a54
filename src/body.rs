//! Message bodies: streamed, unless a stage has to read one whole.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Full, Limited};
use tokio::time::{Instant, Sleep};

/// An error from somewhere below.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error and its sources in one line, for operators; what a source repeats is said once.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = source.source();
    }
    text
}

/// A streamed body of either direction.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// Reads a body to its end, up to so many bytes.
///
/// # Errors
/// The body's own; or a [`LengthLimitError`](http_body_util::LengthLimitError), where it is larger.
pub async fn read_whole(body: Body, most: usize) -> Result<Bytes, BoxError> {
    // With its type named: the compiler does not see by itself that it can go to another thread.
    let reading: Pin<Box<dyn Future<Output = Result<Collected<Bytes>, BoxError>> + Send>> =
        Box::pin(Limited::new(body, most).collect());
    Ok(reading.await?.to_bytes())
}

/// Whether the headers say that a body is JSON, in UTF-8.
pub fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = kind.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|it| it.eq_ignore_ascii_case("application/json"));
    let mut parameters = parts.filter(|it| !it.is_empty());
    is_json
        && parameters.all(|it| {
            it.split_once('=').is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("charset")
                    && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        })
}

/// The most bytes of a message's trailers, names and values together: nobody has a use for any.
const MAX_TRAILERS: usize = 8 * 1024;

/// More trailers than are dropped in silence.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("trailers of more than {MAX_TRAILERS} bytes")]
pub struct TrailersTooLarge;

/// Data frames only: trailers are dropped in both directions, since names in them (`authorization`,
/// `content-length`) would reach the other side unchecked (F9). Beyond 8 KiB of them the message is broken.
#[derive(Debug)]
pub struct WithoutTrailers<B>(B);

impl<B> WithoutTrailers<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    /// Wraps.
    pub fn new(inner: B) -> Self {
        Self(inner)
    }

    /// Wraps and boxes.
    pub fn boxed(inner: B) -> Body {
        Self(inner).boxed_unsync()
    }
}

impl<B> http_body::Body for WithoutTrailers<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.trailers_ref() {
                None => Some(Ok(frame)),
                Some(trailers) if size(trailers) > MAX_TRAILERS => {
                    Some(Err(TrailersTooLarge.into()))
                }
                Some(_) => None,
            },
            None => None,
            Some(Err(error)) => Some(Err(error.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn size(headers: &HeaderMap) -> usize {
    let each = headers.iter();
    each.map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// Tells somebody of each frame and of a failure, and changes nothing: the size that is known stays known.
#[derive(Debug)]
pub struct Watched<B, F> {
    inner: B,
    tell: F,
}

impl<B, F> Watched<B, F>
where
    B: http_body::Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
    F: FnMut(Result<&Frame<Bytes>, &BoxError>) + Send + Unpin + 'static,
{
    /// Wraps and boxes.
    pub fn boxed(inner: B, tell: F) -> Body {
        Self { inner, tell }.boxed_unsync()
    }
}

impl<B, F> http_body::Body for Watched<B, F>
where
    B: http_body::Body<Data = Bytes, Error = BoxError> + Unpin,
    F: FnMut(Result<&Frame<Bytes>, &BoxError>) + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(frame) = &frame {
            (self.tell)(frame.as_ref());
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

/// Where a body comes back to when whoever had it lets it go before its end.
#[derive(Clone, Debug, Default)]
pub struct Leftover(Arc<Mutex<Option<Body>>>);

impl Leftover {
    /// Hands out the body, with a way back.
    pub fn of(body: Body) -> (Body, Self) {
        let leftover = Self::default();
        let lent = Lent {
            inner: Some(body),
            back: leftover.clone(),
        };
        (lent.boxed_unsync(), leftover)
    }

    /// Reads what is left and throws it away, within bounds. Whether that was all.
    ///
    /// A connection whose last body was not read cannot be used again, and a client that was not told so finds
    /// out by an error on its next request.
    pub async fn drain(&self, max_bytes: usize, within: Duration) -> bool {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = taken else { return true };
        let reading = async {
            let mut left = max_bytes;
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => {
                        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                            Some(rest) => left = rest,
                            None => return false,
                        }
                    }
                    Some(Err(_)) => return false,
                    None => return true,
                }
            }
        };
        tokio::time::timeout(within, reading).await.unwrap_or(false)
    }
}

/// A body that comes back if it is dropped before its end.
struct Lent {
    inner: Option<Body>,
    back: Leftover,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self
            .inner
            .take()
            .filter(|body| !http_body::Body::is_end_stream(body))
        {
            *self.back.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            // Ended, or broken: nothing is left.
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or(SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// The time for an answer is over.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the time for the whole answer is over")]
pub struct DeadlineExceeded;

/// A body that must have gone by an instant.
///
/// Unlike tower-http's it takes over the timer that the head was waited for with, and asks it only while the
/// body has nothing: of a body that is there at once, no timer hears.
#[derive(Debug)]
pub struct Until<B> {
    inner: B,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<B> Until<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    /// Wraps and boxes.
    pub fn boxed(inner: B, deadline: Instant, timer: Pin<Box<Sleep>>) -> Body {
        let body = Self {
            inner,
            deadline,
            timer,
        };
        body.boxed_unsync()
    }
}

impl<B> http_body::Body for Until<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = self.deadline;
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(DeadlineExceeded.into())))
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
    use super::*;

    /// A body that never has anything.
    #[derive(Debug)]
    struct Silent;

    impl http_body::Body for Silent {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn f10_what_is_left_of_a_body_is_read_within_bounds() {
        let second = Duration::from_secs(1);
        let (body, leftover) = Leftover::of(full("12345"));
        drop(body);
        assert!(leftover.clone().drain(5, second).await);
        let (body, leftover) = Leftover::of(full("12345"));
        drop(body);
        assert!(!leftover.drain(4, second).await);
        let (body, leftover) = Leftover::of(Silent.boxed_unsync());
        drop(body);
        assert!(
            !leftover.drain(5, second).await,
            "a client that sends nothing is not waited for long"
        );
        let (body, leftover) = Leftover::of(full("12345"));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "12345");
        assert!(
            leftover.drain(0, second).await,
            "nothing is left of what was read"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_ends_at_its_deadline_and_not_before() {
        let begun = Instant::now();
        let timer = Box::pin(tokio::time::sleep(Duration::from_secs(1)));
        let body = Until::boxed(Silent, begun + Duration::from_secs(5), timer);
        let error = body.collect().await.unwrap_err();
        assert!(error.is::<DeadlineExceeded>());
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        let body = Until::boxed(full("x"), begun, timer);
        assert_eq!(
            body.collect().await.unwrap().to_bytes(),
            "x",
            "what is there is given"
        );
    }
}
