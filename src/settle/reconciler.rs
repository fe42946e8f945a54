//! The reconciler's rounds.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::devin::{AskError, Devin, ToDevin, target};
use super::record::{Page, Record};
use crate::Parts;
use crate::clock::Clock;
use crate::ledger::moment::{Begun, Moment};
use crate::ledger::{HoldId, Ledger, SessionId, StoreError, is_same_organization};
use crate::ruleset::Current;

/// How many sessions are asked about at once.
const BATCH: usize = 100;
/// The most pages of a list that is wanted whole.
const MAX_PAGES: usize = 100;
/// What one poll that found nothing can count for at most, however long ago the one before it was (L6).
const MOST_MISSED: Duration = Duration::from_secs(600);

/// When what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// From one round to the next.
    pub every: Duration,
    /// How long after an attempt's end a listing has to begin for its absence to say something (L5).
    pub unknown_after: Duration,
    /// From one request to Devin to the next: the reconciler's share of Devin's rate.
    pub pace: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(15),
            unknown_after: Duration::from_secs(15 * 60),
            pace: Duration::from_millis(500),
        }
    }
}

/// How far a list has been read.
#[derive(Debug)]
pub(super) struct Place {
    after: Option<String>,
    seen: HashSet<String>,
    most: usize,
    is_end: bool,
}

impl Place {
    /// At its beginning; of so many pages at most.
    pub(super) fn within(most: usize) -> Self {
        Self {
            after: None,
            seen: HashSet::new(),
            most,
            is_end: false,
        }
    }
}

/// Why a round, or a part of it, came to nothing: the next one tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    /// Devin could not be asked.
    #[error("asking Devin: {0}")]
    Ask(#[from] AskError),
    /// The same of one organization.
    #[error("{organization}: {source}")]
    Of {
        /// Which.
        organization: Box<str>,
        /// Why.
        source: Box<RoundError>,
    },
    /// The ledger does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RoundError {
    /// With the organization that it is of: one that is gone is found by it.
    pub(super) fn of(self, organization: &str) -> Self {
        Self::Of {
            organization: organization.into(),
            source: Box::new(self),
        }
    }
}

/// Settles what was spent.
#[derive(Debug)]
pub struct Reconciler<U> {
    pub(super) devin: Devin<U>,
    pub(super) ledger: Ledger,
    pub(super) policies: Current,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) untagged: Arc<HashSet<String>>,
    pub(super) times: Times,
    /// Where the last round stopped looking for creates, and for messages, if it came to no end.
    pub(super) sought_creates: Mutex<Option<HoldId>>,
    pub(super) sought_messages: Mutex<Option<HoldId>>,
    /// Organizations that were swept.
    pub(super) swept: Mutex<BTreeSet<Box<str>>>,
    /// When the last poll of each organization's sessions succeeded.
    polled: Mutex<HashMap<Box<str>, Duration>>,
    /// When consumption was looked at last.
    pub(super) compared: Mutex<Option<Duration>>,
    /// What failed in the last round.
    told: Mutex<Vec<String>>,
    /// The service user that the shared token is of, once it is known.
    pub(super) ourselves: Mutex<Option<String>>,
}

impl<U> Reconciler<U>
where
    U: ToDevin,
{
    /// Of a gateway, over this upstream.
    pub fn new(parts: &Parts, upstream: U, times: Times) -> Self {
        Self {
            devin: Devin {
                upstream,
                token: parts.token.clone(),
                pinned: parts.pinned.clone(),
                log: parts.log.clone(),
                clock: Arc::clone(&parts.clock),
                pace: times.pace,
                next: Mutex::new(Instant::now()),
            },
            ledger: parts.ledger.clone(),
            policies: parts.policies.clone(),
            clock: Arc::clone(&parts.clock),
            untagged: Arc::clone(&parts.untagged),
            times,
            sought_creates: Mutex::default(),
            sought_messages: Mutex::default(),
            swept: Mutex::default(),
            polled: Mutex::default(),
            compared: Mutex::default(),
            told: Mutex::default(),
            ourselves: Mutex::default(),
        }
    }

    /// Goes round until told to stop, from when on this process has the ledger. Before the first hold is taken, every
    /// organization is swept once (L13).
    pub async fn follow(self, stop: CancellationToken) {
        let rounds = async {
            self.ledger.ours().await;
            loop {
                self.round().await;
                tokio::time::sleep(self.times.every).await;
            }
        };
        tokio::select! {
            () = rounds => {}
            () = stop.cancelled() => {}
        }
    }

    /// One round. What fails is told in the log (once, until it is something else), and tried again in the next one.
    pub async fn round(&self) -> bool {
        let mut failures = Vec::new();
        let mut note = |what: &str, outcome: Result<(), RoundError>| {
            failures.extend(outcome.err().map(|error| format!("{what}: {error}")));
        };
        let open = self.ledger.stays_open(self.clock.up()).await;
        note("counting the time", open.map_err(RoundError::from));
        note("polling open sessions", self.poll().await);
        note("seeking lost creates", self.seek_creates().await);
        let swept = self.sweep().await;
        if swept.is_ok() {
            self.ledger.admit();
        }
        note("sweeping organizations", swept);
        note("seeking lost messages", self.seek_messages().await);
        note("charging what goes on spending", self.objects().await);
        note("comparing consumption", self.consumption().await);
        let unswept = self.ledger.unswept();
        failures.extend(unswept.values().cloned());
        let mut told = self.told.lock().await;
        if *told != failures {
            match failures.as_slice() {
                [] => tracing::info!("settling goes on"),
                some => {
                    tracing::warn!(failures = ?some, "not everything can be settled; it is tried again")
                }
            }
        }
        told.clone_from(&failures);
        failures.is_empty()
    }

    /// Asks about every session that holds something (L6).
    async fn poll(&self) -> Result<(), RoundError> {
        let mut open: BTreeMap<Box<str>, Vec<SessionId>> = BTreeMap::new();
        for (organization, session) in self.ledger.open_sessions().await? {
            open.entry(organization).or_default().push(session);
        }
        let mut failed = None;
        // One that Devin says nothing of keeps no other from being settled.
        for (organization, sessions) in open {
            match self.poll_all(&organization, &sessions).await {
                Ok(()) => {
                    let up = self.clock.up();
                    self.polled.lock().await.insert(organization, up);
                }
                Err(error) => failed = Some(error.of(&organization)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn poll_all(&self, organization: &str, all: &[SessionId]) -> Result<(), RoundError> {
        for batch in all.chunks(BATCH) {
            self.poll_batch(organization, batch).await?;
        }
        Ok(())
    }

    async fn poll_batch(&self, organization: &str, batch: &[SessionId]) -> Result<(), RoundError> {
        let mut missing: BTreeSet<&SessionId> = batch.iter().collect();
        // What is archived may be left out of a list that does not ask for it.
        for archived in [None, Some(("is_archived", "true"))] {
            if missing.is_empty() {
                return Ok(());
            }
            let ids: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let ids = ids.join(",");
            let filters: Vec<_> = [("session_ids", &*ids)]
                .into_iter()
                .chain(archived)
                .collect();
            let begun = self.begun();
            for record in self.list(organization, &filters).await? {
                if missing.remove(&record.session) {
                    self.read(&record, begun).await?;
                }
            }
        }
        let moment = Moment::now(&*self.clock);
        let last = self.polled.lock().await.get(organization).copied();
        let after = last.map_or(Duration::ZERO, |last| moment.up.saturating_sub(last));
        for session in missing {
            let after = after.min(MOST_MISSED);
            self.ledger.missed(moment, session.clone(), after).await?;
        }
        Ok(())
    }

    /// A request for what is to be read leaves now.
    pub(super) fn begun(&self) -> Begun {
        self.ledger.begin_reading(&*self.clock)
    }

    /// Tells the ledger what a record says. Whether it knows the session.
    pub(super) async fn read(&self, record: &Record, begun: Begun) -> Result<bool, StoreError> {
        let reading = record.reading(begun, Moment::now(&*self.clock));
        self.ledger.read(record.session.clone(), reading).await
    }

    /// A complete list of sessions: an error if it did not come to an end.
    pub(super) async fn list(
        &self,
        organization: &str,
        filters: &[(&str, &str)],
    ) -> Result<Vec<Record>, AskError> {
        let mut records = Vec::new();
        let mut place = Place::within(MAX_PAGES);
        while let Some(page) = self.page(organization, filters, &mut place).await? {
            records.extend(page);
        }
        Ok(records)
    }

    /// The next page of a list; none behind the last.
    pub(super) async fn page(
        &self,
        organization: &str,
        filters: &[(&str, &str)],
        place: &mut Place,
    ) -> Result<Option<Vec<Record>>, AskError> {
        if place.is_end {
            return Ok(None);
        }
        if place.seen.len() >= place.most {
            return Err(AskError::Unusable("a list without an end".into()));
        }
        let mut query = filters.to_vec();
        query.push(("first", "200"));
        if let Some(after) = &place.after {
            query.push(("after", after));
        }
        let target = target(&["v3", "organizations", organization, "sessions"], &query);
        let body = self.devin.get("sessions.list", &target).await?;
        let page = Page::parse(&body)
            .ok_or_else(|| AskError::Unusable("a list of sessions that is none".into()))?;
        match page.next {
            None => place.is_end = true,
            Some(cursor) if place.seen.insert(cursor.clone()) => place.after = Some(cursor),
            Some(_) => {
                return Err(AskError::Unusable("the cursor of a page came again".into()));
            }
        }
        let mut records = page.records;
        records.retain_mut(|it| {
            // Whatever does not say so itself is of the organization whose list it is in.
            let said = it.organization.get_or_insert_with(|| organization.to_owned());
            let is_same = is_same_organization(said, organization);
            if !is_same {
                let session = &it.session;
                tracing::warn!(%session, organization, said, "a list has a record of another organization: it is not believed");
            }
            is_same
        });
        Ok(Some(records))
    }

    /// The beginning of the oldest window that is open now.
    pub(super) fn oldest_window(&self, now: Timestamp) -> Timestamp {
        let rules = self.policies.load();
        let starts = rules
            .policy()
            .budgets()
            .iter()
            .map(|it| it.every.window(now).start);
        // Without a budget, a day: what was used until then is used up.
        let day = now - jiff::SignedDuration::from_hours(24);
        starts.min().unwrap_or(day)
    }
}
