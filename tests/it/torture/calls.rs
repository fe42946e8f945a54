//! A process that is killed at each write, each sync and each send of one cycle of create, message and settlement; and
//! one whose syncs fail. What SQLite and the kernel do in between has no failpoint of ours, but is a system call.

use std::process::Command;
use std::time::Duration;

use tollgate::fake_devin::{Change, Ending};

use super::is_deep;
use super::load::Site;

/// No cycle has so many of one call.
const MOST: usize = 2_000;
/// How many calls a run looks at that has little time, of each kind.
const FEW: usize = 5;

/// `strace` that does something at calls of this kind: of the tracer nothing is seen but that.
fn tracer(calls: &str, fault: &str) -> Command {
    let mut command = Command::new("strace");
    command
        // Calls are counted for each thread: with one of the runtime's, most are its.
        .env("TOKIO_WORKER_THREADS", "1")
        // The tracer is the grandchild, so that the child is the gateway itself.
        .args(["-D", "-qqq", "-f", "-o", "/dev/null", "-e"])
        .args([&format!("trace={calls}"), "-e"])
        .arg(format!("inject={calls}:{fault}"));
    command
}

/// One cycle under a tracer, and its repair by a process that nothing happens to. Whether the first one lived.
async fn cycle(site: &Site, calls: &str, fault: &str) -> bool {
    let client = site.client();
    let traced = site.serve_under(tracer(calls, fault), &[]);
    let lived = match traced {
        Err(_) => false,
        Ok(mut gateway) => {
            let at = gateway.callers;
            let created = client.create(at, &format!("{calls} {fault}")).await;
            if let Some((200, body)) = created {
                let session = body["session_id"].as_str().unwrap();
                client.say(at, session, &format!("{calls} {fault}")).await;
            }
            site.fake.advance(Duration::from_secs(120));
            for session in site.fake.truth() {
                let ends = Change {
                    ends: Some(Ending::Exit),
                    ..Change::default()
                };
                assert!(site.fake.change(&session.id, ends));
            }
            tokio::task::block_in_place(|| {
                site.settled_or(|| gateway.has_ended());
                gateway.ends()
            })
        }
    };
    let after = site.serve(None);
    tokio::task::block_in_place(|| site.settles(after));
    lived
}

/// A site whose ledger is there already.
async fn site() -> Site {
    let site = Site::new(100_000, 0.0).await;
    site.serve(None).stop();
    site
}

/// The process dies at the n-th of these calls that one of its threads makes, for each n until it lives; with little
/// time for some, further and further apart.
async fn dies_at_each(calls: &str) {
    let site = site().await;
    let (mut n, mut step, mut kills) = (1, 1, 0);
    while n < MOST {
        if cycle(&site, calls, &format!("signal=KILL:when={n}")).await {
            break;
        }
        kills += 1;
        if is_deep() {
            n += 1;
        } else if kills == FEW {
            break;
        } else {
            n += step;
            step *= 2;
        }
    }
    eprintln!("{calls}: {kills} kills, the last at number {n}");
    assert!(kills >= 3, "{calls}: it was killed {kills} times only");
    assert!(n < MOST, "{calls}: it never lived");
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_m20_a_process_that_dies_at_any_write_is_repaired_by_the_next() {
    dies_at_each("pwrite64").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_m20_a_process_that_dies_at_any_sync_is_repaired_by_the_next() {
    dies_at_each("fdatasync,fsync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_m20_a_process_that_dies_at_any_send_is_repaired_by_the_next() {
    dies_at_each("sendto,sendmsg,writev").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_m21_a_sync_that_fails_is_told_and_loses_nothing() {
    let site = site().await;
    let times = if is_deep() { 40 } else { 6 };
    for n in 1..=times {
        cycle(&site, "fdatasync,fsync", &format!("error=EIO:when={n}")).await;
    }
    assert!(!site.fake.truth().is_empty());
}
