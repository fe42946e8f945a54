//! Bytes on a socket that no client library would send, and what came back.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::World;

/// What came back on a connection.
#[derive(Debug)]
pub(crate) struct Back {
    pub(crate) text: String,
}

impl Back {
    /// The statuses of all answers, `100 Continue` among them.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let starts = self.text.match_indices("HTTP/1.");
        starts
            .filter_map(|(at, _)| self.text.get(at + 9..at + 12)?.parse().ok())
            .collect()
    }

    /// Fails unless one answer came, with this status, and nothing else was served on the connection.
    #[track_caller]
    pub(crate) fn only(&self, status: u16) -> &Self {
        assert_eq!(self.statuses(), [status], "{}", self.text);
        self
    }

    /// Fails unless this is the gateway's refusal with this code, and said to be the last.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> &Self {
        self.only(status);
        let page = format!("problems/{code}\"");
        assert!(self.text.contains(&page), "{}", self.text);
        self
    }

    /// Fails unless the client was told that the connection ends.
    #[track_caller]
    pub(crate) fn closes(&self) -> &Self {
        assert!(self.text.contains("connection: close"), "{}", self.text);
        self
    }
}

impl World {
    /// Sends these bytes on a connection of their own. Each answer with an id is a request's, and has its line.
    pub(crate) async fn attack(&self, bytes: impl AsRef<[u8]>) -> Back {
        let text = self.raw(bytes.as_ref()).await;
        self.sent(text.matches("\r\nx-request-id: ").count());
        Back { text }
    }

    /// A request's head without its end: lines may be added.
    pub(crate) fn head(&self, method: &str, target: &str) -> String {
        let key = self.key("one");
        format!("{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n")
    }

    /// A whole request that is served, to stand where none may be read.
    pub(crate) fn hidden(&self) -> String {
        format!("{}\r\n", self.head("GET", "/v3/enterprise/self"))
    }

    /// Fails if the fake has seen the hidden request, or one that has two framings or none of ours.
    #[track_caller]
    pub(crate) fn nothing_hidden_was_served(&self) {
        for request in self.upstream() {
            assert_ne!(
                request.path, "/v3/enterprise/self",
                "a hidden request was served"
            );
            let framings = ["content-length", "transfer-encoding"];
            let framed = framings.iter().filter(|it| request.header(it).is_some());
            assert!(framed.count() <= 1, "{:?}", request.headers);
        }
    }

    /// Speaks HTTP/2 byte by byte: these frames, after the preface. The kinds of the frames that came back, with their
    /// streams; each head among them is the answer to a request.
    pub(crate) async fn attack_h2(&self, frames: &[Vec<u8>]) -> Vec<(u8, u32)> {
        let mut stream = TcpStream::connect(self.gateway).await.unwrap();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        bytes.extend(frames.concat());
        stream.write_all(&bytes).await.unwrap();
        let mut came = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(Ok(length)) =
            tokio::time::timeout(Duration::from_millis(700), stream.read(&mut buffer)).await
        {
            if length == 0 {
                break;
            }
            came.extend_from_slice(&buffer[..length]);
        }
        self.answered(&came);
        let mut rest = &came[..];
        let mut kinds = Vec::new();
        while rest.len() >= 9 {
            let length =
                usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
            let stream = u32::from_be_bytes(rest[5..9].try_into().unwrap());
            kinds.push((rest[3], stream));
            rest = rest.get(9 + length..).unwrap_or_default();
        }
        self.sent(kinds.iter().filter(|(kind, _)| *kind == HEADERS).count());
        kinds
    }

    /// The `HEADERS` frame of a request of HTTP/2, of exactly these fields, none of them checked.
    pub(crate) fn h2_head(&self, stream: u32, ends: bool, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            // A literal that is not indexed, with a new name, not compressed (RFC 7541 section 6.2.2).
            block.push(0);
            literal(&mut block, name);
            literal(&mut block, value);
        }
        frame(HEADERS, if ends { 0x5 } else { 0x4 }, stream, &block)
    }
}

/// The kinds of frames that tests ask for (RFC 9113 section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const GOAWAY: u8 = 7;

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn literal(block: &mut Vec<u8>, text: &[u8]) {
    let mut left = text.len();
    if left < 127 {
        block.push(u8::try_from(left).unwrap());
    } else {
        block.push(127);
        left -= 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128 + 128).unwrap());
            left /= 128;
        }
        block.push(u8::try_from(left).unwrap());
    }
    block.extend(text);
}
