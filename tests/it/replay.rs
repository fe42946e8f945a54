//! Real logs, decided again: in the library over a world's own log, and by the binary.

use std::io::Write as _;
use std::process::{Command, Stdio};

use http::Method;
use serde_json::{Value, json};
use tollgate::document::Report as Mistakes;
use tollgate::policy::{Policy, PolicyFiles, compile};
use tollgate::replay::{Replay, Report};

use crate::process::{CONFIG, folder, run, text, tollgate};
use crate::world::{Setup, World};

const POLICY: &str = r#"
team: t
callers: { one: {}, two: {}, slow: {} }
allow:
  - name: create
    operations: [sessions.create]
    organizations: [org-ds]
    body: { max_acu_limit: { default: 5, max: 20 } }
  - { name: read, operations: [sessions.get, sessions.list], organizations: [org-ds], sessions: any }
  - { name: notes, operations: ["knowledge.**"], organizations: [org-ds] }
deny:
  - { name: no end, callers: [two], operations: [sessions.list] }
limits:
  - { name: trickle, per: caller, callers: [slow], rate: 1/min, burst: 1 }
"#;

fn policy(text: &str) -> Policy {
    let mut mistakes = Mistakes::default();
    let files = PolicyFiles::from_texts([("policy.yaml", text)], &mut mistakes);
    compile(&files, &["ci"], &mut mistakes).unwrap_or_else(|| panic!("{}", mistakes.plain()))
}

fn replayed(log: &str, candidate: &str) -> Report {
    let (base, candidate) = (policy(POLICY), policy(candidate));
    let mut replay = Replay::new(&base, &candidate);
    for line in log.lines() {
        replay
            .line(line.as_bytes())
            .unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    replay.finish()
}

/// Requests of every kind of end, and their log.
async fn recorded() -> (World, String) {
    let world = World::with(Setup {
        policy: POLICY.to_owned(),
        ..Setup::default()
    })
    .await;
    let sessions = "/v3/organizations/org-ds/sessions";
    for limit in [1, 10, 20, 21, 30] {
        let body = format!("{{\"prompt\":\"p\",\"max_acu_limit\":{limit}}}");
        world.post("one", sessions, &body).await;
    }
    world.post("one", sessions, r#"{"prompt":"p"}"#).await;
    world
        .post("one", sessions, r#"{"prompt":"p","odd":1}"#)
        .await;
    world
        .post("one", sessions, r#"{"prompt":"p","devin_mode":"x"}"#)
        .await;
    world.post("one", sessions, "no json").await;
    world.post("one", sessions, "[]").await;
    let named = r#"{"name":"n","body":"b","trigger":"t"}"#;
    let notes = "/v3/organizations/org-ds/knowledge/notes";
    world.post("one", notes, named).await;
    for caller in ["one", "two", "slow", "slow"] {
        world.get(caller, &format!("{sessions}?first=5")).await;
    }
    world
        .get("one", &format!("{sessions}?first=1&first=2&odd"))
        .await;
    world
        .get("one", "/v3/organizations/org-other/sessions")
        .await;
    world.get("one", "/v3/enterprise/self").await;
    world.get("one", "/v3/nothing").await;
    let plain = http::Request::post("/").header("content-type", "text/plain");
    let plain = plain.header("authorization", format!("Bearer {}", world.key("one")));
    world.send(sessions, plain, "{}").await;
    world.send(sessions, http::Request::get("/"), "").await;
    world.call("one", Method::DELETE, sessions, "").await;
    world.raw(b"GET / HTTP/9\r\n\r\n").await;
    world.lines().await;
    let log = world.log.text();
    (world, log)
}

#[tokio::test]
async fn a_log_is_decided_again_as_it_was_decided() {
    let (world, log) = recorded().await;
    // The same set, and one that says the same in other words.
    for candidate in [
        POLICY.to_owned(),
        POLICY.replace("name: create", "name: make"),
    ] {
        let report = replayed(&log, &candidate);
        assert_eq!(
            (report.flips(), report.undecided()),
            (0, 0),
            "{}",
            report.text()
        );
        assert_eq!(report.drifted(), 0, "{}", report.text());
        assert_eq!((report.requests, report.unchanged), (19, 19));
        // No credential, no operation, no such method.
        assert_eq!((report.before_policy, report.of_other_policies), (3, 0));
    }
    world.finish().await;
}

#[tokio::test]
async fn a_tighter_a_wider_and_a_new_bound_are_told_with_counts() {
    let (world, log) = recorded().await;
    let flips = |report: &Report, class: &str| -> Vec<(String, u64)> {
        let json = report.json(false);
        let groups = json[class].as_array().unwrap().iter();
        groups
            .map(|it| {
                let name = |value: &Value| value.as_str().unwrap_or("-").to_owned();
                let (base, candidate) = (&it["base"], &it["candidate"]);
                let shown = format!(
                    "{} {} {} {}",
                    name(&it["caller"]),
                    name(&it["operation"]),
                    name(&base["rule"]),
                    name(&candidate["rule"])
                );
                (shown, it["count"].as_u64().unwrap())
            })
            .collect()
    };
    let tighter = replayed(&log, &POLICY.replace("max: 20", "max: 9"));
    let told = ("one sessions.create t/create t/create".to_owned(), 2);
    assert_eq!(flips(&tighter, "allow_to_deny"), [told]);
    assert_eq!((tighter.flips(), tighter.undecided()), (2, 0));
    let wider = replayed(&log, &POLICY.replace("max: 20", "max: 25"));
    assert_eq!(
        flips(&wider, "deny_to_allow"),
        [("one sessions.create t/create t/create".to_owned(), 1)]
    );
    assert_eq!((wider.flips(), wider.undecided()), (1, 0));

    let bound = POLICY.replace("max: 20 }", "max: 20 }, title: { max_length: 5 }");
    let report = replayed(&log, &bound);
    let json = report.json(false);
    assert_eq!(report.flips(), 0);
    assert_eq!(json["lacking"][0]["fact"], "body.title", "{json}");
    // All that were let through, or would be; what is no JSON is none, and a guard refuses whatever the title is.
    assert_eq!(json["lacking"][0]["count"], 5, "{json}");
    let strict = POLICY.replace("max: 20 } }", "max: 20 } }\n    unknown: refuse");
    let report = replayed(&log, &strict);
    assert_eq!(
        (report.flips(), report.undecided()),
        (1, 0),
        "{}",
        report.text()
    );

    let opened = POLICY.replace(
        "callers: [two], operations: [sessions.list]",
        "callers: [two], operations: [sessions.get]",
    );
    let report = replayed(&log, &opened);
    assert_eq!(
        flips(&report, "deny_to_allow"),
        [("two sessions.list t/no end t/read".to_owned(), 1)]
    );
    let without = POLICY
        .replace(", two: {}", "")
        .replace("callers: [two]", "callers: [one]");
    let report = replayed(&log, &without);
    let lists = [("one sessions.list t/read t/no end".to_owned(), 2)];
    assert_eq!(flips(&report, "allow_to_deny"), lists);
    world.finish().await;
}

#[tokio::test]
async fn the_binary_replays_files_and_standard_input_and_says_so_in_its_exit_code() {
    let (world, log) = recorded().await;
    let folder = folder(CONFIG, &[("policy.yaml", POLICY)]);
    let at = |name: &str| folder.path().join(name);
    let candidate = |name: &str, text: &str| {
        std::fs::create_dir_all(at(name)).unwrap();
        std::fs::write(at(name).join("policy.yaml"), text).unwrap();
    };
    candidate("tighter", &POLICY.replace("max: 20", "max: 9"));
    candidate(
        "bound",
        &POLICY.replace("max: 20 }", "max: 20 }, title: { max_length: 5 }"),
    );
    candidate("broken", "team: t\nnonsense: 1\n");
    std::fs::write(at("access.log"), &log).unwrap();
    let (first, second) = log.split_at(log.find('\n').unwrap() + 1);
    std::fs::write(at("access.log.1"), first).unwrap();
    std::fs::write(at("access.log.2"), format!("{second}{{\"kind\":\"req")).unwrap();
    let replay = |arguments: &[&str]| {
        let all = [&["replay", "--output", "json"], arguments].concat();
        let output = run(&all, folder.path());
        let said = text(&output.stdout);
        let json: Value =
            serde_json::from_str(&said).unwrap_or_else(|_| json!(text(&output.stderr)));
        (output.status.code().unwrap(), json)
    };
    // The configuration's own folder is the base, and it is the set that wrote this log.
    let (code, json) = replay(&["--log", "access.log", "--policies", "policies"]);
    assert_eq!((code, &json["ok"]), (0, &json!(true)), "{json}");
    assert_eq!(
        (&json["requests"], &json["of_other_policies"]),
        (&json!(19), &json!(0))
    );
    let tighter = ["--policies", "tighter", "--log", "access.log"];
    let (code, json) = replay(&tighter);
    assert_eq!((code, &json["flips"]), (1, &json!(2)), "{json}");
    assert_eq!(
        replay(&[&tighter[..], &["--allow-flips", "2"]].concat()).0,
        0
    );
    assert_eq!(
        replay(&[&tighter[..], &["--allow-flips", "1"]].concat()).0,
        1
    );
    let bound = ["--policies", "bound", "--log", "access.log"];
    assert_eq!(replay(&bound).0, 1);
    assert_eq!(
        replay(&[&bound[..], &["--allow-undecidable", "5"]].concat()).0,
        0
    );
    // Without a configuration.
    let (code, json) = replay(&[
        "--policies",
        "policies",
        "--against",
        "tighter",
        "--log",
        "access.log",
    ]);
    assert_eq!(
        (code, json["deny_to_allow"].as_array().unwrap().len()),
        (1, 1)
    );
    // Rotated files, the last of them still being written.
    let (code, json) = replay(&[
        "--policies",
        "policies",
        "--log",
        "access.log.1",
        "--log",
        "access.log.2",
    ]);
    assert_eq!(
        (code, &json["requests"], &json["skipped"]["unfinished"]),
        (0, &json!(19), &json!(1))
    );
    let mut child = tollgate()
        .args(["replay", "--policies", "tighter", "--log", "-"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(log.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(
        said.contains("allow -> deny: 2") && said.contains("limits are not decided again"),
        "{said}"
    );

    // A bad candidate is bad; a log that is none, or of another version, is no call.
    let (code, json) = replay(&["--policies", "broken", "--log", "access.log"]);
    assert_eq!((code, json["mistakes"].as_array().unwrap().len()), (1, 1));
    assert_eq!(
        replay(&["--policies", "policies", "--log", "nowhere.log"]).0,
        2
    );
    assert_eq!(replay(&["--policies", "policies"]).0, 2);
    world.finish().await;
}

#[test]
fn a13_hostile_logs_are_refused_with_their_line() {
    let folder = folder(CONFIG, &[("policy.yaml", POLICY)]);
    let refused = |log: &[u8]| {
        std::fs::write(folder.path().join("access.log"), log).unwrap();
        let output = run(
            &["replay", "--policies", "policies", "--log", "access.log"],
            folder.path(),
        );
        assert_eq!(text(&output.stdout), "");
        (output.status.code(), text(&output.stderr))
    };
    let good = b"{\"kind\":\"connection\",\"form\":2}\n";
    for (bad, wanted) in [
        (&b"{\"kind\":\"request\"}\n"[..], "names no form"),
        (
            b"{\"kind\":\"request\",\"form\":1}\n",
            "it is of form 1, and this version reads form 2",
        ),
        (b"\xff\xfe{}\n", "not UTF-8"),
        (b"\0\0\0\n", "no JSON object"),
        (b"{\"kind\":\"requ\n", "no JSON object"),
        (b"\n", "no JSON object"),
        (
            b"{\"kind\":\"request\",\"form\":2,\"caller\":{}}\n",
            "of another kind",
        ),
        (
            b"{\"kind\":\"request\",\"form\":2,\"kind\":\"request\"}\n",
            "is there twice",
        ),
    ] {
        let (code, said) = refused(&[good, bad, good].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("access.log:2: ") && said.contains(wanted),
            "{said}"
        );
    }
    // A line without an end is never read to its end.
    let (code, said) = refused(&[good, "x".repeat(3 << 20).as_bytes()].concat());
    assert_eq!(code, Some(2));
    assert!(
        said.contains("access.log:2: it has more than 1048576 bytes"),
        "{said}"
    );
}

#[test]
fn a13_a_log_without_end_does_not_fill_the_memory() {
    let folder = folder(CONFIG, &[("policy.yaml", POLICY)]);
    // Endless zeros are one endless line.
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["replay", "--policies", "policies", "--log", "/dev/zero"])
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
