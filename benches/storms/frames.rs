//! Frames of HTTP/2 (RFC 9113 section 4.1) and heads in HPACK (RFC 7541), as bytes.

/// What a client says first, and settings without any.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// DATA is 0; the types that are sent or counted here.
pub(crate) mod kind {
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of HEADERS and CONTINUATION.
pub(crate) const END_STREAM: u8 = 1;
/// The same.
pub(crate) const END_HEADERS: u8 = 4;
/// The flag of SETTINGS and PING that answer.
pub(crate) const ACK: u8 = 1;

/// Appends a frame.
pub(crate) fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    to.extend_from_slice(&length[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// The head of a GET with a key. Nothing is added to the table of the connection.
pub(crate) fn get(path: &str, key: &str) -> Vec<u8> {
    // :method GET and :scheme http stand in the static table.
    let mut block = vec![0x82, 0x86];
    literal(&mut block, &[0x04], path);
    literal(&mut block, &[0x01], "storm");
    // The name `authorization` is its 23rd entry.
    literal(&mut block, &[0x0f, 0x08], &format!("Bearer {key}"));
    block
}

/// A header with a name of its own.
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    let mut block = Vec::new();
    literal(&mut block, &[0], name);
    text(&mut block, value);
    block
}

fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend_from_slice(name);
    text(block, value);
}

/// A string that is not compressed (RFC 7541 section 5.2).
fn text(block: &mut Vec<u8>, value: &str) {
    let mut length = value.len();
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        block.push(u8::try_from(length).unwrap());
    }
    block.extend_from_slice(value.as_bytes());
}

/// Tells the frames that come from one another.
#[derive(Default)]
pub(crate) struct Reader {
    head: Vec<u8>,
    /// Bytes of the payload that are still to come.
    payload: usize,
}

impl Reader {
    /// Tells of each frame that begins in these bytes its kind and flags.
    pub(crate) fn read(&mut self, mut bytes: &[u8], mut begins: impl FnMut(u8, u8)) {
        while !bytes.is_empty() {
            let passed = self.payload.min(bytes.len());
            self.payload -= passed;
            bytes = &bytes[passed..];
            let taken = (9 - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let [a, b, c, kind, flags, ..] = self.head[..]
                && self.head.len() == 9
            {
                begins(kind, flags);
                self.payload = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
                self.head.clear();
            }
        }
    }
}
