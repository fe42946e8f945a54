//! Rules on trial about bodies that nothing else makes the gateway read.

use serde_json::{Value, json};

use crate::world::{Setup, World};

const TAGS: &str = "/v3/enterprise/organizations/org-ds/tags";

/// A live grant that says nothing of bodies, and rules on trial about them.
const TRIAL: &str = r#"
team: t
callers: { one: {} }
allow:
  - { name: tags, operations: ["org_tags.*"], organizations: [org-ds] }
  - { name: few, shadow: true, operations: [org_tags.append], organizations: [org-ds], body: { tags: { max_items: 2 } } }
  - { name: some, shadow: true, operations: [org_tags.replace], organizations: [org-ds], body: { tags: { default: [x] } } }
"#;

async fn trial() -> World {
    World::with(Setup {
        policy: TRIAL.to_owned(),
        capacity: crate::overload::within(|it| it.body = std::time::Duration::from_millis(50)),
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn a_rule_on_trial_sees_a_body_that_streams_by() {
    let world = trial().await;
    let denied = json!({"decision": "deny", "rule": "t/few", "code": "field-denied"});
    let allowed = json!({"decision": "allow", "rule": "t/few"});
    for (body, shadow) in [
        (r#"{"tags":  ["a", "b", "c"]}"#, denied),
        (r#"{"tags": ["a"]}"#, allowed),
    ] {
        let answer = world.post("one", TAGS, body).await;
        assert_eq!(answer.header("tollgate-answered-by"), Some("upstream"));
        assert_eq!(&world.upstream().pop().unwrap().body[..], body.as_bytes());
        let line = world.last_line().await;
        assert_eq!(line["shadow"], shadow);
        assert_eq!(line["rule"], "t/tags");
        assert_eq!(line["bytes_in"], body.len());
    }
    // No body at all is judged at once.
    world.call("one", http::Method::PUT, TAGS, "").await;
    let allowed = json!({"decision": "allow", "rule": "t/some"});
    assert_eq!(world.last_line().await["shadow"], allowed);
    // What would have to be refused unread passes, and nothing is said of it.
    let large = format!("{{\"tags\": [\"{}\"]}}", "x".repeat(2 * 1024 * 1024));
    for (kind, body) in [("text/plain", "x"), ("application/json", &*large)] {
        let request = http::Request::post("/")
            .header("authorization", format!("Bearer {}", world.key("one")))
            .header("content-type", kind);
        let answer = world.send(TAGS, request, body).await;
        assert_eq!(answer.header("tollgate-answered-by"), Some("upstream"));
        assert_eq!(world.last_line().await["shadow"], Value::Null);
    }
    world.finish().await;
}

#[tokio::test]
async fn r1_a_rule_on_trial_holds_no_body_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = trial().await;
    let (first, rest) = (r#"{"tags": ["a", "#, r#""b", "c"]}"#);
    for (length, first, rest) in [
        (
            format!("Content-Length: {}", first.len() + rest.len()),
            first.to_owned(),
            rest.to_owned(),
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("{:x}\r\n{first}\r\n", first.len()),
            format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len()),
        ),
    ] {
        let before = world.upstream().len();
        let mut stream = tokio::net::TcpStream::connect(world.gateway).await.unwrap();
        let head = format!(
            "POST {TAGS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{length}\r\nAuthorization: Bearer {}\r\n\r\n{first}",
            world.key("one")
        );
        world.sent(1);
        stream.write_all(head.as_bytes()).await.unwrap();
        // Devin has the beginning while the end is not even sent.
        while world.upstream().len() == before {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        world.answered(answer.as_bytes());
        assert!(!answer.starts_with("HTTP/1.1 408"), "{answer}");
        let last = world.upstream().pop().unwrap();
        assert_eq!(&last.body[..], br#"{"tags": ["a", "b", "c"]}"#);
        let line = world.last_line().await;
        assert_eq!(line["answered_by"], "upstream");
        assert_eq!(
            line["shadow"],
            json!({"decision": "deny", "rule": "t/few", "code": "field-denied"})
        );
    }
    world.finish().await;
}
