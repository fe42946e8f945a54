//! Many sessions: what is looked up by id, tag or parent is found, and nothing else.

use serde_json::{Value, json};

use super::super::Elsewhere;
use super::Harness;

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

/// Of each tag there are as many.
const MANY: usize = 20_000;
const TAGS: usize = 50;

#[tokio::test]
async fn thousands_of_sessions_are_found_by_id_tag_and_parent() {
    let devin = Harness::start().await;
    let begin = |parent: Option<&String>, tags: Vec<String>| {
        let order = Elsewhere {
            org: Some("org-ds".to_owned()),
            parent: parent.cloned(),
            tags,
            ..Elsewhere::default()
        };
        devin.fake.begin_elsewhere(order).unwrap()
    };
    let ids: Vec<String> = (0..MANY)
        .map(|n| begin(None, vec!["all".into(), format!("t{}", n % TAGS)]))
        .collect();
    let child = begin(ids.first(), Vec::new());

    let picked: Vec<&str> = ids.iter().step_by(MANY / 100).map(String::as_str).collect();
    let list = picked.join(",");
    let page = devin
        .get(&format!("{SESSIONS}?session_ids={list}"))
        .await
        .ok();
    let found = page["items"].as_array().unwrap().iter();
    let found: Vec<&str> = found.map(|it| it["session_id"].as_str().unwrap()).collect();
    let newest_first: Vec<&str> = picked.into_iter().rev().collect();
    assert_eq!(found, newest_first);

    let total = async |query: &str| -> Value {
        let page = devin.get(&format!("{SESSIONS}?{query}")).await.ok();
        page["total"].clone()
    };
    assert_eq!(total("tags=t7").await, json!(MANY / TAGS));
    assert_eq!(total("tags=t7,t8,nobody").await, json!(2 * MANY / TAGS));
    assert_eq!(total("tags=all").await, json!(MANY));
    assert_eq!(
        total(&format!("tags=t0&session_ids={},{}", ids[0], ids[1])).await,
        json!(1)
    );
    let page = devin
        .get(&format!("{SESSIONS}?parent_session_id={}", ids[0]))
        .await
        .ok();
    assert_eq!(page["total"], json!(1));
    assert_eq!(page["items"][0]["session_id"], json!(child));

    let path = format!("{SESSIONS}/{}/tags", ids[0]);
    devin.put(&path, json!({ "tags": ["moved"] })).await.ok();
    assert_eq!(total("tags=t0").await, json!(MANY / TAGS - 1));
    assert_eq!(total("tags=moved").await, json!(1));

    // Reading all of it page by page meets each session once.
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = devin
            .get(&format!("{SESSIONS}?first=200{after}"))
            .await
            .ok();
        let items = page["items"].as_array().unwrap().iter();
        seen.extend(items.map(|it| it["session_id"].as_str().unwrap().to_owned()));
        if page["has_next_page"] != json!(true) {
            break;
        }
        after = format!("&after={}", page["end_cursor"].as_str().unwrap());
    }
    seen.reverse();
    assert_eq!(seen.split_last().unwrap(), (&child, ids.as_slice()));
}
