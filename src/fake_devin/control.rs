//! The fake's own routes below `/.fake/`, for tests in other processes. No token, no recording.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::FakeDevin;
use super::answer::{Answer, Reply};
use super::faults::FaultForm;
use super::problem::{Problem, settle};
use super::recording::Recorded;

/// Where the control routes begin.
pub(super) const PREFIX: &str = "/.fake/";

#[derive(Deserialize)]
struct ClockForm {
    advance_seconds: f64,
}

#[derive(Deserialize)]
struct WakeForm {
    session: String,
    message: String,
}

/// Answers a control request.
pub(super) async fn answer(fake: &FakeDevin, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Answer::empty(StatusCode::BAD_REQUEST),
    };
    let tail = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    settle(dispatch(fake, &parts.method, tail, &body))
}

fn dispatch(fake: &FakeDevin, method: &Method, tail: &str, body: &[u8]) -> Reply {
    match (method.as_str(), tail) {
        ("GET", "requests") => {
            let all: Vec<Value> = fake.requests().iter().map(Recorded::view).collect();
            Ok(Answer::ok(&Value::Array(all)))
        }
        ("DELETE", "requests") => {
            fake.clear_requests();
            Ok(done(fake))
        }
        ("POST", "clock") => {
            let form: ClockForm = read(body)?;
            let by = Duration::try_from_secs_f64(form.advance_seconds).map_err(refuse)?;
            fake.advance(by);
            Ok(done(fake))
        }
        ("POST", "faults") => {
            let form: FaultForm = read(body)?;
            let fault = form.fault().ok_or_else(|| refuse("unknown method"))?;
            fake.inject(fault);
            Ok(done(fake))
        }
        ("DELETE", "faults") => {
            fake.clear_faults();
            Ok(done(fake))
        }
        ("GET", "sessions") => Ok(Answer::ok(&json!(fake.truth()))),
        ("POST", "sessions") => {
            let begun = fake.begin_elsewhere(read(body)?);
            let id = begun.ok_or_else(|| Problem::not_found("Parent session or organization"))?;
            Ok(Answer::ok(&json!({ "session_id": id })))
        }
        ("POST", "wake") => {
            let form: WakeForm = read(body)?;
            let woken = fake.wake_elsewhere(&form.session, &form.message);
            done_if(fake, woken)
        }
        ("POST", "consumption") => {
            fake.consume(&read(body)?);
            Ok(done(fake))
        }
        ("PATCH", "options") => {
            fake.tune(&read(body)?);
            Ok(done(fake))
        }
        ("PATCH", _) => {
            let id = tail.strip_prefix("sessions/");
            let id = id.ok_or_else(Problem::no_such_path)?;
            done_if(fake, fake.change(id, read(body)?))
        }
        _ => Err(Problem::no_such_path()),
    }
}

fn done_if(fake: &FakeDevin, known: bool) -> Reply {
    known
        .then(|| done(fake))
        .ok_or_else(|| Problem::not_found("Session"))
}

fn done(fake: &FakeDevin) -> Answer {
    Answer::ok(&json!({ "now": fake.now() }))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(refuse)
}

fn refuse(why: impl ToString) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, &why.to_string())
}
