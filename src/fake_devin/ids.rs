//! Fresh ids and one-time tokens, in the forms that Devin's API reference shows.

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;

/// `prefix` and 32 random hex digits, for example `note-…`.
pub(super) fn fresh(prefix: &str) -> String {
    format!("{prefix}{}", hex(&random::<16>()))
}

/// Where ids of sessions come from.
#[derive(Debug)]
pub(super) struct SessionIds(Option<u64>);

impl SessionIds {
    /// The same ones for the same seed; random ones without.
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self(seed)
    }

    /// 32 hex digits.
    pub(super) fn next(&mut self) -> String {
        let Some(state) = &mut self.0 else {
            return fresh("");
        };
        let mut half = || {
            // splitmix64
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut it = *state;
            it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            it ^ (it >> 31)
        };
        format!("{:016x}{:016x}", half(), half())
    }
}

/// A service-user token: `cog_` and 52 characters of base32 (256 bits).
pub(super) fn token() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::from("cog_");
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in random::<32>() {
        held = (held << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(&mut text, ALPHABET, held >> bits);
        }
    }
    if bits > 0 {
        push(&mut text, ALPHABET, held << (5 - bits));
    }
    text
}

fn push(text: &mut String, alphabet: &[u8; 32], value: u32) {
    if let Some(symbol) = alphabet.get((value & 31) as usize) {
        text.push(char::from(*symbol));
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// The inverse of [`hex`].
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER.decode(text.as_bytes()).ok()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if rand::fill(&mut bytes).is_err() {
        // No entropy is no reason to stop a fake: time-ordered ids are still unique.
        let stamp = *uuid::Uuid::now_v7().as_bytes();
        for (byte, fill) in bytes.iter_mut().zip(stamp.iter().cycle()) {
            *byte = *fill;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_documented_form() {
        let token = token();
        let body = token.strip_prefix("cog_").unwrap();
        assert_eq!(body.len(), 52);
        assert!(body.chars().all(|c| matches!(c, 'a'..='z' | '2'..='7')));
    }

    #[test]
    fn hex_goes_both_ways() {
        assert_eq!(unhex(&hex(b"\x00\xffa")), Some(b"\x00\xffa".to_vec()));
        assert_eq!(unhex("abc"), None);
        assert_eq!(unhex("zz"), None);
    }
}
