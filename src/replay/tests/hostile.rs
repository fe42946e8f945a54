//! Lines that nobody's log has, and lines of other versions.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn a13_hostile_lines_are_refused_and_never_misread() {
    let set = policy(&team(CREATE));
    let mut replay = Replay::new(&set, &set);
    let mut refused = |bytes: &[u8]| replay.line(bytes).err();
    let good = line(json!({})).to_string();
    assert_eq!(refused(good.as_bytes()), None);
    let old = good.replace("\"form\":2,", "");
    assert_eq!(refused(old.as_bytes()), Some(LineError::NoForm));
    assert_eq!(
        refused(b"{\"kind\":\"request\",\"form\":3,\"identity\":[]}"),
        Some(LineError::OtherForm(3))
    );
    assert_eq!(
        refused(b"{\"kind\":7,\"form\":1}"),
        Some(LineError::OtherForm(1))
    );
    assert_eq!(
        refused(b"{\"kind\":\"abandoned\",\"requests\":5}"),
        Some(LineError::NoForm)
    );
    assert_eq!(
        refused(b"{\"kind\":\"request\",\"form\":2,\"path\":\"\xff\"}"),
        Some(LineError::NotText)
    );
    let deep = format!(
        "{{\"kind\":\"request\",\"form\":2,\"x\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(refused(deep.as_bytes()), None);
    let twice = good.replace("\"caller\"", "\"caller\":\"other\",\"caller\"");
    for bad in [
        "",
        " ",
        "null",
        "[]",
        "\"x\"",
        "\0",
        "{",
        "{\"kind\":\"request\",\"form\":2",
        good.strip_suffix('}').unwrap(),
        &format!("{good}{good}"),
        &good.replace("\"one\"", "\"o\0e\""),
    ] {
        let error = refused(bad.as_bytes());
        assert!(
            matches!(error, Some(LineError::NotJson(_))),
            "{bad}: {error:?}"
        );
    }
    let nested = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let claims = json!({"kind": "jwt", "issuer": "ci", "claims": {"a": 1}}).to_string();
    for bad in [
        twice,
        good.replace("\"one\"", "7"),
        good.replace("\"allow\"", "\"maybe\""),
        good.replace("\"form\":2", "\"form\":2,\"form\":2"),
        good.replace("\"form\":2", "\"form\":\"2\""),
        good.replace("\"form\":2", "\"form\":2.0"),
        good.replace("\"api_key\"", "\"spiffe\""),
        good.replace("\"key_id\"", "\"id\""),
        good.replace(
            "\"form\":2",
            "\"form\":2,\"fields\":{\"body.a\":1,\"body.a\":2}",
        ),
        good.replace(
            "\"form\":2",
            "\"form\":2,\"fields\":{\"body.a\":{\"kind\":\"x\"}}",
        ),
        good.replace("\"form\":2", "\"form\":2,\"unknown_fields\":7"),
        good.replace(
            "{\"key_id\":\"k\",\"kind\":\"api_key\"}",
            &claims.replace("\"a\":1", "\"a\":1,\"a\":2"),
        ),
    ] {
        let error = refused(bad.as_bytes());
        assert!(
            matches!(error, Some(LineError::NotOfItsForm(_))),
            "{bad}: {error:?}"
        );
    }
    for bad in [
        good.replace(
            "\"form\":2",
            &format!("\"form\":2,\"fields\":{{\"body.a\":{nested}}}"),
        ),
        good.replace("\"form\":2", "\"form\":2,\"fields\":[]"),
        good.replace("{\"key_id\":\"k\",\"kind\":\"api_key\"}", "[\"api_key\"]"),
    ] {
        let error = refused(bad.as_bytes());
        assert!(error.is_some(), "{bad}");
        assert!(!error.unwrap().to_string().contains("api_key"));
    }
}

#[test]
fn a13_facts_of_operations_that_nobody_has_do_not_pile_up() {
    let set = policy(&team(CREATE));
    let mut replay = Replay::new(&set, &set);
    for number in 0..3_000 {
        let line = line(json!({"operation": format!("x.{number}")}));
        replay.line(line.to_string().as_bytes()).unwrap();
    }
    let report = replay.finish();
    assert_eq!(report.undecided(), 3_000);
    assert_eq!(
        report.json(false)["lacking"].as_array().unwrap().len(),
        1_001
    );
}

proptest! {
    #[test]
    fn a13_no_line_makes_it_panic(at in 0..600_usize, byte in any::<u8>(), cut in 0..600_usize) {
        let set = policy(&team(CREATE));
        let mut replay = Replay::new(&set, &set);
        let mut line = of_body(json!({"body.max_acu_limit": 5})).to_string().into_bytes();
        if let Some(it) = line.get_mut(at) {
            *it = byte;
        }
        let _ = replay.line(&line);
        line.truncate(cut);
        let _ = replay.line(&line);
    }
}
