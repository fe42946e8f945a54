//! Stage 5: which operation this is, or a refusal. Makes [`Classified`].
//!
//! Heads that are too large or ambiguous go first; then the target is read once
//! ([`crate::target`]) and looked up ([`crate::catalogue`]). From here on the
//! request's own path is never looked at again: what is forwarded is rebuilt
//! from the segments that were judged.

use std::sync::Arc;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, PROXY_AUTHORIZATION,
};
use http::{HeaderMap, Method, Request, Version};

use super::Arrived;
use super::stage::Stage;
use crate::catalogue::{Catalogue, Found, Missed, OperationIx};
use crate::exchange::Exchange;
use crate::policy::Policy;
use crate::rejection::{Rejection, UnknownBecause};
use crate::ruleset::Limiters;
use crate::target::{Target, TargetError};

/// The most headers of a request.
pub const MAX_HEADERS: usize = 64;
/// The most bytes of all header names and values together.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

const ONCE: [HeaderName; 6] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    HOST,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
];

/// Proof that the request is one operation of the catalogue.
#[derive(Clone, Debug)]
pub struct Classified {
    arrived: Arrived,
    target: Target,
    found: Found,
}

impl Classified {
    /// The policy set.
    pub fn policy(&self) -> &Arc<Policy> {
        self.arrived.policy()
    }
    /// What is left of its limits.
    pub fn limiters(&self) -> &Limiters {
        self.arrived.limiters()
    }
    /// The operation.
    pub fn operation(&self) -> OperationIx {
        self.found.operation
    }
    /// The organization that the path names.
    pub fn organization(&self) -> Option<&str> {
        self.found.organization()
    }
    /// The session that the path names.
    pub fn session(&self) -> Option<&str> {
        self.found.session()
    }
    /// The target that was judged: what is forwarded.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

/// The stage.
#[derive(Clone, Debug)]
pub struct Classify {
    catalogue: Arc<Catalogue>,
}

impl Classify {
    /// Over this catalogue.
    pub fn new(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue }
    }
}

impl Stage<Arrived> for Classify {
    type Out = Classified;

    fn judge(&self, exchange: Exchange<Arrived>) -> Result<Exchange<Classified>, Rejection> {
        check_head(exchange.request.headers())?;
        let target = read_target(&exchange.request)?;
        let found = find(&self.catalogue, exchange.request.method(), &target)?;
        let trail = &exchange.trail;
        let _ = trail.operation.set(found.operation);
        if let Some(organization) = found.organization() {
            let _ = trail.organization.set(organization.to_owned());
        }
        if let Some(session) = found.session() {
            let _ = trail.session.set(session.to_owned());
        }
        Ok(exchange.prove(|arrived| Classified {
            arrived,
            target,
            found,
        }))
    }
}

/// The operation that a target is, or the refusal.
///
/// # Errors
/// The refusal.
pub fn find(catalogue: &Catalogue, method: &Method, target: &Target) -> Result<Found, Rejection> {
    catalogue
        .find(method, target)
        .map_err(|missed| match missed {
            Missed::Path => Rejection::OperationUnknown(UnknownBecause::Path),
            Missed::Version => Rejection::OperationUnknown(UnknownBecause::Version),
            Missed::Refused(id) => Rejection::OperationUnknown(UnknownBecause::Refused(id)),
            Missed::Ambiguous => Rejection::TargetAmbiguous,
            Missed::Method(allowed) => Rejection::MethodUnknown {
                allowed,
                is_standard: is_standard(method),
            },
        })
}

/// Whether HTTP has this method (RFC 9110 section 9.3, RFC 5789).
pub fn is_standard(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS
            | Method::TRACE
            | Method::CONNECT
    )
}

/// Our limits are below the parser's, so that a head that is too large gets an answer with a reason.
pub(super) fn check_head(headers: &HeaderMap) -> Result<(), Rejection> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(Rejection::HeadersTooLarge);
    }
    // Where no name stands twice at all, none of these does.
    let once = if headers.len() == headers.keys_len() {
        &[][..]
    } else {
        &ONCE[..]
    };
    for name in once {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(Rejection::Header(match *name {
                AUTHORIZATION => "`Authorization` stands more than once",
                HOST => "`Host` stands more than once",
                CONTENT_LENGTH => "`Content-Length` stands more than once",
                CONTENT_TYPE => "`Content-Type` stands more than once",
                PROXY_AUTHORIZATION => "`Proxy-Authorization` stands more than once",
                _ => "`Idempotency-Key` stands more than once",
            }));
        }
    }
    Ok(())
}

fn read_target<B>(request: &Request<B>) -> Result<Target, Rejection> {
    let uri = request.uri();
    // HTTP/2 always has scheme and authority; on HTTP/1 they mean absolute-form or authority-form.
    let is_origin_form = request.version() >= Version::HTTP_2
        || (uri.scheme().is_none() && uri.authority().is_none());
    if !is_origin_form {
        return Err(Rejection::Target(TargetError::NotAPath));
    }
    Target::parse(uri.path(), uri.query()).map_err(Rejection::Target)
}
