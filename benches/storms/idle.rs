//! Connections that have had their request, and are kept.

use std::io;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::http1;
use crate::scene::Scene;

/// From one new connection to the next.
const STEP: Duration = Duration::from_micros(500);
/// From the last one to the storm.
const REST: Duration = Duration::from_secs(1);

/// Without TLS.
pub(crate) async fn plain(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    let mut opening = JoinSet::new();
    for n in 0..scene.most {
        let scene = scene.clone();
        opening.spawn(async move {
            sleep(STEP * u32::try_from(n).unwrap()).await;
            let stream = scene.connect(scene.address, n).await?;
            once(&scene, stream, n).await
        });
    }
    kept(scene, opening, ready, stop, |it| it).await;
}

/// With TLS.
pub(crate) async fn tls(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    let mut opening = JoinSet::new();
    for n in 0..scene.most.min(2_000) {
        let scene = scene.clone();
        opening.spawn(async move {
            // A handshake costs both sides more than a request.
            sleep(STEP * 4 * u32::try_from(n).unwrap()).await;
            let side = scene.tls.clone().ok_or(io::ErrorKind::Unsupported)?;
            let stream = scene.connect(side.address, n).await?;
            let name = "storm".try_into().unwrap();
            once(&scene, side.connector.connect(name, stream).await?, n).await
        });
    }
    kept(scene, opening, ready, stop, |it| it.get_ref().0).await;
}

/// One request.
async fn once<S>(scene: &Scene, mut stream: S, n: usize) -> io::Result<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Not those that the well-behaved caller reads: it counts from 0.
    let session = 1_000_000 + u32::try_from(n).unwrap();
    stream
        .write_all(&http1::read(scene.key(n), session))
        .await?;
    let status = http1::answer(&mut stream, &mut [0; 4_096], async |_| {}).await?;
    match status {
        200 => Ok(stream),
        _ => Err(io::Error::other(format!("{status}"))),
    }
}

async fn kept<S: 'static>(
    scene: Scene,
    mut opening: JoinSet<io::Result<S>>,
    ready: Sender<()>,
    stop: CancellationToken,
    socket: fn(&S) -> &TcpStream,
) {
    let mut streams = Vec::new();
    while let Some(opened) = opening.join_next().await {
        match opened.unwrap() {
            Ok(stream) => streams.push(stream),
            Err(_) => scene.tally.add("failed", 1),
        }
    }
    // What opening them took is another storm.
    sleep(REST).await;
    scene
        .tally
        .add("held", u64::try_from(streams.len()).unwrap());
    ready.send(()).unwrap();
    stop.cancelled().await;
    // The task may not have heard yet what has come.
    sleep(Duration::from_millis(1)).await;
    let is_open = |it: &&S| {
        let read = socket(it).try_read(&mut [0]);
        read.is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock)
    };
    let open = streams.iter().filter(is_open).count();
    scene
        .tally
        .add("still open at the end", u64::try_from(open).unwrap());
}
