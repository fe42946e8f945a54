//! Whether the service token stands in what Devin sends back: found across pieces, and masked. Pure.
//!
//! Looked for are the token as it is, and as it stands in a URL (percent-encoded, RFC 3986 section 2.1, in either case).
//! Not found are other spellings, such as Base64, and a piece of it alone. What is masked keeps its length, so that a
//! length that was announced stays right. No more is kept back than could be the beginning of a token: less than one.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use memchr::memmem::Finder;

/// Of fewer bytes, it would be found in what is none.
const SHORTEST: usize = 16;
/// What stands in its place, once for each of its bytes.
const MASK: u8 = b'*';
const HEX: [&[u8; 16]; 2] = [b"0123456789ABCDEF", b"0123456789abcdef"];

/// What is looked for. There is no way to print it.
#[derive(Default)]
pub(super) struct Needles(Vec<Finder<'static>>);

impl fmt::Debug for Needles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Needles")
    }
}

impl Needles {
    /// The token of this `Authorization`; nothing where it is shorter than 16 bytes.
    pub(super) fn of(authorization: &HeaderValue) -> Self {
        let value = authorization.as_bytes();
        let token = value.strip_prefix(b"Bearer ").unwrap_or(value);
        if token.len() < SHORTEST {
            return Self(Vec::new());
        }
        let mut spellings = vec![token.to_vec()];
        for digits in HEX {
            let encoded = percent_encoded(token, digits);
            if !spellings.contains(&encoded) {
                spellings.push(encoded);
            }
        }
        let finders = spellings.iter().map(|it| Finder::new(it).into_owned());
        Self(finders.collect())
    }

    /// Whether any of them stands in it.
    fn stands_in(&self, text: &[u8]) -> bool {
        self.0.iter().any(|it| it.find(text).is_some())
    }

    /// Masks them all.
    fn mask(&self, text: &mut [u8]) {
        for needle in &self.0 {
            let length = needle.needle().len();
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| needle.find(rest)) {
                let end = from + at + length;
                if let Some(found) = text.get_mut(from + at..end) {
                    found.fill(MASK);
                }
                from = end;
            }
        }
    }

    /// A text that came whole, masked; `None` where nothing is to be masked.
    pub(super) fn masked(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.stands_in(text).then(|| {
            let mut text = text.to_vec();
            self.mask(&mut text);
            text
        })
    }

    /// How many of the last bytes may be the beginning of one.
    fn begins_at_end(&self, text: &[u8]) -> usize {
        let of_one = |needle: &Finder<'_>| {
            let needle = needle.needle();
            let longest = text.len().min(needle.len().saturating_sub(1));
            let tail = text.get(text.len() - longest..)?;
            let first = needle.first()?;
            memchr::memchr_iter(*first, tail)
                .filter_map(|at| tail.get(at..))
                .find(|rest| needle.starts_with(rest))
                .map(<[u8]>::len)
        };
        self.0.iter().filter_map(of_one).max().unwrap_or(0)
    }
}

fn percent_encoded(text: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(*byte);
            continue;
        }
        let digit = |of: u8| digits.get(usize::from(of & 15)).copied();
        encoded.push(b'%');
        encoded.extend(digit(byte >> 4));
        encoded.extend(digit(*byte));
    }
    encoded
}

/// One body that goes by, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The end of what came, where it may be the beginning of a token. Shorter than one.
    held: Bytes,
}

/// What may go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// These bytes.
    pub(super) bytes: Bytes,
    /// Whether a token was masked in them.
    pub(super) masked: bool,
}

impl Scan {
    /// Takes the next piece, of which there is no further one if it `is_last`.
    pub(super) fn push(&mut self, needles: &Needles, piece: Bytes, is_last: bool) -> Passed {
        // Mostly nothing was held, and nothing is copied.
        let mut bytes = match self.held.is_empty() {
            true => piece,
            false => {
                let mut both = BytesMut::with_capacity(self.held.len() + piece.len());
                both.extend_from_slice(&self.held);
                both.extend_from_slice(&piece);
                self.held = Bytes::new();
                both.freeze()
            }
        };
        let masked = needles.masked(&bytes);
        let is_masked = masked.is_some();
        if let Some(masked) = masked {
            bytes = masked.into();
        }
        if !is_last {
            let held = needles.begins_at_end(&bytes);
            self.held = bytes.split_off(bytes.len().saturating_sub(held));
        }
        Passed {
            bytes,
            masked: is_masked,
        }
    }

    /// How much is held.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// What is held, once nothing more comes: it was no token.
    pub(super) fn end(&mut self) -> Bytes {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "cog_ab+cd/efcog_ab=xyz";
    const UPPER: &str = "cog_ab%2Bcd%2Fefcog_ab%3Dxyz";
    const LOWER: &str = "cog_ab%2bcd%2fefcog_ab%3dxyz";

    fn needles() -> Needles {
        Needles::of(&HeaderValue::from_str(&format!("Bearer {TOKEN}")).unwrap())
    }

    /// What goes on of a text that comes in pieces, and the most that was held.
    fn pass(pieces: &[&[u8]]) -> (Vec<u8>, bool, usize) {
        let (needles, mut scan) = (needles(), Scan::default());
        let (mut all, mut masked, mut most) = (Vec::new(), false, 0);
        for piece in pieces {
            let passed = scan.push(&needles, Bytes::copy_from_slice(piece), false);
            all.extend_from_slice(&passed.bytes);
            masked |= passed.masked;
            most = most.max(scan.held());
        }
        all.extend_from_slice(&scan.end());
        (all, masked, most)
    }

    #[test]
    fn u5_the_token_is_masked_however_it_is_cut_and_nothing_else_is() {
        for spelling in [TOKEN, UPPER, LOWER] {
            let text = format!("{{\"a\":\"cog_ab+{spelling}\",\"b\":\"{spelling}{spelling}\"}}");
            let wanted = text.replace(spelling, &"*".repeat(spelling.len()));
            for first in 0..text.len() {
                for second in first..text.len() {
                    let text = text.as_bytes();
                    let pieces = [&text[..first], &text[first..second], &text[second..]];
                    let (came, masked, most) = pass(&pieces);
                    assert_eq!(came, wanted.as_bytes(), "{first} {second}");
                    assert!(masked && most < UPPER.len());
                }
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(pass(&bytes).0, wanted.as_bytes());
        }
        // A mixture is neither, and a piece is none.
        for other in [
            TOKEN.strip_prefix('c').unwrap(),
            TOKEN.strip_suffix('z').unwrap(),
            "cog_ab%2Bcd%2fefcog_ab%3Dxyz",
            "",
        ] {
            let (came, masked, _) = pass(&[other.as_bytes()]);
            assert_eq!((came, masked), (other.as_bytes().to_vec(), false));
        }
    }

    #[test]
    fn what_holds_nothing_is_not_copied() {
        let (needles, mut scan) = (needles(), Scan::default());
        let piece = Bytes::from_static(b"{\"items\":[],\"c\":1}");
        let passed = scan.push(&needles, piece.clone(), false);
        assert_eq!(passed.bytes.as_ptr(), piece.as_ptr());
        assert_eq!((scan.held(), passed.masked), (0, false));
        // What may be a beginning is held, unless nothing more comes.
        let piece = Bytes::from_static(b"abc");
        assert_eq!(scan.push(&needles, piece.clone(), true).bytes, "abc");
        assert_eq!(scan.push(&needles, piece, false).bytes, "ab");
        assert_eq!((scan.held(), &scan.end()[..]), (1, &b"c"[..]));
    }

    #[test]
    fn u7_what_is_looked_for_is_not_shown_and_short_ones_are_not_looked_for() {
        assert_eq!(format!("{:?}", needles()), "Needles");
        let short = Needles::of(&HeaderValue::from_static("Bearer cog_month"));
        assert!(short.masked(b"cog_month").is_none());
        let plain = Needles::of(&HeaderValue::from_static("Bearer cog_0123456789abcdef"));
        assert_eq!(plain.0.len(), 1, "it has one spelling");
        assert_eq!(plain.masked(b"x=cog_0123456789abcdef&y"), {
            Some(b"x=********************&y".to_vec())
        });
    }

    proptest! {
        #[test]
        fn u5_pieces_and_the_whole_are_masked_alike(
            parts in prop::collection::vec(prop_oneof![
                Just(TOKEN.to_owned()), Just(UPPER.to_owned()), Just("cog_ab".to_owned()),
                Just("cog_ab+cd/ef".to_owned()), "[a-z%_*]{0,9}",
            ], 0..8),
            cuts in prop::collection::vec(0_usize..200, 0..12),
        ) {
            let text = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|it| it.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|it| &text[it[0]..it[1]]).collect();
            let (came, masked, _) = pass(&pieces);
            prop_assert_eq!(came.len(), text.len());
            let whole = needles().masked(&text);
            prop_assert_eq!(masked, whole.is_some());
            prop_assert_eq!(came, whole.unwrap_or(text));
        }
    }
}
