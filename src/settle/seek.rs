//! Looking for creates that were sent and never answered (L5).

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::Value;

use super::devin::{AskError, ToDevin, target};
use super::reconciler::{Place, Reconciler, RoundError};
use super::record::Record;
use crate::acu::Cap;
use crate::alerts::Kind;
use crate::ledger::moment::{Begun, Moment};
use crate::ledger::tag::Tag;
use crate::ledger::{Resolution, Sought, Unsure};

/// How many tags are asked for at once: a target has 8 KiB.
const TAGS: usize = 20;
/// The most pages of a list of what could be an untagged create's session.
const MAX_PAGES: usize = 5_000;

impl<U> Reconciler<U>
where
    U: ToDevin,
{
    /// Looks for each create whose outcome is unknown, beginning where the last round stopped.
    pub(super) async fn seek_creates(&self) -> Result<(), RoundError> {
        let mut creates: BTreeMap<Box<str>, Vec<Unsure>> = BTreeMap::new();
        let mut place = self.sought_creates.lock().await;
        let (unsure, are_more) = self.ledger.sought(Sought::Creates, *place).await?;
        *place = unsure.last().filter(|_| are_more).map(|it| it.hold);
        for it in unsure {
            creates.entry(it.organization.clone()).or_default().push(it);
        }
        let mut failed = None;
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
    /// knows: of our own service user, without a parent, and no older than what Devin had last changed before it. Our own
    /// clock is not asked. What is not there when the create's session has to be is not taken for it later.
    async fn seek_untagged(&self, organization: &str, unsure: &[Unsure]) -> Result<(), RoundError> {
        for it in unsure {
            let since = it.since.map(Timestamp::as_second);
            let after = since.map(|it| it.saturating_sub(1).to_string());
            let after = after.as_deref().map(|it| ("created_after", it));
            let begun = self.begun();
            let mut records = Vec::new();
            for archived in [None, Some(("is_archived", "true"))] {
                let filters: Vec<_> = after.into_iter().chain(archived).collect();
                let mut place = Place::within(MAX_PAGES);
                while let Some(page) = self.page(organization, &filters, &mut place).await? {
                    records.extend(page);
                }
            }
            let ourselves = self.ourselves().await?;
            let mut candidates: Vec<&Record> = Vec::new();
            for record in &records {
                let is_ours = record.service_user == ourselves;
                let is_old = record.created_at.zip(since).is_some_and(|(at, it)| at < it);
                let is_known = self.ledger.session(&record.session).await?.is_some();
                let is_listed = candidates.iter().any(|it| it.session == record.session);
                if is_ours && !is_old && !is_known && !is_listed && record.parent.is_none() {
                    candidates.push(record);
                }
            }
            match candidates.as_slice() {
                [] => self.absent(it, begun).await?,
                [record] if it.absent.is_none() => self.found(it, record, begun).await?,
                several => {
                    let (hold, count) = (it.hold, several.len());
                    let moment = Moment::now(&*self.clock);
                    let text = format!(
                        "{count} sessions could be the one of a create without an answer, and none is surely: its hold {hold} is charged, and none of them is anybody's"
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
    pub(super) async fn absent(&self, it: &Unsure, begun: Begun) -> Result<(), RoundError> {
        if self.is_late(it, begun) {
            let moment = Moment::now(&*self.clock);
            self.ledger.absent(moment, it.hold, begun.tick).await?;
        }
        Ok(())
    }

    /// Whether what was begun then is late enough to see whatever the attempt has done.
    pub(super) fn is_late(&self, it: &Unsure, begun: Begun) -> bool {
        let open_for = self.ledger.open_for(begun.up);
        open_for >= it.deadline.saturating_add(self.times.unknown_after)
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
