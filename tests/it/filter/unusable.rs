//! Lists that cannot be filtered, or not in time: they are errors, and nothing of them is shown.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::fake_devin::{Fault, FaultKind};
use tollgate::pipeline::upstream::Timeouts;

use super::{LIST, among, ids, setup};
use crate::answer::Answer;
use crate::world::{Setup, World};

/// An answer in the place of the fake's own.
fn raw(head: &str, body: impl AsRef<[u8]>) -> FaultKind {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    FaultKind::Raw(bytes.into())
}

fn page(body: &Value) -> FaultKind {
    raw("200 OK\r\nContent-Type: application/json", body.to_string())
}

const HIDDEN: &str = "org-hidden";

/// Fails if an answer or its log line shows what is hidden.
#[track_caller]
fn shows_nothing(answer: &Answer, line: &Value) {
    assert!(
        !String::from_utf8_lossy(&answer.body).contains(HIDDEN),
        "{:?}",
        answer.body
    );
    assert!(!format!("{:?}", answer.headers).contains(HIDDEN));
    assert!(!line.to_string().contains(HIDDEN), "{line}");
}

#[tokio::test]
async fn u10_a_search_without_an_end_is_given_up() {
    // Three may be shown, two are asked for: pages cannot be enlarged, and ten of them hold nothing.
    let mut world = World::with(among(30, 29)).await;
    world.upstream_faulty();
    let answer = world.get("three", &format!("{LIST}?first=2")).await;
    answer.is_problem(502, "upstream-invalid");
    let line = world.last_line().await;
    shows_nothing(&answer, &line);
    assert_eq!(
        (&line["upstream_attempts"], &line["answered_by"]),
        (&json!(10), &json!("gateway"))
    );
    assert!(line["filtered"].is_null());
    // With pages of three they can.
    let list = world.get("three", &format!("{LIST}?first=3")).await.json();
    assert_eq!(ids(&list["items"], "org_id"), ["org-ds"]);
    world.finish().await;
}

#[tokio::test]
async fn u12_a_list_that_never_ends_is_given_up() {
    let mut world = World::with(setup()).await;
    world.upstream_faulty();
    let endless = |cursor: String| {
        let item = json!({ "org_id": HIDDEN });
        page(&json!({ "items": [item], "has_next_page": true, "end_cursor": cursor }))
    };
    for number in 0..12 {
        world
            .fake
            .inject(Fault::next(endless(format!("{HIDDEN}-{number}"))));
    }
    let answer = world.get("one", LIST).await;
    answer.is_problem(502, "upstream-invalid");
    shows_nothing(&answer, &world.last_line().await);
    assert_eq!(world.upstream().len(), 10);

    world.fake.clear_faults();

    // The same page over and over, from the first on and from a later one.
    for (path, pages) in [(LIST.to_owned(), 2), (format!("{LIST}?after=same"), 1)] {
        for _ in 0..pages {
            world.fake.inject(Fault::next(endless("same".to_owned())));
        }
        world
            .get("one", &path)
            .await
            .is_problem(502, "upstream-invalid");
        let line = world.last_line().await;
        assert!(
            line["cause"].as_str().unwrap().contains("came again"),
            "{line}"
        );
        assert_eq!(line["upstream_attempts"], pages);
    }
    // A cursor that does not fit into a target.
    world.fake.inject(Fault::next(endless("x".repeat(9_000))));
    world
        .get("one", LIST)
        .await
        .is_problem(502, "upstream-invalid");
    assert_eq!(world.last_line().await["upstream_attempts"], 1);
    world.finish().await;
}

#[tokio::test]
async fn u12_what_cannot_be_filtered_is_not_passed_on() {
    let mut world = World::with(setup()).await;
    world.upstream_faulty();
    let json_type = "200 OK\r\nContent-Type: application/json";
    let hidden = format!(r#"{{"items":[{{"org_id":"{HIDDEN}"}}],"has_next_page":false}}"#);
    let large = format!(
        r#"{{"items":[{{"org_id":"org-ds"}},{{"org_id":"{HIDDEN}","x":"{}"}}]}}"#,
        "x".repeat(5 << 20)
    );
    let array = format!(r#"[{{"org_id":"org-ds"}},{{"org_id":"{HIDDEN}"}}]"#);
    let data = hidden.replace("items", "data");
    let twice = hidden.replace(r#""has_next_page":false"#, r#""items":[]"#);
    let mut not_utf8 = hidden.clone().into_bytes();
    not_utf8.insert(12, 0xff);
    let cases: Vec<(&str, FaultKind, &str)> = vec![
        (
            "compressed",
            raw(&format!("{json_type}\r\nContent-Encoding: gzip"), &hidden),
            "is encoded",
        ),
        (
            "encoded",
            raw(
                &format!("{json_type}\r\nContent-Encoding: identity"),
                &hidden,
            ),
            "is encoded",
        ),
        (
            "a page for people",
            raw("200 OK\r\nContent-Type: text/html", &hidden),
            "does not say that it is JSON",
        ),
        (
            "without a type",
            raw("200 OK", &hidden),
            "does not say that it is JSON",
        ),
        (
            "in Latin-1",
            raw(
                "200 OK\r\nContent-Type: application/json; charset=latin-1",
                &hidden,
            ),
            "does not say that it is JSON",
        ),
        ("5 MiB", raw(json_type, &large), "more than 4194304 bytes"),
        ("no UTF-8", raw(json_type, &not_utf8), "is not UTF-8"),
        ("an array", raw(json_type, &array), "is no object"),
        ("an unknown list", raw(json_type, &data), "holds no list"),
        (
            "two lists of one name",
            raw(json_type, &twice),
            "stands twice",
        ),
        ("empty", raw(json_type, ""), "EOF"),
        ("no content", raw("204 No Content", ""), "status 204"),
        (
            "another status",
            raw(
                "203 Non-Authoritative\r\nContent-Type: application/json",
                &hidden,
            ),
            "status 203",
        ),
        (
            "a part",
            raw(
                "206 Partial Content\r\nContent-Type: application/json\r\nContent-Range: bytes 0-1/9",
                &hidden,
            ),
            "status 206",
        ),
        (
            "not modified",
            raw("304 Not Modified\r\nETag: \"org-hidden\"", ""),
            "status 304",
        ),
        (
            "elsewhere",
            FaultKind::Redirect {
                location: format!("/{HIDDEN}"),
            },
            "status 307",
        ),
        ("half an answer", FaultKind::HalfAnswer, "end of file"),
        (
            "half a page",
            raw(json_type, &hidden[..hidden.len() - 4]),
            "EOF",
        ),
    ];
    for (what, fault, cause) in cases {
        world.fake.inject(Fault::next(fault));
        let answer = world.get("one", LIST).await;
        assert_eq!(answer.status, 502, "{what}: {:?}", answer.body);
        answer.is_problem(502, "upstream-invalid");
        let line = world.last_line().await;
        shows_nothing(&answer, &line);
        assert!(
            line["cause"].as_str().unwrap().contains(cause),
            "{what}: {line}"
        );
        assert!(line["filtered"].is_null(), "{what}: {line}");
        assert_eq!(line["answered_by"], "gateway", "{what}");
    }
    // Who may see everything gets even these as they are.
    world.fake.inject(Fault::next(raw(
        "200 OK\r\nContent-Type: text/html",
        &hidden,
    )));
    let answer = world.get("all", LIST).await;
    assert_eq!(answer.is_upstream(200).body, hidden);
    world.finish().await;
}

#[tokio::test]
async fn devins_own_errors_pass_on_any_page() {
    let mut world = World::with(among(500, 499)).await;
    let status = |code| FaultKind::Status {
        code,
        retry_after: Some(7),
        x_should_retry: None,
    };
    let nothing = || page(&json!({ "items": [], "has_next_page": true, "end_cursor": "next" }));
    for code in [403, 422, 500, 503] {
        world.fake.inject(Fault::next(status(code)));
        let answer = world.get("one", LIST).await;
        answer.is_upstream(code);
        assert_eq!(answer.header("retry-after"), Some("7"));
        // Behind a first page on which nothing may be shown.
        world.fake.inject(Fault::next(nothing()));
        world.fake.inject(Fault::next(status(code)));
        world.get("one", LIST).await.is_upstream(code);
        let line = world.last_line().await;
        assert_eq!(
            (&line["upstream_status"], &line["upstream_attempts"]),
            (&json!(code), &json!(2))
        );
    }
    world.upstream_faulty();
    world.fake.inject(Fault::next(nothing()));
    world.fake.inject(Fault::next(FaultKind::RejectToken));
    world
        .get("one", LIST)
        .await
        .is_problem(502, "upstream-credential-rejected");
    assert_eq!(world.last_line().await["answered_by"], "gateway");
    // The last one, since nobody reads anything for seven seconds after it.
    world.fake.inject(Fault::next(nothing()));
    world.fake.inject(Fault::next(status(429)));
    let answer = world.get("one", LIST).await;
    answer.is_upstream(429);
    assert_eq!(answer.header("retry-after"), Some("7"));
    world.finish().await;
}

#[tokio::test]
async fn r17_all_pages_together_have_the_time_of_one_answer() {
    let mut world = World::with(Setup {
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_millis(600),
            total: Duration::from_millis(600),
        },
        ..among(500, 499)
    })
    .await;
    world.upstream_faulty();
    // Four pages, each of them in time.
    let slow = FaultKind::Latency(Duration::from_millis(250));
    world.fake.inject(Fault::always(slow));
    world
        .get("one", &format!("{LIST}?first=10"))
        .await
        .is_problem(504, "upstream-timeout");
    let line = world.last_line().await;
    assert!(line["upstream_attempts"].as_u64().unwrap() < 4, "{line}");
    world.finish().await;
}
