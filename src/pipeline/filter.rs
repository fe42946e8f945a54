//! Stage 12: of a list of organizations, a caller sees its own.
//!
//! Sits behind the limit, since all pages of a list are one request of the
//! caller's, and in front of the credential, since each page is one request to
//! Devin. What a caller may see whole goes by untouched. Any other list is read
//! (bounded in size, pages and time), filtered by [`crate::filter`], and
//! answered as what is left; a page on which nothing is left is not shown, the
//! next one is asked for. What cannot be filtered is an error, never passed on.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use tower::{Layer, Service, ServiceExt};

use super::BoxFuture;
use super::Funded;
use crate::body::{Body, BoxError, DeadlineExceeded, empty, full, is_json};
use crate::exchange::Exchange;
use crate::filter::{Paging, filter};
use crate::problem::ANSWERED_BY;
use crate::rejection::Rejection;
use crate::target::MAX_TARGET;
use crate::trail::{Filtered, Trail};

/// The largest page that is read, in bytes.
pub const MAX_PAGE: usize = 4 * 1024 * 1024;
/// The most pages that are read for one answer.
pub const MAX_PAGES: usize = 10;

/// What of a caller's headers would make a page another thing than a whole list, or is about a body that is not sent.
const NOT_ASKED: [HeaderName; 9] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];
/// What of a page's headers still holds for what is left of it.
const ANSWERED: [HeaderName; 3] = [CONTENT_TYPE, DATE, ANSWERED_BY];

/// Makes [`Filter`] services.
#[derive(Clone, Copy, Debug)]
pub struct FilterLayer {
    within: Duration,
}

impl FilterLayer {
    /// With this time for all pages together.
    pub fn new(within: Duration) -> Self {
        Self { within }
    }
}

impl<S> Layer<S> for FilterLayer {
    type Service = Filter<S>;

    fn layer(&self, inner: S) -> Filter<S> {
        Filter {
            within: self.within,
            inner,
        }
    }
}

/// Filters lists of organizations.
#[derive(Clone, Debug)]
pub struct Filter<S> {
    within: Duration,
    inner: S,
}

impl<S> Service<Exchange<Funded>> for Filter<S>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>
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

    fn call(&mut self, exchange: Exchange<Funded>) -> Self::Future {
        let proof = exchange.proof.permitted();
        let is_whole = !proof.operation().row().filtered
            || proof.policy().shows_all(proof.caller(), proof.operation());
        if is_whole {
            return Either::Left(self.inner.call(exchange));
        }
        // The copy that `poll_ready` readied goes into the future; the fresh one stays here.
        let fresh = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, fresh);
        let within = self.within;
        Either::Right(Box::pin(async move {
            match tokio::time::timeout(within, answer(ready, exchange)).await {
                Ok(answer) => answer,
                Err(_) => Err(late()),
            }
        }))
    }
}

/// Reads pages until something of one is left, or none is left to read.
async fn answer<S>(mut inner: S, exchange: Exchange<Funded>) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>,
{
    let Exchange {
        request,
        trail,
        mut proof,
    } = exchange;
    let headers = asked(request.headers());
    let asked_for = proof.permitted();
    let (policy, caller) = (Arc::clone(asked_for.policy()), asked_for.caller());
    let operation = asked_for.operation();
    let mut paging = Paging::new(asked_for.query(), policy.shows_at_most(caller, operation));
    let mut dropped = 0;
    for pages in 1..=MAX_PAGES {
        let page = fetch(&mut inner, &headers, &trail, proof.clone()).await?;
        if page.status().is_client_error() || page.status().is_server_error() {
            // Devin's own refusal, which says nothing of organizations.
            return Ok(page);
        }
        let (head, bytes) = read(page).await?;
        let filtered = filter(&bytes, |id| policy.shows(caller, operation, id)).map_err(invalid)?;
        dropped += filtered.dropped;
        match filtered.next {
            Some(cursor) if filtered.kept == 0 => {
                let query = paging.next(&cursor);
                let query = query.ok_or_else(|| invalid("the cursor of a page came again"))?;
                proof = proof.with_query(query);
                if proof.permitted().path_and_query().len() > MAX_TARGET {
                    return Err(invalid("the cursor of a page is too long to ask with"));
                }
            }
            Some(_) | None => {
                let _ = trail.filtered.set(Filtered {
                    kept: filtered.kept,
                    dropped,
                    pages,
                });
                return Ok(answered(&head, filtered.body));
            }
        }
    }
    Err(invalid(format!(
        "nothing on {MAX_PAGES} pages may be shown, and there are more"
    )))
}

/// The headers to ask for a whole and plain page with.
fn asked(headers: &HeaderMap) -> HeaderMap {
    let mut asked = headers.clone();
    for name in NOT_ASKED {
        asked.remove(name);
    }
    asked.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    asked
}

/// Asks for one page, with a request of its own.
async fn fetch<S>(
    inner: &mut S,
    headers: &HeaderMap,
    trail: &Arc<Trail>,
    proof: Funded,
) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>,
{
    // Method and target are the proof's.
    let mut request = Request::new(empty());
    *request.headers_mut() = headers.clone();
    let exchange = Exchange {
        request,
        trail: Arc::clone(trail),
        proof,
    };
    inner.ready().await?.call(exchange).await
}

/// Reads a page to its end, if it can be one.
async fn read(page: Response<Body>) -> Result<(HeaderMap, Bytes), Rejection> {
    let (head, body) = page.into_parts();
    if head.status != StatusCode::OK {
        let status = head.status.as_u16();
        return Err(invalid(format!("a list with the status {status}")));
    }
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(invalid("a list that is encoded, unasked"));
    }
    if !is_json(&head.headers) {
        return Err(invalid("a list that does not say that it is JSON in UTF-8"));
    }
    let collecting: BoxFuture<Collected<Bytes>, BoxError> =
        Box::pin(Limited::new(body, MAX_PAGE).collect());
    match collecting.await {
        Ok(collected) => Ok((head.headers, collected.to_bytes())),
        Err(error) if error.is::<DeadlineExceeded>() => Err(late()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(invalid(format!("a page of more than {MAX_PAGE} bytes")))
        }
        Err(error) => Err(invalid(error)),
    }
}

fn answered(head: &HeaderMap, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    let headers = response.headers_mut();
    for name in ANSWERED {
        if let Some(value) = head.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    // Another caller gets another answer for the same target.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Lists are only read, so nothing may have been carried out.
fn invalid(source: impl Into<BoxError>) -> Rejection {
    Rejection::UpstreamInvalid {
        source: source.into(),
        may_have_acted: false,
    }
}

fn late() -> Rejection {
    Rejection::UpstreamTimeout {
        phase: "the pages of a list did not come in time",
        may_have_acted: false,
    }
}
