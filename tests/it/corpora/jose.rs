//! Wycheproof's signatures, each under its own key.

use serde_json::{Value, json};
use tollgate::pipeline::authenticate::{KeySet, check_signature};

use super::corpus;

#[test]
fn j11_wycheproofs_signatures_are_judged_as_it_says() {
    let Some(folder) = corpus("jose/wycheproof") else {
        return;
    };
    let (mut judged, mut sets) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let Ok(file) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        for group in file["testGroups"].as_array().unwrap_or(&Vec::new()) {
            let key = if group["public"].is_object() {
                &group["public"]
            } else {
                &group["private"]
            };
            if !key.is_object() {
                continue;
            }
            let set = if key["keys"].is_array() {
                key.clone()
            } else {
                json!({ "keys": [public(key)] })
            };
            let keys = KeySet::parse(set.to_string().as_bytes());
            sets += 1;
            for test in group["tests"].as_array().unwrap() {
                let Some(token) = test["jws"].as_str() else {
                    continue;
                };
                let kid = key["kid"].as_str();
                let accepted = keys.as_ref().is_ok_and(|keys| {
                    keys.find(kid).or(keys.find(None)).is_some_and(|key| {
                        token.split('.').count() == 3 && check_signature(token, key)
                    })
                });
                judged += 1;
                let is_served = keys.is_ok();
                match test["result"].as_str().unwrap() {
                    "invalid" => assert!(!accepted, "{} {}", path.display(), test["comment"]),
                    "valid" if is_served => {
                        assert!(accepted, "{} {}", path.display(), test["comment"])
                    }
                    // Keys for algorithms that are not served here are refused with their whole set.
                    _ => {}
                }
            }
        }
    }
    assert!(judged > 30 && sets > 5, "{judged} tokens, {sets} sets");
}

/// The public half of a key, as an issuer would publish it.
fn public(key: &Value) -> Value {
    let mut key = key.clone();
    let members = key.as_object_mut().unwrap();
    for private in ["d", "p", "q", "dp", "dq", "qi"] {
        members.remove(private);
    }
    // A key for signing is for verifying once its private half is gone.
    members.remove("key_ops");
    key
}
