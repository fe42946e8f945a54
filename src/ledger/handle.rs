//! The ledger's handle: what the rest of the gateway asks of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::broadcast;

use super::book::Reading;
use super::cache::Cache;
use super::commands::{self, Adjustment, Budgeted, Held, Holding, NotHeld, Passed};
use super::moment::{Begun, Moment, Tick, Ticks};
use super::open::OpenFor;
use super::reads::{Readers, Resolutions};
use super::session::SessionId;
use super::store::{self, Aliases};
use super::tag::{Tag, TagKey};
use super::turn::Turn;
use super::{HoldId, Resolution, StoreError};
use crate::alerts::Bell;
use crate::budget::{Account, Budget, Payer};
use crate::clock::Clock;
use crate::failpoint::{Point, reach};
use crate::pipeline::attempts::Unresolved;

/// The ledger, cheap to clone. The file is let go when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Ledger(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    /// The way to the writer; while another process has the ledger there is none.
    pub(super) writer: Turn,
    pub(super) readers: Readers,
    pub(super) cache: Cache,
    pub(super) ticks: Ticks,
    pub(super) aliases: ArcSwap<Aliases>,
    pub(super) tag_key: TagKey,
    pub(super) bell: Bell,
    pub(super) quiet: Duration,
    /// Why nothing may be spent, if so.
    pub(super) stopped: ArcSwapOption<String>,
    /// How long the ledger has been open, once this process has it.
    pub(super) open: OnceLock<OpenFor>,
    /// Organizations where nothing is spent until they have been swept, and what Devin says instead.
    pub(super) unswept: ArcSwap<BTreeMap<Box<str>, String>>,
    pub(super) resolutions: Mutex<Resolutions>,
    pub(super) resolved: broadcast::Sender<HoldId>,
    pub(super) path: PathBuf,
    /// The attempts without a key whose outcome was not known when this process took the ledger.
    pub(super) left_behind: OnceLock<Vec<Unresolved>>,
    /// The folder of a ledger that lasts as long as its process.
    pub(super) _folder: Option<tempfile::TempDir>,
}

impl Ledger {
    /// Waits until all that was sent is on the disk; of the last clone, also until the file is let go.
    pub async fn close(self) {
        if self.is_ours() {
            let _ = self.0.writer.write(|_| Ok(())).await;
        }
        if let Some(inner) = Arc::into_inner(self.0) {
            // The writer's connection is the last: it empties the write-ahead log into the file.
            drop(inner.readers);
            inner.writer.end().await;
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The next place in the order of events.
    pub fn tick(&self) -> Tick {
        self.0.ticks.next()
    }

    /// A request for what is to be read leaves now.
    pub fn begin_reading(&self, clock: &dyn Clock) -> Begun {
        Begun {
            tick: self.tick(),
            up: clock.up(),
        }
    }

    /// How many groups were committed.
    pub fn groups(&self) -> u64 {
        self.0.writer.groups()
    }

    /// How many lines the history has: where it has not grown, no account has moved.
    pub fn lines(&self) -> i64 {
        self.0.writer.lines()
    }

    /// Why nothing can be written, if so: the last attempt to write something failed.
    pub fn failure(&self) -> Option<Arc<StoreError>> {
        self.0.writer.failure()
    }

    /// Where alarms go.
    pub fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// The key of tags.
    pub fn tag_key(&self) -> &TagKey {
        &self.0.tag_key
    }

    /// Why nothing may be spent now, if so.
    pub fn stopped(&self) -> Option<Arc<String>> {
        self.0.stopped.load_full()
    }

    /// From now on nothing may be spent, for this reason; or it may again. It outlasts the process.
    ///
    /// # Errors
    /// The store does not take it; for this process it holds all the same.
    pub async fn stop_spending(
        &self,
        moment: Moment,
        why: Option<String>,
        who: String,
    ) -> Result<(), StoreError> {
        self.0.stopped.store(why.clone().map(Arc::new));
        let write = move |work: &mut super::writer::Work<'_>| {
            store::set_meta(&work.store.connection, "stopped", why.as_deref())?;
            if why.is_none() {
                work.forget_key(moment.at)?;
                // What is damaged until here was looked at, and does not stop the next start again.
                let lines = work.store.chain.lines().to_string();
                store::set_meta(&work.store.connection, "believed", Some(&lines))?;
            }
            let note = match why {
                Some(why) => format!("stopped by {who}: {why}"),
                None => format!("resumed by {who}"),
            };
            work.note(moment.at, "stop", &note)
        };
        self.0.writer.write(write).await
    }

    /// What callers and teams were called before. While another process has the ledger, it is told with the ledger.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn rename(&self, aliases: Aliases) -> Result<(), StoreError> {
        self.0.aliases.store(Arc::new(aliases));
        match self.is_ours() {
            true => self.tell_names().await,
            false => Ok(()),
        }
    }

    /// Tells the writer the names that hold when it hears them.
    pub(super) async fn tell_names(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.0);
        let write =
            move |work: &mut super::writer::Work<'_>| work.rename(inner.aliases.load_full());
        self.0.writer.write(write).await
    }

    /// Whether this process has the ledger. While another one has it, the file is only read.
    pub fn is_ours(&self) -> bool {
        self.0.writer.is_ours()
    }

    /// Waits until this process has the ledger, however long that takes.
    pub async fn ours(&self) {
        self.0.writer.ours().await;
    }

    /// What the last process did not see has been looked for (L13): from now on holds are taken.
    pub fn admit(&self) {
        self.0.writer.admit();
    }

    /// This process is about to end: from now on no holds are taken.
    pub fn retire(&self) {
        self.0.writer.retire();
    }

    /// In these organizations nothing is spent yet, since Devin does not say what was.
    pub fn bar(&self, unswept: BTreeMap<Box<str>, String>) {
        if **self.0.unswept.load() != unswept {
            self.0.unswept.store(Arc::new(unswept));
        }
    }

    /// Organizations where nothing is spent yet, and why.
    pub fn unswept(&self) -> Arc<BTreeMap<Box<str>, String>> {
        self.0.unswept.load_full()
    }

    /// How long the ledger has been open in all, by this process and those before it, when this one has been up so long.
    /// While nobody has it open, no time passes: what has to be waited for is waited for in full, and a process that
    /// dies again and again takes nothing of it back.
    pub fn open_for(&self, up: Duration) -> Duration {
        self.0.open.get().map_or(Duration::ZERO, |it| it.at(up))
    }

    /// Writes down how long the ledger has been open.
    ///
    /// # Errors
    /// The store does not take it: the next start counts less.
    pub async fn stays_open(&self, up: Duration) -> Result<(), StoreError> {
        let open = store::millis(self.open_for(up)).to_string();
        let write = move |work: &mut super::writer::Work<'_>| {
            store::set_meta(&work.store.connection, super::open::OPEN_FOR, Some(&open))
        };
        self.0.writer.write(write).await
    }

    /// Takes a hold, durably, in every budget that applies; or in none.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn hold(&self, mut asked: Holding) -> Result<Held, NotHeld> {
        self.may_spend(&asked.payer)?;
        self.0.writer.admitted().await?;
        // What stops it may have been found only when the ledger was had.
        self.may_spend(&asked.payer)?;
        asked.deadline = self.open_for(asked.deadline);
        // Calendars are worked out here, not while everybody waits for the writer.
        let windows = asked.budgets.iter();
        let windows: Vec<_> = windows.map(|it| it.every.window(asked.moment.at)).collect();
        let write = move |work: &mut super::writer::Work<'_>| {
            let held = work.hold(&asked, &windows)?;
            reach(Point::HoldBeforeCommit);
            Ok(held)
        };
        let held = self.0.writer.try_write(write).await;
        reach(Point::HoldAfterCommit);
        held.ok_or(NotHeld::Late)??
    }

    fn may_spend(&self, payer: &Payer) -> Result<(), StoreError> {
        if let Some(why) = self.stopped() {
            return Err(StoreError(why.as_str().into()));
        }
        match self.unswept().get(&*payer.organization) {
            Some(why) => Err(StoreError(why.as_str().into())),
            None => Ok(()),
        }
    }

    /// A create was carried out, and this is its session.
    ///
    /// # Errors
    /// The store does not take it: then it has to be tried again.
    pub async fn created(
        &self,
        moment: Moment,
        hold: HoldId,
        session: SessionId,
    ) -> Result<(), StoreError> {
        let tick = self.tick();
        let write = move |work: &mut super::writer::Work<'_>| {
            work.created(moment.at, hold, tick, &session)?;
            reach(Point::InSettle);
            Ok(())
        };
        self.0.writer.write(write).await
    }

    /// A message was carried out.
    ///
    /// # Errors
    /// The store does not take it: then it has to be tried again.
    pub async fn answered(&self, moment: Moment, hold: HoldId) -> Result<(), StoreError> {
        let tick = self.tick();
        let write = move |work: &mut super::writer::Work<'_>| {
            work.answered(moment.at, hold, tick)?;
            reach(Point::InSettle);
            Ok(())
        };
        self.0.writer.write(write).await
    }

    /// Nothing can be found out about a message: it is taken for carried out.
    ///
    /// # Errors
    /// The store does not take it: then it has to be tried again.
    pub async fn presumed(&self, moment: Moment, hold: HoldId) -> Result<(), StoreError> {
        let tick = self.tick();
        let write = move |work: &mut super::writer::Work<'_>| work.presumed(moment.at, hold, tick);
        self.0.writer.write(write).await
    }

    /// A spend without a cap was carried out, or nobody knows: it stays charged.
    ///
    /// # Errors
    /// The store does not take it: then it has to be tried again.
    pub async fn charged(&self, moment: Moment, hold: HoldId) -> Result<(), StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| work.charged(moment.at, hold);
        self.0.writer.write(write).await
    }

    /// Nobody knows whether it was carried out.
    ///
    /// # Errors
    /// The store does not take it: then it has to be tried again.
    pub async fn unknown(&self, moment: Moment, hold: HoldId) -> Result<(), StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| work.unknown(moment.at, hold);
        self.0.writer.write(write).await
    }

    /// It was not carried out. Whether there was still a hold to give back.
    ///
    /// # Errors
    /// The store does not take it: then it has to be tried again.
    pub async fn released(&self, moment: Moment, hold: HoldId) -> Result<bool, StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| {
            let released = work.released(moment.at, hold)?;
            reach(Point::InSettle);
            Ok(released)
        };
        self.0.writer.write(write).await
    }

    /// Nothing can be found out about it: it is charged in full.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn written_off(&self, moment: Moment, hold: HoldId) -> Result<(), StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| work.written_off(moment.at, hold);
        self.0.writer.write(write).await?;
        self.resolve(hold, Resolution::Unresolvable);
        Ok(())
    }

    /// What Devin said of a session. Whether the ledger knows it.
    ///
    /// # Errors
    /// The store does not take it: the next reading says the same.
    pub async fn read(&self, session: SessionId, reading: Reading) -> Result<bool, StoreError> {
        let quiet = self.0.quiet;
        let write = move |work: &mut super::writer::Work<'_>| {
            let known = work.read(&session, &reading, quiet)?;
            reach(Point::InReconcile);
            Ok(known.is_some())
        };
        self.0.writer.write(write).await
    }

    /// A poll that succeeded, `after` the one before it, did not find the session.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn missed(
        &self,
        moment: Moment,
        session: SessionId,
        after: Duration,
    ) -> Result<(), StoreError> {
        let write =
            move |work: &mut super::writer::Work<'_>| work.missed(moment.at, &session, after);
        self.0.writer.write(write).await
    }

    /// A complete listing that began at this tick has not found it. Whether its hold was given back for it.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn absent(
        &self,
        moment: Moment,
        hold: HoldId,
        begun: Tick,
    ) -> Result<bool, StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| work.absent(moment.at, hold, begun);
        let released = self.0.writer.write(write).await?;
        if released {
            self.resolve(hold, Resolution::Absent);
        }
        Ok(released)
    }

    /// A session whose parent is known, and that has no hold. Whether it is new.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn child(
        &self,
        session: SessionId,
        parent: SessionId,
        reading: Reading,
    ) -> Result<bool, StoreError> {
        let quiet = self.0.quiet;
        let write = move |work: &mut super::writer::Work<'_>| {
            work.child(&session, &parent, &reading, quiet)
        };
        self.0.writer.write(write).await
    }

    /// A session with a tag of ours that the ledger does not know. Whether it is new.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn adopt(
        &self,
        session: SessionId,
        payer: Payer,
        tag: Tag,
        reading: Reading,
    ) -> Result<bool, StoreError> {
        let quiet = self.0.quiet;
        let write = move |work: &mut super::writer::Work<'_>| {
            work.adopt(&session, &payer, tag.hold, tag.cap, &reading, quiet)
        };
        self.0.writer.write(write).await
    }

    /// How budgets stand, each for a payer.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn budgeted(
        &self,
        moment: Moment,
        asked: Vec<(Arc<Budget>, Payer)>,
    ) -> Result<Vec<Budgeted>, StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| {
            let mut all = Vec::with_capacity(asked.len());
            for (budget, payer) in &asked {
                let window = budget.every.window(moment.at);
                let (balance, limit) = work.budgeted(budget, window, payer, moment.at)?;
                all.push(Budgeted {
                    balance,
                    limit,
                    window,
                });
            }
            Ok(all)
        };
        self.0.writer.write(write).await
    }

    /// Everybody that the ledger has entries of, under the names of today.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn payers(&self) -> Result<Vec<Payer>, StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| {
            let payers = &work.store.payers;
            let mut all: Vec<Payer> = payers
                .of(&Account::default())
                .into_iter()
                .filter_map(|ix| payers.today(ix))
                .collect();
            all.sort();
            all.dedup();
            Ok(all)
        };
        self.0.writer.write(write).await
    }

    /// Writes down that a threshold of a budget was passed in a window. Whether it is the first time.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn passed(&self, passed: Passed) -> Result<bool, StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| {
            commands::passed(&work.store.connection, &passed)
        };
        self.0.writer.write(write).await
    }

    /// Thresholds that were passed and that nobody was told of yet, oldest first. What is over for long is forgotten.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn untold(&self, now: jiff::Timestamp) -> Result<Vec<(String, String)>, StoreError> {
        let write =
            move |work: &mut super::writer::Work<'_>| commands::untold(&work.store.connection, now);
        self.0.writer.write(write).await
    }

    /// Somebody was told of it.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn told(&self, alert: String) -> Result<(), StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| {
            commands::told(&work.store.connection, &alert)
        };
        self.0.writer.write(write).await
    }

    /// Writes down an adjustment.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn adjust(&self, adjustment: Adjustment) -> Result<(), StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| work.adjust(&adjustment);
        self.0.writer.write(write).await
    }

    /// An organization has been swept until this instant.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn swept(
        &self,
        organization: Box<str>,
        until: jiff::Timestamp,
    ) -> Result<(), StoreError> {
        let write = move |work: &mut super::writer::Work<'_>| {
            commands::swept(&work.store.connection, &organization, until)
        };
        self.0.writer.write(write).await
    }
}
