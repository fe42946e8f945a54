//! Carries shared reads out: a request to Devin that belongs to all who wait for it.
//!
//! A flight is a future that each of its clients can drive, and that is dropped with the last of them: a client that
//! leaves fails nobody, and a read that nobody waits for is broken off.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Shared;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::Service;
use uuid::Uuid;

use super::book::{BOUNDS, Book, Hit, Kept, Seat};
use super::key::{About, Key, wants_fresh};
use super::tee::{End, First, Host, Tee};
use crate::body::{Body, full};
use crate::exchange::Exchange;
use crate::pipeline::{BoxFuture, Funded};
use crate::rejection::Rejection;

/// Where all reads under way and all kept answers are known.
#[derive(Debug)]
pub(super) struct Desk(Mutex<Book<Weak<Flight>>>);

impl Default for Desk {
    fn default() -> Self {
        Self(Mutex::new(Book::new(BOUNDS)))
    }
}

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    caller: Arc<str>,
    key: Key,
    about: About,
    /// How long the answer may be kept.
    lasts: Option<Duration>,
    /// Whether an answer that was given before will do.
    takes_kept: bool,
}

impl Wanted {
    /// Of a read.
    pub(super) fn of(exchange: &Exchange<Funded>) -> Self {
        let permitted = exchange.proof.permitted();
        let policy = permitted.policy();
        let headers = exchange.request.headers();
        let lasts = policy.cache(permitted.grant());
        Self {
            caller: Arc::clone(policy.caller(permitted.caller()).name()),
            key: Key::of(permitted, headers),
            about: About::of(permitted),
            lasts,
            takes_kept: lasts.is_some() && !wants_fresh(headers),
        }
    }
}

/// What becomes of a read.
pub(super) enum Turn<S> {
    /// There is an answer.
    Hit(Hit),
    /// It asks Devin.
    Lead(Arc<Flight>),
    /// The same is under way. Request and service come back, for those who have to ask for themselves after all.
    Follow(Arc<Flight>, S, Box<Exchange<Funded>>),
}

impl Desk {
    pub(super) fn book(&self) -> MutexGuard<'_, Book<Weak<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrive<S>(
        self: &Arc<Self>,
        wanted: &Wanted,
        ready: S,
        exchange: Exchange<Funded>,
    ) -> Turn<S>
    where
        S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection> + Send + 'static,
        S::Future: Send,
    {
        let now = Instant::now();
        let Wanted {
            caller, key, about, ..
        } = wanted;
        let mut book = self.book();
        if wanted.takes_kept
            && let Some(hit) = book.hit(caller, key, now)
        {
            return Turn::Hit(hit);
        }
        if let Some(flight) = book.under_way(caller, key, now).and_then(Weak::upgrade) {
            return Turn::Follow(flight, ready, Box::new(exchange));
        }
        let seat = book.seat(caller, key);
        let place = Place {
            desk: Arc::clone(self),
            seat: seat.clone(),
            first: exchange.trail.request_id,
            keeps: None,
        };
        let first = place.first;
        let asking: BoxFuture<_, _> = Box::pin(ask(place, ready, exchange));
        let flight = Arc::new(Flight {
            first,
            answer: asking.shared(),
        });
        let handle = Arc::downgrade(&flight);
        book.begin(&seat, about.clone(), wanted.lasts, now, handle);
        Turn::Lead(flight)
    }
}

type Answering = BoxFuture<Arc<Answer>, Arc<Rejection>>;

/// A read under way.
#[derive(Debug)]
pub(super) struct Flight {
    /// The request that leads.
    first: Uuid,
    answer: Shared<Answering>,
}

/// The answer of a flight.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    tee: Tee,
}

impl Answer {
    fn respond(&self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

impl Flight {
    /// The request that leads.
    pub(super) fn first(&self) -> Uuid {
        self.first
    }

    /// The answer, streamed.
    pub(super) async fn lead(self: Arc<Self>) -> Result<Response<Body>, Rejection> {
        let answer = self.answer.clone().await.map_err(Rejection::Shared)?;
        let held = Held {
            answer: Arc::clone(&answer),
            _flight: self,
        };
        Ok(answer.respond(First::new(held).boxed_unsync()))
    }

    /// The answer once it is whole; none where it goes to the first client alone.
    pub(super) async fn follow(self: Arc<Self>) -> Option<Result<Response<Body>, Rejection>> {
        let answer = match self.answer.clone().await {
            Ok(answer) => answer,
            Err(rejection) => return Some(Err(Rejection::Shared(rejection))),
        };
        match answer.tee.end().await {
            End::Whole(bytes) => Some(Ok(answer.respond(full(bytes)))),
            End::Broken { is_late: true, .. } => Some(Err(Rejection::UpstreamTimeout {
                phase: "the answer did not come whole in time",
                may_have_acted: false,
            })),
            End::Broken { said, .. } => Some(Err(Rejection::UpstreamInvalid {
                source: said.into(),
                may_have_acted: false,
            })),
            End::Alone => None,
        }
    }
}

/// What the first client's body needs: as long as it is read, others can join.
struct Held {
    answer: Arc<Answer>,
    _flight: Arc<Flight>,
}

impl AsRef<Tee> for Held {
    fn as_ref(&self) -> &Tee {
        &self.answer.tee
    }
}

/// Asks Devin, and reads the head of the answer.
async fn ask<S>(
    mut place: Place,
    mut ready: S,
    exchange: Exchange<Funded>,
) -> Result<Arc<Answer>, Arc<Rejection>>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection> + Send + 'static,
    S::Future: Send,
{
    // Whoever leads may leave; its log line waits for what becomes of its request.
    let line = exchange.trail.line.get().and_then(Weak::upgrade);
    let asking = async move { ready.call(exchange).await };
    // A panic costs all who wait: what they get is a bug's answer, and not a panic of their own.
    let asked = AssertUnwindSafe(asking).catch_unwind().await;
    let answer = asked
        .unwrap_or(Err(Rejection::Internal))
        .map_err(Arc::new)?;
    let (head, body) = answer.into_parts();
    place.desk.book().answered(&place.seat, Instant::now());
    if head.status == StatusCode::OK {
        place.keeps = Some(head.headers.clone());
    }
    let is_alone = streams(&head.headers);
    Ok(Arc::new(Answer {
        status: head.status,
        headers: head.headers,
        tee: Tee::new(body, line, Box::new(place), BOUNDS.answer, is_alone),
    }))
}

/// Whether an answer is one for its first reader alone: a stream that may never end, or a file.
fn streams(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|it| it.as_bytes());
    let stream = b"text/event-stream";
    let is_stream = kind
        .and_then(|it| it.get(..stream.len()))
        .is_some_and(|it| it.eq_ignore_ascii_case(stream));
    is_stream || headers.contains_key(CONTENT_DISPOSITION)
}

/// The place of a flight at the desk, given up when this is dropped.
#[derive(Debug)]
struct Place {
    desk: Arc<Desk>,
    seat: Seat,
    /// The request that leads.
    first: Uuid,
    /// The headers of an answer that may be kept.
    keeps: Option<HeaderMap>,
}

impl Place {
    fn end(&mut self, answer: Option<Kept>) {
        self.desk.book().end(&self.seat, answer, Instant::now());
    }
}

impl Host for Place {
    fn reserve(&mut self, bytes: usize) -> bool {
        self.desk.book().reserve(&self.seat, bytes)
    }

    fn release(&mut self, bytes: usize) {
        self.desk.book().release(&self.seat, bytes);
    }

    fn close(&mut self) {
        self.end(None);
    }

    fn whole(&mut self, body: &mut dyn FnMut() -> Bytes) {
        let is_wanted = self.desk.book().would_keep(&self.seat);
        let kept = self.keeps.take().filter(|_| is_wanted);
        let kept = kept.map(|headers| Kept {
            headers,
            body: body(),
            first: self.first,
        });
        self.end(kept);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end(None);
    }
}
