//! The loop of a listener: who comes in is served in a task of its own, until the process is told to stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::CUT;
use super::bind::BACKLOG;
use super::connection::{self, Ends, Spawner};
use super::door::{Door, Pause};
use super::port::Port;
use crate::admin::{AdminSocket, Uid};
use crate::capacity::Options;
use crate::metrics::Metrics;
use crate::pipeline::edge::Pulse;

/// What connections come from.
pub(super) trait Listen: Send + Sync {
    /// A connection.
    type Raw;
    /// Who is at its other end.
    type Peer: Copy + Send;

    /// The address there, if it has one.
    fn address(peer: Self::Peer) -> Option<SocketAddr>;

    /// The next one.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Raw, Self::Peer)>> + Send;
}

impl Listen for TcpListener {
    type Raw = TcpStream;
    type Peer = SocketAddr;

    fn address(peer: SocketAddr) -> Option<SocketAddr> {
        Some(peer)
    }

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept().await?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        Ok((stream, peer))
    }
}

impl Listen for AdminSocket {
    type Raw = UnixStream;
    type Peer = Uid;

    fn address(_: Uid) -> Option<SocketAddr> {
        None
    }

    async fn next(&self) -> io::Result<(UnixStream, Uid)> {
        self.accept().await
    }
}

/// Where connections go: who may come in, and what each is held to.
pub(super) struct Hall {
    pub(super) door: Door,
    pub(super) metrics: Metrics,
    pub(super) options: Options,
    pub(super) stop: CancellationToken,
    /// How long connections may take to end after that.
    pub(super) drain: Duration,
}

/// One connection, from its beginning to its end. As long as it is open this takes memory, whatever it does: a test
/// says how much.
fn serve<P: Port>(
    raw: P::Raw,
    peer: P::Peer,
    port: P,
    options: &Options,
    spawner: Spawner,
    ends: Ends,
) -> impl Future<Output = ()> + Send + use<P> {
    let (times, streams) = (options.times, options.streams);
    async move {
        let opened = tokio::select! {
            opened = Box::pin(port.open(raw, peer)) => opened,
            () = ends.cut.cancelled() => None,
        };
        let Some(stream) = opened else { return };
        let pulse = Pulse::new(times, Instant::now());
        let service = port.service(peer, pulse.clone());
        let served = connection::serve(stream, service, spawner, pulse, streams, ends);
        if let Some(why) = served.await {
            Box::pin(port.refused(peer, why)).await;
        }
    }
}

/// Accepts until told to stop, then waits for the connections, but not for ever.
pub(super) async fn accept<L, P>(listener: L, hall: Hall, port: P)
where
    L: Listen<Raw = P::Raw, Peer = P::Peer>,
    P: Port,
{
    let tasks = TaskTracker::new();
    let ends = Ends {
        stop: hall.stop.clone(),
        cut: CancellationToken::new(),
    };
    let mut pause = Pause::default();
    let take = |raw, peer| {
        // Who does not come in is closed here.
        let Some(entered) = hall.door.enter(L::address(peer), Instant::now()) else {
            return;
        };
        let (port, ends, spawner) = (port.clone(), ends.clone(), Spawner(tasks.clone()));
        let serving = serve(raw, peer, port, &hall.options, spawner, ends);
        tasks.spawn(async move {
            serving.await;
            drop(entered);
        });
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.next() => accepted,
            () = hall.stop.cancelled() => break,
        };
        match accepted {
            Ok((raw, peer)) => {
                pause.over();
                take(raw, peer);
            }
            Err(error) => {
                hall.metrics.capacity().cannot_accept();
                let Some(pausing) = pause.after(&error) else {
                    continue;
                };
                // Out of descriptors, mostly: what is open goes on, and closes in time.
                if pause.is_said(Instant::now()) {
                    tracing::warn!(%error, "cannot accept connections, and tries again");
                }
                tokio::select! {
                    () = tokio::time::sleep(pausing) => {}
                    () = hall.stop.cancelled() => break,
                }
            }
        }
    }
    // Whom the system has met already is served too, and not reset with the listener.
    tokio::task::yield_now().await;
    for _ in 0..BACKLOG {
        let Some(Ok((raw, peer))) = listener.next().now_or_never() else {
            break;
        };
        take(raw, peer);
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(hall.drain, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the end of the drain, and are cut");
    }
    // A request that is cut has its log line all the same: its task has ended when the log is closed.
    ends.cut.cancel();
    let _ = tokio::time::timeout(CUT, tasks.wait()).await;
}

#[cfg(test)]
mod tests {
    use http::Response;
    use tokio::io::DuplexStream;

    use super::*;
    use crate::body::Body;
    use crate::serve::port::{MaybeTls, Serves};

    /// A port of which all that it does is as large as that of a real one.
    #[derive(Clone)]
    struct Large;

    type Handshake = [u8; 2_048];

    impl Port for Large {
        type Raw = DuplexStream;
        type Peer = ();
        type Stream = DuplexStream;

        async fn open(&self, raw: DuplexStream, (): ()) -> Option<DuplexStream> {
            let handshake: Handshake = [0; _];
            tokio::task::yield_now().await;
            std::hint::black_box(handshake);
            Some(raw)
        }

        fn service(&self, (): (), pulse: Pulse) -> impl Serves {
            let gateway: [u8; 512] = [0; _];
            hyper::service::service_fn(move |_| {
                drop((gateway, pulse.clone()));
                std::future::ready(Ok(Response::new(Body::default())))
            })
        }

        async fn refused(&self, (): (), _: String) {}
    }

    #[tokio::test]
    async fn r5_a_connection_that_does_nothing_takes_little() {
        let (_client, raw) = tokio::io::duplex(64);
        let ends = Ends {
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        let spawner = Spawner(TaskTracker::new());
        let task = serve(raw, (), Large, &Options::default(), spawner, ends);
        let bytes = std::mem::size_of_val(&task);
        assert!(bytes <= 1_536, "its task has {bytes} bytes");
        let stream = std::mem::size_of::<MaybeTls>();
        assert!(stream <= 64, "its socket has {stream} bytes");
    }
}
