//! The nine flows of the early v3beta1 usage page.

use http::Method;
use serde_json::json;

use super::super::Options;
use super::{Harness, START, options};

#[tokio::test]
async fn who_am_i() {
    let devin = Harness::start().await;
    let me = devin.get("/v3beta1/enterprise/self").await.ok();
    assert_eq!(me["name"], me["service_user_name"]);
    assert_eq!(me["role"], json!("admin"));
    assert_eq!(devin.get("/v3/self").await.ok(), me);
}

#[tokio::test]
async fn list_organizations() {
    let devin = Harness::start().await;
    let page = devin.get("/v3beta1/enterprise/organizations").await.ok();
    assert_eq!(page["organizations"], page["items"]);
    assert_eq!(page["organizations"][0]["id"], page["items"][0]["org_id"]);
    assert_eq!(page["organizations"][2]["name"], json!("インフラ基盤"));
    assert_eq!(page["total"], json!(3));
}

#[tokio::test]
async fn create_an_organization() {
    let devin = Harness::start().await;
    let body = json!({ "name": "データ分析チーム", "acu_limit": 500 });
    let org = devin
        .post("/v3beta1/enterprise/organizations", body)
        .await
        .ok();
    assert_eq!(org["max_cycle_acu_limit"], json!(500));
    let id = org["id"].as_str().unwrap();
    let path = format!("/v3/enterprise/organizations/{id}");
    assert_eq!(
        devin.get(&path).await.ok()["name"],
        json!("データ分析チーム")
    );
    let patch = Some(json!({ "max_cycle_acu_limit": null }));
    let org = devin.call(Method::PATCH, &path, patch).await.ok();
    assert_eq!(org["acu_limit"], json!(null));
    devin.delete(&path).await.ok();
    devin.get(&path).await.problem(404);
}

#[tokio::test]
async fn create_a_session() {
    let devin = Harness::start().await;
    let path = "/v3beta1/organizations/org-ds/sessions";
    let session = devin.post(path, json!({ "prompt": "直して" })).await.ok();
    let id = session["session_id"].as_str().unwrap();
    assert!(id.starts_with("devin-") && id.len() == 38);
    assert!(session["url"].as_str().unwrap().starts_with("https://"));
    assert_eq!(session["status"], json!("new"));
    assert_eq!(session["acus_consumed"], json!(0.0));
}

#[tokio::test]
async fn consumption() {
    let devin = Harness::start().await;
    let base = "/v3beta1/enterprise/consumption/daily/organizations";
    let path = format!("{base}?start_date=2024-01-01&end_date=2024-01-31");
    let rows = devin.get(&path).await.ok();
    let rows = rows["data"].as_array().unwrap();
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row["organization_name"].is_string()));
    assert!(
        rows.iter()
            .all(|row| row["acus_used"].as_f64().unwrap() > 0.0)
    );
    devin
        .get(&format!("{base}?start_date=2024-01-01&end_date=x"))
        .await
        .problem(422);
}

#[tokio::test]
async fn create_a_service_user() {
    let devin = Harness::start().await;
    let path = "/v3beta1/organizations/org-ds/members/service-users";
    let body = json!({ "name": "ci", "role": "developer" });
    let user = devin.post(path, body).await.ok();
    let key = user["api_key"].as_str().unwrap();
    assert!(key.starts_with("cog_") && key.len() == 56);
    let id = user["id"].as_str().unwrap();
    let shown = devin
        .get(&format!("/v3/enterprise/members/service-users/{id}"))
        .await
        .ok();
    assert_eq!(shown["name"], json!("ci"));
    assert!(!shown.to_string().contains("cog_"));
}

#[tokio::test]
async fn the_audit_log_in_pages() {
    let devin = Harness::start().await;
    for (after, before) in [(START - 60 * 86_400, START), (1_704_067_200, 1_706_745_600)] {
        let mut path = format!(
            "/v3beta1/enterprise/audit-logs?time_after={after}&time_before={before}&first=100"
        );
        let (mut sizes, mut ids) = (Vec::new(), std::collections::HashSet::new());
        let base = path.clone();
        loop {
            let page = devin.get(&path).await.ok();
            let items = page["items"].as_array().unwrap();
            sizes.push(items.len());
            for item in items {
                assert!(item["created_at"].is_i64() && item["action"].is_string());
                assert!(item["service_user_id"].is_string() || item["user_id"].is_string());
                ids.insert(item["audit_log_id"].to_string());
            }
            if page["has_next_page"] != json!(true) {
                break;
            }
            path = format!("{base}&after={}", page["end_cursor"].as_str().unwrap());
            // What happens meanwhile moves no page.
            devin.create(json!({ "prompt": "x" })).await;
        }
        assert!(sizes.len() == 3, "{sizes:?}");
        assert_eq!(ids.len(), sizes.iter().sum::<usize>());
    }
}

#[tokio::test]
async fn a_session_in_every_organization() {
    let devin = Harness::start().await;
    let page = devin.get("/v3beta1/enterprise/organizations").await.ok();
    for org in page["organizations"].as_array().unwrap() {
        let path = format!(
            "/v3beta1/organizations/{}/sessions",
            org["id"].as_str().unwrap()
        );
        let session = devin.post(&path, json!({ "prompt": "hello" })).await.ok();
        assert_eq!(session["org_id"], org["org_id"]);
    }
    let elsewhere = "/v3beta1/organizations/org-elsewhere/sessions";
    let refused = devin.post(elsewhere, json!({ "prompt": "hello" })).await;
    assert_eq!(
        refused.problem(403),
        "Missing required permission 'org.devins.use' on this organization"
    );
    let all = devin.get("/v3/enterprise/sessions").await.ok();
    assert_eq!(all["total"], json!(3));
}

#[tokio::test]
async fn error_handling() {
    let options = Options {
        rate_limit_per_minute: Some(2),
        ..options()
    };
    let devin = Harness::with(options, false).await;
    let path = "/v3beta1/enterprise/organizations";
    for token in ["Bearer wrong", "Basic test-token", "test-token"] {
        let mut request = devin.request(Method::GET, path, None);
        request
            .headers_mut()
            .insert("authorization", token.parse().unwrap());
        let answer = devin.send(request).await.unwrap();
        assert_eq!(answer.problem(401), "Invalid or expired token");
    }
    devin.get(path).await.ok();
    devin
        .get("/v3/organizations/org-elsewhere/sessions")
        .await
        .problem(403);
    devin.get(path).await.problem(429);
    devin.minutes(1);
    devin.get(path).await.ok();
    assert_eq!(devin.get("/v3/nowhere").await.problem(404), "Not Found");
    devin.call(Method::PATCH, path, None).await.problem(405);
    assert_eq!(devin.fake.requests().len(), 9);
    assert_eq!(devin.fake.requests()[0].status, Some(401));
}
