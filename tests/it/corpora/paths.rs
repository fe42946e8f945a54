//! FuzzDB's traversals: by the catalogue, and over a raw socket.

use tollgate::target::Target;

use super::{corpus, files};

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
