//! A connection's socket, which tells the connection's [`Pulse`] what is read and written, and gives the parser no line end
//! that another reader does not see ([`Lines`]).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::lines::Lines;
use crate::pipeline::edge::Pulse;

/// What a client is told whose head did not come in time (RFC 9110 section 15.5.9). It has sent no request yet that a
/// problem could be about.
const LATE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// The beginning of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2";

/// How much of one connection is read in a row, if it has that much: then others have their turn. What is small and many
/// (frames of HTTP/2 that only have to be answered) is milliseconds of work in far less than a task may do by itself.
const TURN: usize = 16 * 1024;

/// A socket.
#[derive(Debug)]
pub(super) struct Socket<S> {
    inner: S,
    pulse: Pulse,
    /// Bytes that were read since there was last nothing to read.
    in_a_row: usize,
    lines: Lines,
    /// What has come behind a head, and is given when the head's body is known: at most what was read at once.
    held: Vec<u8>,
    has_read: bool,
    is_over: bool,
}

impl<S> Socket<S> {
    /// Of this connection.
    pub(super) fn new(inner: S, pulse: Pulse) -> Self {
        Self {
            inner,
            pulse,
            in_a_row: 0,
            lines: Lines::new(),
            held: Vec::new(),
            has_read: false,
            is_over: false,
        }
    }

    fn note(&self, wrote: &Poll<io::Result<usize>>) {
        match wrote {
            Poll::Ready(Ok(bytes)) => self.pulse.wrote(*bytes, Instant::now()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pulse.is_blocked(Instant::now()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over {
            return Poll::Ready(Ok(()));
        }
        if let Some(says_so) = self.pulse.is_late() {
            self.is_over = true;
            if says_so {
                // As much as the socket takes: nothing was written before.
                let _ = Pin::new(&mut self.inner).poll_write(cx, LATE);
            }
            return Poll::Ready(Ok(()));
        }
        // h2 has read what it was given; it reads no more.
        if self.pulse.abuse().is_some() {
            self.is_over = true;
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.in_a_row >= TURN {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let this = &mut *self;
        let before = buffer.filled().len();
        if this.held.is_empty() {
            let Poll::Ready(read) = Pin::new(&mut this.inner).poll_read(cx, buffer) else {
                this.in_a_row = 0;
                return Poll::Pending;
            };
            read?;
            let read = buffer.filled().get(before..).unwrap_or_default();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !this.has_read && read.starts_with(PREFACE) {
                this.pulse.speaks_two();
            }
            this.has_read = true;
            this.in_a_row = this.in_a_row.saturating_add(read.len());
            this.pulse.read(read.len(), Instant::now());
        } else {
            let fits = this.held.len().min(buffer.remaining());
            buffer.put_slice(this.held.get(..fits).unwrap_or_default());
            this.held.drain(..fits);
        }
        let new = buffer.filled_mut().get_mut(before..).unwrap_or_default();
        let passes = this
            .lines
            .pass(new, |heads| this.pulse.body_of(heads, cx.waker()));
        let left = new.get(passes..).unwrap_or_default();
        this.held.splice(..0, left.iter().copied());
        buffer.set_filled(before + passes);
        match passes {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.note(&wrote);
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, pieces);
        self.note(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::capacity::Times;

    #[tokio::test(start_paused = true)]
    async fn r3_whoever_sends_much_is_read_in_turn_with_others() {
        let much = vec![b'x'; 10 * TURN];
        let pulse = Pulse::new(Times::default(), Instant::now());
        let mut socket = Socket::new(connection(&much), pulse);
        // As a task that goes on for as long as there is something to read.
        let (mut turns, mut bytes) = (0, 0);
        let mut cx = Context::from_waker(Waker::noop());
        while bytes < much.len() {
            let mut in_turn = 0;
            let mut buffer = [0; 1_000];
            while let Poll::Ready(read) = pin!(socket.read(&mut buffer)).poll(&mut cx) {
                in_turn += read.unwrap();
                if in_turn + bytes == much.len() {
                    break;
                }
            }
            assert!(in_turn < TURN + buffer.len(), "{in_turn} bytes in a row");
            (turns, bytes) = (turns + 1, bytes + in_turn);
        }
        assert_eq!(turns, 10);
        // And it comes by itself to its next turn.
        let pulse = Pulse::new(Times::default(), Instant::now());
        let mut all = Vec::new();
        let mut socket = Socket::new(connection(&much), pulse);
        socket.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, much);
    }

    /// A connection of which all this is there to be read.
    fn connection(bytes: &[u8]) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
        tokio::io::join(io::Cursor::new(bytes.to_vec()), tokio::io::sink())
    }
}
