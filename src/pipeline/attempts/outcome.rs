//! How attempts end, and what of an answer is kept. Pure.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{
    CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;

use crate::body::{Body, full};
use crate::catalogue::{Operation, Verb};
use crate::problem::{ANSWERED_BY, SHOULD_RETRY};
use crate::rejection::Rejection;

/// The largest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// The largest answer that is stored with a key, in bytes. Of a larger one it is only known that it was given.
pub const MAX_STORED: usize = 64 * 1024;

/// What of an answer's headers still holds when it is given again.
const AGAIN: [HeaderName; 9] = [
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_SECURITY_POLICY,
    CONTENT_TYPE,
    RETRY_AFTER,
    ANSWERED_BY,
    SHOULD_RETRY,
    HeaderName::from_static("tollgate-acu-cap"),
    HeaderName::from_static("tollgate-acu-remaining"),
];

/// An answer, whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

// Answers are a caller's own: what prints one for its debugging shows none of it.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({}, {} bytes)", self.status, self.body.len())
    }
}

impl Kept {
    /// Devin's record of what an attempt has done, as the answer that it should have had.
    pub fn record(body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ANSWERED_BY, HeaderValue::from_static("upstream"));
        Self {
            status: StatusCode::OK,
            headers,
            body,
        }
    }

    /// For another request than the one that it was given to first.
    pub fn again(&self) -> Self {
        let mut headers = HeaderMap::new();
        for name in AGAIN {
            if let Some(value) = self.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        Self {
            headers,
            ..self.clone()
        }
    }

    /// Whether Devin said it.
    pub fn is_upstream(&self) -> bool {
        self.headers
            .get(ANSWERED_BY)
            .is_some_and(|it| it == "upstream")
    }

    /// The session that it is about, if it says so.
    pub fn session(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Named {
            session_id: String,
        }
        let named: Named = serde_json::from_slice(&self.body).ok()?;
        Some(named.session_id).filter(|it| it.len() <= 128)
    }

    /// Whether it may be stored. Never what is shown once, and never what repeats a caller's own secrets (I6).
    pub fn is_storable(&self, operation: &Operation) -> bool {
        let echoes = b"session_secrets";
        !operation.reveals_once
            && self.body.len() <= MAX_STORED
            && !self.body.windows(echoes.len()).any(|it| it == echoes)
    }

    /// The answer itself.
    pub fn response(self) -> Response<Body> {
        let mut response = Response::new(full(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// An answer that can be had.
#[derive(Debug)]
pub enum Given {
    /// By every client of the attempt.
    Open(Kept),
    /// By one of them, since it holds what is shown once.
    Once {
        /// Gone when it was given.
        answer: Mutex<Option<Kept>>,
        /// The session that it is about.
        session: Option<String>,
    },
    /// By none: it was given once and is not kept.
    Withheld {
        /// The session that it is about.
        session: Option<String>,
    },
}

impl Given {
    /// Of this operation.
    pub fn new(operation: &Operation, kept: Kept) -> Self {
        if operation.reveals_once {
            Self::Once {
                session: kept.session(),
                answer: Mutex::new(Some(kept)),
            }
        } else {
            Self::Open(kept)
        }
    }

    /// The answer for a client.
    ///
    /// # Errors
    /// It is not to be had any more.
    pub fn give(&self) -> Result<Kept, Rejection> {
        let (answer, session) = match self {
            Self::Open(kept) => (Some(kept.clone()), &None),
            Self::Once { answer, session } => {
                let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
                (answer.take(), session)
            }
            Self::Withheld { session } => (None, session),
        };
        answer.ok_or_else(|| Rejection::AnswerWithheld {
            session: session.clone(),
        })
    }
}

/// An answer or a rejection that is no result.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Devin's answer.
    Answered(Arc<Kept>),
    /// A rejection of a stage below.
    Rejected(Arc<Rejection>),
}

impl Failure {
    /// Of a rejection.
    pub fn of(rejection: Rejection) -> Self {
        Self::Rejected(Arc::new(rejection))
    }
}

/// What is to be seen of an attempt.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It is under way.
    Running,
    /// It may have acted; its own client is told so, whoever joins it waits on.
    NoResult(Failure),
    /// It was carried out.
    Answered(Arc<Given>),
    /// It was definitely refused.
    Refused(Failure),
    /// It was not carried out, as is known by now.
    Absent,
    /// Nobody knows whether it was carried out, and nobody will soon.
    Unresolvable,
}

impl Seen {
    /// Whether the attempt's own client has to wait no longer.
    pub fn has_ended(&self) -> bool {
        !matches!(self, Self::Running)
    }
    /// Whether nobody has to wait any longer.
    pub fn is_resolved(&self) -> bool {
        !matches!(self, Self::Running | Self::NoResult(_))
    }
}

/// How an attempt has ended.
#[derive(Debug)]
pub enum Ending {
    /// With a result.
    Done(Kept),
    /// With a definite refusal: it has not acted.
    Refused(Failure),
    /// It may have acted.
    NoResult(Failure),
}

impl Ending {
    /// Of what came back from below.
    pub fn of(operation: &Operation, outcome: Result<Kept, Rejection>) -> Self {
        match outcome {
            Ok(kept) if kept.status.is_success() => Self::Done(kept),
            Ok(kept) if is_definite(operation, kept.status) => {
                Self::Refused(Failure::Answered(Arc::new(kept)))
            }
            Ok(kept) => Self::NoResult(Failure::Answered(Arc::new(kept))),
            Err(rejection) if rejection.may_have_acted() => Self::NoResult(Failure::of(rejection)),
            Err(rejection) => Self::Refused(Failure::of(rejection)),
        }
    }
}

/// Whether Devin, by this status, has done nothing (L4).
pub fn is_definite(operation: &Operation, status: StatusCode) -> bool {
    let is_message = operation.verb == Verb::Post && operation.path.ends_with("/messages");
    match status.as_u16() {
        400..=405 | 413 | 415 | 422 | 429 => true,
        409 => is_message,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::OperationIx;

    fn operation(id: &str) -> &'static Operation {
        OperationIx::served()
            .find(|it| it.row().id == id)
            .unwrap()
            .row()
    }

    fn kept(status: u16, body: &'static str) -> Kept {
        let mut kept = Kept::record(Bytes::from_static(body.as_bytes()));
        kept.status = StatusCode::from_u16(status).unwrap();
        kept
    }

    #[test]
    fn l4_l5_every_status_is_a_result_a_refusal_or_neither() {
        let create = operation("sessions.create");
        for status in 100..600 {
            let ending = Ending::of(create, Ok(kept(status, "{}")));
            let refused = [400, 401, 402, 403, 404, 405, 413, 415, 422, 429];
            match ending {
                Ending::Done(_) => assert!((200..300).contains(&status), "{status}"),
                Ending::Refused(_) => assert!(refused.contains(&status), "{status}"),
                Ending::NoResult(_) => assert!(
                    !(200..300).contains(&status) && !refused.contains(&status),
                    "{status}"
                ),
            }
        }
        for id in [
            "sessions.messages.send",
            "enterprise.sessions.messages.send",
        ] {
            assert!(is_definite(operation(id), StatusCode::CONFLICT));
        }
        assert!(!is_definite(create, StatusCode::CONFLICT));
    }

    #[test]
    fn i6_what_is_shown_once_is_given_once_and_never_stored() {
        let secret = operation("automations.create");
        let answer = kept(200, r#"{"session_id":"devin-1","inbox_secret":"s"}"#);
        assert!(!answer.is_storable(secret));
        assert!(answer.is_storable(operation("sessions.create")));
        let given = Given::new(secret, answer);
        assert!(given.give().is_ok());
        assert!(matches!(
            given.give(),
            Err(Rejection::AnswerWithheld { session: Some(it) }) if it == "devin-1"
        ));
    }

    #[test]
    fn i6_an_answer_that_repeats_secrets_or_is_large_is_not_stored() {
        let create = operation("sessions.create");
        assert!(!kept(200, r#"{"session_secrets":[{"key":"a","value":"b"}]}"#).is_storable(create));
        let mut large = kept(200, "");
        large.body = Bytes::from(vec![b' '; MAX_STORED + 1]);
        assert!(!large.is_storable(create));
    }

    #[test]
    fn what_belongs_to_one_exchange_is_not_given_again() {
        let mut answer = kept(200, "{}");
        for name in ["date", "location", "set-cookie", "tollgate-acu-cap"] {
            let value = HeaderValue::from_static("5");
            answer.headers.insert(HeaderName::from_static(name), value);
        }
        let again = answer.again();
        let names: Vec<&str> = again.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(
            names,
            ["content-type", "tollgate-answered-by", "tollgate-acu-cap"]
        );
        assert!(again.is_upstream());
        assert_eq!(again.body, answer.body);
    }
}
