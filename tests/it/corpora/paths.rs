//! FuzzDB's traversals: by the catalogue, and over a raw socket.

use tollgate::target::Target;

use super::wire::{Entry, send};
use super::{corpus, files};
use crate::world::World;

#[test]
fn p1_fuzzdbs_traversals_are_no_operation() {
    let Some(folder) = corpus("paths/fuzzdb") else {
        return;
    };
    let catalogue = tollgate::catalogue::Catalogue::new();
    let mut tried = 0;
    for path in files(folder) {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        for line in text.lines() {
            for target in [
                line.to_owned(),
                format!("/v3/{line}"),
                format!("/v3/organizations/{line}/sessions"),
                format!("/v3/organizations/o/sessions/{line}"),
            ] {
                tried += 1;
                let (path, query) = target
                    .split_once('?')
                    .map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
                let Ok(target) = Target::parse(path, query) else {
                    continue;
                };
                if let Ok(found) = catalogue.find(&http::Method::GET, &target) {
                    // Only what is one plain id, byte for byte.
                    let plain = |value: &str| {
                        value
                            .bytes()
                            .all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
                    };
                    assert!(
                        found.parameters.iter().all(|(_, value)| plain(value)),
                        "{target:?}"
                    );
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[tokio::test]
async fn p1_p2_fuzzdbs_traversals_over_a_socket_are_what_is_logged_or_nothing() {
    let Some(folder) = corpus("paths/fuzzdb") else {
        return;
    };
    let world = World::start().await;
    let key = world.key("one");
    let rest = format!("Host: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n");
    let mut targets = Vec::new();
    for path in files(folder) {
        let bytes = std::fs::read(path).unwrap();
        for line in bytes.split(|it| *it == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            for (before, after) in [
                ("", ""),
                ("/v3/organizations/", "/sessions"),
                ("/v3/organizations/org-ds/sessions/", ""),
            ] {
                targets.push([before.as_bytes(), line, after.as_bytes()].concat());
            }
        }
    }
    let entry = |target: &Vec<u8>| {
        let bytes = [b"GET ", &target[..], b" HTTP/1.1\r\n", rest.as_bytes()].concat();
        Entry::new(String::from_utf8_lossy(target), bytes)
    };
    let entries: Vec<Entry> = targets.iter().map(entry).collect();
    let tried = entries.len();
    let mut served = 0;
    for became in send(&world, entries).await {
        became.is_sound();
        let target = became.entry.name.as_str();
        let statuses = became.statuses();
        assert!(statuses.len() <= 1, "{target}: {}", became.back.text);
        // A line of the corpus that holds a space is no request line, and one that is empty no segment.
        let Some(seen) = became.seen.first() else {
            assert!(
                statuses.iter().all(|it| [400, 403, 404].contains(it)),
                "{target}: {}",
                became.back.text
            );
            continue;
        };
        served += 1;
        assert_eq!((seen.target.as_str(), became.seen.len()), (target, 1));
        assert_eq!(became.lines[0]["path"], target);
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_".contains(&it);
        let id = target.strip_prefix("/v3/organizations/org-ds/sessions/");
        assert!(id.is_some_and(|it| it.bytes().all(plain)), "{target}");
        assert_eq!(became.lines[0]["operation"], "sessions.get", "{target}");
    }
    assert!(tried > 2_000 && served < 50, "{tried} {served}");
    world.finish().await;
}
