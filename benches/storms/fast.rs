//! What is cheap for its sender: wrong keys, and connections that come and go.

use std::io;
use std::sync::mpsc::Sender;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate::api_key::ApiKey;

use crate::http1;
use crate::scene::Scene;

/// Connections at once.
const CONNECTIONS: usize = 8;
/// Keys that nobody has.
const WRONG: usize = 1_000;

/// Requests of nobody's.
pub(crate) async fn wrong_keys(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    let wrong = |_| {
        let key = ApiKey::generate("nobody").unwrap();
        http1::read(key.expose(), 0)
    };
    let requests: std::sync::Arc<[Vec<u8>]> = (0..WRONG).map(wrong).collect();
    ready.send(()).unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..CONNECTIONS {
        let (scene, requests) = (scene.clone(), requests.clone());
        tasks.spawn(async move {
            loop {
                let until_it_ends: io::Result<()> = async {
                    let mut stream = scene.connect(scene.address, n).await?;
                    let mut buffer = [0; 4_096];
                    for request in requests.iter().cycle() {
                        stream.write_all(request).await?;
                        let status = http1::answer(&mut stream, &mut buffer, async |_| {}).await?;
                        let what = match status {
                            401 => "401",
                            _ => "other answers",
                        };
                        scene.tally.add(what, 1);
                    }
                    Ok(())
                }
                .await;
                drop(until_it_ends);
                scene.tally.add("ended by it", 1);
                tokio::task::yield_now().await;
            }
        });
    }
    stop.cancelled().await;
}

/// Comes and goes: every other time with a reset.
pub(crate) async fn accept(scene: Scene, ready: Sender<()>, stop: CancellationToken) {
    ready.send(()).unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..CONNECTIONS {
        let scene = scene.clone();
        tasks.spawn(async move {
            for n in 0_usize.. {
                match scene.connect(scene.address, CONNECTIONS * n + task).await {
                    Ok(stream) if n % 2 == 0 => drop(stream.set_zero_linger()),
                    Ok(_) => {}
                    Err(_) => scene.tally.add("not connected", 1),
                }
                tokio::task::yield_now().await;
            }
        });
    }
    stop.cancelled().await;
}
