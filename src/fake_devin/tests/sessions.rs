//! Sessions: validation, filters, life, spending.

use http::Method;
use serde_json::{Value, json};

use super::super::Options;
use super::{Harness, START, options};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

#[tokio::test]
async fn a_bad_body_is_refused_with_all_its_mistakes() {
    let devin = Harness::start().await;
    let body = json!({ "title": 3, "max_acu_limit": 0, "tags": "a" });
    let answer = devin.post(SESSIONS, body).await;
    assert_eq!(answer.status.as_u16(), 422);
    let detail = answer.json()["detail"].clone();
    let wrong: Vec<&Value> = detail
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["loc"][1])
        .collect();
    assert_eq!(wrong, ["prompt", "tags", "title", "max_acu_limit"]);
    assert_eq!(detail[0]["type"], json!("missing"));
    for limit in [json!(1.5), json!(-1), json!("5"), json!(true)] {
        let body = json!({ "prompt": "x", "max_acu_limit": limit });
        devin.post(SESSIONS, body).await.problem(422);
    }
    devin.post(SESSIONS, json!([])).await.problem(422);
    devin.call(Method::POST, SESSIONS, None).await.problem(422);
    let many: Vec<String> = (0..51).map(|n| n.to_string()).collect();
    devin
        .post(SESSIONS, json!({ "prompt": "x", "tags": many }))
        .await
        .problem(422);
    assert_eq!(devin.get(SESSIONS).await.ok()["total"], json!(0));
}

#[tokio::test]
async fn both_forms_of_an_id_do() {
    let devin = Harness::start().await;
    let id = devin.create(json!({ "prompt": "x" })).await;
    let bare = id.strip_prefix("devin-").unwrap();
    let prefixed = devin.get(&format!("{SESSIONS}/{id}")).await.ok();
    assert_eq!(
        devin.get(&format!("{SESSIONS}/{bare}")).await.ok(),
        prefixed
    );
    assert_eq!(
        devin
            .get(&format!("/v3/enterprise/sessions/{bare}"))
            .await
            .ok(),
        prefixed
    );
    assert_eq!(devin.fake.session(bare), Some(prefixed));
    devin
        .get(&format!("/v3/organizations/org-web/sessions/{id}"))
        .await
        .problem(404);
    let page = devin
        .get(&format!("{SESSIONS}?session_ids={bare}"))
        .await
        .ok();
    assert_eq!(page["total"], json!(1));

    let options = Options {
        bare_session_ids: true,
        ..options()
    };
    let devin = Harness::with(options, false).await;
    assert_eq!(devin.create(json!({ "prompt": "x" })).await.len(), 32);
}

#[tokio::test]
async fn lists_are_filtered_by_joined_and_repeated_values() {
    let devin = Harness::start().await;
    for tag in ["a", "b", "c"] {
        devin.create(json!({ "prompt": "x", "tags": [tag] })).await;
    }
    for query in ["tags=a,b", "tags=a%2Cb", "tags=a&tags=b"] {
        let page = devin.get(&format!("{SESSIONS}?{query}")).await.ok();
        assert_eq!(page["total"], json!(2), "{query}");
    }
    let total =
        async |query: &str| devin.get(&format!("{SESSIONS}?{query}")).await.ok()["total"].clone();
    assert_eq!(
        total(&format!("created_after={}", START + 1)).await,
        json!(0)
    );
    assert_eq!(total(&format!("created_before={START}")).await, json!(3));
    assert_eq!(total("is_archived=true").await, json!(0));
    assert_eq!(total("service_user_ids=somebody").await, json!(0));
    let first = devin.get(&format!("{SESSIONS}?first=2")).await.ok();
    assert_eq!(first["items"][0]["tags"], json!(["c"]));
    let cursor = first["end_cursor"].as_str().unwrap();
    let second = devin
        .get(&format!("{SESSIONS}?first=2&after={cursor}"))
        .await
        .ok();
    assert_eq!(second["items"][0]["tags"], json!(["a"]));
    assert_eq!(second["has_next_page"], json!(false));
    devin
        .get(&format!("{SESSIONS}?first=201"))
        .await
        .problem(422);
}

#[tokio::test]
async fn the_cap_stops_each_wake_and_a_message_begins_the_next() {
    let devin = Harness::start().await;
    let id = devin
        .create(json!({ "prompt": "x", "max_acu_limit": 3 }))
        .await;
    let path = format!("{SESSIONS}/{id}");
    devin.minutes(2);
    let session = devin.get(&path).await.ok();
    assert_eq!(
        (&session["status"], &session["status_detail"]),
        (&json!("running"), &json!("working"))
    );
    devin.minutes(2);
    let session = devin.get(&path).await.ok();
    assert_eq!(session["status"], json!("suspended"));
    assert_eq!(session["status_detail"], json!("usage_limit_exceeded"));
    assert_eq!(session["acus_consumed"], json!(3.0));
    let messages = format!("{path}/messages");
    let session = devin
        .post(&messages, json!({ "message": "go on" }))
        .await
        .ok();
    assert_eq!(session["status"], json!("resuming"));
    devin.minutes(60);
    assert_eq!(devin.get(&path).await.ok()["acus_consumed"], json!(6.0));
    let said = devin.get(&messages).await.ok();
    assert_eq!(said["items"][0]["message"], json!("x"));
    assert_eq!(said["items"][2]["message"], json!("go on"));
    let ended = devin.delete(&path).await.ok();
    assert_eq!(ended["status"], json!("exit"));
    devin
        .post(&messages, json!({ "message": "again" }))
        .await
        .problem(409);
    devin.post(&messages, json!({})).await.problem(422);
}

#[tokio::test]
async fn an_organization_without_budget_suspends_its_sessions() {
    let devin = Harness::start().await;
    let path = "/v3/enterprise/organizations/org-ds";
    let patch = json!({ "max_cycle_acu_limit": 2 });
    devin.call(Method::PATCH, path, Some(patch)).await.ok();
    let id = devin.create(json!({ "prompt": "x" })).await;
    devin.minutes(5);
    let session = devin.fake.session(&id).unwrap();
    assert_eq!(session["status_detail"], json!("org_usage_limit_exceeded"));
    assert_eq!(session["acus_consumed"], json!(2.0));
}

#[tokio::test]
async fn finished_then_asleep_then_archived() {
    let devin = Harness::start().await;
    let id = devin
        .create(json!({ "prompt": "x", "repos": ["acme/web"] }))
        .await;
    let path = format!("{SESSIONS}/{id}");
    devin.minutes(11);
    let session = devin.get(&path).await.ok();
    assert_eq!(
        (&session["status"], &session["status_detail"]),
        (&json!("running"), &json!("finished"))
    );
    assert_eq!(session["pull_requests"][0]["pr_state"], json!("open"));
    devin.minutes(5);
    assert_eq!(
        devin.get(&path).await.ok()["status_detail"],
        json!("inactivity")
    );
    let archived = devin.post(&format!("{path}/archive"), json!({})).await.ok();
    assert_eq!(archived["is_archived"], json!(true));
    assert_eq!(archived["status_detail"], json!("user_request"));
    let back = devin
        .post(&format!("{path}/unarchive"), json!({}))
        .await
        .ok();
    assert_eq!(back["is_archived"], json!(false));
}

#[tokio::test]
async fn children_know_their_parent() {
    let devin = Harness::start().await;
    let parent = devin
        .create(json!({ "prompt": "x", "playbook_id": "playbook-1" }))
        .await;
    let path = format!("{SESSIONS}?devin_id={parent}");
    let child = devin.post(&path, json!({ "prompt": "y" })).await.ok();
    assert_eq!(child["parent_session_id"], json!(parent));
    assert_eq!(child["playbook_id"], json!("playbook-1"));
    let page = devin
        .get(&format!("{SESSIONS}?parent_session_id={parent}"))
        .await
        .ok();
    assert_eq!(page["items"][0]["session_id"], child["session_id"]);
    let parent = devin.get(&format!("{SESSIONS}/{parent}")).await.ok();
    assert_eq!(parent["child_session_ids"][0], child["session_id"]);
}

#[tokio::test]
async fn tags_and_insights() {
    let devin = Harness::start().await;
    let id = devin.create(json!({ "prompt": "x", "tags": ["a"] })).await;
    let tags = format!("/v3/enterprise/sessions/{id}/tags");
    let all = devin.post(&tags, json!({ "tags": ["b", "a"] })).await.ok();
    assert_eq!(all["tags"], json!(["a", "b"]));
    let all = devin.put(&tags, json!({ "tags": ["c"] })).await.ok();
    assert_eq!(all["tags"], json!(["c"]));
    let many: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    devin
        .post(&tags, json!({ "tags": many }))
        .await
        .problem(422);
    devin.put(&tags, json!({})).await.problem(422);

    let page = devin.get(&format!("{SESSIONS}/insights")).await.ok();
    assert_eq!(page["items"][0]["num_user_messages"], json!(1));
    assert_eq!(page["items"][0]["analysis"], json!(null));
    let path = format!("{SESSIONS}/{id}/insights");
    let generate = format!("{path}/generate");
    assert_eq!(
        devin.post(&generate, json!({})).await.ok()["status"],
        json!("started")
    );
    assert_eq!(
        devin.post(&generate, json!({})).await.ok()["status"],
        json!("already_exists")
    );
    assert!(devin.get(&path).await.ok()["analysis"].is_object());
}

#[tokio::test]
async fn consumption_follows_the_sessions() {
    let devin = Harness::start().await;
    let id = devin.create(json!({ "prompt": "x" })).await;
    devin.minutes(60);
    let window = format!(
        "time_after={}&time_before={}",
        START - 3_600,
        START + 86_400
    );
    for path in [
        "/v3/enterprise/consumption/daily".to_owned(),
        "/v3/enterprise/consumption/daily/organizations/org-ds".to_owned(),
        "/v3/organizations/org-ds/consumption/daily".to_owned(),
        format!("/v3/organizations/org-ds/consumption/daily/sessions/{id}"),
        format!("/v3beta1/enterprise/consumption/daily/sessions/{id}"),
    ] {
        let body = devin.get(&format!("{path}?{window}")).await.ok();
        assert_eq!(body["total_acus"], json!(10.0), "{path}");
        let day = &body["consumption_by_date"][0];
        assert_eq!(day["date"], json!(START - 3_600), "{path}");
        assert_eq!(day["acus_by_product"]["devin"], json!(10.0), "{path}");
    }
    let elsewhere = "/v3/organizations/org-web/consumption/daily";
    let body = devin.get(&format!("{elsewhere}?{window}")).await.ok();
    assert_eq!(body["total_acus"], json!(0.0));
    devin.get("/v3/enterprise/consumption/cycles").await.ok();
}
