//! Whose turn it is at the ledger: a process that finds it in use goes on without it, and has it later.
//!
//! Whatever is to be written goes through here to the writer. While there is none, it waits for the ledger as long as it
//! would for a disk. A process that is about to end takes no more holds, so that the next one has them all to itself.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::StoreError;
use super::writer::{PATIENCE, Work, Writer, Writing};

/// How far a process has come. It only goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Another process has the ledger.
    Waits,
    /// This one has it, and does not know yet what was spent while nobody looked (L13).
    Has,
    /// Holds are taken.
    Admits,
    /// The process is about to end: no holds any more.
    Retired,
}

/// The way to the writer, once there is one.
#[derive(Debug)]
pub(super) struct Turn {
    stage: Mutex<Stage>,
    /// Told of each stage. Who waits for it goes on in the order of arrival.
    goes_on: Notify,
    writer: OnceLock<(Writer, Writing)>,
    /// What is said meanwhile.
    waits: Arc<StoreError>,
}

impl Turn {
    /// Not ours yet; whoever asks is told this.
    pub(super) fn waiting(waits: StoreError) -> Self {
        Self {
            stage: Mutex::new(Stage::Waits),
            goes_on: Notify::new(),
            writer: OnceLock::new(),
            waits: Arc::new(waits),
        }
    }

    /// From now on this process has the ledger.
    pub(super) fn take(&self, writer: Writer, writing: Writing) {
        if self.writer.set((writer, writing)).is_ok() {
            self.advance(Stage::Waits, Stage::Has);
        }
    }

    /// From now on holds are taken; not before this process has the ledger, nor once it is about to end.
    pub(super) fn admit(&self) {
        self.advance(Stage::Has, Stage::Admits);
    }

    /// From now on no more holds are taken.
    pub(super) fn retire(&self) {
        self.change(|_| Stage::Retired);
    }

    fn advance(&self, from: Stage, to: Stage) {
        self.change(|stage| if stage == from { to } else { stage });
    }

    fn change(&self, to: impl FnOnce(Stage) -> Stage) {
        {
            let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
            *stage = to(*stage);
        }
        self.goes_on.notify_waiters();
    }

    fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is so, which only a change of the stage makes so.
    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        loop {
            // What changes after this is heard of.
            let change = self.goes_on.notified();
            if is_so(self) {
                return;
            }
            change.await;
        }
    }

    /// Whether this process has the ledger.
    pub(super) fn is_ours(&self) -> bool {
        self.writer.get().is_some()
    }

    /// Waits until this process has the ledger, however long that takes.
    pub(super) async fn ours(&self) {
        self.until(Self::is_ours).await;
    }

    /// The writer; waits a little for it.
    async fn writer(&self) -> Result<&Writer, StoreError> {
        if let Some((writer, _)) = self.writer.get() {
            return Ok(writer);
        }
        // Who has to stop, stops waiting too.
        let _ = timeout(PATIENCE, self.until(|it| it.stage() > Stage::Waits)).await;
        match self.writer.get() {
            Some((writer, _)) => Ok(writer),
            None => Err(self.waits.as_ref().clone()),
        }
    }

    /// Waits a little until this process has the ledger.
    ///
    /// # Errors
    /// Another process has it still.
    pub(super) async fn in_time(&self) -> Result<(), StoreError> {
        self.writer().await.map(drop)
    }

    /// Waits a little until holds are taken.
    ///
    /// # Errors
    /// They are not, or not any more.
    pub(super) async fn admitted(&self) -> Result<(), StoreError> {
        self.in_time().await?;
        match timeout(PATIENCE, self.until(|it| it.stage() >= Stage::Admits)).await {
            Ok(()) if self.stage() == Stage::Retired => Err(StoreError(
                "this process is about to end, and takes no more holds".into(),
            )),
            Ok(()) => Ok(()),
            Err(_) => Err(StoreError(
                "Devin has not been asked yet what was spent while this process was not there"
                    .into(),
            )),
        }
    }

    /// See [`Writer::write`].
    ///
    /// # Errors
    /// As there; or another process has the ledger.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer().await?.write(work).await
    }

    /// See [`Writer::try_write`].
    pub(super) async fn try_write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<Result<T, StoreError>> {
        match self.writer().await {
            Ok(writer) => writer.try_write(work).await,
            Err(error) => Some(Err(error)),
        }
    }

    /// How many groups were committed.
    pub(super) fn groups(&self) -> u64 {
        self.writer.get().map_or(0, |(writer, _)| writer.groups())
    }

    /// How many lines the history has.
    pub(super) fn lines(&self) -> i64 {
        self.writer.get().map_or(0, |(writer, _)| writer.lines())
    }

    /// Why nothing can be written, if so.
    pub(super) fn failure(&self) -> Option<Arc<StoreError>> {
        match self.writer.get() {
            Some((writer, _)) => writer.failure(),
            None => Some(Arc::clone(&self.waits)),
        }
    }

    /// Lets the ledger go. Waits until it is.
    pub(super) async fn end(self) {
        if let Some((writer, writing)) = self.writer.into_inner() {
            drop(writer);
            writing.ended().await;
        }
    }
}
