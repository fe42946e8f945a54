//! Two real processes on one ledger: the second waits, reads, and takes over.

use std::process::Output;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use tokio::task::block_in_place;
use tollgate::fake_devin::{Fault, FaultKind};

use super::SESSIONS;
use super::load::{Load, Site};
use crate::process::{Served, run, text};

fn waits(gateway: &Served) {
    let said = gateway.readiness();
    assert_eq!(said["ready"], true, "{said:#}");
    let why = said["spending"]["store"].as_str().unwrap_or_default();
    assert!(why.contains("waits for it"), "{said:#}");
}

fn has(gateway: &Served) {
    gateway.wait_for("has the ledger", |it| it["spending"]["store"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn l13_a_process_that_waits_serves_reads_and_spends_once_it_has_the_ledger() {
    let site = Site::new(100, 0.0).await;
    let client = site.client();
    let first = site.serve(None);
    let created = client.create(first.callers, "before").await.unwrap();
    let session = created.1["session_id"].as_str().unwrap().to_owned();
    let second = site.serve(None);
    waits(&second);
    // One is on its way when the first is told to stop.
    site.fake.inject(Fault {
        only: Some((Method::POST, SESSIONS.to_owned())),
        ..Fault::next(FaultKind::LatencyAfterWork(Duration::from_millis(600)))
    });
    site.fake.clear_requests();
    let slow = tokio::spawn({
        let (client, to) = (client.clone(), first.callers);
        async move { client.create(to, "at the first").await }
    });
    while !site
        .fake
        .requests()
        .iter()
        .any(|it| it.method == Method::POST)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let path = format!("{SESSIONS}/{session}");
    let said = client.get(second.callers, &path).await.unwrap();
    assert_eq!(said.0, 200, "it knows whose the session is");
    let waiting = tokio::spawn({
        let (client, to, session) = (client.clone(), second.callers, session.clone());
        async move {
            let created = client.create(to, "at the second").await;
            (created, client.say(to, &session, "on").await)
        }
    });
    waits(&second);
    let log = block_in_place(|| first.stop());
    assert!(!log.contains("given up"), "{log}");
    assert_eq!(slow.await.unwrap().unwrap().0, 200);
    let (created, said) = waiting.await.unwrap();
    assert_eq!(created.unwrap().0, 200);
    assert_eq!(said.unwrap().0, 200);
    has(&second);
    assert_eq!(site.fake.truth().len(), 3);
    block_in_place(|| site.settles(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_m19_ten_hand_overs_under_load_lose_nothing_and_leave_nothing_unknown() {
    let site = Site::new(2_000, 20.0).await;
    let mut gateway = site.serve(None);
    let load = Load::on(&site, gateway.callers);
    for _ in 0..10 {
        load.answers(10).await;
        let next = site.serve(None);
        waits(&next);
        *load.to.lock().unwrap() = next.callers;
        let log = block_in_place(|| gateway.stop());
        assert!(!log.contains("were on their way"), "{log}");
        gateway = next;
    }
    load.answers(10).await;
    let done = load.done.load(Ordering::SeqCst);
    load.end().await;
    assert!(done > 50, "the load came to nothing: {done}");
    block_in_place(|| site.settles(gateway));
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_orders_are_for_the_process_that_has_the_ledger() {
    let site = Site::new(100, 0.0).await;
    let path = site.folder.path().join("tollgate.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    let config = config.replace(
        "admin: { tcp: \"127.0.0.1:0\" }",
        "admin: { tcp: \"127.0.0.1:0\", unix: admin.sock }",
    );
    std::fs::write(&path, config).unwrap();
    let shows = || -> Output { block_in_place(|| run(&["budget", "show"], site.folder.path())) };
    let first = site.serve(None);
    let second = site.serve(None);
    waits(&second);
    let shown = shows();
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    block_in_place(|| first.stop());
    has(&second);
    let socket = site.folder.path().join("admin.sock");
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let shown = shows();
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    block_in_place(|| second.stop());
    // A process that stops while it waits does not wait any longer, and the other goes on.
    let first = site.serve(None);
    let second = site.serve(None);
    waits(&second);
    block_in_place(|| second.stop());
    assert_eq!(shows().status.code(), Some(0));
    let created = site.client().create(first.callers, "on").await.unwrap();
    assert_eq!(created.0, 200);
    block_in_place(|| site.settles(first));
}
