//! What is kept, for how long, and what takes it away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tollgate::document::Report;
use tollgate::fake_devin::{Fault, FaultKind, FaultTimes};
use tollgate::policy::{PolicyFiles, compile};

use super::{Late, SESSIONS, SLOW, kept_for};
use crate::answer::Answer;
use crate::world::World;

#[tokio::test]
async fn a_kept_answer_is_given_with_its_age() {
    let world = World::with(kept_for("60s")).await;
    let session = world.created("one").await;
    let first = world.is("one", &session, "miss").await;
    assert_eq!(first.header("age"), None);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let again = world.is("one", &session, "hit").await;
    let age: u64 = again.header("age").unwrap().parse().unwrap();
    assert!((1..60).contains(&age), "{age}");
    assert_eq!(again.body, first.body);
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(world.reads(&session), 1);
    let line = world.line_of(&again).await;
    assert_eq!(
        (&line["cache"], &line["upstream_attempts"]),
        (&"hit".into(), &0.into())
    );
    assert_eq!(
        line["first_request_id"].as_str(),
        first.header("x-request-id")
    );
    // Whoever says so gets a fresh one, and it is kept in place of the other.
    let request = Request::builder()
        .header("authorization", format!("Bearer {}", world.key("one")))
        .header("cache-control", "no-cache");
    let fresh = world.send(&session, request, "").await;
    assert_eq!(fresh.header("tollgate-cache"), Some("miss"));
    let age = world.is("one", &session, "hit").await;
    assert_eq!(age.header("age"), Some("0"));
    // What is no plain read says nothing of it.
    let sent = world
        .post("one", &format!("{session}/tags"), r#"{"tags":["a"]}"#)
        .await;
    assert_eq!(sent.header("tollgate-cache"), None);
    world.finish().await;
}

#[tokio::test]
async fn a_kept_answer_is_gone_after_its_time() {
    let world = World::with(kept_for("1ms")).await;
    let session = world.created("one").await;
    for _ in 0..3 {
        world.is("one", &session, "miss").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.reads(&session), 3);
    world.finish().await;
}

#[tokio::test]
async fn a_change_takes_away_what_it_may_show_in() {
    let world = World::with(kept_for("60s")).await;
    let (one, other) = (world.created("one").await, world.created("one").await);
    let elsewhere = "/v3/organizations/org-web/sessions";
    let all = [&one, &other, &format!("{one}/tags"), SESSIONS, elsewhere];
    world.post("one", elsewhere, r#"{"prompt":"x"}"#).await;
    for path in all {
        world.is("one", path, "miss").await;
        world.is("one", path, "hit").await;
    }
    let tags = format!("{one}/tags");
    world
        .post("one", &tags, r#"{"tags":["new"]}"#)
        .await
        .is_upstream(200);
    // Of that session and of every list in its organization; of another session and of another organization not.
    for (path, how) in all.into_iter().zip(["miss", "hit", "miss", "miss", "hit"]) {
        let answer = world.is("one", path, how).await;
        if path == tags {
            assert!(answer.json()["tags"].to_string().contains("new"));
        }
    }
    // A create names no session: all of its organization may be different.
    world.created("one").await;
    for (path, how) in all.into_iter().zip(["miss", "miss", "miss", "miss", "hit"]) {
        world.is("one", path, how).await;
    }
    // A refused one changed nothing, and is not known to have: it takes away as well.
    world.fake.inject(Fault {
        kind: FaultKind::Status {
            code: 500,
            retry_after: None,
            x_should_retry: None,
        },
        times: FaultTimes::Next(1),
        only: Some((Method::POST, tags.clone())),
    });
    let failed = world.post("one", &tags, r#"{"tags":["x"]}"#).await;
    assert_eq!(failed.status, 500);
    world.is("one", &one, "miss").await;
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_was_under_way_across_a_change_is_neither_kept_nor_joined() {
    let world = World::with(kept_for("60s")).await;
    let session = world.created("one").await;
    let tags = format!("{session}/tags");
    world.fake.inject(Fault {
        kind: FaultKind::LatencyAfterWork(SLOW),
        times: FaultTimes::Next(1),
        only: Some((Method::GET, tags.clone())),
    });
    let before = world.get("one", &tags);
    let after = async {
        world.until_read(&tags, 1).await;
        world
            .post("one", &tags, r#"{"tags":["new"]}"#)
            .await
            .is_upstream(200);
        world.is("one", &tags, "miss").await
    };
    let (before, after) = futures_util::future::join(before, after).await;
    let has_new = |it: &Answer| it.json()["tags"].to_string().contains("new");
    assert!(!has_new(&before) && has_new(&after));
    // The older one came last, and is not the one that was kept.
    assert!(has_new(&world.is("one", &tags, "hit").await));
    world.finish().await;
}

#[tokio::test]
async fn while_a_change_is_under_way_nothing_older_is_joined() {
    let world = World::with(kept_for("60s")).await;
    let session = world.created("one").await;
    let tags = format!("{session}/tags");
    world.is("one", &tags, "miss").await;
    world.fake.inject(Fault {
        kind: FaultKind::LatencyAfterWork(SLOW),
        times: FaultTimes::Next(1),
        only: Some((Method::POST, tags.clone())),
    });
    let changing = world.post("one", &tags, r#"{"tags":["new"]}"#);
    let reading = async {
        while !world
            .upstream()
            .iter()
            .any(|it| it.path == tags && it.method == Method::POST)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // It has begun: what was kept is gone. What is read now is kept no longer than until it ends.
        world.is("one", &tags, "miss").await;
        world.is("one", &tags, "hit").await;
    };
    let (changed, ()) = futures_util::future::join(changing, reading).await;
    changed.is_upstream(200);
    world.is("one", &tags, "miss").await;
    world.finish().await;
}

#[tokio::test]
async fn whoever_has_the_head_of_a_changes_answer_sees_the_change() {
    let calls: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&calls);
    let late = |inner| Late {
        inner,
        method: Method::PUT,
        calls,
    };
    let mut setup = kept_for("60s");
    setup.policy = setup.policy.replace("tags.append", "tags.replace");
    let world = World::around(setup, late).await;
    let session = world.created("one").await;
    let tags = format!("{session}/tags");
    world.fake.inject(Fault {
        kind: FaultKind::SlowBody {
            chunk_delay: SLOW / 4,
        },
        times: FaultTimes::Next(1),
        only: Some((Method::PUT, tags.clone())),
    });
    let changing = async {
        let body = r#"{"tags":["new"]}"#;
        let request = Request::put(format!("http://{}{tags}", world.gateway))
            .header("authorization", format!("Bearer {}", world.key("one")))
            .header("content-type", "application/json");
        let answer = world.begin(request.body(Full::from(body)).unwrap()).await;
        assert_eq!(answer.status(), 200);
        // The answer is not whole yet.
        let read = world.is("one", &tags, "miss").await;
        assert!(read.json()["tags"].to_string().contains("new"));
        answer.into_body().collect().await.unwrap();
    };
    let reading = async {
        while counted.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let read = world.is("one", &tags, "miss").await;
        assert!(!read.json()["tags"].to_string().contains("new"));
        world.is("one", &tags, "hit").await;
    };
    futures_util::future::join(changing, reading).await;
    world.is("one", &tags, "miss").await;
    world.finish().await;
}

#[tokio::test]
async fn another_policy_set_has_nothing_of_the_one_before() {
    let world = World::with(kept_for("60s")).await;
    let session = world.created("one").await;
    world.is("one", &session, "miss").await;
    world.is("one", &session, "hit").await;
    let mut report = Report::default();
    let text = kept_for("59s").policy;
    let files = PolicyFiles::from_texts([("policy.yaml", text.as_str())], &mut report);
    let mut policy = compile(&files, &[], &mut report).unwrap();
    let key = tollgate::api_key::ApiKey::generate("new").unwrap();
    assert!(policy.add_key("one", "new", key.digest().clone()));
    world.canaries.lock().unwrap().push(key.expose().to_owned());
    world.policies.replace(policy, world.parts.clock.now());
    let request = || Request::builder().header("authorization", format!("Bearer {}", key.expose()));
    for how in ["miss", "hit"] {
        let answer = world.send(&session, request(), "").await;
        answer.is_upstream(200);
        assert_eq!(answer.header("tollgate-cache"), Some(how));
    }
    world.finish().await;
}

#[tokio::test]
async fn l6_an_answer_that_was_asked_for_earlier_is_no_new_reading() {
    let world = World::with(kept_for("60s")).await;
    let session = world.created("one").await;
    world.fake.advance(Duration::from_secs(3_600));
    // At rest, a session is settled once it was seen so twice: by two readings, and not by one that is given again.
    world.is("one", &session, "miss").await;
    while world.stands("t/month", "one").await.0 == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let once = world.stands("t/month", "one").await;
    assert!(once.1 > 0, "it is held still: {once:?}");
    for _ in 0..5 {
        world.is("one", &session, "hit").await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.stands("t/month", "one").await, once);
    let request = Request::builder()
        .header("authorization", format!("Bearer {}", world.key("one")))
        .header("cache-control", "no-cache");
    world.send(&session, request, "").await.is_upstream(200);
    while world.stands("t/month", "one").await.1 > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.finish().await;
}
