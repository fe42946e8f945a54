//! Awkward strings, wherever a caller can put text.

use serde_json::json;

use super::corpus;
use crate::settling::without_our_tag;

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
