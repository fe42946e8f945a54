//! Stage 6: whose request is this? Makes [`Identified`].
//!
//! Credential → identity → caller, and the credential is taken off the request
//! here: nothing below this stage can see it. Two kinds are known: API keys
//! ([`crate::api_key`]) and JWTs (`jwt`, with the keys of `jwks`). Refusals do
//! not say which check failed, beyond "expired".

mod jwks;
mod jwt;
mod keys;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Classified;
use super::stage::Stage;
use crate::api_key;
use crate::catalogue::OperationIx;
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::policy::{CallerIx, KeyDigest, Match, Policy};
use crate::rejection::Rejection;
use crate::ruleset::Limiters;
use crate::target::Target;
use crate::trail::{Identity, KnownCaller};

pub use jwks::{Algorithm, KeySet, KeySetError, VerifyingKey};
pub use jwt::{Claims, Issuer, JwtError, check_signature};
pub use keys::Keys;

/// The longest credential that is looked at, in bytes, before any decoding.
const MAX_CREDENTIAL: usize = 16 * 1024;

/// Proof that the request is one caller's.
#[derive(Clone, Debug)]
pub struct Identified {
    classified: Classified,
    caller: CallerIx,
}

impl Identified {
    /// The policy set.
    pub fn policy(&self) -> &Arc<Policy> {
        self.classified.policy()
    }
    /// What is left of its limits.
    pub fn limiters(&self) -> &Limiters {
        self.classified.limiters()
    }
    /// The caller, of that set.
    pub fn caller(&self) -> CallerIx {
        self.caller
    }
    /// The operation.
    pub fn operation(&self) -> OperationIx {
        self.classified.operation()
    }
    /// The organization that the path names.
    pub fn organization(&self) -> Option<&str> {
        self.classified.organization()
    }
    /// The session that the path names.
    pub fn session(&self) -> Option<&str> {
        self.classified.session()
    }
    /// The target that was judged.
    pub fn target(&self) -> &Target {
        self.classified.target()
    }
}

/// The stage.
#[derive(Clone, Debug)]
pub struct Authenticate {
    issuers: Arc<[Issuer]>,
    clock: Arc<dyn Clock>,
}

impl Authenticate {
    /// With tokens of these issuers, judged at the time of `clock`.
    pub fn new(issuers: Arc<[Issuer]>, clock: Arc<dyn Clock>) -> Self {
        Self { issuers, clock }
    }
}

impl Stage<Classified> for Authenticate {
    type Out = Identified;

    fn judge(&self, mut exchange: Exchange<Classified>) -> Result<Exchange<Identified>, Rejection> {
        let policy = Arc::clone(exchange.proof.policy());
        let caller = self.caller(&policy, exchange.request.headers(), &exchange.trail)?;
        exchange.request.headers_mut().remove(AUTHORIZATION);
        Ok(exchange.prove(|classified| Identified { classified, caller }))
    }
}

impl Authenticate {
    /// Whose request this is, by the credential in these headers.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn caller(
        &self,
        policy: &Policy,
        headers: &HeaderMap,
        trail: &crate::trail::Trail,
    ) -> Result<CallerIx, Rejection> {
        let credential = bearer(headers)?;
        let (caller, identity) = if credential.starts_with(api_key::PREFIX) {
            self.by_key(policy, credential, trail)
        } else {
            self.by_token(policy, credential, trail)
        }?;
        let _ = trail.identity.set(identity);
        let known = policy.caller(caller);
        let _ = trail.caller.set(KnownCaller {
            name: Arc::clone(known.name()),
            team: Arc::clone(known.team()),
        });
        Ok(caller)
    }

    fn by_key(
        &self,
        policy: &Policy,
        credential: &str,
        trail: &crate::trail::Trail,
    ) -> Result<(CallerIx, Identity), Rejection> {
        let presented = api_key::parse(credential);
        let presented =
            presented.ok_or_else(|| invalid("no key has this form, or its checksum is wrong"))?;
        let stored = policy.key(presented.id);
        // An unknown id costs a comparison like a known one.
        let nobody = KeyDigest::new([0; 32]);
        let digest = stored.map_or(&nobody, |stored| &stored.digest);
        let is_equal = verify_slices_are_equal(presented.digest.bytes(), digest.bytes()).is_ok();
        let stored = match stored {
            Some(stored) if is_equal => stored,
            Some(_) => return Err(invalid("the key's secret is not that of its id")),
            None => return Err(invalid("no key has this id")),
        };
        let id = presented.id.to_owned();
        if stored.expires.is_some_and(|end| end <= self.clock.now()) {
            // It was this key once, and its owner has to know which.
            let _ = trail.identity.set(Identity::ApiKey { id });
            return Err(Rejection::CredentialExpired);
        }
        Ok((stored.caller, Identity::ApiKey { id }))
    }

    fn by_token(
        &self,
        policy: &Policy,
        credential: &str,
        trail: &crate::trail::Trail,
    ) -> Result<(CallerIx, Identity), Rejection> {
        let verified = jwt::verify(&self.issuers, credential, self.clock.now());
        let (issuer, claims) = verified.map_err(|error| match error {
            JwtError::Expired => Rejection::CredentialExpired,
            JwtError::Invalid(cause) => invalid(cause),
        })?;
        let identity = identity(policy, issuer, &claims);
        let issuer = issuer.name.clone();
        match policy.match_claims(&issuer, &claims.all) {
            Match::One(caller) => Ok((caller, identity)),
            refused @ (Match::None | Match::Several) => {
                // The identity is proved, so the log may name it although it is no caller's.
                let _ = trail.identity.set(identity);
                Err(match refused {
                    Match::Several => Rejection::CallerAmbiguous { issuer },
                    Match::None | Match::One(_) => Rejection::CallerUnknown { issuer },
                })
            }
        }
    }
}

/// The most claims that are noted as absent: a policy can name any number.
const MAX_ABSENT: usize = 64;

fn identity(policy: &Policy, issuer: &Issuer, claims: &Claims) -> Identity {
    let mut shown: Vec<(String, serde_json::Value)> = Vec::new();
    let mut absent = 0;
    for name in policy.claim_names(&issuer.name) {
        // That a claim was looked for and not there is a fact, too: another policy can be tried on it.
        let value = claims.all.get(name).cloned();
        absent += usize::from(value.is_none());
        if value.is_some() || absent <= MAX_ABSENT {
            shown.push((name.to_owned(), value.unwrap_or_default()));
        }
    }
    Identity::Jwt {
        issuer: issuer.name.clone(),
        subject: claims
            .all
            .get("sub")
            .and_then(|it| it.as_str())
            .map(str::to_owned),
        key_id: claims.key_id.clone(),
        claims: shown,
    }
}

/// The token of the one `Authorization` header (RFC 6750 section 2.1). No other place is looked at.
fn bearer(headers: &HeaderMap) -> Result<&str, Rejection> {
    let value = headers
        .get(AUTHORIZATION)
        .ok_or(Rejection::CredentialMissing)?;
    if value.len() > MAX_CREDENTIAL {
        return Err(invalid("it is longer than any credential"));
    }
    let text = value
        .to_str()
        .map_err(|_| invalid("it has characters that no credential has"))?;
    let scheme_missing = || invalid("the scheme `Bearer` is missing");
    let (scheme, token) = text.split_once(' ').ok_or_else(scheme_missing)?;
    let is_token = |it: u8| it.is_ascii_alphanumeric() || b"-._~+/=".contains(&it);
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(scheme_missing());
    }
    if token.is_empty() || !token.bytes().all(is_token) {
        return Err(invalid("what follows `Bearer` is not one token"));
    }
    Ok(token)
}

fn invalid(cause: &'static str) -> Rejection {
    Rejection::CredentialInvalid { cause }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        match bearer(&headers) {
            Ok(token) => token.to_owned(),
            Err(rejection) => rejection.code().name().to_owned(),
        }
    }

    #[test]
    fn h2_credentials_are_parsed_and_not_patched() {
        assert_eq!(read("Bearer abc"), "abc");
        assert_eq!(read("bEARER abc="), "abc=");
        for bad in [
            "Bearer",
            "Bearer ",
            "Bearer  a",
            "Bearer a b",
            "Bearer a, Bearer b",
            "Basic YTpi",
            "abc",
            "Bearer\ta",
            " Bearer a",
            "BearerX a",
            "Token a",
            "",
        ] {
            assert_eq!(read(bad), "credential-invalid", "{bad:?}");
        }
        assert_eq!(
            read(&format!("Bearer {}", "a".repeat(MAX_CREDENTIAL))),
            "credential-invalid"
        );
        assert!(matches!(
            bearer(&HeaderMap::new()),
            Err(Rejection::CredentialMissing)
        ));
    }
}
