//! Uploads that stream by and are counted: bytes of the whole, and parts of the form.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

use super::length;
use crate::body::{Body, BoxError};
use crate::exchange::Exchange;
use crate::pipeline::authorize::Granted;
use crate::policy::bounds::Upload;
use crate::rejection::Rejection;

/// The longest boundary that a form may have (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// An upload that turned out to be more than the policy allows, half-way.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TooMuch(String);

impl TooMuch {
    fn bytes(max: u64) -> Self {
        Self(format!("an upload may have {max} bytes here"))
    }
    fn parts(max: u64) -> Self {
        Self(format!("an upload may have {max} parts here"))
    }

    /// What is too much.
    pub fn said(&self) -> &str {
        &self.0
    }
}

/// Counts the upload while it streams by. What says at once that it is too large is refused at once.
pub(super) fn count(
    exchange: Exchange<Granted>,
    bounds: Upload,
) -> Result<Exchange<Granted>, Rejection> {
    let headers = exchange.request.headers();
    let max_bytes = bounds.max_bytes.unwrap_or(u64::MAX);
    if length(headers).is_some_and(|length| length > max_bytes) {
        return Err(Rejection::BodyTooLarge {
            said: TooMuch::bytes(max_bytes).0,
        });
    }
    let parts = match bounds.max_parts {
        None => None,
        Some(max) => {
            let kind = headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            let boundary = kind.and_then(boundary).ok_or(Rejection::BodyUnsupported(
                "An upload here must be multipart/form-data, with a boundary",
            ))?;
            Some(Parts::new(boundary, max))
        }
    };
    let Exchange {
        request,
        trail,
        proof,
    } = exchange;
    let request = request.map(|inner| {
        Counted {
            inner,
            left: max_bytes,
            max_bytes,
            parts,
        }
        .boxed_unsync()
    });
    Ok(Exchange {
        request,
        trail,
        proof,
    })
}

fn boundary(kind: &str) -> Option<&str> {
    let mut parts = kind.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let (_, value) = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let value = value.trim().trim_matches('"');
    (1..=MAX_BOUNDARY).contains(&value.len()).then_some(value)
}

/// Counts delimiters, wherever they stand: never fewer than any reader of the form finds.
#[derive(Debug)]
struct Parts {
    delimiter: Vec<u8>,
    /// The end of what went by, as long as a delimiter's beginning can be.
    tail: Vec<u8>,
    left: u64,
    max: u64,
}

impl Parts {
    fn new(boundary: &str, max: u64) -> Self {
        Self {
            delimiter: format!("--{boundary}").into_bytes(),
            tail: Vec::new(),
            // The last delimiter ends the form and begins no part.
            left: max.saturating_add(1),
            max,
        }
    }

    /// Whether there are too many with these bytes.
    fn see(&mut self, bytes: &[u8]) -> bool {
        self.tail.extend_from_slice(bytes);
        let width = self.delimiter.len();
        let mut from = 0;
        while let Some(at) = find(self.tail.get(from..).unwrap_or_default(), &self.delimiter) {
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => return true,
            }
            from += at + width;
        }
        let keep = self
            .tail
            .len()
            .saturating_sub(width.saturating_sub(1))
            .max(from);
        self.tail.drain(..keep);
        false
    }
}

fn find(bytes: &[u8], piece: &[u8]) -> Option<usize> {
    bytes
        .windows(piece.len())
        .position(|window| window == piece)
}

struct Counted {
    inner: Body,
    left: u64,
    max_bytes: u64,
    parts: Option<Parts>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => {
                    let error = TooMuch::bytes(self.max_bytes);
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
            if let Some(parts) = &mut self.parts
                && parts.see(data)
            {
                return Poll::Ready(Some(Err(TooMuch::parts(parts.max).into())));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parts: usize) -> Vec<u8> {
        let one = "--b0undary\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n";
        format!("{}--b0undary--\r\n", one.repeat(parts)).into_bytes()
    }

    #[test]
    fn b7_parts_are_counted_however_the_bytes_are_cut() {
        for parts in 1..=4 {
            let form = form(parts);
            for width in [1, 2, 7, 11, 64, form.len()] {
                let mut seen = Parts::new("b0undary", 2);
                let too_many = form.chunks(width).any(|chunk| seen.see(chunk));
                assert_eq!(too_many, parts > 2, "{parts} parts, cut at {width}");
            }
        }
    }

    #[test]
    fn a_boundary_is_read_as_it_is_written() {
        assert_eq!(boundary("multipart/form-data; boundary=abc"), Some("abc"));
        assert_eq!(
            boundary("Multipart/Form-Data; charset=x; BOUNDARY=\"a b\""),
            Some("a b")
        );
        for bad in [
            "multipart/form-data",
            "multipart/mixed; boundary=a",
            "multipart/form-data; boundary=",
        ] {
            assert_eq!(boundary(bad), None, "{bad}");
        }
        assert_eq!(
            boundary(&format!("multipart/form-data; boundary={}", "a".repeat(71))),
            None
        );
    }
}
