//! A client that sends frames as fast as they are taken, and what came of it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use crate::attack::{GOAWAY, HEADERS, RST_STREAM, frame};
use crate::invariants::parse;
use crate::overload::{GENEROUS, IN_FLIGHT, until};
use crate::world::World;

pub(super) const PRIORITY: u8 = 2;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
/// The error of a `GOAWAY` to who does too much (RFC 9113 section 7).
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// So many bytes go into one write.
const PIECE: usize = 16 * 1024;

/// How a flood ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Whether the gateway ended the connection.
    pub(super) is_closed: bool,
    /// What was sent until then, in bytes.
    pub(super) sent: usize,
    /// The error of the last `GOAWAY`, if one came.
    pub(super) goaway: Option<u32>,
    /// The answers that began.
    pub(super) heads: usize,
    /// The streams that the gateway reset.
    pub(super) resets: usize,
    /// How much more memory the process has had than before, at its most, in KiB.
    pub(super) memory: usize,
    /// Requests that another client had answered meanwhile.
    pub(super) beside: usize,
    /// The log's lines of its requests.
    pub(super) lines: Vec<Value>,
    /// What the log says of its connection.
    pub(super) said: Option<String>,
}

/// What a client sends: frames one after the other, with pauses where it waits to be served.
pub(super) enum Step {
    Frames(Vec<u8>),
    Pause(Duration),
}

/// Sends all of these, while another client is served, and waits so long for the end of the connection.
pub(super) async fn flood(
    world: &World,
    linger: Duration,
    frames: impl Iterator<Item = Vec<u8>>,
) -> Ended {
    flood_by(world, linger, frames.map(Step::Frames)).await
}

/// The same, in steps.
pub(super) async fn flood_by(
    world: &World,
    linger: Duration,
    steps: impl Iterator<Item = Step>,
) -> Ended {
    let before = most_memory();
    let socket = TcpSocket::new_v4().unwrap();
    // From an address of its own, by which the log tells its requests.
    socket.bind(([127, 0, 0, 9], 0).into()).unwrap();
    let stream = socket.connect(world.gateway).await.unwrap();
    let from = stream.local_addr().unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let served = Cell::new(0);
    let is_over = Cell::new(false);
    let beside = async {
        while !is_over.get() {
            let asked = Instant::now();
            let answer = world.get("one", "/v3/self").await;
            assert_eq!(answer.status, 200);
            assert!(asked.elapsed() < GENEROUS, "nobody else is served");
            served.set(served.get() + 1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let mut came = Vec::new();
    let attack = async {
        // A reset ends it as well as an end does.
        let mut read = std::pin::pin!(reading.read_to_end(&mut came));
        let mut sent = 0;
        let write = async {
            let mut piece = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            piece.extend(frame(SETTINGS, 0, 0, &[]));
            for step in steps {
                let pause = match step {
                    Step::Frames(frames) => {
                        piece.extend(frames);
                        None
                    }
                    Step::Pause(pause) => Some(pause),
                };
                if pause.is_some() || piece.len() >= PIECE {
                    if writing.write_all(&piece).await.is_err() {
                        return;
                    }
                    sent += piece.len();
                    piece.clear();
                }
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
            }
            if writing.write_all(&piece).await.is_ok() {
                sent += piece.len();
            }
        };
        let is_closed = tokio::select! {
            _ = &mut read => true,
            () = write => tokio::time::timeout(linger, &mut read).await.is_ok(),
        };
        is_over.set(true);
        (is_closed, sent)
    };
    let ((is_closed, sent), ()) = tokio::join!(attack, beside);
    drop((reading, writing));
    world.answered(&came);
    until(world, IN_FLIGHT, 0).await;
    let memory = most_memory() - before;
    let (lines, said) = told(world, from).await;
    let frames = frames_of(&came);
    let count = |kind: u8| frames.iter().filter(|it| it.0 == kind).count();
    let goaway = frames.iter().rev().find(|it| it.0 == GOAWAY);
    Ended {
        is_closed,
        sent,
        goaway: goaway.map(|it| u32::from_be_bytes(it.1[4..8].try_into().unwrap())),
        heads: count(HEADERS),
        resets: count(RST_STREAM),
        memory,
        beside: served.get(),
        lines,
        said,
    }
}

/// What the log says of the requests from there, and of the connection; and all requests are counted.
async fn told(world: &World, from: SocketAddr) -> (Vec<Value>, Option<String>) {
    let from = from.to_string();
    // The lines of requests that were dropped with their connection are written while it ends.
    let mut count = 0;
    for _ in 0..100 {
        let sink = world.sink.clone();
        tokio::task::spawn_blocking(move || sink.flush())
            .await
            .unwrap();
        let now = world.log.text().lines().count();
        if std::mem::replace(&mut count, now) == now {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let lines = parse(&world.log.text());
    let mine = |it: &&Value| it["peer"] == from.as_str();
    let connection = lines
        .iter()
        .filter(mine)
        .find(|it| it["kind"] == "connection");
    let requests = lines
        .iter()
        .filter(mine)
        .filter(|it| it["kind"] == "request");
    let others = lines.iter().filter(|it| it["kind"] == "request").count();
    world.sent_in_all(others);
    (
        requests.cloned().collect(),
        connection.and_then(|it| it["error"].as_str().map(str::to_owned)),
    )
}

/// Kinds and payloads of the frames that came whole.
fn frames_of(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push((head[3], payload));
        bytes = rest;
    }
    frames
}

/// The most memory that the process has had, in KiB.
fn most_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
