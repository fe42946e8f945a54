//! Every reason for which a request is refused or fails.
//!
//! Each stage gives one of these; `problem.rs` alone turns them into answers.
//! What the operator may know (a source) and what the caller is told (the
//! problem's detail) are different fields, since paths, hosts and causes are
//! not the caller's.

use std::sync::Arc;
use std::time::Duration;

use crate::body::BoxError;
use crate::catalogue::{OperationIx, Verb};
use crate::ledger::{NoRoomIn, StoreError};
use crate::policy::bounds::Place;
use crate::policy::{CallerIx, Policy, Stop};
use crate::target::TargetError;

/// A refusal or a failure.
#[derive(Debug)]
pub enum Rejection {
    /// The target has no reading, or more than one.
    Target(TargetError),
    /// A repository path with two readings, or an encoded slash in an id.
    TargetAmbiguous,
    /// More headers, or more bytes of them, than are read.
    HeadersTooLarge,
    /// A header that must stand once stands twice, or has a form that is not served.
    Header(&'static str),
    /// A transfer coding that HTTP knows and that is not served.
    TransferCoding,
    /// An `Expect` other than `100-continue`.
    ExpectationFailed,
    /// A body of before HTTP/1.1 that says no length.
    LengthRequired,
    /// A body with an operation that takes none.
    BodyUnwanted,
    /// No `Authorization` header.
    CredentialMissing,
    /// A credential that is nobody's. Which check failed is not said.
    CredentialInvalid {
        /// Which check it was: for the log only.
        cause: &'static str,
    },
    /// A credential that was good once.
    CredentialExpired,
    /// A token is genuine, and no caller's.
    CallerUnknown {
        /// The issuer's name.
        issuer: String,
    },
    /// A token is genuine, and several callers'.
    CallerAmbiguous {
        /// The issuer's name.
        issuer: String,
    },
    /// No operation has this path.
    OperationUnknown(UnknownBecause),
    /// The path is known, with other methods.
    MethodUnknown {
        /// The methods that it has.
        allowed: Vec<Verb>,
        /// Whether the method is one that HTTP knows.
        is_standard: bool,
    },
    /// The policy says no.
    Stopped(Box<Stopped>),
    /// A session that the request names is not one that the caller may touch, or there is none.
    SessionDenied(Box<SessionDenied>),
    /// A body that has to be judged is of another kind than JSON.
    BodyUnsupported(&'static str),
    /// A body that has to be judged, or an upload, is too large.
    BodyTooLarge {
        /// How large it may be.
        said: String,
    },
    /// The caller's body did not come in time.
    RequestTimeout,
    /// The caller's limit is used up.
    RateLimited {
        /// The limit.
        limit: Arc<str>,
        /// How long until one request fits again.
        retry_after: Duration,
    },
    /// As many sessions run as may at once.
    SessionsAtLimit {
        /// The limit.
        limit: Arc<str>,
        /// Whom to ask about it.
        owner: Option<String>,
    },
    /// The caller's body broke off, or was not what its framing said.
    BodyBroken,
    /// Devin fails, and is left alone for a while.
    UpstreamCoolingDown {
        /// How long until it is tried again.
        retry_after: Duration,
    },
    /// Devin cannot be reached.
    UpstreamUnreachable {
        /// Why.
        source: BoxError,
        /// Whether a byte of the request may have reached it.
        may_have_acted: bool,
    },
    /// Devin's answer was none.
    UpstreamInvalid {
        /// Why.
        source: BoxError,
        /// Whether the request may have been carried out.
        may_have_acted: bool,
    },
    /// Devin did not answer in time.
    UpstreamTimeout {
        /// What took too long.
        phase: &'static str,
        /// Whether the request may have been carried out.
        may_have_acted: bool,
    },
    /// The key's first request is still under way.
    IdempotencyInFlight,
    /// The key was given to another request.
    IdempotencyMismatch,
    /// The request was carried out, and its answer is not kept.
    AnswerWithheld {
        /// The session that the answer was about.
        session: Option<String>,
    },
    /// What is remembered of requests has no room for another.
    Overloaded(&'static str),
    /// The ledger's store cannot be used.
    Store(StoreError),
    /// A budget has no room for it.
    NoRoom(Box<NoRoom>),
    /// It can spend without a cap, and its grant does not say what it is charged as.
    SpendUncapped(Box<SpendUncapped>),
    /// What the request that this one has joined was told.
    Shared(Arc<Rejection>),
    /// Devin refused the shared token.
    UpstreamCredentialRejected,
    /// A bug of ours.
    Internal,
}

/// A budget without room for a request.
#[derive(Debug)]
pub struct NoRoom {
    /// Which, and how it stands.
    pub no_room: NoRoomIn,
    /// Whom to ask about it.
    pub owner: Option<String>,
}

/// A spend without a cap that no grant allows.
#[derive(Debug)]
pub struct SpendUncapped {
    /// The operation.
    pub operation: OperationIx,
    /// The grant that lets it through so far.
    pub rule: Arc<str>,
    /// Whom to ask about it.
    pub owner: Option<String>,
}

/// What the policy has against a request.
#[derive(Debug)]
pub struct Stopped {
    /// The operation.
    pub operation: OperationIx,
    /// The organization of the request; none for an operation that names none.
    pub organization: Option<String>,
    /// Why.
    pub stop: Stop,
    /// Whom to ask where no rule decided.
    pub owner: Option<String>,
}

/// Where a session was named that the caller may not touch. Whether there is one is not said: it is not known.
#[derive(Debug)]
pub struct SessionDenied {
    /// The operation.
    pub operation: OperationIx,
    /// The key of the query or the field of the body that named it; none where it was the path.
    pub named: Option<(Place, &'static str)>,
    /// The grant, whose reach it is beyond.
    pub rule: Arc<str>,
    /// Whom to ask about it.
    pub owner: Option<Arc<str>>,
}

impl Rejection {
    /// Whether Devin may have carried the request out.
    pub fn may_have_acted(&self) -> bool {
        match self {
            Self::UpstreamUnreachable { may_have_acted, .. }
            | Self::UpstreamInvalid { may_have_acted, .. }
            | Self::UpstreamTimeout { may_have_acted, .. } => *may_have_acted,
            Self::Shared(inner) => inner.may_have_acted(),
            // A bug may be anywhere.
            Self::Internal => true,
            Self::Target(_)
            | Self::TargetAmbiguous
            | Self::HeadersTooLarge
            | Self::Header(_)
            | Self::TransferCoding
            | Self::ExpectationFailed
            | Self::LengthRequired
            | Self::BodyUnwanted
            | Self::CredentialMissing
            | Self::CredentialInvalid { .. }
            | Self::CredentialExpired
            | Self::CallerUnknown { .. }
            | Self::CallerAmbiguous { .. }
            | Self::OperationUnknown(_)
            | Self::MethodUnknown { .. }
            | Self::Stopped(_)
            | Self::SessionDenied(_)
            | Self::BodyUnsupported(_)
            | Self::BodyTooLarge { .. }
            | Self::RequestTimeout
            | Self::RateLimited { .. }
            | Self::SessionsAtLimit { .. }
            | Self::UpstreamCoolingDown { .. }
            | Self::BodyBroken
            | Self::IdempotencyInFlight
            | Self::IdempotencyMismatch
            | Self::AnswerWithheld { .. }
            | Self::Overloaded(_)
            | Self::Store(_)
            | Self::NoRoom(_)
            | Self::SpendUncapped(_)
            | Self::UpstreamCredentialRejected => false,
        }
    }

    /// What the policy has against a request of this caller's.
    pub fn stopped(
        policy: &Policy,
        caller: CallerIx,
        operation: OperationIx,
        organization: Option<String>,
        stop: Stop,
    ) -> Self {
        // Whom to ask about what no rule says: the caller's own team.
        let owner = policy.caller(caller).owner().map(str::to_owned);
        Self::Stopped(Box::new(Stopped {
            operation,
            organization,
            stop,
            owner,
        }))
    }
}

/// Why no operation was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownBecause {
    /// No row has the path.
    Path,
    /// A row has it under another version prefix.
    Version,
    /// The worker queue is never served.
    Refused(&'static str),
    /// Nothing of this name is below `/.tollgate/`.
    OwnPage,
}
