//! A proxy on the way out: what it sees, and what becomes of requests when it is no way.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Version;
use jiff::Timestamp;
use serde_json::Map;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tollgate::alerts::{Alert, Kind, Webhook, WebhookKey, send};
use tollgate::clock::SystemClock;
use tollgate::ledger::Ledger;
use tollgate::pipeline::upstream::{Connector, Proxy, Timeouts, Upstream};

use super::tls::{Ca, Place};
use super::{DEVIN, PROMPT, SESSIONS, pinned};
use crate::world::{Setup, World};

/// What a proxy does once it has a head.
#[derive(Clone)]
enum Does {
    /// What it should, whatever host is named: to here.
    Tunnels(SocketAddr),
    /// Writes this and closes.
    Says(&'static str),
    /// Nothing, and keeps the connection.
    Hangs,
}

/// A proxy, and the heads that it got.
struct Corp {
    at: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Corp {
    async fn that(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (does, seen) = (does.clone(), Arc::clone(&seen));
                tokio::spawn(async move { serve(stream, does, &seen).await });
            }
        });
        Self { at, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(stream: TcpStream, does: Does, seen: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    seen.lock().unwrap().push(head);
    match does {
        Does::Tunnels(to) => {
            let mut there = TcpStream::connect(to).await.unwrap();
            let good = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 corp\r\n\r\n";
            stream.write_all(good).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
        }
        Does::Says(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Does::Hangs => std::future::pending().await,
    }
}

fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(1),
        ..Setup::default().timeouts
    }
}

fn proxy(at: SocketAddr) -> Proxy {
    Proxy::new(at.to_string().parse().unwrap()).unwrap()
}

/// A world whose Devin is behind this proxy.
async fn behind(proxy: &Proxy, ca: &Ca, timeouts: Timeouts) -> World {
    let setup = Setup {
        timeouts,
        pinned: pinned(DEVIN, 8443),
        ..Setup::default()
    };
    let roots = std::slice::from_ref(&ca.root);
    let connector = Connector::new(roots, timeouts.connect, Some(proxy)).unwrap();
    let upstream = Upstream::over(connector, timeouts);
    let counted = upstream.counted();
    let world = World::around(setup, |_| upstream).await;
    world.metrics.show_upstream(counted);
    world
}

#[tokio::test]
async fn a_proxy_sees_host_port_and_its_own_credentials_and_no_more() {
    let ca = Ca::of(&[DEVIN]);
    let fake = Place::default();
    let corp = Corp::that(Does::Tunnels(ca.terminate("127.0.0.1:0", &fake).await)).await;
    let secret = "canary-proxy-password-0123456789";
    let (pair, password) = (format!("gate:{secret}"), secret.to_owned().into());
    let through = proxy(corp.at).with_credentials("gate", &password).unwrap();
    let world = behind(&through, &ca, Setup::default().timeouts).await;
    fake.set(world.fake_address).unwrap();
    world.get("one", SESSIONS).await.is_upstream(200);
    world.post("one", SESSIONS, PROMPT).await.is_upstream(200);
    // One tunnel, HTTP/2 in it, and the name is the proxy's to resolve.
    let basic = {
        use base64::Engine;
        base64::prelude::BASE64_STANDARD.encode(pair)
    };
    let wanted = format!(
        "CONNECT {DEVIN}:8443 HTTP/1.1\r\nHost: {DEVIN}:8443\r\nProxy-Authorization: Basic {basic}\r\n\r\n"
    );
    assert_eq!(corp.heads(), [wanted]);
    for request in world.upstream() {
        assert_eq!(request.version, Version::HTTP_2);
        assert!(request.header("proxy-authorization").is_none());
    }
    let canaries = [secret.to_owned(), basic];
    world.canaries.lock().unwrap().extend(canaries);
    world.finish().await;
}

#[tokio::test]
async fn what_a_proxy_says_instead_of_a_tunnel_is_told_to_operators_alone() {
    let ca = Ca::of(&[DEVIN]);
    for (does, code, wanted) in [
        (
            Does::Says(
                "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
            ),
            "upstream-unreachable",
            "wants a name and a password, or other ones than it got (407 Proxy Authentication Required)",
        ),
        (
            Does::Says("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
            "upstream-unreachable",
            "opened no tunnel to api.devin.test:8443: it answered 403 Forbidden",
        ),
        (
            Does::Says("HTTP/1.0 502 Bad Gateway\r\n\r\n"),
            "upstream-unreachable",
            "it answered 502 Bad Gateway",
        ),
        (
            Does::Says("SSH-2.0-OpenSSH_9.9\r\n"),
            "upstream-unreachable",
            "it answered something that is no HTTP",
        ),
        (
            Does::Says(""),
            "upstream-unreachable",
            "it closed the connection",
        ),
        (
            // Half a head, and then no more.
            Does::Says("HTTP/1.1 200"),
            "upstream-unreachable",
            "opened no tunnel",
        ),
        (
            // A tunnel to something that speaks no TLS.
            Does::Says("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n"),
            "upstream-unreachable",
            "",
        ),
        (
            Does::Hangs,
            "upstream-timeout",
            "no connection through the proxy in time",
        ),
    ] {
        let corp = Corp::that(does).await;
        let mut world = behind(&proxy(corp.at), &ca, timeouts()).await;
        world.upstream_faulty();
        let status = if code == "upstream-timeout" { 504 } else { 502 };
        let answer = world.post("one", SESSIONS, PROMPT).await;
        answer.is_problem(status, code);
        // No byte of it has left, so it may be repeated; and callers are told of no proxies.
        assert!(answer.header("x-should-retry").is_none(), "{wanted}");
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!told.contains("proxy") && !told.contains(DEVIN), "{told}");
        let line = world.last_line().await;
        let cause = line["cause"].as_str().unwrap();
        assert!(cause.contains(wanted), "{cause}");
        // Nothing is held for what never left.
        assert!(world.ledger.unsure().await.unwrap().is_empty());
        assert!(!corp.heads().is_empty());
        world.finish().await;
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let ca = Ca::of(&[DEVIN]);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = closed.local_addr().unwrap();
    drop(closed);
    let mut world = behind(&proxy(at), &ca, timeouts()).await;
    world.upstream_faulty();
    let answer = world.get("one", SESSIONS).await;
    answer.is_problem(502, "upstream-unreachable");
    let line = world.last_line().await;
    let cause = line["cause"].as_str().unwrap();
    let wanted = format!("the proxy {at} cannot be reached");
    assert!(
        cause.contains(&wanted) && cause.to_lowercase().contains("refused"),
        "{cause}"
    );
    world.finish().await;
}

#[tokio::test]
async fn u2_a_proxy_that_reads_along_gets_no_token() {
    let (ours, theirs) = (Ca::of(&[DEVIN]), Ca::of(&[DEVIN]));
    let fake = Place::default();
    let reads_along = theirs.terminate("127.0.0.1:0", &fake).await;
    let corp = Corp::that(Does::Tunnels(reads_along)).await;
    let mut world = behind(&proxy(corp.at), &ours, timeouts()).await;
    fake.set(world.fake_address).unwrap();
    world.upstream_faulty();
    let answer = world.get("one", SESSIONS).await;
    answer.is_problem(502, "upstream-unreachable");
    let line = world.last_line().await;
    let cause = line["cause"].as_str().unwrap().to_lowercase();
    assert!(cause.contains("certificate"), "{cause}");
    assert!(world.upstream().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn alerts_go_through_their_own_proxy() {
    let ca = Ca::of(&["hooks.test"]);
    let fake = Place::default();
    let corp = Corp::that(Does::Tunnels(ca.terminate("127.0.0.1:0", &fake).await)).await;
    // What takes the alert is a world's gateway, which says 401: that it came there is enough.
    let world = World::start().await;
    fake.set(world.gateway).unwrap();
    let webhook = Webhook::new(
        "https://hooks.test:8443/hook".parse().unwrap(),
        WebhookKey::new(&[7; 32]).unwrap(),
        std::slice::from_ref(&ca.root),
        Some(&proxy(corp.at)),
        Duration::from_secs(60),
    );
    let ledger = Ledger::temporary(Duration::from_secs(60)).await.unwrap();
    let stop = CancellationToken::new();
    let sending = send(
        webhook.unwrap(),
        ledger.clone(),
        Arc::new(SystemClock),
        stop.clone(),
    );
    let sending = tokio::spawn(sending);
    ledger.bell().ring(Alert::new(
        Kind::Overrun,
        Timestamp::UNIX_EPOCH,
        "said",
        Map::new(),
    ));
    world.sent(1);
    let line = world.last_line().await;
    assert_eq!(line["method"], "POST", "{line}");
    assert_eq!(line["path"], "/hook", "{line}");
    let wanted = "CONNECT hooks.test:8443 HTTP/1.1\r\nHost: hooks.test:8443\r\n\r\n";
    assert_eq!(corp.heads(), [wanted]);
    stop.cancel();
    sending.await.unwrap();
    world.finish().await;
}
