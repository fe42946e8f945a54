//! What somebody with next to nothing tries: no credential but the right machine (A12), or a low key and all the time
//! of an agent that a text has turned (A16).

use std::collections::BTreeSet;

use http::Request;
use serde_json::Value;
use tollgate::catalogue::{Operation, OperationIx, Takes, Version};

use crate::world::{Setup, World, trace};

/// The agent may start small sessions in one organization, and look at them; all else is others'.
const POLICY: &str = r#"
team: agents
owner: agents@acme.example
callers: { agent: {} }
allow:
  - { name: small, callers: [agent], operations: [sessions.create, sessions.get, sessions.messages.send], organizations: [org-ds], sessions: own, unknown: refuse, body: { max_acu_limit: { default: 1, max: 2 } } }
budgets: [{ name: day, per: caller, acus: 50, every: day }]
"#;
const OTHERS: &str = r#"
team: people
callers: { person: {} }
allow:
  - { name: all, callers: [person], operations: ["sessions.**"], organizations: any, sessions: own, body: { max_acu_limit: { default: 5 } } }
"#;
const GRANTED: [&str; 3] = ["sessions.create", "sessions.get", "sessions.messages.send"];
const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

/// A path of this operation that names this organization and this session.
fn path(row: &Operation, organization: &str, session: &str) -> String {
    let version = match row.versions.has(Version::V3) {
        true => Version::V3,
        false => Version::V3Beta1,
    };
    let filled = row.path.split('/').map(|segment| match segment {
        "{org_id}" => organization,
        "{devin_id}" | "{session_id}" => session,
        it if it.starts_with('{') => "x1",
        it => it,
    });
    let filled: Vec<&str> = filled.collect();
    format!("/{}{}", version.prefix(), filled.join("/"))
}

#[tokio::test]
async fn a12_to_come_from_the_same_machine_is_no_identity() {
    let world = World::start().await;
    // As another container of the pod would: over loopback, and saying so.
    let claims = [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-remote-user", "one"),
        ("forwarded", "for=127.0.0.1"),
    ];
    let mut asked = 0;
    for row in OperationIx::served().map(OperationIx::row) {
        let mut request = Request::builder().method(row.verb.method());
        for (name, value) in claims {
            request = request.header(name, value);
        }
        let answer = world
            .send(&path(row, "org-ds", "devin-1"), request, "")
            .await;
        answer.is_problem(401, "credential-missing");
        asked += 1;
    }
    assert!(asked > 100, "{asked}");
    for own in ["/.tollgate/whoami", "/.tollgate/budgets"] {
        let answer = world.send(own, Request::get("/"), "").await;
        answer.is_problem(401, "credential-missing");
    }
    let lines = world.lines().await;
    let from_here = |line: &Value| line["peer"].as_str().unwrap().starts_with("127.0.0.1:");
    assert!(lines.iter().all(from_here));
    assert!(world.upstream().is_empty());
    world.finish().await;
}

/// Targets, with what they have in common: none is the agent's to ask for.
const TARGETS: [&str; 22] = [
    "/v3/organizations/org-ds/sessions/../secrets",
    "/v3/organizations/org-ds/sessions/%2e%2e/secrets",
    "/v3/organizations/org-ds/sessions/..%2fsecrets",
    "/v3/organizations/org-ds/sessions;x=1",
    "/v3/organizations/org-ds//sessions",
    "/v3/organizations/org-ds/sessions/",
    "/v3/organizations/org-ds/sessions/%00",
    "/v3/organizations/org-ds%2fsessions",
    "/v3/organizations/%6frg-web/sessions",
    "/V3/organizations/org-ds/sessions",
    "/v3beta1/v3/organizations/org-ds/sessions",
    "/v1/sessions",
    "/v2/enterprise/consumption",
    "/opbeta/outposts",
    "/.tollgate/metrics",
    "/.tollgate/../v3/self",
    "/metrics",
    "/readyz",
    "//api.devin.ai/v3/self",
    "http://api.devin.ai/v3/self",
    "http://169.254.169.254/latest/meta-data",
    "*",
];

/// Headers beside the agent's own credential.
const HEADERS: [&str; 9] = [
    "X-HTTP-Method-Override: DELETE\r\n",
    "X-Original-URL: /v3/enterprise/organizations\r\n",
    "X-Forwarded-Client-Cert: URI=spiffe://acme/person\r\n",
    "Tollgate-Caller: person\r\n",
    "X-Remote-User: person\r\n",
    "Connection: Authorization\r\n",
    "Authorization: Bearer cog_guess\r\n",
    "Upgrade: h2c\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
];

/// Bodies of a create; none is within the grant, or none has one meaning.
const BODIES: [&str; 14] = [
    r#"{"prompt":"x","max_acu_limit":3}"#,
    r#"{"prompt":"x","max_acu_limit":1,"max_acu_limit":500}"#,
    r#"{"prompt":"x","max_acu_limit":1,"max\u005facu_limit":500}"#,
    r#"{"prompt":"x","max_acu_limit":"1"}"#,
    r#"{"prompt":"x","max_acu_limit":1e2}"#,
    r#"{"prompt":"x","max_acu_limit":-1}"#,
    r#"{"prompt":"x","create_as_user_id":"user-1"}"#,
    r#"{"prompt":"x","bypass_approval":true}"#,
    r#"{"prompt":"x","secret_ids":["secret-1"]}"#,
    r#"{"prompt":"x","session_links":["https://app.devin.ai/sessions/1"]}"#,
    r#"{"prompt":"x","advanced_mode":"batch"}"#,
    r#"{"prompt":"x","devin_mode":"fast"}"#,
    r#"{"prompt":"x"}{"prompt":"y"}"#,
    "\u{feff}{\"prompt\":\"x\"}",
];

#[tokio::test]
async fn a16_an_agent_that_tries_everything_does_what_its_grant_names_and_is_told_of() {
    let world = World::with(Setup {
        policy: POLICY.to_owned(),
        rails: OTHERS.to_owned(),
        ..Setup::default()
    })
    .await;
    let created = world
        .post("person", SESSIONS, r#"{"prompt":"secret"}"#)
        .await;
    let theirs = created.is_upstream(200).json()["session_id"].clone();
    let theirs = theirs.as_str().unwrap();
    let before = world.upstream().len();

    // Every operation there is, in its own organization and in another, on somebody else's session.
    let mut denied = 0;
    for row in OperationIx::served().map(OperationIx::row) {
        for organization in ["org-ds", "org-web"] {
            let body = match row.takes {
                Some(Takes::Json) => "{}",
                _ => "",
            };
            let target = path(row, organization, theirs);
            let answer = world.call("agent", row.verb.method(), &target, body).await;
            if row.id == "sessions.create" && organization == "org-ds" {
                continue;
            }
            assert_eq!(answer.status, 403, "{} {:?}", row.id, answer.body);
            denied += 1;
        }
    }
    assert!(denied > 200, "{denied}");

    // Then what is in no catalogue: other targets, other heads, other bodies.
    let bearer = format!("Authorization: Bearer {}\r\n", world.key("agent"));
    for target in TARGETS {
        for method in ["GET", "POST"] {
            let back = world
                .attack(format!(
                    "{method} {target} HTTP/1.1\r\nHost: x\r\n{bearer}Connection: close\r\nContent-Length: 0\r\n\r\n"
                ))
                .await;
            let refused = |it: &u16| (400..500).contains(it);
            assert!(
                back.statuses().iter().all(refused),
                "{target}: {}",
                back.text
            );
        }
    }
    for lines in HEADERS {
        // Where the head can be served at all, it is the agent's, and still not its to ask for.
        let head = format!("GET {SESSIONS}/{theirs} HTTP/1.1\r\nHost: x\r\n{bearer}");
        let hidden = format!("GET /v3/self HTTP/1.1\r\nHost: x\r\n{bearer}\r\n");
        let back = world
            .attack(format!("{head}{lines}\r\n0\r\n\r\n{hidden}"))
            .await;
        assert!(!back.statuses().contains(&200), "{lines}: {}", back.text);
    }
    for body in BODIES {
        let answer = world.post("agent", SESSIONS, body).await;
        assert!(answer.status.is_client_error(), "{body} {:?}", answer.body);
    }
    for body in [
        r#"{"prompt":"x","parent_session_id":"SESSION"}"#,
        r#"{"prompt":"x","tags":["tollgate:1"]}"#,
    ] {
        let body = body.replace("SESSION", theirs);
        world.post("agent", SESSIONS, &body).await;
    }
    for query in [
        format!("?devin_id={theirs}"),
        format!("?devin_id={theirs}&devin_id="),
        format!("?parent_session_id={theirs}"),
    ] {
        let answer = world
            .post("agent", &format!("{SESSIONS}{query}"), r#"{"prompt":"x"}"#)
            .await;
        assert!(
            answer.status == 200 || answer.status == 403 || answer.status == 400,
            "{query}"
        );
    }

    // What has left is what the grant names, where it names it, within its cap; of the other's session nothing has.
    let all = world.lines().await;
    let agents = || all.iter().filter(|it| it["caller"] == "agent");
    let left: Vec<&Value> = agents().filter(|it| it["upstream_attempts"] != 0).collect();
    for line in &left {
        let operation = line["operation"].as_str().unwrap();
        assert!(GRANTED.contains(&operation), "{line}");
        assert_eq!(line["organization"], "org-ds", "{line}");
        assert_ne!(line["session"], theirs, "{line}");
    }
    let seen = &world.upstream()[before..];
    assert_eq!(seen.len(), left.len());
    for request in seen {
        assert_eq!(
            (request.method.as_str(), &*request.path),
            ("POST", SESSIONS)
        );
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert!(body["max_acu_limit"].as_u64().unwrap() <= 2, "{body}");
        assert!(!request.target.contains(theirs) && !body.to_string().contains(theirs));
    }
    let operations: BTreeSet<&str> = left
        .iter()
        .map(|it| it["operation"].as_str().unwrap())
        .collect();
    assert_eq!(operations, BTreeSet::from(["sessions.create"]));

    // And somebody hears of it: one line, and a number that an alarm can be set on.
    let denials = agents()
        .filter(|it| it["decision"] == "deny" && it["status"] == 403)
        .count();
    assert!(denials >= denied);
    let (_, _, page) = world.operator("/metrics").await;
    let metric = format!("tollgate_denials_total{{caller=\"agent\"}} {denials}");
    assert!(page.lines().any(|it| it == metric), "{metric}: {page}");
    let own = String::from_utf8_lossy(&trace().lock().unwrap()).into_owned();
    assert_eq!(own.matches("denied again and again").count(), 1);
    world.finish().await;
}
