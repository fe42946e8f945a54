//! The invariants G1 to G5 and G7 of the threat model, as far as they are seen from outside.

use std::collections::{BTreeSet, HashMap};

use http::Method;
use serde_json::Value;
use tollgate::fake_devin::Recorded;

use crate::world::{World, trace};

impl World {
    /// G1: one `Authorization`, the service token's, and nothing of the caller's.
    pub(crate) fn check_upstream(&self, upstream: &[Recorded]) {
        let expected = format!("Bearer {}", self.token);
        let never = [
            "cookie",
            "proxy-authorization",
            "x-forwarded-client-cert",
            "x-forwarded-for",
            "forwarded",
        ];
        for request in upstream {
            let mut authorizations = 0;
            for (name, value) in &request.headers {
                if name == "authorization" {
                    authorizations += 1;
                    assert_eq!(value.as_bytes(), expected.as_bytes(), "G1");
                }
                assert!(
                    !never.contains(&name.as_str()) && !name.as_str().starts_with("tollgate-"),
                    "G1: {name}"
                );
                for canary in self.canaries.lock().unwrap().iter() {
                    assert!(!contains(value.as_bytes(), canary.as_bytes()), "G1: {name}");
                }
            }
            assert_eq!(
                authorizations, 1,
                "G1: {} {}",
                request.method, request.target
            );
        }
    }

    /// G3, and the same for callers' credentials: in no answer, log line or trace.
    pub(crate) fn check_secrets(&self) {
        let trace = trace().lock().unwrap();
        let log = self.log.text();
        let answers = self.answers.lock().unwrap();
        // Everything that is looked for is ASCII, and a text is searched much faster than bytes.
        let places = [
            ("an answer", String::from_utf8_lossy(&answers)),
            ("the access log", log.into()),
            ("the trace", String::from_utf8_lossy(&trace)),
        ];
        for (place, text) in &places {
            for start in 0..=self.token.len() - 12 {
                assert!(
                    !text.contains(&self.token[start..start + 12]),
                    "G3: a piece of the token is in {place}"
                );
            }
            for shifted in 0..3 {
                use base64::Engine;
                let token = &self.token.as_bytes()[shifted..];
                let encoded =
                    base64::prelude::BASE64_STANDARD_NO_PAD.encode(&token[..token.len() / 3 * 3]);
                assert!(
                    !text.contains(&encoded[..16]),
                    "G3: the token is in {place}, in base64"
                );
            }
            for canary in self.canaries.lock().unwrap().iter() {
                // The secret half of a key; all of a token but its well-known beginning.
                let secret = canary.rsplit(['_', '.']).next().unwrap();
                assert!(
                    secret.len() < 12 || !text.contains(secret),
                    "a credential is in {place}"
                );
            }
        }
    }
}

/// G2 and G7: what the fake saw is exactly what the log says was allowed and sent.
pub(crate) fn check_join(lines: &[&Value], upstream: &[Recorded]) {
    let mut seen: HashMap<&str, Vec<&Recorded>> = HashMap::new();
    for request in upstream {
        let id = request
            .header("x-request-id")
            .expect("G2: our id goes along");
        let same = seen.entry(id).or_default();
        same.push(request);
    }
    for line in lines {
        let id = line["request_id"].as_str().unwrap();
        let attempts = line["upstream_attempts"].as_u64().unwrap();
        let retries = line["upstream_retries"].as_u64().unwrap_or(0);
        let requests = seen.remove(id).unwrap_or_default();
        let targets: BTreeSet<&str> = requests.iter().map(|it| it.target.as_str()).collect();
        let twice = (requests.len() - targets.len()) as u64;
        assert!(twice <= retries, "G2: sent twice: {line}");
        assert!(retries <= attempts.saturating_sub(1), "G2: {line}");
        for request in &requests {
            // What changes anything arrives once.
            assert!(twice == 0 || request.method == Method::GET, "G2: {line}");
            // The gateway's own reads have no caller.
            assert!(
                line["kind"] == "own" || line["decision"] == "allow",
                "G2: {line}"
            );
            assert_eq!(line["method"], request.method.as_str(), "G2: {line}");
            assert_eq!(line["path"], request.path, "G2: {line}");
            assert!(line["operation"].is_string(), "G2: {line}");
        }
        let left = line["code"].as_str().is_some_and(|code| {
            code.starts_with("upstream-") || ["body-too-large", "body-invalid"].contains(&code)
        }) || line["outcome"] == "client-gone";
        let sent = requests.len() as u64;
        // An attempt before a retry may have had no connection.
        let lost = left || retries > 0;
        assert!(sent == attempts || (lost && sent < attempts), "G2: {line}");
        // Only the pages of a filtered list, and what is sent again, are several requests for one.
        let lists = [
            "organizations.list",
            "sessions.list",
            "sessions.insights.list",
            "enterprise.sessions.list",
            "enterprise.sessions.insights.list",
        ];
        let operation = line["operation"].as_str().unwrap_or_default();
        let firsts = attempts - retries;
        assert!(firsts <= 1 || lists.contains(&operation), "G2: {line}");
    }
    assert!(
        seen.is_empty(),
        "G7: the fake saw what no line says was sent"
    );
}

pub(crate) fn parse(log: &str) -> Vec<Value> {
    log.lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("G4: {error}: {line}"))
        })
        .collect()
}

fn contains(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}
