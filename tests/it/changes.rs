//! What a change of policies takes away: shown before it is made, told when it was, and in force at once (A3).

use serde_json::{Value, json};
use tollgate::api_key::ApiKey;

use crate::process::{CONFIG, folder, run, serve, text};

const GUARDS: &str = "deny: [{ name: no self, operations: [self.get] }]
bounds: [{ name: caps, operations: [sessions.create], body: { max_acu_limit: { max: 20 } } }]
";

fn team(callers: &[(&str, &ApiKey)], budget: &str) -> String {
    let callers: String = callers
        .iter()
        .map(|(name, key)| {
            let digest = key.digest_hex();
            format!("  {name}: {{ keys: [{{ id: {name}, sha256: \"{digest}\" }}] }}\n")
        })
        .collect();
    format!(
        "team: t\ncallers:\n{callers}{budget}\
         allow: [{{ name: self, operations: [self.get, enterprise.self.get], organizations: any }}]\n"
    )
}

#[test]
fn a3_what_a_change_takes_away_is_shown_told_and_gone_at_once() {
    let (stays, leaves) = (
        ApiKey::generate("stays").unwrap(),
        ApiKey::generate("leaves").unwrap(),
    );
    let budget = "budgets: [{ name: day, per: caller, acus: 5, every: day }]\n";
    let whole = team(&[("stays", &stays), ("leaves", &leaves)], budget);
    let less = team(&[("stays", &stays)], "");
    let old = folder(CONFIG, &[("t.yaml", &whole), ("rails.yaml", GUARDS)]);
    let new = folder(CONFIG, &[("t.yaml", &less)]);
    let went = [
        "bounds rails/caps",
        "deny rails/no self",
        "budget t/day: 5 ACUs per caller, each day",
        "caller leaves of t",
    ];

    // Before: what would go is said of the files alone.
    let before = old.path().join("policies");
    let before = before.to_str().unwrap();
    let output = run(&["check", "--diff", before], new.path());
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let lines: Vec<&str> = shown.lines().skip(1).collect();
    let mut wanted = went.map(|it| format!("- {it}")).to_vec();
    wanted.push("what refused before is gone: see the first lines".to_owned());
    assert_eq!(lines, wanted);
    let output = run(&["check", "--output", "json", "--diff", before], new.path());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["diff"]["removed"], json!({"count": 4, "rules": went}));
    assert_eq!(said["diff"]["loses_guard"], true);
    let same = run(&["check", "--diff", before], old.path());
    let shown = text(&same.stdout);
    assert!(
        shown.ends_with("\nno rule, budget or caller came or went\n"),
        "{shown}"
    );

    // Then: it is taken, told as a warning, and holds from the next request on.
    let served = serve(old.path(), &[]);
    let answers = |key: &ApiKey, path: &str| {
        let answer = served.get(path, key.expose());
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    // Nothing listens upstream: what is allowed is an honest 502.
    assert_eq!(answers(&stays, "/v3/self"), 403);
    assert_eq!(answers(&leaves, "/v3/enterprise/self"), 502);
    let at = |name: &str| old.path().join("policies").join(name);
    std::fs::write(at("t.yaml"), &less).unwrap();
    std::fs::remove_file(at("rails.yaml")).unwrap();
    served.signal("HUP");
    let said = served.wait_for("the change", |it| {
        it["policy"]["last_change"]["removed"]["count"] == 4
    });
    assert_eq!(
        said["policy"]["last_change"]["removed"]["rules"],
        json!(went)
    );
    assert_eq!(said["policy"]["callers"], 1);
    assert_eq!(answers(&leaves, "/v3/enterprise/self"), 401);
    assert_eq!(answers(&stays, "/v3/self"), 502);
    let log = served.stop();
    let told = log.lines().find(|line| line.contains("caller leaves of t"));
    assert!(told.is_some_and(|it| it.contains(" WARN ")), "{log}");
}

#[test]
fn what_cannot_be_read_cannot_be_compared_with() {
    let good = folder(CONFIG, &[("t.yaml", "team: t\ncallers: { x: {} }\n")]);
    let bad = folder(
        CONFIG,
        &[("t.yaml", "team: t\ncallers: { x: {} }\nalow: []\n")],
    );
    let before = bad.path().join("policies");
    let output = run(&["check", "--diff", before.to_str().unwrap()], good.path());
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    assert!(
        shown.contains("did you mean `allow`?") && shown.contains("cannot be compared with"),
        "{shown}"
    );
}
