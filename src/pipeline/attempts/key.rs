//! The name that a caller gives its intent: `Idempotency-Key` (H10). Pure.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::rejection::Rejection;

/// The header.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Devin's own SDK counts its repeats here.
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");
/// The longest key, in bytes.
pub const MAX_KEY: usize = 255;

/// A caller's name for one intent.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of a request, if it has one.
    ///
    /// # Errors
    /// Two of them, or one that is empty, too long, or of other than visible ASCII.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Rejection> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Rejection::Header("`Idempotency-Key` stands twice"));
        }
        match Self::parse(value.as_bytes()) {
            Some(key) => Ok(Some(key)),
            None => Err(Rejection::Header(
                "`Idempotency-Key` has to be 1 to 255 visible ASCII characters, in quotes or without",
            )),
        }
    }

    /// Of a header's value: a bare text, or the same as a structured string (RFC 8941 section 3.3.3).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = match value.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted)?,
            None => value.to_vec(),
        };
        let fits = (1..=MAX_KEY).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        let text = String::from_utf8(text).ok().filter(|_| fits)?;
        Some(Self(text.into()))
    }

    /// The key, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What stands before the closing quote, which is the last byte.
fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter().copied();
    loop {
        match bytes.next()? {
            b'"' => return bytes.next().is_none().then_some(text),
            b'\\' => text.push(bytes.next().filter(|it| matches!(it, b'"' | b'\\'))?),
            other => text.push(other),
        }
    }
}

// A key may be made of anything that the caller thought of: it is not for logs.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

/// Whether the request says that it is a repeat, as Devin's own SDK does.
pub(super) fn says_it_repeats(headers: &HeaderMap) -> bool {
    let count = headers.get(RETRY_COUNT).and_then(|it| it.to_str().ok());
    count
        .and_then(|it| it.parse::<u32>().ok())
        .is_some_and(|it| it >= 1)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn key(value: &[u8]) -> Option<String> {
        Key::parse(value).map(|it| it.as_str().to_owned())
    }

    #[test]
    fn h10_a_bare_key_and_a_quoted_one_are_one_key() {
        for (value, expected) in [
            (&b"abc"[..], "abc"),
            (b"\"abc\"", "abc"),
            (br#""a\"b\\c""#, "a\"b\\c"),
            (b"a,b;c", "a,b;c"),
            (&[b'x'; MAX_KEY], &"x".repeat(MAX_KEY)),
        ] {
            assert_eq!(key(value).as_deref(), Some(expected));
        }
        let longest = format!("\"{}\"", "x".repeat(MAX_KEY));
        assert_eq!(key(longest.as_bytes()), Some("x".repeat(MAX_KEY)));
    }

    #[test]
    fn h10_what_can_be_read_in_two_ways_is_no_key() {
        for value in [
            &b""[..],
            b"\"\"",
            b"\"",
            b"\"abc",
            b"\"abc\"x",
            b"\"abc\";a=1",
            br#""a\bc""#,
            br#""abc\""#,
            b"a b",
            b"\"a b\"",
            b"a\tb",
            b"a\x00b",
            b"a\x7fb",
            "ü".as_bytes(),
            &[b'x'; MAX_KEY + 1],
            &[b'x'; 10_240],
        ] {
            assert_eq!(key(value), None, "{value:?}");
        }
    }

    #[test]
    fn h10_two_keys_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(Key::of(&headers).unwrap(), None);
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        assert!(Key::of(&headers).unwrap().is_some());
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        assert!(matches!(Key::of(&headers), Err(Rejection::Header(_))));
    }

    #[test]
    fn only_a_count_of_one_or_more_is_a_repeat() {
        let says = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            says_it_repeats(&HeaderMap::from_iter([(RETRY_COUNT, value)]))
        };
        assert!(says("1") && says("2"));
        for none in ["0", "", "-1", "x", "1.0", "99999999999999"] {
            assert!(!says(none), "{none}");
        }
        assert!(!says_it_repeats(&HeaderMap::new()));
    }
}
