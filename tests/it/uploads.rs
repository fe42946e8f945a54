//! Uploads against the bounds of a policy, over real sockets.

use crate::answer::Answer;
use crate::world::{Setup, World};

const POLICY: &str = r#"
team: t
callers: { one: {} }
allow:
  - { name: files, operations: [attachments.upload], organizations: [org-ds], upload: { max_size: 1KiB, max_parts: 1 } }
"#;

async fn world() -> World {
    World::with(Setup {
        policy: POLICY.to_owned(),
        ..Setup::default()
    })
    .await
}

const UPLOAD: &str = "/v3/organizations/org-ds/attachments";
const FORM: &str = "multipart/form-data; boundary=b0";

/// A form of these parts, between boundaries of `b0`.
fn form(parts: &[&str]) -> String {
    let part = |content: &&str| {
        format!(
            "--b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{content}\r\n"
        )
    };
    let parts: String = parts.iter().map(part).collect();
    format!("{parts}--b0--\r\n")
}

async fn upload(world: &World, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
    let mut request =
        http::Request::post("/").header("authorization", format!("Bearer {}", world.key("one")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(UPLOAD, request, body).await
}

#[tokio::test]
async fn b7_uploads_are_counted_while_they_stream() {
    let mut world = world().await;
    let send = async |kind, body: &str| upload(&world, &[("content-type", kind)], body).await;
    let good = form(&["hello"]);
    send(FORM, &good).await.is_upstream(200);
    assert_eq!(&world.upstream()[0].body[..], good.as_bytes());
    let large = form(&[&"x".repeat(1024)]);
    send(FORM, &large).await.is_problem(413, "body-too-large");
    let several = form(&["a", "b"]);
    send(FORM, &several).await.is_problem(413, "body-too-large");
    send("application/json", &good)
        .await
        .is_problem(415, "body-unsupported");
    let finished = world.upstream().iter().filter(|it| it.finished).count();
    assert_eq!(finished, 1, "what is too much is never a whole upload");
    world.upstream_faulty();
    world.finish().await;
}

#[tokio::test]
async fn r7_neither_compression_nor_parts_make_much_of_little() {
    let mut world = World::with(Setup {
        policy: format!(
            "{POLICY}  - {{ name: sessions, operations: [sessions.create], organizations: [org-ds], body: {{ max_acu_limit: {{ default: 5 }} }} }}\n"
        ),
        ..Setup::default()
    })
    .await;
    // What is to be judged is never unpacked, whatever it would come to: it is refused as it is.
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"] {
        let request = http::Request::post("/")
            .header("authorization", format!("Bearer {}", world.key("one")))
            .header("content-type", "application/json")
            .header("content-encoding", coding);
        let bomb = "\u{1f}\u{8b}\u{8}".repeat(1_000);
        let answer = world
            .send("/v3/organizations/org-ds/sessions", request, &bomb)
            .await;
        answer.is_problem(415, "body-unsupported");
    }
    assert!(world.upstream().is_empty());
    // A form of 100,000 parts ends at the first one too many, and what has left by then is not a whole one.
    let parts = form(&vec!["x"; 100_000]);
    assert!(parts.len() > 5 << 20);
    let answer = upload(&world, &[("content-type", FORM)], &parts).await;
    answer.is_problem(413, "body-too-large");
    for request in world.upstream() {
        assert!(!request.finished && request.body.len() < 64 * 1024);
    }
    world.upstream_faulty();
    world.finish().await;
}

#[tokio::test]
async fn b7_a_form_whose_parts_two_readers_could_count_differently_is_refused() {
    let world = world().await;
    let several = form(&["a", "b"]);
    for kind in [
        "multipart/form-data; x=\"; boundary=aaa\"; boundary=b0",
        "multipart/form-data; boundary=aaa\"; boundary=b0",
        "multipart/form-data; boundary=aaa; boundary=b0",
        "multipart/form-data; boundary*=utf-8''b0",
        "multipart/form-data; boundary=\"b\\0\"",
        "multipart/form-data; boundary=b0, x",
        "multipart/form-data; boundary=b0 (x)",
        "multipart/form-data; boundary=b0; charset=utf-8",
    ] {
        let answer = upload(&world, &[("content-type", kind)], &several).await;
        answer.is_problem(415, "body-unsupported");
    }
    for encoding in ["gzip", "identity"] {
        let headers = [("content-type", FORM), ("content-encoding", encoding)];
        let answer = upload(&world, &headers, &form(&["a"])).await;
        answer.is_problem(415, "body-unsupported");
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn b7_the_boundary_that_goes_on_is_the_one_that_was_read() {
    let world = world().await;
    for (kind, boundary, sent) in [
        ("Multipart/Form-Data ;boundary=\"b0\"", "b0", FORM),
        (
            "multipart/form-data; BOUNDARY=\"b 0\"",
            "b 0",
            "multipart/form-data; boundary=\"b 0\"",
        ),
        (
            "multipart/form-data; boundary=------------------------d1f1b8c5",
            "------------------------d1f1b8c5",
            "multipart/form-data; boundary=------------------------d1f1b8c5",
        ),
    ] {
        let body = form(&["hello"]).replace("b0", boundary);
        upload(&world, &[("content-type", kind)], &body).await;
        let last = world.upstream().pop().unwrap();
        assert_eq!(last.header("content-type"), Some(sent));
        assert_eq!(&last.body[..], body.as_bytes());
    }
    world.finish().await;
}
