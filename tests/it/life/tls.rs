//! TLS in front of HTTP.

use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Site, ask, client, connect};
use crate::process::{run, serve, text};

/// The beginning of a handshake of SSL 3.0, TLS 1.0 or 1.1, with the suites of those days.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut hello = vec![3, minor];
    hello.extend([7; 32]);
    hello.extend([0, 0, 6, 0xc0, 0x13, 0x00, 0x2f, 0x00, 0x35, 1, 0]);
    let mut record = vec![
        22,
        3,
        minor.min(1),
        0,
        u8::try_from(hello.len() + 4).unwrap(),
    ];
    record.extend([1, 0, 0, u8::try_from(hello.len()).unwrap()]);
    record.extend(hello);
    record
}

async fn answers(to: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // What is reset is as good as what is closed.
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(30), reading)
        .await
        .expect("the connection stays open");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn h12_tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let site = Site::with_tls("");
    let gateway = serve(site.path(), &[]);
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(client(site.path(), &[version]));
        let mut stream = connect(&config, gateway.callers).await.unwrap();
        let answer = ask(&mut stream, &site.whoami("Connection: close\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
    for minor in [0, 1, 2] {
        let answer = answers(gateway.callers, &old_hello(minor)).await;
        // A fatal alert, and nothing else: no version, or no parameters, in common.
        assert!(
            answer.len() == 7 && answer[0] == 21 && answer[5] == 2,
            "3.{minor}: {answer:?}"
        );
    }
    assert!(!gateway.stop().contains("panicked"));
    let log = site.log();
    let refused = log.lines().filter(|it| it.contains("no TLS handshake"));
    assert_eq!(refused.count(), 3, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h12_alpn_chooses_the_protocol_and_nonsense_is_refused() {
    let site = Site::with_tls("");
    let gateway = serve(site.path(), &[]);
    for (offered, chosen) in [
        (vec!["h2", "http/1.1"], Some("h2")),
        (vec!["http/1.1"], Some("http/1.1")),
        (vec![], None),
    ] {
        let mut config = client(site.path(), &[&TLS13]);
        config.alpn_protocols = offered.iter().map(|it| it.as_bytes().to_vec()).collect();
        let stream = connect(&Arc::new(config), gateway.callers).await.unwrap();
        let alpn = stream.get_ref().1.alpn_protocol();
        assert_eq!(alpn, chosen.map(str::as_bytes), "{offered:?}");
    }
    let mut config = client(site.path(), &[&TLS13]);
    config.alpn_protocols = vec![b"spdy/3".to_vec(), b"h2c".to_vec()];
    let error = connect(&Arc::new(config), gateway.callers)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn h12_a_resumed_connection_is_no_identity_and_carries_no_early_data() {
    let site = Site::with_tls("");
    let gateway = serve(site.path(), &[]);
    let mut config = client(site.path(), &[&TLS13]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut first = connect(&config, gateway.callers).await.unwrap();
    let answer = ask(&mut first, &site.whoami("Connection: close\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut second = connect(&config, gateway.callers).await.unwrap();
    let nobody = "GET /.tollgate/whoami HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = ask(&mut second, nobody).await;
    let (_, session) = second.get_ref();
    assert_eq!(session.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert!(!session.is_early_data_accepted());
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn h12_no_plain_http_is_served_there_and_no_name_decides_anything() {
    let site = Site::with_tls("");
    let gateway = serve(site.path(), &[]);
    let answer = answers(gateway.callers, site.whoami("").as_bytes()).await;
    assert!(
        !String::from_utf8_lossy(&answer).contains("HTTP"),
        "{answer:?}"
    );
    let two = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let answer = answers(gateway.callers, two).await;
    assert!(answer.first() == Some(&21), "an alert: {answer:?}");
    // Another Host than the name that was asked for: the same judgement, by the credential.
    let config = Arc::new(client(site.path(), &[&TLS12, &TLS13]));
    for (host, rest, status) in [
        ("another.example", site.whoami(""), 200),
        (
            "localhost",
            "GET /.tollgate/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            401,
        ),
    ] {
        let request = rest
            .replace("Host: localhost", &format!("Host: {host}"))
            .replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
        let mut stream = connect(&config, gateway.callers).await.unwrap();
        let answer = ask(&mut stream, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    // Somebody who comes and goes, as a probe of the port does, is no line of the log.
    drop(TcpStream::connect(gateway.callers).await.unwrap());
    gateway.wait_for("counted", |_| {
        let metrics = gateway.operator("/metrics");
        metrics.contains("tollgate_tls_handshakes_failed_total{why=\"gone\"} 1")
            && metrics.contains("tollgate_tls_handshakes_failed_total{why=\"refused\"} 2")
    });
    gateway.stop();
    let log = site.log();
    let refused = log
        .lines()
        .filter(|it| it.contains("\"kind\":\"connection\""));
    assert_eq!(refused.count(), 2, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_a_handshake_has_its_time() {
    let site = Site::with_tls("limits: { times: { handshake: 300ms } }\n");
    let gateway = serve(site.path(), &[]);
    assert_eq!(answers(gateway.callers, b"").await, b"");
    assert_eq!(answers(gateway.callers, &[22, 3, 1, 0]).await, b"");
    gateway.wait_for("counted, and nothing is open", |_| {
        let metrics = gateway.operator("/metrics");
        metrics.contains("tollgate_tls_handshakes_failed_total{why=\"late\"} 2")
            && metrics.contains("tollgate_connections 0")
    });
    gateway.stop();
}

#[test]
fn a1_a_certificate_that_cannot_be_used_stops_the_start_and_no_key_is_shown() {
    let site = Site::with_tls("");
    let check = || text(&run(&["check"], site.path()).stderr);
    assert!(run(&["check"], site.path()).status.success(), "{}", check());
    let key = std::fs::read_to_string(site.path().join("tls.key")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    for (file, content, says) in [
        (
            "tls.key",
            key.replace("END", "END canary"),
            "no private key in PEM",
        ),
        (
            "tls.key",
            format!("-----BEGIN {secret}\n{key}"),
            "no private key in PEM",
        ),
        ("tls.key", String::new(), "no private key in PEM"),
        ("tls.crt", key.clone(), "no certificate in PEM"),
        ("tls.crt", String::new(), "no certificate in PEM"),
    ] {
        let path = site.path().join(file);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, &content).unwrap();
        let said = check();
        assert!(
            said.contains(says) && said.contains("tollgate.yaml:2:"),
            "{said}"
        );
        assert!(!said.contains(secret) && !said.contains("canary"), "{said}");
        std::fs::write(&path, before).unwrap();
    }
    // Another's key.
    let other = Site::with_tls("");
    std::fs::copy(other.path().join("tls.key"), site.path().join("tls.key")).unwrap();
    let said = check();
    assert!(said.contains("is not that of the certificate"), "{said}");
    std::fs::remove_file(site.path().join("tls.key")).unwrap();
    assert!(check().contains("No such file"), "{}", check());
}
