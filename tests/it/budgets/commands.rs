//! `tollgate budget` and `tollgate usage`, of a gateway that runs and of none.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::acu::Cap;
use tollgate::budget::Payer;
use tollgate::clock::SystemClock;
use tollgate::ledger::moment::Moment;
use tollgate::ledger::tag::TagKey;
use tollgate::ledger::{HoldId, Holding, Ledger, Options, What};
use tollgate::policy::bounds::CapTerms;

use crate::process::{CONFIG, folder, run, serve, text};

const POLICY: &str = "team: t\ncallers: { one: {}, two: {} }\n\
    budgets:\n  - { name: month, per: caller, acus: 100, every: month }\n";

/// A folder with a ledger in which `one` holds so much.
fn scene(config: &str, held: i64) -> tempfile::TempDir {
    let folder = folder(config, &[("t.yaml", POLICY)]);
    let path = folder.path().join("tollgate.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::open(Options {
            path,
            tag_key: TagKey::random().unwrap(),
            quiet: Duration::from_secs(60),
            hand_over: Duration::ZERO,
        });
        let ledger = ledger.await.unwrap();
        ledger.admit();
        let asked = Holding {
            hold: HoldId::new(),
            moment: Moment::now(&SystemClock),
            payer: Payer {
                organization: "org-a".into(),
                team: "t".into(),
                caller: "one".into(),
            },
            asker: Payer {
                organization: "org-a".into(),
                team: "t".into(),
                caller: "one".into(),
            },
            operation: "sessions.create",
            what: What::Session {
                wanted: Cap::new(held).unwrap(),
                terms: CapTerms::default(),
                alone: false,
                text: None,
            },
            budgets: Vec::new(),
            slots: Vec::new(),
            deadline: Duration::ZERO,
            fingerprint: [0; 32],
        };
        ledger.hold(asked).await.unwrap();
        ledger.close().await;
    });
    folder
}

fn with_socket() -> String {
    CONFIG.replace(
        "admin: { tcp: \"127.0.0.1:0\" }",
        "admin: { tcp: \"127.0.0.1:0\", unix: admin.sock }",
    )
}

#[track_caller]
fn fine(output: &Output) -> String {
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[track_caller]
fn told(output: &Output) -> Value {
    let out = fine(output);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The adjusted limit and what is held, by account.
fn shown(folder: &Path) -> Vec<(String, Value, Value)> {
    let said = told(&run(&["budget", "show", "--output", "json"], folder));
    let rows = said["budgets"].as_array().unwrap().clone();
    let show = |it: Value| {
        let account = it["account"].as_str().unwrap().to_owned();
        (account, it["adjusted_limit"].clone(), it["held"].clone())
    };
    rows.into_iter().map(show).collect()
}

fn stands(one: f64, two: f64) -> Vec<(String, Value, Value)> {
    let number = |it: f64| {
        if it.fract() == 0.0 {
            json!(it as i64)
        } else {
            json!(it)
        }
    };
    vec![
        ("one".to_owned(), number(one), json!(7)),
        ("two".to_owned(), number(two), json!(0)),
    ]
}

/// What every command does, whether a gateway runs or not.
fn commands(folder: &Path) {
    let table = fine(&run(&["budget", "show"], folder));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[0].starts_with("BUDGET ") && lines[1].contains(" one "),
        "{table}"
    );
    let csv = fine(&run(
        &["budget", "show", "t/month", "--output", "csv"],
        folder,
    ));
    let lines: Vec<&str> = csv.lines().collect();
    assert!(
        lines[0].starts_with("budget,id,per,account,every,limit,adjusted_limit,spent,held,"),
        "{csv}"
    );
    assert!(
        lines[1].starts_with("t/month,t/month,caller,one,month,100,"),
        "{csv}"
    );
    assert!(
        lines[2].starts_with("t/month,t/month,caller,two,month,100,"),
        "{csv}"
    );

    let usage = told(&run(&["usage", "--by", "team", "--output", "json"], folder));
    assert_eq!(usage["usage"][0]["name"], "t");
    assert_eq!(usage["usage"][0]["held"], 7);
    let usage = fine(&run(&["usage", "--output", "csv"], folder));
    assert_eq!(usage, "name,spent,held,overrun,unheld\none,0,7,0,0\n");

    let days = fine(&run(
        &["usage", "--unattributed", "--output", "csv"],
        folder,
    ));
    assert_eq!(days, "organization,day,devin,ledger,unattributed\n");

    let sound = told(&run(&["budget", "verify", "--output", "json"], folder));
    assert_eq!(sound["sound"], true);

    let unknown = run(&["budget", "show", "t/moth"], folder);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("did you mean `t/month`?"));
    let no_table = run(&["budget", "verify", "--output", "csv"], folder);
    assert_eq!(no_table.status.code(), Some(2));
    for call in [
        &["budget", "raise", "t/month", "--acus", "5", "--until", "1d"][..],
        &["budget", "adjust", "t/month", "--reason", "x"],
        &["budget", "adjust", "--resume", "t/month", "--reason", "x"],
        &["check", "--output", "csv"],
    ] {
        assert_eq!(run(call, folder).status.code(), Some(2), "{call:?}");
    }
}

#[test]
fn operators_ask_and_change_what_a_gateway_has_and_what_none_has() {
    let folder = scene(&with_socket(), 7);
    let path = folder.path();
    let socket = path.join("admin.sock");
    let raise = [
        "budget", "raise", "t/month", "--acus", "20", "--until", "3d", "--for", "one",
    ];
    let raise = [&raise[..], &["--reason", "release", "--output", "json"]].concat();

    let served = serve(path, &[]);
    let file = std::fs::metadata(&socket).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600, "a1");
    commands(path);
    let said = told(&run(&raise, path));
    let who = said["who"].as_str().unwrap().to_owned();
    assert!(who.contains("uid "), "{said}");
    assert_eq!(shown(path), stands(120.0, 100.0));
    // A second gateway neither takes the socket away nor the ledger.
    let second = run(&["serve"], path);
    assert_ne!(second.status.code(), Some(0));
    // Policies that are being edited stop no order.
    std::fs::write(path.join("policies/t.yaml"), "nonsense: [").unwrap();
    assert_eq!(shown(path), stands(120.0, 100.0));
    std::fs::write(path.join("policies/t.yaml"), POLICY).unwrap();
    served.stop();
    assert!(!socket.exists());

    commands(path);
    assert_eq!(shown(path), stands(120.0, 100.0));
    let adjust = [
        "budget", "adjust", "t/month", "--acus", "-2.5", "--reason", "=moved",
    ];
    let said = fine(&run(&adjust, path));
    assert!(
        said.contains("t/month (all accounts): -2.5 ACUs until its present window ends"),
        "{said}"
    );
    assert_eq!(shown(path), stands(117.5, 97.5));

    // And back: what was changed is all there, and a socket that a killed process left is replaced.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let served = serve(path, &[]);
    assert_eq!(shown(path), stands(117.5, 97.5));
    let said = told(&run(
        &["budget", "show", "t/month", "--output", "json"],
        path,
    ));
    let changes = said["adjustments"].as_array().unwrap();
    let whys: Vec<&Value> = changes.iter().map(|it| &it["why"]).collect();
    assert_eq!(whys, ["=moved", "release"]);
    assert!(
        changes.iter().all(|it| it["who"] == who.as_str()),
        "{changes:?}"
    );
    let said = told(&run(
        &[
            "budget", "adjust", "--resume", "--reason", "x", "--output", "json",
        ],
        path,
    ));
    assert_eq!(said["was_stopped"], Value::Null);
    served.stop();
}

#[test]
fn a7_a_page_in_a_browser_is_told_nothing() {
    let folder = scene(&with_socket(), 1);
    let served = serve(folder.path(), &[]);
    for (head, wanted) in [
        ("Host: 127.0.0.1:9090\r\n", 200),
        ("Host: [::1]:9090\r\n", 200),
        ("Host: LocalHost\r\n", 200),
        ("Host: rebound.example:9090\r\n", 403),
        ("Host: localhost.rebound.example\r\n", 403),
        ("Host: 127.0.0.1@rebound.example\r\n", 403),
        ("Host: \r\n", 403),
        ("Host: 127.0.0.1\r\nHost: rebound.example\r\n", 403),
        ("Host: 127.0.0.1\r\nOrigin: https://other.example\r\n", 403),
        ("Host: 127.0.0.1\r\nOrigin: null\r\n", 403),
    ] {
        for path in ["/healthz", "/metrics"] {
            let answer = served.operator_to(&format!("GET {path} HTTP/1.1\r\n{head}"));
            let status = format!("HTTP/1.1 {wanted} ");
            assert!(answer.starts_with(&status), "{head}: {answer}");
            assert!(
                !answer.to_lowercase().contains("access-control"),
                "{answer}"
            );
        }
    }
    let old = served.operator_to("GET /healthz HTTP/1.0\r\n");
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
    served.stop();
}

#[test]
fn a7_nothing_is_changed_over_the_operators_port() {
    let folder = scene(&with_socket(), 1);
    let served = serve(folder.path(), &[]);
    let answer = served.operator("/orders");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let order = r#"{"resume":{"reason":"x"}}"#;
    let posted = served.post_to_operator("/orders", order);
    assert!(posted.starts_with("HTTP/1.1 404"), "{posted}");
    // The socket is no way around the other rules of the port.
    for (method, path, wanted) in [
        ("GET", "/healthz", "200"),
        ("POST", "/healthz", "405"),
        ("GET", "/metrics", "200"),
        ("GET", "/orders", "405"),
        ("POST", "/nonsense", "404"),
    ] {
        let answer = over_socket(&folder.path().join("admin.sock"), method, path, "");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {wanted}")),
            "{method} {path}: {answer}"
        );
    }
    let socket = folder.path().join("admin.sock");
    for (order, wanted) in [
        ("nonsense", "400"),
        (r#"{"raise":{"name":"t/month"}}"#, "400"),
        (&"x".repeat(70_000), "400"),
        (order, "200"),
    ] {
        let answer = over_socket(&socket, "POST", "/orders", order);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {wanted}")),
            "{answer}"
        );
    }
    served.stop();
}

fn over_socket(socket: &Path, method: &str, path: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn without_a_socket_or_a_ledger_it_is_said_what_to_do() {
    let folder = scene(CONFIG, 1);
    let served = serve(folder.path(), &[]);
    let refused = run(&["budget", "show"], folder.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("`admin.unix` socket"),
        "{}",
        text(&refused.stderr)
    );
    served.stop();
    fine(&run(&["budget", "show"], folder.path()));
    let other = ["budget", "show", "--set", "store=sqlite:other.db"];
    let none = run(&other, folder.path());
    assert_eq!(none.status.code(), Some(1));
    assert!(
        text(&none.stderr).contains("there is no ledger yet"),
        "{}",
        text(&none.stderr)
    );
    assert!(!folder.path().join("other.db").exists());
}

#[test]
fn m21_a_ledger_that_was_tampered_with_does_not_verify() {
    let folder = scene(CONFIG, 5);
    let path = folder.path().join("tollgate.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute("UPDATE tallies SET held = 1", []).unwrap();
    drop(file);
    let output = run(&["budget", "verify"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("does not agree with its own history"));
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute("UPDATE history SET held = 1", []).unwrap();
    drop(file);
    let served = serve(folder.path(), &[]);
    let status = served.status(&[]);
    assert_eq!(status.status.code(), Some(1));
    assert!(text(&status.stdout).contains("nothing is spent: the ledger is damaged"));
    let said = served.readiness();
    assert_eq!(said["ready"], true, "reads go on");
    assert!(
        served
            .operator("/metrics")
            .contains("tollgate_spending_stopped 1.0\n")
    );
    served.stop();
    let resume = ["budget", "adjust", "--resume", "--reason", "looked at it"];
    let said = fine(&run(&resume, folder.path()));
    assert!(
        said.contains("It was stopped: the ledger is damaged"),
        "{said}"
    );
    let served = serve(folder.path(), &[]);
    assert_eq!(served.readiness()["spending"]["stopped"], Value::Null);
    served.stop();
}
