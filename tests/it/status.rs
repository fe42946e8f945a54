//! What the operator is told of policies and requests, and what nobody else is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use tollgate::api_key::ApiKey;

use crate::process::{CONFIG, folder, serve, text};
use crate::world::World;

fn policy(key: &ApiKey, more: &str) -> String {
    format!(
        "team: a\ncallers: {{ x: {{ keys: [{{ id: x1, sha256: \"{}\" }}] }} }}\n{more}",
        key.digest_hex()
    )
}

const ALLOW: &str = "allow: [{ name: self, operations: [self.get], organizations: any }]\n";
/// Allows, if it were taken, and has a mistake in line 3.
const BROKEN: &str =
    "allow: [{ name: all, operations: [\"**\", sessions.creat], organizations: any }]\n";

/// The other file is whole before it has the name.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn allows(answer: &str) -> bool {
    // Nothing listens upstream: what is allowed is an honest 502.
    answer.starts_with("HTTP/1.1 502")
}

#[test]
fn a2_a_file_that_is_replaced_and_a_link_that_is_swapped_are_taken() {
    let key = ApiKey::generate("x1").unwrap();
    let folder = folder(CONFIG, &[]);
    // As Kubernetes mounts a ConfigMap.
    let at = |name: &str| folder.path().join("policies").join(name);
    for (name, more) in [("..1", ""), ("..2", ALLOW)] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("a.yaml"), policy(&key, more)).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let served = serve(folder.path(), &[]);
    let first = served.readiness();
    assert_eq!(first["policy"]["reloads"], 0);
    assert!(!allows(&served.get("/v3/self", key.expose())));

    symlink("..2", at("..tmp")).unwrap();
    fs::rename(at("..tmp"), at("..data")).unwrap();
    let second = served.wait_for("the link", |it| it["policy"]["reloads"] == 1);
    assert_ne!(first["policy"]["hash"], second["policy"]["hash"]);
    assert!(allows(&served.get("/v3/self", key.expose())));

    replace(&at("a.yaml"), &policy(&key, ""));
    let third = served.wait_for("the file", |it| it["policy"]["reloads"] == 2);
    assert_eq!(first["policy"]["hash"], third["policy"]["hash"]);
    assert!(!allows(&served.get("/v3/self", key.expose())));
    served.stop();
    let log = fs::read_to_string(folder.path().join("access.log")).unwrap();
    let judged: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["policy"].take())
        .collect();
    let hashes = [&first, &second, &third].map(|it| it["policy"]["hash"].clone());
    assert_eq!(judged, hashes);
}

#[test]
fn a2_a_guard_rail_that_vanishes_is_told_of() {
    let key = ApiKey::generate("x1").unwrap();
    let rails = "deny: [{ name: no self, operations: [self.get] }]\n";
    let folder = folder(
        CONFIG,
        &[("a.yaml", &policy(&key, ALLOW)), ("rails.yaml", rails)],
    );
    let at = |name: &str| folder.path().join("policies").join(name);
    let served = serve(folder.path(), &[]);
    assert!(served.readiness()["policy"]["last_change"].is_null());
    fs::rename(at("rails.yaml"), at("rails.test.yaml")).unwrap();
    served.signal("HUP");
    let said = served.wait_for("the reload", |it| it["policy"]["reloads"] == 1);
    let change = &said["policy"]["last_change"];
    assert_eq!(
        change["removed"],
        serde_json::json!({"count": 1, "rules": ["deny rails/no self"]})
    );
    assert_eq!(
        change["added"],
        serde_json::json!({"count": 0, "rules": []})
    );
    assert_eq!(change["at"], said["policy"]["loaded_at"]);
    fs::rename(at("rails.test.yaml"), at("rails.yaml")).unwrap();
    served.signal("HUP");
    served.wait_for("the way back", |it| it["policy"]["reloads"] == 2);
    let log = served.stop();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("deny rails/no self"))
        .collect();
    assert_eq!(told.len(), 2, "{log}");
    assert!(
        told[0].contains(" WARN ") && told[1].contains(" INFO "),
        "{told:?}"
    );
}

#[test]
fn a4_broken_policies_change_nothing_and_are_shown_until_they_are_mended() {
    let key = ApiKey::generate("x1").unwrap();
    let folder = folder(CONFIG, &[("a.yaml", &policy(&key, ALLOW))]);
    let file = folder.path().join("policies/a.yaml");
    let served = serve(folder.path(), &[]);
    let before = served.readiness();
    let hash = before["policy"]["hash"].as_str().unwrap();
    let status = served.status(&[]);
    let shown = text(&status.stdout);
    assert_eq!(status.status.code(), Some(0), "{shown}");
    assert!(
        shown.starts_with("ready\n") && shown.contains(hash),
        "{shown}"
    );

    replace(&file, &policy(&key, BROKEN));
    served.signal("HUP");
    let said = served.wait_for("the refusal", |it| it["policy"]["last_refused"].is_object());
    assert_eq!(said["ready"], true);
    assert_eq!(said["policy"]["hash"], hash);
    assert_eq!(said["policy"]["refused_reloads"], 1);
    assert!(said["policy"]["age_seconds"].is_u64());
    let mistake = &said["policy"]["last_refused"]["mistakes"][0];
    assert_eq!(mistake["line"], 3, "{mistake}");
    assert!(served.operator("/readyz").starts_with("HTTP/1.1 200"));
    // What ran runs on: neither less is allowed, nor more.
    assert!(allows(&served.get("/v3/self", key.expose())));
    assert!(
        served
            .get("/v3/enterprise/queue", key.expose())
            .starts_with("HTTP/1.1 403")
    );

    let metrics = served.operator("/metrics");
    for line in [
        &format!("tollgate_policy_info{{hash=\"{hash}\"}} 1"),
        "tollgate_policy_last_reload_refused 1",
        "tollgate_policy_reloads_total{result=\"refused\"} 1",
        "tollgate_policy_reloads_total{result=\"accepted\"} 0",
        "tollgate_policy_callers 1",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}: {metrics}");
    }
    let status = served.status(&[]);
    let shown = text(&status.stdout);
    assert_eq!(status.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("policies/a.yaml:3:") && shown.contains("did you mean `sessions.create`?"),
        "{shown}"
    );
    let status = served.status(&["--output", "json"]);
    assert_eq!(status.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        json["policy"]["last_refused"],
        said["policy"]["last_refused"]
    );

    replace(&file, &policy(&key, &format!("# mended\n{ALLOW}")));
    let mended = served.wait_for("the mended file", |it| it["policy"]["reloads"] == 1);
    assert!(mended["policy"]["last_refused"].is_null(), "{mended}");
    assert_eq!(mended["policy"]["refused_reloads"], 1);
    assert_eq!(served.status(&[]).status.code(), Some(0));
    let metrics = served.operator("/metrics");
    assert!(metrics.contains("tollgate_policy_last_reload_refused 0\n"));
    assert!(
        !metrics.contains(hash),
        "the old set has no series any more"
    );
    let own = served.stop();
    assert_eq!(own.matches("the policies were refused").count(), 1, "{own}");
    assert_eq!(own.matches("policies/a.yaml:3:").count(), 1, "{own}");
    assert_eq!(
        own.matches("the policies were replaced").count(),
        1,
        "{own}"
    );
}

#[test]
fn a11_hup_storm_ends_with_the_last_policies() {
    let key = ApiKey::generate("x1").unwrap();
    let folder = folder(CONFIG, &[("a.yaml", &policy(&key, ""))]);
    let file = folder.path().join("policies/a.yaml");
    let served = serve(folder.path(), &[]);
    for round in 0..100 {
        let more = if round % 3 == 0 { BROKEN } else { ALLOW };
        replace(&file, &policy(&key, &format!("{more}# {round}\n")));
        served.signal("HUP");
    }
    replace(
        &file,
        &policy(&key, &format!("{ALLOW}owner: last@acme.example\n")),
    );
    served.signal("HUP");
    let own_hash = {
        let checked = crate::process::run(&["check", "--output", "json"], folder.path());
        let json: Value = serde_json::from_slice(&checked.stdout).unwrap();
        json["policy"].clone()
    };
    let said = served.wait_for("the last set", |it| it["policy"]["hash"] == own_hash);
    assert!(said["policy"]["last_refused"].is_null(), "{said}");
    assert!(allows(&served.get("/v3/self", key.expose())));
    served.stop();
}

#[tokio::test]
async fn a9_metrics_are_the_operators_and_name_what_was_asked() {
    let world = World::start().await;
    world.get("one", "/v3/self").await.is_upstream(200);
    world.get("one", "/v3/self").await.is_upstream(200);
    world
        .get("other", "/v3/self")
        .await
        .is_problem(403, "operation-denied");
    for path in ["/metrics", "/.tollgate/metrics", "/v3/no/such/thing"] {
        world
            .get("one", path)
            .await
            .is_problem(404, "operation-unknown");
    }
    world.lines().await;
    let (status, media, page) = world.operator("/metrics").await;
    assert_eq!(status, 200);
    assert_eq!(
        media,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    for line in [
        "tollgate_requests_total{operation=\"self.get\",decision=\"allow\",code=\"none\"} 2",
        "tollgate_requests_total{operation=\"self.get\",decision=\"deny\",code=\"operation-denied\"} 1",
        "tollgate_requests_total{operation=\"none\",decision=\"none\",code=\"operation-unknown\"} 3",
        "tollgate_request_duration_seconds_count{answered_by=\"upstream\"} 2",
        "tollgate_request_duration_seconds_count{answered_by=\"gateway\"} 4",
        "tollgate_internal_errors_total 0",
        "tollgate_denials_total{caller=\"other\"} 1",
    ] {
        assert!(page.lines().any(|it| it == line), "{line}: {page}");
    }
    assert!(
        !page.contains("such") && page.matches("other").count() == 1,
        "{page}"
    );
    world.finish().await;
}

#[test]
fn a9_off_loopback_there_is_yes_and_no_and_nothing_else() {
    let folder = folder(
        &CONFIG.replace(
            "admin: { tcp: \"127.0.0.1:0\" }",
            "admin: { tcp: \"0.0.0.0:0\" }",
        ),
        &[("a.yaml", "team: a\ncallers: { x: {} }\n")],
    );
    let served = serve(folder.path(), &[]);
    assert!(served.operator("/metrics").starts_with("HTTP/1.1 404"));
    assert_eq!(served.readiness(), serde_json::json!({"ready": true}));
    let status = served.status(&[]);
    assert_eq!(status.status.code(), Some(0));
    assert!(text(&status.stdout).starts_with("ready\n"));
    served.stop();
    let nobody = crate::process::run(&["status", "--admin", "http://127.0.0.1:1"], folder.path());
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("cannot be reached"));
    let wrong = crate::process::run(&["status", "--admin", "nowhere"], folder.path());
    assert_eq!(wrong.status.code(), Some(2));
}
