//! What HTTP/2 could carry into HTTP/1 (F16), sent frame by frame, since no client library sends it.

use crate::attack::{DATA, GOAWAY, HEADERS, RST_STREAM, frame};
use crate::world::World;

const SELF: &str = "/v3/self";
const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

#[tokio::test]
async fn f16_nothing_of_http_2_becomes_a_second_request() {
    let world = World::start().await;
    let key = world.key("one");
    let bearer = format!("Bearer {key}");
    let smuggled = format!("{SELF} HTTP/1.1\r\nHost: x\r\n\r\n{}", world.hidden());
    let value = format!("a\r\n\r\n{}", world.hidden());
    let method = format!("GET {SELF} HTTP/1.1\r\nHost: x\r\n\r\nGET");
    type Field<'a> = (&'a [u8], &'a [u8]);
    let with = |path: &[u8], more: &[Field<'_>]| {
        let mut fields: Vec<Field<'_>> = vec![
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"x"),
            (b":path", path),
            (b"authorization", bearer.as_bytes()),
        ];
        fields.extend(more);
        world.h2_head(1, true, &fields)
    };
    let path = SELF.as_bytes();
    let with_method = |method: &[u8]| {
        let fields: [Field<'_>; 5] = [
            (b":method", method),
            (b":scheme", b"http"),
            (b":authority", b"x"),
            (b":path", path),
            (b"authorization", bearer.as_bytes()),
        ];
        world.h2_head(1, true, &fields)
    };
    for (what, head) in [
        (
            "a second request in the path",
            with(smuggled.as_bytes(), &[]),
        ),
        ("a space in the path", with(b"/v3/self HTTP/1.1", &[])),
        ("no slash", with(b"v3/self", &[])),
        ("no path", with(b"", &[])),
        (
            "a line end in a value",
            with(path, &[(b"accept", value.as_bytes())]),
        ),
        (
            "a bare LF in a value",
            with(path, &[(b"accept", b"a\nb: c")]),
        ),
        ("a NUL in a value", with(path, &[(b"accept", b"a\0b")])),
        (
            "a line end in a name",
            with(path, &[(b"accept\r\nhost", b"a")]),
        ),
        (
            "a colon in a name",
            with(path, &[(b"accept: a\r\nb", b"a")]),
        ),
        ("a space in a name", with(path, &[(b"a b", b"a")])),
        ("an upper-case name", with(path, &[(b"Accept", b"a")])),
        ("an empty name", with(path, &[(b"", b"a")])),
        ("an underscore", with(path, &[(b"content_length", b"5")])),
        (
            "transfer-encoding",
            with(path, &[(b"transfer-encoding", b"chunked")]),
        ),
        (
            "connection",
            with(path, &[(b"connection", b"authorization")]),
        ),
        ("upgrade", with(path, &[(b"upgrade", b"h2c")])),
        ("te", with(path, &[(b"te", b"gzip")])),
        (
            "two paths",
            with(path, &[(b":path", b"/v3/enterprise/self")]),
        ),
        (
            "a pseudo-header behind others",
            with(path, &[(b":authority", b"y")]),
        ),
        ("an unknown pseudo-header", with(path, &[(b":evil", b"y")])),
        (
            "extended CONNECT",
            with(path, &[(b":protocol", b"websocket")]),
        ),
        (
            "two credentials",
            with(path, &[(b"authorization", b"Bearer evil")]),
        ),
        (
            "two lengths",
            with(
                path,
                &[(b"content-length", b"0"), (b"content-length", b"0")],
            ),
        ),
        (
            "a second request in the method",
            with_method(method.as_bytes()),
        ),
        (
            "CONNECT",
            world.h2_head(
                1,
                false,
                &[(b":method", b"CONNECT"), (b":authority", b"evil:443")],
            ),
        ),
        ("TRACE", with_method(b"TRACE")),
        ("no such method", with_method(b"get")),
    ] {
        let answers = world.attack_h2(&[head]).await;
        let refused = answers
            .iter()
            .any(|(kind, _)| [HEADERS, RST_STREAM, GOAWAY].contains(kind));
        assert!(refused, "{what}: {answers:?}");
        for line in world.lines().await {
            let status = line["status"].as_u64().unwrap_or(400);
            assert!(
                (400..=501).contains(&status) && status != 500,
                "{what}: {line}"
            );
        }
        assert!(world.upstream().is_empty(), "{what}");
    }
    // A length that the data does not have: nothing is sent on of what is read, and nothing else ends cleanly.
    for (length, data) in [
        ("9", &b"{\"prompt\":\"x\"}"[..]),
        ("99", b"{\"prompt\":\"x\"}"),
    ] {
        for path in [SESSIONS, "/v3/enterprise/organizations/org-ds/tags"] {
            let fields: [Field<'_>; 7] = [
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":authority", b"x"),
                (b":path", path.as_bytes()),
                (b"authorization", bearer.as_bytes()),
                (b"content-type", b"application/json"),
                (b"content-length", length.as_bytes()),
            ];
            let frames = [world.h2_head(1, false, &fields), frame(DATA, 1, 1, data)];
            let answers = world.attack_h2(&frames).await;
            if !answers.contains(&(HEADERS, 1)) {
                world.sent(1);
            }
        }
    }
    world.lines().await;
    for request in world.upstream() {
        assert!(
            request.path.ends_with("/tags") && !request.finished,
            "{request:?}"
        );
    }
    world.finish().await;
}
