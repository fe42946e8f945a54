//! Every operation that can spend, one by one: it is held for, charged as its grant says, or refused.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tollgate::acu::Acu;
use tollgate::budget::Payer;
use tollgate::catalogue::{Charge, OperationIx};
use tollgate::clock::SystemClock;
use tollgate::fake_devin::{Elsewhere, Fault, FaultKind};
use tollgate::ledger::moment::Moment;
use tollgate::pipeline::upstream::Timeouts;
use tollgate::settle::Record;

use crate::answer::Answer;
use crate::world::{Setup, World};

/// `one` may spend within bounds; `loose` may use the same operations, and no rule says what they cost.
const POLICY: &str = r#"
team: t
owner: t@acme.example
callers: { one: {}, loose: {} }
allow:
  - name: sessions
    callers: [one]
    operations: ["sessions.*", "sessions.messages.*"]
    organizations: [org-ds]
    body: { max_acu_limit: { default: 5 } }
  - { name: messages, callers: [one], operations: [enterprise.sessions.messages.send], organizations: any }
  - name: no cap
    callers: [one]
    operations: ["schedules.*", "automations.*", "code_scans.**", "pr_reviews.*", "enterprise.code_scans.**", "enterprise.pr_reviews.*"]
    organizations: any
    body: { org_id: any }
    secrets: reveal
    uncapped: { acus: 3, per: run }
  - name: anything
    callers: [loose]
    operations: ["sessions.**", "schedules.*", "automations.*", "code_scans.**", "pr_reviews.*", "enterprise.sessions.**", "enterprise.code_scans.**", "enterprise.pr_reviews.*"]
    organizations: any
    body: { org_id: any }
    secrets: reveal
budgets:
  - { name: month, per: team, acus: 1000, every: month }
"#;

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

/// One operation that spends, as it is called. `SESSION` in a path is the caller's session.
struct Spending {
    operation: &'static str,
    method: Method,
    path: &'static str,
    body: &'static str,
}

const fn post(operation: &'static str, path: &'static str, body: &'static str) -> Spending {
    Spending {
        operation,
        method: Method::POST,
        path,
        body,
    }
}

const fn patch(operation: &'static str, path: &'static str, body: &'static str) -> Spending {
    Spending {
        operation,
        method: Method::PATCH,
        path,
        body,
    }
}

const ALL: [Spending; 13] = [
    post(
        "sessions.create",
        "/v3/organizations/org-ds/sessions",
        r#"{"prompt":"x"}"#,
    ),
    post(
        "sessions.messages.send",
        "/v3/organizations/org-ds/sessions/SESSION/messages",
        r#"{"message":"x"}"#,
    ),
    post(
        "enterprise.sessions.messages.send",
        "/v3/enterprise/sessions/SESSION/messages",
        r#"{"message":"x"}"#,
    ),
    post(
        "schedules.create",
        "/v3/organizations/org-ds/schedules",
        r#"{"name":"n","prompt":"x","frequency":"*/1 * * * *"}"#,
    ),
    patch(
        "schedules.update",
        "/v3/organizations/org-ds/schedules/s1",
        r#"{"frequency":"*/1 * * * *"}"#,
    ),
    post(
        "automations.create",
        "/v3/organizations/org-ds/automations",
        r#"{"name":"n"}"#,
    ),
    patch(
        "automations.update",
        "/v3/organizations/org-ds/automations/a1",
        r#"{"enabled":true}"#,
    ),
    post(
        "code_scans.start",
        "/v3/organizations/org-ds/code-scans",
        r#"{"repo_name":"acme/web"}"#,
    ),
    post(
        "code_scans.findings.remediate",
        "/v3/organizations/org-ds/code-scans/s1/findings/f1/remediate",
        "{}",
    ),
    post(
        "code_scans.auto_scan.set",
        "/v3/organizations/org-ds/code-scans/s1/auto-scan",
        r#"{"enabled":true}"#,
    ),
    post(
        "enterprise.code_scans.findings.remediate",
        "/v3/enterprise/organizations/org-ds/code-scans/s1/findings/f1/remediate",
        "{}",
    ),
    post(
        "pr_reviews.create",
        "/v3/organizations/org-ds/pr-reviews",
        r#"{"pr_url":"https://github.com/acme/web/pull/1"}"#,
    ),
    post(
        "enterprise.pr_reviews.create",
        "/v3/enterprise/pr-reviews",
        r#"{"pr_url":"https://github.com/acme/web/pull/1","org_id":"org-ds"}"#,
    ),
];

impl Spending {
    fn charge(&self) -> Charge {
        let mut all = OperationIx::served();
        let row = all.find(|ix| ix.row().id == self.operation).unwrap().row();
        row.charge().unwrap()
    }

    /// What a success of it costs `one`, in ACUs: what is held, and what is spent.
    fn costs(&self) -> (u32, u32) {
        match self.charge() {
            Charge::Capped | Charge::Wake => (5, 0),
            Charge::Uncapped => (0, 3),
        }
    }

    async fn call(&self, world: &World, caller: &str, session: &str) -> Answer {
        let path = self.path.replace("SESSION", session);
        world
            .call(caller, self.method.clone(), &path, self.body)
            .await
    }
}

async fn world() -> World {
    World::with(Setup {
        policy: POLICY.to_owned(),
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_millis(600),
            total: Duration::from_millis(600),
        },
        ..Setup::default()
    })
    .await
}

/// A session of the caller's with a cap of 5.
async fn session(world: &World, caller: &str) -> String {
    let body = r#"{"prompt":"first","max_acu_limit":5}"#;
    let answer = world.post(caller, SESSIONS, body).await;
    let session = answer.is_upstream(200).json();
    session["session_id"].as_str().unwrap().to_owned()
}

/// What the team has held and spent.
async fn balance(world: &World) -> (Acu, Acu) {
    let budget = Arc::clone(&world.policies.load().policy().budgets()[0]);
    let payer = Payer {
        organization: "org-ds".into(),
        team: "t".into(),
        caller: "one".into(),
    };
    let asked = vec![(budget, payer)];
    let all = world.ledger.budgeted(Moment::now(&SystemClock), asked);
    let balance = all.await.unwrap()[0].balance;
    (balance.held, balance.spent)
}

fn grown(before: (Acu, Acu), by: (u32, u32)) -> (Acu, Acu) {
    (
        before.0.checked_add(Acu::whole(by.0)).unwrap(),
        before.1.checked_add(Acu::whole(by.1)).unwrap(),
    )
}

/// Devin's answer to what this fake does not know.
fn done() -> FaultKind {
    let body = json!({ "id": "x", "schedule_id": "s1" }).to_string();
    FaultKind::Raw(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into(),
    )
}

#[test]
fn m9_this_walk_leaves_out_no_operation_that_spends() {
    let mut spending: Vec<&str> = OperationIx::served()
        .map(OperationIx::row)
        .filter(|row| row.charge().is_some())
        .map(|row| row.id)
        .collect();
    let mut walked: Vec<&str> = ALL.iter().map(|it| it.operation).collect();
    spending.sort_unstable();
    walked.sort_unstable();
    assert_eq!(walked, spending);
}

#[tokio::test]
async fn m10_whatever_spends_is_held_for_or_charged_as_its_grant_says() {
    let world = world().await;
    for it in &ALL {
        let session = session(&world, "one").await;
        let before = balance(&world).await;
        if it.charge() == Charge::Uncapped {
            world.fake.inject(Fault::next(done()));
        }
        let answer = it.call(&world, "one", &session).await;
        answer.is_upstream(200);
        assert_eq!(
            balance(&world).await,
            grown(before, it.costs()),
            "{}",
            it.operation
        );
        let line = world.last_line().await;
        assert_eq!(line["operation"], it.operation);
        let cap = match it.charge() {
            Charge::Capped | Charge::Wake => Some("5"),
            Charge::Uncapped => None,
        };
        assert_eq!(answer.header("tollgate-acu-cap"), cap, "{}", it.operation);
        assert!(
            answer.header("tollgate-acu-remaining").is_some(),
            "{}",
            it.operation
        );
    }
    assert!(world.ledger.verify().await.unwrap().is_sound());
    world.finish().await;
}

#[tokio::test]
async fn m9_what_no_rule_bounds_is_refused_and_never_sent() {
    let world = world().await;
    let own = session(&world, "loose").await;
    // A child that Devin began has no cap that anybody knows.
    let child = world.fake.begin_elsewhere(Elsewhere {
        parent: Some(own.clone()),
        ..Elsewhere::default()
    });
    let child = child.unwrap();
    let record = Record::read(&world.fake.session(&child).unwrap()).unwrap();
    let reading = record.reading(
        world.ledger.begin_reading(&SystemClock),
        Moment::now(&SystemClock),
    );
    let parent = record.parent.clone().unwrap();
    let is_new = world.ledger.child(record.session, parent, reading).await;
    assert!(is_new.unwrap());
    let (before, sent) = (balance(&world).await, world.upstream().len());
    for it in &ALL {
        let answer = it.call(&world, "loose", &child).await;
        answer.is_problem(403, "spend-uncapped");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert_eq!(balance(&world).await, before);
    assert_eq!(world.upstream().len(), sent);
    world.finish().await;
}

#[tokio::test]
async fn m7_where_there_is_no_room_nothing_that_spends_is_sent() {
    let world = world().await;
    let own = session(&world, "one").await;
    let body = r#"{"prompt":"the rest","max_acu_limit":993}"#;
    world.post("one", SESSIONS, body).await.is_upstream(200);
    // 2 of 1,000 are left.
    let sent = world.upstream().len();
    for it in &ALL {
        let answer = it.call(&world, "one", &own).await;
        answer.is_problem(402, "budget-exhausted");
    }
    assert_eq!(world.upstream().len(), sent);
    world.finish().await;
}

#[tokio::test]
async fn l4_a_definite_refusal_gives_back_what_was_held_or_charged() {
    let mut world = world().await;
    // A token that Devin refuses is not the caller's fault.
    world.upstream_faulty();
    let own = session(&world, "one").await;
    let before = balance(&world).await;
    // A 429 comes last: after the first one hardly anything of what spends leaves for a while.
    let (all, codes) = (ALL, [400, 401, 402, 403, 404, 405, 413, 415, 422]);
    for codes in [&codes[..], &[429]] {
        let each = all
            .iter()
            .flat_map(|it| codes.iter().map(move |code| (it, *code)));
        for (it, code) in each {
            world.fake.inject(Fault::next(FaultKind::Status {
                code,
                retry_after: None,
                x_should_retry: None,
            }));
            let answer = it.call(&world, "one", &own).await;
            assert!(!answer.status.is_success(), "{}", it.operation);
            assert_eq!(balance(&world).await, before, "{} {code}", it.operation);
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn l5_what_may_have_been_done_stays_charged_and_is_not_sent_again() {
    let mut world = world().await;
    world.upstream_faulty();
    for it in &ALL {
        let own = session(&world, "one").await;
        let before = balance(&world).await;
        let sent = world.upstream().len();
        world.fake.inject(Fault::next(FaultKind::ResetAfterWork));
        let failed = it.call(&world, "one", &own).await;
        assert_eq!(failed.status, 502, "{}", it.operation);
        assert_eq!(failed.header("x-should-retry"), Some("false"));
        let charged = grown(before, it.costs());
        assert_eq!(balance(&world).await, charged, "{}", it.operation);
        let again = it.call(&world, "one", &own).await;
        again.is_problem(504, "upstream-timeout");
        assert_eq!(again.header("x-should-retry"), Some("false"));
        assert_eq!(balance(&world).await, charged, "{}", it.operation);
        assert_eq!(world.upstream().len(), sent + 1, "{}", it.operation);
    }
    world.finish().await;
}

#[tokio::test]
async fn m7_to_take_a_session_out_of_the_archive_wakes_nothing() {
    let world = world().await;
    let own = session(&world, "one").await;
    let before = balance(&world).await;
    for (method, tail) in [
        (Method::POST, "/archive"),
        (Method::POST, "/unarchive"),
        (Method::GET, ""),
    ] {
        let path = format!("{SESSIONS}/{own}{tail}");
        let answer = world.call("one", method, &path, "").await;
        answer.is_upstream(200);
        assert_eq!(balance(&world).await.1, before.1, "{tail}");
    }
    // Nor did Devin begin another stretch of work.
    let truth = world.fake.truth();
    let wakes: Vec<usize> = truth.iter().map(|it| it.wakes.len()).collect();
    assert_eq!(wakes, [1]);
    let held: Value = world.last_line().await;
    assert!(held["cap"].is_null(), "{held}");
    world.finish().await;
}
