//! One request from its first byte to its answer: recording, faults, authentication, work.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Reply};
use super::call::{Call, Query, Upload};
use super::faults::FaultKind;
use super::problem::{Problem, settle};
use super::recording::Recording;
use super::router::Target;
use super::server::{Connection, Cut};
use super::{FakeDevin, attachments, clock, control};

/// A whole body, a slow one, or one that breaks off.
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Answers one request; does not return when the connection is cut instead.
pub(super) async fn answer(
    fake: &FakeDevin,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    if request.uri().path().starts_with(control::PREFIX) {
        return whole(control::answer(fake, request).await);
    }
    let (parts, body) = request.into_parts();
    let recording = fake.inner.recordings.begin(&parts);
    let Some(body) = receive(body, &recording).await else {
        // The caller broke off; nobody reads this answer.
        return whole(Answer::empty(StatusCode::BAD_REQUEST));
    };
    let fault = fake.inner.faults.strike(&parts.method, parts.uri.path());
    let work = async || work(fake, connection, &parts, body).await;
    let response = match fault {
        None => whole(work().await),
        Some(FaultKind::Latency(time)) => {
            tokio::time::sleep(time).await;
            whole(work().await)
        }
        Some(FaultKind::LatencyAfterWork(time)) => {
            let answer = work().await;
            tokio::time::sleep(time).await;
            whole(answer)
        }
        Some(FaultKind::StatusUntil { code, seconds }) => {
            let until = clock::http_date(seconds);
            whole(plain(code).with_header(&RETRY_AFTER, &until))
        }
        Some(FaultKind::Status {
            code,
            retry_after,
            x_should_retry,
        }) => {
            let mut answer = plain(code);
            if let Some(seconds) = retry_after {
                answer = answer.with_header(&RETRY_AFTER, &seconds.to_string());
            }
            if let Some(should) = x_should_retry {
                let name = HeaderName::from_static("x-should-retry");
                answer = answer.with_header(&name, &should.to_string());
            }
            whole(answer)
        }
        Some(FaultKind::ResetBeforeWork) => connection.cut(Cut::Reset).await,
        Some(FaultKind::ResetAfterWork) => {
            work().await;
            connection.cut(Cut::Reset).await
        }
        Some(FaultKind::StatusAfterWork { code }) => {
            work().await;
            whole(plain(code))
        }
        Some(FaultKind::HalfAnswer) => half(work().await),
        Some(FaultKind::BodyAfterWork(body)) => {
            let answer = work().await;
            // A read that is refused leaves nothing undone, and its bytes may name what only they know of.
            if answer.status.is_success() || parts.method.is_safe() {
                whole(Answer::new(StatusCode::OK, "application/json", body))
            } else {
                whole(answer)
            }
        }
        Some(FaultKind::WithoutMember(name)) => whole(without(work().await, &name)),
        Some(FaultKind::OddPage(page)) => {
            let query = Query::parse(parts.uri.query());
            whole(page.spoil(work().await, query.one("after")))
        }
        Some(FaultKind::Hang) => std::future::pending().await,
        Some(FaultKind::RejectToken) => whole(Problem::unauthorized().answer()),
        Some(FaultKind::SlowBody { chunk_delay }) => slow(work().await, chunk_delay),
        Some(FaultKind::EchoAuthorization) => whole(echo(&parts.headers)),
        Some(FaultKind::Redirect { location }) => {
            let answer = Answer::empty(StatusCode::TEMPORARY_REDIRECT);
            whole(answer.with_header(&LOCATION, &location))
        }
        Some(FaultKind::ExtraHeaders(extra)) => {
            let mut answer = work().await;
            for (name, value) in &extra {
                let name = HeaderName::from_bytes(name.as_bytes());
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                    answer.headers.append(name, value);
                }
            }
            whole(answer)
        }
        Some(FaultKind::Raw(bytes)) => connection.cut(Cut::Raw(bytes)).await,
    };
    recording.answered(response.status());
    response
}

/// Takes in the body, recording each piece as it comes; none when the caller breaks off.
async fn receive(mut body: Incoming, recording: &Recording) -> Option<Bytes> {
    while let Some(frame) = body.frame().await {
        if let Some(chunk) = frame.ok()?.data_ref() {
            recording.received(chunk);
        }
    }
    Some(recording.finish())
}

/// What Devin does with a request: find the path, check the token, do the work.
async fn work(
    fake: &FakeDevin,
    connection: &Connection,
    parts: &http::request::Parts,
    body: Bytes,
) -> Answer {
    settle(try_work(fake, connection, parts, body).await)
}

async fn try_work(
    fake: &FakeDevin,
    connection: &Connection,
    parts: &http::request::Parts,
    body: Bytes,
) -> Reply {
    let path = parts.uri.path();
    let now = fake.inner.clock.now();
    if let Some(rest) = path.strip_prefix(attachments::SIGNED) {
        return attachments::open_link(&fake.world(), rest, now);
    }
    let Target {
        handler,
        params,
        enterprise,
    } = fake.inner.routes.find(&parts.method, path)?;
    {
        let mut world = fake.world();
        authenticate(&parts.headers, &world.options.token)?;
        world.admit(now)?;
    }
    let upload = upload(&parts.headers, &body).await;
    let call = Call {
        enterprise,
        params,
        query: Query::parse(parts.uri.query()),
        body,
        upload,
        now,
        base: connection.base.clone(),
    };
    handler(&mut fake.world(), &call)
}

fn authenticate(headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let given = values.next().and_then(|value| value.to_str().ok());
    let bearer = given.and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(credentials)
    });
    if bearer == Some(token) && values.next().is_none() {
        Ok(())
    } else {
        Err(Problem::unauthorized())
    }
}

/// The part named `file` of a multipart body, if it is one.
async fn upload(headers: &HeaderMap, body: &Bytes) -> Option<Upload> {
    let media_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let boundary = multer::parse_boundary(media_type).ok()?;
    let whole = stream::iter([Ok::<_, Infallible>(body.clone())]);
    let mut form = multer::Multipart::new(whole, boundary);
    while let Some(field) = form.next_field().await.ok()? {
        if field.name() == Some("file") {
            return Some(Upload {
                name: field.file_name().unwrap_or("file").to_owned(),
                media_type: field.content_type().map(ToString::to_string),
                content: field.bytes().await.ok()?,
            });
        }
    }
    None
}

fn plain(code: u16) -> Answer {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Problem::new(status, status.canonical_reason().unwrap_or("Fault")).answer()
}

/// The answer without one of its members.
fn without(mut answer: Answer, name: &str) -> Answer {
    let body = serde_json::from_slice::<Map<String, Value>>(&answer.body);
    if let Ok(mut members) = body {
        members.remove(name);
        answer.body = Value::Object(members).to_string().into();
    }
    answer
}

fn echo(headers: &HeaderMap) -> Answer {
    let values = headers.get_all(AUTHORIZATION).iter();
    let texts: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    Answer::ok(&json!({ "authorization": texts.join(", ") }))
}

fn respond(answer: Answer, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn whole(answer: Answer) -> Response<Body> {
    let body = Full::new(answer.body.clone());
    respond(answer, body.map_err(|never| match never {}).boxed_unsync())
}

/// The length of the whole, and half of it.
fn half(mut answer: Answer) -> Response<Body> {
    let length = HeaderValue::from(answer.body.len());
    answer.headers.insert(http::header::CONTENT_LENGTH, length);
    let begin = answer.body.slice(..answer.body.len() / 2);
    let broken = stream::once(async {
        // Time for the first half to leave before the connection breaks.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    let pieces = stream::iter([Ok(Frame::data(begin))]).chain(broken);
    respond(answer, StreamBody::new(pieces).boxed_unsync())
}

/// Eight pieces with a pause before each.
fn slow(answer: Answer, delay: Duration) -> Response<Body> {
    let size = answer.body.len().div_ceil(8).max(1);
    let pieces: Vec<Bytes> = answer
        .body
        .chunks(size)
        .map(Bytes::copy_from_slice)
        .collect();
    let paced = stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(delay).await;
        Ok(Frame::data(piece))
    });
    respond(answer, StreamBody::new(paced).boxed_unsync())
}
