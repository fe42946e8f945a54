//! Stage 5: which operation this is, or a refusal. Makes [`Classified`].
//!
//! The target is read once ([`crate::target`]) and looked up ([`crate::catalogue`]). From here on the
//! request's own path is never looked at again: what is forwarded is rebuilt
//! from the segments that were judged.

use std::sync::Arc;

use http::{Method, Request, Version};

use super::Arrived;
use super::stage::Stage;
use crate::body::Body;
use crate::catalogue::{Catalogue, Found, Missed, OperationIx, Verb};
use crate::exchange::Exchange;
use crate::policy::Policy;
use crate::rejection::{Rejection, UnknownBecause};
use crate::ruleset::Limiters;
use crate::target::{Target, TargetError};

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
        let target = read_target(&exchange.request)?;
        let found = find(&self.catalogue, exchange.request.method(), &target)?;
        refuse_unwanted_body(found.operation, exchange.request.body())?;
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

/// A body where none belongs is passed over by some servers, and by others read as the next request.
fn refuse_unwanted_body(operation: OperationIx, body: &Body) -> Result<(), Rejection> {
    let row = operation.row();
    let takes_none = row.takes.is_none() && matches!(row.verb, Verb::Get | Verb::Delete);
    match takes_none && !http_body::Body::is_end_stream(body) {
        true => Err(Rejection::BodyUnwanted),
        false => Ok(()),
    }
}

fn read_target<B>(request: &Request<B>) -> Result<Target, Rejection> {
    let uri = request.uri();
    // Its target is a host and never a path (RFC 9110 section 9.3.6), so that no path could say which methods it has.
    if request.method() == Method::CONNECT {
        return Err(Rejection::MethodUnknown {
            allowed: Vec::new(),
            is_standard: true,
        });
    }
    // HTTP/2 always has scheme and authority; on HTTP/1 they mean absolute-form or authority-form.
    let is_origin_form = request.version() >= Version::HTTP_2
        || (uri.scheme().is_none() && uri.authority().is_none());
    if !is_origin_form {
        return Err(Rejection::Target(TargetError::NotAPath));
    }
    Target::parse(uri.path(), uri.query()).map_err(Rejection::Target)
}
