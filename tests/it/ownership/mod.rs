//! A session belongs to whoever created it through the gateway: to others it is as one that is not there.

mod lists;
mod tags;

use http::Method;
use serde_json::{Value, json};
use tollgate::fake_devin::Elsewhere;
use tollgate::ledger::SessionId;
use tollgate::ledger::book::Reading;
use tollgate::ledger::moment::Moment;

use crate::answer::Answer;
use crate::world::{Setup, World};

const CREATE: &str = "/v3/organizations/org-ds/sessions";
const ENTERPRISE: &str = "/v3/enterprise/sessions";

/// `one` and `mate` have their own, `lead` its team's, `auditor` all; `three` is of another team.
const TEAM: &str = r#"
team: t
owner: t@acme.example
callers: { one: {}, mate: {}, lead: {}, auditor: {} }
allow:
  - name: own
    callers: [one, mate]
    operations: ["sessions.**", schedules.create]
    organizations: [org-ds, org-web]
    body: { max_acu_limit: { default: 1 }, session_links: any }
    query: { devin_id: any }
    uncapped: { acus: 1, per: window }
  - { name: wide, callers: [one, mate], operations: ["enterprise.sessions.**"], organizations: any }
  - name: the team
    callers: [lead]
    operations: ["sessions.**"]
    organizations: [org-ds]
    sessions: team
    body: { max_acu_limit: { default: 1 } }
  - name: all
    callers: [auditor]
    operations: [sessions.get, sessions.list, sessions.insights.list, sessions.tags.replace]
    organizations: [org-ds]
    sessions: any
"#;
const OTHER_TEAM: &str = r#"
team: u
callers: { three: {} }
allow:
  - name: own
    operations: ["sessions.**"]
    organizations: [org-ds]
    body: { max_acu_limit: { default: 1 } }
"#;

async fn world() -> World {
    World::with(Setup {
        policy: TEAM.to_owned(),
        rails: OTHER_TEAM.to_owned(),
        ..Setup::default()
    })
    .await
}

/// A session that a caller creates through the gateway.
async fn create(world: &World, caller: &str) -> String {
    create_with(world, caller, CREATE, json!({ "prompt": "x" })).await
}

async fn create_with(world: &World, caller: &str, path: &str, body: Value) -> String {
    let answer = world.post(caller, path, &body.to_string()).await;
    let session = answer.is_upstream(200).json();
    session["session_id"].as_str().unwrap().to_owned()
}

/// Sessions that nobody created through the gateway.
fn seed(world: &World, count: usize) -> Vec<String> {
    let one = |_| {
        world.fake.begin_elsewhere(Elsewhere {
            org: Some("org-ds".to_owned()),
            ..Elsewhere::default()
        })
    };
    (0..count).map(|ix| one(ix).unwrap()).collect()
}

fn bare(id: &str) -> &str {
    id.strip_prefix("devin-").unwrap_or(id)
}

/// The refusal, without what names this request alone.
fn refusal(answer: &Answer, id: &str) -> String {
    let mut body = answer.is_problem(403, "session-denied").json();
    body["instance"] = Value::Null;
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let headers: Vec<&str> = answer.headers.keys().map(|it| it.as_str()).collect();
    let text = format!("{headers:?} {body}");
    assert!(!text.contains(bare(id)), "{text}");
    text
}

/// Every operation on one session that the fake serves.
const ON_ONE: [(Method, &str, &str); 14] = [
    (Method::GET, "", ""),
    (Method::GET, "/messages", ""),
    (Method::POST, "/messages", r#"{"message":"x"}"#),
    (Method::GET, "/attachments", ""),
    (Method::GET, "/tags", ""),
    (Method::POST, "/tags", r#"{"tags":["a"]}"#),
    (Method::PUT, "/tags", r#"{"tags":["b"]}"#),
    (Method::GET, "/insights", ""),
    (Method::POST, "/insights/generate", ""),
    (Method::GET, "/events", ""),
    (Method::GET, "/events/search", ""),
    (Method::POST, "/archive", ""),
    (Method::POST, "/unarchive", ""),
    (Method::DELETE, "", ""),
];

#[tokio::test]
async fn g11_a_session_of_others_is_as_one_that_is_not_there() {
    let world = world().await;
    let mates = create(&world, "mate").await;
    let foreign = create(&world, "three").await;
    let nobodys = seed(&world, 1).remove(0);
    let lines = world.lines().await.len();
    for (method, tail, body) in ON_ONE {
        let mut refusals = Vec::new();
        for id in [
            &mates,
            &foreign,
            &nobodys,
            "devin-00000000000000000000000000000000",
            "no-id",
        ] {
            let path = format!("{CREATE}/{id}{tail}");
            let answer = world.call("one", method.clone(), &path, body).await;
            refusals.push(refusal(&answer, id));
            let line = world.last_line().await;
            assert_eq!(
                (&line["decision"], &line["rule"], &line["upstream_attempts"]),
                (&json!("deny"), &json!("t/own"), &json!(0)),
                "{line}"
            );
        }
        assert!(refusals.iter().all(|it| *it == refusals[0]), "{refusals:?}");
    }
    // Devin was asked for none of it.
    assert_eq!(world.upstream().len(), 2);
    assert_eq!(world.lines().await.len(), lines + ON_ONE.len() * 5);
    // Its own creator is let through.
    for (method, tail, body) in ON_ONE {
        let path = format!("{CREATE}/{mates}{tail}");
        let answer = world.call("mate", method.clone(), &path, body).await;
        assert_eq!(
            answer.header("tollgate-answered-by"),
            Some("upstream"),
            "{method} {path}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn g11_the_enterprises_twins_are_held_to_the_same() {
    let world = world().await;
    let own = create(&world, "one").await;
    let mates = create(&world, "mate").await;
    for (method, tail, body) in [
        (Method::GET, "", ""),
        (Method::GET, "/messages", ""),
        (Method::GET, "/tags", ""),
        (Method::PUT, "/tags", r#"{"tags":["b"]}"#),
        (Method::GET, "/insights", ""),
        (Method::POST, "/messages", r#"{"message":"x"}"#),
    ] {
        let path = format!("{ENTERPRISE}/{own}{tail}");
        let answer = world.call("one", method.clone(), &path, body).await;
        answer.is_upstream(200);
        let path = format!("{ENTERPRISE}/{mates}{tail}");
        let answer = world.call("one", method, &path, body).await;
        refusal(&answer, &mates);
    }
    world.finish().await;
}

#[tokio::test]
async fn both_forms_of_an_id_are_one_session() {
    let world = world().await;
    let own = create(&world, "one").await;
    let mates = create(&world, "mate").await;
    for id in [
        own.clone(),
        bare(&own).to_owned(),
        format!("%64evin-{}", bare(&own)),
    ] {
        let answer = world.get("one", &format!("{CREATE}/{id}")).await;
        assert_eq!(answer.is_upstream(200).json()["session_id"], own);
    }
    for id in [mates.clone(), bare(&mates).to_owned()] {
        let answer = world.get("one", &format!("{CREATE}/{id}")).await;
        refusal(&answer, &id);
    }
    // A form that nobody gives is nobody's.
    for id in [format!("devin-{own}"), own.to_uppercase()] {
        refusal(&world.get("one", &format!("{CREATE}/{id}")).await, &id);
    }
    world.finish().await;
}

#[tokio::test]
async fn p13_the_organization_of_the_path_is_the_sessions() {
    let world = world().await;
    let own = create(&world, "one").await;
    let elsewhere = format!("/v3/organizations/org-web/sessions/{own}");
    refusal(&world.get("one", &elsewhere).await, &own);
    world
        .get("one", &format!("{ENTERPRISE}/{own}"))
        .await
        .is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn a_grant_reaches_as_far_as_it_says() {
    let world = world().await;
    let mates = create(&world, "mate").await;
    let foreign = create(&world, "three").await;
    let nobodys = seed(&world, 1).remove(0);
    let path = |id: &str| format!("{CREATE}/{id}");
    world.get("lead", &path(&mates)).await.is_upstream(200);
    for id in [&foreign, &nobodys] {
        refusal(&world.get("lead", &path(id)).await, id);
    }
    for id in [&mates, &foreign, &nobodys] {
        world.get("auditor", &path(id)).await.is_upstream(200);
    }
    // What is not there, Devin says itself.
    world.get("auditor", &path("gone")).await.is_upstream(404);
    world.finish().await;
}

#[tokio::test]
async fn p13_a_session_that_is_named_beside_the_path_is_held_to_the_same() {
    let world = world().await;
    let own = create(&world, "one").await;
    let mates = create(&world, "mate").await;
    let asked = world.upstream().len();
    let prompt = json!({ "prompt": "x" }).to_string();
    let with = |links: &[&str]| json!({ "prompt": "x", "session_links": links }).to_string();
    let link = |id: &str| format!("https://app.devin.ai/sessions/{}", bare(id));
    let of_parent = |id: &str| format!("{CREATE}?devin_id={id}");
    for (path, body, field) in [
        (of_parent(&mates), prompt.clone(), "devin_id"),
        (of_parent(bare(&mates)), prompt.clone(), "devin_id"),
        (of_parent("gone"), prompt.clone(), "devin_id"),
        (CREATE.to_owned(), with(&[&mates]), "session_links"),
        (
            CREATE.to_owned(),
            with(&[&own, &link(&mates)]),
            "session_links",
        ),
        (CREATE.to_owned(), with(&["https://x/?a"]), "session_links"),
        (
            format!("{CREATE}?parent_session_id={mates}"),
            String::new(),
            "parent_session_id",
        ),
    ] {
        let method = if body.is_empty() {
            Method::GET
        } else {
            Method::POST
        };
        let answer = world.call("one", method, &path, &body).await;
        refusal(&answer, &mates);
        assert_eq!(answer.json()["field"], field);
    }
    let schedule = |id: &str| {
        let schedule = json!({
            "name": "n", "prompt": "x", "schedule_type": "one_time",
            "scheduled_at": "2030-01-01T00:00:00Z", "target_devin_id": id,
        });
        schedule.to_string()
    };
    let schedules = "/v3/organizations/org-ds/schedules";
    let answer = world.post("one", schedules, &schedule(&mates)).await;
    refusal(&answer, &mates);
    assert_eq!(world.upstream().len(), asked);
    let child = world.post("one", &of_parent(&own), &prompt).await;
    assert_eq!(child.is_upstream(200).json()["parent_session_id"], own);
    let both = with(&[&own, &link(&own)]);
    world.post("one", CREATE, &both).await.is_upstream(200);
    world
        .post("one", schedules, &schedule(&own))
        .await
        .is_upstream(200);
    world.finish().await;
}

#[tokio::test]
async fn l12_a_child_is_its_parents_creators() {
    let world = world().await;
    let own = create(&world, "one").await;
    let child = world.fake.begin_elsewhere(Elsewhere {
        parent: Some(own.clone()),
        ..Elsewhere::default()
    });
    let child = child.unwrap();
    let path = format!("{CREATE}/{child}");
    let children = async || {
        let list = world.get("one", CREATE).await.json();
        let first = list["items"].as_array().unwrap().iter();
        let parent = first.clone().find(|it| it["session_id"] == own).unwrap();
        (first.count(), parent["child_session_ids"].clone())
    };
    // Until the ledger has heard of it, it is nobody's, and not shown.
    refusal(&world.get("one", &path).await, &child);
    assert_eq!(children().await, (1, json!([])));
    let reading = Reading {
        begun: world.ledger.begin_reading(&*world.parts.clock),
        moment: Moment {
            at: jiff::Timestamp::UNIX_EPOCH,
            up: std::time::Duration::ZERO,
        },
        usage: None,
        status: "running".into(),
        detail: None,
        organization: None,
    };
    let [session, parent] = [&child, &own].map(|id| SessionId::parse(id).unwrap());
    assert!(world.ledger.child(session, parent, reading).await.unwrap());
    let read = world.get("one", &path).await;
    let shown = read.is_upstream(200).json()["session_id"].clone();
    assert_eq!(children().await, (2, json!([shown])));
    refusal(&world.get("mate", &path).await, &child);
    world.finish().await;
}
