//! The network: connections in memory that take their time, are refused, and break.
//!
//! What goes over a connection is carried by tasks of the world's, so that it outlives the gateway's process as the bytes
//! in a kernel do.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tower::Service;

use super::dice::Dice;
use super::trace::Trace;

/// How much a connection takes before somebody has to read.
const BUFFER: usize = 64 * 1024;

/// Everybody's way to everybody.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<Lines>>);

struct Lines {
    dice: Dice,
    is_calm: bool,
    world: Handle,
    trace: Trace,
    to_fake: UnboundedSender<DuplexStream>,
    to_gateway: Option<UnboundedSender<DuplexStream>>,
    /// Told of the end of a process.
    crashes: Arc<Notify>,
}

impl Network {
    pub(super) fn new(
        dice: Dice,
        world: Handle,
        trace: Trace,
        to_fake: UnboundedSender<DuplexStream>,
    ) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            dice,
            is_calm: false,
            world,
            trace,
            to_fake,
            to_gateway: None,
            crashes: Arc::default(),
        })))
    }

    /// Where the gateway listens from now on.
    pub(super) fn gateway_is(&self, at: UnboundedSender<DuplexStream>) {
        self.0.lock().unwrap().to_gateway = Some(at);
    }

    /// The gateway's process ends now. A runtime drops its tasks in an order that depends on what else the test has run;
    /// here connections learn of it in the order in which they wait.
    pub(super) fn gateway_ends(&self) {
        let mut lines = self.0.lock().unwrap();
        lines.to_gateway = None;
        lines.crashes.notify_waiters();
    }

    /// Nothing is refused or broken any more.
    pub(super) fn calm(&self) {
        self.0.lock().unwrap().is_calm = true;
    }

    /// A connection to the gateway, if somebody listens.
    pub(super) fn to_gateway(&self) -> Option<DuplexStream> {
        let lines = self.0.lock().unwrap();
        let listener = lines.to_gateway.clone()?;
        lines.join(&listener, None)
    }

    fn to_fake(&self) -> Option<DuplexStream> {
        let lines = self.0.lock().unwrap();
        lines.join(&lines.to_fake, Some(lines.trace.clone()))
    }
}

impl Lines {
    /// Joins a new connection to a listener; in bad weather some are refused, and some break after a while.
    fn join(
        &self,
        listener: &UnboundedSender<DuplexStream>,
        trace: Option<Trace>,
    ) -> Option<DuplexStream> {
        if !self.is_calm && self.dice.once_in(40) {
            return None;
        }
        let breaks = (!self.is_calm && self.dice.once_in(12)).then(|| self.dice.time(600));
        let (near, here) = duplex(BUFFER);
        let (there, far) = duplex(BUFFER);
        listener.send(far).ok()?;
        let (from_near, to_near) = split(here);
        let (from_far, to_far) = split(there);
        let (on, back) = (self.dice.fork(), self.dice.fork());
        let crashes = Arc::clone(&self.crashes);
        self.world.spawn(async move {
            let both = async {
                tokio::join!(
                    biased;
                    carry(from_near, to_far, on, trace),
                    carry(from_far, to_near, back, None),
                )
            };
            let mut both = std::pin::pin!(both);
            let until_both_ended = async {
                loop {
                    tokio::select! {
                        biased;
                        _ = &mut both => return,
                        () = crashes.notified() => {}
                    }
                }
            };
            match breaks {
                None => until_both_ended.await,
                Some(time) => {
                    let _ = tokio::time::timeout(time, until_both_ended).await;
                }
            }
        });
        Some(near)
    }
}

async fn carry(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    dice: Dice,
    trace: Option<Trace>,
) {
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        tokio::time::sleep(dice.time(8)).await;
        if let Some(trace) = &trace {
            trace.note("to Devin", &buffer[..length]);
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// What the gateway's client connects with.
#[derive(Clone)]
pub(super) struct Dialer(pub(super) Network);

impl Service<http::Uri> for Dialer {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let stream = self.0.to_fake();
        Box::pin(async move {
            let stream = stream.ok_or(io::ErrorKind::ConnectionRefused)?;
            Ok(Wire(TokioIo::new(stream)))
        })
    }
}

/// A connection, as hyper's client wants it.
pub(super) struct Wire(TokioIo<DuplexStream>);

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
