//! An issuer's public keys, read once and held to floors that jsonwebtoken does not have.
//!
//! By itself it takes 11 of Wycheproof's 21 bad key sets:
//! duplicate ids, encryption keys, keys of another curve, weak RSA. A set with
//! any of these is refused as a whole, since a key set that is half right is a
//! key set that somebody has meddled with, or misread.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use data_encoding::HEXLOWER;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::json::Object;

/// The largest key set, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// The most keys of a set.
const MAX_KEYS: usize = 100;

/// The signature algorithms that are accepted: asymmetric only (RFC 8725 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519 (RFC 8037).
    EdDsa,
}

impl Algorithm {
    /// All of them, by name.
    pub const NAMES: [&'static str; 3] = ["RS256", "ES256", "EdDSA"];

    /// By its name in `alg`, which is exact.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    pub(super) fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A public key, with the one algorithm that it is for.
#[derive(Clone)]
pub struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Why a key set is refused.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Larger than any key set is.
    #[error("the key set is larger than {MAX_BYTES} bytes or {MAX_KEYS} keys")]
    TooLarge,
    /// No JSON object with `keys`, or one with duplicate members.
    #[error("the file is no JSON Web Key Set: {0}")]
    NotASet(String),
    /// No key in it.
    #[error("the key set has no key")]
    Empty,
    /// Two keys of one id.
    #[error("the key set has two keys with the id `{0}`")]
    Duplicate(String),
    /// Several keys, one without an id.
    #[error("key {0} of the set has no `kid`, and there are others")]
    WithoutId(usize),
    /// A key that must not verify anything here.
    #[error("key {0} of the set is not usable: {1}")]
    Key(usize, &'static str),
}

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub struct KeySet {
    by_id: HashMap<String, VerifyingKey>,
    only: Option<VerifyingKey>,
    /// SHA-256 of the document.
    digest: Vec<u8>,
}

impl KeySet {
    /// Reads a JSON Web Key Set (RFC 7517 section 5).
    ///
    /// # Errors
    /// Any key that is not acceptable refuses the set; see [`KeySetError`].
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > MAX_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let Object(set) =
            Object::parse(json).map_err(|error| KeySetError::NotASet(error.to_string()))?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or_else(|| KeySetError::NotASet("it has no list `keys`".to_owned()))?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetError::TooLarge);
        }
        let mut by_id = HashMap::new();
        let mut only = None;
        for (at, jwk) in keys.iter().enumerate() {
            let jwk = jwk
                .as_object()
                .ok_or(KeySetError::Key(at, "it is no object"))?;
            let key = VerifyingKey::parse(jwk).map_err(|why| KeySetError::Key(at, why))?;
            match jwk.get("kid") {
                Some(Value::String(id)) if by_id.contains_key(id) => {
                    return Err(KeySetError::Duplicate(id.clone()));
                }
                Some(Value::String(id)) => {
                    by_id.insert(id.clone(), key.clone());
                }
                Some(_) => return Err(KeySetError::Key(at, "its `kid` is no text")),
                None if keys.len() > 1 => return Err(KeySetError::WithoutId(at)),
                None => {}
            }
            only = (keys.len() == 1).then_some(key);
        }
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self {
            by_id,
            only,
            digest: digest(&SHA256, json).as_ref().to_vec(),
        })
    }

    /// Whether both were read from the same document.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Whether a key of the set is for one of these algorithms.
    pub fn has_any(&self, algorithms: &[Algorithm]) -> bool {
        let mut all = self.by_id.values().chain(&self.only);
        all.any(|key| algorithms.contains(&key.algorithm))
    }

    /// The key for a token that names this id, or names none.
    pub fn find(&self, id: Option<&str>) -> Option<&VerifyingKey> {
        match id {
            Some(id) => self.by_id.get(id),
            None => self.only.as_ref(),
        }
    }
}

impl VerifyingKey {
    fn parse(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if jwk.contains_key("d") || jwk.contains_key("k") {
            return Err("it holds a private or symmetric key");
        }
        if jwk.get("use").is_some() && text("use") != Some("sig") {
            return Err("its `use` is not `sig`");
        }
        if let Some(operations) = jwk.get("key_ops") {
            let verifies = |list: &Vec<Value>| list.iter().any(|it| it == "verify");
            if !operations.as_array().is_some_and(verifies) {
                return Err("its `key_ops` do not have `verify`");
            }
        }
        let (algorithm, key) = match (text("kty"), text("crv")) {
            (Some("RSA"), None) => (Algorithm::Rs256, rsa(text("n"), text("e"))?),
            (Some("EC"), Some("P-256")) => (Algorithm::Es256, p256(text("x"), text("y"))?),
            (Some("OKP"), Some("Ed25519")) => (Algorithm::EdDsa, ed25519(text("x"))?),
            (Some("RSA" | "EC" | "OKP"), _) => return Err("its curve is not P-256 or Ed25519"),
            _ => return Err("its `kty` is not RSA, EC or OKP"),
        };
        if jwk.get("alg").is_some() && text("alg").and_then(Algorithm::named) != Some(algorithm) {
            return Err("its `alg` is not RS256, ES256 or EdDSA, or does not fit the key");
        }
        Ok(Self { algorithm, key })
    }
}

fn number(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("a number of it is missing")?;
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| "a number of it is no base64url")
}

fn rsa(n: Option<&str>, e: Option<&str>) -> Result<DecodingKey, &'static str> {
    let modulus = number(n)?;
    let exponent = number(e)?;
    let significant: Vec<u8> = modulus
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    let bits = significant.len() * 8
        - significant
            .first()
            .map_or(0, |byte| byte.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err("its modulus has not 2048 to 8192 bits");
    }
    let exponent = exponent.iter().try_fold(0u64, |sum, byte| {
        sum.checked_mul(256)?.checked_add(u64::from(*byte))
    });
    if !exponent.is_some_and(|e| e >= 65_537 && e % 2 == 1 && e < 1 << 33) {
        return Err("its exponent is not an odd number from 65537 on");
    }
    if is_roca(&significant) {
        return Err("its modulus has the form of a weak generator (CVE-2017-15361)");
    }
    let (Some(n), Some(e)) = (n, e) else {
        return Err("a number of it is missing");
    };
    DecodingKey::from_rsa_components(n, e).map_err(|_| "it is no RSA key")
}

/// The fingerprint of ROCA: modulo each of these primes, the modulus is a power of 65537.
fn is_roca(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let rest = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            let found = power == rest;
            power = power * (65_537 % prime) % prime;
            found
        })
    })
}

fn p256(x: Option<&str>, y: Option<&str>) -> Result<DecodingKey, &'static str> {
    if number(x)?.len() != 32 || number(y)?.len() != 32 {
        return Err("its coordinates have not 32 bytes");
    }
    let (Some(x), Some(y)) = (x, y) else {
        return Err("a number of it is missing");
    };
    DecodingKey::from_ec_components(x, y).map_err(|_| "it is no P-256 key")
}

fn ed25519(x: Option<&str>) -> Result<DecodingKey, &'static str> {
    let bytes = number(x)?;
    if bytes.len() != 32 {
        return Err("its key has not 32 bytes");
    }
    if !is_sound_point(&bytes) {
        return Err("its key is a point of small order, or in no canonical form");
    }
    let text = x.unwrap_or_default();
    DecodingKey::from_ed_components(text).map_err(|_| "it is no Ed25519 key")
}

/// Points of small order verify signatures that nobody made: their y coordinates, in hex, little-endian, whatever
/// the sign of x. A y that is not below 2^255 - 19 is another spelling of one that is (RFC 8032 section 5.1.3).
fn is_sound_point(bytes: &[u8]) -> bool {
    const SMALL: [&str; 5] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let mut y = bytes.to_vec();
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let is_below_p = match y.as_slice() {
        [first, middle @ .., last] => {
            *first < 0xed || *last < 0x7f || middle.iter().any(|byte| *byte != 0xff)
        }
        _ => false,
    };
    is_below_p && !SMALL.contains(&HEXLOWER.encode(&y).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j11_points_of_small_order_are_refused_in_every_spelling() {
        let bytes = |hex: &str| -> Vec<u8> {
            (0..32)
                .map(|at| u8::from_str_radix(hex.get(at * 2..at * 2 + 2).unwrap(), 16).unwrap())
                .collect()
        };
        for hex in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert!(!is_sound_point(&bytes(hex)), "{hex}");
        }
        // RFC 8032 section 7.1, test 1.
        assert!(is_sound_point(&bytes(
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        )));
    }
}
