//! Sweeping an organization: children, wakes from elsewhere, and sessions that the ledger has forgotten (L12, L13).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::devin::{AskError, ToDevin, is_withheld};
use super::reconciler::{Place, Reconciler, RoundError};
use super::record::Record;
use crate::alerts::Kind;
use crate::budget::Payer;
use crate::ledger::moment::{Begun, Moment};
use crate::ledger::{Birth, Swept};

/// How far a sweep goes back behind the last one: clocks differ, and Devin's list may be late.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);
/// The most pages of one sweep: a million sessions that changed since the last one.
const MAX_PAGES: usize = 5_000;

/// What a record is to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kin {
    /// It is known by now, or nobody's whom the ledger knows.
    Settled,
    /// It may be the session of a create whose answer is still on its way, or a child of that one: it is looked at again.
    Awaited,
    /// It has no tag of its own.
    Untagged,
}

impl<U> Reconciler<U>
where
    U: ToDevin,
{
    /// Sweeps every organization that the ledger or the policy knows.
    pub(super) async fn sweep(&self) -> Result<(), RoundError> {
        let swept = self.ledger.organizations().await?;
        let mut failed = None;
        let mut unswept = BTreeMap::clone(&self.ledger.unswept());
        for organization in self.organizations(&swept) {
            let last = swept.iter().find(|(id, _)| *id == organization);
            let last = last.and_then(|(_, until)| *until);
            let outcome = match self.sweep_one(&organization, last).await {
                // One that the token has no right to has nothing that was spent through here.
                Err(RoundError::Ask(AskError::Status(status))) if is_withheld(status) => {
                    tracing::debug!(organization, %status, "cannot be swept");
                    Ok(())
                }
                outcome => outcome,
            };
            match outcome {
                Ok(()) => {
                    unswept.remove(&organization);
                    self.swept.lock().await.insert(organization);
                }
                // What is wrong with one is no other's fault. Nothing is spent in it until it has been swept once.
                Err(RoundError::Ask(AskError::Status(status)))
                    if status.is_client_error() && !matches!(status.as_u16(), 401 | 429) =>
                {
                    if self.swept.lock().await.contains(&organization) {
                        tracing::warn!(organization, %status, "cannot be swept now");
                    } else {
                        let why = format!(
                            "Devin does not say what is spent in {organization} (it answers {status}): nothing is spent there until it does"
                        );
                        unswept.insert(organization, why);
                    }
                }
                Err(error) => failed = Some(error.of(&organization)),
            }
        }
        self.ledger.bar(unswept);
        failed.map_or(Ok(()), Err)
    }

    /// Every organization that the ledger or the policy knows.
    pub(super) fn organizations(&self, swept: &[Swept]) -> BTreeSet<Box<str>> {
        let rules = self.policies.load();
        let named = rules.policy().organizations();
        let mut all: BTreeSet<Box<str>> = named.into_iter().map(Box::from).collect();
        all.extend(swept.iter().map(|(id, _)| id.clone()));
        // In place of an organization, what names none has a name that is no id.
        all.retain(|it| !it.starts_with('('));
        all
    }

    async fn sweep_one(
        &self,
        organization: &str,
        last: Option<Timestamp>,
    ) -> Result<(), RoundError> {
        let now = self.clock.now();
        let since = last.map_or_else(|| self.oldest_window(now), |last| last - OVERLAP);
        let since = since.as_second().max(0).to_string();
        let mut place = Place::within(MAX_PAGES);
        let mut unknown = Vec::new();
        let (mut newest, mut is_done) = (None, true);
        loop {
            let begun = self.begun();
            let filters = [("updated_after", &*since)];
            let Some(page) = self.page(organization, &filters, &mut place).await? else {
                break;
            };
            for mut record in page {
                newest = newest.max(record.updated_at);
                if self.read(&record, begun).await? {
                    continue;
                }
                match self.adopt(organization, &record, begun).await? {
                    Kin::Settled => {}
                    Kin::Awaited => is_done = false,
                    Kin::Untagged if record.parent.is_none() => {}
                    Kin::Untagged => {
                        record.raw = Bytes::new();
                        unknown.push((record, begun));
                    }
                }
            }
        }
        self.children(unknown).await?;
        // By Devin's clock, since ours can be set: what it goes ahead by would never be swept.
        let until = newest.and_then(|it| Timestamp::from_second(it).ok());
        if let Some(until) = until.filter(|_| is_done) {
            self.ledger
                .swept(organization.into(), until.min(now))
                .await?;
        }
        Ok(())
    }

    /// Children of known sessions, and children of those.
    async fn children(&self, mut unknown: Vec<(Record, Begun)>) -> Result<(), RoundError> {
        loop {
            let before = unknown.len();
            let mut left = Vec::new();
            for (record, begun) in unknown {
                let reading = record.reading(begun, Moment::now(&*self.clock));
                let is_new = match &record.parent {
                    Some(parent) => {
                        let (session, parent) = (record.session.clone(), parent.clone());
                        self.ledger.child(session, parent, reading).await?
                    }
                    None => false,
                };
                if !is_new {
                    left.push((record, begun));
                }
            }
            if left.len() == before {
                return Ok(());
            }
            unknown = left;
        }
    }

    /// A session that the ledger does not know: if it carries a tag of ours, it is its tag's caller's.
    async fn adopt(
        &self,
        organization: &str,
        record: &Record,
        begun: Begun,
    ) -> Result<Kin, RoundError> {
        let key = self.ledger.tag_key();
        let mut ours = record
            .tags
            .iter()
            .filter_map(|it| key.read(it, organization));
        let Some(tag) = ours.next() else {
            return Ok(Kin::Untagged);
        };
        let moment = Moment::now(&*self.clock);
        match self.ledger.birth(tag.hold).await? {
            // It is left to its answer, or to who looks for that.
            Birth::Awaited => return Ok(Kin::Awaited),
            // A child can have its parent's tags: then it is the parent's, and has no hold.
            Birth::Known | Birth::Unheard if record.parent.is_some() => return Ok(Kin::Untagged),
            // Somebody has copied the tag.
            Birth::Known => return Ok(Kin::Settled),
            Birth::Unheard | Birth::Ruled => {}
        }
        let team = {
            let rules = self.policies.load();
            let policy = rules.policy();
            let today = policy
                .caller_aliases()
                .find(|(old, _)| *old == &*tag.caller)
                .map(|(_, new)| Arc::clone(new));
            let name = today.as_deref().unwrap_or(&tag.caller);
            policy.caller_named(name).map(|it| Arc::clone(it.team()))
        };
        let Some(team) = team else {
            let why = format!(
                "{} has a tag of ours for the caller `{}`, whom no policy knows: name who has it now in `renamed_from:`, then `tollgate budget adjust --resume`",
                record.session, tag.caller
            );
            // Each sweep finds it again until somebody has mended it; where nothing is spent already, that is enough.
            if self.ledger.stopped().is_none() {
                let text = format!("nothing is spent: {why}");
                let bell = self.ledger.bell();
                bell.tell(Kind::UnknownCaller, moment.at, &text);
                let who = "the reconciler".to_owned();
                self.ledger.stop_spending(moment, Some(why), who).await?;
            }
            return Ok(Kin::Settled);
        };
        let payer = Payer {
            organization: organization.into(),
            team,
            caller: (*tag.caller).into(),
        };
        let reading = record.reading(begun, moment);
        let session = record.session.clone();
        if self.ledger.adopt(session, payer, tag, reading).await? {
            let session = &record.session;
            let text = format!(
                "the ledger did not know a session of its own, {session}: it was restored, or lost"
            );
            self.ledger.bell().tell(Kind::Adopted, moment.at, &text);
        }
        Ok(Kin::Settled)
    }
}
