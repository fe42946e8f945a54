//! One connection: hyper's bounds on it, and its end when it is waited for no longer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service as HyperService;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::CUT;
use super::socket::Socket;
use crate::body::{Body, BoxError};
use crate::pipeline::edge::{Next, Over, Pulse};

/// hyper's buffer per connection: above our own limit on heads, so that ours answers with a reason.
const BUFFER: usize = 128 * 1024;

/// Streams of HTTP/2 that a client opened and took back before they were begun, at once: h2 keeps them (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams of a connection that a client's mistakes made h2 reset, in all: each may have been begun (CVE-2025-8671).
/// A stream too many is one, too; a client that does not know the bound yet may open some of these.
const ERROR_RESETS: usize = 256;
/// The largest list of headers of HTTP/2, uncompressed, in bytes with 32 for each header (RFC 9113 section 6.5.2): twice
/// our own bound on heads, so that ours answers with a reason. Of four times as much, the connection ends.
const HEADER_LIST: u32 = 64 * 1024;
/// The largest frame, in bytes: the least that there is, so that a connection's buffers are small.
const FRAME: u32 = 16 * 1024;
/// What may come of one stream's body before it is read, in bytes: half of its connection's, so that one body that waits
/// does not stop all others.
const STREAM_WINDOW: u32 = 512 * 1024;
/// What may come of all bodies of a connection before they are read, in bytes. It is how much of its callers' bodies a
/// connection can make us keep.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What is kept of one stream's answer while its client does not take it, in bytes; with all streams of a connection, 8 MiB.
const SEND_BUFFER: usize = 64 * 1024;

/// Spawns what hyper runs for a connection (its HTTP/2 streams) where the end can wait for it.
#[derive(Clone, Debug)]
pub(super) struct Spawner(pub(super) TaskTracker);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.0.spawn(work);
    }
}

/// What ends connections from outside: first those that are idle, then all.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) stop: CancellationToken,
    pub(super) cut: CancellationToken,
}

/// Serves a connection to its end. Some if hyper's parser refused what came, or a head did not come to its end: then
/// there was no request, and nobody has logged it; and if it was cut for what it did too much of.
///
/// What is known of the connection goes on the heap at once: in the futures around it, each of which moves what it is
/// given, it would stand several times for as long as it is open.
pub(super) fn serve<S, H>(
    stream: S,
    service: H,
    spawner: Spawner,
    pulse: Pulse,
    streams: u32,
    ends: Ends,
) -> impl Future<Output = Option<String>> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: HyperService<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Send
        + 'static,
    H::Future: Send,
{
    let stream = TokioIo::new(Socket::new(stream, pulse.clone()));
    let connection = builder(spawner, streams)
        .serve_connection_with_upgrades(stream, service)
        .into_owned();
    to_its_end(Box::pin(connection), pulse, ends)
}

async fn to_its_end<C>(
    mut connection: Pin<Box<C>>,
    pulse: Pulse,
    Ends { stop, cut }: Ends,
) -> Option<String>
where
    C: GracefulConnection<Error = BoxError>,
{
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut is_told = false;
    loop {
        // HTTP/2 has a way to say which request was the last that is served; HTTP/1 says it with that one's answer.
        if pulse.is_stopping() && pulse.is_two() && !is_told {
            is_told = true;
            connection.as_mut().graceful_shutdown();
        }
        match pulse.next(Instant::now()) {
            Next::At(at) => timer.as_mut().reset(at),
            Next::Over(Over::Idle) => {
                pulse.leaves(Instant::now());
                connection.as_mut().graceful_shutdown();
                continue;
            }
            Next::Over(Over::Head { begun }) => {
                pulse.late();
                let _ = tokio::time::timeout(CUT, connection).await;
                return begun.then(|| "the head did not come in time".to_owned());
            }
            // Whoever is dropped here, and with it what it has asked for, has its log line all the same.
            Next::Over(Over::Gone) => return None,
            Next::Over(Over::Write) => {
                tracing::debug!("a connection is cut: its client takes nothing");
                return None;
            }
        }
        tokio::select! {
            // A request that comes at the same moment is told that it is the last one.
            biased;
            () = stop.cancelled(), if !pulse.is_stopping() => pulse.stops(Instant::now()),
            () = cut.cancelled() => return None,
            ended = &mut connection => {
                let abuse = pulse.abuse().map(str::to_owned);
                return abuse.or_else(|| ended.err().and_then(|error| parser_refusal(&error)));
            }
            () = &mut timer => {}
        }
    }
}

/// hyper's bounds, all of them said: a default that changes with a version is no bound of ours. What neither hyper nor
/// h2 can bound, [`Pulse::abuse`] does.
fn builder(spawner: Spawner, streams: u32) -> auto::Builder<Spawner> {
    let mut builder = auto::Builder::new(spawner);
    builder
        .http1()
        .timer(TokioTimer::new())
        // The pulse has the time for heads; hyper's would also be the one between two requests.
        .header_read_timeout(None)
        .max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .max_header_list_size(HEADER_LIST)
        .max_frame_size(FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15));
    builder
}

/// Whether the HTTP parser refused what came: then there was no request, and nobody has logged it.
fn parser_refusal(error: &BoxError) -> Option<String> {
    let error = error.downcast_ref::<hyper::Error>()?;
    (error.is_parse() || error.is_parse_too_large()).then(|| error.to_string())
}
