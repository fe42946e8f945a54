//! Line ends in the heads of an HTTP/1 connection: CR and LF, and no LF alone (F6). Pure; part of [`super::socket`].
//!
//! hyper's parser takes a bare LF for the end of a line, and two of them for the end of a head, as RFC 9112 section 2.2
//! allows; a proxy in front that does not would see another end, and other requests behind it. A bare LF in a head is
//! handed to the parser as NUL, which it refuses anywhere in a head, with its answer in turn and its line in the log.
//!
//! This reads no HTTP: where a head ends without bare LFs is told by its empty line, and where the next one begins by what
//! hyper itself says of the body between them. Until it does, nothing behind a head is given to it.

/// The beginning of HTTP/2, up to its first empty line (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A head, or more of one.
    Head,
    /// A head is whole; of its body nothing is known yet.
    Whole,
    /// So many bytes of a body.
    Body(u64),
    /// What is no head any more: HTTP/2, or a body with whose end the connection ends.
    Rest,
}

/// How far a connection is.
#[derive(Debug)]
pub(super) struct Lines {
    at: At,
    /// The heads that were whole.
    heads: u64,
    /// The bytes of this head, while they could be those of HTTP/2's preface.
    preface: Option<usize>,
    /// Whether the head has more than empty lines, which may stand before it.
    has_begun: bool,
    is_line_empty: bool,
    is_after_cr: bool,
}

impl Lines {
    /// Of a connection of which nothing has come.
    pub(super) fn new() -> Self {
        Self {
            at: At::Head,
            heads: 0,
            preface: Some(0),
            has_begun: false,
            is_line_empty: true,
            is_after_cr: false,
        }
    }

    /// How many of these bytes go on now, changed where they are no line's end. What is left comes again with the next
    /// ones. None go on while a head is whole and `body_of` does not know yet of that many requests: else it says how
    /// long the last one's body is, or that this is not known.
    pub(super) fn pass(
        &mut self,
        bytes: &mut [u8],
        body_of: impl FnOnce(u64) -> Option<Option<u64>>,
    ) -> usize {
        if self.at == At::Whole {
            match body_of(self.heads) {
                None => return 0,
                Some(Some(0)) => self.next_head(),
                Some(Some(length)) => self.at = At::Body(length),
                Some(None) => self.at = At::Rest,
            }
        }
        match self.at {
            At::Head => self.head(bytes),
            At::Whole => 0,
            At::Rest => bytes.len(),
            At::Body(left) => {
                let passes = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                match left.saturating_sub(u64::try_from(passes).unwrap_or(u64::MAX)) {
                    0 => self.next_head(),
                    left => self.at = At::Body(left),
                }
                passes
            }
        }
    }

    fn next_head(&mut self) {
        *self = Self {
            heads: self.heads,
            preface: None,
            ..Self::new()
        };
    }

    /// To the end of a head, if it is among these.
    fn head(&mut self, bytes: &mut [u8]) -> usize {
        let mut passes = 0;
        for byte in bytes {
            passes += 1;
            let matched = self.preface.filter(|at| PREFACE.get(*at) == Some(byte));
            self.preface = matched.map(|at| at + 1);
            match (*byte, self.is_after_cr) {
                (b'\n', true) => {
                    if self.is_line_empty && self.has_begun {
                        let is_two = self.preface == Some(PREFACE.len());
                        self.at = if is_two { At::Rest } else { At::Whole };
                        self.heads += u64::from(!is_two);
                        return passes;
                    }
                    self.is_line_empty = true;
                    self.is_after_cr = false;
                }
                (b'\r', false) => self.is_after_cr = true,
                (other, is_after_cr) => {
                    if other == b'\n' {
                        *byte = 0;
                    }
                    // A CR before anything but LF is the parser's to refuse.
                    self.is_after_cr = other == b'\r' && is_after_cr;
                    self.is_line_empty = false;
                    self.has_begun = true;
                }
            }
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What goes on of these pieces, where the bodies are as long as this and each is known at once.
    fn passed(pieces: &[&[u8]], bodies: &[Option<u64>]) -> (Vec<u8>, u64) {
        let mut lines = Lines::new();
        let mut out = Vec::new();
        for piece in pieces {
            let mut piece = piece.to_vec();
            while !piece.is_empty() {
                let passes = lines.pass(&mut piece, |heads| {
                    let at = usize::try_from(heads).unwrap() - 1;
                    Some(bodies.get(at).copied().unwrap_or(Some(0)))
                });
                assert!(passes > 0);
                out.extend(piece.drain(..passes));
            }
        }
        (out, lines.heads)
    }

    #[test]
    fn f6_a_bare_lf_is_no_end_of_a_line_of_a_head() {
        for (head, wanted) in [
            (
                "GET / HTTP/1.1\nHost: x\r\n\r\n",
                "GET / HTTP/1.1\0Host: x\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nA: b\n\r\n\r\n",
                "GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nA: b\r\n\nB\r\n\r\n",
                "GET / HTTP/1.1\r\nA: b\r\n\0B\r\n\r\n",
            ),
            ("\nGET / HTTP/1.1\r\n\r\n", "\0GET / HTTP/1.1\r\n\r\n"),
            ("GET /\r\r\n\n\r\n\r\n", "GET /\r\r\n\0\r\n\r\n"),
        ] {
            let (out, heads) = passed(&[head.as_bytes()], &[]);
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
            assert_eq!(heads, 1);
            let pieces: Vec<&[u8]> = head.as_bytes().chunks(1).collect();
            assert_eq!(passed(&pieces, &[]).0, wanted.as_bytes());
        }
    }

    #[test]
    fn nothing_behind_a_head_goes_on_before_its_body_is_known() {
        let mut lines = Lines::new();
        let mut bytes = b"GET / HTTP/1.1\r\n\r\n\n{\n}\n".to_vec();
        assert_eq!(lines.pass(&mut bytes, |_| panic!("no head is whole")), 18);
        let mut rest = bytes.split_off(18);
        assert_eq!(
            lines.pass(&mut rest, |heads| (heads != 1).then_some(None)),
            0
        );
        assert_eq!(lines.pass(&mut rest, |_| Some(Some(4))), 4);
        assert_eq!(rest, b"\n{\n}\n", "a body is nobody's to change");
        let mut rest = rest.split_off(4);
        assert_eq!(lines.pass(&mut rest, |_| panic!("no head is whole")), 1);
        assert_eq!(rest, b"\0", "and behind it another head begins");
    }

    #[test]
    fn http_2_is_let_by_from_its_preface_on() {
        let whole = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\n\n\n".to_vec();
        for size in [1, 3, 24, 100] {
            let pieces: Vec<&[u8]> = whole.chunks(size).collect();
            assert_eq!(passed(&pieces, &[Some(0)]), (whole.clone(), 0));
        }
        // Behind a request it is none.
        let mut late = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        late.extend(&whole);
        assert_eq!(
            passed(&[&late], &[])
                .0
                .iter()
                .filter(|it| **it == b'\n')
                .count(),
            6
        );
    }

    proptest! {
        #[test]
        fn f6_what_has_no_bare_lf_in_its_heads_goes_on_as_it_came(
            requests in proptest::collection::vec(("[A-Z /]{1,9}(\r\n[a-z: ]{1,9}){0,3}", "[a-z\r\n]{0,20}"), 0..6),
            sizes in proptest::collection::vec(1_usize..30, 1..60),
            empty in "(\r\n){0,3}",
        ) {
            let mut whole = Vec::new();
            let mut bodies = Vec::new();
            for (head, body) in &requests {
                whole.extend(format!("{empty}X{head}Y\r\n\r\n{body}").bytes());
                bodies.push(Some(body.len() as u64));
            }
            let mut pieces = Vec::new();
            let mut rest = &whole[..];
            for size in sizes.iter().cycle() {
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            let (out, heads) = passed(&pieces, &bodies);
            prop_assert_eq!(heads, requests.len() as u64);
            prop_assert_eq!(out, whole);
        }
    }
}
