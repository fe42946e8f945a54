//! JWTs: rows J of the threat model, through the whole stack.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as B64;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm as Alg, EncodingKey};
use serde_json::{Value, json};
use tollgate::clock::FakeClock;
use tollgate::document::Report;
use tollgate::pipeline::authenticate::{Algorithm, Issuer, KeySet};
use tollgate::policy::{PolicyFiles, compile};
use tollgate::replay::Replay;

use crate::world::{Setup, World};

const NOW: i64 = 1_800_000_000;

struct Signer {
    kid: &'static str,
    alg: Alg,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    fn es256(kid: &'static str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        )
        .unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let point = pair.public_key().as_ref();
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..])});
        Self {
            kid,
            alg: Alg::ES256,
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
            jwk,
        }
    }

    fn eddsa(kid: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": B64.encode(pair.public_key().as_ref())});
        Self {
            kid,
            alg: Alg::EdDSA,
            key: EncodingKey::from_ed_der(pkcs8.as_ref()),
            jwk,
        }
    }

    fn rs256(kid: &'static str) -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let jwk = json!({"kty": "RSA", "alg": "RS256", "kid": kid,
            "n": B64.encode(public.modulus().big_endian_without_leading_zero()),
            "e": B64.encode(public.exponent().big_endian_without_leading_zero())});
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        Self {
            kid,
            alg: Alg::RS256,
            key: EncodingKey::from_rsa_der(&pkcs1(der.as_ref())),
            jwk,
        }
    }

    fn name(&self) -> &'static str {
        match self.alg {
            Alg::ES256 => "ES256",
            Alg::RS256 => "RS256",
            _ => "EdDSA",
        }
    }

    /// Signs whatever header and claims are given, as they are.
    fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", B64.encode(header), B64.encode(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.alg).unwrap();
        format!("{message}.{signature}")
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.name(), "typ": "JWT", "kid": self.kid});
        self.sign(&header.to_string(), &claims.to_string())
    }
}

/// The RSA key inside of a PKCS#8 document: its last OCTET STRING.
fn pkcs1(pkcs8: &[u8]) -> Vec<u8> {
    let at = pkcs8
        .windows(4)
        .position(|it| it[0] == 0x04 && it[1] == 0x82)
        .unwrap();
    pkcs8[at + 4..].to_vec()
}

fn issuer(name: &str, signers: &[&Signer]) -> Issuer {
    let keys: Vec<&Value> = signers.iter().map(|it| &it.jwk).collect();
    Issuer {
        name: name.to_owned(),
        issuer: format!("https://{name}.example"),
        audiences: vec!["tollgate".to_owned()],
        algorithms: signers
            .iter()
            .map(|it| Algorithm::named(it.name()).unwrap())
            .collect(),
        keys: KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
            .unwrap()
            .into(),
    }
}

const POLICY: &str = r#"
team: t
callers:
  pipeline: { jwt: { issuer: ci, claims: { repository: acme/ds, protected: true, run: 7 } } }
  broad: { jwt: { issuer: ci, claims: { team: b } } }
  narrow: { jwt: { issuer: ci, claims: { sub: both } } }
allow: [{ name: self, operations: [self.get], organizations: any }]
"#;

fn claims() -> Value {
    json!({"iss": "https://ci.example", "aud": "tollgate", "sub": "run-1", "exp": NOW + 600, "iat": NOW,
        "repository": "acme/ds", "protected": true, "run": 7})
}

fn with(changes: Value) -> Value {
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value == "(absent)" {
            all.as_object_mut().unwrap().remove(name);
        } else {
            all[name] = value.clone();
        }
    }
    all
}

async fn world(issuers: Vec<Issuer>) -> World {
    World::with(Setup {
        policy: POLICY.to_owned(),
        issuers,
        issuer_names: vec!["ci"],
        clock: Arc::new(FakeClock::at(Timestamp::from_second(NOW).unwrap())),
        ..Setup::default()
    })
    .await
}

impl World {
    async fn with_token(&self, token: &str) -> crate::answer::Answer {
        self.canaries.lock().unwrap().push(token.to_owned());
        let request = http::Request::get("/").header("authorization", format!("Bearer {token}"));
        self.send("/v3/self", request, "").await
    }
}

#[tokio::test]
async fn a_log_of_tokens_is_decided_again_by_their_claims() {
    let signer = Signer::es256("e");
    let world = world(vec![issuer("ci", &[&signer])]).await;
    for token in [
        claims(),
        with(json!({"repository": "acme/other"})),
        with(json!({"protected": "(absent)", "team": "b"})),
        with(json!({"team": "b"})),
    ] {
        world.with_token(&signer.token(&token)).await;
    }
    world.lines().await;
    let log = world.log.text();
    let replayed = |candidate: &str| {
        let [base, candidate] = [POLICY, candidate].map(|text| {
            let mut mistakes = Report::default();
            let files = PolicyFiles::from_texts([("policy.yaml", text)], &mut mistakes);
            compile(&files, &["ci"], &mut mistakes).unwrap()
        });
        let mut replay = Replay::new(&base, &candidate);
        for line in log.lines() {
            replay.line(line.as_bytes()).unwrap();
        }
        let report = replay.finish();
        assert_eq!(report.drifted(), 0);
        (report.unchanged, report.flips(), report.undecided())
    };
    assert_eq!(replayed(POLICY), (4, 0, 0));
    // The one that was two callers' is one's now, and the one that was nobody's has no such claim.
    assert_eq!(replayed(&POLICY.replace("team: b", "team: c")), (2, 2, 0));
    assert_eq!(replayed(&POLICY.replace("run: 7", "run: 8")), (2, 2, 0));
    // Nobody looked at a branch, and it matters for the two that have all else.
    let branch = POLICY.replace("run: 7", "branch: main");
    assert_eq!(replayed(&branch), (2, 0, 2));
    world.finish().await;
}

#[tokio::test]
async fn a_token_of_each_algorithm_is_its_caller() {
    let signers = [Signer::es256("e"), Signer::rs256("r"), Signer::eddsa("d")];
    let world = world(vec![issuer("ci", &[&signers[0], &signers[1], &signers[2]])]).await;
    for signer in &signers {
        world
            .with_token(&signer.token(&claims()))
            .await
            .is_upstream(200);
        let line = world.last_line().await;
        assert_eq!(line["caller"], "pipeline");
        let identity = &line["identity"];
        assert_eq!(
            (&identity["kind"], &identity["issuer"], &identity["key_id"]),
            (&"jwt".into(), &"ci".into(), &signer.kid.into())
        );
        assert_eq!(identity["claims"]["repository"], "acme/ds");
        assert_eq!(identity["claims"]["run"], 7);
        // It was looked for, and is not there.
        assert_eq!(identity["claims"].get("team"), Some(&Value::Null));
        assert_eq!(identity["subject"], "run-1");
    }
    world.finish().await;
}

#[tokio::test]
async fn j6_j7_claims_of_time_issuer_and_audience() {
    let signer = Signer::es256("e");
    let world = world(vec![issuer("ci", &[&signer])]).await;
    for (changes, code) in [
        (json!({"exp": NOW - 30}), ""),
        (json!({"exp": NOW - 60}), "credential-expired"),
        (json!({"exp": NOW - 6_000}), "credential-expired"),
        (json!({"exp": "(absent)"}), "credential-invalid"),
        (
            json!({"exp": (NOW + 600).to_string()}),
            "credential-invalid",
        ),
        (json!({"exp": NOW as f64 + 600.5}), "credential-invalid"),
        (json!({"exp": -1}), "credential-invalid"),
        (json!({"exp": 1e18}), "credential-invalid"),
        (json!({"nbf": NOW + 59}), ""),
        (json!({"nbf": NOW + 61}), "credential-invalid"),
        (json!({"nbf": "x"}), "credential-invalid"),
        (json!({"iat": NOW + 61}), "credential-invalid"),
        (json!({"iss": "(absent)"}), "credential-invalid"),
        (json!({"iss": "https://ci.example/"}), "credential-invalid"),
        (
            json!({"iss": "https://other.example"}),
            "credential-invalid",
        ),
        (json!({"aud": "(absent)"}), "credential-invalid"),
        (json!({"aud": "Tollgate"}), "credential-invalid"),
        (json!({"aud": []}), "credential-invalid"),
        (json!({"aud": ["other", "tollgate"]}), ""),
        (json!({"aud": ["tollgate", 1]}), "credential-invalid"),
    ] {
        let answer = world
            .with_token(&signer.token(&with(changes.clone())))
            .await;
        match code {
            "" => answer.is_upstream(200),
            code => answer.is_problem(401, code),
        };
    }
    // A token past its end with a wrong signature is not told that it had an end.
    let token = signer.token(&with(json!({"exp": NOW - 6_000})));
    let forged = Signer::es256("e").token(&with(json!({"exp": NOW - 6_000})));
    world
        .with_token(&forged)
        .await
        .is_problem(401, "credential-invalid");
    world
        .with_token(&token)
        .await
        .is_problem(401, "credential-expired");
    world.finish().await;
}

#[tokio::test]
async fn j9_claims_map_to_one_caller_or_to_none() {
    let signer = Signer::es256("e");
    let world = world(vec![issuer("ci", &[&signer])]).await;
    for (changes, code) in [
        (json!({"repository": "acme/ds2"}), "caller-unknown"),
        (json!({"repository": ["acme/ds"]}), "caller-unknown"),
        (json!({"repository": "ACME/ds"}), "caller-unknown"),
        (json!({"protected": "true"}), "caller-unknown"),
        (json!({"run": "7"}), "caller-unknown"),
        (json!({"run": 7.5}), "caller-unknown"),
        (json!({"run": 8, "team": "b"}), ""),
        (
            json!({"run": 8, "team": "b", "sub": "both"}),
            "caller-ambiguous",
        ),
        (json!({"team": "b"}), "caller-ambiguous"),
    ] {
        let answer = world
            .with_token(&signer.token(&with(changes.clone())))
            .await;
        match code {
            "" => answer.is_upstream(200),
            code => answer.is_problem(403, code),
        };
    }
    // Duplicate names have two meanings, so the token has none.
    let twice = claims()
        .to_string()
        .replacen('{', "{\"repository\":\"acme/evil\",", 1);
    let token = signer.sign(r#"{"alg":"ES256","kid":"e"}"#, &twice);
    world
        .with_token(&token)
        .await
        .is_problem(401, "credential-invalid");
    world.finish().await;
}

#[tokio::test]
async fn j1_to_j5_j10_headers_that_attack() {
    let (signer, rsa) = (Signer::es256("e"), Signer::rs256("r"));
    let world = world(vec![issuer("ci", &[&signer]), issuer("other", &[&rsa])]).await;
    let claims = claims().to_string();
    let good = signer.sign(r#"{"alg":"ES256","kid":"e"}"#, &claims);
    world.with_token(&good).await.is_upstream(200);
    for header in [
        r#"{"alg":"none","kid":"e"}"#,
        r#"{"alg":"NoNe"}"#,
        r#"{"alg":"HS256","kid":"e"}"#,
        r#"{"alg":"RS256","kid":"e"}"#,
        r#"{"alg":"es256","kid":"e"}"#,
        r#"{"kid":"e"}"#,
        r#"{"alg":null,"kid":"e"}"#,
        r#"{"alg":"ES256","kid":"r"}"#,
        r#"{"alg":"ES256","kid":"../../dev/null"}"#,
        r#"{"alg":"ES256","kid":7}"#,
        r#"{"alg":"ES256","kid":"e","crit":["exp"]}"#,
        r#"{"alg":"ES256","kid":"e","b64":false}"#,
        r#"{"alg":"ES256","kid":"e","jku":"https://evil/"}"#,
        r#"{"alg":"ES256","kid":"e","jwk":{}}"#,
        r#"{"alg":"ES256","kid":"e","x5u":"x"}"#,
        r#"{"alg":"ES256","kid":"e","x5c":[]}"#,
        r#"{"alg":"ES256","kid":"e","typ":"dpop+jwt"}"#,
        r#"{"alg":"ES256","kid":"e","cty":"JWT"}"#,
        r#"{"alg":"ES256","kid":"e","alg":"none"}"#,
        r#"["ES256"]"#,
    ] {
        let token = signer.sign(header, &claims);
        world
            .with_token(&token)
            .await
            .is_problem(401, "credential-invalid");
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        world
            .with_token(&unsigned)
            .await
            .is_problem(401, "credential-invalid");
    }
    let (message, signature) = good.rsplit_once('.').unwrap();
    let hmac = jsonwebtoken::crypto::sign(
        format!(
            "{}.{}",
            B64.encode(r#"{"alg":"HS256","kid":"e"}"#),
            B64.encode(&claims)
        )
        .as_bytes(),
        &EncodingKey::from_secret(signer.jwk.to_string().as_bytes()),
        Alg::HS256,
    )
    .unwrap();
    for token in [
        format!(
            "{}.{}.{hmac}",
            B64.encode(r#"{"alg":"HS256","kid":"e"}"#),
            B64.encode(&claims)
        ),
        format!("{message}."),
        message.to_owned(),
        format!("{message}.{signature}.{signature}"),
        format!("{good}="),
        format!("{message}.{}", signature.to_uppercase()),
        format!("{message}.{}", B64.encode([0; 64])),
        // Another issuer's key, with this issuer's claims.
        rsa.sign(r#"{"alg":"RS256","kid":"r"}"#, &claims),
        "a".repeat(12_000),
    ] {
        world
            .with_token(&token)
            .await
            .is_problem(401, "credential-invalid");
    }
    assert_eq!(world.upstream().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn j11_key_sets_are_held_to_floors() {
    let good = Signer::es256("e").jwk;
    let rsa = Signer::rs256("r").jwk;
    let change = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let no_kid = |jwk: &Value| {
        let mut jwk = jwk.clone();
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let weak = B64.encode([0xff; 128]);
    for keys in [
        json!([]),
        json!([good, good]),
        json!([no_kid(&good), rsa]),
        json!([change(&good, "use", json!("enc"))]),
        json!([change(&good, "use", json!(1))]),
        json!([change(&good, "key_ops", json!(["sign"]))]),
        json!([change(&good, "crv", json!("P-384"))]),
        json!([change(&good, "alg", json!("ES384"))]),
        json!([change(&good, "alg", json!("RS256"))]),
        json!([change(&good, "d", json!("AA"))]),
        json!([change(&good, "x", json!("AA"))]),
        json!([change(&rsa, "n", json!(weak))]),
        json!([change(&rsa, "e", json!("AQ"))]),
        json!([change(&rsa, "e", json!("Aw"))]),
        json!([{"kty": "oct", "kid": "s", "k": ""}]),
        json!([{"kty": "OKP", "crv": "X25519", "kid": "x", "x": B64.encode([1; 32])}]),
        json!([{"kty": "OKP", "crv": "Ed25519", "kid": "x", "x": B64.encode([0; 32])}]),
    ] {
        let set = json!({ "keys": keys }).to_string();
        assert!(KeySet::parse(set.as_bytes()).is_err(), "{set}");
    }
    for bad in [
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[],\"keys\":[]}",
        "<html>",
        "",
    ] {
        assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(KeySet::parse(json!({"keys": [no_kid(&good)]}).to_string().as_bytes()).is_ok());
}
