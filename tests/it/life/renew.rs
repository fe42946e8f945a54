//! What is read again without a restart.

use std::fs;
use std::sync::Arc;

use rustls::version::TLS13;

use super::{Site, ask, certify, client, connect};
use crate::process::{Served, serve};

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
