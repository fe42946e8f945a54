//! API keys over their life.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tollgate::api_key::ApiKey;
use tollgate::clock::FakeClock;

use crate::world::{Setup, World};

#[tokio::test]
async fn c3_a_key_is_refused_from_its_end_on() {
    let (old, new) = (
        ApiKey::generate("old").unwrap(),
        ApiKey::generate("new").unwrap(),
    );
    let policy = format!(
        "team: t\ncallers:\n  x:\n    keys:\n      - {{ id: old, sha256: \"{}\", expires: 2027-02-01 }}\n      - {{ id: new, sha256: \"{}\" }}\nallow: [{{ name: self, operations: [self.get], organizations: any }}]\n",
        old.digest_hex(),
        new.digest_hex()
    );
    let before: Timestamp = "2027-01-31T23:59:59Z".parse().unwrap();
    let clock = Arc::new(FakeClock::at(before));
    let world = World::with(Setup {
        policy,
        clock: clock.clone(),
        ..Setup::default()
    })
    .await;
    world
        .canaries
        .lock()
        .unwrap()
        .extend([old.expose().to_owned(), new.expose().to_owned()]);
    let ask = async |key: &ApiKey| {
        let request =
            http::Request::get("/").header("authorization", format!("bearer {}", key.expose()));
        world.send("/v3/self", request, "").await
    };
    ask(&old).await.is_upstream(200);
    assert_eq!(world.last_line().await["identity"]["key_id"], "old");
    clock.advance(SignedDuration::from_secs(1));
    ask(&old).await.is_problem(401, "credential-expired");
    assert_eq!(world.last_line().await["identity"]["key_id"], "old");
    ask(&new).await.is_upstream(200);
    assert_eq!(world.last_line().await["time"], "2027-02-01T00:00:00Z");
    world.finish().await;
}
