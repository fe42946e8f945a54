//! The JSON test suite: by our reader, and as bodies.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tollgate::fake_devin::Recorded;
use tollgate::json::{Document, Invalid, Node};

use super::{corpus, files};
use crate::answer::Answer;
use crate::world::World;

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

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

/// Sends these bodies as sessions to create, some at once. Each answer, with what Devin got.
async fn create(world: &World, bodies: Vec<Vec<u8>>) -> Vec<(Answer, Option<Recorded>)> {
    let sent: Vec<_> = stream::iter(bodies)
        .map(|body| async {
            let request = Request::post(format!("http://{}{SESSIONS}", world.gateway))
                .header("authorization", format!("Bearer {}", world.key("one")))
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(body)))
                .unwrap();
            let (head, body) = world.begin(request).await.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            world.answered(&body);
            Answer {
                status: head.status,
                headers: head.headers,
                body,
            }
        })
        .buffered(16)
        .collect()
        .await;
    let upstream = world.upstream();
    let of = |answer: &Answer| {
        let id = answer.header("x-request-id");
        let mut seen = upstream.iter().filter(|it| it.header("x-request-id") == id);
        let first = seen.next().cloned();
        assert!(seen.next().is_none(), "{answer:?}");
        first
    };
    let with = |answer: Answer| {
        let seen = of(&answer);
        (answer, seen)
    };
    sent.into_iter().map(with).collect()
}

/// Fails unless what Devin got is what was sent, with what the policy and the gateway add and nothing else.
#[track_caller]
fn assert_judged(name: &str, sent: &[u8], seen: &Recorded) {
    let sent: Value = serde_json::from_slice(sent).unwrap();
    let got: Value = serde_json::from_slice(&seen.body).unwrap();
    let (sent, got) = (sent.as_object().unwrap(), got.as_object().unwrap());
    for (member, value) in sent {
        assert_eq!(&got[member], value, "{name}: {member}");
    }
    for member in got.keys().filter(|it| !sent.contains_key(*it)) {
        assert!(
            ["max_acu_limit", "secret_ids", "tags"].contains(&member.as_str()),
            "{name}: {member}"
        );
    }
}

#[tokio::test]
async fn b6_the_json_test_suite_as_bodies_that_are_judged() {
    let Some(folder) = corpus("json/JSONTestSuite/test_parsing") else {
        return;
    };
    let world = World::start().await;
    let mut names = Vec::new();
    let mut bodies = Vec::new();
    for path in files(folder) {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // An empty body is none, whose type nobody asks for.
        let begin = format!("{{\"prompt\":\"{name}\",\"structured_output_schema\":");
        let within = [begin.as_bytes(), &bytes, b"}"].concat();
        names.extend([format!("{name} alone"), format!("{name} within")]);
        bodies.extend([bytes, within]);
    }
    let (mut refused, mut served) = (0, 0);
    for (at, (answer, seen)) in create(&world, bodies.clone()).await.into_iter().enumerate() {
        let (name, body) = (names[at].as_str(), &bodies[at]);
        assert!(answer.status.as_u16() < 500, "{name}: {answer:?}");
        if let Some(seen) = &seen {
            assert_judged(name, body, seen);
            served += 1;
        }
        let (kind, is_within) = (&name[..1], name.ends_with("within"));
        let is_duplicate = name.contains("duplicated_key");
        match kind {
            "n" => {
                answer.is_problem(400, "body-invalid");
                refused += 1;
            }
            "y" if is_duplicate => {
                answer.is_problem(400, "body-invalid");
            }
            "y" if is_within => assert!(seen.is_some(), "{name}: {answer:?}"),
            _ => assert!(seen.is_some() || answer.status == 400, "{name}: {answer:?}"),
        }
    }
    assert!(refused > 180 && served > 45, "{refused} {served}");
    world.finish().await;
}

#[tokio::test]
async fn b3_fuzzdbs_integers_are_refused_or_held_exactly() {
    let Some(path) = corpus("json/fuzzdb/integer-overflows.txt") else {
        return;
    };
    let world = World::start().await;
    let file = std::fs::read_to_string(path).unwrap();
    let mut names = Vec::new();
    let mut bodies = Vec::new();
    for line in file.lines().filter(|it| !it.is_empty()) {
        // Most of them are in hex, which JSON has not: the number itself is tried as well.
        let hex = line.strip_prefix("0x");
        let number = hex.and_then(|it| u64::from_str_radix(it, 16).ok());
        let mut values = vec![line.to_owned(), format!("\"{line}\""), format!("{line}.0")];
        for number in number.into_iter().flat_map(|it| [it, it.wrapping_add(1)]) {
            values.extend([
                number.to_string(),
                format!("-{number}"),
                format!("{number}e0"),
            ]);
        }
        for value in values {
            let prompt = names.len();
            let body = format!("{{\"prompt\":\"cap {prompt}\",\"max_acu_limit\":{value}}}");
            bodies.push(body.into_bytes());
            names.push(value);
        }
    }
    let (mut refused, mut held) = (0, 0);
    for (at, (answer, seen)) in create(&world, bodies).await.into_iter().enumerate() {
        let value = names[at].as_str();
        let Some(seen) = seen else {
            assert!(
                [400, 402, 403].contains(&answer.status.as_u16()),
                "{value}: {answer:?}"
            );
            refused += 1;
            continue;
        };
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(body["max_acu_limit"].to_string(), value);
        assert_eq!(answer.header("tollgate-acu-cap"), Some(value));
        assert!(value.bytes().all(|it| it.is_ascii_digit()), "{value}");
        held += 1;
    }
    assert!(refused > 80 && held > 5, "{refused} {held}");
    world.finish().await;
}
