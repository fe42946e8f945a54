//! A ledger that cannot be written: from the start, and from one moment on (L13, M19).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::SESSIONS;
use super::load::Site;
use crate::process::Served;

/// A program that shows another one the whole machine, but this folder without a way to write there.
fn read_only(site: &Site) -> Command {
    let mut command = Command::new("bwrap");
    command
        .args(["--dev-bind", "/", "/", "--ro-bind"])
        .args([site.folder.path(), site.folder.path()])
        .arg("--chdir")
        .arg(site.folder.path())
        .arg("--");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_a_ledger_that_is_read_only_at_the_start_is_said_and_not_served() {
    let site = Site::new(100, 0.0).await;
    // One that is there, and before it one that is not.
    let elsewhere = ["--set", "access_log.path=/dev/null"];
    for _ in 0..2 {
        let Err(log) = site.serve_under(read_only(&site), &elsewhere) else {
            panic!("it serves");
        };
        assert!(log.contains("tollgate.db"), "{log}");
        assert!(log.contains("Read-only file system"), "{log}");
        tokio::task::block_in_place(|| site.serve(None).stop());
    }
}

/// From now on the kernel takes no write or sync of the process: as of a file system that has turned read-only.
fn turn_read_only(gateway: &Served) -> Child {
    let mut tracer = Command::new("strace")
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            "trace=pwrite64,fdatasync,ftruncate",
        ])
        .args(["-e", "inject=pwrite64,fdatasync,ftruncate:error=EROFS"])
        .args(["-p", &gateway.id().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let stderr = tracer.stderr.as_mut().unwrap();
    BufReader::new(stderr).read_line(&mut said).unwrap();
    assert!(said.contains("attached"), "{said}");
    tracer
}

#[tokio::test(flavor = "multi_thread")]
async fn l13_m19_a_ledger_that_turns_read_only_stops_spending_and_not_reading() {
    let site = Site::new(100, 0.0).await;
    let gateway = site.serve(None);
    let (client, to) = (site.client(), gateway.callers);
    let (status, body) = client.create(to, "before").await.unwrap();
    assert_eq!(status, 200, "{body}");
    let session = body["session_id"].as_str().unwrap().to_owned();
    let mut tracer = turn_read_only(&gateway);
    for n in 0..3 {
        let (status, body) = client.create(to, &format!("read-only {n}")).await.unwrap();
        assert_eq!(status, 503, "{body}");
        assert_eq!(body["type"], "/.tollgate/problems/store-unavailable");
        let said = client.say(to, &session, &format!("{n}")).await.unwrap();
        assert_eq!(said.0, 503, "{}", said.1);
        for path in [SESSIONS.to_owned(), format!("{SESSIONS}/{session}")] {
            let (status, body) = client.get(to, &path).await.unwrap();
            assert_eq!(status, 200, "{path}: {body}");
        }
    }
    assert_eq!(site.fake.truth().len(), 1, "nothing left");
    // A tracer that is told to end lets go of what it traces.
    let told = Command::new("kill")
        .args(["-TERM", &tracer.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    tracer.wait().unwrap();
    let (status, body) = client.create(to, "after").await.unwrap();
    assert_eq!(status, 200, "it heals by itself: {body}");
    tokio::task::block_in_place(|| site.settles(gateway));
}
