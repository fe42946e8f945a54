//! Looking for what was sent and never answered (L5).

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use tower::Service;

use super::devin::{AskError, target};
use super::reconciler::{Reconciler, RoundError};
use super::record::Record;
use crate::acu::Cap;
use crate::alerts::Kind;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::ledger::moment::{Begun, Moment};
use crate::ledger::tag::Tag;
use crate::ledger::{Resolution, SessionId, Unsure, UnsureKind};
use crate::pipeline::credential::Outbound;
use crate::pipeline::fund::text_digest;
use crate::rejection::Rejection;

/// How many tags are asked for at once: a target has 8 KiB.
const TAGS: usize = 20;
/// Clocks differ: what Devin dates this many seconds before an attempt can be of it.
const SKEW: i64 = 30;
/// The same of messages. A clock can be an hour wrong, and one that was carried out must not look too old to be of its
/// attempt: its hold would be given back. One that somebody sends in other ways meanwhile, with the same text to the same
/// session, only keeps a hold until the session rests.
const SET_WRONG: i64 = 2 * 3_600;

impl<U> Reconciler<U>
where
    U: Service<Exchange<Outbound>, Response = http::Response<Body>, Error = Rejection>
        + Clone
        + Send
        + 'static,
    U::Future: Send,
{
    /// Looks for each hold whose outcome is unknown.
    pub(super) async fn seek(&self) -> Result<(), RoundError> {
        let mut creates: BTreeMap<Box<str>, Vec<Unsure>> = BTreeMap::new();
        let mut failed = None;
        for unsure in self.ledger.unsure().await? {
            match &unsure.kind {
                UnsureKind::Create => {
                    let of = creates.entry(unsure.organization.clone()).or_default();
                    of.push(unsure);
                }
                UnsureKind::Message { session, text } => {
                    let found = self.seek_message(&unsure, session, text).await;
                    failed = found.err().or(failed);
                }
            }
        }
        for (organization, unsure) in creates {
            let found = if self.untagged.contains(&*organization) {
                self.seek_untagged(&organization, &unsure).await
            } else {
                self.seek_tagged(&organization, &unsure).await
            };
            failed = found.err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn seek_tagged(&self, organization: &str, unsure: &[Unsure]) -> Result<(), RoundError> {
        for batch in unsure.chunks(TAGS) {
            let tags: Vec<String> = batch
                .iter()
                .filter_map(|it| {
                    let tag = Tag {
                        hold: it.hold,
                        caller: it.caller.clone(),
                        cap: Cap::new(i64::from(it.held.whole_acus()))?,
                    };
                    Some(self.ledger.tag_key().tag(&tag, organization))
                })
                .collect();
            let tags = tags.join(",");
            let begun = self.begun();
            let mut records = self.list(organization, &[("tags", &tags)]).await?;
            // What is archived may be left out of a list that does not ask for it.
            let archived = [("tags", &*tags), ("is_archived", "true")];
            records.extend(self.list(organization, &archived).await?);
            let mut by_hold: HashMap<_, &Record> = HashMap::new();
            for record in &records {
                for tag in &record.tags {
                    if let Some(tag) = self.ledger.tag_key().read(tag, organization) {
                        let first = by_hold.entry(tag.hold).or_insert(record);
                        // Its children can have its tags.
                        if age(record) < age(first) {
                            *first = record;
                        }
                    }
                }
            }
            for it in batch {
                match by_hold.get(&it.hold) {
                    Some(record) => self.found(it, record, begun).await?,
                    None => self.absent(it, begun).await?,
                }
            }
        }
        Ok(())
    }

    /// Where sessions carry no tag of ours, at most one create has no outcome, and its session is one that nobody
    /// knows: of our own service user, without a parent, of that time.
    async fn seek_untagged(&self, organization: &str, unsure: &[Unsure]) -> Result<(), RoundError> {
        for it in unsure {
            let since = (it.at.as_second() - SKEW).to_string();
            let begun = self.begun();
            let records = self
                .list(organization, &[("created_after", &since)])
                .await?;
            let ourselves = self.ourselves().await?;
            let mut candidates = Vec::new();
            for record in &records {
                let is_ours = record.service_user == ourselves;
                let is_known = self.ledger.session(&record.session).await?.is_some();
                if is_ours && !is_known && record.parent.is_none() {
                    candidates.push(record);
                }
            }
            match candidates.as_slice() {
                [] => self.absent(it, begun).await?,
                [record] => self.found(it, record, begun).await?,
                several => {
                    let (hold, count) = (it.hold, several.len());
                    let moment = Moment::now(&*self.clock);
                    let text = format!(
                        "{count} sessions could be the one of a create without an answer: its hold {hold} is charged, and none of them is anybody's"
                    );
                    let bell = self.ledger.bell();
                    bell.tell(Kind::Ambiguous, moment.at, &text);
                    self.ledger.written_off(moment, it.hold).await?;
                }
            }
        }
        Ok(())
    }

    async fn found(&self, it: &Unsure, record: &Record, begun: Begun) -> Result<(), RoundError> {
        let moment = Moment::now(&*self.clock);
        let session = record.session.clone();
        self.ledger.created(moment, it.hold, session).await?;
        self.read(record, begun).await?;
        let resolution = Resolution::Accepted(record.raw.clone());
        self.ledger.resolve(it.hold, resolution);
        Ok(())
    }

    /// It is not in a complete listing; that says something once the listing began late enough.
    async fn absent(&self, it: &Unsure, begun: Begun) -> Result<(), RoundError> {
        if begun.up >= it.deadline.saturating_add(self.times.unknown_after) {
            let moment = Moment::now(&*self.clock);
            self.ledger.absent(moment, it.hold, begun.tick).await?;
        }
        Ok(())
    }

    async fn seek_message(
        &self,
        it: &Unsure,
        session: &SessionId,
        text: &[u8; 32],
    ) -> Result<(), RoundError> {
        let since = it.at - jiff::SignedDuration::from_secs(SET_WRONG);
        let begun = self.begun();
        let accepted = match self
            .said(&it.organization, session, text, since.as_second())
            .await
        {
            Ok(said) => {
                let known = self
                    .ledger
                    .carried_out(session.clone(), *text, since)
                    .await?;
                said > known
            }
            // The session's messages cannot be had at all: it is taken for carried out.
            Err(AskError::Status(status)) if status.as_u16() == 404 || status.as_u16() == 403 => {
                begun.up >= it.deadline.saturating_add(self.times.unknown_after)
            }
            Err(error) => return Err(error.into()),
        };
        if !accepted {
            return self.absent(it, begun).await;
        }
        self.ledger
            .answered(Moment::now(&*self.clock), it.hold)
            .await?;
        let path = [
            "v3",
            "organizations",
            &it.organization,
            "sessions",
            &session.to_string(),
        ];
        let resolution = match self.devin.get("sessions.get", &target(&path, &[])).await {
            Ok(body) => Resolution::Accepted(body),
            Err(_) => Resolution::Unresolvable,
        };
        self.ledger.resolve(it.hold, resolution);
        Ok(())
    }

    /// How many messages of this text a user has sent to a session since.
    async fn said(
        &self,
        organization: &str,
        session: &SessionId,
        text: &[u8; 32],
        since: i64,
    ) -> Result<usize, AskError> {
        let session = session.to_string();
        let path = [
            "v3",
            "organizations",
            organization,
            "sessions",
            &session,
            "messages",
        ];
        let mut after: Option<String> = None;
        let mut count = 0;
        for _ in 0..100 {
            let mut query = vec![("first", "200")];
            if let Some(after) = &after {
                query.push(("after", after));
            }
            let body = self
                .devin
                .get("sessions.messages.list", &target(&path, &query))
                .await?;
            let unusable = || AskError::Unusable("a list of messages that is none".into());
            let page: Value = serde_json::from_slice(&body).map_err(|_| unusable())?;
            let items = page.get("items").and_then(Value::as_array);
            for item in items.ok_or_else(unusable)? {
                let is_users = item.get("source").and_then(Value::as_str) == Some("user");
                let said = item.get("message").and_then(Value::as_str);
                let at = item.get("created_at").and_then(Value::as_i64);
                if is_users
                    && said.is_some_and(|said| text_digest(said) == *text)
                    && at.is_none_or(|at| at >= since)
                {
                    count += 1;
                }
            }
            let more = page.get("has_next_page").and_then(Value::as_bool) == Some(true);
            let cursor = page.get("end_cursor").and_then(Value::as_str);
            match (more, cursor) {
                (false, _) => return Ok(count),
                (true, Some(cursor)) if after.as_deref() != Some(cursor) => {
                    after = Some(cursor.to_owned());
                }
                (true, _) => return Err(unusable()),
            }
        }
        Err(AskError::Unusable(
            "a list of messages without an end".into(),
        ))
    }

    /// The service user that the shared token is of. Until it is known, nobody can say whose a session is.
    async fn ourselves(&self) -> Result<Option<String>, AskError> {
        let mut known = self.ourselves.lock().await;
        if known.is_none() {
            let body = self
                .devin
                .get("self.get", &target(&["v3", "self"], &[]))
                .await?;
            let value: Option<Value> = serde_json::from_slice(&body).ok();
            let id = value.as_ref().and_then(|it| it.get("service_user_id"));
            let id = id.and_then(Value::as_str).map(str::to_owned);
            let unusable = || AskError::Unusable("it does not say whose the token is".into());
            *known = Some(id.ok_or_else(unusable)?);
        }
        Ok(known.clone())
    }
}

/// Of sessions with one tag, the first has it of its own, and the others of that one.
fn age(record: &Record) -> (bool, i64) {
    let created = record.created_at.unwrap_or(i64::MAX);
    (record.parent.is_some(), created)
}
