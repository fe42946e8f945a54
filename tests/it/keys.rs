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

#[tokio::test]
async fn c1_keys_with_one_beginning_are_each_their_own_callers() {
    let names: Vec<String> = (0..1_000).map(|it| format!("app-{it:03}")).collect();
    let callers: Vec<String> = names.iter().map(|it| format!("{it}: {{}}")).collect();
    let policy = format!(
        "team: t\ncallers: {{ {} }}\nallow: [{{ name: self, operations: [self.get], organizations: any }}]\n",
        callers.join(", ")
    );
    let world = World::with(Setup {
        policy,
        ..Setup::default()
    })
    .await;
    let ask = async |key: &str| {
        let request = http::Request::get("/").header("authorization", format!("Bearer {key}"));
        world.send("/v3/self", request, "").await
    };
    for name in names.iter().step_by(50) {
        ask(&world.key(name)).await.is_upstream(200);
        assert_eq!(world.last_line().await["caller"], name.as_str());
        // Of the same public half, with a good checksum, and another secret; and of a half that nobody has.
        for id in [name.clone(), format!("{name}-x")] {
            let other = ApiKey::generate(&id).unwrap();
            world
                .canaries
                .lock()
                .unwrap()
                .push(other.expose().to_owned());
            let answer = ask(other.expose()).await;
            answer.is_problem(401, "credential-invalid");
        }
        // What is refused says the same, whichever it was.
        let lines = world.lines().await;
        let last: Vec<_> = lines.iter().rev().take(2).collect();
        assert!(last.iter().all(|it| it["caller"].is_null()));
        assert_eq!(last[0]["code"], last[1]["code"]);
    }
    assert_eq!(world.upstream().len(), 20);
    world.finish().await;
}
