//! A list of organizations: Devin's pages, one after the other, until something of one is left.

use std::sync::Arc;

use http::Response;
use tower::Service;

use super::pages::{answered, asked, fetch, invalid, read};
use crate::body::Body;
use crate::exchange::Exchange;
use crate::filter::{Paging, filter};
use crate::pipeline::Funded;
use crate::rejection::Rejection;
use crate::target::MAX_TARGET;
use crate::trail::Filtered;

/// The most pages that are read for one answer.
pub const MAX_PAGES: usize = 10;

/// Reads pages until something of one is left, or none is left to read.
pub(super) async fn answer<S>(
    mut inner: S,
    exchange: Exchange<Funded>,
) -> Result<Response<Body>, Rejection>
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
