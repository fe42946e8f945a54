//! Records of sessions that pass by: each is a reading (L6).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Frame;
use tower::Service;

use super::super::attempts::Intended;
use super::{Funded, Purse};
use crate::body::{Body, BoxError, Watched};
use crate::exchange::Exchange;
use crate::ledger::moment::{Begun, Moment};
use crate::rejection::Rejection;
use crate::settle::Record;
use crate::trail::Cache;

/// The largest record that is read: a larger one passes by, and the reconciler reads it.
const MAX_RECORD: usize = 1024 * 1024;

/// Passes a request on, and reads the record that is its answer.
pub(super) async fn watch<S>(
    purse: Arc<Purse>,
    mut ready: S,
    exchange: Exchange<Intended>,
) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>,
{
    // Only of a session that the ledger knows.
    if exchange.proof.owned().session().is_none() {
        return ready
            .call(exchange.prove(|intended| Funded { intended }))
            .await;
    }
    let trail = Arc::clone(&exchange.trail);
    let begun = purse.ledger.begin_reading(&*purse.clock);
    let response = ready
        .call(exchange.prove(|intended| Funded { intended }))
        .await?;
    // An answer that another request asked for is older than this one, and read where it came.
    let is_own = trail.cache.get().is_none_or(|it| *it == Cache::Miss);
    if !is_own || !response.status().is_success() {
        return Ok(response);
    }
    let mut seen = BytesMut::new();
    let mut whole = http_body::Body::size_hint(response.body()).exact();
    let tell = move |frame: Result<&Frame<Bytes>, &BoxError>| {
        let Some(data) = frame.ok().and_then(|frame| frame.data_ref()) else {
            return;
        };
        if seen.len() + data.len() > MAX_RECORD {
            seen.clear();
            whole = Some(u64::MAX);
            return;
        }
        seen.extend_from_slice(data);
        // Without a length, the record is whole as soon as it can be read as one.
        let is_whole = whole.is_none_or(|length| length == seen.len() as u64);
        if is_whole && let Some(record) = Record::parse(&seen) {
            read(&purse, &record, begun);
        }
    };
    Ok(response.map(|body| Watched::boxed(body, tell)))
}

/// Tells the ledger of a reading, beside the request.
fn read(purse: &Arc<Purse>, record: &Record, begun: Begun) {
    if !purse.ledger.is_ours() {
        // The next reading says the same, and nothing is gained by many that wait.
        return;
    }
    let reading = record.reading(begun, Moment::now(&*purse.clock));
    let (ledger, session) = (purse.ledger.clone(), record.session.clone());
    purse.tasks.spawn(async move {
        if let Err(error) = ledger.read(session, reading).await {
            // The next reading says the same.
            tracing::debug!(%error, "a reading was not recorded");
        }
    });
}
