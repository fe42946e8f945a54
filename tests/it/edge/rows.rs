//! Redirects, headers, files and mixed-up answers: what Devin sends back leads no token away and no answer astray.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpListener;
use tollgate::fake_devin::{Fault, FaultKind, FaultTimes};
use tollgate::pipeline::upstream::Upstream;

use super::tls::{Ca, Place};
use super::{SESSIONS, pinned};
use crate::world::{Setup, World};

fn raw(bytes: String) -> Fault {
    Fault::next(FaultKind::Raw(bytes.into()))
}

/// Counts who connects.
async fn elsewhere() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, count) = (listener.local_addr().unwrap(), Arc::default());
    let seen: Arc<AtomicUsize> = Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            seen.fetch_add(1, Ordering::SeqCst);
        }
    });
    (at, count)
}

#[tokio::test]
async fn u1_no_redirect_of_any_kind_is_followed_anywhere() {
    let world = World::start().await;
    let (at, came) = elsewhere().await;
    let mut sent = 0;
    for status in [301, 302, 303, 307, 308] {
        for location in [
            format!("http://{at}/"),
            format!("//{at}/x"),
            format!("http://user:password@{at}/"),
            format!("http://{}/v3/self", world.fake_address),
            "/v3/self".to_owned(),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "http://[::1]:1/".to_owned(),
            "file:///etc/passwd".to_owned(),
        ] {
            world.fake.inject(raw(format!(
                "HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            )));
            let answer = world.get("one", SESSIONS).await;
            answer.is_upstream(status);
            assert_eq!(answer.header("location"), Some(&*location), "as it came");
            sent += 1;
        }
    }
    assert_eq!(world.upstream().len(), sent);
    assert_eq!(came.load(Ordering::SeqCst), 0);
    for line in world.lines().await {
        let line = line.to_string();
        assert!(
            !line.contains("169.254") && !line.contains("passw"),
            "{line}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn u1_a_location_with_a_line_end_is_no_header_of_ours() {
    let mut world = World::start().await;
    world.upstream_faulty();
    for end in ["\r", "\0", "\u{1}"] {
        let answer = format!(
            "HTTP/1.1 302 X\r\nLocation: http://x/{end}Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
        );
        for _ in 0..3 {
            world.fake.inject(raw(answer.clone()));
        }
        let answer = world.get("one", SESSIONS).await;
        answer.is_problem(502, "upstream-invalid");
        world.fake.clear_faults();
    }
    world.finish().await;
}

#[tokio::test]
async fn u4_what_belongs_to_a_connection_or_to_us_ends_here() {
    let world = World::start().await;
    let names = [
        ("Authorization", "Bearer x"),
        ("Proxy-Authenticate", "Basic"),
        ("WWW-Authenticate", "Bearer"),
        ("Set-Cookie", "a=b"),
        ("Server", "devin"),
        ("Alt-Svc", "h3=\":1\""),
        ("Refresh", "0; url=http://x"),
        ("Clear-Site-Data", "*"),
        ("Access-Control-Allow-Origin", "*"),
        ("Strict-Transport-Security", "max-age=1"),
        ("Content-Security-Policy", "script-src *"),
        ("X-Content-Type-Options", "sniff"),
        ("RateLimit", "r=1"),
        ("X-Request-Id", "theirs"),
        ("Tollgate-Acu-Cap", "9"),
        ("Tollgate-Cache", "hit"),
        ("Via", "1.1 theirs"),
        ("Keep-Alive", "timeout=5"),
        ("Upgrade", "h2c"),
        ("Connection", "etag, upgrade, keep-alive"),
    ];
    let headers: String = names
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    world.fake.inject(raw(format!(
        "HTTP/1.1 200 OK\r\n{headers}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
    )));
    let answer = world.get("one", SESSIONS).await;
    answer.is_upstream(200);
    for (name, value) in names {
        let name = name.to_lowercase();
        assert_ne!(answer.header(&name), Some(value), "{name}");
    }
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    world.finish().await;
}

#[tokio::test]
async fn u6_no_answer_may_be_kept_on_its_way() {
    let world = World::start().await;
    let public = [("cache-control", "public, max-age=600"), ("age", "3")];
    let public = public.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let public = FaultKind::ExtraHeaders(public.to_vec());
    world.fake.inject(Fault::next(public));
    for path in [SESSIONS, "/v3/self", "/v3/nowhere", "/.tollgate/whoami"] {
        let answer = world.get("one", path).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.headers.get_all("cache-control").iter().count(), 1);
    }
    world.finish().await;
}

#[tokio::test]
async fn u6_among_requests_that_break_off_each_answer_is_its_own() {
    let ca = Ca::of(&["localhost"]);
    let fake = Place::default();
    let end = ca.terminate("127.0.0.1:0", &fake).await;
    // Over HTTP/2, and over HTTP/1.1 with a pool of connections.
    for is_h2 in [true, false] {
        let mut setup = Setup::default();
        if is_h2 {
            setup.pinned = pinned("localhost", end.port());
        }
        let upstream = Upstream::new(std::slice::from_ref(&ca.root), setup.timeouts).unwrap();
        let world = World::around(setup, |_| upstream).await;
        if is_h2 {
            fake.set(world.fake_address).unwrap();
        }
        let mut ids = Vec::new();
        for number in 0..12 {
            let body = format!("{{\"prompt\":\"p{number}\",\"title\":\"marker-{number}\"}}");
            let made = world.post("one", SESSIONS, &body).await;
            ids.push(made.json()["session_id"].as_str().unwrap().to_owned());
        }
        world.fake.inject(Fault {
            kind: FaultKind::SlowBody {
                chunk_delay: Duration::from_millis(8),
            },
            times: FaultTimes::Always,
            only: None,
        });
        let asking = (0..240_u64).map(|number| {
            let at = usize::try_from(number * 7 % 12).unwrap();
            let (id, key, gateway) = (ids[at].clone(), world.key("one"), world.gateway);
            world.sent(1);
            tokio::spawn(async move {
                let client = Client::builder(TokioExecutor::new())
                    .http2_only(number % 2 == 0)
                    .build_http();
                let request = Request::get(format!("http://{gateway}{SESSIONS}/{id}?n={number}"))
                    .header("authorization", format!("Bearer {key}"))
                    .body(Full::<Bytes>::new(Bytes::new()))
                    .unwrap();
                let mut answer = client.request(request).await.unwrap();
                // Two of three leave in the middle of their answers.
                if number % 3 != 0 {
                    for _ in 0..number % 5 {
                        answer.body_mut().frame().await;
                    }
                    return false;
                }
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(body["session_id"], id.as_str());
                assert_eq!(body["title"], format!("marker-{at}"));
                true
            })
        });
        let asking: Vec<_> = asking.collect();
        let whole = join_all(asking).await;
        let whole = whole.into_iter().filter(|it| *it.as_ref().unwrap()).count();
        assert_eq!(whole, 80);
        world.fake.clear_faults();
        world.get("one", SESSIONS).await.is_upstream(200);
        world.finish().await;
    }
}

#[tokio::test]
async fn u11_what_a_browser_would_show_is_handed_out_as_a_file() {
    let world = World::start().await;
    const FILE: &str =
        "/v3/organizations/org-ds/attachments/0b5e9c6e-8a51-4f53-9f0a-3c1f5a2d7e11/x.html";
    let page = "<script>alert(1)</script>";
    let length = page.len();
    for (path, headers, disposition) in [
        (FILE, "Content-Type: text/html\r\n", "attachment"),
        (FILE, "", "attachment"),
        (
            FILE,
            "Content-Type: image/svg+xml\r\nContent-Disposition: inline\r\n",
            "attachment",
        ),
        (
            FILE,
            "Content-Type: text/html\r\nContent-Disposition: inline; filename=\"a b.html\"\r\n",
            "attachment; filename=\"a b.html\"",
        ),
        (
            FILE,
            "Content-Disposition: Attachment; filename=a\r\nContent-Disposition: inline\r\n",
            "attachment; filename=a",
        ),
        // A page of somebody's between, in place of an answer.
        (
            SESSIONS,
            "Content-Type: text/html; charset=utf-8\r\n",
            "attachment",
        ),
        (
            SESSIONS,
            "Content-Type: application/jsonx\r\n",
            "attachment",
        ),
    ] {
        world.fake.inject(raw(format!(
            "HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n{page}"
        )));
        let answer = world.get("one", path).await;
        answer.is_upstream(200);
        assert_eq!(answer.body, page.as_bytes());
        assert_eq!(
            answer.header("content-disposition"),
            Some(disposition),
            "{headers}"
        );
        assert_eq!(
            answer.headers.get_all("content-disposition").iter().count(),
            1
        );
        let policy = answer.header("content-security-policy");
        assert_eq!(policy, Some("default-src 'none'; sandbox"), "{headers}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    for kind in ["application/json", "Application/Problem+JSON; x=y"] {
        world.fake.inject(raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\r\n[]"
        )));
        let answer = world.get("one", SESSIONS).await;
        assert!(answer.header("content-disposition").is_none(), "{kind}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    world.finish().await;
}

#[tokio::test]
async fn u11_a_files_name_is_one_segment_of_a_path() {
    let world = World::start().await;
    let folder = "/v3/organizations/org-ds/attachments/0b5e9c6e-8a51-4f53-9f0a-3c1f5a2d7e11";
    for name in [
        "..",
        "%2e%2e",
        "..%2f..%2fself",
        "a%2fb",
        "a%5cb",
        "a%00",
        "a/../../../self",
        "a;b/..",
        "a%0d%0ab",
    ] {
        let answer = world.get("one", &format!("{folder}/{name}")).await;
        assert_eq!(
            answer.header("tollgate-answered-by"),
            Some("gateway"),
            "{name}"
        );
        assert!(answer.status.is_client_error(), "{name}: {answer:?}");
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}
