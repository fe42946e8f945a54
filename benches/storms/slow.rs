//! Clients that take their time: with heads, bodies, forms and answers.

use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::http1;
use crate::scene::Scene;

/// From one new connection to the next.
const STEP: Duration = Duration::from_micros(500);
/// How long nobody tries again who could not connect.
const AGAIN: Duration = Duration::from_millis(100);

/// Heads that come byte by byte; whoever is cut comes again.
pub(crate) async fn heads(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    let count = scene.most.min(2_000);
    each(scene, count, ready, stop, async |scene, stream, _| {
        let (mut reading, mut writing) = stream.split();
        let start = b"GET /v3/self HTTP/1.1\r\nHost: storm\r\nX-A: ";
        let mut bytes = start.iter().copied().chain(std::iter::repeat(b'a'));
        let dribbled = async {
            let mut next = Instant::now();
            loop {
                if writing.write_all(&[bytes.next().unwrap()]).await.is_err() {
                    return;
                }
                scene.tally.add("bytes", 1);
                next += Duration::from_secs(1);
                sleep_until(next).await;
            }
        };
        let cut = async {
            let mut said = [0; 512];
            while reading.read(&mut said).await.is_ok_and(|it| it > 0) {}
        };
        tokio::select! { () = dribbled => {}, () = cut => {} }
    })
    .await;
}

/// Bodies that stream by byte by byte.
pub(crate) async fn bodies(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    // Each of them has a connection to the upstream too.
    let count = (scene.most / 2).min(500);
    each(scene, count, ready, stop, async |scene, stream, n| {
        let head = http1::post(http1::NOTES, scene.key(n), "application/json", 1_000_000);
        let _ = stream.write_all(&head).await;
        trickle(scene, stream, b" ", Duration::from_secs(1)).await;
    })
    .await;
}

/// Forms that stream by, a little faster.
pub(crate) async fn forms(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    let count = (scene.most / 2).min(100);
    each(scene, count, ready, stop, async |scene, stream, n| {
        let head = http1::post(http1::FORMS, scene.key(n), http1::FORM, http1::LARGE);
        let _ = stream.write_all(&head).await;
        let _ = stream.write_all(http1::FORM_BEGINS).await;
        trickle(scene, stream, &[b'x'; 1_024], Duration::from_millis(100)).await;
    })
    .await;
}

/// Clients that ask for much and read nothing.
pub(crate) async fn readers(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    let count = (scene.most / 2).min(100);
    each(scene, count, ready, stop, async |scene, stream, n| {
        let _ = stream.write_all(&http1::download(scene.key(n), n)).await;
        std::future::pending::<()>().await;
    })
    .await;
}

/// Sends a piece now and then, until whoever is at the other end answers or closes.
async fn trickle(scene: &Scene, stream: &mut TcpStream, piece: &[u8], every: Duration) {
    let (mut reading, mut writing) = stream.split();
    let dribbled = async {
        let mut next = Instant::now();
        while writing.write_all(piece).await.is_ok() {
            scene
                .tally
                .add("bytes", u64::try_from(piece.len()).unwrap());
            next += every;
            sleep_until(next).await;
        }
    };
    let answered = async {
        let mut said = [0; 512];
        let _ = reading.read(&mut said).await;
    };
    tokio::select! { () = dribbled => {}, () = answered => {} }
}

/// Keeps so many connections busy with this, and opens another one for each that ends.
async fn each<F>(scene: Scene, count: usize, ready: Sender<()>, stop: CancellationToken, busy: F)
where
    F: AsyncFn(&Scene, &mut TcpStream, usize),
{
    let one = async |n: usize| {
        sleep(STEP * u32::try_from(n).unwrap()).await;
        loop {
            match scene.connect(scene.address, n).await {
                Ok(mut stream) => {
                    busy(&scene, &mut stream, n).await;
                    scene.tally.add("ended by it", 1);
                }
                Err(_) => scene.tally.add("not connected", 1),
            }
            sleep(AGAIN).await;
        }
    };
    let risen = async {
        let count = u64::try_from(count).unwrap();
        scene.tally.reaches("connections", count).await;
        // What was sent last has arrived.
        sleep(AGAIN).await;
        scene.tally.add("held", count);
        ready.send(()).unwrap();
        std::future::pending::<()>().await;
    };
    let mut all: futures_util::stream::FuturesUnordered<_> = (0..count).map(one).collect();
    let attacks = async { while futures_util::StreamExt::next(&mut all).await.is_some() {} };
    tokio::select! { () = attacks => {}, () = risen => {}, () = stop.cancelled() => {} }
}
