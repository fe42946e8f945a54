//! Uploads that stream by and are counted: bytes of the whole, and parts of the form.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
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
    fn of_operation(max: u64) -> Self {
        Self(format!("a body of this operation may have {max} bytes"))
    }
    fn parts(max: u64) -> Self {
        Self(format!("an upload may have {max} parts here"))
    }

    /// What is too much.
    pub fn said(&self) -> &str {
        &self.0
    }
}

/// Holds a body to the size that one of its operation may have. What says at once that it is too large is refused at once.
pub(super) fn cap(
    exchange: Exchange<Granted>,
    max_bytes: u64,
) -> Result<Exchange<Granted>, Rejection> {
    if length(exchange.request.headers()).is_some_and(|length| length > max_bytes) {
        return Err(Rejection::BodyTooLarge {
            said: TooMuch::of_operation(max_bytes).0,
        });
    }
    if http_body::Body::is_end_stream(exchange.request.body()) {
        return Ok(exchange);
    }
    Ok(Exchange {
        request: exchange.request.map(|inner| {
            Counted {
                inner,
                left: max_bytes,
                max_bytes,
                parts: None,
                too_much: TooMuch::of_operation,
            }
            .boxed_unsync()
        }),
        trail: exchange.trail,
        proof: exchange.proof,
    })
}

/// Counts the upload while it streams by. What says at once that it is too large is refused at once.
///
/// The boundary goes on as it was read, so that nobody finds other parts than those that were counted.
pub(super) fn count(
    mut exchange: Exchange<Granted>,
    bounds: Upload,
) -> Result<Exchange<Granted>, Rejection> {
    let headers = exchange.request.headers();
    let max_bytes = bounds.max_bytes.unwrap_or(u64::MAX);
    if length(headers).is_some_and(|length| length > max_bytes) {
        return Err(Rejection::BodyTooLarge {
            said: TooMuch::bytes(max_bytes).0,
        });
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Rejection::BodyUnsupported(
            "An upload here must come as it is: without a Content-Encoding",
        ));
    }
    let not_plain = || {
        Rejection::BodyUnsupported(
            "An upload here must be a form with one plain boundary and no other parameter, as in multipart/form-data; boundary=abc123",
        )
    };
    // There is one at most: `target` refuses several.
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary = kind.and_then(boundary).ok_or_else(not_plain)?;
    let kind = HeaderValue::try_from(media_type(boundary)).map_err(|_| not_plain())?;
    let parts = bounds.max_parts.map(|max| Parts::new(boundary, max));
    exchange.request.headers_mut().insert(CONTENT_TYPE, kind);
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
            too_much: TooMuch::bytes,
        }
        .boxed_unsync()
    });
    Ok(Exchange {
        request,
        trail,
        proof,
    })
}

/// The boundary of `multipart/form-data; boundary=VALUE`.
///
/// Readers differ on quotes, escapes, comments, a second `boundary` and `boundary*`, so none of these is read at all.
fn boundary(kind: &str) -> Option<&str> {
    let blank = [' ', '\t'];
    let (media, parameter) = kind.split_once(';')?;
    let (name, value) = parameter.trim_matches(blank).split_once('=')?;
    let is_form = media
        .trim_matches(blank)
        .eq_ignore_ascii_case("multipart/form-data");
    if !is_form || !name.eq_ignore_ascii_case("boundary") {
        return None;
    }
    let value = match value.strip_prefix('"') {
        Some(rest) => rest
            .strip_suffix('"')
            .filter(|it| it.bytes().all(is_quotable) && it.trim_matches(' ') == *it)?,
        None => Some(value).filter(|it| it.bytes().all(is_plain))?,
    };
    (1..=MAX_BOUNDARY).contains(&value.len()).then_some(value)
}

/// The same as a header's value.
fn media_type(boundary: &str) -> String {
    if boundary.bytes().all(is_plain) {
        format!("multipart/form-data; boundary={boundary}")
    } else {
        format!("multipart/form-data; boundary=\"{boundary}\"")
    }
}

/// Whether it may stand in a boundary without quotes: RFC 2046's characters that a token may have (RFC 9110).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"'+_-.".contains(&byte)
}

/// The same within quotes.
fn is_quotable(byte: u8) -> bool {
    is_plain(byte) || b"(),/:=? ".contains(&byte)
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
    too_much: fn(u64) -> TooMuch,
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
                    let error = (self.too_much)(self.max_bytes);
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
    fn b7_a_boundary_is_read_as_it_is_written_and_goes_on_as_it_was_read() {
        let hex = "d1f1b8c5a2e64f0c9b1f";
        let curl = format!("------------------------{hex}");
        for (value, read) in [
            (hex, hex),
            (&curl, &curl),
            (
                "----WebKitFormBoundary7MA4YWxk",
                "----WebKitFormBoundary7MA4YWxk",
            ),
            ("'a'+b_c-d.e", "'a'+b_c-d.e"),
            ("\"a\"", "a"),
            ("\"a b\"", "a b"),
            ("\"=_(a),/:?\"", "=_(a),/:?"),
        ] {
            for kind in [
                format!("multipart/form-data; boundary={value}"),
                format!("Multipart/Form-Data \t;BOUNDARY={value}"),
            ] {
                assert_eq!(boundary(&kind), Some(read), "{kind}");
            }
            let sent = media_type(read);
            assert_eq!(boundary(&sent), Some(read), "{sent}");
            assert_eq!(sent.contains('"'), !read.bytes().all(is_plain), "{sent}");
        }
        let longest = "a".repeat(MAX_BOUNDARY);
        let kind = media_type(&longest);
        assert_eq!(boundary(&kind), Some(&*longest));
        assert_eq!(boundary(&format!("{kind}a")), None);
    }

    #[test]
    fn b7_what_readers_could_read_in_two_ways_is_no_boundary() {
        for bad in [
            "",
            "multipart/form-data",
            "multipart/form-data;",
            "multipart/form-data; boundary",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"",
            "multipart/form-data; boundary=\"\"",
            "multipart/mixed; boundary=a",
            "multipart/form-data, multipart/form-data; boundary=a",
            // A boundary that stands in another parameter's quotes.
            "multipart/form-data; x=\"; boundary=aaa\"; boundary=real",
            "multipart/form-data; boundary=aaa\"; boundary=real",
            "multipart/form-data; boundary=\"aaa; boundary=real\"",
            // Several.
            "multipart/form-data; boundary=aaa; boundary=real",
            "multipart/form-data; boundary=real; charset=utf-8",
            "multipart/form-data; charset=utf-8; boundary=real",
            "multipart/form-data; boundary=real;",
            "multipart/form-data;; boundary=real",
            // RFC 2231.
            "multipart/form-data; boundary*=utf-8''real",
            "multipart/form-data; boundary*0=re; boundary*1=al",
            "multipart/form-data; boundary*0=real",
            // Escapes.
            "multipart/form-data; boundary=\"re\\al\"",
            "multipart/form-data; boundary=\"re\\\"al\"",
            "multipart/form-data; boundary=re\\al",
            // Lists, comments and spaces.
            "multipart/form-data; boundary=real, x",
            "multipart/form-data; boundary=real,x",
            "multipart/form-data; boundary=real (x)",
            "multipart/form-data; boundary=(x)real",
            "multipart/form-data (x); boundary=real",
            "multipart/form-data; boundary =real",
            "multipart/form-data; boundary= real",
            "multipart/form-data; boundary=re al",
            "multipart/form-data; boundary=\"real \"",
            "multipart/form-data; boundary=\" real\"",
            "multipart/form-data; boundary=\"real\" x",
            "multipart/form-data; boundary=\"re\"al\"",
            "multipart/form-data; boundary='real'=x",
            "multipart/form-data; boundary=re%61l",
        ] {
            assert_eq!(boundary(bad), None, "{bad}");
        }
    }
}
