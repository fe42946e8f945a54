//! Test data that others published, from the folder that TOLLGATE_TESTDATA names.
//!
//! Without it these tests say that they were skipped; with it, a missing file fails.

use crate::settling::without_our_tag;
use std::path::PathBuf;

use serde_json::{Value, json};
use tollgate::json::{Document, Invalid, Node};
use tollgate::pipeline::authenticate::{KeySet, check_signature};
use tollgate::target::Target;

#[expect(
    clippy::disallowed_methods,
    reason = "the folder of corpora is named by a variable"
)]
fn corpus(path: &str) -> Option<PathBuf> {
    let Ok(folder) = std::env::var("TOLLGATE_TESTDATA") else {
        eprintln!("SKIPPED: TOLLGATE_TESTDATA is not set");
        return None;
    };
    let path = PathBuf::from(folder).join(path);
    assert!(path.exists(), "{} is missing", path.display());
    Some(path)
}

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

#[test]
fn p1_fuzzdbs_traversals_are_no_operation() {
    let Some(folder) = corpus("paths/fuzzdb") else {
        return;
    };
    let catalogue = tollgate::catalogue::Catalogue::new();
    let mut tried = 0;
    for path in files(folder) {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        for line in text.lines() {
            for target in [
                line.to_owned(),
                format!("/v3/{line}"),
                format!("/v3/organizations/{line}/sessions"),
                format!("/v3/organizations/o/sessions/{line}"),
            ] {
                tried += 1;
                let (path, query) = target
                    .split_once('?')
                    .map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
                let Ok(target) = Target::parse(path, query) else {
                    continue;
                };
                if let Ok(found) = catalogue.find(&http::Method::GET, &target) {
                    // Only what is one plain id, byte for byte.
                    let plain = |value: &str| {
                        value
                            .bytes()
                            .all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
                    };
                    assert!(
                        found.parameters.iter().all(|(_, value)| plain(value)),
                        "{target:?}"
                    );
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn b6_the_json_test_suite_is_read_as_it_says() {
    let Some(folder) = corpus("json/JSONTestSuite/test_parsing") else {
        return;
    };
    let (mut refused, mut read, mut either) = (0, 0, 0);
    for path in files(folder) {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let document = Document::parse(&bytes);
        if let Ok(document) = &document {
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(document.root().to_value(), value, "{name}");
            assert_same(document.root(), &value);
        }
        match name.split('_').next().unwrap() {
            "n" => {
                refused += 1;
                assert!(document.is_err(), "{name}");
            }
            // The suite takes the last of duplicates.
            "y" if name.contains("duplicated_key") => {
                refused += 1;
                assert!(
                    matches!(document, Err(Invalid::Duplicate { .. })),
                    "{name}: {document:?}"
                );
            }
            "y" => {
                read += 1;
                assert!(document.is_ok(), "{name}: {document:?}");
            }
            "i" => either += 1,
            other => panic!("{other} is no sort of test"),
        }
    }
    assert!(
        refused > 90 && read > 40 && either > 10,
        "{refused} {read} {either}"
    );
}

/// That each way to look at a value shows what `serde_json` reads there.
fn assert_same(node: Node<'_>, value: &Value) {
    assert_eq!(node.is_null(), value.is_null());
    assert_eq!(node.as_bool(), value.as_bool());
    assert_eq!(node.as_text().as_deref(), value.as_str());
    if let Some(whole) = node.as_whole() {
        assert_eq!(Some(whole), value.as_i64());
    }
    let items = node.items();
    assert_eq!(items.as_ref().map(Vec::len), value.as_array().map(Vec::len));
    for (at, item) in items.into_iter().flatten().enumerate() {
        assert_same(item, &value[at]);
    }
    let members = node.members();
    assert_eq!(
        members.as_ref().map(Vec::len),
        value.as_object().map(serde_json::Map::len)
    );
    for (name, member) in members.into_iter().flatten() {
        assert_same(member, &value[name.as_ref()]);
    }
}

fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(path))
        } else {
            all.push(path)
        }
    }
    all
}

#[tokio::test]
async fn r9_awkward_strings_are_one_log_line_and_unchanged_upstream() {
    let Some(path) = corpus("strings/blns.json") else {
        return;
    };
    let strings: Vec<String> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let world = crate::world::World::start().await;
    for text in &strings {
        let body =
            json!({"prompt": format!("p{text}"), "title": text, "secret_ids": []}).to_string();
        let mut request = http::Request::post("/")
            .header("authorization", format!("Bearer {}", world.key("one")))
            .header("content-type", "application/json");
        if let Ok(value) = http::HeaderValue::from_bytes(text.as_bytes()) {
            request = request.header("user-agent", value);
        }
        let answer = world
            .send("/v3/organizations/org-ds/sessions", request, &body)
            .await;
        assert!(
            answer.status.as_u16() == 200 || answer.status.as_u16() == 422,
            "{text:?}: {answer:?}"
        );
        // The cap is the one that the policy puts in.
        let sent = without_our_tag(&world.upstream().last().unwrap().body);
        assert_eq!(sent.replacen(",\"max_acu_limit\":5", "", 1), body);
    }
    assert!(strings.len() > 400);
    world.finish().await;
}
