//! Stage 13: the shared token goes on, and nothing of the caller's goes along. Makes [`Outbound`].
//!
//! The one place where the service-user token meets a request. The outbound
//! headers are built from an allow-list; scheme, host and port are the
//! configured ones, and the path is rebuilt from the segments that were judged,
//! so that nothing in a request can lead the token anywhere else.

use std::sync::Arc;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, USER_AGENT, VIA,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};
use tokio::time::Instant;

use super::Funded;
use super::stage::Stage;
use crate::catalogue::{Object, OperationIx};
use crate::exchange::Exchange;
use crate::rejection::Rejection;
use crate::token::ServiceToken;

/// Our id of the request, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What of a caller's headers goes to Devin: no `Range`, since a piece of an answer could be one of the token's (U5). Framing
/// is our own; `Connection` can name nothing that matters.
pub(super) static FORWARDED: [HeaderName; 10] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    USER_AGENT,
    HeaderName::from_static("x-stainless-retry-count"),
];

/// The one host that the token may go to.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// `https`, or `http` on loopback.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: Authority,
}

/// Proof that the request is for the pinned host and carries the shared token.
#[derive(Debug)]
pub struct Outbound {
    operation: OperationIx,
    /// When the request's time is over, all attempts and waits together; none where there is one attempt only.
    deadline: Option<Instant>,
}

impl Outbound {
    /// Of a request of the gateway's own, made with the shared token by [`crate::settle`]. `None` of what is no read:
    /// everything else has to come through the stack.
    pub(crate) fn own(operation: &str) -> Option<Self> {
        let mut served = OperationIx::served();
        let operation = served.find(|ix| ix.row().id == operation)?;
        let row = operation.row();
        let only_reads = !row.mutates && row.spends.is_none() && !row.reveals_once;
        only_reads.then_some(Self::new(operation))
    }

    /// Of the one change that [`crate::settle`] makes by itself: to switch off what spends on its own and no budget has
    /// room for. `None` of every other operation.
    pub(crate) fn disabling(operation: &str) -> Option<Self> {
        let mut kinds = Object::ALL.into_iter();
        kinds.find(|it| it.disabled_by() == Some(operation))?;
        let mut served = OperationIx::served();
        let operation = served.find(|ix| ix.row().id == operation)?;
        Some(Self::new(operation))
    }

    fn new(operation: OperationIx) -> Self {
        Self {
            operation,
            deadline: None,
        }
    }

    /// The same, with a time by which it all has to be over.
    pub(super) fn until(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }

    /// For the same request, sent once more.
    pub(super) fn again(&self) -> Self {
        Self { ..*self }
    }

    /// When the request's time is over, if it began before this attempt.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The operation, for its deadlines.
    pub fn operation(&self) -> OperationIx {
        self.operation
    }
}

/// The stage.
#[derive(Clone, Debug)]
pub struct Credential {
    token: ServiceToken,
    pinned: Arc<Pinned>,
}

impl Credential {
    /// Puts this token on, for this host.
    pub fn new(token: ServiceToken, pinned: Pinned) -> Self {
        Self {
            token,
            pinned: Arc::new(pinned),
        }
    }
}

impl Stage<Funded> for Credential {
    type Out = Outbound;

    fn judge(&self, mut exchange: Exchange<Funded>) -> Result<Exchange<Outbound>, Rejection> {
        let mut headers = HeaderMap::with_capacity(16);
        for (name, value) in exchange.request.headers() {
            if FORWARDED.contains(name) {
                headers.append(name, value.clone());
            }
        }
        headers.insert(REQUEST_ID, exchange.trail.request_id_header.clone());
        headers.insert(VIA, HeaderValue::from_static("1.1 tollgate"));
        // No answer can be looked through that is compressed, and each of them is (`upstream`).
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(AUTHORIZATION, self.token.header());

        let path = PathAndQuery::try_from(exchange.proof.permitted().path_and_query());
        let uri = path.ok().and_then(|path| {
            Uri::builder()
                .scheme(self.pinned.scheme.clone())
                .authority(self.pinned.authority.clone())
                .path_and_query(path)
                .build()
                .ok()
        });
        // A target that was read is always a path; if it were not, this would be a bug of ours.
        *exchange.request.uri_mut() = uri.ok_or(Rejection::Internal)?;
        *exchange.request.method_mut() = exchange.proof.permitted().operation().row().verb.method();
        *exchange.request.headers_mut() = headers;
        *exchange.request.version_mut() = Version::HTTP_11;
        exchange.request.extensions_mut().clear();
        Ok(exchange.prove(|funded| Outbound::new(funded.permitted().operation())))
    }
}
