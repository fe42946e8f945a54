//! Stage 7c: is the body within the bounds of the grant? Makes [`Permitted`].
//!
//! A body that a rule or a guarded field is about is read to its end (bounded
//! in size and time), parsed once, judged, and what goes on is what was judged.
//! Any other body streams by untouched. An upload with bounds is counted while
//! it streams by, and what only a rule on trial looks at is copied.

mod observe;
mod upload;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::LengthLimitError;
use tower::{Layer, Service};

use super::BoxFuture;
use super::authorize::{Granted, refuse};
use super::edge::BodyLate;
use crate::body::{Body, full, is_json, read_whole};
use crate::capacity::Sizes;
use crate::catalogue::OperationIx;
use crate::exchange::Exchange;
use crate::policy::bounds::{Facts, Judged};
use crate::policy::{CallerIx, Grant, Policy, Stop};
use crate::rejection::Rejection;
use crate::ruleset::Limiters;
use crate::target::Target;
use crate::trail::{Decided, Trail};

pub use upload::TooMuch;

/// The largest body that is read, in bytes: prompts and schemas are far smaller.
pub const MAX_BODY: usize = 2 * 1024 * 1024;
/// A larger body is judged beside the threads that serve everybody.
const MAX_INLINE: usize = 64 * 1024;

/// Proof that the policy allows the request, its fields included.
#[derive(Clone, Debug)]
pub struct Permitted {
    granted: Granted,
}

impl Permitted {
    /// The policy set.
    pub fn policy(&self) -> &Arc<Policy> {
        self.granted.policy()
    }
    /// The limiters of the same set.
    pub fn limiters(&self) -> &Limiters {
        self.granted.limiters()
    }
    /// The caller.
    pub fn caller(&self) -> CallerIx {
        self.granted.caller()
    }
    /// The operation.
    pub fn operation(&self) -> OperationIx {
        self.granted.operation()
    }
    /// The organization that the path names.
    pub fn organization(&self) -> Option<&str> {
        self.granted.organization()
    }
    /// The session that the path names, as it stands there.
    pub fn session(&self) -> Option<&str> {
        self.granted.session()
    }
    /// The grant, of that policy set.
    pub fn grant(&self) -> &Grant {
        self.granted.grant()
    }
    /// The target that was judged.
    pub fn target(&self) -> &Target {
        self.granted.target()
    }
    /// The query that goes on.
    pub fn query(&self) -> Option<&str> {
        self.granted.query()
    }
    /// Path and query as they go on.
    pub fn path_and_query(&self) -> String {
        match self.query() {
            Some(query) => format!("{}?{query}", self.target().path()),
            None => self.target().path().to_owned(),
        }
    }

    /// The same for another page of a list.
    pub(super) fn with_query(self, query: String) -> Self {
        Self {
            granted: self.granted.with_query(query),
        }
    }
}

/// Makes [`Bounded`] services.
#[derive(Clone, Debug)]
pub struct BoundsLayer {
    within: Duration,
    sizes: Arc<Sizes>,
}

impl BoundsLayer {
    /// A body that has to be read must have come `within` this time, and none is larger than `sizes` say.
    pub fn new(within: Duration, sizes: Arc<Sizes>) -> Self {
        Self { within, sizes }
    }
}

impl<S> Layer<S> for BoundsLayer {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded {
            within: self.within,
            sizes: Arc::clone(&self.sizes),
            inner,
        }
    }
}

/// Reads and judges bodies that have to be.
#[derive(Clone, Debug)]
pub struct Bounded<S> {
    within: Duration,
    sizes: Arc<Sizes>,
    inner: S,
}

impl<S> Service<Exchange<Granted>> for Bounded<S>
where
    S: Service<Exchange<Permitted>, Response = Response<Body>, Error = Rejection>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = Either<S::Future, BoxFuture<Response<Body>, Rejection>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Granted>) -> Self::Future {
        let most = self.sizes.request(exchange.proof.operation().row());
        let (trail, proof) = (Arc::clone(&exchange.trail), exchange.proof.clone());
        let exchange = match upload::cap(exchange, most) {
            Ok(exchange) => exchange,
            Err(rejection) => {
                note_refusal(&trail, &proof);
                return Either::Right(Box::pin(async { Err(rejection) }));
            }
        };
        let proof = &exchange.proof;
        let applied = proof.policy().applied(proof.grant());
        let (reads, upload) = (applied.reads_body(), applied.upload());
        if !reads {
            let exchange = match upload {
                Some(bounds) => {
                    let (trail, proof) = (Arc::clone(&exchange.trail), exchange.proof.clone());
                    upload::count(exchange, bounds).inspect_err(|_| note_refusal(&trail, &proof))
                }
                None => Ok(exchange),
            };
            return match exchange {
                Ok(exchange) => {
                    let exchange = permit(observe::on_trial(exchange), Facts::default());
                    Either::Left(self.inner.call(exchange))
                }
                Err(rejection) => Either::Right(Box::pin(async { Err(rejection) })),
            };
        }
        let mut ready = super::take_ready(&mut self.inner);
        let within = self.within;
        Either::Right(Box::pin(async move {
            let exchange = judge(exchange, within).await?;
            ready.call(exchange).await
        }))
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn judge(
    mut exchange: Exchange<Granted>,
    within: Duration,
) -> Result<Exchange<Permitted>, Rejection> {
    let bytes = read(&mut exchange, within).await?;
    let proof = &exchange.proof;
    let policy = proof.policy();
    let text = judged_text(exchange.request.headers(), &bytes);
    let (judged, shadow) = if text.len() > MAX_INLINE {
        let (policy, grant) = (Arc::clone(policy), proof.grant().clone());
        let (shadow, bytes) = (proof.shadow().cloned(), bytes.clone());
        let judging = move || judge_both(&policy, &grant, shadow.as_ref(), &bytes);
        // It does not panic; if it did, that would be a bug of ours.
        let judged = tokio::task::spawn_blocking(judging).await;
        judged.map_err(|_| Rejection::Internal)?
    } else {
        judge_both(policy, proof.grant(), proof.shadow(), text)
    };
    let (forwarded, facts) = (judged.forwarded, judged.facts);
    let outcome = match judged.refused {
        Some(refused) => Err(Stop::Fields(refused)),
        None => Ok(proof.grant().clone()),
    };
    if let Some(shadow) = shadow
        && let Some(shadow) = policy.shadowed(&outcome, &shadow)
    {
        let _ = exchange.trail.shadow.set(shadow);
    }
    if let Err(stop) = outcome {
        let mut all = proof.facts().clone();
        all.extend(facts);
        let _ = exchange.trail.facts.set(all);
        return Err(refuse(
            &exchange.trail,
            policy,
            proof.caller(),
            proof.operation(),
            stop,
        ));
    }
    let headers = exchange.request.headers_mut();
    if forwarded.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    // Framing is the client's own, by the size of what it is given.
    headers.remove(CONTENT_LENGTH);
    // Only an empty body came with one, and what the gateway writes in its place is not encoded.
    headers.remove(CONTENT_ENCODING);
    *exchange.request.body_mut() = full(forwarded.map_or(bytes, Bytes::from));
    Ok(permit(exchange, facts))
}

/// What the live rules make of a body, and whether shadowed ones would let it through.
fn judge_both(
    policy: &Policy,
    grant: &Grant,
    shadow: Option<&Result<Grant, Stop>>,
    text: &[u8],
) -> (Judged, Option<Result<Grant, Stop>>) {
    let judged = policy.judge_bytes(grant, text);
    (judged, shadow_outcome(policy, shadow, text))
}

/// What is judged of a body. Who sends none sends no field, and what has to be there is still put in. A body that is
/// said to be JSON and is nothing is none.
fn judged_text<'b>(headers: &HeaderMap, bytes: &'b Bytes) -> &'b [u8] {
    let is_left_out = bytes.is_empty() && !headers.contains_key(CONTENT_TYPE);
    if is_left_out { b"{}" } else { bytes }
}

fn shadow_outcome(
    policy: &Policy,
    shadow: Option<&Result<Grant, Stop>>,
    text: &[u8],
) -> Option<Result<Grant, Stop>> {
    Some(match shadow? {
        Ok(grant) if policy.applied(grant).reads_body() => {
            match policy.judge_bytes(grant, text).refused {
                Some(refused) => Err(Stop::Fields(refused)),
                None => Ok(grant.clone()),
            }
        }
        other => other.clone(),
    })
}

/// Reads the body to its end, or refuses it.
async fn read(exchange: &mut Exchange<Granted>, within: Duration) -> Result<Bytes, Rejection> {
    let request = &mut exchange.request;
    if http_body::Body::is_end_stream(request.body()) {
        return Ok(Bytes::new());
    }
    let refused = |exchange: &Exchange<Granted>| note_refusal(&exchange.trail, &exchange.proof);
    if let Err(said) = is_plain_json(request.headers()) {
        refused(exchange);
        return Err(Rejection::BodyUnsupported(said));
    }
    if length(request.headers()).is_some_and(|length| length > MAX_BODY as u64) {
        refused(exchange);
        return Err(Rejection::BodyTooLarge {
            said: "a body that the policy looks into may have 2 MiB".to_owned(),
        });
    }
    let body = std::mem::replace(request.body_mut(), crate::body::empty());
    match tokio::time::timeout(within, read_whole(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => {
            let count = bytes.len() as u64;
            exchange.trail.bytes_in.store(count, Ordering::Relaxed);
            Ok(bytes)
        }
        Ok(Err(error)) => {
            refused(exchange);
            Err(if error.is::<LengthLimitError>() {
                Rejection::BodyTooLarge {
                    said: "a body that the policy looks into may have 2 MiB".to_owned(),
                }
            } else if let Some(too_much) = error.downcast_ref::<TooMuch>() {
                Rejection::BodyTooLarge {
                    said: too_much.said().to_owned(),
                }
            } else if error.is::<BodyLate>() {
                Rejection::RequestTimeout
            } else {
                Rejection::BodyBroken
            })
        }
        Err(_) => {
            refused(exchange);
            Err(Rejection::RequestTimeout)
        }
    }
}

/// Notes that a body was refused for what it is as a whole.
fn note_refusal(trail: &Trail, proof: &Granted) {
    let rule = proof.policy().grant_name(proof.grant());
    let _ = trail.decided.set(Decided {
        allow: false,
        rule: Some(Arc::clone(rule)),
    });
    let _ = trail.facts.set(proof.facts().clone());
}

/// Whether the headers say that the body is JSON in UTF-8, as it is.
fn is_plain_json(headers: &HeaderMap) -> Result<(), &'static str> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err("A body that the policy looks into must not be compressed");
    }
    if is_json(headers) {
        Ok(())
    } else {
        Err("A body that the policy looks into must be application/json, in UTF-8")
    }
}

/// The proof. That it is allowed is noted where it is known whose the session is.
fn permit(mut exchange: Exchange<Granted>, body: Facts) -> Exchange<Permitted> {
    let mut facts = exchange.proof.take_facts();
    facts.extend(body);
    if !facts.is_empty() {
        let _ = exchange.trail.facts.set(facts);
    }
    exchange.prove(|granted| Permitted { granted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b7_b8_only_plain_json_is_judged() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| {
                    (
                        http::HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect::<HeaderMap>()
        };
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is_plain_json(&headers(&[("content-type", good)])).is_ok());
        }
        for bad in [
            "",
            "text/plain",
            "application/json; charset=latin-1",
            "application/json-patch+json",
            "application/json; x=y",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
        ] {
            assert!(
                is_plain_json(&headers(&[("content-type", bad)])).is_err(),
                "{bad}"
            );
        }
        assert!(is_plain_json(&headers(&[])).is_err());
        for encoding in ["gzip", "identity", ""] {
            let all = headers(&[
                ("content-type", "application/json"),
                ("content-encoding", encoding),
            ]);
            assert!(is_plain_json(&all).is_err(), "{encoding}");
        }
    }
}
