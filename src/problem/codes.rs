//! The codes: one row each, from which both the answers and their pages are made.

use http::StatusCode;

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
    /// `length-required`
    LengthRequired,
    /// `expectation-failed`
    ExpectationFailed,
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
    /// `field-denied`
    FieldDenied,
    /// `session-denied`
    SessionDenied,
    /// `body-unsupported`
    BodyUnsupported,
    /// `body-too-large`
    BodyTooLarge,
    /// `request-timeout`
    RequestTimeout,
    /// `rate-limited`
    RateLimited,
    /// `sessions-at-limit`
    SessionsAtLimit,
    /// `idempotency-in-flight`
    IdempotencyInFlight,
    /// `idempotency-mismatch`
    IdempotencyMismatch,
    /// `overloaded`
    Overloaded,
    /// `store-unavailable`
    StoreUnavailable,
    /// `budget-exhausted`
    BudgetExhausted,
    /// `spend-uncapped`
    SpendUncapped,
    /// `upstream-unreachable`
    UpstreamUnreachable,
    /// `upstream-invalid`
    UpstreamInvalid,
    /// `upstream-timeout`
    UpstreamTimeout,
    /// `upstream-cooling-down`
    UpstreamCoolingDown,
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
    pub const ALL: [Self; 35] = [
        Self::TargetInvalid,
        Self::TargetTooLong,
        Self::HeadersTooLarge,
        Self::HeaderInvalid,
        Self::LengthRequired,
        Self::ExpectationFailed,
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
        Self::FieldDenied,
        Self::SessionDenied,
        Self::BodyUnsupported,
        Self::BodyTooLarge,
        Self::RequestTimeout,
        Self::RateLimited,
        Self::SessionsAtLimit,
        Self::IdempotencyInFlight,
        Self::IdempotencyMismatch,
        Self::Overloaded,
        Self::StoreUnavailable,
        Self::BudgetExhausted,
        Self::SpendUncapped,
        Self::UpstreamUnreachable,
        Self::UpstreamInvalid,
        Self::UpstreamTimeout,
        Self::UpstreamCoolingDown,
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
                "Send fewer or shorter headers.",
            ),
            Self::HeaderInvalid => row(
                "header-invalid",
                StatusCode::BAD_REQUEST,
                "A header is not acceptable",
                "A header that must stand once is missing, stands more than once, or has a form that is not served. \
                 Tollgate reads no head that somebody else could read in another way, and ends the connection.",
                "Send the named header once and plainly, or leave it out if it is not served.",
            ),
            Self::LengthRequired => row(
                "length-required",
                StatusCode::LENGTH_REQUIRED,
                "The body's length is not said",
                "A request of HTTP/1.0 has no other way to say where its body ends.",
                "Send Content-Length, or use HTTP/1.1.",
            ),
            Self::ExpectationFailed => row(
                "expectation-failed",
                StatusCode::EXPECTATION_FAILED,
                "The expectation is not known",
                "Of the Expect header only `100-continue` is served.",
                "Leave the Expect header out, or send `100-continue`.",
            ),
            Self::BodyInvalid => row(
                "body-invalid",
                StatusCode::BAD_REQUEST,
                "The request body cannot be used",
                "The body ended early, was not what its framing said, or is no JSON object that can be read in one way \
                 only. Duplicate keys, a byte-order mark, text after the end and numbers out of range are refused, as is \
                 a value of another kind than the rule for its field is about. Nothing was sent on.",
                "Send one JSON object in UTF-8, with each key once.",
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
                "Send `Authorization: Bearer` and then the whole key (tg_…), or a token for this gateway's audience. \
                 A Devin token (cog_…) is not accepted here. The people who run this gateway see in its log, by the \
                 request id, which check failed.",
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
                "Ask your platform team to add a caller whose `jwt:` claims match your token; types count (7 is not '7').",
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
                "Only paths below /v3 and /v3beta1 are served: check the base URL, then the path against Devin's API \
                 reference. The organization's id must stand in it.",
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
                "Ask whom this answer names as owner (else your platform team), with the operation and the rule.",
            ),
            Self::OrganizationDenied => row(
                "organization-denied",
                StatusCode::FORBIDDEN,
                "The policy does not allow this organization",
                "The operation is granted to you, for other organizations only.",
                "Check the organization id in the path, or ask whom this answer names as owner.",
            ),
            Self::FieldDenied => row(
                "field-denied",
                StatusCode::FORBIDDEN,
                "The policy does not allow this field or its value",
                "The operation is granted to you, but not with this field of the body or this key of the query, or not \
                 with this value. Some fields are guarded: they are refused unless a grant names them.",
                "Leave the field out or send a value that is allowed, or ask whom this answer names as owner.",
            ),
            Self::SessionDenied => row(
                "session-denied",
                StatusCode::FORBIDDEN,
                "The session is not one of yours",
                "A session belongs to the caller that created it through this gateway. The operation is granted to you \
                 for your own sessions, or for those of your team, and this is none of them. Whether there is such a \
                 session is not said: one of somebody else's and one that does not exist are refused alike, and Devin \
                 is not asked.",
                "Check the id of the session and the organization in the path. A session that was created elsewhere, \
                 in Devin's own app for instance, is nobody's here: ask whom this answer names as owner.",
            ),
            Self::BodyUnsupported => row(
                "body-unsupported",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The request body is of a kind that is not served",
                "The policy looks into the body of this operation, so it has to be plain JSON: another content type, \
                 another character set or a compressed body cannot be judged. An upload has to be a form with one \
                 plain boundary, so that its parts can be counted.",
                "Send the Content-Type that is served here (`application/json`, or `multipart/form-data` for an \
                 upload) and no Content-Encoding.",
            ),
            Self::BodyTooLarge => row(
                "body-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request body is too large",
                "A body of an operation may be as large as the gateway's configuration says (forms usually 100 MiB, others \
                 4 MiB, and 2 MiB where the gateway reads them first); an upload may be as large, and have as many parts, as the policy says.",
                "Send less at once.",
            ),
            Self::RequestTimeout => row(
                "request-timeout",
                StatusCode::REQUEST_TIMEOUT,
                "The request took too long to arrive",
                "The body did not come in its time: from one piece to the next, or in all. No whole request was sent on.",
                "Send the request again; look at the connection if it happens often.",
            ),
            Self::RateLimited => row(
                "rate-limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
                "A limit that the policy sets is used up, or (the limit `upstream`) the rate at which Devin takes requests of \
                 all callers together. Devin saw nothing of this request.",
                "Wait for the seconds in Retry-After, then send it again.",
            ),
            Self::SessionsAtLimit => row(
                "sessions-at-limit",
                StatusCode::TOO_MANY_REQUESTS,
                "As many sessions run as may at once",
                "A limit of the policy says how many sessions may run at once, and as many do: those whose outcome is not \
                 known yet are among them. Nothing was sent to Devin.",
                "Wait until one has come to rest, or end one; a message to a session that runs needs no other to end.",
            ),
            Self::IdempotencyInFlight => row(
                "idempotency-in-flight",
                StatusCode::CONFLICT,
                "An earlier request stands for this one, and its answer cannot be had",
                "The same request was sent before, with the same Idempotency-Key or without one. Either it is still \
                 under way, or it was carried out and its answer is not kept: an answer that holds a secret is given \
                 once. Nothing was sent to Devin a second time.",
                "If it is under way, send the same request with the same key again: it gets the answer. If it was \
                 carried out, look at Devin for what it made (`session` names it if it was a session).",
            ),
            Self::IdempotencyMismatch => row(
                "idempotency-mismatch",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key belongs to another request",
                "A key names one request: the same operation, path and body. This one differs from the first one that \
                 had the key. How the JSON is written does not matter. Keys are kept for 24 hours.",
                "Give each new request a new key, and a repeat the same body as before.",
            ),
            Self::Overloaded => row(
                "overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "The gateway has no room for this request now",
                "What the gateway works on and keeps in mind at once is bounded, for each caller and in all, and the bound is \
                 reached. Devin saw nothing of this request.",
                "Wait for the seconds in Retry-After, then send it again, and let fewer run at once.",
            ),
            Self::BudgetExhausted => row(
                "budget-exhausted",
                StatusCode::PAYMENT_REQUIRED,
                "A budget has no room for this",
                "What a request can spend is set aside before it is sent: the cap of a session, and the same again for \
                 each message to it. The budget that is named has less left than that. What sessions do not use comes \
                 back when they end. Devin saw nothing of this request.",
                "Ask for a smaller `max_acu_limit`, end sessions that are done, wait until the budget's window ends \
                 (`resets_at`), or ask its owner for more.",
            ),
            Self::SpendUncapped => row(
                "spend-uncapped",
                StatusCode::FORBIDDEN,
                "This can spend without a cap",
                "Nothing tells Devin where to stop: a session without `max_acu_limit`, a message to a session that has \
                 none, or work for which Devin knows no cap. The grant does not say what such a spend is charged as. \
                 Devin saw nothing of this request.",
                "For a session, send `max_acu_limit`, or let the policy give a default. For anything else the grant \
                 needs `uncapped: { acus: N, per: run }`: ask whom this answer names as owner.",
            ),
            Self::StoreUnavailable => row(
                "store-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The gateway's ledger cannot be used now",
                "What was spent, and whose each session is, stands in the ledger. While it cannot be read or written, \
                 nothing that needs it goes on. Devin saw nothing of this request.",
                "Wait for the seconds in Retry-After, then send it again. If it lasts, the people who run this gateway \
                 should look at its log.",
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
            Self::UpstreamCoolingDown => row(
                "upstream-cooling-down",
                StatusCode::SERVICE_UNAVAILABLE,
                "Devin is left alone for a while",
                "Most of what was sent to Devin in the last half minute failed, so nothing is sent until a few \
                 requests have shown that it is back. Devin saw nothing of this request, and nothing is held for it.",
                "Wait for the seconds in Retry-After, then send it again.",
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
