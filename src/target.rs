//! The request target, read once. Pure; fuzzed.
//!
//! Stage 5 of the request path. Bytes become canonical segments or are refused,
//! and what is forwarded is rebuilt from these segments: policy and Devin can
//! never see two different paths (the way Envoy, Traefik and Oathkeeper each
//! lost their guard). Percent-encoding is undone once, per segment.
//!
//! Deliberately absent: normalization. `//`, `.` and `..` are not repaired but
//! refused, since whoever repairs them differently sees another path.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

/// The longest target, path and query together, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;
/// The most segments of a path.
const MAX_SEGMENTS: usize = 32;

/// A target that has exactly one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: String,
    segments: Vec<Piece>,
    query: Option<String>,
}

/// Where a segment stands in the path, and what it says if that is not what it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    at: Range<usize>,
    decoded: Option<String>,
}

/// One segment of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    raw: &'a str,
    decoded: &'a str,
}

impl<'a> Segment<'a> {
    /// As it was received; this is what is forwarded.
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// With percent-encoding undone, once.
    pub fn decoded(self) -> &'a str {
        self.decoded
    }
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Over [`MAX_TARGET`].
    #[error("the target is longer than {MAX_TARGET} bytes")]
    TooLong,
    /// Absolute-form, authority-form or `*` (RFC 9112 section 3.2): only origin-form is served.
    #[error("the target is not a path")]
    NotAPath,
    /// A character that RFC 3986 does not allow there, or `;`.
    #[error("the target has a character that is not allowed there")]
    Character,
    /// `%` without two hex digits, or bytes that are not UTF-8.
    #[error("the target has broken percent-encoding")]
    Encoding,
    /// `//` or a `/` at the end.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`, in any spelling.
    #[error("the path has a dot segment")]
    DotSegment,
    /// An encoded slash, backslash, control character or `%`.
    #[error("the path has an encoded character that could be read as another path")]
    Ambiguous,
    /// More segments than any operation has.
    #[error("the path has too many segments")]
    TooDeep,
}

impl Target {
    /// Reads a path and its query, as they stood in the request.
    ///
    /// # Errors
    /// Whatever could be read in two ways; see [`TargetError`].
    pub fn parse(path: &str, query: Option<&str>) -> Result<Self, TargetError> {
        if path.len() + query.map_or(0, |query| query.len() + 1) > MAX_TARGET {
            return Err(TargetError::TooLong);
        }
        if query.is_some_and(|query| !query.bytes().all(is_query_byte)) {
            return Err(TargetError::Character);
        }
        let rest = path.strip_prefix('/').ok_or(TargetError::NotAPath)?;
        let mut segments = Vec::with_capacity(8);
        let mut start = 1;
        // `/` alone has no segment; it is a path all the same, and no operation's.
        for raw in rest.split('/').filter(|_| !rest.is_empty()) {
            if segments.len() == MAX_SEGMENTS {
                return Err(TargetError::TooDeep);
            }
            let at = start..start + raw.len();
            start = at.end + 1;
            segments.push(Piece {
                at,
                decoded: decode(raw)?,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            segments,
            query: query.map(str::to_owned),
        })
    }

    /// The segments of the path; `/` has none.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = Segment<'_>> {
        self.segments.iter().map(|piece| {
            let raw = self.path.get(piece.at.clone()).unwrap_or_default();
            let decoded = piece.decoded.as_deref().unwrap_or(raw);
            Segment { raw, decoded }
        })
    }

    /// The query without its `?`, as received.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The path: nothing but its segments, as they were received.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Path and query: what is forwarded.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Undoes the form encoding of a query's key or value, once. `None` where the result is not UTF-8.
pub fn decode_form(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

/// Checks a segment, and undoes its percent-encoding if it has any.
fn decode(raw: &str) -> Result<Option<String>, TargetError> {
    if raw.is_empty() {
        return Err(TargetError::EmptySegment);
    }
    if !raw.bytes().all(is_segment_byte) {
        return Err(TargetError::Character);
    }
    if !raw.contains('%') {
        // Of the ambiguous characters, none is allowed bare.
        return match raw {
            "." | ".." => Err(TargetError::DotSegment),
            _ => Ok(None),
        };
    }
    if !well_encoded(raw) {
        return Err(TargetError::Encoding);
    }
    let decoded = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| TargetError::Encoding)?;
    // An encoded slash can be a repository's or a branch's: each of its pieces is held to the same rules.
    // Everywhere else the catalogue refuses it, since no other parameter may hold a slash.
    for piece in decoded.split('/') {
        match piece {
            "" => return Err(TargetError::EmptySegment),
            "." | ".." => return Err(TargetError::DotSegment),
            _ if piece.chars().any(is_ambiguous) => return Err(TargetError::Ambiguous),
            _ => {}
        }
    }
    Ok(Some(decoded.into_owned()))
}

fn well_encoded(raw: &str) -> bool {
    raw.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes().take(2);
        digits.next().is_some_and(|it| it.is_ascii_hexdigit())
            && digits.next().is_some_and(|it| it.is_ascii_hexdigit())
    })
}

/// A decoded character that another reader may take for a separator, an end, or for nothing: `%` is a second
/// encoding, full-width and other look-alikes of `/`, `.` and `\` are folded by some servers, bidi and format
/// characters change what a person reads.
fn is_ambiguous(c: char) -> bool {
    matches!(c, '\\' | '%' | ';' | '#' | '?')
        || c.is_control()
        || matches!(c,
            '\u{ff0f}' | '\u{ff3c}' | '\u{ff0e}' | '\u{ff05}' | '\u{2215}' | '\u{2044}' | '\u{29f8}' | '\u{2024}' | '\u{fe52}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}')
}

/// RFC 3986 `pchar` without `;`.
fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,=:@".contains(&byte)
}

/// RFC 3986 `query`, and what lenient clients leave bare in it; neither control bytes, `#` nor non-ASCII.
fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(path: &str) -> Option<TargetError> {
        Target::parse(path, None).err()
    }

    #[test]
    fn p1_p4_dot_and_empty_segments_are_refused_in_every_spelling() {
        for path in [
            "/v3/../x",
            "/..",
            "/v3/.",
            "/v3/./x",
            "/v3/%2e%2e/x",
            "/v3/%2E./x",
            "/v3/.%2e/x",
            "/a%2f..%2fb",
        ] {
            assert_eq!(refused(path), Some(TargetError::DotSegment), "{path}");
        }
        for path in [
            "//",
            "//evil",
            "/v3//self",
            "/v3/self/",
            "/a%2f%2fb",
            "/%2f",
        ] {
            assert_eq!(refused(path), Some(TargetError::EmptySegment), "{path}");
        }
    }

    #[test]
    fn p2_p6_what_could_be_decoded_twice_or_otherwise_is_refused() {
        for path in [
            "/v3/%252e%252e/x",
            "/v3/%5cx",
            "/v3/%00",
            "/v3/%0a",
            "/v3/%7f",
            "/v3/%25",
            "/v3/a%3bb",
            "/v3/%EF%BC%8F",
            "/v3/%e2%80%ae",
            "/v3/a%23b",
            "/v3/a%3fb",
        ] {
            assert_eq!(refused(path), Some(TargetError::Ambiguous), "{path}");
        }
        for path in [
            "/v3/%c0%ae",
            "/v3/%u002e",
            "/v3/%zz",
            "/v3/%",
            "/v3/%2",
            "/v3/%ff",
        ] {
            assert_eq!(refused(path), Some(TargetError::Encoding), "{path}");
        }
    }

    #[test]
    fn p5_p7_only_plain_paths_are_read() {
        for path in [
            "/v3;x/self",
            "/v3/self;jsessionid=1",
            "/v3/ü",
            "/v3/{x}",
            "/v3/a|b",
            "/v3/\"",
            "/v3/a b",
            "/v3\\self",
        ] {
            assert_eq!(refused(path), Some(TargetError::Character), "{path}");
        }
        for path in ["", "*", "admin", "http://evil/x", "evil:80"] {
            assert_eq!(refused(path), Some(TargetError::NotAPath), "{path}");
        }
        assert_eq!(
            refused(&format!("/{}", "a".repeat(MAX_TARGET))),
            Some(TargetError::TooLong)
        );
        assert_eq!(refused(&"/a".repeat(40)), Some(TargetError::TooDeep));
        // The bound itself is allowed, path, `?` and query counted together.
        let query = "q".repeat(100);
        let longest = format!("/{}", "a".repeat(8192 - 102));
        assert!(Target::parse(&longest, Some(&query)).is_ok());
        assert_eq!(
            Target::parse(&format!("{longest}a"), Some(&query)),
            Err(TargetError::TooLong)
        );
        assert!(Target::parse(&"/a".repeat(32), None).is_ok());
        assert_eq!(
            Target::parse("/a", Some("x=\u{7f}")),
            Err(TargetError::Character)
        );
    }

    #[test]
    fn what_is_forwarded_is_what_was_received() {
        let target = Target::parse(
            "/v3/organizations/o/repositories/a%2Fb/indexing",
            Some("a=1&b=%20;x"),
        )
        .unwrap();
        assert_eq!(
            target.path_and_query(),
            "/v3/organizations/o/repositories/a%2Fb/indexing?a=1&b=%20;x"
        );
        assert_eq!(target.segments().nth(4).unwrap().decoded(), "a/b");
    }

    proptest! {
        #[test]
        fn g10_every_accepted_target_rebuilds_to_itself(path in "/[a-z/.%2eEfF0;\\\\]{0,40}", query in proptest::option::of("[ -~]{0,20}")) {
            if let Ok(target) = Target::parse(&path, query.as_deref()) {
                prop_assert_eq!(target.path(), path.as_str());
                let rebuilt: String = target.segments().map(|segment| format!("/{}", segment.raw())).collect();
                prop_assert!(rebuilt == path || path == "/");
                let again = Target::parse(target.path(), target.query()).unwrap();
                prop_assert_eq!(again, target.clone());
                for segment in target.segments() {
                    for piece in segment.decoded().split('/') {
                        prop_assert!(!piece.is_empty() && piece != "." && piece != ".." && !piece.contains('%'));
                    }
                }
            }
        }
    }
}
