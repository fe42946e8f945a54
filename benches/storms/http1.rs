//! Requests as bytes, and as much of an answer as has to be understood.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// How large a large body is.
pub(crate) const LARGE: usize = 100 << 20;

/// A read of one session. No two callers ask for the same one at once: that would be one request to the upstream.
pub(crate) fn read(key: &str, n: u32) -> Vec<u8> {
    let path = session(n);
    format!(
        "GET {path} HTTP/1.1\r\nHost: storm\r\nAccept: application/json\r\nUser-Agent: storm\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
    .into_bytes()
}

/// The path of one session.
pub(crate) fn session(n: u32) -> String {
    format!("/v3/organizations/org-ds/sessions/devin-{n}")
}

/// The head of a request with a body of this type and length.
pub(crate) fn post(path: &str, key: &str, content_type: &str, length: usize) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: storm\r\nAuthorization: Bearer {key}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// What forms are posted to.
pub(crate) const FORMS: &str = "/v3/organizations/org-ds/attachments";
/// What JSON is posted to, without being read on its way.
pub(crate) const NOTES: &str = "/v3/organizations/org-ds/knowledge/notes";
/// The type of a form.
pub(crate) const FORM: &str = "multipart/form-data; boundary=b0";
/// Where its only file begins.
pub(crate) const FORM_BEGINS: &[u8] = b"--b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n";
/// And ends.
pub(crate) const FORM_ENDS: &[u8] = b"\r\n--b0--\r\n";

/// The path of a large answer, another one for each n.
pub(crate) fn large(n: usize) -> String {
    format!("{FORMS}/0190a0b0-0000-7000-8000-{n:012x}/a.bin")
}

/// Asks for one.
pub(crate) fn download(key: &str, n: usize) -> Vec<u8> {
    let path = large(n);
    format!("GET {path} HTTP/1.1\r\nHost: storm\r\nAuthorization: Bearer {key}\r\n\r\n")
        .into_bytes()
}

/// The head of an answer.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Its own bytes.
    pub(crate) length: usize,
    /// Those of the body.
    pub(crate) body: usize,
}

/// The head of the answer that begins here, if all of it has come.
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let length = bytes.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..length]).to_ascii_lowercase();
    let status = text.get(9..12)?.parse().ok()?;
    let body = text
        .lines()
        .find_map(|it| it.strip_prefix("content-length:"));
    Some(Head {
        status,
        length,
        body: body.map_or(0, |it| it.trim().parse().unwrap()),
    })
}

/// Reads one answer to its end, and tells its status; `took` hears how many bytes came.
pub(crate) async fn answer<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut [u8],
    mut took: impl AsyncFnMut(usize),
) -> io::Result<u16> {
    let mut length = 0;
    let head = loop {
        let read = stream.read(&mut buffer[length..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
        if let Some(head) = head(&buffer[..length]) {
            break head;
        }
    };
    let mut left = head.body.saturating_sub(length - head.length);
    while left > 0 {
        let read = stream.read(buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(read);
        took(read).await;
    }
    Ok(head.status)
}
