//! Awkward strings, wherever a caller can put text.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::corpus;
use super::wire::{Entry, send};
use crate::settling::without_our_tag;
use crate::world::World;

fn strings() -> Option<Vec<String>> {
    let path = corpus("strings/blns.json")?;
    let strings: Vec<String> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(strings.len() > 400);
    Some(strings)
}

#[tokio::test]
async fn r9_awkward_strings_are_one_log_line_and_unchanged_upstream() {
    let Some(strings) = strings() else {
        return;
    };
    let world = World::start().await;
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
    world.finish().await;
}

#[tokio::test]
async fn r9_awkward_strings_in_headers_targets_and_tags() {
    let Some(strings) = strings() else {
        return;
    };
    let world = World::start().await;
    let mut entries = Vec::new();
    let close = "Connection: close\r\n";
    for (at, text) in strings.iter().enumerate() {
        // A line's end would only be the end of the line.
        let line = text.replace(['\r', '\n'], " ");
        let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC);
        let read = |target: String| world.head("GET", &target) + close;
        let sessions = "/v3/organizations/org-ds/sessions";
        let get = read(format!("{sessions}/devin-{at}"));
        let tags = json!({ "tags": [text] }).to_string();
        let post = world.head("POST", "/v3/enterprise/organizations/org-ds/tags");
        let length = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            tags.len()
        );
        let key = world.key("one");
        let nobody = format!("GET /v3/self HTTP/1.1\r\nHost: x\r\n{close}");
        for (place, bytes) in [
            ("agent", format!("{get}User-Agent: {line}\r\n\r\n")),
            (
                "id",
                format!("{get}X-Request-Id: {line}\r\ntraceparent: {line}\r\n\r\n"),
            ),
            (
                "key",
                format!("{nobody}Authorization: Bearer {line}\r\n\r\n"),
            ),
            (
                "behind",
                format!("{nobody}Authorization: Bearer {key}{line}\r\n\r\n"),
            ),
            ("segment", read(format!("{sessions}/{encoded}")) + "\r\n"),
            ("raw", read(format!("{sessions}/{text}")) + "\r\n"),
            (
                "query",
                read(format!("{sessions}/devin-q{at}?x={encoded}")) + "\r\n",
            ),
            ("tags", format!("{post}{length}{close}\r\n{tags}")),
        ] {
            entries.push(Entry::new(format!("{place} {at}"), bytes));
        }
    }
    let mut served = 0;
    for became in send(&world, entries).await {
        became.is_sound();
        let (place, at) = became.entry.name.split_once(' ').unwrap();
        let text = &strings[at.parse::<usize>().unwrap()];
        let statuses = became.statuses();
        assert!(
            became.seen.len() <= 1 && statuses.len() <= 1,
            "{place} {text:?}"
        );
        served += became.seen.len();
        match place {
            "key" => assert!([[400], [401]].iter().any(|it| statuses == it), "{text:?}"),
            "behind" if !text.trim().is_empty() => assert!(became.seen.is_empty(), "{text:?}"),
            "tags" => {
                let body: Value = serde_json::from_slice(&became.seen[0].body).unwrap();
                assert_eq!(body["tags"][0], text.as_str());
            }
            _ => {}
        }
        for (line, seen) in became.lines.iter().zip(&became.seen) {
            assert_eq!(line["path"], seen.path);
            if place == "agent" {
                let sent = seen.header("user-agent").unwrap_or_default();
                // What is no text is not told as one, and what looks like a credential not at all.
                assert!(sent.is_empty() || text.contains(sent.trim()), "{text:?}");
            }
        }
    }
    assert!(served > 1_000, "{served}");
    world.finish().await;
}
