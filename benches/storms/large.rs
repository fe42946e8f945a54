//! One large body after the other, as fast as a network would bring them.

use std::io;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::http1;
use crate::scene::Scene;

/// 1 Gbit/s, in bytes.
const RATE: f64 = 125e6;

/// Forms.
pub(crate) async fn upload(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    ready.send(()).unwrap();
    let endless = async {
        loop {
            let done = one_upload(&scene).await;
            scene.tally.add(named(&done), 1);
        }
    };
    tokio::select! { () = endless => {}, () = stop.cancelled() => {} }
}

async fn one_upload(scene: &Scene) -> io::Result<u16> {
    let mut stream = scene.connect(scene.address, 0).await?;
    let length = http1::FORM_BEGINS.len() + http1::LARGE + http1::FORM_ENDS.len();
    let head = http1::post(http1::FORMS, scene.key(0), http1::FORM, length);
    stream.write_all(&head).await?;
    stream.write_all(http1::FORM_BEGINS).await?;
    let (piece, mut pace) = (vec![b'x'; 64 << 10], Pace::new());
    for _ in 0..http1::LARGE / piece.len() {
        stream.write_all(&piece).await?;
        scene
            .tally
            .add("bytes", u64::try_from(piece.len()).unwrap());
        pace.after(piece.len()).await;
    }
    stream.write_all(http1::FORM_ENDS).await?;
    http1::answer(&mut stream, &mut [0; 4_096], async |_| {}).await
}

/// Answers.
pub(crate) async fn download(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    ready.send(()).unwrap();
    let endless = async {
        for n in 0.. {
            let done = one_download(&scene, n).await;
            scene.tally.add(named(&done), 1);
        }
    };
    tokio::select! { () = endless => {}, () = stop.cancelled() => {} }
}

async fn one_download(scene: &Scene, n: usize) -> io::Result<u16> {
    let mut stream = scene.connect(scene.address, n).await?;
    stream.write_all(&http1::download(scene.key(n), n)).await?;
    let (mut buffer, mut pace) = (vec![0; 64 << 10], Pace::new());
    let took = async |bytes| {
        scene.tally.add("bytes", u64::try_from(bytes).unwrap());
        pace.after(bytes).await;
    };
    http1::answer(&mut stream, &mut buffer, took).await
}

fn named(done: &io::Result<u16>) -> &'static str {
    match done {
        Ok(200) => "done",
        Ok(_) => "refused",
        Err(_) => "broken off",
    }
}

struct Pace {
    begun: Instant,
    bytes: usize,
}

impl Pace {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            bytes: 0,
        }
    }

    /// Waits until so many more bytes would have come.
    async fn after(&mut self, bytes: usize) {
        self.bytes += bytes;
        let due = self.begun + Duration::from_secs_f64(self.bytes as f64 / RATE);
        // A timer has no finer steps.
        if due > Instant::now() + Duration::from_millis(1) {
            sleep_until(due).await;
        }
    }
}
