//! Policies that change under requests: every request is judged by one set, and what a set says holds at once.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Request;
use serde_json::Value;
use tollgate::api_key::ApiKey;
use tollgate::clock::SystemClock;
use tollgate::document::Budget;
use tollgate::reload::{Outcome, Reload};

use crate::answer::Answer;
use crate::world::World;

const LIST: &str = "/v3/organizations/org-ds/sessions";
const SELF: &str = "/v3/self";

fn reload(world: &World, folder: &Path) -> Reload {
    Reload::new(
        folder.to_owned(),
        Budget::default(),
        [],
        world.policies.clone(),
        world.metrics.clone(),
        Arc::new(SystemClock),
    )
}

/// Grants one of two operations and denies the other, by rules and with a limit of this name.
fn policy(name: &str, granted: &str, denied: &str, key: &ApiKey) -> String {
    let digest = key.digest_hex();
    let reach = match granted.starts_with("sessions.") {
        true => ", sessions: any",
        false => "",
    };
    format!(
        "team: t
callers: {{ load: {{ keys: [{{ id: load, sha256: \"{digest}\" }}] }} }}
allow: [{{ name: {name}, operations: [{granted}], organizations: any{reach} }}]
deny: [{{ name: not {name}, operations: [{denied}] }}]
limits: [{{ name: of {name}, per: caller, rate: 60000/min, burst: 60000 }}]
"
    )
}

async fn ask(world: &World, key: &ApiKey, path: &str) -> Answer {
    let authorization = format!("Bearer {}", key.expose());
    let request = Request::get("/").header("authorization", authorization);
    world.send(path, request, "").await
}

/// Fails unless the answer is that of the set of this name: `a` grants the list, `b` grants self.
#[track_caller]
fn is_by(answer: &Answer, path: &str, name: &str) {
    if (path == LIST) == (name == "a") {
        answer.is_upstream(200);
    } else {
        let body = answer.is_problem(403, "operation-denied").json();
        assert_eq!(body["rule"], format!("t/not {name}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_a_hundred_reloads_under_load_and_no_request_is_half_one_and_half_another() {
    const RELOADS: usize = 100;
    const CLIENTS: usize = 8;
    /// Answers between two reloads, at least.
    const BETWEEN: usize = 15;

    let world = World::start().await;
    let key = ApiKey::generate("load").unwrap();
    world.canaries.lock().unwrap().push(key.expose().to_owned());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.yaml");
    let good = [
        ("a", policy("a", "sessions.list", "self.get", &key)),
        ("b", policy("b", "self.get", "sessions.list", &key)),
    ];
    let mut reload = reload(&world, folder.path());
    let mut hashes: HashMap<String, &str> = HashMap::new();
    for (name, text) in &good {
        fs::write(&file, text).unwrap();
        assert_eq!(reload.now().await, Outcome::Replaced);
        hashes.insert(world.policies.loaded().hash, name);
    }

    let (answered, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let client = async |number: usize| {
        for round in number.. {
            if done.load(Ordering::Relaxed) {
                break;
            }
            let path = if round % 2 == 0 { LIST } else { SELF };
            let answer = ask(&world, &key, path).await;
            let is_a = (path == LIST) == (answer.status == 200);
            is_by(&answer, path, if is_a { "a" } else { "b" });
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let reloads = async {
        let mut running = "b";
        for round in 0..RELOADS {
            let before = answered.load(Ordering::Relaxed);
            let (name, text) = &good[round / 2 % 2];
            if round % 2 == 0 {
                fs::write(&file, text).unwrap();
                assert_eq!(reload.now().await, Outcome::Replaced);
                running = name;
            } else {
                // The other set, and a mistake: without it, it would be taken.
                let (_, other) = &good[(round / 2 + 1) % 2];
                fs::write(&file, format!("{other}alow: []\n")).unwrap();
                assert_eq!(reload.now().await, Outcome::Refused);
            }
            // What was loaded holds for whoever asks from now on.
            for path in [LIST, SELF] {
                is_by(&ask(&world, &key, path).await, path, running);
            }
            while answered.load(Ordering::Relaxed) < before + BETWEEN {
                tokio::task::yield_now().await;
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    let clients = futures_util::future::join_all((0..CLIENTS).map(client));
    futures_util::future::join(clients, reloads).await;

    let loaded = world.policies.loaded();
    assert_eq!((loaded.reloads, loaded.refused), (2 + 50, 50));
    let lines = world.lines().await;
    assert!(lines.len() >= RELOADS * BETWEEN, "{}", lines.len());
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    for line in &lines {
        let name = hashes[line["policy"].as_str().unwrap()];
        let is_allowed = (line["path"] == LIST) == (name == "a");
        let wanted: [(&str, Value); 4] = if is_allowed {
            [
                ("decision", "allow".into()),
                ("rule", format!("t/{name}").into()),
                ("limits", vec![format!("t/of {name}")].into()),
                ("status", 200.into()),
            ]
        } else {
            [
                ("decision", "deny".into()),
                ("rule", format!("t/not {name}").into()),
                ("limits", Value::Null),
                ("status", 403.into()),
            ]
        };
        for (field, value) in wanted {
            assert_eq!(line[field], value, "{field} under {name}: {line}");
        }
        *seen
            .entry((name, line["decision"].as_str().unwrap()))
            .or_default() += 1;
    }
    assert_eq!(seen.len(), 4, "both sets have judged: {seen:?}");
    world.finish().await;
}

#[tokio::test]
async fn a2_a_caller_that_is_taken_out_is_refused_at_once_and_a_limit_is_not_renewed() {
    let world = World::start().await;
    let (one, two) = (
        ApiKey::generate("one1").unwrap(),
        ApiKey::generate("two2").unwrap(),
    );
    let caller = |name: &str, key: &ApiKey| {
        let digest = key.digest_hex();
        format!("  {name}: {{ keys: [{{ id: {name}, sha256: \"{digest}\" }}] }}\n")
    };
    let (first, second) = (caller("one1", &one), caller("two2", &two));
    let rest = "allow: [{ name: self, operations: [self.get], organizations: any }]\nlimits: [{ name: l, per: caller, rate: 1/h, burst: 2 }]\n";
    let folder = tempfile::tempdir().unwrap();
    let mut reload = reload(&world, folder.path());
    let file = folder.path().join("t.yaml");
    fs::write(&file, format!("team: t\ncallers:\n{first}{second}{rest}")).unwrap();
    assert_eq!(reload.now().await, Outcome::Replaced);
    for key in [&one, &one, &two] {
        ask(&world, key, SELF).await.is_upstream(200);
    }
    ask(&world, &one, SELF)
        .await
        .is_problem(429, "rate-limited");
    // The second caller takes the first one's place in the set, and nothing of its limit.
    fs::write(&file, format!("team: t\ncallers:\n{second}{rest}")).unwrap();
    assert_eq!(reload.now().await, Outcome::Replaced);
    ask(&world, &one, SELF)
        .await
        .is_problem(401, "credential-invalid");
    ask(&world, &two, SELF).await.is_upstream(200);
    ask(&world, &two, SELF)
        .await
        .is_problem(429, "rate-limited");
    world.finish().await;
}

#[tokio::test]
async fn l9_what_was_spent_under_a_former_name_counts_from_the_reload_on() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = ApiKey::generate("k").unwrap();
    let write = |team: &str, caller: &str| {
        let digest = key.digest_hex();
        let text = format!(
            "{team}
callers: {{ {caller} keys: [{{ id: k, sha256: \"{digest}\" }}] }} }}
allow: [{{ name: run, operations: [sessions.create], organizations: [org-ds] }}]
budgets: [{{ name: mine, id: mine, per: caller, acus: 5, every: month }}]
"
        );
        fs::write(folder.path().join("t.yaml"), text).unwrap();
    };
    let create = async || {
        let request = Request::post("/")
            .header("authorization", format!("Bearer {}", key.expose()))
            .header("content-type", "application/json");
        let body = r#"{"prompt":"x","max_acu_limit":3}"#;
        world.send(LIST, request, body).await
    };
    let mut reload = reload(&world, folder.path()).telling(world.ledger.clone());
    write("team: t", "old: {");
    assert_eq!(reload.now().await, Outcome::Replaced);
    create().await.is_upstream(200);
    write("team: u\nrenamed_from: [t]", "new: { renamed_from: [old],");
    assert_eq!(reload.now().await, Outcome::Replaced);
    create().await.is_problem(402, "budget-exhausted");
    world.finish().await;
}
