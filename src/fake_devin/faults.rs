//! Faults on demand: what a network and a busy service do to a caller, made repeatable.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::odd::OddPage;

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// Answers as usual, but only after this real time.
    Latency(Duration),
    /// Does the work at once, and answers only after this real time: a caller that gives up before
    /// has a result that it knows nothing of.
    LatencyAfterWork(Duration),
    /// Answers this status without doing the work.
    Status {
        /// The status.
        code: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
        /// `x-should-retry`, which the official clients obey.
        x_should_retry: Option<bool>,
    },
    /// Answers this status without doing the work, with `Retry-After` in its other form: a date.
    StatusUntil {
        /// The status.
        code: u16,
        /// Real seconds from now.
        seconds: u64,
    },
    /// Resets the connection without doing the work.
    ResetBeforeWork,
    /// Does the work, then resets the connection without an answer.
    ResetAfterWork,
    /// Does the work, then answers this status.
    StatusAfterWork {
        /// The status.
        code: u16,
    },
    /// Does the work, announces the whole answer, sends half of it and closes the connection.
    HalfAnswer,
    /// Does the work, then answers 200 and these bytes as JSON, which they need not be. What it refuses to do, it
    /// refuses as usual.
    BodyAfterWork(Bytes),
    /// Does the work, and leaves this member out of the answer.
    WithoutMember(String),
    /// Answers as usual, but what is wrong with this page of a list.
    OddPage(OddPage),
    /// Receives the request and never answers.
    Hang,
    /// 401, as if the token were bad.
    RejectToken,
    /// Answers as usual, the body in eight pieces with a pause before each.
    SlowBody {
        /// The pause.
        chunk_delay: Duration,
    },
    /// 200 with the `Authorization` header that was received, to test that it goes no further.
    EchoAuthorization,
    /// 307 to this place, without doing the work.
    Redirect {
        /// The place.
        location: String,
    },
    /// Answers as usual with these headers on top.
    ExtraHeaders(Vec<(String, String)>),
    /// Writes these bytes to the socket in place of an answer and closes it; the work is not done.
    Raw(Bytes),
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultTimes {
    /// The next so many requests that it applies to.
    Next(u32),
    /// Every request that it applies to, until faults are cleared.
    Always,
}

/// A fault waiting for its requests. Of several that apply, the oldest strikes, alone.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// How often.
    pub times: FaultTimes,
    /// Only requests with this method whose path begins like this; all requests when absent.
    pub only: Option<(Method, String)>,
}

impl Fault {
    /// A fault for the next request, whichever it is.
    #[must_use]
    pub fn next(kind: FaultKind) -> Self {
        Self {
            kind,
            times: FaultTimes::Next(1),
            only: None,
        }
    }

    /// A fault for every request.
    #[must_use]
    pub fn always(kind: FaultKind) -> Self {
        Self {
            kind,
            times: FaultTimes::Always,
            only: None,
        }
    }

    fn applies(&self, method: &Method, path: &str) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|(wanted, prefix)| wanted == method && path.starts_with(prefix))
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<VecDeque<Fault>>);

impl Faults {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, fault: Fault) {
        self.queue().push_back(fault);
    }

    pub(super) fn clear(&self) {
        self.queue().clear();
    }

    /// The fault that strikes this request.
    pub(super) fn strike(&self, method: &Method, path: &str) -> Option<FaultKind> {
        let mut queue = self.queue();
        queue.retain(|fault| fault.times != FaultTimes::Next(0));
        let fault = queue.iter_mut().find(|fault| fault.applies(method, path))?;
        if let FaultTimes::Next(left) = &mut fault.times {
            *left -= 1;
        }
        Some(fault.kind.clone())
    }
}

/// How a fault is ordered over HTTP.
#[derive(Debug, Deserialize)]
pub(super) struct FaultForm {
    #[serde(flatten)]
    kind: KindForm,
    #[serde(default)]
    times: TimesForm,
    only: Option<OnlyForm>,
}

#[derive(Debug, Deserialize)]
struct OnlyForm {
    method: String,
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TimesForm {
    Next(u32),
    Word(Word),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Always,
}

impl Default for TimesForm {
    fn default() -> Self {
        Self::Next(1)
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum KindForm {
    Latency {
        ms: u64,
    },
    LatencyAfterWork {
        ms: u64,
    },
    Status {
        code: u16,
        retry_after: Option<u64>,
        x_should_retry: Option<bool>,
    },
    StatusUntil {
        code: u16,
        seconds: u64,
    },
    ResetBeforeWork,
    ResetAfterWork,
    StatusAfterWork {
        code: u16,
    },
    HalfAnswer,
    BodyAfterWork {
        text: String,
    },
    WithoutMember {
        name: String,
    },
    OddPage {
        page: OddPage,
    },
    Hang,
    RejectToken,
    SlowBody {
        ms: u64,
    },
    EchoAuthorization,
    Redirect {
        location: String,
    },
    ExtraHeaders {
        headers: Vec<(String, String)>,
    },
    Raw {
        text: String,
    },
}

impl FaultForm {
    /// The fault, unless its method is none.
    pub(super) fn fault(self) -> Option<Fault> {
        let only = match self.only {
            None => None,
            Some(only) => Some((Method::from_bytes(only.method.as_bytes()).ok()?, only.path)),
        };
        let times = match self.times {
            TimesForm::Next(times) => FaultTimes::Next(times),
            TimesForm::Word(Word::Always) => FaultTimes::Always,
        };
        Some(Fault {
            kind: self.kind.into(),
            times,
            only,
        })
    }
}

impl From<KindForm> for FaultKind {
    fn from(form: KindForm) -> Self {
        match form {
            KindForm::Latency { ms } => Self::Latency(Duration::from_millis(ms)),
            KindForm::LatencyAfterWork { ms } => Self::LatencyAfterWork(Duration::from_millis(ms)),
            KindForm::StatusUntil { code, seconds } => Self::StatusUntil { code, seconds },
            KindForm::BodyAfterWork { text } => Self::BodyAfterWork(text.into()),
            KindForm::WithoutMember { name } => Self::WithoutMember(name),
            KindForm::OddPage { page } => Self::OddPage(page),
            KindForm::Status {
                code,
                retry_after,
                x_should_retry,
            } => Self::Status {
                code,
                retry_after,
                x_should_retry,
            },
            KindForm::ResetBeforeWork => Self::ResetBeforeWork,
            KindForm::ResetAfterWork => Self::ResetAfterWork,
            KindForm::StatusAfterWork { code } => Self::StatusAfterWork { code },
            KindForm::HalfAnswer => Self::HalfAnswer,
            KindForm::Hang => Self::Hang,
            KindForm::RejectToken => Self::RejectToken,
            KindForm::SlowBody { ms } => Self::SlowBody {
                chunk_delay: Duration::from_millis(ms),
            },
            KindForm::EchoAuthorization => Self::EchoAuthorization,
            KindForm::Redirect { location } => Self::Redirect { location },
            KindForm::ExtraHeaders { headers } => Self::ExtraHeaders(headers),
            KindForm::Raw { text } => Self::Raw(text.into()),
        }
    }
}
