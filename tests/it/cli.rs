//! The binary itself, as an operator runs it.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use tollgate::api_key::ApiKey;

use crate::process::{CONFIG, folder, run, serve, text, tollgate};

#[test]
fn check_lists_every_mistake_and_says_1() {
    let one = "team: a\ncallers: { same: {} }\nallow:\n  - { name: x, operatons: [self.get], organizations: any }\n  - { name: y, operations: [sessions.creat], organizations: any }\n";
    let two = "team: b\ncallers: { same: {} }\n";
    let folder = folder(
        CONFIG,
        &[
            ("one.yaml", one),
            ("two.yaml", two),
            ("x.test.yaml", "nonsense: ["),
            (".hidden.yaml", "nonsense: ["),
        ],
    );
    let output = run(&["check"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    for wanted in [
        "did you mean `operations`?",
        "did you mean `sessions.create`?",
        "the caller `same` is defined twice",
        "one.yaml:4:16",
        "first here",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let output = run(&["check", "--output", "json"], folder.path());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &json["ok"]),
        (Some(1), &false.into())
    );
    let mistakes = json["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len(), 3, "{json:#}");
    assert!(
        mistakes
            .iter()
            .all(|it| it["line"].as_u64().unwrap() > 0 && it["file"].is_string())
    );
    // The same mistakes stop the start.
    let output = tollgate()
        .args(["serve"])
        .env("DEVIN_SERVICE_USER_TOKEN", "x")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nothing was started"));
}

#[test]
fn the_sample_policies_and_the_sample_configuration_are_fine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = run(&["check", "--policies", "policies"], root);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = run(
        &[
            "check",
            "--config",
            "deploy/tollgate.yaml",
            "--set",
            "policies=../policies",
        ],
        root,
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn no_token_a_bad_call_a_missing_file_and_a_port_in_use() {
    let policy = [("a.yaml", "team: a\ncallers: { x: {} }\n")];
    let folder = folder(CONFIG, &policy);
    let output = run(&["serve"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr)
            .contains("`DEVIN_SERVICE_USER_TOKEN`, which `upstream.token` names, is not set")
    );
    assert_eq!(
        run(&["serve", "--set", "nonsense"], folder.path())
            .status
            .code(),
        Some(2)
    );
    assert_eq!(run(&["serv"], folder.path()).status.code(), Some(2));
    let output = run(&["serve", "--config", "nowhere.yaml"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("nowhere.yaml:1:1")
            || text(&output.stderr).contains("the file cannot be read")
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = tollgate()
        .args([
            "serve",
            "--set",
            &format!("listen=[{{tcp: \"{address}\"}}]"),
        ])
        .env("DEVIN_SERVICE_USER_TOKEN", "canary-token-value")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    assert!(
        shown.contains(&format!("cannot listen on {address}")),
        "{shown}"
    );
    assert!(!shown.contains("canary"), "{shown}");
    assert!(
        !folder.path().join("access.log").exists(),
        "a start that failed leaves nothing"
    );
}

#[test]
fn an_override_by_variable_that_matches_nothing_is_an_error() {
    let folder = folder(CONFIG, &[("a.yaml", "team: a\ncallers: { x: {} }\n")]);
    let check = |name: &str, value: &str| {
        tollgate()
            .arg("check")
            .env(name, value)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    assert_eq!(
        check("TOLLGATE__UPSTREAM__BASE_URL", "https://x.example")
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        check("TOLLGATE_SERVICE_HOST", "10.0.0.1").status.code(),
        Some(0),
        "what Kubernetes sets is nobody's override"
    );
    let output = check("TOLLGATE__UPSTREAM__BASE_URI", "x");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("did you mean `base_url`?"));
}

#[test]
fn keys_new_prints_a_key_once_and_the_line_to_paste() {
    let here = Path::new(".");
    let output = run(
        &[
            "keys",
            "new",
            "ds1",
            "--expires",
            "2027-02-01",
            "--output",
            "json",
        ],
        here,
    );
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let presented = tollgate::api_key::parse(json["key"].as_str().unwrap()).unwrap();
    assert_eq!(presented.id, "ds1");
    let yaml = json["yaml"].as_str().unwrap();
    let policy = format!("team: a\ncallers:\n  x:\n    keys:\n      {yaml}\n");
    let folder = folder(CONFIG, &[("a.yaml", &policy)]);
    assert_eq!(
        run(&["check"], folder.path()).status.code(),
        Some(0),
        "{policy}"
    );
    assert!(!text(&output.stderr).contains(json["key"].as_str().unwrap()));
    let shown = text(&run(&["keys", "new", "ds1"], here).stdout);
    assert!(
        shown.contains("tg_ds1_") && shown.contains("sha256:"),
        "{shown}"
    );
    for bad in ["DS", "", "a_b", &"a".repeat(33)] {
        assert_eq!(
            run(&["keys", "new", bad], here).status.code(),
            Some(2),
            "{bad}"
        );
    }
    assert_eq!(
        run(&["keys", "new", "a", "--expires", "soon"], here)
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn serve_works_stops_and_starts_again() {
    let key = ApiKey::generate("x1").unwrap();
    let policy = format!(
        "team: a\ncallers: {{ x: {{ keys: [{{ id: x1, sha256: \"{}\" }}] }} }}\nallow: [{{ name: self, operations: [self.get], organizations: any }}]\n",
        key.digest_hex()
    );
    let folder = folder(CONFIG, &[("a.yaml", &policy)]);
    for round in 1..=2 {
        let served = serve(folder.path(), &[]);
        // Nothing listens upstream: an honest 502, and the caller is known.
        let answer = served.get("/v3/self", key.expose());
        assert!(
            answer.starts_with("HTTP/1.1 502") && answer.contains("upstream-unreachable"),
            "{answer}"
        );
        assert!(
            served
                .get("/v3/enterprise/queue", key.expose())
                .starts_with("HTTP/1.1 403")
        );
        let health = tollgate()
            .args([
                "health",
                "--ready",
                "--admin",
                &format!("http://{}", served.admin),
            ])
            .output()
            .unwrap();
        assert_eq!(
            (health.status.code(), text(&health.stdout).trim()),
            (Some(0), "ok")
        );
        let own = served.stop();
        let log = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines.len(),
            2 * round,
            "every line is there at the end, and the file goes on after a restart"
        );
        assert!(lines.iter().all(|line| line["caller"] == "x"));
        for text in [&own, &log] {
            assert!(
                !text.contains("canary-token") && !text.contains(&key.expose()[6..]),
                "{text}"
            );
        }
    }
    let health = tollgate()
        .args(["health", "--admin", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(health.status.code(), Some(1));
}

#[test]
fn a1_files_that_let_others_in_are_told_of_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let config = CONFIG.replace("{ env: DEVIN_SERVICE_USER_TOKEN }", "{ file: token }")
        + "tag_key: { file: tag-key }\n";
    let folder = folder(&config, &[("a.yaml", "team: a\ncallers: { x: {} }\n")]);
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("token"), "canary-token-value").unwrap();
    std::fs::write(at("tag-key"), "canary-tag-key-of-32-characters-or-more").unwrap();
    let modes = |token: u32, key: u32, policies: u32| {
        for (name, mode) in [("token", token), ("tag-key", key), ("policies", policies)] {
            std::fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let log = serve(folder.path(), &[]).stop();
        assert!(!log.contains("canary"), "{log}");
        let told = log.lines().filter(|line| line.contains("others may "));
        told.map(|line| line.split("others may ").nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(modes(0o400, 0o640, 0o755).is_empty());
    let told = modes(0o644, 0o660, 0o777);
    let wanted = [
        ("read ", "token (`upstream.token`, mode 0644)"),
        ("change ", "tag-key (`tag_key`, mode 0660)"),
        ("change ", "policies/ (`policies`, mode 0777)"),
    ];
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for (line, (may, what)) in told.iter().zip(wanted) {
        assert!(line.starts_with(may) && line.contains(what), "{line}");
    }
    // What it makes itself is for nobody else.
    for name in ["tollgate.db", "access.log"] {
        let mode = std::fs::metadata(at(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{name}: {mode:o}");
    }
}

#[test]
fn u8_a_key_in_odd_places_is_not_logged() {
    let key = ApiKey::generate("x1").unwrap();
    let folder = folder(CONFIG, &[("a.yaml", "team: a\ncallers: { x: {} }\n")]);
    let served = serve(folder.path(), &[]);
    served.get(
        &format!("/v3/organizations/{}/sessions", key.expose()),
        "none",
    );
    served.get(
        "/v3/self",
        &format!("x\r\nX-Request-Id: {0}\r\nUser-Agent: a/{0}", key.expose()),
    );
    let own = served.stop();
    let log = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    assert_eq!(log.matches("[redacted]").count(), 4, "{log}");
    let secret = key.expose().rsplit('_').next().unwrap();
    assert!(!log.contains(secret) && !own.contains(secret));
}

#[test]
fn a11_an_output_that_takes_nothing_does_not_hold_the_end() {
    let folder = folder(
        &CONFIG.replace("{ to: file, path: access.log }", "{ to: stdout }"),
        &[("a.yaml", "team: a\ncallers: { x: {} }\n")],
    );
    // Standard output is a pipe that nobody reads, and more is written than it holds.
    let served = serve(folder.path(), &[]);
    for _ in 0..120 {
        served.get(&format!("/v3/self/{}", "x".repeat(7_000)), "none");
    }
    let own = served.stop_with(1);
    assert!(own.contains("its last lines are lost"), "{own}");
}

#[test]
fn u7_a_secret_in_the_wrong_place_is_not_shown() {
    let policy = [("a.yaml", "team: a\ncallers: { x: {} }\n")];
    let secret = "cog_SECRET123";
    for wrong in [
        secret.to_owned(),
        format!("{{ value: {secret} }}"),
        format!("{{ env: {secret} }}"),
        format!("[{secret}]"),
        format!("{{ {secret} }}"),
        format!("{{ env: A, file: b, x: {secret} }}"),
    ] {
        let folder = folder(
            &CONFIG.replace("{ env: DEVIN_SERVICE_USER_TOKEN }", &wrong),
            &policy,
        );
        for arguments in [
            vec!["check"],
            vec!["serve"],
            vec!["check", "--output", "json"],
            vec!["serve", "--output", "json"],
        ] {
            let output = run(&arguments, folder.path());
            assert_eq!(output.status.code(), Some(1));
            let shown = text(&output.stdout) + &text(&output.stderr);
            assert!(
                shown.contains("token") && !shown.contains("SECRET"),
                "{wrong}: {shown}"
            );
        }
    }
    let folder = folder(CONFIG, &policy);
    let set = format!("upstream.token={secret}");
    let shown = text(&run(&["check", "--set", &set], folder.path()).stderr);
    assert!(
        shown.contains("never the token itself") && !shown.contains("SECRET"),
        "{shown}"
    );
    let shown = text(
        &run(
            &[
                "check",
                "--set",
                "upstream.base_url=https://a:SECRET@x.example",
            ],
            folder.path(),
        )
        .stderr,
    );
    assert!(
        shown.contains("base_url") && !shown.contains("SECRET"),
        "{shown}"
    );
    // A whole key where its digest or its id belongs.
    let key = ApiKey::generate("x1").unwrap();
    let policy = format!(
        "team: a\ncallers: {{ x: {{ keys: [{{ id: {0}, sha256: {0} }}] }} }}\n",
        key.expose()
    );
    std::fs::write(folder.path().join("policies/a.yaml"), policy).unwrap();
    let shown = text(&run(&["check"], folder.path()).stderr);
    let half = key.expose().rsplit('_').next().unwrap();
    assert!(
        shown.contains("is no key id") && shown.contains("sha256") && !shown.contains(half),
        "{shown}"
    );
}

#[test]
fn a_log_that_was_lost_is_no_good_end() {
    let folder = folder(
        &CONFIG.replace("access.log", "/dev/full"),
        &[("a.yaml", "team: a\ncallers: { x: {} }\n")],
    );
    let served = serve(folder.path(), &[]);
    served.get("/v3/self", "none");
    assert!(served.stop_with(1).contains("lost"));
}

#[test]
fn operations_are_listed_as_policies_name_them() {
    let listed = text(&run(&["operations"], Path::new(".")).stdout);
    assert_eq!(listed.lines().count(), 224);
    assert!(
        listed
            .lines()
            .any(|line| line.starts_with("sessions.create ") && line.ends_with(" spends"))
    );
    assert!(!listed.contains("outposts"));
    let json = run(&["operations", "--output", "json"], Path::new("."));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let rows = json.as_array().unwrap();
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap();
    assert_eq!(rows.len(), 224);
    let rotate = row("enterprise.service_users.api_keys.rotate");
    assert_eq!(rotate["body"], json!(["revoke_current"]));
    assert_eq!(rotate["guarded"], json!(["revoke_current"]));
    assert_eq!(rotate["can_lock_out"], true);
    assert_eq!(row("schedules.list")["query"], json!(["limit", "offset"]));
    assert_eq!(row("self.get")["query"], json!([]));
}

#[test]
fn one_operation_is_shown_with_its_fields() {
    let output = run(&["operations", "sessions.create"], Path::new("."));
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = shown.lines().map(words).collect();
    for wanted in [
        "POST /v3/organizations/{org_id}/sessions",
        "POST /v3beta1/organizations/{org_id}/sessions",
        "prompt a digest in logs",
        "max_acu_limit",
        "secret_ids guarded, [] if left out",
        "session_secrets[].key",
        "session_secrets[].value hidden in logs",
        "devin_id guarded",
    ] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted}: {shown}");
    }
    let one = ["operations", "enterprise.sessions.list", "--output", "json"];
    let json: Value = serde_json::from_slice(&run(&one, Path::new(".")).stdout).unwrap();
    assert_eq!(json["guarded"], json!(["org_ids"]));
    let query = json["query"].as_array().unwrap();
    assert!(query.contains(&"org_ids".into()) && query.contains(&"after".into()));
}

#[test]
fn an_operation_that_nobody_knows_is_refused_with_the_nearest() {
    let output = run(&["operations", "sessions.creat"], Path::new("."));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let shown = text(&output.stderr);
    assert!(shown.contains("did you mean `sessions.create`?"), "{shown}");
    // Refused always, so that no policy can name it.
    let output = run(&["operations", "outposts.list"], Path::new("."));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn other_programs_variables_may_hold_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder(CONFIG, &[("a.yaml", "team: a\ncallers: { x: {} }\n")]);
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    let output = tollgate()
        .arg("check")
        .env("OTHER", odd)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn the_tour_goes_as_it_should() {
    let output = run(&["demo", "--tour"], Path::new("."));
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("Every step went as it should."));
    let output = run(&["demo", "--tour", "--output", "json"], Path::new("."));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["steps"].as_array().unwrap().len(), 10);
}
