//! The request target, read once. Pure; fuzzed.
//!
//! Stage 5 of the request path. Bytes become canonical segments or are refused,
//! and what is forwarded is rebuilt from these segments: policy and Devin can
//! never see two different paths (the way Envoy, Traefik and Oathkeeper each
//! lost their guard). Percent-encoding is undone once, per segment.
//!
//! Deliberately absent: normalization. `//`, `.` and `..` are not repaired but
//! refused, since whoever repairs them differently sees another path.

use percent_encoding::percent_decode_str;

/// The longest target, path and query together, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;
/// The most segments of a path.
const MAX_SEGMENTS: usize = 32;

/// A target that has exactly one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    segments: Vec<Segment>,
    query: Option<String>,
}

/// One segment of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    raw: String,
    decoded: String,
}

impl Segment {
    /// As it was received; this is what is forwarded.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// With percent-encoding undone, once.
    pub fn decoded(&self) -> &str {
        &self.decoded
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
        // `/` alone has no segment; it is a path all the same, and no operation's.
        for raw in rest.split('/').filter(|_| !rest.is_empty()) {
            if segments.len() == MAX_SEGMENTS {
                return Err(TargetError::TooDeep);
            }
            segments.push(Segment::parse(raw)?);
        }
        Ok(Self {
            segments,
            query: query.map(str::to_owned),
        })
    }

    /// The segments of the path; `/` has none.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The query without its `?`, as received.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The path, rebuilt from its segments.
    pub fn path(&self) -> String {
        let mut path = String::with_capacity(128);
        for segment in &self.segments {
            path.push('/');
            path.push_str(&segment.raw);
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }

    /// Path and query, rebuilt: what is forwarded.
    pub fn path_and_query(&self) -> String {
        let mut whole = self.path();
        if let Some(query) = &self.query {
            whole.push('?');
            whole.push_str(query);
        }
        whole
    }
}

impl Segment {
    fn parse(raw: &str) -> Result<Self, TargetError> {
        if raw.is_empty() {
            return Err(TargetError::EmptySegment);
        }
        if !raw.bytes().all(is_segment_byte) {
            return Err(TargetError::Character);
        }
        let decoded = if raw.contains('%') {
            if !well_encoded(raw) {
                return Err(TargetError::Encoding);
            }
            percent_decode_str(raw)
                .decode_utf8()
                .map_err(|_| TargetError::Encoding)?
                .into_owned()
        } else {
            raw.to_owned()
        };
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
        Ok(Self {
            raw: raw.to_owned(),
            decoded,
        })
    }
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
        assert_eq!(target.segments()[4].decoded(), "a/b");
    }

    proptest! {
        #[test]
        fn g10_every_accepted_target_rebuilds_to_itself(path in "/[a-z/.%2eEfF0;\\\\]{0,40}", query in proptest::option::of("[ -~]{0,20}")) {
            if let Ok(target) = Target::parse(&path, query.as_deref()) {
                prop_assert_eq!(target.path(), path.clone());
                let again = Target::parse(&target.path(), target.query()).unwrap();
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
