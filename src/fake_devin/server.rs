//! Serving: the accept loop, and connections that a fault can cut off below HTTP.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{FakeDevin, exchange};

/// How a connection ends other than HTTP would end it.
#[derive(Debug)]
pub(super) enum Cut {
    /// TCP reset.
    Reset,
    /// These bytes, then closed.
    Raw(Bytes),
}

/// What an exchange knows about the connection that it came in on.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    /// This end's address as a URL, for the links that the fake hands out.
    pub(super) base: String,
    cut: mpsc::UnboundedSender<Cut>,
}

impl Connection {
    /// Ends the connection. Never returns: the connection's task drops whoever waits here.
    pub(super) async fn cut(&self, how: Cut) -> ! {
        // A closed channel means that the connection is gone already.
        self.cut.send(how).ok();
        loop {
            std::future::pending::<()>().await;
        }
    }
}

/// Accepts connections until `shutdown` resolves, then drops them all.
pub(super) async fn serve(
    fake: &FakeDevin,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(on_a_socket(fake.clone(), stream));
                }
                // Out of file descriptors, most likely: give others the time to close some.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// What a connection can be.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// From now on closing it is a reset.
    fn closes_with_a_reset(&self) {}
}

impl Stream for TcpStream {
    fn closes_with_a_reset(&self) {
        // With no linger time, closing the socket sends a reset.
        self.set_zero_linger().ok();
    }
}

/// Bytes in memory; whoever reads on sees their end, which in the middle of an answer is as bad as a reset.
impl Stream for DuplexStream {}

async fn on_a_socket(fake: FakeDevin, stream: TcpStream) {
    let Ok(address) = stream.local_addr() else {
        return;
    };
    stream.set_nodelay(true).ok();
    run(fake, stream, format!("http://{address}")).await;
}

/// Serves a connection to its end.
pub(super) async fn run(fake: FakeDevin, stream: impl Stream, base: String) {
    let (cut, mut cuts) = mpsc::unbounded_channel();
    let connection = Connection { base, cut };
    let line = Line(Arc::new(Mutex::new(stream)));
    let service = service_fn(|request| {
        let (fake, connection) = (fake.clone(), connection.clone());
        async move { Ok::<_, io::Error>(exchange::answer(&fake, &connection, request).await) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let how = {
        let serving = server.serve_connection(TokioIo::new(line.clone()), service);
        tokio::select! {
            // In this order, so that a run can go the same way again.
            biased;
            ended = serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended early");
                }
                return;
            }
            how = cuts.recv() => how,
        }
    };
    match how {
        Some(Cut::Raw(bytes)) => {
            let mut line = line;
            // The peer may be gone; there is nobody to tell.
            line.write_all(&bytes).await.ok();
            line.shutdown().await.ok();
        }
        Some(Cut::Reset) | None => {
            line.stream().closes_with_a_reset();
        }
    }
}

/// A socket that can be reached after HTTP has let go of it.
#[derive(Debug)]
struct Line<S>(Arc<Mutex<S>>);

impl<S> Clone for Line<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Line<S> {
    fn stream(&self) -> MutexGuard<'_, S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Stream> AsyncRead for Line<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_read(context, buffer)
    }
}

impl<S: Stream> AsyncWrite for Line<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_shutdown(context)
    }
}
