//! Stage 9: is the session that the request is about one that the caller may touch? Makes [`Owned`].
//!
//! The catalogue says where an operation names sessions: in its path, a key of its query, a field of its body. Whose
//! each is, the ledger says; how far the grant reaches, the policy. A session that is somebody else's and one that is
//! unknown are refused alike, and Devin is not asked. What a list may show is settled here too, and carried out by
//! `filter`. A replacement of tags keeps the gateway's own.

mod named;
mod reach;

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::Either;
use http::Response;
use tower::{Layer, Service};

use self::named::{Named, Tags, Wrong, in_body, in_query, keep_tag};
use super::bounds::MAX_BODY;
use super::{BoxFuture, Permitted};
use crate::body::{Body, empty, full, read_whole};
use crate::catalogue::{Operation, Spend, Verb};
use crate::exchange::Exchange;
use crate::filter::sessions::{Asked, BadQuery, NO_CURSOR};
use crate::json::Document;
use crate::ledger::{Known, Ledger, Position, SessionId};
use crate::policy::Stop;
use crate::policy::bounds::{Place, Reach, Refused, Why};
use crate::rejection::{Rejection, SessionDenied};
use crate::trail::{Decided, Trail};

pub(crate) use self::reach::Asker;

/// Proof that the caller may touch the session, if the request is about one.
#[derive(Clone, Debug)]
pub struct Owned {
    permitted: Permitted,
    session: Option<Arc<Known>>,
    list: Option<Arc<List>>,
}

impl Owned {
    /// What the policy permits.
    pub fn permitted(&self) -> &Permitted {
        &self.permitted
    }
    /// The session that the path names, if the ledger knows it. Not looked up where nothing depends on it: for an
    /// operation that changes nothing, in a grant that reaches any session.
    pub fn session(&self) -> Option<&Arc<Known>> {
        self.session.as_ref()
    }
    /// What is asked of a list of sessions, of which not all may be shown.
    pub fn list(&self) -> Option<&Arc<List>> {
        self.list.as_ref()
    }
    /// The same for another page of a list.
    pub(super) fn with_query(self, query: String) -> Self {
        Self {
            permitted: self.permitted.with_query(query),
            ..self
        }
    }
}

/// A list of sessions, of which not all may be shown.
#[derive(Debug)]
pub struct List {
    /// What is asked of it.
    pub asked: Asked,
    /// The place behind which it begins.
    pub behind: Option<Position>,
}

/// Makes [`Ownership`] services.
#[derive(Clone, Debug)]
pub struct OwnershipLayer {
    ledger: Ledger,
}

impl OwnershipLayer {
    /// Asking this ledger whose a session is.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }
}

impl<S> Layer<S> for OwnershipLayer {
    type Service = Ownership<S>;

    fn layer(&self, inner: S) -> Ownership<S> {
        Ownership {
            ledger: self.ledger.clone(),
            inner,
        }
    }
}

/// Lets through what is about the caller's own sessions, or about none.
#[derive(Clone, Debug)]
pub struct Ownership<S> {
    ledger: Ledger,
    inner: S,
}

impl<S> Service<Exchange<Permitted>> for Ownership<S>
where
    S: Service<Exchange<Owned>, Response = Response<Body>, Error = Rejection>
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

    fn call(&mut self, exchange: Exchange<Permitted>) -> Self::Future {
        if asks_nothing(&exchange.proof) {
            return Either::Left(self.inner.call(own(exchange, None, None)));
        }
        let mut ready = super::take_ready(&mut self.inner);
        let ledger = self.ledger.clone();
        Either::Right(Box::pin(async move {
            let exchange = judge(&ledger, exchange).await?;
            ready.call(exchange).await
        }))
    }
}

/// Whether nothing depends on whose a session is.
fn asks_nothing(proof: &Permitted) -> bool {
    let row = proof.operation().row();
    let reaches_all = || Asker::of(proof).reach == Reach::Any;
    !row.touches_sessions() || (!row.mutates && reaches_all())
}

/// The proof, noted in the trail: nothing more is said of whether this may be done.
fn own(
    exchange: Exchange<Permitted>,
    session: Option<Arc<Known>>,
    list: Option<Arc<List>>,
) -> Exchange<Owned> {
    decide(&exchange.trail, &exchange.proof, true);
    exchange.prove(|permitted| Owned {
        permitted,
        session,
        list,
    })
}

fn decide(trail: &Trail, proof: &Permitted, allow: bool) {
    let rule = proof.policy().grant_name(proof.grant());
    let _ = trail.decided.set(Decided {
        allow,
        rule: Some(Arc::clone(rule)),
    });
}

async fn judge(
    ledger: &Ledger,
    mut exchange: Exchange<Permitted>,
) -> Result<Exchange<Owned>, Rejection> {
    let judged = match look(ledger, &mut exchange).await {
        Ok(judged) => judged,
        Err(Refusal::Denied(named)) => {
            decide(&exchange.trail, &exchange.proof, false);
            return Err(denied(&exchange.proof, named));
        }
        Err(Refusal::Field(place, wrong)) => {
            decide(&exchange.trail, &exchange.proof, false);
            return Err(field_refused(&exchange.proof, place, wrong));
        }
        Err(Refusal::Failed(rejection)) => {
            // The policy has allowed it; nobody knows whose the session is.
            decide(&exchange.trail, &exchange.proof, true);
            return Err(rejection);
        }
    };
    Ok(own(exchange, judged.0, judged.1))
}

/// Why a request goes no further.
enum Refusal {
    /// A session is none that the caller may touch; it stands there, or in the path.
    Denied(Option<(Place, &'static str)>),
    /// Something is wrong with a field.
    Field(Place, Wrong),
    /// It cannot be judged.
    Failed(Rejection),
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Failed(rejection)
    }
}

type Judged = (Option<Arc<Known>>, Option<Arc<List>>);

async fn look(ledger: &Ledger, exchange: &mut Exchange<Permitted>) -> Result<Judged, Refusal> {
    let proof = &exchange.proof;
    let row = proof.operation().row();
    let asker = Asker::of(proof);
    let mut session = None;
    if let Some(id) = proof.session() {
        let known = known(ledger, SessionId::parse(id).as_ref()).await?;
        if !asker.may_touch(known.as_deref()) {
            return Err(Refusal::Denied(None));
        }
        session = known.filter(|it| asker.is_here(it));
    }
    may_touch_all(ledger, &asker, &in_query(row, proof.query())).await?;
    let list = match row.lists_sessions {
        true => Some(Arc::new(list(ledger, &asker, proof.query()).await?)),
        false => None,
    };

    let tags = tags(row, session.as_deref());
    if tags.is_some() || row.session_fields().next().is_some() {
        let bytes = collect(&mut exchange.request).await?;
        let forwarded = {
            // It was read before, and who sends no body names nothing in it.
            let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
            let document = Document::parse(text).map_err(|_| Rejection::Internal)?;
            let wrong = |wrong| Refusal::Field(Place::Body, wrong);
            let named = in_body(row, &document).map_err(wrong)?;
            may_touch_all(ledger, &asker, &named).await?;
            let forwarded = tags.map(|tags| keep_tag(row, &document, tags));
            forwarded.transpose().map_err(wrong)?.flatten()
        };
        *exchange.request.body_mut() = full(forwarded.map_or(bytes, Bytes::from));
    }
    Ok((session, list))
}

/// What is asked of a list, and where it begins. A cursor of somebody else's is as one that is none.
async fn list(ledger: &Ledger, asker: &Asker<'_>, query: Option<&str>) -> Result<List, Refusal> {
    let bad = |bad: BadQuery| {
        let wrong = Wrong {
            field: bad.key,
            why: Why::Malformed,
            said: bad.said.to_owned(),
        };
        Refusal::Field(Place::Query, wrong)
    };
    let asked = Asked::parse(query).map_err(bad)?;
    let behind = match &asked.after {
        Some(after) => {
            let known = known(ledger, Some(after)).await?;
            let known = known.filter(|it| asker.may_touch(Some(it)));
            Some(known.ok_or_else(|| bad(NO_CURSOR))?.position)
        }
        None => None,
    };
    Ok(List { asked, behind })
}

async fn may_touch_all(ledger: &Ledger, asker: &Asker<'_>, all: &[Named]) -> Result<(), Refusal> {
    for named in all {
        let known = known(ledger, named.id.as_ref()).await?;
        if !asker.may_touch(known.as_deref()) {
            return Err(Refusal::Denied(Some((named.place, named.field))));
        }
    }
    Ok(())
}

async fn known(ledger: &Ledger, id: Option<&SessionId>) -> Result<Option<Arc<Known>>, Rejection> {
    match id {
        Some(id) => ledger.session(id).await.map_err(Rejection::Store),
        None => Ok(None),
    }
}

/// What becomes of the tags that the body names.
fn tags<'k>(row: &Operation, session: Option<&'k Known>) -> Option<Tags<'k>> {
    row.tag_fields().next()?;
    if row.names_session() {
        // What is appended takes no tag away.
        let tag = session.and_then(|it| it.tag.as_deref());
        return tag.filter(|_| row.verb == Verb::Put).map(Tags::Replace);
    }
    // Of what works later, Devin makes sessions that are not tagged by us.
    (row.spends == Some(Spend::Immediate)).then_some(Tags::Create)
}

/// The body, which `bounds` has read before.
async fn collect(request: &mut http::Request<Body>) -> Result<Bytes, Rejection> {
    let body = std::mem::replace(request.body_mut(), empty());
    let read = read_whole(body, MAX_BODY + MAX_BODY).await;
    read.map_err(|_| Rejection::Internal)
}

fn denied(proof: &Permitted, named: Option<(Place, &'static str)>) -> Rejection {
    let policy = proof.policy();
    Rejection::SessionDenied(Box::new(SessionDenied {
        operation: proof.operation(),
        named,
        rule: Arc::clone(policy.grant_name(proof.grant())),
        owner: policy.grant_owner(proof.grant()).cloned(),
    }))
}

fn field_refused(proof: &Permitted, place: Place, wrong: Wrong) -> Rejection {
    let policy = proof.policy();
    let refused = Refused {
        place,
        field: Some(wrong.field.to_owned()),
        said: wrong.said,
        why: wrong.why,
        rule: Arc::clone(policy.grant_name(proof.grant())),
        owner: policy.grant_owner(proof.grant()).cloned(),
    };
    let organization = proof.organization().map(str::to_owned);
    let (caller, operation) = (proof.caller(), proof.operation());
    Rejection::stopped(
        policy,
        caller,
        operation,
        organization,
        Stop::Fields(refused),
    )
}
