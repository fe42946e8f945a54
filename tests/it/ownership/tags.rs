//! Tags that are the gateway's own: nobody else writes them, and nobody takes them away.

use http::Method;
use serde_json::{Value, json};

use super::{CREATE, ENTERPRISE, create, create_with, world};

fn texts(list: &Value) -> Vec<&str> {
    let items = list.as_array().unwrap();
    items.iter().map(|it| it.as_str().unwrap()).collect()
}

#[tokio::test]
async fn b12_a_tag_that_imitates_ours_is_refused_wherever_tags_go() {
    let world = world().await;
    let own = create(&world, "one").await;
    let asked = world.upstream().len();
    let tags = format!("{CREATE}/{own}/tags");
    let twin = format!("{ENTERPRISE}/{own}/tags");
    for tag in ["tollgate.x", "tollgate.", "Tollgate.team.u", " tollgate.y"] {
        let body = json!({ "prompt": "x", "tags": ["a", tag] }).to_string();
        for (method, path) in [
            (Method::POST, CREATE),
            (Method::POST, &tags),
            (Method::PUT, &tags),
            (Method::POST, &twin),
            (Method::PUT, &twin),
        ] {
            let answer = world.call("one", method, path, &body).await;
            assert_eq!(
                answer.is_problem(403, "field-denied").json()["field"],
                "tags"
            );
            let line = world.last_line().await;
            assert_eq!(line["decision"], "deny", "{line}");
            assert_eq!(line["fields"]["body.tags[]"], tag, "{line}");
        }
    }
    assert_eq!(world.upstream().len(), asked);
    world.finish().await;
}

#[tokio::test]
async fn b12_a_replacement_keeps_our_tag() {
    let world = world().await;
    let own = create_with(
        &world,
        "one",
        CREATE,
        json!({ "prompt": "x", "tags": ["a"] }),
    )
    .await;
    let mut first: Option<String> = None;
    for base in [CREATE, ENTERPRISE] {
        let tags = format!("{base}/{own}/tags");
        for body in [json!({ "tags": ["b"] }), json!({ "tags": [] })] {
            let answer = world
                .call("one", Method::PUT, &tags, &body.to_string())
                .await;
            let after = answer.is_upstream(200).json();
            let (ours, others): (Vec<&str>, Vec<&str>) = texts(&after["tags"])
                .into_iter()
                .partition(|it| it.starts_with("tollgate."));
            assert_eq!(others, texts(&body["tags"]));
            assert_eq!(ours.len(), 1, "{after}");
            first.get_or_insert(ours[0].to_owned());
            assert_eq!(first.as_deref(), Some(ours[0]));
        }
        for body in ["{}", r#"{"tags":null}"#] {
            let answer = world.call("one", Method::PUT, &tags, body).await;
            answer.is_problem(400, "body-invalid");
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn b12_room_is_left_for_our_tag() {
    let world = world().await;
    let full = |count: usize| {
        let tags: Vec<String> = (0..count).map(|n| format!("t{n}")).collect();
        json!({ "prompt": "x", "tags": tags })
    };
    let own = create_with(&world, "one", CREATE, full(49)).await;
    let tags = format!("{CREATE}/{own}/tags");
    for (method, path) in [(Method::POST, CREATE), (Method::PUT, &tags)] {
        let answer = world.call("one", method, path, &full(50).to_string()).await;
        let body = answer.is_problem(403, "field-denied").json();
        assert!(
            body["detail"].as_str().unwrap().contains("49 tags"),
            "{body}"
        );
    }
    let answer = world
        .call("one", Method::PUT, &tags, &full(49).to_string())
        .await;
    assert_eq!(texts(&answer.is_upstream(200).json()["tags"]).len(), 50);
    world.finish().await;
}
