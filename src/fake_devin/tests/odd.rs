//! Odd readings, odd pages, restricted tags, and faults of calls that spend.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::super::{Change, Fault, FaultKind, OddPage, Options};
use super::{Harness, options};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

fn shown(members: Value) -> Change {
    Change {
        shown: members.as_object().cloned(),
        ..Change::default()
    }
}

#[tokio::test]
async fn a_session_is_shown_as_told_and_spends_as_before() {
    let devin = Harness::start().await;
    let id = devin
        .create(json!({ "prompt": "x", "max_acu_limit": 2 }))
        .await;
    let path = format!("{SESSIONS}/{id}");
    devin.minutes(60);
    for reading in [
        json!(null),
        json!("2.0"),
        json!(-1),
        json!(0.5),
        json!(2.5),
        json!(1e9),
        json!([]),
    ] {
        devin
            .fake
            .change(&id, shown(json!({ "acus_consumed": reading })));
        let list = devin.get(SESSIONS).await.ok();
        let get = devin.get(&path).await.ok();
        for session in [&list["items"][0], &get] {
            assert_eq!(session["acus_consumed"], reading);
            assert_eq!(session["status"], json!("suspended"));
        }
    }
    let order = json!({ "shown": { "status": "dreaming", "status_detail": "of sheep" } });
    let control = format!("/.fake/sessions/{id}");
    devin.call(Method::PATCH, &control, Some(order)).await.ok();
    let session = devin.get(&path).await.ok();
    assert_eq!(session["status"], json!("dreaming"));
    assert_eq!(session["status_detail"], json!("of sheep"));
    assert_eq!(session["acus_consumed"], json!(2.0));
    let order = json!({ "shown": {}, "left_out": ["acus_consumed"] });
    devin.call(Method::PATCH, &control, Some(order)).await.ok();
    let session = devin.get(&path).await.ok();
    assert_eq!(session["status"], json!("suspended"));
    assert_eq!(session.get("acus_consumed"), None);
    let truth = devin.fake.truth().remove(0);
    assert_eq!((truth.spent_milli, truth.status), (2_000, "suspended"));
    let typo = json!({ "show": {} });
    let refused = devin.call(Method::PATCH, &control, Some(typo)).await;
    refused.problem(400);
}

#[tokio::test]
async fn a_session_vanishes_and_comes_back() {
    let devin = Harness::start().await;
    let id = devin.create(json!({ "prompt": "x", "tags": ["a"] })).await;
    let path = format!("{SESSIONS}/{id}");
    let vanish = |vanished| Change {
        vanished: Some(vanished),
        ..Change::default()
    };
    devin.fake.change(&id, vanish(true));
    devin.get(&path).await.problem(404);
    let messages = format!("{path}/messages");
    devin.get(&messages).await.problem(404);
    devin
        .post(&messages, json!({ "message": "x" }))
        .await
        .problem(404);
    for query in [
        String::new(),
        "?tags=a".into(),
        format!("?session_ids={id}"),
    ] {
        let page = devin.get(&format!("{SESSIONS}{query}")).await.ok();
        assert_eq!(page["total"], json!(0), "{query}");
    }
    assert_eq!(devin.fake.session(&id), None);
    assert!(devin.fake.truth()[0].vanished);
    devin.fake.change(&id, vanish(false));
    devin.get(&path).await.ok();
}

/// The titles of the sessions on a page.
fn titles(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["title"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn pages_go_wrong() {
    let devin = Harness::start().await;
    for title in ["1", "2", "3", "4", "5"] {
        devin.create(json!({ "prompt": "x", "title": title })).await;
    }
    let read = async |odd: Option<OddPage>, query: &str| {
        if let Some(odd) = odd {
            devin.fake.inject(Fault::next(FaultKind::OddPage(odd)));
        }
        devin.get(&format!("{SESSIONS}?first=3{query}")).await.ok()
    };
    let page = read(Some(OddPage::Shuffled), "").await;
    assert_eq!(titles(&page), ["3", "4", "5"]);
    let page = read(Some(OddPage::Repeated), "").await;
    assert_eq!(titles(&page), ["5", "5", "4", "4", "3", "3"]);
    let page = read(Some(OddPage::Skipping), "").await;
    assert_eq!(titles(&page), ["5", "3"]);

    let page = read(Some(OddPage::Overlapping), "").await;
    let after = |page: &Value| format!("&after={}", page["end_cursor"].as_str().unwrap());
    let next = read(None, &after(&page)).await;
    assert_eq!(titles(&next), ["4", "3", "2"]);

    let page = read(None, "").await;
    let last = read(Some(OddPage::CursorRepeats), &after(&page)).await;
    assert_eq!(titles(&last), ["2", "1"]);
    assert_eq!(last["has_next_page"], json!(true));
    assert_eq!(last["end_cursor"], page["end_cursor"]);

    let order = json!({ "kind": "odd_page", "page": "no_cursor" });
    devin.post("/.fake/faults", order).await.ok();
    let page = read(None, "").await;
    assert_eq!(page["end_cursor"], json!(null));
    assert_eq!(page["has_next_page"], json!(true));
}

#[tokio::test]
async fn an_organization_restricts_its_tags() {
    let options = Options {
        allowed_tags: vec![("org-ds".to_owned(), vec!["a".to_owned(), "b".to_owned()])],
        ..options()
    };
    let devin = Harness::with(options, false).await;
    let id = devin.create(json!({ "prompt": "x", "tags": ["a"] })).await;
    devin.create(json!({ "prompt": "x" })).await;
    let body = json!({ "prompt": "x", "tags": ["a", "tollgate.x"] });
    let detail = devin.post(SESSIONS, body.clone()).await.problem(400);
    assert!(detail.contains("'tollgate.x'"), "{detail}");
    assert_eq!(devin.fake.truth().len(), 2);
    let tags = format!("{SESSIONS}/{id}/tags");
    let other = json!({ "tags": ["c"] });
    devin.post(&tags, other.clone()).await.problem(400);
    devin.put(&tags, other).await.problem(400);
    devin.put(&tags, json!({ "tags": ["b"] })).await.ok();
    devin
        .post("/v3/organizations/org-web/sessions", body)
        .await
        .ok();
}

#[tokio::test]
async fn the_work_is_done_though_nobody_waits_for_the_answer() {
    for http2 in [false, true] {
        let devin = Harness::with(options(), http2).await;
        // An hour: the request is given up long before.
        for (kind, done) in [
            (FaultKind::Latency(Duration::from_secs(3_600)), 0),
            (FaultKind::LatencyAfterWork(Duration::from_secs(3_600)), 1),
        ] {
            devin.fake.inject(Fault::next(kind));
            let body = Some(json!({ "prompt": "x" }));
            let request = devin.request(Method::POST, SESSIONS, body);
            let received = async {
                let requests = || devin.fake.requests();
                while !requests().last().is_some_and(|it| it.finished) {
                    tokio::task::yield_now().await;
                }
                while devin.fake.truth().len() < done {
                    tokio::task::yield_now().await;
                }
            };
            // Given up as soon as it was received, and the work done that is to be done.
            tokio::select! {
                answer = devin.send(request) => panic!("{:?}", answer.map(|it| it.status)),
                () = received => {}
            }
            assert_eq!(devin.fake.truth().len(), done);
            assert_eq!(devin.fake.requests().last().unwrap().status, None);
            devin.fake.clear_requests();
        }
    }
}

#[tokio::test]
async fn answers_that_hide_what_was_done() {
    let devin = Harness::start().await;
    let whole = Bytes::from_static(b"{\"session_id\": \"devin-");
    let order = json!({ "kind": "without_member", "name": "session_id" });
    devin
        .fake
        .inject(Fault::next(FaultKind::BodyAfterWork(whole.clone())));
    let answer = devin.post(SESSIONS, json!({ "prompt": "x" })).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.bytes, whole);
    devin.post("/.fake/faults", order).await.ok();
    let answer = devin.post(SESSIONS, json!({ "prompt": "x" })).await.ok();
    assert_eq!(answer.get("session_id"), None);
    assert_eq!(answer["org_id"], json!("org-ds"));
    let conflict = FaultKind::StatusAfterWork { code: 409 };
    devin.fake.inject(Fault::next(conflict));
    devin
        .post(SESSIONS, json!({ "prompt": "x" }))
        .await
        .problem(409);
    assert_eq!(devin.fake.truth().len(), 3);
}

#[tokio::test]
async fn retry_after_as_a_date() {
    let devin = Harness::start().await;
    let order = json!({ "kind": "status_until", "code": 429, "seconds": 90 });
    devin.post("/.fake/faults", order).await.ok();
    let answer = devin.get("/v3/self").await;
    answer.problem(429);
    let read = |name: &str| {
        let text = answer.headers[name].to_str().unwrap();
        jiff::fmt::rfc2822::parse(text).unwrap().timestamp()
    };
    // The server writes its date a moment later, perhaps in the next second.
    let wait = read("retry-after").as_second() - read("date").as_second();
    assert!((85..=90).contains(&wait), "{wait}");
}
