//! Of a list of sessions, a caller sees those that its grant reaches, and no sign of the others.

use serde_json::{Value, json};
use tollgate::fake_devin::{Fault, FaultKind};

use super::{CREATE, ENTERPRISE, bare, create, create_with, seed, world};
use crate::world::World;

fn ids(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["session_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Reads a list to its end, as Devin's clients do, who take an empty page for the end.
async fn walk(world: &World, caller: &str, path: &str, query: &str) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let answer = world.get(caller, &format!("{path}?{query}{after}")).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let page = answer.json();
        let has_next = page["has_next_page"].as_bool().unwrap();
        assert!(
            !(has_next && ids(&page).is_empty()),
            "an empty page in between"
        );
        assert!(page["total"].is_null(), "{page}");
        found.extend(ids(&page));
        if !has_next {
            assert!(page["end_cursor"].is_null());
            return found;
        }
        after = format!("&after={}", page["end_cursor"].as_str().unwrap());
    }
}

#[tokio::test]
async fn g11_one_own_session_among_500_is_found() {
    let world = world().await;
    seed(&world, 250);
    let own = create(&world, "one").await;
    create(&world, "mate").await;
    seed(&world, 248);
    for path in [
        CREATE,
        "/v3beta1/organizations/org-ds/sessions",
        ENTERPRISE,
        "/v3/organizations/org-ds/sessions/insights",
        "/v3/enterprise/sessions/insights",
    ] {
        for query in ["", "first=1", "first=200"] {
            assert_eq!(
                walk(&world, "one", path, query).await,
                std::slice::from_ref(&own),
                "{path} {query}"
            );
        }
    }
    let line = world.last_line().await;
    assert_eq!(
        line["filtered"],
        json!({ "kept": 1, "dropped": 0, "pages": 1 })
    );
    world.finish().await;
}

#[tokio::test]
async fn u10_pages_are_as_large_as_asked_and_in_order() {
    let world = world().await;
    let mut own = Vec::new();
    for number in 0..12 {
        let tag = if number % 3 == 0 { "third" } else { "other" };
        let body = json!({ "prompt": "x", "tags": [tag] });
        own.push(create_with(&world, "one", CREATE, body).await);
        create(&world, "mate").await;
    }
    own.reverse();
    for (first, pages) in [(1, 12), (5, 3), (12, 1), (100, 1)] {
        let before = world.lines().await.len();
        let found = walk(&world, "one", CREATE, &format!("first={first}")).await;
        assert_eq!(found, own, "{first}");
        assert_eq!(world.lines().await.len() - before, pages, "{first}");
    }
    // The caller's own filters hold beside.
    let thirds: Vec<String> = own.iter().rev().step_by(3).rev().cloned().collect();
    for query in ["tags=third&first=1", "tags=third&first=3", "tags=third"] {
        assert_eq!(walk(&world, "one", CREATE, query).await, thirds, "{query}");
    }
    // A team's list holds what every caller of the team created.
    assert_eq!(walk(&world, "lead", CREATE, "first=7").await.len(), 24);
    // All are Devin's own answer.
    let list = world.get("auditor", CREATE).await.json();
    assert_eq!((ids(&list).len(), &list["total"]), (24, &json!(24)));
    world.finish().await;
}

#[tokio::test]
async fn g11_ids_that_a_caller_asks_for_are_asked_for_as_far_as_they_are_its_own() {
    let world = world().await;
    let first = create(&world, "one").await;
    let mates = create(&world, "mate").await;
    let second = create(&world, "one").await;
    let asked = world.upstream().len();
    for (named, wanted) in [
        (format!("session_ids={first},{mates},gone"), vec![&first]),
        (
            format!("session_ids={}&session_ids={}", bare(&first), second),
            vec![&second, &first],
        ),
        (
            format!("first=1&session_ids={first},{second},{second}"),
            vec![&second, &first],
        ),
    ] {
        let found = walk(&world, "one", CREATE, &named).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{named}");
    }
    for request in &world.upstream()[asked..] {
        assert!(!request.target.contains(bare(&mates)), "{}", request.target);
    }
    // For nobody's, Devin is not asked.
    let asked = world.upstream().len();
    for named in [mates.as_str(), "gone", "no~id"] {
        let query = format!("{CREATE}?session_ids={named}");
        let answer = world.get("one", &query).await;
        assert_eq!(answer.header("tollgate-answered-by"), Some("gateway"));
        assert_eq!(
            answer.json(),
            json!({ "items": [], "end_cursor": null, "has_next_page": false, "total": null })
        );
    }
    assert_eq!(world.upstream().len(), asked);
    world.finish().await;
}

#[tokio::test]
async fn u10_a_cursor_of_others_is_as_one_that_is_none() {
    let world = world().await;
    for caller in ["one", "one", "mate", "mate"] {
        create(&world, caller).await;
    }
    let page = world.get("mate", &format!("{CREATE}?first=1")).await.json();
    let mates = page["end_cursor"].as_str().unwrap().to_owned();
    let page = world.get("auditor", &format!("{CREATE}?first=1")).await;
    let devins = page.json()["end_cursor"].as_str().unwrap().to_owned();
    let asked = world.upstream().len();
    let mut said = Vec::new();
    for cursor in [mates.as_str(), &devins, "x", "MS5nb25l"] {
        let answer = world.get("one", &format!("{CREATE}?after={cursor}")).await;
        let mut body = answer.is_problem(400, "target-invalid").json();
        body["instance"] = Value::Null;
        said.push(body);
    }
    assert!(said.iter().all(|it| *it == said[0]), "{said:?}");
    for size in ["0", "201", "x"] {
        let answer = world.get("one", &format!("{CREATE}?first={size}")).await;
        answer.is_problem(400, "target-invalid");
    }
    assert_eq!(world.upstream().len(), asked);
    world.finish().await;
}

/// This body in place of Devin's answer.
fn instead(body: &str) -> FaultKind {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    FaultKind::Raw(answer.into())
}

#[tokio::test]
async fn u10_what_devin_answers_unasked_is_not_shown() {
    let mut world = world().await;
    let own = create(&world, "one").await;
    let mates = create(&world, "mate").await;
    let element = |id: &str, parent: &str, children: &[&str]| json!({ "session_id": id, "parent_session_id": parent, "child_session_ids": children });
    let body = json!({
        "items": [
            element(&mates, &own, &[]),
            element(&own, &mates, &[&mates, "devin-gone", &own]),
            element(&own, &own, &[]),
        ],
        "end_cursor": null, "has_next_page": false, "total": 3, "seen": [mates],
    });
    world.fake.inject(Fault::next(instead(&body.to_string())));
    let answer = world.get("one", CREATE).await;
    let list = answer.is_upstream(200).json();
    assert_eq!(
        list,
        json!({
            "items": [{ "session_id": own, "parent_session_id": null, "child_session_ids": [own] }],
            "end_cursor": null, "has_next_page": false, "total": null,
        })
    );
    assert_eq!(
        world.last_line().await["filtered"],
        json!({ "kept": 1, "dropped": 2, "pages": 1 })
    );
    // What is no list is an error, and never shown.
    world.upstream_faulty();
    world
        .fake
        .inject(Fault::next(instead(&format!("[\"{mates}\"]"))));
    let answer = world.get("one", CREATE).await;
    answer.is_problem(502, "upstream-invalid");
    world.finish().await;
}
