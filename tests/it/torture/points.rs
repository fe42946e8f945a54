//! A process that dies at each of the points between a hold and its settlement, by name.

use tollgate::failpoint::Point;

use super::load::Site;

/// The process dies there at the first, or the second, time; the next one repairs what it left.
async fn dies_at(point: Point, time: usize) {
    let site = Site::new(100, 0.0).await;
    let client = site.client();
    // One session that was there before, for a message.
    let before = site.serve(None);
    let created = client.create(before.callers, "before").await.unwrap();
    let session = created.1["session_id"].as_str().unwrap().to_owned();
    before.stop();
    let what = format!("{}:{time}", point.name());
    if point == Point::InReconcile {
        // It comes there by itself, and maybe before it says that it is ready.
        tokio::task::block_in_place(|| site.starts_and_dies(&what));
    } else {
        let doomed = site.serve(Some(&what));
        for n in 0..time {
            let created = client.create(doomed.callers, &format!("create {n}")).await;
            let text = format!("say {n}");
            let said = client.say(doomed.callers, &session, &text).await;
            if created.is_none() || said.is_none() {
                break;
            }
        }
        tokio::task::block_in_place(|| doomed.died());
    }
    site.fake.advance(std::time::Duration::from_secs(120));
    let after = site.serve(None);
    tokio::task::block_in_place(|| site.settles(after));
    assert!(!site.fake.truth().is_empty(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_m20_a_process_that_dies_at_any_point_is_repaired_by_the_next() {
    for point in Point::ALL {
        for time in 1..=2 {
            dies_at(point, time).await;
        }
    }
}
