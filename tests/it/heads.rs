//! Headers and who they claim to come from (H): nothing is believed that stands in one, and little of it goes on.

use crate::attack::{DATA, HEADERS, frame};
use crate::world::World;

const SELF: &str = "/v3/self";
const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
const CLOSE: &str = "Connection: close\r\n";

#[tokio::test]
async fn h1_connection_takes_nothing_away_that_matters() {
    let world = World::start().await;
    let head = world.head("GET", SELF);
    // What it names is dropped before anything is read, and so is a credential: it becomes nobody's request.
    let back = world
        .attack(format!("{head}Connection: close, Authorization\r\n\r\n"))
        .await;
    back.refused(401, "credential-missing");
    let hidden = world.hidden();
    let post = world.head("POST", SESSIONS);
    let body = "{\"prompt\":\"x\"}";
    let length = format!(
        "Content-Length: {}\r\nContent-Type: application/json\r\n",
        body.len()
    );
    let back = world
        .attack(format!(
            "{post}{length}X-Request-Id: mine-1\r\nAccept: text/x-mine\r\n\
             Connection: X-Request-Id, Content-Length, Host, Accept\r\nConnection: close\r\n\r\n{body}{hidden}"
        ))
        .await;
    back.only(200);
    let seen = world.upstream();
    assert_eq!((seen.len(), seen[0].finished), (1, true));
    assert!(seen[0].header("content-length").is_some());
    for name in ["accept", "connection"] {
        assert_eq!(seen[0].header(name), None, "{name}");
    }
    assert!(world.last_line().await["client_request_id"].is_null());
    world.finish().await;
}

#[tokio::test]
async fn h2_one_credential_from_one_place() {
    let world = World::start().await;
    let key = world.key("one");
    let other = world.key("other");
    let get = format!("GET {SELF} HTTP/1.1\r\nHost: x\r\n{CLOSE}");
    for (lines, status, code) in [
        (
            format!("Authorization: Bearer {key}\r\nAuthorization: Bearer {key}\r\n"),
            400,
            "header-invalid",
        ),
        (
            format!("Authorization: Bearer {key}\r\nauthorization: Basic x\r\n"),
            400,
            "header-invalid",
        ),
        (
            format!("Authorization: Bearer {key}, Bearer {other}\r\n"),
            401,
            "credential-invalid",
        ),
        (
            format!("Authorization: Bearer {key},{other}\r\n"),
            401,
            "credential-invalid",
        ),
        (
            format!("Authorization: Basic {key}\r\n"),
            401,
            "credential-invalid",
        ),
        (
            format!("Authorization: Bearer\t{key}\r\n"),
            401,
            "credential-invalid",
        ),
        (
            format!("Authorization: Bearer  {key}\r\n"),
            401,
            "credential-invalid",
        ),
        (
            format!("Authorization: {key}\r\n"),
            401,
            "credential-invalid",
        ),
        (format!("X-Api-Key: {key}\r\n"), 401, "credential-missing"),
        (
            format!("Cookie: authorization={key}\r\n"),
            401,
            "credential-missing",
        ),
        (
            format!("Proxy-Authorization: Bearer {key}\r\n"),
            401,
            "credential-missing",
        ),
    ] {
        let back = world.attack(format!("{get}{lines}\r\n")).await;
        back.refused(status, code);
    }
    let query =
        format!("GET {SELF}?access_token={key}&api_key={key} HTTP/1.1\r\nHost: x\r\n{CLOSE}\r\n");
    world.attack(query).await.refused(401, "credential-missing");
    assert!(world.upstream().is_empty());
    // The scheme has no case, and another place changes nothing.
    let lower =
        format!("Authorization: bEARER {key}\r\nX-Api-Key: {other}\r\nCookie: k={other}\r\n");
    world.attack(format!("{get}{lower}\r\n")).await.only(200);
    assert_eq!(world.last_line().await["caller"], "one");
    world.finish().await;
}

/// Fails if these headers make anybody of a request, change who somebody is or where from, or go on to Devin.
async fn claims_nothing(claims: &[&str]) {
    let world = World::start().await;
    let claims: String = claims.iter().map(|it| format!("{it}\r\n")).collect();
    let nobody = format!("GET {SELF} HTTP/1.1\r\nHost: x\r\n{CLOSE}{claims}\r\n");
    world
        .attack(nobody)
        .await
        .refused(401, "credential-missing");
    let head = world.head("GET", SELF);
    world
        .attack(format!("{head}{CLOSE}{claims}\r\n"))
        .await
        .only(200);
    assert_eq!(world.last_line().await["caller"], "one");
    let seen = world.upstream();
    assert_eq!(seen.len(), 1);
    let mut names: Vec<&str> = seen[0]
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept-encoding",
            "authorization",
            "host",
            "via",
            "x-request-id"
        ]
    );
    for line in world.lines().await {
        assert!(
            line["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{line}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn h3_nobody_comes_from_where_a_header_says() {
    claims_nothing(&[
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil",
        "X-Forwarded-Port: 1",
        "Forwarded: for=10.0.0.1;host=evil",
        "X-Real-IP: 10.0.0.1",
        "CF-Connecting-IP: 10.0.0.1",
        "True-Client-IP: 10.0.0.1",
        "X-Client-IP: 10.0.0.1",
    ])
    .await;
    // A PROXY line in front is no request.
    let world = World::start().await;
    let text = b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n";
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\0\x01\0\x02";
    for proxy in [&text[..], binary] {
        let back = world
            .attack([proxy, world.hidden().as_bytes()].concat())
            .await;
        assert!(!back.statuses().contains(&200), "{}", back.text);
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn h4_nobody_is_who_a_header_says() {
    claims_nothing(&[
        "X-Forwarded-Client-Cert: By=x;URI=spiffe://acme/one",
        "X-SSL-Client-Cert: x",
        "X-SSL-Client-Verify: SUCCESS",
        "X-SSL-Client-S-DN: CN=one",
        "X-Spiffe-Id: spiffe://acme/other",
        "X-Remote-User: other",
        "Remote-User: other",
        "X-Auth-Request-User: other",
    ])
    .await;
}

#[tokio::test]
async fn h5_our_own_names_are_ours() {
    let world = World::start().await;
    let head = world.head("GET", SELF);
    let ours = "Tollgate-Answered-By: upstream\r\nTollgate-Acu-Cap: 9\r\nTollgate-Caller: other\r\nRateLimit: x\r\n\
                RateLimit-Policy: x\r\nVia: 1.1 evil\r\nVia: 1.1 worse\r\n";
    for (id, trace, is_sane) in [
        (
            "mine-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            true,
        ),
        (
            "a b",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            false,
        ),
        (
            "a\",\"caller\":\"other",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            false,
        ),
        ("", "4bf92f3577b34da6a3ce929d0e0e4736", false),
    ] {
        let lines =
            format!("{ours}X-Request-Id: {id}\r\ntraceparent: {trace}\r\ntracestate: a=b\r\n");
        let back = world.attack(format!("{head}{CLOSE}{lines}\r\n")).await;
        back.only(200);
        let line = world.last_line().await;
        assert_eq!(line["client_request_id"] == id, is_sane, "{line}");
        assert_eq!(line["client_request_id"].is_null(), !is_sane, "{line}");
        let traced = line["trace_id"].as_str().unwrap();
        assert_eq!(
            traced == "4bf92f3577b34da6a3ce929d0e0e4736",
            is_sane,
            "{line}"
        );
        let id = line["request_id"].as_str().unwrap();
        assert!(
            back.text.contains(&format!("\r\nx-request-id: {id}\r\n")),
            "{}",
            back.text
        );
        assert!(
            !back.text.contains("evil") && !back.text.contains("tollgate-acu-cap"),
            "{}",
            back.text
        );
        let seen = world.upstream().pop().unwrap();
        assert_eq!(seen.header("x-request-id"), Some(id));
        let mut all = seen.headers.iter();
        let vias: Vec<_> = all.by_ref().filter(|(name, _)| name == "via").collect();
        assert_eq!(
            (vias.len(), vias[0].1.as_bytes()),
            (1, &b"1.1 tollgate"[..])
        );
        for name in ["tracestate", "ratelimit", "ratelimit-policy"] {
            assert_eq!(seen.header(name), None, "{name}");
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn h6_one_host_and_never_theirs() {
    let world = World::start().await;
    let key = world.key("one");
    let rest = format!("Authorization: Bearer {key}\r\n{CLOSE}\r\n");
    let long = format!("Host: {}\r\n", "a".repeat(300));
    for host in [
        "",
        "Host: \r\n",
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nhost: y\r\n",
        "Host: user@x\r\n",
        "Host: user:secret@x:80\r\n",
        "Host: a b\r\n",
        "Host: x/c@d\r\n",
        "Host: x, y\r\n",
        "Host: x:\r\n",
        "Host: x:99999\r\n",
        "Host: [::1\r\n",
        "Host: http://x\r\n",
        "Host: x\r\nConnection: Host\r\nHost: y\r\n",
        &long,
    ] {
        let back = world
            .attack(format!("GET {SELF} HTTP/1.1\r\n{host}{rest}"))
            .await;
        back.refused(400, "header-invalid").closes();
    }
    assert!(world.upstream().is_empty());
    // Any one host is as good as another: it decides nothing.
    for host in ["evil.example", "api.devin.ai:443", "[::1]:8080"] {
        let back = world
            .attack(format!("GET {SELF} HTTP/1.1\r\nHost: {host}\r\n{rest}"))
            .await;
        back.only(200);
        let pinned = world.fake_address.to_string();
        let seen = world.upstream().pop().unwrap();
        assert_eq!(seen.header("host"), Some(pinned.as_str()));
    }
    let before = world.upstream().len();
    // HTTP/2 has two names for it, which must be one.
    let bearer = format!("Bearer {key}");
    let fixed = [
        (&b":method"[..], &b"GET"[..]),
        (b":scheme", b"http"),
        (b":path", SELF.as_bytes()),
    ];
    let credential = (&b"authorization"[..], bearer.as_bytes());
    for (authority, host, status) in [
        (None, None, 400),
        (Some("x"), Some("y"), 400),
        (Some("x:80"), Some("x"), 400),
        (Some("u@x"), None, 400),
        (None, Some("u@x"), 400),
        (Some("X"), Some("x"), 200),
        (None, Some("x"), 200),
        (Some("x"), None, 200),
    ] {
        let mut fields = fixed.to_vec();
        fields.extend(authority.map(|it| (&b":authority"[..], it.as_bytes())));
        fields.extend(host.map(|it| (&b"host"[..], it.as_bytes())));
        fields.push(credential);
        let answers = world.attack_h2(&[world.h2_head(1, true, &fields)]).await;
        let line = world.last_line().await;
        assert!(
            answers.contains(&(HEADERS, 1)),
            "{authority:?} {host:?}: {answers:?}"
        );
        assert_eq!(line["status"], status, "{authority:?} {host:?}: {line}");
    }
    assert_eq!(world.upstream().len(), before + 3);
    world.finish().await;
}

#[tokio::test]
async fn h7_names_that_are_two_names_and_heads_without_end() {
    let world = World::start().await;
    let head = world.head("GET", SELF);
    for name in ["X_Request_Id", "Content_Type", "_", "Tollgate_Caller"] {
        let back = world.attack(format!("{head}{name}: 1\r\n\r\n")).await;
        back.refused(400, "header-invalid").closes();
    }
    let odd = [head.as_bytes(), b"X-\xc3\xbc: 1\r\n\r\n"].concat();
    world.attack(odd).await.only(400);
    for count in [65, 99] {
        let many: String = (0..count).map(|at| format!("X-{at}: 1\r\n")).collect();
        let back = world.attack(format!("{head}{many}\r\n")).await;
        // Above its own limit the parser answers, with nothing to read.
        assert_eq!(back.statuses(), [431], "{}", back.text);
    }
    let many: String = (0..10_000).map(|at| format!("X-{at}: 1\r\n")).collect();
    let crumbs = format!("Cookie: {}\r\n", "a=b; ".repeat(8 * 1024));
    let huge = format!("X: {}\r\n", "a".repeat(1024 * 1024));
    for lines in [many, crumbs, huge] {
        let back = world.attack(format!("{head}{lines}\r\n")).await;
        let statuses = back.statuses();
        // A reset can overtake the answer to what is still being sent.
        assert!(statuses.iter().all(|it| *it == 431), "{}", back.text);
    }
    assert!(world.upstream().is_empty());
    let crumbs = "Cookie: a=b\r\nCookie: c=d\r\nCookie2: e\r\n";
    world
        .attack(format!("{head}{CLOSE}{crumbs}\r\n"))
        .await
        .only(200);
    for name in ["cookie", "cookie2"] {
        assert_eq!(world.upstream()[0].header(name), None, "{name}");
    }
    world.finish().await;
}

#[tokio::test]
async fn h10_a_key_of_an_intent_has_one_reading() {
    let world = World::start().await;
    let head = world.head("POST", SESSIONS);
    let body = "{\"prompt\":\"x\"}";
    let json = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    let long = format!("Idempotency-Key: {}\r\n", "a".repeat(10 * 1024));
    for lines in [
        &long,
        "Idempotency-Key: \r\n",
        "Idempotency-Key: \"\"\r\n",
        "Idempotency-Key: a\r\nIdempotency-Key: a\r\n",
        "Idempotency-Key: a, b\r\n",
        "Idempotency-Key: a\tb\r\n",
        "Idempotency-Key: \"a\r\n",
        "Idempotency-Key: \u{e9}\r\n",
    ] {
        let back = world
            .attack(format!("{head}{json}{CLOSE}{lines}\r\n{body}"))
            .await;
        back.refused(400, "header-invalid");
    }
    for control in ["\u{1}", "\0", "\u{7f}"] {
        let lines = format!("Idempotency-Key: a{control}\r\n");
        world
            .attack(format!("{head}{json}{CLOSE}{lines}\r\n{body}"))
            .await
            .only(400);
    }
    assert!(world.upstream().is_empty());
    for key in ["a-1", "\"a-1\""] {
        let lines = format!("Idempotency-Key: {key}\r\n");
        world
            .attack(format!("{head}{json}{CLOSE}{lines}\r\n{body}"))
            .await
            .only(200);
    }
    let seen = world.upstream();
    assert_eq!(seen.len(), 1, "both forms are one key");
    assert_eq!(seen[0].header("idempotency-key"), None);
    world.finish().await;
}

#[tokio::test]
async fn h11_a_credential_that_comes_late_is_not_read() {
    let world = World::start().await;
    let key = world.key("one");
    let bearer = format!("Bearer {key}");
    let huge = format!("X: {}\r\n", "a".repeat(40 * 1024));
    let back = world
        .attack(format!(
            "GET {SELF} HTTP/1.1\r\nHost: x\r\n{huge}Authorization: {bearer}\r\n\r\n"
        ))
        .await;
    back.refused(431, "headers-too-large").closes();
    // In trailers, of either version.
    let post = format!("POST {SESSIONS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n");
    let chunks = format!("2\r\n{{}}\r\n0\r\nAuthorization: {bearer}\r\n\r\n");
    let back = world
        .attack(format!("{post}Trailer: Authorization\r\n\r\n{chunks}"))
        .await;
    back.refused(401, "credential-missing").closes();
    let fields = [
        (&b":method"[..], &b"POST"[..]),
        (b":scheme", b"http"),
        (b":authority", b"x"),
        (b":path", SESSIONS.as_bytes()),
        (b"content-type", b"application/json"),
    ];
    let late = [(&b"authorization"[..], bearer.as_bytes())];
    let frames = [
        world.h2_head(1, false, &fields),
        frame(DATA, 0, 1, b"{\"prompt\":\"x\"}"),
        world.h2_head(1, true, &late),
    ];
    let answers = world.attack_h2(&frames).await;
    assert!(answers.contains(&(HEADERS, 1)), "{answers:?}");
    let line = world.last_line().await;
    assert_eq!(
        (&line["status"], &line["code"]),
        (&401.into(), &"credential-missing".into())
    );
    assert!(world.upstream().is_empty());
    // Beside the credential that counts it is dropped.
    let mut fields = fields.to_vec();
    fields.push((b"authorization", bearer.as_bytes()));
    let evil = [
        (&b"authorization"[..], &b"Bearer evil"[..]),
        (b"host", b"evil"),
    ];
    let frames = [
        world.h2_head(1, false, &fields),
        frame(DATA, 0, 1, b"{\"prompt\":\"x\"}"),
        world.h2_head(1, true, &evil),
    ];
    world.attack_h2(&frames).await;
    assert_eq!(world.last_line().await["status"], 200);
    assert_eq!(world.upstream().len(), 1);
    world.finish().await;
}
