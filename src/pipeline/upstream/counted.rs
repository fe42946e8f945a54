//! The open connections of stage 14, counted, each with the time of its birth.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;
use tower::Service;

use crate::body::BoxError;
use crate::pipeline::BoxFuture;

/// What opens connections to one host.
pub trait Dial:
    Service<
        Uri,
        Response: Read + Write + Connection + Unpin + Send + 'static,
        Error: Into<BoxError>,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<C> Dial for C where
    C: Service<
            Uri,
            Response: Read + Write + Connection + Unpin + Send + 'static,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Since when the connection is there on which an answer came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Born(pub(super) Instant);

/// One more while it lives.
#[derive(Debug)]
pub(super) struct One(Gauge);

impl One {
    /// Of what this gauge shows.
    pub(super) fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Opens connections that are counted.
#[derive(Clone, Debug)]
pub(super) struct Counting<C> {
    inner: C,
    open: Gauge,
}

impl<C> Counting<C> {
    /// Those of `inner`, by this gauge.
    pub(super) fn new(inner: C, open: Gauge) -> Self {
        Self { inner, open }
    }
}

impl<C: Dial> Service<Uri> for Counting<C> {
    type Response = Counted<C::Response>;
    type Error = BoxError;
    type Future = BoxFuture<Counted<C::Response>, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let open = self.open.clone();
        Box::pin(async move {
            let inner = connecting.await.map_err(Into::into)?;
            Ok(Counted {
                inner,
                born: Born(Instant::now()),
                _one: One::of(&open),
            })
        })
    }
}

/// A connection that is counted until it is closed.
#[derive(Debug)]
pub(super) struct Counted<S> {
    inner: S,
    born: Born,
    _one: One,
}

impl<S: Connection> Connection for Counted<S> {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(self.born)
    }
}

impl<S: Read + Unpin> Read for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl<S: Write + Unpin> Write for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }
}
