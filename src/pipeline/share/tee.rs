//! One answer of Devin's that several clients read.
//!
//! The first of them streams it, as it comes. Whoever followed waits until it has come whole, since of half an answer
//! nobody can ask for the rest; and each of them draws it on, so that no slow or vanished client holds up the others.
//! What is too large to be shared goes to the first alone, and the followers ask for themselves.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};

use crate::body::{Body, BoxError, DeadlineExceeded, chain};

/// Who is told how an answer goes on, and where its bytes are counted.
pub(super) trait Host: Send {
    /// Whether there is room for so many bytes more, which are kept from now on.
    fn reserve(&mut self, bytes: usize) -> bool;
    /// So many are not kept any more.
    fn release(&mut self, bytes: usize);
    /// The answer can be shared no more: it is too large, or broken.
    fn close(&mut self);
    /// It has come whole; it is only asked for where somebody wants it.
    fn whole(&mut self, body: &mut dyn FnMut() -> Bytes);
}

/// How an answer ended, for those who followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// This is all of it.
    Whole(Bytes),
    /// It broke off.
    Broken {
        /// Whether its time was over.
        is_late: bool,
        /// Why, for operators.
        said: String,
    },
    /// It is for the first reader alone.
    Alone,
}

/// An answer that is being read.
pub(super) struct Tee {
    state: Mutex<State>,
    bells: Arc<Bells>,
    /// Bytes of the longest answer that is shared.
    most: usize,
}

struct State {
    /// None once it has ended.
    source: Option<Source>,
    host: Box<dyn Host>,
    /// What has come. The first reader has taken so many of these; once it is alone, they go as it takes them.
    chunks: VecDeque<Bytes>,
    taken: usize,
    /// Bytes that have come, and of these, bytes that room was set aside for.
    length: usize,
    reserved: usize,
    /// Bytes that are to come in all, where the head said so.
    exact: Option<u64>,
    is_alone: bool,
    end: Option<Result<(), Broken>>,
    whole: Option<Bytes>,
}

struct Source {
    body: Body,
    /// The log line of the request that asked Devin: it tells what became of it, also where its client has left.
    _line: Option<Arc<dyn Any + Send + Sync>>,
}

struct Broken {
    is_late: bool,
    said: String,
    /// For the first reader, which gets it as it was.
    error: Option<BoxError>,
}

impl Tee {
    /// Of this body. `is_alone`: it is known to be none that can be shared.
    pub(super) fn new(
        body: Body,
        line: Option<Arc<dyn Any + Send + Sync>>,
        host: Box<dyn Host>,
        most: usize,
        is_alone: bool,
    ) -> Self {
        let exact = body.size_hint().exact();
        let is_over = body.is_end_stream();
        let mut state = State {
            source: Some(Source { body, _line: line }),
            host,
            chunks: VecDeque::new(),
            taken: 0,
            length: 0,
            reserved: 0,
            exact,
            is_alone: false,
            end: None,
            whole: None,
        };
        if is_alone || exact.is_some_and(|it| it > most as u64) {
            state.go_alone();
        }
        if is_over {
            state.finish(Ok(()));
        }
        Self {
            state: Mutex::new(state),
            bells: Arc::default(),
            most,
        }
    }

    /// Waits until the answer has come whole, or will not; draws it on meanwhile.
    pub(super) async fn end(&self) -> End {
        let bell = self.bells.one();
        poll_fn(|cx| {
            bell.set(cx.waker());
            let mut state = self.lock();
            loop {
                if state.is_alone {
                    return Poll::Ready(End::Alone);
                }
                if let Some(end) = state.ended() {
                    return Poll::Ready(end);
                }
                if self.draw(&mut state).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Takes the next piece from the source, which wakes everybody once it has one.
    fn draw(&self, state: &mut State) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.bells));
        state.draw(&mut Context::from_waker(&waker), self.most)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn draw(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<()> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(());
        };
        let frame = match Pin::new(&mut source.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return Poll::Pending,
        };
        match frame {
            // Trailers go nowhere.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.take_in(data, most);
                }
                let is_all = self.exact == Some(self.length as u64);
                let is_over = self
                    .source
                    .as_ref()
                    .is_none_or(|it| it.body.is_end_stream());
                // A body of known length is not asked again after its last byte.
                if is_all || is_over {
                    self.finish(Ok(()));
                }
            }
            Some(Err(error)) => self.finish(Err(Broken {
                is_late: error.is::<DeadlineExceeded>(),
                said: chain(&*error),
                error: Some(error),
            })),
            None => self.finish(Ok(())),
        }
        Poll::Ready(())
    }

    fn take_in(&mut self, data: Bytes, most: usize) {
        self.length += data.len();
        if !self.is_alone {
            if self.length <= most && self.host.reserve(data.len()) {
                self.reserved += data.len();
            } else {
                self.go_alone();
            }
        }
        self.chunks.push_back(data);
    }

    fn go_alone(&mut self) {
        self.is_alone = true;
        self.chunks.drain(..self.taken);
        self.taken = 0;
        let left: usize = self.chunks.iter().map(Bytes::len).sum();
        self.give_back(self.reserved.saturating_sub(left));
        self.host.close();
    }

    fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.reserved);
        if bytes > 0 {
            self.reserved -= bytes;
            self.host.release(bytes);
        }
    }

    fn finish(&mut self, end: Result<(), Broken>) {
        self.source = None;
        match &end {
            Ok(()) if self.is_alone => {}
            Ok(()) => {
                let (chunks, whole) = (&self.chunks, &mut self.whole);
                self.host
                    .whole(&mut || whole.get_or_insert_with(|| joined(chunks)).clone());
            }
            Err(_) => self.host.close(),
        }
        self.end = Some(end);
    }

    fn ended(&mut self) -> Option<End> {
        Some(match self.end.as_ref()? {
            Ok(()) => {
                let chunks = &self.chunks;
                End::Whole(self.whole.get_or_insert_with(|| joined(chunks)).clone())
            }
            Err(broken) => End::Broken {
                is_late: broken.is_late,
                said: broken.said.clone(),
            },
        })
    }

    /// The next piece for the first reader, if there is one.
    fn next(&mut self) -> Option<Bytes> {
        if self.is_alone {
            let chunk = self.chunks.pop_front()?;
            self.give_back(chunk.len());
            return Some(chunk);
        }
        let chunk = self.chunks.get(self.taken)?.clone();
        self.taken += 1;
        Some(chunk)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.give_back(self.reserved);
    }
}

/// A copy of its own size: a piece of a body may hold on to a much larger buffer.
fn joined(chunks: &VecDeque<Bytes>) -> Bytes {
    let mut all = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        all.extend_from_slice(chunk);
    }
    all.freeze()
}

/// The answer as its first reader gets it.
pub(super) struct First<T> {
    /// What has the tee, and keeps it.
    held: T,
    bell: Bell,
    hint: SizeHint,
}

impl<T: AsRef<Tee>> First<T> {
    /// There is one of these for each tee.
    pub(super) fn new(held: T) -> Self {
        let tee = held.as_ref();
        let bell = tee.bells.one();
        let hint = tee
            .lock()
            .exact
            .map_or_else(SizeHint::new, SizeHint::with_exact);
        Self { held, bell, hint }
    }
}

impl<T: AsRef<Tee> + Unpin> http_body::Body for First<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let tee = this.held.as_ref();
        this.bell.set(cx.waker());
        let mut state = tee.lock();
        loop {
            if let Some(chunk) = state.next() {
                if let Some(left) = this.hint.exact() {
                    let left = left.saturating_sub(chunk.len() as u64);
                    this.hint = SizeHint::with_exact(left);
                }
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            match &mut state.end {
                Some(Ok(())) => return Poll::Ready(None),
                Some(Err(broken)) => return Poll::Ready(broken.error.take().map(Err)),
                None => {}
            }
            if tee.draw(&mut state).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.held.as_ref().lock();
        let is_taken = if state.is_alone {
            state.chunks.is_empty()
        } else {
            state.taken == state.chunks.len()
        };
        is_taken && matches!(state.end, Some(Ok(())))
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// Everybody who waits for a piece. The source wakes all: whoever drew last may have left.
#[derive(Debug, Default)]
struct Bells(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Bells {
    fn one(self: &Arc<Self>) -> Bell {
        let mut waiting = self.lock();
        waiting.next += 1;
        Bell {
            number: waiting.next,
            bells: Arc::clone(self),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bells {
    fn wake(self: Arc<Self>) {
        // Not while the lock is held: whoever is woken may come here at once.
        let woken = std::mem::take(&mut self.lock().wakers);
        woken.into_values().for_each(Waker::wake);
    }
}

/// One who waits.
#[derive(Debug)]
struct Bell {
    number: u64,
    bells: Arc<Bells>,
}

impl Bell {
    fn set(&self, waker: &Waker) {
        let mut waiting = self.bells.lock();
        match waiting.wakers.get_mut(&self.number) {
            Some(set) => set.clone_from(waker),
            None => {
                waiting.wakers.insert(self.number, waker.clone());
            }
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.bells.lock().wakers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
