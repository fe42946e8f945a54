//! Entries of a corpus as bytes on connections of their own, and what became of each. The log says from where a
//! request came, so that what the fake has seen is known to be one entry's, however many run at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tollgate::fake_devin::Recorded;

use crate::attack::Back;
use crate::invariants::parse;
use crate::overload::{IN_FLIGHT, OPEN, until};
use crate::world::World;

/// As many connections at once: most of what is incomplete is waited for, and that takes its time only once.
const AT_ONCE: usize = 100;
/// A gateway that says nothing for so long waits for more.
const SILENCE: Duration = Duration::from_secs(2);

/// What goes over one connection.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Entry {
    pub(super) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

/// What became of it.
pub(super) struct Became {
    pub(super) entry: Entry,
    pub(super) back: Back,
    /// Whether the gateway ended the connection.
    pub(super) is_closed: bool,
    /// The log's lines of its requests.
    pub(super) lines: Vec<Value>,
    /// Whether the parser refused what came, and the log says so.
    pub(super) is_refused: bool,
    /// What the fake has seen of it.
    pub(super) seen: Vec<Recorded>,
}

impl Became {
    /// What the fake has seen to its end.
    pub(super) fn finished(&self) -> usize {
        self.seen.iter().filter(|it| it.finished).count()
    }

    /// The final statuses.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let all = self.back.statuses();
        all.into_iter().filter(|it| *it >= 200).collect()
    }

    /// What holds of every entry, whatever it says: each head is answered or its client is known to have gone, nobody
    /// but the entry is to blame, and what broke off or had two ends was the last on its connection.
    #[track_caller]
    pub(super) fn is_sound(&self) {
        let Self { back, lines, .. } = self;
        let name = &self.entry.name;
        let statuses = self.statuses();
        for status in &statuses {
            assert!(*status < 500 || *status == 501, "{name}: {}", back.text);
        }
        let named = back.text.matches("\r\nx-request-id: ").count();
        // Whoever hangs up may have one more under way.
        let more = lines.len().checked_sub(named);
        assert!(
            more.is_some_and(|it| it == 0 || (it == 1 && !self.is_closed)),
            "{name}: {lines:?} {}",
            back.text
        );
        let gone = lines.iter().filter(|it| it["outcome"] == "client-gone");
        assert!(
            gone.count() <= usize::from(!self.is_closed),
            "{name}: {lines:?}"
        );
        assert!(
            statuses.len() <= named + usize::from(self.is_refused),
            "{name}: {}",
            back.text
        );
        for line in lines {
            let code = line["code"].as_str().unwrap_or_default();
            // Before anything is known of what is asked: the head itself is at fault.
            let is_head = line["operation"].is_null();
            if is_head
                && ["header-invalid", "expectation-failed", "length-required"].contains(&code)
            {
                assert!(self.is_closed, "{name}: {line}");
                assert_eq!(line, lines.last().unwrap(), "{name}");
            }
        }
        let text = String::from_utf8_lossy(&self.entry.bytes).to_ascii_lowercase();
        if !statuses.is_empty() && text.contains("transfer-encoding:") {
            assert!(self.is_closed, "{name}: {}", back.text);
        }
        for request in &self.seen {
            let framings = ["content-length", "transfer-encoding"];
            let framed = framings.iter().filter(|it| request.header(it).is_some());
            assert!(framed.count() <= 1, "{name}: {:?}", request.headers);
            assert!(
                request.path.starts_with("/v3/")
                    && request.target.bytes().all(|it| it.is_ascii_graphic()),
                "{name}: {}",
                request.target
            );
            // What broke off was the last of its connection, whoever ended that.
            let id = request.header("x-request-id").unwrap();
            let is_last = lines.last().unwrap()["request_id"] == id;
            assert!(request.finished || is_last, "{name}: {request:?}");
        }
    }
}

/// Sends all entries, and waits until nothing of them is under way.
pub(super) async fn send(world: &World, entries: Vec<Entry>) -> Vec<Became> {
    let sent: Vec<_> = stream::iter(entries.into_iter().zip(1_u32..))
        .map(|(entry, number)| async move {
            // Each from an address of its own: ports are used again.
            let [_, a, b, c] = number.to_be_bytes();
            let from = SocketAddr::from(([127, a + 1, b, c], 0));
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(from).unwrap();
            let mut stream = socket.connect(world.gateway).await.unwrap();
            let peer = stream.local_addr().unwrap().to_string();
            // Of what is too much, the gateway may not wait for the end.
            let _ = stream.write_all(&entry.bytes).await;
            let mut answer = Vec::new();
            let mut buffer = [0; 4096];
            let is_closed = loop {
                match tokio::time::timeout(SILENCE, stream.read(&mut buffer)).await {
                    Ok(Ok(0) | Err(_)) => break true,
                    Ok(Ok(length)) => answer.extend_from_slice(&buffer[..length]),
                    Err(_) => break false,
                }
            };
            world.answered(&answer);
            let text = String::from_utf8_lossy(&answer).into_owned();
            (entry, peer, Back { text }, is_closed)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    until(world, OPEN, 0).await;
    until(world, IN_FLIGHT, 0).await;
    let sink = world.sink.clone();
    tokio::task::spawn_blocking(move || sink.flush())
        .await
        .unwrap();
    let mut lines: HashMap<String, Vec<Value>> = HashMap::new();
    for line in parse(&world.log.text()) {
        if let Some(peer) = line["peer"].as_str() {
            lines.entry(peer.to_owned()).or_default().push(line);
        }
    }
    let mut seen: HashMap<String, Vec<Recorded>> = HashMap::new();
    for request in world.upstream() {
        let id = request.header("x-request-id").unwrap().to_owned();
        seen.entry(id).or_default().push(request);
    }
    let became = sent.into_iter().map(|(entry, peer, back, is_closed)| {
        let lines = lines.remove(&peer).unwrap_or_default();
        let (lines, others): (Vec<Value>, Vec<Value>) =
            lines.into_iter().partition(|it| it["kind"] == "request");
        world.sent(lines.len());
        let ids = lines.iter().filter_map(|it| it["request_id"].as_str());
        Became {
            seen: ids.filter_map(|it| seen.remove(it)).flatten().collect(),
            is_refused: !others.is_empty(),
            entry,
            back,
            is_closed,
            lines,
        }
    });
    became.collect()
}
