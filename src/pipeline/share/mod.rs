//! Stage 11b: identical reads of one caller at once are one request to Devin's, and its answer may be kept for a moment.
//!
//! Whoever works with Devin polls it. Between `fund` and `filter`: each request is authorized, limited and held to
//! ownership by itself, and what is shared is the answer as the caller may see it. The first of several identical reads
//! leads; the others wait for its answer, and go on with it where its client leaves. Nothing is shared between callers
//! ([`Key`], U6), and nothing that changes, spends or reveals a secret once. [`book`] decides, `tee` lets several read
//! one answer, `flight` carries out.
//!
//! Whether an answer is kept at all, the grant says (`cache: 2s`): what Devin's headers say of caches is not asked,
//! since this one is the team's own. A change by the caller takes away what may be stale ([`About::touches`]), before it
//! leaves and when it is answered.

pub mod book;
mod flight;
mod key;
mod tee;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::Either;
use http::header::AGE;
use http::{HeaderName, HeaderValue, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::{Layer, Service};

use self::book::Hit;
use self::flight::{Desk, Turn, Wanted};
use super::{BoxFuture, Funded};
use crate::body::{Body, BoxError, full};
use crate::catalogue::Verb;
use crate::exchange::Exchange;
use crate::problem::ANSWERED_BY;
use crate::rejection::Rejection;
use crate::trail::{Cache, Trail};

pub use key::{About, Key};

/// Says how the answer to a read was had.
pub const CACHE: HeaderName = HeaderName::from_static("tollgate-cache");

/// Makes [`Share`] services, which know the same reads.
#[derive(Clone, Debug, Default)]
pub struct ShareLayer {
    desk: Arc<Desk>,
}

impl<S> Layer<S> for ShareLayer {
    type Service = Share<S>;

    fn layer(&self, inner: S) -> Share<S> {
        Share {
            desk: Arc::clone(&self.desk),
            inner,
        }
    }
}

/// Asks once for what several ask for at once.
#[derive(Clone, Debug)]
pub struct Share<S> {
    desk: Arc<Desk>,
    inner: S,
}

impl<S> Service<Exchange<Funded>> for Share<S>
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
        let row = exchange.proof.permitted().operation().row();
        if row.verb != Verb::Get || row.mutates {
            let change = Change::begin(&self.desk, &exchange);
            let answering = self.inner.call(exchange);
            return Either::Right(Box::pin(async move {
                let answer = answering.await?;
                // Its client may act on what it reads here.
                change.tell();
                let change = Some(change);
                Ok(answer.map(|inner| Changing { inner, change }.boxed_unsync()))
            }));
        }
        // A body of a read could be anything, and nothing says that two are the same.
        if !row.only_reads() || !exchange.request.body().is_end_stream() {
            return Either::Left(self.inner.call(exchange));
        }
        let ready = super::take_ready(&mut self.inner);
        let desk = Arc::clone(&self.desk);
        Either::Right(Box::pin(serve(desk, ready, exchange)))
    }
}

/// Answers a read that can be shared.
async fn serve<S>(
    desk: Arc<Desk>,
    ready: S,
    exchange: Exchange<Funded>,
) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection> + Send + 'static,
    S::Future: Send,
{
    let trail = Arc::clone(&exchange.trail);
    let wanted = Wanted::of(&exchange);
    match desk.arrive(&wanted, ready, exchange) {
        Turn::Hit(hit) => {
            note(&trail, Cache::Hit, Some(hit.kept.first));
            Ok(again(&trail, found(hit), Cache::Hit))
        }
        Turn::Lead(flight) => {
            note(&trail, Cache::Miss, None);
            flight.lead().await.map(|it| marked(it, Cache::Miss))
        }
        Turn::Follow(flight, mut ready, exchange) => {
            // From here on, the time is Devin's.
            trail.waits_for_upstream();
            let first = flight.first();
            match flight.follow().await {
                Some(answer) => {
                    note(&trail, Cache::Shared, Some(first));
                    answer.map(|it| again(&trail, it, Cache::Shared))
                }
                None => {
                    note(&trail, Cache::Miss, None);
                    let answer = ready.call(*exchange).await;
                    answer.map(|it| marked(it, Cache::Miss))
                }
            }
        }
    }
}

fn note(trail: &Trail, cache: Cache, first: Option<uuid::Uuid>) {
    let _ = trail.cache.set(cache);
    if let Some(first) = first {
        let _ = trail.first_request.set(first);
    }
}

/// An answer that another request had asked for. Which side spoke then stands in it.
fn again(trail: &Trail, answer: Response<Body>, cache: Cache) -> Response<Body> {
    let said = answer.headers().get(ANSWERED_BY).map(HeaderValue::as_bytes);
    if said == Some(b"upstream") {
        trail.answered_upstream();
    }
    marked(answer, cache)
}

fn marked(mut answer: Response<Body>, cache: Cache) -> Response<Body> {
    let headers = answer.headers_mut();
    headers.insert(CACHE, HeaderValue::from_static(cache.as_str()));
    answer
}

/// A kept answer with its age (RFC 9111 section 5.1): in whole seconds, and what it had when it came on top.
fn found(Hit { kept, age }: Hit) -> Response<Body> {
    let mut answer = Response::new(full(kept.body.clone()));
    let headers = answer.headers_mut();
    headers.clone_from(&kept.headers);
    let before = headers.get(AGE).and_then(|it| it.to_str().ok());
    let before: u64 = before.and_then(|it| it.parse().ok()).unwrap_or(0);
    let seconds = before.saturating_add(age.as_secs());
    headers.insert(AGE, HeaderValue::from(seconds));
    answer
}

/// A change that is under way. When it ends, however that is, what it may show in is known no more.
#[derive(Debug)]
struct Change {
    desk: Arc<Desk>,
    caller: Arc<str>,
    about: About,
}

impl Change {
    fn begin(desk: &Arc<Desk>, exchange: &Exchange<Funded>) -> Self {
        let permitted = exchange.proof.permitted();
        let change = Self {
            desk: Arc::clone(desk),
            caller: Arc::clone(permitted.policy().caller(permitted.caller()).name()),
            about: About::of(permitted),
        };
        change.tell();
        change
    }

    fn tell(&self) {
        self.desk.book().change(&self.caller, &self.about);
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.tell();
    }
}

/// The answer to a change, which may still be carried out while it is read.
struct Changing {
    inner: Body,
    /// Until it has ended: whoever has all of the answer finds nothing older.
    change: Option<Change>,
}

impl http_body::Body for Changing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.inner.is_end_stream() {
            self.change = None;
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
