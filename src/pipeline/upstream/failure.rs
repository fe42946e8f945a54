//! Why a request has no answer: the caller's own doing, no connection, or what Devin sent instead.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use hyper_util::client::legacy::Error as ClientError;

use super::connect::NotInTime;
use crate::body::{Body, BoxError, Watched};
use crate::catalogue::Operation;
use crate::pipeline::bounds::TooMuch;
use crate::pipeline::edge::BodyLate;
use crate::rejection::Rejection;
use crate::trail::Trail;

/// Whether no connection was had, so that not a byte of the request has left.
pub(in crate::pipeline) fn never_left(rejection: &Rejection) -> bool {
    if let Rejection::UpstreamUnreachable { source, .. } = rejection {
        let error = source.downcast_ref::<ClientError>();
        return error.is_some_and(ClientError::is_connect);
    }
    let no_connection = [NotInTime::DIRECT, NotInTime::THROUGH_PROXY];
    matches!(rejection, Rejection::UpstreamTimeout { phase, .. } if no_connection.contains(phase))
}

/// Why a caller's body came to no end.
#[derive(Debug)]
pub(super) enum BrokeOff {
    /// It was more than it may be.
    TooMuch(String),
    /// It did not come in time.
    Late,
    /// The caller broke off.
    Itself,
}

/// Counts the caller's bytes, and remembers whether the caller broke off, or sent more than it may.
pub(super) fn watched(
    request: Request<Body>,
    trail: &Arc<Trail>,
    broke_off: &Arc<OnceLock<BrokeOff>>,
) -> Request<Body> {
    if http_body::Body::is_end_stream(request.body()) {
        return request;
    }
    let trail = Arc::clone(trail);
    let broke_off = Arc::clone(broke_off);
    // A body that was judged has been counted when it was read.
    let is_counted = trail.bytes_in.load(Ordering::Relaxed) > 0;
    let tell = move |frame: Result<&Frame<Bytes>, &BoxError>| match frame {
        Ok(frame) if !is_counted => {
            let length = frame.data_ref().map_or(0, Bytes::len);
            trail.bytes_in.fetch_add(length as u64, Ordering::Relaxed);
        }
        Ok(_) => {}
        Err(error) => {
            let _ = broke_off.set(match error.downcast_ref::<TooMuch>() {
                Some(it) => BrokeOff::TooMuch(it.said().to_owned()),
                None if error.is::<BodyLate>() => BrokeOff::Late,
                None => BrokeOff::Itself,
            });
        }
    };
    request.map(|body| Watched::boxed(body, tell))
}

/// What became of a request that failed: whose doing it was, and whether Devin may have acted.
pub(super) fn failed(
    error: ClientError,
    operation: &Operation,
    caller_broke_off: Option<&BrokeOff>,
) -> Rejection {
    match caller_broke_off {
        Some(BrokeOff::TooMuch(said)) => return Rejection::BodyTooLarge { said: said.clone() },
        Some(BrokeOff::Late) => return Rejection::RequestTimeout,
        Some(BrokeOff::Itself) => return Rejection::BodyBroken,
        None => {}
    }
    if error.is_connect() {
        return match not_in_time(&error) {
            Some(phase) => Rejection::UpstreamTimeout {
                phase,
                may_have_acted: false,
            },
            None => Rejection::UpstreamUnreachable {
                source: error.into(),
                may_have_acted: false,
            },
        };
    }
    let is_nonsense =
        caused_by::<hyper::Error>(&error).is_some_and(|it| it.is_parse() || it.is_parse_status());
    let (source, may_have_acted): (BoxError, bool) = (error.into(), operation.mutates);
    if is_nonsense {
        Rejection::UpstreamInvalid {
            source,
            may_have_acted,
        }
    } else {
        Rejection::UpstreamUnreachable {
            source,
            may_have_acted,
        }
    }
}

/// What took too long, where that is why there was no connection.
fn not_in_time(error: &ClientError) -> Option<&'static str> {
    if let Some(late) = caused_by::<NotInTime>(error) {
        return Some(late.phase());
    }
    // The last of several addresses, or the system's own time.
    let io = caused_by::<io::Error>(error);
    io.filter(|it| it.kind() == io::ErrorKind::TimedOut)
        .map(|_| NotInTime::DIRECT)
}

fn caused_by<E: std::error::Error + 'static>(error: &ClientError) -> Option<&E> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(source) = next {
        if let Some(found) = source.downcast_ref() {
            return Some(found);
        }
        next = source.source();
    }
    None
}
