//! Attachments, documents, members, keys, audit, repositories and the rest.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;

use super::{Harness, START};

const ORG: &str = "/v3/organizations/org-ds";

#[tokio::test]
async fn a_file_goes_up_and_comes_down_by_a_link() {
    let devin = Harness::start().await;
    let content = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"レポート 1.csv\"\r\n\
        Content-Type: text/csv\r\n\r\na,b\r\n--b--\r\n";
    let mut request = devin.request(Method::POST, &format!("{ORG}/attachments"), None);
    *request.body_mut() = Full::new(content.into());
    let media_type = "multipart/form-data; boundary=b".parse().unwrap();
    request.headers_mut().insert("content-type", media_type);
    let file = devin.send(request).await.unwrap().ok();
    assert_eq!(file["name"], json!("レポート 1.csv"));
    let url = file["url"].as_str().unwrap();
    assert!(url.is_ascii());
    let path = url
        .strip_prefix(&format!("http://{}", devin.address))
        .unwrap();
    let answer = devin.get(path).await;
    assert_eq!(answer.status.as_u16(), 307);
    let location = answer.headers["location"].to_str().unwrap();
    let open = || Request::get(location).body(Full::default()).unwrap();
    let answer = devin.send(open()).await.unwrap();
    assert_eq!(
        (answer.bytes.as_ref(), &answer.headers["content-type"]),
        (&b"a,b"[..], &"text/csv".parse().unwrap())
    );
    devin.minutes(2);
    devin.send(open()).await.unwrap().problem(403);

    let id = devin
        .create(json!({ "prompt": "x", "attachment_urls": [url] }))
        .await;
    let list = devin
        .get(&format!("{ORG}/sessions/{id}/attachments"))
        .await
        .ok();
    assert_eq!(list[0]["attachment_id"], file["attachment_id"]);
    assert_eq!(list[0]["source"], json!("user"));
    devin
        .post(&format!("{ORG}/attachments"), json!({}))
        .await
        .problem(422);
}

#[tokio::test]
async fn notes() {
    let devin = Harness::start().await;
    let notes = format!("{ORG}/knowledge/notes");
    let body = json!({ "name": "n", "body": "b", "trigger": "t", "pinned_repo": "acme/web" });
    let note = devin.post(&notes, body).await.ok();
    let path = format!("{notes}/{}", note["note_id"].as_str().unwrap());
    assert_eq!(devin.get(&path).await.ok(), note);
    let changed = devin
        .put(&path, json!({ "name": "m", "body": "b", "trigger": "t" }))
        .await
        .ok();
    assert_eq!(
        (&changed["name"], &changed["pinned_repo"]),
        (&json!("m"), &json!(null))
    );
    let all = devin
        .get("/v3/enterprise/knowledge/notes?search=M")
        .await
        .ok();
    assert_eq!(all["items"][0]["access_type"], json!("org"));
    let folders = devin.get(&format!("{ORG}/knowledge/folders")).await.ok();
    assert_eq!(folders["root_note_count"], json!(1));
    devin
        .post(&notes, json!({ "name": "n" }))
        .await
        .problem(422);
    devin.delete(&path).await.ok();
    devin.get(&path).await.problem(404);
}

#[tokio::test]
async fn playbooks() {
    let devin = Harness::start().await;
    let playbooks = "/v3beta1/enterprise/playbooks";
    let body = json!({ "title": "t", "body": "b", "macro": "!fix_it" });
    let playbook = devin.post(playbooks, body).await.ok();
    let path = format!("{playbooks}/{}", playbook["playbook_id"].as_str().unwrap());
    devin
        .put(&path, json!({ "title": "u", "body": "b" }))
        .await
        .ok();
    assert_eq!(devin.get(&path).await.ok()["title"], json!("u"));
    devin
        .call(Method::PATCH, &path, Some(json!({})))
        .await
        .problem(405);
    devin
        .post(
            playbooks,
            json!({ "title": "t", "body": "b", "macro": "x" }),
        )
        .await
        .problem(422);
    devin.delete(&path).await.ok();
    devin.delete(&path).await.problem(404);
}

#[tokio::test]
async fn the_value_of_a_secret_never_comes_back() {
    let devin = Harness::start().await;
    let secrets = format!("{ORG}/secrets");
    let body = json!({ "type": "key-value", "key": "K", "value": "hush", "is_sensitive": false });
    let secret = devin.post(&secrets, body).await.ok();
    assert!(!secret.to_string().contains("hush"));
    assert!(!devin.get(&secrets).await.ok().to_string().contains("hush"));
    devin
        .post(&secrets, json!({ "name": "K", "value": "v" }))
        .await
        .problem(422);
    devin
        .delete(&format!("{secrets}/secret-unknown"))
        .await
        .problem(403);
    let path = format!("{secrets}/{}", secret["secret_id"].as_str().unwrap());
    devin.delete(&path).await.ok();
}

#[tokio::test]
async fn schedules() {
    let devin = Harness::start().await;
    let schedules = format!("{ORG}/schedules");
    let body = json!({ "name": "n", "prompt": "p", "schedule_type": "recurring", "frequency": "0 9 * * 1" });
    let schedule = devin.post(&schedules, body).await.ok();
    assert_eq!(schedule["created_at"], json!("2026-03-02T09:00:00Z"));
    let path = format!("{schedules}/{}", schedule["schedule_id"].as_str().unwrap());
    let patch = Some(json!({ "enabled": false }));
    let changed = devin.call(Method::PATCH, &path, patch).await.ok();
    assert_eq!(
        (&changed["enabled"], &changed["name"]),
        (&json!(false), &json!("n"))
    );
    let bad = json!({ "name": "n", "prompt": "p", "frequency": "daily" });
    assert!(
        devin
            .post(&schedules, bad)
            .await
            .problem(400)
            .contains("cron")
    );
    assert_eq!(
        devin
            .get(&format!("{schedules}?limit=1&offset=1"))
            .await
            .ok()["items"],
        json!([])
    );
    devin.delete(&path).await.ok();
}

#[tokio::test]
async fn service_users_and_their_keys() {
    let devin = Harness::start().await;
    let body = json!({ "name": "ci", "role_id": "org_member", "ttl_seconds": 60 });
    let made = devin
        .post("/v3beta1/enterprise/service-users", body)
        .await
        .ok();
    assert!(made["token"].as_str().unwrap().starts_with("cog_"));
    let id = made["service_user"]["service_user_id"].as_str().unwrap();
    let keys = format!("/v3beta1/enterprise/service-users/{id}/api-keys");
    let key = devin.post(&keys, json!({ "name": "second" })).await.ok();
    let path = format!("{keys}/{}", key["api_key_id"].as_str().unwrap());
    let rotated = devin.post(&format!("{path}/rotate"), json!({})).await.ok();
    assert_ne!(rotated["token"], key["token"]);
    let list = devin.get(&keys).await.ok();
    assert_eq!(list["total"], json!(2));
    assert!(!list.to_string().contains("cog_"));
    devin.delete(&path).await.problem(404);
    let member = format!("/v3/enterprise/members/service-users/{id}");
    let patch = Some(json!({ "role_id": "org_admin" }));
    assert_eq!(
        devin.call(Method::PATCH, &member, patch).await.ok()["role"],
        json!("org_admin")
    );
    devin.delete(&member).await.ok();
    devin.get(&member).await.problem(404);
    let listed = devin.get("/v3/enterprise/members/service-users").await.ok();
    assert_eq!(listed["total"], json!(1));
    devin
        .post("/v3/enterprise/service-users", json!({}))
        .await
        .problem(404);
}

#[tokio::test]
async fn people() {
    let devin = Harness::start().await;
    let users = "/v3/enterprise/members/users";
    let body = json!({ "emails": ["new@example.com"], "enterprise_role_id": "account_member" });
    let invited = devin.post(users, body).await.ok();
    let id = invited[0]["user_id"].as_str().unwrap();
    let found = devin
        .get(&format!("{users}?email=new@example.com"))
        .await
        .ok();
    assert_eq!(found["items"][0]["user_id"], json!(id));
    devin
        .get(&format!("/v3beta1/organizations/org-ds/members/users/{id}"))
        .await
        .ok();
    devin.delete(&format!("{users}/{id}")).await.ok();
    let impersonated = json!({ "prompt": "x", "create_as_user_id": id });
    devin
        .post(&format!("{ORG}/sessions"), impersonated)
        .await
        .problem(403);
}

#[tokio::test]
async fn the_audit_log_checks_its_query_and_notes_changes() {
    let devin = Harness::start().await;
    devin.create(json!({ "prompt": "x" })).await;
    let logs = "/v3/enterprise/organizations/org-ds/audit-logs";
    let newest = devin.get(&format!("{logs}?first=1")).await.ok();
    assert_eq!(newest["items"][0]["action"], json!("create_session"));
    assert_eq!(newest["items"][0]["created_at"], json!(START));
    let oldest = devin.get(&format!("{logs}?first=1&order=asc")).await.ok();
    assert!(oldest["items"][0]["created_at"].as_i64().unwrap() < 1_704_200_000);
    let chosen = devin
        .get(&format!("{logs}?action=create_session&time_after={START}"))
        .await
        .ok();
    assert_eq!(chosen["total"], json!(1));
    for query in [
        "time_before=1704067200".to_owned(),
        format!("time_after=1704067200&time_before={START}"),
        "time_after=1704067200".to_owned(),
    ] {
        devin.get(&format!("{logs}?{query}")).await.problem(400);
    }
    for query in [
        "order=up",
        "first=0",
        "first=201",
        "time_after=now",
        "after=nonsense",
    ] {
        devin.get(&format!("{logs}?{query}")).await.problem(422);
    }
}

#[tokio::test]
async fn a_repository_may_hold_slashes() {
    let devin = Harness::start().await;
    let base = "/v3beta1/organizations/org-ds/repositories";
    for path in ["acme/platform/api", "acme%2Fplatform%2Fapi"] {
        let path = format!("{base}/{path}/indexing");
        let set = devin
            .put(&path, json!({ "branch_names": ["main", "a/b"] }))
            .await
            .ok();
        assert_eq!(set["repository_path"], json!("acme/platform/api"));
        let left = devin.delete(&format!("{path}/branches/a%2Fb")).await.ok();
        assert_eq!(left["branches"], json!(["main"]));
        assert_eq!(
            devin.get(&format!("{base}/indexing")).await.ok()["total"],
            json!(1)
        );
        let off = devin.delete(&path).await.ok();
        assert_eq!(off["indexing_enabled"], json!(false));
    }
    let paths = json!({ "repositories": [{ "repository_path": "acme/web" }] });
    assert!(
        devin
            .put(&format!("{base}/indexing"), paths)
            .await
            .ok()
            .is_array()
    );
    assert_eq!(devin.get(base).await.ok()["total"], json!(3));
    devin.get(&format!("{base}/acme/web")).await.problem(404);
}

#[tokio::test]
async fn the_tags_of_an_organization() {
    let devin = Harness::start().await;
    let tags = "/v3/enterprise/organizations/org-ds/tags";
    assert_eq!(
        devin.put(tags, json!({ "tags": ["b", "a"] })).await.ok()["tags"],
        json!(["a", "b"])
    );
    devin
        .put(&format!("{tags}/default"), json!({ "tag": "a" }))
        .await
        .ok();
    assert_eq!(
        devin.get(&format!("{tags}/default")).await.ok()["tag"],
        json!("a")
    );
    devin.delete(&format!("{tags}/a")).await.ok();
    assert_eq!(
        devin.get(&format!("{tags}/default")).await.ok()["tag"],
        json!(null)
    );
    devin.delete(&format!("{tags}/a")).await.problem(404);
}

#[tokio::test]
async fn small_reads() {
    let devin = Harness::start().await;
    assert_eq!(
        devin.get("/v3/enterprise/roles").await.ok()["total"],
        json!(4)
    );
    let queue = devin.get("/v3/enterprise/queue").await.ok();
    assert_eq!(queue, json!({ "queue_size": 0, "status": "normal" }));
    devin
        .get("/v3/enterprise/hypervisors?status=draining")
        .await
        .ok();
    devin
        .get("/v3/enterprise/hypervisors?status=odd")
        .await
        .problem(422);
}
