//! What is read beside the writer: over connections of their own, which wait for nobody's commit.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::commands::{self, Adjustment, Alike, Birth, Sought, Swept, Unsure};
use super::handle::Ledger;
use super::session::{Known, Origin, Position, SessionId};
use super::store::{self, Balance, Verdict, verify};
use super::tag::Tag;
use super::writer::Place;
use super::{HoldId, Resolution, StoreError};
use crate::acu::Acu;
use crate::budget::{Account, Payer};

/// How many holds without a known outcome are told of at once, and of each kind one round's more.
const MAX_UNSURE: usize = 32_768;
/// How many connections are kept.
const READERS: usize = 2;
/// How many resolutions are remembered for those who ask later, and how many bytes of records: of one that is forgotten,
/// the ledger still knows the session.
const RESOLUTIONS: usize = 1_000;
const MAX_RECORDS: usize = 16 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Resolutions {
    by_hold: HashMap<HoldId, Resolution>,
    order: VecDeque<HoldId>,
    bytes: usize,
}

fn size(resolution: &Resolution) -> usize {
    match resolution {
        Resolution::Accepted(record) => record.len(),
        Resolution::Absent | Resolution::Unresolvable => 0,
    }
}

impl Resolutions {
    /// Remembers one, and forgets the oldest that there is no room for.
    fn put(&mut self, hold: HoldId, resolution: Resolution) {
        self.bytes = self.bytes.saturating_add(size(&resolution));
        match self.by_hold.insert(hold, resolution) {
            None => self.order.push_back(hold),
            Some(before) => self.bytes = self.bytes.saturating_sub(size(&before)),
        }
        while self.order.len() > RESOLUTIONS || self.bytes > MAX_RECORDS {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            let gone = self.by_hold.remove(&oldest);
            self.bytes = self.bytes.saturating_sub(gone.as_ref().map_or(0, size));
        }
    }
}

/// Connections that read, shared by threads that may block.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    pub(super) place: Place,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn of(path: PathBuf, place: Place) -> Self {
        Self {
            path,
            place,
            idle: Mutex::default(),
        }
    }

    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let connection = match taken {
            Some(connection) => connection,
            None => store::reader(&self.path)?,
        };
        let outcome = read(&connection);
        let mut idle = idle();
        if outcome.is_ok() && idle.len() < READERS {
            idle.push(connection);
        }
        outcome
    }
}

impl Ledger {
    /// Follows the whole history, and adds up every sum anew.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn verify(&self) -> Result<Verdict, StoreError> {
        self.reading(|connection| verify(connection, None)).await
    }

    /// Holds of a kind without a known outcome, the oldest behind `after` first: as many as are looked at in one round,
    /// and whether there are more.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn sought(
        &self,
        sought: Sought,
        after: Option<HoldId>,
    ) -> Result<(Vec<Unsure>, bool), StoreError> {
        let read = move |connection: &Connection| commands::unsure(connection, sought, after);
        let found = self.reading(read).await?;
        let are_more = found.len() >= commands::MOST;
        Ok((found, are_more))
    }

    /// All holds without a known outcome.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn unsure(&self) -> Result<Vec<Unsure>, StoreError> {
        let mut all = Vec::new();
        for kind in [Sought::Creates, Sought::Messages] {
            let mut after = None;
            loop {
                let (found, are_more) = self.sought(kind, after).await?;
                after = found.last().map(|it| it.hold);
                all.extend(found);
                if !are_more || all.len() >= MAX_UNSURE {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// What each payer has spent and holds of what counts from `from` until just before `to`, in quarters of an hour.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn usage(
        &self,
        from: jiff::Timestamp,
        to: jiff::Timestamp,
    ) -> Result<BTreeMap<Payer, Balance>, StoreError> {
        let aliases = self.0.aliases.load_full();
        self.reading(move |connection| commands::usage(connection, &aliases, from, to))
            .await
    }

    /// The last adjustments of a budget, by its id, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn adjusted(
        &self,
        budget: Arc<str>,
        most: usize,
    ) -> Result<Vec<Adjustment>, StoreError> {
        self.reading(move |connection| commands::adjusted(connection, &budget, most))
            .await
    }

    /// How many holds have no known outcome, and how much they are.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn unknown_holds(&self) -> Result<(u64, Acu), StoreError> {
        self.reading(commands::unknown_holds).await
    }

    /// What is known of the session of a create's hold.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn birth(&self, hold: HoldId) -> Result<Birth, StoreError> {
        self.reading(move |connection| commands::birth(connection, hold))
            .await
    }

    /// What the ledger has of messages of this text to a session.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn alike(&self, session: SessionId, text: [u8; 32]) -> Result<Alike, StoreError> {
        self.reading(move |connection| commands::alike(connection, &session, &text))
            .await
    }

    /// Sessions that hold something, with their organizations.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn open_sessions(&self) -> Result<Vec<(Box<str>, SessionId)>, StoreError> {
        self.reading(commands::open_sessions).await
    }

    /// The organizations that the ledger knows sessions of, and until when each has been swept.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn organizations(&self) -> Result<Vec<Swept>, StoreError> {
        self.reading(commands::organizations).await
    }

    /// What is known of a session; `None` if the ledger does not know it. Answered from a bounded cache where it
    /// can be, since whose a session is never changes.
    ///
    /// # Errors
    /// The store does not answer, and the cache does not have it.
    pub async fn session(&self, session: &SessionId) -> Result<Option<Arc<Known>>, StoreError> {
        let origin = match self.0.cache.get(session) {
            Some(origin) => origin,
            None => {
                let wanted = session.clone();
                let found = self
                    .reading(move |connection| commands::origin(connection, &wanted))
                    .await?;
                let Some(origin) = found.map(Arc::new) else {
                    return Ok(None);
                };
                self.0.cache.put(session.clone(), Arc::clone(&origin));
                origin
            }
        };
        Ok(Some(Arc::new(self.known(&origin))))
    }

    fn known(&self, origin: &Origin) -> Known {
        let tag = match (origin.hold, origin.cap) {
            (Some(hold), Some(cap)) => Some(Tag {
                hold,
                caller: origin.payer.caller.as_ref().into(),
                cap,
            }),
            _ => None,
        };
        Known {
            position: origin.position,
            payer: self.0.aliases.load().today(&origin.payer),
            cap: origin.cap,
            tag: tag.map(|it| {
                let tag = self.0.tag_key.tag(&it, &origin.payer.organization);
                tag.into_boxed_str()
            }),
        }
    }

    /// The sessions of these payers (children of theirs included), newest first, beginning behind `after`.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn sessions(
        &self,
        account: &Account,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<(Position, SessionId)>, StoreError> {
        let (account, aliases) = (account.clone(), self.0.aliases.load_full());
        self.reading(move |connection| {
            commands::sessions_of(connection, &account, &aliases, after, limit)
        })
        .await
    }

    /// How a hold without a known outcome was resolved; waits until it is.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn resolved(&self, hold: HoldId) -> Result<Resolution, StoreError> {
        let mut news = self.0.resolved.subscribe();
        loop {
            let known = {
                let all = self.0.resolutions.lock();
                let all = all.unwrap_or_else(PoisonError::into_inner);
                all.by_hold.get(&hold).cloned()
            };
            if let Some(known) = known {
                return Ok(known);
            }
            let ended = self
                .reading(move |connection| commands::ended(connection, hold))
                .await?;
            if let Some(resolution) = ended {
                return Ok(resolution);
            }
            // Any news is a reason to look again; so is having missed some.
            let _ = news.recv().await;
        }
    }

    /// Tells those who wait for a hold's outcome, and remembers it for those who ask later.
    pub fn resolve(&self, hold: HoldId, resolution: Resolution) {
        {
            let all = self.0.resolutions.lock();
            let mut all = all.unwrap_or_else(PoisonError::into_inner);
            all.put(hold, resolution);
        }
        let _ = self.0.resolved.send(hold);
    }

    pub(super) async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.0.readers.place == Place::Runtime {
            return self.0.readers.with(read);
        }
        let inner = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || inner.readers.with(read));
        read.await
            .unwrap_or_else(|error| Err(StoreError(error.to_string().into())))
    }
}
