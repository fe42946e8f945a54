//! What the environment of a process says, and what becomes of that.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tollgate::api_key::ApiKey;
use tollgate::fake_devin::{self, FakeDevin};

use super::tls::{Ca, Place};
use crate::process::{folder, serve_with, tollgate};

/// Counts who connects, and answers nobody.
fn recorder() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            seen.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (at, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u3_no_variable_changes_the_way_to_devin_or_whom_it_is_believed() {
    const TOKEN: &str = "cog_canary-token-value-0123456789";
    let fake = FakeDevin::new(fake_devin::Options {
        token: TOKEN.to_owned(),
        ..fake_devin::Options::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::default();
    place.set(listener.local_addr().unwrap()).unwrap();
    let stop = CancellationToken::new();
    let (serving, stopped) = (fake.clone(), stop.clone().cancelled_owned());
    tokio::spawn(async move { serving.serve(listener, stopped).await });
    let ca = Ca::of(&["localhost"]);
    let at = ca.terminate("127.0.0.1:0", &place).await;

    let key = ApiKey::generate("one1").unwrap();
    let policy = format!(
        "team: t\ncallers: {{ one: {{ keys: [{{ id: one1, sha256: \"{}\" }}] }} }}\nallow: [{{ name: self, operations: [self.get], organizations: any }}]\n",
        key.digest_hex()
    );
    let (proxy, connections) = recorder();
    let mut said = Vec::new();
    for trusted in [false, true] {
        let mut config = format!(
            "listen: [{{ tcp: \"127.0.0.1:0\" }}]\nadmin: {{ tcp: \"127.0.0.1:0\" }}\nupstream:\n  base_url: \"https://localhost:{}\"\n  token: {{ env: TOKEN }}\n",
            at.port()
        );
        if trusted {
            config += "  ca: { file: ca.pem }\n";
        }
        config += "policies: policies/\naccess_log: { to: file, path: access.log }\n";
        let folder = folder(&config, &[("t.yaml", &policy)]);
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, &ca.pem).unwrap();
        let mut command = tollgate();
        command.arg("serve").env("TOKEN", TOKEN);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            let url = format!("http://{proxy}");
            command.env(name, &url).env(name.to_lowercase(), &url);
        }
        for name in [
            "SSL_CERT_FILE",
            "NODE_EXTRA_CA_CERTS",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
        ] {
            command.env(name, &path);
        }
        command
            .env("SSL_CERT_DIR", folder.path())
            .env("NODE_TLS_REJECT_UNAUTHORIZED", "0")
            .env("SSLKEYLOGFILE", folder.path().join("keys.log"));
        let served = serve_with(command, folder.path());
        let secret = key.expose().to_owned();
        let served = tokio::task::spawn_blocking(move || {
            let answer = served.get("/v3/self", &secret);
            (served, answer)
        });
        let (served, answer) = served.await.unwrap();
        let log = tokio::task::spawn_blocking(move || served.stop());
        let log = log.await.unwrap();
        let line = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
        let line: Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
        if trusted {
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
            let cause = line["cause"].as_str().unwrap().to_lowercase();
            assert!(cause.contains("certificate"), "{cause}");
        }
        assert!(!folder.path().join("keys.log").exists());
        said.push(log);
    }
    // Whoever had listened there would have been asked by now.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    assert_eq!(fake.requests().len(), 1);
    for log in said {
        assert!(!log.contains("canary"), "{log}");
    }
    stop.cancel();
}
