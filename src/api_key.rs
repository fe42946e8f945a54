//! API keys: `tg_<id>_<secret>`. Pure but for [`ApiKey::generate`].
//!
//! Stage 6 of the request path reads a presented key here, and `tollgate keys
//! new` makes one. The id is public and stands in logs and policies. The secret
//! is 43 base62 characters (256 bits) and 6 of CRC-32 over all before them, so
//! that a scanner of repositories can tell a key from chance. Only the SHA-256
//! of the whole key is ever stored.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};

use crate::policy::KeyDigest;

/// What every key begins with.
pub const PREFIX: &str = "tg_";
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key as its caller shows it: well formed, not yet known to be anyone's.
pub struct Presented<'a> {
    /// Its public half.
    pub id: &'a str,
    /// The SHA-256 of the whole key.
    pub digest: KeyDigest,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Reads a presented key. `None` if it has not the shape of one, checksum included.
pub fn parse(key: &str) -> Option<Presented<'_>> {
    let (id, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    if !is_id(id)
        || secret.len() != SECRET + CHECKSUM
        || !secret.bytes().all(|it| it.is_ascii_alphanumeric())
    {
        return None;
    }
    let (body, checksum) = key.split_at_checked(key.len() - CHECKSUM)?;
    (checksum_of(body) == checksum).then(|| Presented {
        id,
        digest: hash(key),
    })
}

/// Whether a text can be the public half of a key: `[a-z0-9-]{1,32}`.
pub fn is_id(id: &str) -> bool {
    (1..=32).contains(&id.len())
        && id
            .bytes()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

/// A new key, to be shown once.
pub struct ApiKey {
    text: SecretString,
    digest: KeyDigest,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

/// Why there is no new key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum GenerateError {
    /// The id is not `[a-z0-9-]{1,32}`.
    #[error("a key id is 1 to 32 of a-z, 0-9 and `-`")]
    Id,
    /// The system gave no random bytes.
    #[error("the system has no random bytes")]
    Random,
}

impl ApiKey {
    /// Makes a key with this public half.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub fn generate(id: &str) -> Result<Self, GenerateError> {
        if !is_id(id) {
            return Err(GenerateError::Id);
        }
        let mut random = [0; 32];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| GenerateError::Random)?;
        let body = format!("{PREFIX}{id}_{}", base62(&random, SECRET));
        let text = format!("{body}{}", checksum_of(&body));
        Ok(Self {
            digest: hash(&text),
            text: text.into(),
        })
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// What a policy stores.
    pub fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// What a policy file says in `sha256:`.
    pub fn digest_hex(&self) -> String {
        HEXLOWER.encode(self.digest.bytes())
    }
}

fn hash(key: &str) -> KeyDigest {
    let mut bytes = [0; 32];
    for (to, from) in bytes
        .iter_mut()
        .zip(digest(&SHA256, key.as_bytes()).as_ref())
    {
        *to = *from;
    }
    KeyDigest::new(bytes)
}

fn checksum_of(body: &str) -> String {
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM)
}

/// A big-endian number in base 62, padded with zeros to `length`: 43 digits hold 256 bits, 6 hold 32.
fn base62(number: &[u8], length: usize) -> String {
    let mut number = number.to_vec();
    let mut digits = vec![b'0'; length];
    for digit in digits.iter_mut().rev() {
        let mut rest: u32 = 0;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            // Both fit: rest < 62, so value < 62 * 256 and value / 62 < 256.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *digit = BASE62.get(rest as usize).copied().unwrap_or(b'0');
    }
    String::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_reads_back_to_its_digest() {
        let key = ApiKey::generate("ds-1").unwrap();
        let presented = parse(key.expose()).unwrap();
        assert_eq!(presented.id, "ds-1");
        assert_eq!(&presented.digest, key.digest());
        assert_eq!(key.expose().len(), "tg_ds-1_".len() + 49);
        assert_ne!(key.expose(), ApiKey::generate("ds-1").unwrap().expose());
    }

    #[test]
    fn c2_what_is_not_exactly_a_key_is_refused() {
        let key = ApiKey::generate("ds").unwrap();
        let text = key.expose();
        let mut typo = text.to_owned();
        typo.replace_range(
            10..11,
            if text.get(10..11) == Some("x") {
                "y"
            } else {
                "x"
            },
        );
        for wrong in [
            &format!("{text} "),
            &format!("{text}\n"),
            &typo,
            &text.to_uppercase(),
            &key.digest_hex(),
            "",
            "tg_",
            "tg__",
            "tg_ds_",
            &format!("{text}{}", "a".repeat(1 << 20)),
            &text.replace("tg_ds_", "tg_DS_"),
            &text.replace("tg_ds_", "tg_dx_"),
        ] {
            assert!(parse(wrong).is_none(), "{wrong:.80}");
        }
    }

    #[test]
    fn c2_a_right_checksum_makes_no_key_of_what_is_none() {
        let secret = "x".repeat(SECRET);
        let key = |body: &str| format!("{body}{}", checksum_of(body));
        assert!(parse(&key(&format!("tg_a_{secret}"))).is_some());
        for body in [
            format!("tg__{secret}"),
            format!("tg_A_{secret}"),
            format!("tg_{}_{secret}", "a".repeat(33)),
            format!("tg_a_{secret}x"),
            format!("tg_a_{}", "x".repeat(SECRET - 1)),
            format!("tg_a_{}-", "x".repeat(SECRET - 1)),
            format!("tg_a_{}_", "x".repeat(SECRET - 1)),
        ] {
            assert!(parse(&key(&body)).is_none(), "{body}");
        }
        for (id, fits) in [
            ("a", true),
            ("a-1", true),
            ("", false),
            ("a_b", false),
            ("ä", false),
            ("A", false),
        ] {
            assert_eq!(is_id(id), fits, "{id}");
        }
        assert!(is_id(&"a".repeat(32)) && !is_id(&"a".repeat(33)));
        assert!(matches!(ApiKey::generate("A"), Err(GenerateError::Id)));
    }

    #[test]
    fn base62_holds_the_largest_numbers() {
        assert_eq!(base62(&[0xff; 4], 6), "4gfFC3");
        assert_eq!(base62(&[0; 32], 43), "0".repeat(43));
        assert_eq!(
            base62(&[0xff; 32], 44).get(..1),
            Some("0"),
            "43 digits are enough for 256 bits"
        );
    }
}
