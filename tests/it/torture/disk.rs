//! A disk that is full, or takes nothing at all: nothing is spent, and reads go on (L13, M19).

use std::process::Command;

use super::SESSIONS;
use super::load::Site;
use crate::process::Served;

/// How large the process's files may grow from now on, in bytes.
fn limit(gateway: &Served, bytes: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &gateway.id().to_string()])
        .arg(format!("--fsize={bytes}:unlimited"))
        .status()
        .unwrap();
    assert!(limited.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn l13_m19_a_disk_that_takes_nothing_stops_spending_and_not_reading() {
    let site = Site::new(100, 0.0).await;
    let gateway = site.serve_where_files_can_be_limited();
    let (client, to) = (site.client(), gateway.callers);
    let (status, body) = client.create(to, "before").await.unwrap();
    assert_eq!(status, 200, "{body}");
    let session = body["session_id"].as_str().unwrap().to_owned();
    for (sessions, room) in [(1, "0"), (2, "4096")] {
        limit(&gateway, room);
        for n in 0..3 {
            let (status, body) = client
                .create(to, &format!("full {room} {n}"))
                .await
                .unwrap();
            assert_eq!(status, 503, "{body}");
            assert_eq!(body["type"], "/.tollgate/problems/store-unavailable");
            let (status, body) = client
                .say(to, &session, &format!("{room} {n}"))
                .await
                .unwrap();
            assert_eq!(status, 503, "{body}");
        }
        for path in [SESSIONS.to_owned(), format!("{SESSIONS}/{session}")] {
            let (status, body) = client.get(to, &path).await.unwrap();
            assert_eq!(status, 200, "{path}: {body}");
        }
        assert_eq!(site.fake.truth().len(), sessions, "nothing left");
        limit(&gateway, "unlimited");
        let (status, body) = client.create(to, &format!("after {room}")).await.unwrap();
        assert_eq!(status, 200, "it heals by itself: {body}");
    }
    tokio::task::block_in_place(|| site.settles(gateway));
}
