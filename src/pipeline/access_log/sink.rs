//! Where lines go: a bounded queue and a writer thread of its own.
//!
//! A request takes a [`Slot`] before it begins and gives it back when its line
//! is written: the queue is as long as there are slots, and when the disk
//! stands still, new requests wait instead of lines being lost. The writer
//! gathers for a moment and writes in batches, so that a request wakes nobody
//! while there is load. A crash loses at most what was gathered in that moment.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::output::{Output, Target};
use super::record::FORM;

/// The most lines between their requests' heads and the disk.
const SLOTS: usize = 16 * 1024;
/// The most requests that wait for a place.
const MOST_WAITING: usize = 4 * 1024;
/// The writer writes at once when this much is waiting.
const BATCH: usize = 64 * 1024;
/// How long it gathers otherwise.
const GATHER: Duration = Duration::from_millis(50);
/// How long it waits after a failed write.
const RETRY: Duration = Duration::from_secs(1);
/// How long it waits for a pipe that is full.
const FULL: Duration = Duration::from_millis(10);
/// How long the end of the process waits for it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A handle to the log.
#[derive(Clone, Debug)]
pub struct Sink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    written: Condvar,
    slots: Semaphore,
    waiting: AtomicUsize,
    healthy: AtomicBool,
    reopen: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    count: usize,
    /// The slots of these lines.
    slots: usize,
    /// Lines that are being written now.
    writing: usize,
    /// The writer sleeps until there is a line.
    idle: bool,
    /// Lines beside the queue for which there was no room: said in one line of their own.
    abandoned: u64,
    /// Somebody waits for everything to be written.
    flushing: bool,
    closed: bool,
    /// The writer has ended, and whether it could not write everything.
    finished: bool,
    lost: bool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    /// Opens the output and starts its writer.
    ///
    /// # Errors
    /// The output cannot be opened, or no thread can be started.
    pub fn open(output: Output) -> io::Result<Self> {
        let name = match &output {
            Output::File { path, .. } => path.display().to_string(),
            Output::Stdout | Output::Stderr | Output::Memory(_) => "the standard output".to_owned(),
        };
        let failed = |error| {
            io::Error::other(format!(
                "the access log cannot be opened at {name}: {error}"
            ))
        };
        let mut target = Target::open(output).map_err(failed)?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            written: Condvar::new(),
            slots: Semaphore::new(SLOTS),
            waiting: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
            reopen: AtomicBool::new(false),
        });
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        thread.spawn(move || {
            write_all(&writer, &mut target);
            lock(&writer.state).finished = true;
            writer.written.notify_all();
        })?;
        Ok(Self(shared))
    }

    /// A place for one line; waits while the queue is full.
    pub async fn slot(&self) -> Slot {
        if let Ok(permit) = self.0.slots.acquire().await {
            permit.forget();
        }
        self.counted()
    }

    /// A place for one line, if there is one without waiting.
    pub(super) fn try_slot(&self) -> Option<Slot> {
        self.0.slots.try_acquire().ok()?.forget();
        Some(self.counted())
    }

    /// Leave to wait for a place; none while as many wait as may.
    pub(super) fn may_wait(&self) -> Option<Waiting> {
        let one_more = |waiting| (waiting < MOST_WAITING).then_some(waiting + 1);
        let waiting = &self.0.waiting;
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Waiting(Arc::clone(&self.0)))
    }

    fn counted(&self) -> Slot {
        Slot {
            queue: Arc::clone(&self.0),
            counted: true,
        }
    }

    /// A place beside the queue, for a line whose request is over already: its client left while it waited for a
    /// place. There are as many of these as there are places, then such requests are only counted.
    pub(super) fn extra_slot(&self) -> Option<Slot> {
        let mut state = lock(&self.0.state);
        if state.count.saturating_sub(state.slots) >= SLOTS {
            state.abandoned += 1;
            return None;
        }
        Some(Slot {
            queue: Arc::clone(&self.0),
            counted: false,
        })
    }

    /// Writes a line that is no request's.
    pub async fn write(&self, line: impl FnOnce(&mut Vec<u8>)) {
        self.slot().await.write(line);
    }

    /// Whether the last write succeeded: a part of readiness.
    pub fn is_healthy(&self) -> bool {
        self.0.healthy.load(Ordering::Relaxed)
    }

    /// Opens the file anew before the next line (SIGUSR1): somebody else has rotated it.
    pub fn reopen(&self) {
        self.0.reopen.store(true, Ordering::Relaxed);
    }

    /// Waits until every line so far is written. Blocks; not for request paths.
    pub fn flush(&self) {
        let mut state = lock(&self.0.state);
        while (state.count > 0 || state.writing > 0) && !state.finished {
            state.flushing = true;
            self.0.wake.notify_all();
            state = self
                .0
                .written
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.flushing = false;
    }

    /// Writes what is left and ends the writer. Lines that come later are written to nobody.
    ///
    /// An output that takes nothing is given up after a while (`false`): a process that is told to stop stops.
    pub fn close(&self) -> bool {
        let mut state = lock(&self.0.state);
        state.closed = true;
        self.0.wake.notify_all();
        let waited = self
            .0
            .written
            .wait_timeout_while(state, LAST_WORDS, |state| !state.finished);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.finished && !state.lost
    }
}

/// Leave to wait for a place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Shared>);

impl Waiting {
    /// Waits for it.
    pub(super) async fn slot(self) -> Slot {
        Sink(Arc::clone(&self.0)).slot().await
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place in the queue.
#[derive(Debug)]
#[must_use = "a slot that is not written to is lost to the queue"]
pub struct Slot {
    queue: Arc<Shared>,
    /// Whether it is one of the queue's places, to be given back.
    counted: bool,
}

impl Slot {
    /// Puts the line there.
    pub fn write(self, line: impl FnOnce(&mut Vec<u8>)) {
        // Written outside of the lock: other threads only wait for a copy.
        let mut text = Vec::with_capacity(1024);
        line(&mut text);
        let mut state = lock(&self.queue.state);
        state.lines.extend_from_slice(&text);
        state.count += 1;
        state.slots += usize::from(self.counted);
        if state.idle || state.lines.len() >= BATCH {
            state.idle = false;
            self.queue.wake.notify_all();
        }
    }
}

/// The writer thread.
fn write_all(shared: &Shared, target: &mut Target) {
    let mut batch = Vec::new();
    loop {
        let slots = {
            let mut state = lock(&shared.state);
            while state.count == 0 {
                if state.closed {
                    return;
                }
                state.idle = true;
                state = shared
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.idle = false;
            let gathers =
                |state: &mut State| !state.closed && !state.flushing && state.lines.len() < BATCH;
            state = shared
                .wake
                .wait_timeout_while(state, GATHER, gathers)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            std::mem::swap(&mut batch, &mut state.lines);
            let abandoned = std::mem::take(&mut state.abandoned);
            if abandoned > 0 {
                batch.extend_from_slice(
                    format!(
                        "{{\"kind\":\"abandoned\",\"form\":{FORM},\"requests\":{abandoned}}}\n"
                    )
                    .as_bytes(),
                );
            }
            state.writing = std::mem::take(&mut state.count);
            std::mem::take(&mut state.slots)
        };
        persist(shared, target, &batch);
        batch.clear();
        batch.shrink_to(4 * BATCH);
        shared.slots.add_permits(slots);
        lock(&shared.state).writing = 0;
        shared.written.notify_all();
    }
}

/// Writes until it is written: a full disk stops new requests, not the truth. Only at the end of the process
/// is the rest given up.
fn persist(shared: &Shared, target: &mut Target, batch: &[u8]) {
    let mut rest = batch;
    while !rest.is_empty() {
        if shared.reopen.swap(false, Ordering::Relaxed)
            && let Err(error) = target.reopen()
        {
            tracing::error!(%error, "the access log cannot be opened anew; the open file stays");
        }
        let pause = match target.write(rest) {
            Ok(written) if written > 0 => {
                shared.healthy.store(true, Ordering::Relaxed);
                rest = rest.get(written..).unwrap_or(&[]);
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => FULL,
            failed => {
                if shared.healthy.swap(false, Ordering::Relaxed) {
                    tracing::error!(?failed, "the access log cannot be written; requests wait");
                }
                RETRY
            }
        };
        let state = lock(&shared.state);
        let waited = shared
            .wake
            .wait_timeout_while(state, pause, |state| !state.closed);
        let is_closed = waited.unwrap_or_else(PoisonError::into_inner).0.closed;
        if is_closed && pause == RETRY {
            tracing::error!(
                bytes = rest.len(),
                "the access log could not be written to its end"
            );
            lock(&shared.state).lost = true;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::MemoryLog;
    use super::*;

    #[tokio::test]
    async fn r10_lines_wait_for_a_full_disk_and_none_is_lost() {
        let sink = Sink::open(Output::File {
            path: "/dev/full".into(),
            max_bytes: u64::MAX,
            keep: 0,
        })
        .unwrap();
        assert!(sink.is_healthy());
        sink.write(|line| line.extend_from_slice(b"x\n")).await;
        while sink.is_healthy() {
            tokio::task::yield_now().await;
        }
        // The slots of unwritten lines do not come back: in the end, requests wait.
        assert_eq!(sink.0.slots.available_permits(), SLOTS - 1);
        // Requests whose clients leave while they wait are bounded as well.
        for _ in 0..SLOTS {
            sink.extra_slot().unwrap().write(|line| line.push(b'\n'));
        }
        assert!(sink.extra_slot().is_none());
        assert_eq!(lock(&sink.0.state).abandoned, 1);
        // And so are those that wait.
        let waiting: Vec<_> = (0..MOST_WAITING).map(|_| sink.may_wait()).collect();
        assert!(waiting.iter().all(Option::is_some) && sink.may_wait().is_none());
        drop(waiting);
        assert!(sink.may_wait().is_some());
        let _ = sink.close();
    }

    #[tokio::test]
    async fn every_line_of_many_writers_is_written_once() {
        let memory = MemoryLog::default();
        let sink = Sink::open(Output::Memory(memory.clone())).unwrap();
        let mut writers = Vec::new();
        for writer in 0..8 {
            let sink = sink.clone();
            writers.push(tokio::spawn(async move {
                for number in 0..500 {
                    sink.write(|line| {
                        line.extend_from_slice(format!("{writer} {number}\n").as_bytes())
                    })
                    .await;
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let _ = sink.close();
        let text = memory.text();
        let lines: std::collections::HashSet<&str> = text.lines().collect();
        assert_eq!((lines.len(), text.lines().count()), (4_000, 4_000));
        assert_eq!(sink.0.slots.available_permits(), SLOTS);
    }
}
