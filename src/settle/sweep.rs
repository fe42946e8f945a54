//! Sweeping an organization: children, wakes from elsewhere, and sessions that the ledger has forgotten (L12, L13).

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tower::Service;

use super::devin::AskError;
use super::reconciler::{Reconciler, RoundError};
use super::record::Record;
use crate::alerts::Kind;
use crate::body::Body;
use crate::budget::Payer;
use crate::exchange::Exchange;
use crate::ledger::Swept;
use crate::ledger::moment::{Moment, Tick};
use crate::pipeline::credential::Outbound;
use crate::rejection::Rejection;

/// How far a sweep goes back behind the last one: clocks differ, and Devin's list may be late.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

impl<U> Reconciler<U>
where
    U: Service<Exchange<Outbound>, Response = http::Response<Body>, Error = Rejection>
        + Clone
        + Send
        + 'static,
    U::Future: Send,
{
    /// Sweeps every organization that the ledger or the policy knows.
    pub(super) async fn sweep(&self) -> Result<(), RoundError> {
        let swept = self.ledger.organizations().await?;
        let mut failed = None;
        for organization in self.organizations(&swept) {
            let last = swept.iter().find(|(id, _)| *id == organization);
            let last = last.and_then(|(_, until)| *until);
            match self.sweep_one(&organization, last).await {
                Ok(()) => {}
                // One that the token has no right to has nothing that was spent through here.
                Err(RoundError::Ask(AskError::Status(status)))
                    if status.as_u16() == 403 || status.as_u16() == 404 =>
                {
                    tracing::debug!(organization, %status, "cannot be swept");
                }
                Err(error) => failed = Some(error),
            }
        }
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
        let begun = self.ledger.tick();
        let since = since.as_second().max(0).to_string();
        let records = self
            .list(organization, &[("updated_after", &since)])
            .await?;
        let mut unknown = Vec::new();
        for record in &records {
            if !self.read(record, begun).await? && !self.adopt(organization, record, begun).await? {
                unknown.push(record);
            }
        }
        self.children(unknown, begun).await?;
        self.ledger.swept(organization.into(), now).await?;
        Ok(())
    }

    /// Children of known sessions, and children of those.
    async fn children(&self, mut unknown: Vec<&Record>, begun: Tick) -> Result<(), RoundError> {
        loop {
            let before = unknown.len();
            let mut left = Vec::new();
            for record in unknown {
                let reading = record.reading(begun, Moment::now(&*self.clock));
                let is_new = match &record.parent {
                    Some(parent) => {
                        let (session, parent) = (record.session.clone(), parent.clone());
                        self.ledger.child(session, parent, reading).await?
                    }
                    None => false,
                };
                if !is_new {
                    left.push(record);
                }
            }
            if left.len() == before {
                return Ok(());
            }
            unknown = left;
        }
    }

    /// A session that carries a tag of ours and that the ledger does not know. Whether it was one.
    async fn adopt(
        &self,
        organization: &str,
        record: &Record,
        begun: Tick,
    ) -> Result<bool, RoundError> {
        let key = self.ledger.tag_key();
        let mut ours = record
            .tags
            .iter()
            .filter_map(|it| key.read(it, organization));
        let Some(tag) = ours.next() else {
            return Ok(false);
        };
        // A child can have its parent's tags: then it is the parent's, and has no hold.
        if record.parent.is_some() {
            return Ok(false);
        }
        let moment = Moment::now(&*self.clock);
        // Its hold is known, and its answer was not: it is the session of that create. One whose answer is still on its
        // way is left to that.
        let unsure = self.ledger.unsure().await?;
        if unsure.iter().any(|it| it.hold == tag.hold) || self.ledger.has_hold(tag.hold).await? {
            return Ok(true);
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
            return Ok(true);
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
        Ok(true)
    }
}
