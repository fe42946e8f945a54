//! A list of sessions: the caller's own, asked for by their ids.
//!
//! Which they are, the ledger says, newest first. Devin is asked for as many as are still needed, with the caller's
//! own filters beside, and for [`MOST_IDS`] at once as soon as one that was asked for is not among the answers. One
//! more than the page holds is looked for, so that `has_next_page` is true only where there is one.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use tower::Service;

use super::pages::{self, answered, fetch, invalid, read};
use crate::body::Body;
use crate::budget::Account;
use crate::exchange::Exchange;
use crate::filter::sessions::{self, Asked, Element, MOST_IDS};
use crate::ledger::{Known, Ledger, Position, SessionId};
use crate::pipeline::Funded;
use crate::pipeline::ownership::{Asker, List};
use crate::policy::bounds::Reach;
use crate::problem::ANSWERED_BY;
use crate::rejection::Rejection;
use crate::target::{MAX_TARGET, TargetError};
use crate::trail::{Filtered, Trail};

/// The most requests to Devin for one answer.
pub const MAX_REQUESTS: usize = 50;
/// The most parents and children of a page's sessions of which it is looked up whose they are; others are not shown.
const MAX_RELATIVES: usize = 1_000;
/// What is left of a target for ids beside a cursor of Devin's own.
const MARGIN: usize = 512;

/// Asks until the page is full, or there is nothing more.
pub(super) async fn answer<S>(
    inner: S,
    exchange: Exchange<Funded>,
    ledger: &Ledger,
    list: &List,
) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>,
{
    let proof = exchange.proof.clone();
    let asker = Asker::of(proof.permitted());
    let first = list.asked.first;
    let mut source = Source::of(ledger, &asker, list).await?;
    let mut walk = Walk {
        inner,
        headers: pages::asked(exchange.request.headers()),
        trail: exchange.trail,
        proof: exchange.proof,
        found: Vec::new(),
        head: None,
        dropped: 0,
        requests: 0,
        passed: None,
        misses: false,
    };
    let is_cut = loop {
        // One more than the page holds tells whether there is a next one.
        let missing = (first + 1).saturating_sub(walk.found.len());
        let count = if walk.misses { MOST_IDS } else { missing };
        let ids = source.take(ledger, count.min(MOST_IDS)).await?;
        if ids.is_empty() || missing == 0 {
            break false;
        }
        match walk.ask(&list.asked, &ids).await? {
            Asking::Refused(answer) => return Ok(answer),
            Asking::Went if walk.found.len() > first => break false,
            Asking::Went if walk.requests >= MAX_REQUESTS => break true,
            Asking::Went => {}
        }
    };
    if is_cut && walk.found.is_empty() {
        return Err(invalid(format!(
            "of the sessions that {MAX_REQUESTS} requests asked for none is there, and there are more"
        )));
    }
    let mut found = walk.found;
    let has_more = found.len() > first;
    found.truncate(first);
    let next = match (has_more, is_cut) {
        (true, _) => found.last().map(|it| it.id.clone()),
        (false, true) => walk.passed,
        (false, false) => None,
    };
    let visible = visible(ledger, &asker, &found).await?;
    let may_see = |id: &SessionId| visible.get(id).copied().unwrap_or_default();
    let shown: Vec<String> = found.iter().map(|it| it.shown(may_see)).collect();
    let _ = walk.trail.filtered.set(Filtered {
        kept: shown.len(),
        dropped: walk.dropped,
        pages: walk.requests,
    });
    let body = sessions::write(&shown, next.as_ref());
    Ok(answered(&walk.head.unwrap_or_else(ours), body))
}

/// What has been asked so far, and what was found.
struct Walk<S> {
    inner: S,
    headers: HeaderMap,
    trail: Arc<Trail>,
    proof: Funded,
    found: Vec<Element>,
    /// The headers of the first page.
    head: Option<HeaderMap>,
    dropped: usize,
    requests: usize,
    /// The last session that was asked for.
    passed: Option<SessionId>,
    /// Whether one that was asked for was not there: a filter leaves it out, or it is gone.
    misses: bool,
}

/// How a question ended.
enum Asking {
    /// What was there is found.
    Went,
    /// Devin's own refusal, which says nothing of any session.
    Refused(Response<Body>),
}

impl<S> Walk<S>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>,
{
    /// Asks for these sessions, in as many requests as they need.
    async fn ask(&mut self, asked: &Asked, ids: &[SessionId]) -> Result<Asking, Rejection> {
        let path = self.proof.permitted().target().path();
        let around = path.len() + asked.query(&[], None).len() + MARGIN;
        let room = MAX_TARGET.saturating_sub(around);
        let mut left = ids;
        while !left.is_empty() && self.requests < MAX_REQUESTS {
            let fitting = sessions::fitting(left, room);
            let too_long = Rejection::Target(TargetError::TooLong);
            let parts = left.split_at_checked(fitting).filter(|_| fitting > 0);
            let (now, later) = parts.ok_or(too_long)?;
            if let Asking::Refused(answer) = self.ask_together(asked, now).await? {
                return Ok(Asking::Refused(answer));
            }
            self.passed = now.last().cloned();
            left = later;
        }
        Ok(Asking::Went)
    }

    /// Asks for sessions that fit into one request, page by page where Devin gives less than it is asked for.
    async fn ask_together(
        &mut self,
        asked: &Asked,
        ids: &[SessionId],
    ) -> Result<Asking, Rejection> {
        let mut new: Vec<Element> = Vec::with_capacity(ids.len());
        let mut after: Option<String> = None;
        loop {
            self.requests += 1;
            let query = asked.query(ids, after.as_deref());
            let proof = self.proof.clone().with_query(query);
            if proof.permitted().path_and_query().len() > MAX_TARGET {
                return Err(invalid("the cursor of a page is too long to ask with"));
            }
            let page = fetch(&mut self.inner, &self.headers, &self.trail, proof).await?;
            if page.status().is_client_error() || page.status().is_server_error() {
                return Ok(Asking::Refused(page));
            }
            let (head, bytes) = read(page).await?;
            let is_wanted = |id: &SessionId| ids.contains(id) && !new.iter().any(|it| it.id == *id);
            let page = sessions::read(&bytes, is_wanted).map_err(invalid)?;
            self.head.get_or_insert(head);
            self.dropped += page.dropped;
            // A page that brings nothing new could go on for ever.
            let brings_new = !page.elements.is_empty();
            new.extend(page.elements);
            after = page.next;
            let is_done = after.is_none() || !brings_new || new.len() == ids.len();
            if is_done || self.requests >= MAX_REQUESTS {
                break;
            }
        }
        self.misses |= new.len() < ids.len();
        // In the order of the ledger, whatever Devin's is.
        new.sort_by_key(|it| ids.iter().position(|id| *id == it.id));
        self.found.extend(new);
        Ok(Asking::Went)
    }
}

/// Where the ids come from.
enum Source {
    /// All of the caller's, behind this place.
    Ledger(Account, Option<Position>),
    /// Those that the query names, as far as they are the caller's, in the order of the ledger.
    Named(std::vec::IntoIter<SessionId>),
}

impl Source {
    /// What the list asks for.
    async fn of(ledger: &Ledger, asker: &Asker<'_>, list: &List) -> Result<Self, Rejection> {
        let Some(only) = &list.asked.only else {
            let account = Account {
                organization: asker.organization.map(Arc::from),
                team: Some(asker.team.into()),
                caller: (asker.reach == Reach::Own).then(|| asker.caller.into()),
            };
            return Ok(Self::Ledger(account, list.behind));
        };
        let mut named = Vec::with_capacity(only.len());
        for id in only {
            if let Some(known) = known(ledger, asker, id).await?
                && list.behind.is_none_or(|behind| known.position < behind)
            {
                named.push((known.position, id.clone()));
            }
        }
        named.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
        let ids: Vec<SessionId> = named.into_iter().map(|(_, id)| id).collect();
        Ok(Self::Named(ids.into_iter()))
    }

    /// The next ids; none where there are no more.
    async fn take(&mut self, ledger: &Ledger, count: usize) -> Result<Vec<SessionId>, Rejection> {
        match self {
            Self::Named(ids) => Ok(ids.take(count).collect()),
            Self::Ledger(account, after) => {
                let found = ledger.sessions(account, *after, count).await;
                let found = found.map_err(Rejection::Store)?;
                *after = found.last().map(|(position, _)| *position).or(*after);
                Ok(found.into_iter().map(|(_, id)| id).collect())
            }
        }
    }
}

/// What is known of a session that the caller may touch.
async fn known(
    ledger: &Ledger,
    asker: &Asker<'_>,
    id: &SessionId,
) -> Result<Option<Arc<Known>>, Rejection> {
    let known = ledger.session(id).await;
    let known = known.map_err(Rejection::Store)?;
    Ok(known.filter(|it| asker.may_touch(Some(it))))
}

/// Which of the parents and children of these sessions may be shown.
async fn visible(
    ledger: &Ledger,
    asker: &Asker<'_>,
    found: &[Element],
) -> Result<HashMap<SessionId, bool>, Rejection> {
    let mut visible = HashMap::new();
    for id in found.iter().flat_map(|it| &it.relatives) {
        if visible.len() >= MAX_RELATIVES {
            break;
        }
        if !visible.contains_key(id) {
            let shown = known(ledger, asker, id).await?.is_some();
            visible.insert(id.clone(), shown);
        }
    }
    Ok(visible)
}

/// The headers of a page for which Devin was not asked.
fn ours() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ANSWERED_BY, HeaderValue::from_static("gateway"));
    headers
}
