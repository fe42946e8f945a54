//! JSON Web Tokens (RFC 7519, with the advice of RFC 8725).
//!
//! The signature is jsonwebtoken's to check. What is decided around it is ours:
//! which issuer's keys are asked (each has its own, never shared), which
//! algorithm (the key's, which must be one that the issuer is configured for;
//! the token only has to agree), and that header and claims have one meaning.
//!
//! Deliberately absent: `jku`, `x5u`, `x5c` and `jwk` headers, encrypted and
//! nested tokens, and any fetch that a token could cause.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::jwks::{Algorithm, VerifyingKey};
use super::keys::Keys;
use crate::json::Object;

/// The leeway on `exp`, `nbf` and `iat`, in seconds.
const LEEWAY: i64 = 60;

/// Somebody whose tokens are believed, with what is believed of them.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The name that policies use.
    pub name: String,
    /// The exact `iss`.
    pub issuer: String,
    /// The values of `aud` that mean this gateway.
    pub audiences: Vec<String>,
    /// The algorithms that its keys may use.
    pub algorithms: Vec<Algorithm>,
    /// Its keys.
    pub keys: Keys,
}

/// What a verified token says.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Every claim.
    pub all: Map<String, Value>,
    /// The id of the key that verified it.
    pub key_id: Option<String>,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtError {
    /// Genuine, and past its end.
    Expired,
    /// Anything else: which check failed is for the log, and not for the caller.
    Invalid(&'static str),
}

/// Verifies a compact token and returns the issuer that it is of.
///
/// # Errors
/// See [`JwtError`].
pub(super) fn verify<'a>(
    issuers: &'a [Issuer],
    token: &str,
    now: Timestamp,
) -> Result<(&'a Issuer, Claims), JwtError> {
    let invalid = JwtError::Invalid;
    let (header, claims) =
        read(token).ok_or(invalid("it is no token of the form that is accepted"))?;
    // Nothing is believed yet: `iss` and `aud` only say whose keys to ask.
    let mut of_issuer = issuers
        .iter()
        .filter(|it| it.is_named_by(&claims))
        .peekable();
    of_issuer
        .peek()
        .ok_or(invalid("its `iss` is no configured issuer"))?;
    let issuer = of_issuer.find(|it| it.is_meant(&claims));
    let issuer = issuer.ok_or(invalid("its `aud` is none of the issuer's audiences"))?;
    let keys = issuer.keys.load();
    let key = keys.find(header.key_id.as_deref());
    let key = key.ok_or(invalid(
        "its `kid` is missing, or no key of the issuer has it",
    ))?;
    if header.algorithm != key.algorithm || !issuer.algorithms.contains(&key.algorithm) {
        return Err(invalid("its `alg` is not that of the issuer's key"));
    }
    let times = Times::read(&claims).ok_or(invalid(
        "`exp` is missing, or a time is not in whole seconds",
    ))?;
    if !check_signature(token, key) {
        return Err(invalid("its signature is not that of the issuer's key"));
    }
    let now = now.as_second();
    if times.not_before.is_some_and(|it| it > now + LEEWAY)
        || times.issued_at.is_some_and(|it| it > now + LEEWAY)
    {
        return Err(invalid("its `nbf` or `iat` is in the future"));
    }
    if times.expires <= now - LEEWAY {
        return Err(JwtError::Expired);
    }
    let claims = Claims {
        all: claims,
        key_id: header.key_id,
    };
    Ok((issuer, claims))
}

/// Whether the signature of a compact token is this key's. Nothing else of the token is checked.
pub fn check_signature(token: &str, key: &VerifyingKey) -> bool {
    let Some((message, signature)) = token.rsplit_once('.') else {
        return false;
    };
    jsonwebtoken::crypto::verify(
        signature,
        message.as_bytes(),
        &key.key,
        key.algorithm.library(),
    )
    .unwrap_or(false)
}

struct Header {
    algorithm: Algorithm,
    key_id: Option<String>,
}

fn read(token: &str) -> Option<(Header, Map<String, Value>)> {
    let mut parts = token.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || signature.is_empty() {
        return None;
    }
    // The alphabet of the signature is held to the same rule as the rest: no padding, no stray bits.
    BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    Some((Header::read(object(header)?)?, object(claims)?))
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    Object::parse(&json).ok().map(|it| it.0)
}

impl Header {
    fn read(header: Map<String, Value>) -> Option<Self> {
        // An extension that must be understood is not (RFC 7515 section 4.1.11); a key that the token brings along,
        // or has fetched, is nobody's.
        let refused = ["crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc"];
        if refused.iter().any(|name| header.contains_key(*name)) {
            return None;
        }
        // A nested token or a token of another kind (RFC 8725 section 3.11).
        let is_kind = |value: &Value| {
            let kinds = ["jwt", "at+jwt", "application/at+jwt"];
            value
                .as_str()
                .is_some_and(|it| kinds.iter().any(|kind| it.eq_ignore_ascii_case(kind)))
        };
        if !header.get("typ").is_none_or(is_kind) || header.contains_key("cty") {
            return None;
        }
        let key_id = match header.get("kid") {
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return None,
            None => None,
        };
        let algorithm = Algorithm::named(header.get("alg")?.as_str()?)?;
        Some(Self { algorithm, key_id })
    }
}

impl Issuer {
    fn is_named_by(&self, claims: &Map<String, Value>) -> bool {
        claims.get("iss").and_then(Value::as_str) == Some(&self.issuer)
    }

    fn is_meant(&self, claims: &Map<String, Value>) -> bool {
        let ours = |it: &Value| {
            it.as_str()
                .is_some_and(|it| self.audiences.iter().any(|aud| aud == it))
        };
        match claims.get("aud") {
            Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        }
    }
}

struct Times {
    expires: i64,
    not_before: Option<i64>,
    issued_at: Option<i64>,
}

impl Times {
    /// Whole seconds only: a text or a fraction means something else to every reader.
    fn read(claims: &Map<String, Value>) -> Option<Self> {
        let whole = |name: &str| match claims.get(name) {
            Some(value) => value
                .as_i64()
                .filter(|it| (0..=253_402_300_799).contains(it))
                .map(Some),
            None => Some(None),
        };
        Some(Self {
            expires: whole("exp")??,
            not_before: whole("nbf")?,
            issued_at: whole("iat")?,
        })
    }
}
