//! What is read again without a restart.

use std::fs;
use std::sync::Arc;

use rustls::version::TLS13;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;
use tollgate::fake_devin::{self, FakeDevin};

use super::{Site, ask, certify, client, connect};
use crate::edge::tls::{Ca, Place};
use crate::process::{CONFIG, Served, serve};

/// Asks until an answer comes over a connection with the certificate that is in the folder now.
async fn is_met_with_the_new_one(site: &Site, gateway: &Served) {
    let config = Arc::new(client(site.path(), &[&TLS13]));
    for _ in 0..600 {
        if let Ok(mut stream) = connect(&config, gateway.callers).await {
            let answer = ask(&mut stream, &site.whoami("Connection: close\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            return;
        }
        // Nothing tells that a process has looked at a file.
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("the old certificate is in use still");
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_certificate_is_taken_with_its_key_or_not_at_all_and_connections_live_on() {
    let site = Site::with_tls("");
    let gateway = serve(site.path(), &[]);
    let old = Arc::new(client(site.path(), &[&TLS13]));
    let mut kept = connect(&old, gateway.callers).await.unwrap();
    // By a look, and when asked.
    for asks in [false, true] {
        certify(site.path(), "localhost");
        if asks {
            gateway.signal("HUP");
        }
        is_met_with_the_new_one(&site, &gateway).await;
    }
    assert!(connect(&old, gateway.callers).await.is_err());
    // The key of another certificate: what is in use stays.
    let new = Arc::new(client(site.path(), &[&TLS13]));
    let other = Site::with_tls("");
    fs::copy(other.path().join("tls.crt"), site.path().join("tls.crt")).unwrap();
    gateway.signal("HUP");
    // The policies are read after the certificates.
    let reloads = |it: &serde_json::Value| it["policy"]["reloads"].as_u64();
    let before = reloads(&gateway.readiness());
    let policy = site.path().join("policies/t.yaml");
    let text = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, text.replace("name: self", "name: me")).unwrap();
    gateway.signal("HUP");
    gateway.wait_for("reloaded", |it| reloads(it) > before);
    assert!(connect(&new, gateway.callers).await.is_ok());
    let answer = ask(&mut kept, &site.whoami("Connection: close\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let said = gateway.stop();
    assert!(said.contains("is not that of the certificate"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn u2_devin_is_believed_by_the_authorities_that_are_in_the_file_now() {
    let fake = FakeDevin::new(fake_devin::Options {
        token: "canary-token-value".to_owned(),
        ..fake_devin::Options::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::default();
    place.set(listener.local_addr().unwrap()).unwrap();
    let (serving, stop) = (fake.clone(), CancellationToken::new());
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move { serving.serve(listener, stopped).await });
    let (ca, other) = (Ca::of(&["localhost"]), Ca::of(&["localhost"]));
    let at = ca.terminate("127.0.0.1:0", &place).await;
    let config = CONFIG.replace(
        "base_url: \"http://127.0.0.1:1\"",
        &format!(
            "base_url: \"https://localhost:{}\", ca: {{ file: ca.pem }}",
            at.port()
        ),
    );
    let site = Site::new(&config);
    let authorities = site.path().join("ca.pem");
    fs::write(&authorities, &other.pem).unwrap();
    let gateway = serve(site.path(), &[]);
    let get = || block_in_place(|| gateway.get("/v3/self", &site.key));
    let answer = get();
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    // What cannot be read changes nothing; what can is taken at once.
    for (pem, wanted) in [("nothing", "502"), (&ca.pem, "200")] {
        fs::write(&authorities, pem).unwrap();
        gateway.signal("HUP");
        let mut answer = get();
        for _ in 0..600 {
            if wanted == "502" || answer.starts_with("HTTP/1.1 200") {
                break;
            }
            // Nothing tells that a process has looked at a file.
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            answer = get();
        }
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {wanted}")),
            "{answer}"
        );
    }
    assert_eq!(fake.requests().len(), 1);
    let log = block_in_place(|| gateway.stop());
    assert!(log.contains("holds no certificate"), "{log}");
    stop.cancel();
}
