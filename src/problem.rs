//! From a [`Rejection`] to its answer (RFC 9457): the only file that knows statuses.
//!
//! Every code has one row in [`Code::row`]: its status, its title, what it means
//! and what to do. The answer's `type` points to a page that the gateway itself
//! serves from the same row (`pipeline/pages.rs`), so the two cannot differ.
//! Answers never hold a cause from below, nor any value of the request that may
//! be secret.

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::body::{Body, full};
use crate::rejection::{Rejection, UnknownBecause};
use crate::target::TargetError;
use crate::trail::Trail;

/// Where the pages of the codes stand.
pub const PAGES: &str = "/.tollgate/problems/";
/// Which side spoke.
pub const ANSWERED_BY: HeaderName = HeaderName::from_static("tollgate-answered-by");
/// Devin's own SDK obeys this and does not repeat the call.
pub const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The stable name of a refusal or failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// `target-invalid`
    TargetInvalid,
    /// `target-too-long`
    TargetTooLong,
    /// `headers-too-large`
    HeadersTooLarge,
    /// `header-invalid`
    HeaderInvalid,
    /// `body-invalid`
    BodyInvalid,
    /// `credential-missing`
    CredentialMissing,
    /// `credential-invalid`
    CredentialInvalid,
    /// `credential-expired`
    CredentialExpired,
    /// `caller-unknown`
    CallerUnknown,
    /// `caller-ambiguous`
    CallerAmbiguous,
    /// `operation-unknown`
    OperationUnknown,
    /// `method-unknown`
    MethodUnknown,
    /// `operation-denied`
    OperationDenied,
    /// `organization-denied`
    OrganizationDenied,
    /// `rate-limited`
    RateLimited,
    /// `upstream-unreachable`
    UpstreamUnreachable,
    /// `upstream-invalid`
    UpstreamInvalid,
    /// `upstream-timeout`
    UpstreamTimeout,
    /// `upstream-credential-rejected`
    UpstreamCredentialRejected,
    /// `internal`
    Internal,
}

/// What is said of a code, in answers and on its page.
#[derive(Clone, Copy, Debug)]
pub struct CodeRow {
    /// The name in `type`, logs and pages.
    pub name: &'static str,
    /// The usual status.
    pub status: StatusCode,
    /// One line.
    pub title: &'static str,
    /// What has happened.
    pub meaning: &'static str,
    /// What the reader can do about it.
    pub remedy: &'static str,
}

impl Code {
    /// All codes, in the order of the index page.
    pub const ALL: [Self; 20] = [
        Self::TargetInvalid,
        Self::TargetTooLong,
        Self::HeadersTooLarge,
        Self::HeaderInvalid,
        Self::BodyInvalid,
        Self::CredentialMissing,
        Self::CredentialInvalid,
        Self::CredentialExpired,
        Self::CallerUnknown,
        Self::CallerAmbiguous,
        Self::OperationUnknown,
        Self::MethodUnknown,
        Self::OperationDenied,
        Self::OrganizationDenied,
        Self::RateLimited,
        Self::UpstreamUnreachable,
        Self::UpstreamInvalid,
        Self::UpstreamTimeout,
        Self::UpstreamCredentialRejected,
        Self::Internal,
    ];

    /// The code's name.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Everything that is said of this code.
    pub fn row(self) -> CodeRow {
        let row = |name, status, title, meaning, remedy| CodeRow {
            name,
            status,
            title,
            meaning,
            remedy,
        };
        match self {
            Self::TargetInvalid => row(
                "target-invalid",
                StatusCode::BAD_REQUEST,
                "The request target cannot be read",
                "The path or query could be read in more than one way, or is not a path at all. Tollgate refuses \
                 dot segments, empty segments, double encoding, encoded slashes in ids and similar forms instead of \
                 repairing them, so that the policy and Devin always see the same path.",
                "Send the plain path of Devin's API reference, such as /v3/organizations/ORG/sessions, with ids \
                 unencoded and without a slash at the end.",
            ),
            Self::TargetTooLong => row(
                "target-too-long",
                StatusCode::URI_TOO_LONG,
                "The request target is too long",
                "Path and query together may have 8192 bytes.",
                "Ask for less at once, for instance with fewer ids in a filter.",
            ),
            Self::HeadersTooLarge => row(
                "headers-too-large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The request has too many or too large headers",
                "A request may have 64 headers with 32768 bytes in all.",
                "Send fewer headers. A credential of this size is none of ours.",
            ),
            Self::HeaderInvalid => row(
                "header-invalid",
                StatusCode::BAD_REQUEST,
                "A header is not acceptable",
                "A header that must stand once stands more than once, or in a form that is not served.",
                "Send the named header once.",
            ),
            Self::BodyInvalid => row(
                "body-invalid",
                StatusCode::BAD_REQUEST,
                "The request body is broken",
                "The body ended early, or was not what its framing said. Nothing complete was sent on.",
                "Send the request again, whole.",
            ),
            Self::CredentialMissing => row(
                "credential-missing",
                StatusCode::UNAUTHORIZED,
                "No credential was sent",
                "Every request needs the caller's own credential in the Authorization header.",
                "Send `Authorization: Bearer` with your Tollgate key (tg_…) or your token. It replaces Devin's token: \
                 that one is put on by the gateway.",
            ),
            Self::CredentialInvalid => row(
                "credential-invalid",
                StatusCode::UNAUTHORIZED,
                "The credential is not valid",
                "The credential is nobody's here: an unknown or mistyped key, another scheme than Bearer, or a token \
                 that does not verify. Which of these it is is not said on purpose.",
                "Check that the whole key was copied and that the token is for this gateway's audience. A Devin token \
                 (cog_…) is not accepted here. Your platform team can make a new key with `tollgate keys new`.",
            ),
            Self::CredentialExpired => row(
                "credential-expired",
                StatusCode::UNAUTHORIZED,
                "The credential has expired",
                "The key or token was valid once and is past its end.",
                "Get a fresh token, or ask your platform team for a new key.",
            ),
            Self::CallerUnknown => row(
                "caller-unknown",
                StatusCode::FORBIDDEN,
                "The token is valid, and no caller's",
                "The issuer is trusted and the token verifies, but no caller in the policies has these claims.",
                "Ask your platform team to add a caller whose `jwt:` claims match your token.",
            ),
            Self::CallerAmbiguous => row(
                "caller-ambiguous",
                StatusCode::FORBIDDEN,
                "The token is several callers'",
                "More than one caller in the policies matches the token's claims, so nobody can say who is calling.",
                "Ask your platform team to make the callers' claims distinct.",
            ),
            Self::OperationUnknown => row(
                "operation-unknown",
                StatusCode::NOT_FOUND,
                "There is no such operation",
                "The path is no operation that Tollgate knows. What it does not know it never forwards, /v1, /v2 and \
                 /opbeta included.",
                "Check the path against Devin's API reference; the organization id must stand in it. If Devin has \
                 a new operation, Tollgate needs a new line in its catalogue.",
            ),
            Self::MethodUnknown => row(
                "method-unknown",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path does not have this method",
                "The path is known, but not with this method.",
                "Use one of the methods in the Allow header.",
            ),
            Self::OperationDenied => row(
                "operation-denied",
                StatusCode::FORBIDDEN,
                "The policy does not allow this operation",
                "A deny rule forbids it, or no allow rule grants it. What nothing allows is denied.",
                "Ask the owner of your team's policy, naming the operation and the rule in this answer.",
            ),
            Self::OrganizationDenied => row(
                "organization-denied",
                StatusCode::FORBIDDEN,
                "The policy does not allow this organization",
                "The operation is granted to you, for other organizations only.",
                "Check the organization id in the path, or ask the owner of your team's policy.",
            ),
            Self::RateLimited => row(
                "rate-limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
                "The limit that the policy sets for this caller is used up. Devin saw nothing of this request.",
                "Wait for the seconds in Retry-After, then send it again.",
            ),
            Self::UpstreamUnreachable => row(
                "upstream-unreachable",
                StatusCode::BAD_GATEWAY,
                "Devin cannot be reached",
                "No connection to Devin could be made, or it broke before an answer.",
                "Try again later. If it lasts, the people who run this gateway should look at its log.",
            ),
            Self::UpstreamInvalid => row(
                "upstream-invalid",
                StatusCode::BAD_GATEWAY,
                "Devin's answer cannot be used",
                "Something came back that is no complete HTTP answer.",
                "Try again later. A request that changes something may have been carried out: look before you repeat it.",
            ),
            Self::UpstreamTimeout => row(
                "upstream-timeout",
                StatusCode::GATEWAY_TIMEOUT,
                "Devin did not answer in time",
                "The time that this gateway waits for Devin is over.",
                "Try again later. A request that changes something may have been carried out: look before you repeat it.",
            ),
            Self::UpstreamCredentialRejected => row(
                "upstream-credential-rejected",
                StatusCode::BAD_GATEWAY,
                "Devin refused the gateway's own credential",
                "Your credential was fine. Devin does not accept the shared service-user token at present.",
                "The people who run this gateway must renew the token; nothing is wrong with your request.",
            ),
            Self::Internal => row(
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "The gateway failed",
                "A bug of the gateway's own. It is counted and logged under the request id.",
                "Report the request id in `instance` to the people who run this gateway.",
            ),
        }
    }
}

/// The body of an answer.
#[derive(Serialize)]
struct Body9457<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: String,
    instance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
}

impl Rejection {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Target(TargetError::TooLong) => Code::TargetTooLong,
            Self::Target(_) | Self::TargetAmbiguous => Code::TargetInvalid,
            Self::HeadersTooLarge => Code::HeadersTooLarge,
            Self::Header(_) => Code::HeaderInvalid,
            Self::CredentialMissing => Code::CredentialMissing,
            Self::CredentialInvalid => Code::CredentialInvalid,
            Self::CredentialExpired => Code::CredentialExpired,
            Self::CallerUnknown { .. } => Code::CallerUnknown,
            Self::CallerAmbiguous { .. } => Code::CallerAmbiguous,
            Self::OperationUnknown(_) => Code::OperationUnknown,
            Self::MethodUnknown { .. } => Code::MethodUnknown,
            Self::Denied { .. } => Code::OperationDenied,
            Self::OrganizationDenied { .. } => Code::OrganizationDenied,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::BodyBroken => Code::BodyInvalid,
            Self::UpstreamUnreachable { .. } => Code::UpstreamUnreachable,
            Self::UpstreamInvalid { .. } => Code::UpstreamInvalid,
            Self::UpstreamTimeout { .. } => Code::UpstreamTimeout,
            Self::UpstreamCredentialRejected => Code::UpstreamCredentialRejected,
            Self::Internal => Code::Internal,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            // A token that HTTP has no method for, against one that this path has not (RFC 9110 section 9.1).
            Self::MethodUnknown { is_standard: false, .. } => StatusCode::NOT_IMPLEMENTED,
            _ => self.code().row().status,
        }
    }

    /// What the operator is told beside the code.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::UpstreamUnreachable { source, .. } | Self::UpstreamInvalid { source, .. } => Some(chain(&**source)),
            Self::UpstreamTimeout { phase, .. } => Some((*phase).to_owned()),
            _ => None,
        }
    }

    /// Whether the same request can succeed without anyone changing anything.
    ///
    /// A change that Devin may have made already must not be repeated blindly: Devin has no idempotency key.
    fn heals(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::BodyBroken => true,
            Self::UpstreamUnreachable { may_have_acted, .. }
            | Self::UpstreamInvalid { may_have_acted, .. }
            | Self::UpstreamTimeout { may_have_acted, .. } => !may_have_acted,
            _ => false,
        }
    }

    /// The answer.
    pub fn into_response(self, trail: &Trail) -> Response<Body> {
        let row = self.code().row();
        let status = self.status();
        let body = Body9457 {
            kind: format!("{PAGES}{}", row.name),
            title: row.title,
            status: status.as_u16(),
            detail: self.detail(row.remedy),
            instance: format!("urn:uuid:{}", trail.request_id),
            rule: self.rule(),
            operation: self.operation(),
            organization: match &self {
                Self::OrganizationDenied { organization, .. } => organization.as_deref(),
                _ => None,
            },
            limit: match &self {
                Self::RateLimited { limit, .. } => Some(limit),
                _ => None,
            },
            retry_after_seconds: self.retry_after(),
            owner: match &self {
                Self::Denied { owner, .. } | Self::OrganizationDenied { owner, .. } => owner.as_deref(),
                _ => None,
            },
        };
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(full(json));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(ANSWERED_BY, HeaderValue::from_static("gateway"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if !self.heals() {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Self::MethodUnknown { allowed, .. } = &self {
            let list: Vec<&str> = allowed.iter().map(|verb| verb.as_str()).collect();
            if let Ok(value) = HeaderValue::from_str(&list.join(", ")) {
                headers.insert(ALLOW, value);
            }
        }
        response
    }

    /// RFC 6750 section 3: a request without a credential gets no error code.
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::CredentialMissing => Some("Bearer realm=\"tollgate\""),
            Self::CredentialInvalid => Some("Bearer realm=\"tollgate\", error=\"invalid_token\""),
            Self::CredentialExpired => Some(
                "Bearer realm=\"tollgate\", error=\"invalid_token\", error_description=\"the credential has expired\"",
            ),
            _ => None,
        }
    }

    /// Whole seconds, rounded up: one second early is another 429.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after, .. } => {
                Some(retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0)).map(|it| it.max(1))
            }
            _ => None,
        }
    }

    fn rule(&self) -> Option<&str> {
        match self {
            Self::Denied { rule, .. } => rule.as_deref(),
            Self::OrganizationDenied { rule, .. } => Some(rule),
            _ => None,
        }
    }

    fn operation(&self) -> Option<&'static str> {
        match self {
            Self::Denied { operation, .. } | Self::OrganizationDenied { operation, .. } => Some(operation.row().id),
            _ => None,
        }
    }

    /// One or two sentences: what it was here, then what to do.
    fn detail(&self, remedy: &str) -> String {
        match self {
            Self::Target(error) => format!("{}. {remedy}", sentence(&error.to_string())),
            Self::Header(what) => format!("{}. {remedy}", sentence(what)),
            Self::CallerUnknown { issuer } | Self::CallerAmbiguous { issuer } => {
                format!("The token is of the issuer `{issuer}`. {remedy}")
            }
            Self::OperationUnknown(UnknownBecause::Version) => {
                format!("The path exists under another version prefix (/v3 or /v3beta1). {remedy}")
            }
            Self::OperationUnknown(UnknownBecause::Refused(id)) => {
                format!("`{id}` is never served through the gateway. {remedy}")
            }
            Self::OperationUnknown(UnknownBecause::OwnPage) => {
                format!("The gateway has no such page; its codes are listed at {PAGES}. {remedy}")
            }
            Self::Denied {
                operation,
                rule: Some(rule),
                ..
            } => format!("The rule `{rule}` denies `{}`. {remedy}", operation.row().id),
            Self::Denied { operation, .. } => format!("No rule allows `{}` to you. {remedy}", operation.row().id),
            Self::OrganizationDenied {
                operation,
                organization,
                rule,
                ..
            } => match organization {
                Some(id) => format!("The rule `{rule}` grants `{}`, but not for `{id}`. {remedy}", operation.row().id),
                None => format!(
                    "`{}` names no organization, and the rule `{rule}` grants single organizations only. {remedy}",
                    operation.row().id
                ),
            },
            Self::RateLimited { limit, .. } => {
                let seconds = self.retry_after().unwrap_or(1);
                format!("The limit `{limit}` is used up; the next request fits in {seconds} s. {remedy}")
            }
            _ => remedy.to_owned(),
        }
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// An error and its sources, in one line for the log.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        next = source.source();
    }
    text
}
