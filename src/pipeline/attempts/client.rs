//! The client of an attempt: begins one or joins one, waits, and shows whether it still does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_LENGTH;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tower::Service;
use uuid::Uuid;

use super::Intended;
use super::desk::{Begun, Desk};
use super::fingerprint::{Fingerprint, fingerprint};
use super::key::{Key, says_it_repeats};
use super::outcome::{Failure, Kept, Seen};
use super::registry::{Ask, Seat, Turn};
use crate::body::{Body, BoxError, full, read_whole};
use crate::exchange::Exchange;
use crate::ledger::HoldId;
use crate::pipeline::bounds::{MAX_BODY, TooMuch};
use crate::pipeline::edge::BodyLate;
use crate::pipeline::ownership::Owned;
use crate::rejection::Rejection;
use crate::trail::{Again, Trail};

/// How long an earlier client's departure has to show.
pub const GRACE: Duration = Duration::from_millis(250);
/// A larger body is digested beside the threads that serve everybody.
const MAX_INLINE: usize = 64 * 1024;

/// Serves a request that spends.
pub(super) async fn serve<S>(
    desk: Arc<Desk>,
    ready: S,
    mut exchange: Exchange<Owned>,
) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Intended>, Response = Response<Body>, Error = Rejection> + Send + 'static,
    S::Future: Send,
{
    let until = Instant::now() + desk.total;
    let key = Key::of(exchange.request.headers())?;
    let repeats = says_it_repeats(exchange.request.headers());
    let fingerprint = read(&mut exchange, desk.body_time).await?;
    desk.restore().await?;
    let trail = Arc::clone(&exchange.trail);
    let permitted = exchange.proof.permitted();
    let operation = permitted.operation().row();
    let caller = Arc::clone(permitted.policy().caller(permitted.caller()).name());
    let mut ask = Ask {
        caller,
        key,
        fingerprint,
        repeats,
        lingers: true,
        request_id: trail.request_id,
    };
    let mut lingering = None;
    let mut to_do = Some((ready, exchange));
    loop {
        let seen = watch::Sender::new(Seen::Running);
        let turn = desk
            .registry()
            .arrive(&ask, Instant::now(), || seen.clone());
        match turn {
            Turn::Begin(seat) => {
                let place = Place::new(&desk, seat);
                // Once begun it is done: this is never asked for twice.
                let (ready, exchange) = to_do.take().ok_or(Rejection::Internal)?;
                let begun = Begun {
                    id: seat.attempt,
                    caller: ask.caller,
                    key: ask.key,
                    fingerprint,
                    hold: HoldId(desk.clock.id()),
                    operation,
                    seen: seen.clone(),
                };
                desk.carry_out(begun, ready, exchange);
                return first(place, seen.subscribe()).await;
            }
            Turn::Join { seat, end, first } => {
                let place = Place::new(&desk, seat);
                if let Some(answer) =
                    joined(&ask, until, place, end.subscribe(), &trail, first).await
                {
                    return answer;
                }
                // The attempt has not acted, as is known by now: this is a new one.
            }
            Turn::Linger(bell) => {
                let until = *lingering.get_or_insert_with(|| Instant::now() + GRACE);
                ask.lingers = timeout_at(until, bell.notified()).await.is_ok();
            }
            Turn::Mismatch => return Err(Rejection::IdempotencyMismatch),
            Turn::Full => {
                return Err(Rejection::Overloaded(
                    "Too many requests that spend are under way, or have an outcome that is not known",
                ));
            }
        }
    }
}

/// Waits for the attempt that this request began.
async fn first(
    mut place: Place,
    mut seen: watch::Receiver<Seen>,
) -> Result<Response<Body>, Rejection> {
    let seen = seen.wait_for(Seen::has_ended).await.map(|it| it.clone());
    match seen {
        Ok(Seen::Answered(given)) => Ok(place.hand(given.give()?)),
        Ok(Seen::Refused(failure)) => fail(&failure, Clone::clone),
        Ok(Seen::NoResult(failure)) => {
            // It is told all that there is; who asks again will wait for more.
            place.served();
            fail(&failure, Clone::clone)
        }
        Ok(Seen::Unresolvable | Seen::Absent | Seen::Running) | Err(_) => Err(unknown()),
    }
}

/// Waits for an earlier attempt. `None` if it has not acted, and this request is to begin anew.
async fn joined(
    ask: &Ask,
    until: Instant,
    place: Place,
    mut seen: watch::Receiver<Seen>,
    trail: &Trail,
    first: Option<Uuid>,
) -> Option<Result<Response<Body>, Rejection>> {
    let waiting = timeout_at(until, seen.wait_for(Seen::is_resolved));
    let found = match waiting.await {
        Ok(Ok(seen)) => seen.clone(),
        Ok(Err(_)) => Seen::Unresolvable,
        Err(_) if ask.key.is_some() => return Some(Err(Rejection::IdempotencyInFlight)),
        Err(_) => Seen::Unresolvable,
    };
    let note = |is_upstream| {
        let again = if ask.key.is_some() {
            Again::Replayed
        } else {
            Again::Joined
        };
        let _ = trail.again.set(again);
        if let Some(first) = first {
            let _ = trail.first_request.set(first);
        }
        if is_upstream {
            trail.upstream_answered.store(true, Ordering::Relaxed);
        }
    };
    Some(match found {
        Seen::Absent => return None,
        Seen::Answered(given) => {
            note(true);
            given.give().map(|kept| place.hand(kept.again()))
        }
        Seen::Refused(failure) => {
            note(matches!(failure, Failure::Answered(_)));
            fail(&failure, Kept::again)
        }
        Seen::Unresolvable | Seen::Running | Seen::NoResult(_) => {
            note(false);
            Err(unknown())
        }
    })
}

fn fail(failure: &Failure, form: impl Fn(&Kept) -> Kept) -> Result<Response<Body>, Rejection> {
    match failure {
        Failure::Answered(kept) => Ok(form(kept).response()),
        Failure::Rejected(rejection) => Err(Rejection::Shared(Arc::clone(rejection))),
    }
}

/// Never an answer that makes a client create another session.
fn unknown() -> Rejection {
    Rejection::UpstreamTimeout {
        phase: "it could not be found out what became of an attempt that may have acted",
        may_have_acted: true,
    }
}

/// Reads the body whole, so that it can be compared, and asks for an answer that whoever joins can read.
async fn read(exchange: &mut Exchange<Owned>, within: Duration) -> Result<Fingerprint, Rejection> {
    let request = &mut exchange.request;
    let body = std::mem::replace(request.body_mut(), crate::body::empty());
    let bytes = match timeout(within, read_whole(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Rejection::BodyTooLarge {
                said: "the body of a request that spends may have 2 MiB".to_owned(),
            });
        }
        Ok(Err(error)) if error.is::<TooMuch>() => {
            return Err(Rejection::BodyTooLarge {
                said: error.to_string(),
            });
        }
        Ok(Err(error)) if error.is::<BodyLate>() => return Err(Rejection::RequestTimeout),
        Ok(Err(_)) => return Err(Rejection::BodyBroken),
        Err(_) => return Err(Rejection::RequestTimeout),
    };
    *request.body_mut() = full(bytes.clone());
    // Framing is the client's own, by the size of what it is given.
    request.headers_mut().remove(CONTENT_LENGTH);
    // A body that was judged was counted as it came.
    let counted = &exchange.trail.bytes_in;
    if counted.load(Ordering::Relaxed) == 0 {
        counted.store(bytes.len() as u64, Ordering::Relaxed);
    }
    let permitted = exchange.proof.permitted();
    let caller = permitted.policy().caller(permitted.caller()).name();
    let operation = permitted.operation().row().id;
    let target = permitted.path_and_query();
    if bytes.len() <= MAX_INLINE {
        return Ok(fingerprint(caller, operation, &target, &bytes));
    }
    let caller = caller.to_owned();
    let digesting = move || fingerprint(&caller, operation, &target, &bytes);
    // It does not panic; if it did, that would be a bug of ours.
    let digested = tokio::task::spawn_blocking(digesting).await;
    digested.map_err(|_| Rejection::Internal)
}

/// The place of an attempt's client, given up when this is dropped.
#[derive(Debug)]
struct Place {
    desk: Arc<Desk>,
    seat: Option<Seat>,
}

impl Place {
    fn new(desk: &Arc<Desk>, seat: Seat) -> Self {
        Self {
            desk: Arc::clone(desk),
            seat: Some(seat),
        }
    }

    /// The answer, which is delivered when its last byte has gone.
    fn hand(mut self, kept: Kept) -> Response<Body> {
        kept.response().map(|inner| {
            if inner.is_end_stream() {
                self.served();
            }
            let handed = Handed { inner, place: self };
            handed.boxed_unsync()
        })
    }

    fn served(&mut self) {
        if let Some(seat) = self.seat.take() {
            let bell = self.desk.registry().delivered(seat, Instant::now());
            if let Some(bell) = bell {
                bell.notify_one();
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            let bell = self.desk.registry().left(seat, Instant::now());
            if let Some(bell) = bell {
                bell.notify_one();
            }
        }
    }
}

/// An answer on its way to an attempt's client.
struct Handed {
    inner: Body,
    place: Place,
}

impl http_body::Body for Handed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_none() || self.inner.is_end_stream() {
            self.place.served();
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
