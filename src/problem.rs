//! From a [`Rejection`] to its answer (RFC 9457): the only place that knows statuses.
//!
//! Every code has one row in [`Code::row`]: its status, its title, what it means
//! and what to do. The answer's `type` points to a page that the gateway itself
//! serves from the same row (`pipeline/pages.rs`), so the two cannot differ.
//! Answers never hold a cause from below, nor any value of the request that may
//! be secret.

mod codes;

use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::acu::Acu;
use crate::body::{Body, chain, full};
use crate::policy::bounds::Place;
use crate::policy::{Denied, Stop};
use crate::rejection::{NoRoom, Rejection, SessionDenied, Stopped, UnknownBecause};
use crate::target::TargetError;
use crate::trail::Trail;

pub use codes::{Code, CodeRow};

/// Where the pages of the codes stand.
pub const PAGES: &str = "/.tollgate/problems/";
/// Which side spoke.
pub const ANSWERED_BY: HeaderName = HeaderName::from_static("tollgate-answered-by");
/// Devin's own SDK obeys this and does not repeat the call.
pub const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// When to ask again where only our own state has to change, in seconds.
const ASK_AGAIN: u64 = 5;
/// The same for one that needs a session to come to rest; advice, since nobody knows when one will.
const ASK_FOR_SLOT: u64 = 30;

/// What becomes of a rejection.
#[derive(Debug)]
pub struct Answer {
    /// For the caller.
    pub response: Response<Body>,
    /// For the log.
    pub code: Code,
    /// The operator's half, for the log alone.
    pub cause: Option<String>,
}

/// What an answer says, for tools that send no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The stable code.
    pub code: Code,
    /// The status.
    pub status: StatusCode,
    /// What it is here, and what to do.
    pub detail: String,
    /// Whom to ask.
    pub owner: Option<String>,
}

/// Everything that an answer and a log line say of a rejection.
struct Facts<'a> {
    code: Code,
    status: StatusCode,
    /// What it was here, before what to do.
    sentence: Option<String>,
    /// The operator's half: never in an answer.
    cause: Option<String>,
    /// Whether the same request can succeed without anyone changing anything. A change that Devin may have made
    /// already must not be repeated blindly: Devin has no idempotency key.
    heals: bool,
    retry_after: Option<u64>,
    /// RFC 6750 section 3.
    challenge: Option<&'static str>,
    allow: Option<String>,
    members: Members<'a>,
}

/// The members of an answer beside those of RFC 9457.
#[derive(Default, Serialize)]
struct Members<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_acus: Option<Acu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
}

/// The body of an answer.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: String,
    instance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    #[serde(flatten)]
    members: Members<'a>,
}

impl Facts<'_> {
    fn detail(&self) -> String {
        let remedy = self.code.row().remedy;
        match &self.sentence {
            Some(said) => format!("{said}. {remedy}"),
            None => remedy.to_owned(),
        }
    }

    fn of(code: Code) -> Self {
        Self {
            code,
            status: code.row().status,
            sentence: None,
            cause: None,
            heals: false,
            retry_after: None,
            challenge: None,
            allow: None,
            members: Members::default(),
        }
    }

    fn says(self, sentence: String) -> Self {
        Self {
            sentence: Some(sentence),
            ..self
        }
    }

    fn challenges(self, challenge: &'static str) -> Self {
        Self {
            challenge: Some(challenge),
            ..self
        }
    }

    fn upstream(self, cause: String, may_have_acted: bool) -> Self {
        Self {
            cause: Some(cause),
            heals: !may_have_acted,
            ..self
        }
    }
}

/// Of a budget that others share, only its name and when it resets (M24).
fn no_room(it: &NoRoom) -> Facts<'_> {
    let remaining = &it.no_room.remaining;
    let (budget, least) = (&remaining.budget, it.no_room.least);
    let said = if remaining.is_own {
        let left = remaining.acus;
        format!("The budget `{budget}` has {left} ACUs left, and {least} have to be set aside")
    } else {
        format!("The budget `{budget}` has no room for {least} ACUs")
    };
    Facts {
        members: Members {
            budget: Some(budget),
            remaining_acus: remaining.is_own.then_some(remaining.acus),
            resets_at: Some(remaining.resets_at.to_string()),
            owner: it.owner.as_deref(),
            ..Members::default()
        },
        ..Facts::of(Code::BudgetExhausted).says(said)
    }
}

impl Rejection {
    /// The one place that says what a rejection means.
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Target(error @ TargetError::TooLong) => Facts::of(Code::TargetTooLong).says(sentence(&error.to_string())),
            Self::Target(error) => Facts::of(Code::TargetInvalid).says(sentence(&error.to_string())),
            Self::TargetAmbiguous => Facts::of(Code::TargetInvalid),
            Self::HeadersTooLarge => Facts::of(Code::HeadersTooLarge),
            Self::Header(what) => Facts::of(Code::HeaderInvalid).says((*what).to_owned()),
            Self::TransferCoding => Facts {
                status: StatusCode::NOT_IMPLEMENTED,
                ..Facts::of(Code::HeaderInvalid).says("`Transfer-Encoding` may only be `chunked`".to_owned())
            },
            Self::ExpectationFailed => Facts::of(Code::ExpectationFailed),
            Self::LengthRequired => Facts::of(Code::LengthRequired),
            Self::BodyUnwanted => Facts::of(Code::BodyInvalid).says("The operation takes no body".to_owned()),
            // A request without a credential gets no error code.
            Self::CredentialMissing => Facts::of(Code::CredentialMissing).challenges("Bearer realm=\"tollgate\""),
            Self::CredentialInvalid { cause } => Facts {
                cause: Some((*cause).to_owned()),
                ..Facts::of(Code::CredentialInvalid).challenges("Bearer realm=\"tollgate\", error=\"invalid_token\"")
            },
            Self::CredentialExpired => Facts::of(Code::CredentialExpired).challenges(
                "Bearer realm=\"tollgate\", error=\"invalid_token\", error_description=\"the credential has expired\"",
            ),
            Self::CallerUnknown { issuer } => {
                Facts::of(Code::CallerUnknown).says(format!("The token is of the issuer `{issuer}`"))
            }
            Self::CallerAmbiguous { issuer } => {
                Facts::of(Code::CallerAmbiguous).says(format!("The token is of the issuer `{issuer}`"))
            }
            Self::OperationUnknown(because) => {
                let facts = Facts::of(Code::OperationUnknown);
                match because {
                    UnknownBecause::Path => facts,
                    UnknownBecause::Version => {
                        facts.says("The path exists under another version prefix (/v3 or /v3beta1)".to_owned())
                    }
                    UnknownBecause::Refused(id) => facts.says(format!("`{id}` is never served through the gateway")),
                    UnknownBecause::OwnPage => {
                        facts.says(format!("The gateway has no such page; its codes are listed at {PAGES}"))
                    }
                }
            }
            Self::MethodUnknown { allowed, is_standard } => {
                let facts = Facts::of(Code::MethodUnknown);
                let names: Vec<&str> = allowed.iter().map(|verb| verb.as_str()).collect();
                Facts {
                    // A token that HTTP has no method for, against one that this path has not (RFC 9110 section 9.1).
                    status: if *is_standard { facts.status } else { StatusCode::NOT_IMPLEMENTED },
                    allow: Some(names.join(", ")),
                    ..facts
                }
            }
            Self::Stopped(it) => stopped(it),
            Self::SessionDenied(it) => session_denied(it),
            Self::BodyUnsupported(said) => Facts::of(Code::BodyUnsupported).says((*said).to_owned()),
            Self::BodyTooLarge { said } => Facts::of(Code::BodyTooLarge).says(sentence(said)),
            Self::RequestTimeout => Facts {
                heals: true,
                ..Facts::of(Code::RequestTimeout)
            },
            Self::RateLimited { limit, retry_after } => {
                let seconds = whole_seconds(*retry_after);
                let said = format!("The limit `{limit}` is used up; the next request fits in {seconds} s");
                Facts {
                    heals: true,
                    retry_after: Some(seconds),
                    members: Members {
                        limit: Some(limit),
                        ..Members::default()
                    },
                    ..Facts::of(Code::RateLimited).says(said)
                }
            }
            Self::SessionsAtLimit { limit, owner } => Facts {
                heals: true,
                retry_after: Some(ASK_FOR_SLOT),
                members: Members {
                    limit: Some(limit),
                    owner: owner.as_deref(),
                    ..Members::default()
                },
                ..Facts::of(Code::SessionsAtLimit).says(format!("The limit `{limit}` lets no further session run now"))
            },
            Self::BodyBroken => Facts {
                heals: true,
                ..Facts::of(Code::BodyInvalid)
            },
            Self::UpstreamCoolingDown { retry_after } => {
                let seconds = whole_seconds(*retry_after);
                let said = format!("It is tried again in {seconds} s");
                Facts {
                    heals: true,
                    retry_after: Some(seconds),
                    ..Facts::of(Code::UpstreamCoolingDown).says(said)
                }
            }
            Self::UpstreamUnreachable { source, may_have_acted } => {
                Facts::of(Code::UpstreamUnreachable).upstream(chain(&**source), *may_have_acted)
            }
            Self::UpstreamInvalid { source, may_have_acted } => {
                Facts::of(Code::UpstreamInvalid).upstream(chain(&**source), *may_have_acted)
            }
            Self::UpstreamTimeout { phase, may_have_acted } => {
                Facts::of(Code::UpstreamTimeout).upstream((*phase).to_owned(), *may_have_acted)
            }
            Self::IdempotencyInFlight => Facts {
                heals: true,
                retry_after: Some(ASK_AGAIN),
                ..Facts::of(Code::IdempotencyInFlight).says("It is still under way".to_owned())
            },
            Self::IdempotencyMismatch => Facts::of(Code::IdempotencyMismatch),
            Self::AnswerWithheld { session } => Facts {
                members: Members {
                    session: session.as_deref(),
                    ..Members::default()
                },
                ..Facts::of(Code::IdempotencyInFlight)
                    .says("It was carried out and answered, and its answer is not kept".to_owned())
            },
            Self::Overloaded(what) => Facts {
                heals: true,
                retry_after: Some(ASK_AGAIN),
                ..Facts::of(Code::Overloaded).says((*what).to_owned())
            },
            Self::Store(error) => Facts {
                cause: Some(error.to_string()),
                heals: true,
                retry_after: Some(ASK_AGAIN),
                ..Facts::of(Code::StoreUnavailable)
            },
            Self::NoRoom(it) => no_room(it),
            Self::SpendUncapped(it) => Facts {
                members: Members {
                    rule: Some(&it.rule),
                    owner: it.owner.as_deref(),
                    ..Members::default()
                },
                ..Facts::of(Code::SpendUncapped)
                    .says(format!("`{}` would spend without a cap", it.operation.row().id))
            },
            Self::Shared(inner) => inner.facts(),
            Self::UpstreamCredentialRejected => Facts {
                cause: Some("Devin answered 401 to the service-user token: it must be renewed".to_owned()),
                ..Facts::of(Code::UpstreamCredentialRejected)
            },
            Self::Internal => Facts::of(Code::Internal),
        }
    }

    /// The operator's half.
    pub fn cause(&self) -> Option<String> {
        self.facts().cause
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.facts().code
    }

    /// What the answer says.
    pub fn told(&self) -> Told {
        let facts = self.facts();
        Told {
            code: facts.code,
            status: facts.status,
            detail: facts.detail(),
            owner: facts.members.owner.map(str::to_owned),
        }
    }

    /// The answer, and what the log says beside it.
    pub fn answer(self, trail: &Trail) -> Answer {
        let facts = self.facts();
        let row = facts.code.row();
        let document = Document {
            kind: format!("{PAGES}{}", row.name),
            title: row.title,
            status: facts.status.as_u16(),
            detail: facts.detail(),
            instance: format!("urn:uuid:{}", trail.request_id),
            retry_after_seconds: facts.retry_after,
            members: facts.members,
        };
        let mut response = Response::new(full(serde_json::to_vec(&document).unwrap_or_default()));
        *response.status_mut() = facts.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ANSWERED_BY, HeaderValue::from_static("gateway"));
        if let Some(seconds) = facts.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if !facts.heals {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(challenge) = facts.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(allow) = facts
            .allow
            .and_then(|list| HeaderValue::from_str(&list).ok())
        {
            headers.insert(ALLOW, allow);
        }
        Answer {
            response,
            code: facts.code,
            cause: facts.cause,
        }
    }
}

/// What the policy has against a request.
fn stopped(
    Stopped {
        operation,
        organization,
        stop,
        owner,
    }: &Stopped,
) -> Facts<'_> {
    let (organization, owner) = (organization.as_deref(), owner.as_deref());
    let id = operation.row().id;
    let rule = stop.rule().map_or("", |it| &**it);
    let (said, owner) = match stop {
        Stop::Denied(Denied::ByRule { owner, .. }) => {
            (format!("The rule `{rule}` denies `{id}`"), owner.as_deref())
        }
        Stop::Denied(Denied::Operation) => (format!("No rule allows `{id}` to you"), owner),
        Stop::Denied(Denied::Organization(_)) => (
            match organization {
                Some(organization) => {
                    format!("The rule `{rule}` grants `{id}`, but not for `{organization}`")
                }
                None => format!(
                    "`{id}` names no organization, and the rule `{rule}` grants single organizations only"
                ),
            },
            owner,
        ),
        Stop::Denied(Denied::Secret { owner, .. }) => (
            format!(
                "The answer of `{id}` holds a secret that is shown once, and the rule `{rule}` does not say \
                 `secrets: reveal`"
            ),
            owner.as_deref(),
        ),
        Stop::Fields(refused) => {
            let what = match (refused.place, &refused.field) {
                (Place::Body, Some(field)) => format!("The field `{field}` of the body"),
                (Place::Query, Some(field)) => format!("The key `{field}` of the query"),
                (Place::Body, None) => "The body".to_owned(),
                (Place::Query, None) => "The query".to_owned(),
            };
            let said = &refused.said;
            (
                format!("{what}, by the rule `{rule}`: {said}"),
                refused.owner.as_deref(),
            )
        }
    };
    let field = match stop {
        Stop::Fields(refused) => refused.field.as_deref(),
        Stop::Denied(_) => None,
    };
    Facts {
        members: Members {
            operation: Some(id),
            organization: match stop {
                Stop::Denied(Denied::Organization(_)) => organization,
                Stop::Denied(_) | Stop::Fields(_) => None,
            },
            rule: stop.rule().map(|it| &**it),
            field,
            owner,
            ..Members::default()
        },
        ..Facts::of(stop.code()).says(said)
    }
}

/// That a session is not the caller's. Of one that is not there, the same is said.
fn session_denied(
    SessionDenied {
        operation,
        named,
        rule,
        owner,
    }: &SessionDenied,
) -> Facts<'_> {
    let id = operation.row().id;
    let what = match named {
        None => "The session".to_owned(),
        Some((Place::Query, key)) => format!("What the key `{key}` of the query names"),
        Some((Place::Body, field)) => format!("What the field `{field}` of the body names"),
    };
    Facts {
        members: Members {
            operation: Some(id),
            rule: Some(rule),
            field: named.map(|(_, field)| field),
            owner: owner.as_deref(),
            ..Members::default()
        },
        ..Facts::of(Code::SessionDenied).says(format!(
            "{what} is no session that the rule `{rule}` lets you touch with `{id}`"
        ))
    }
}

/// Rounded up: one second early is another 429.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests;
