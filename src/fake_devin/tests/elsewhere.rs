//! Children, wakes and use from elsewhere, and the truth about them.

use http::Method;
use serde_json::{Value, json};

use super::super::{Change, Elsewhere, Ending, Options, SessionTruth, Tuning, Unattributed};
use super::{Harness, START, options};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

fn truth(devin: &Harness, id: &str) -> SessionTruth {
    let bare = id.strip_prefix("devin-").unwrap_or(id);
    let mut all = devin.fake.truth().into_iter();
    all.find(|session| session.id == bare).unwrap()
}

/// What a session has spent by wake.
fn spent(devin: &Harness, id: &str) -> Vec<i64> {
    let wakes = truth(devin, id).wakes.into_iter();
    wakes.map(|wake| wake.spent_milli).collect()
}

#[tokio::test]
async fn the_truth_counts_by_wake() {
    let devin = Harness::start().await;
    let body = json!({ "prompt": "x", "max_acu_limit": 3, "tags": ["a"] });
    let id = devin.create(body).await;
    devin.minutes(2);
    // Awake again before its cap: the first wake ends here.
    let messages = format!("{SESSIONS}/{id}/messages");
    devin
        .post(&messages, json!({ "message": "more" }))
        .await
        .ok();
    devin.minutes(60);
    assert!(devin.fake.wake_elsewhere(&id, "and more"));
    devin.minutes(60);

    let session = truth(&devin, &id);
    // Five seconds of starting cost nothing.
    assert_eq!(spent(&devin, &id), [1_916, 3_000, 3_000]);
    assert_eq!(session.spent_milli, 7_916);
    assert_eq!((session.org.as_str(), session.cap), ("org-ds", Some(3)));
    assert_eq!(
        (session.tags, session.elsewhere),
        (vec!["a".to_owned()], false)
    );
    assert_eq!(session.created, START as f64);
    let elsewhere: Vec<bool> = session.wakes.iter().map(|wake| wake.elsewhere).collect();
    assert_eq!(elsewhere, [false, false, true]);
    assert!(
        session
            .wakes
            .iter()
            .all(|wake| wake.cap_milli == Some(3_000))
    );

    let shown = devin.get(&format!("{SESSIONS}/{id}")).await.ok();
    assert_eq!(shown["acus_consumed"], json!(7.916));
    let said = devin.get(&messages).await.ok();
    let from_user = |it: &&Value| it["source"] == json!("user");
    let texts: Vec<&Value> = said["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(from_user)
        .map(|it| &it["message"])
        .collect();
    assert_eq!(texts, ["x", "more", "and more"]);
    // Other processes read the same.
    let listed = devin.get("/.fake/sessions").await.ok();
    assert_eq!(listed, json!(devin.fake.truth()));
    assert_eq!(listed[0]["wakes"][1]["spent_milli"], json!(3_000));
}

#[tokio::test]
async fn a_child_spends_at_its_own_pace_without_a_cap() {
    let devin = Harness::start().await;
    let body = json!({ "prompt": "x", "max_acu_limit": 2 });
    let parent = devin.create(body).await;
    let order = json!({ "parent": parent, "acus_per_minute": 3.0, "work_minutes": 4.0 });
    let begun = devin.post("/.fake/sessions", order).await.ok();
    let child = begun["session_id"].as_str().unwrap();
    let capped = Elsewhere {
        parent: Some(child.to_owned()),
        max_acu_limit: Some(1),
        ..Elsewhere::default()
    };
    let grandchild = devin.fake.begin_elsewhere(capped).unwrap();
    devin.minutes(60);
    assert_eq!(spent(&devin, &parent), [2_000]);
    assert_eq!(spent(&devin, child), [12_000]);
    assert_eq!(spent(&devin, &grandchild), [1_000]);
    let shown = devin.get(&format!("{SESSIONS}/{child}")).await.ok();
    assert_eq!(shown["parent_session_id"], json!(parent));
    assert_eq!(shown["child_session_ids"], json!([grandchild]));
    assert_eq!(shown["service_user_id"], json!(devin.fake.service_user()));
    let parent = devin.get(&format!("{SESSIONS}/{parent}")).await.ok();
    assert_eq!(parent["child_session_ids"], json!([child]));
    assert!(truth(&devin, child).elsewhere);
    let orphan = json!({ "parent": "devin-0" });
    devin.post("/.fake/sessions", orphan).await.problem(404);
}

#[tokio::test]
async fn sessions_of_people_and_of_other_service_users() {
    let devin = Harness::start().await;
    let ours = devin.create(json!({ "prompt": "x" })).await;
    let begin = |user: Option<&str>, service_user: Option<&str>| {
        let order = Elsewhere {
            org: Some("org-ds".to_owned()),
            user_id: user.map(str::to_owned),
            service_user_id: service_user.map(str::to_owned),
            ..Elsewhere::default()
        };
        devin.fake.begin_elsewhere(order).unwrap()
    };
    let person = begin(Some("user-1"), None);
    let other = begin(None, Some("service-user-2"));
    devin.minutes(60);
    let shown = devin.get(&format!("{SESSIONS}/{person}")).await.ok();
    assert_eq!(shown["service_user_id"], json!(null));
    assert_eq!(shown["user_id"], json!("user-1"));
    assert_eq!(shown["origin"], json!("webapp"));
    let me = devin.fake.service_user();
    for (query, expected) in [
        (format!("service_user_ids={me}"), &ours),
        ("service_user_ids=service-user-2".to_owned(), &other),
        ("user_ids=user-1".to_owned(), &person),
    ] {
        let page = devin.get(&format!("{SESSIONS}?{query}")).await.ok();
        assert_eq!(page["total"], json!(1), "{query}");
        assert_eq!(page["items"][0]["session_id"], json!(expected), "{query}");
    }
    let total = async |path: &str| {
        let path = format!("/v3/organizations/org-ds/consumption/daily{path}");
        devin.get(&path).await.ok()["total_acus"].clone()
    };
    let since = format!("?time_after={START}");
    assert_eq!(total(&since).await, json!(30.0));
    assert_eq!(total(&format!("/users/user-1{since}")).await, json!(10.0));
    let mine = format!("/service-users/{me}{since}");
    assert_eq!(total(&mine).await, json!(10.0));
    let nowhere = json!({ "org": "org-none" });
    devin.post("/.fake/sessions", nowhere).await.problem(404);
    let typo = json!({ "organisation": "org-ds" });
    devin.post("/.fake/sessions", typo).await.problem(400);
}

#[tokio::test]
async fn a_wake_from_elsewhere_shows_in_a_sweep() {
    let devin = Harness::start().await;
    let body = json!({ "prompt": "x", "max_acu_limit": 1 });
    let (woken, asleep) = (devin.create(body.clone()).await, devin.create(body).await);
    devin.minutes(120);
    let sweep = format!("{SESSIONS}?updated_after={}", devin.fake.now());
    assert_eq!(devin.get(&sweep).await.ok()["total"], json!(0));
    let order = json!({ "session": woken, "message": "again" });
    devin.post("/.fake/wake", order).await.ok();
    let page = devin.get(&sweep).await.ok();
    assert_eq!(page["total"], json!(1));
    assert_eq!(page["items"][0]["session_id"], json!(woken));
    devin.minutes(120);
    assert_eq!(spent(&devin, &woken), [1_000, 1_000]);
    assert_eq!(spent(&devin, &asleep), [1_000]);
    let nobody = json!({ "session": "devin-0", "message": "again" });
    devin.post("/.fake/wake", nobody).await.problem(404);
}

#[tokio::test]
async fn a_session_is_changed_behind_the_back() {
    let devin = Harness::start().await;
    let body = json!({ "prompt": "x", "max_acu_limit": 2, "tags": ["a"] });
    let id = devin.create(body).await;
    let path = format!("{SESSIONS}/{id}");
    let change = json!({ "max_acu_limit": 4, "tags": ["b"] });
    let control = format!("/.fake/sessions/{id}");
    devin.call(Method::PATCH, &control, Some(change)).await.ok();
    devin.minutes(1);
    let raised = Change {
        max_acu_limit: Some(5),
        ..Change::default()
    };
    assert!(devin.fake.change(&id, raised));
    devin.minutes(60);
    assert_eq!(spent(&devin, &id), [5_000]);
    for (query, total) in [("tags=a", 0), ("tags=b", 1)] {
        let page = devin.get(&format!("{SESSIONS}?{query}")).await.ok();
        assert_eq!(page["total"], json!(total), "{query}");
    }
    let ended = Change {
        ends: Some(Ending::Error),
        ..Change::default()
    };
    assert!(devin.fake.change(&id, ended));
    assert_eq!(devin.get(&path).await.ok()["status"], json!("error"));
    assert!(!devin.fake.wake_elsewhere(&id, "again"));
    let moved = Change {
        org: Some("org-web".to_owned()),
        ..Change::default()
    };
    assert!(devin.fake.change(&id, moved));
    devin.get(&path).await.problem(404);
    assert!(!devin.fake.change("devin-0", Change::default()));
}

#[tokio::test]
async fn an_overrun_is_switched_on_and_off() {
    let devin = Harness::start().await;
    let body = json!({ "prompt": "x", "max_acu_limit": 2 });
    let overrun = |milli| {
        let tuning = Tuning {
            overrun_milli_acus: Some(milli),
            ..Tuning::default()
        };
        devin.fake.tune(&tuning);
    };
    overrun(5);
    let over = devin.create(body.clone()).await;
    overrun(0);
    let exact = devin.create(body).await;
    devin.minutes(60);
    assert_eq!(spent(&devin, &over), [2_005]);
    assert_eq!(spent(&devin, &exact), [2_000]);
    assert_eq!(truth(&devin, &over).wakes[0].cap_milli, Some(2_000));
    let shown = devin.fake.session(&over).unwrap();
    assert_eq!(shown["acus_consumed"], json!(2.005));
    assert_eq!(shown["status_detail"], json!("usage_limit_exceeded"));
}

#[tokio::test]
async fn consumption_holds_all_use_by_billing_day() {
    let devin = Harness::start().await;
    let parent = devin.create(json!({ "prompt": "x" })).await;
    for order in [json!({ "parent": parent }), json!({ "org": "org-ds" })] {
        devin.post("/.fake/sessions", order).await.ok();
    }
    let hidden = Change {
        vanished: Some(true),
        ..Change::default()
    };
    devin.fake.change(&parent, hidden);
    // The next billing day begins 23 hours from here; one more session works across the turn.
    devin.minutes(23 * 60 - 5);
    devin.create(json!({ "prompt": "x" })).await;
    devin.minutes(60);
    for milli_acus in [250, 500] {
        devin.fake.consume(&Unattributed {
            org: "org-ds".to_owned(),
            at: Some(START),
            milli_acus,
            product: None,
        });
    }
    let scan = json!({ "org": "org-ds", "milli_acus": 70, "product": "review" });
    devin.post("/.fake/consumption", scan).await.ok();

    let path = format!("/v3/organizations/org-ds/consumption/daily?time_after={START}");
    let body = devin.get(&path).await.ok();
    let days = body["consumption_by_date"].as_array().unwrap();
    let read = |day: usize, name: &str| days[day]["acus_by_product"][name].clone();
    assert_eq!(days.len(), 2);
    let before_turn = 5_000 - 84; // five seconds of starting, at an ACU a minute
    assert_eq!(
        read(0, "devin"),
        json!(30.75 + f64::from(before_turn) / 1e3)
    );
    assert_eq!(
        read(1, "devin"),
        json!(f64::from(10_000 - before_turn) / 1e3)
    );
    assert_eq!(
        (read(0, "review"), read(1, "review")),
        (json!(0.0), json!(0.07))
    );
    assert_eq!(days[1]["date"], json!(START - 3_600 + 86_400));
    assert_eq!(body["total_acus"], json!(40.82));
    // Sessions and the rest: nothing is lost between the two.
    let of_sessions: i64 = devin.fake.truth().iter().map(|it| it.spent_milli).sum();
    assert_eq!(of_sessions, 40_000);
}

#[tokio::test]
async fn consumption_without_the_right_to_read_it() {
    let options = Options {
        may_read_consumption: false,
        ..options()
    };
    let devin = Harness::with(options, false).await;
    for path in [
        "/v3/enterprise/consumption/daily",
        "/v3/enterprise/consumption/daily/organizations/org-ds",
        "/v3/organizations/org-ds/consumption/daily",
        "/v3/enterprise/consumption/cycles",
        "/v3beta1/enterprise/consumption/daily/organizations?start_date=2024-01-01&end_date=2024-01-02",
    ] {
        let detail = devin.get(path).await.problem(403);
        assert!(
            detail.starts_with("Missing required permission"),
            "{detail}"
        );
    }
    let tuning = json!({ "may_read_consumption": true });
    let path = "/.fake/options";
    devin.call(Method::PATCH, path, Some(tuning)).await.ok();
    devin.get("/v3/enterprise/consumption/daily").await.ok();
}
