//! Structured fields (RFC 9651): the one that callers send, and the ones that we write.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};
use sfv::{BareItem, ItemSerializer, List, ListEntry, Parser, StringRef};
use tollgate::pipeline::attempts::Key;

use super::wire::{Entry, send};
use super::{corpus, files};
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

/// All records of these kinds that stand in one line.
fn records() -> Option<Vec<(String, Value)>> {
    let folder = corpus("structured-fields")?;
    let mut records = Vec::new();
    for path in files(folder) {
        let is_parsed = path.extension().is_some_and(|it| it == "json");
        if !is_parsed || path.to_string_lossy().contains("serialisation-tests") {
            continue;
        }
        let all: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for record in all {
            if let [raw] = record["raw"].as_array().unwrap().as_slice() {
                records.push((raw.as_str().unwrap().to_owned(), record));
            }
        }
    }
    assert!(records.len() > 100, "{}", records.len());
    Some(records)
}

/// The texts anywhere in what these are read as.
fn texts(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            into.insert(text.clone());
        }
        Value::Array(all) => all.iter().for_each(|it| texts(it, into)),
        _ => {}
    }
}

/// The text of a record that is a string without parameters, and nothing else.
fn string(record: &Value) -> Option<&str> {
    let is_plain = record["header_type"] == "item" && record["expected"][1] == Value::Array(vec![]);
    record["expected"][0].as_str().filter(|_| is_plain)
}

/// What a field is read as; white space around it is no part of it.
fn key(raw: &str) -> Option<Key> {
    Key::parse(raw.trim_matches([' ', '\t']).as_bytes())
}

#[tokio::test]
async fn h10_structured_fields_as_keys_of_intents() {
    let Some(mut records) = records() else {
        return;
    };
    // Strings stand inside of other things, too: each alone, as it is written.
    let mut all = BTreeSet::new();
    for (_, record) in &records {
        texts(&record["expected"], &mut all);
    }
    for text in all {
        if let Ok(string) = StringRef::from_str(&text) {
            let raw = ItemSerializer::new().bare_item(string).finish();
            let record = json!({"header_type": "item", "expected": [text, []]});
            records.push((raw, record));
        }
    }
    let world = World::start().await;
    let mut entries = Vec::new();
    let mut taken = HashSet::new();
    for (at, (raw, record)) in records.iter().enumerate() {
        // A name that another record has is another intent's.
        if key(raw).is_some_and(|it| !taken.insert(it)) {
            continue;
        }
        // The same intent twice, and the second time with the bare form of its name if it has one.
        let bare = string(record).unwrap_or(raw);
        let mut bytes = Vec::new();
        for name in [raw, bare] {
            let body = format!("{{\"prompt\":\"{at}\"}}");
            let length = body.len();
            let head = world.head("POST", SESSIONS);
            bytes.extend(
                format!(
                    "{head}Content-Type: application/json\r\nContent-Length: {length}\r\nIdempotency-Key: {name}\r\n\r\n{body}"
                )
                .bytes(),
            );
        }
        entries.push(Entry::new(at.to_string(), bytes));
    }
    let (mut refused, mut named) = (0, 0);
    for became in send(&world, entries).await {
        became.is_sound();
        let (raw, record) = &records[became.entry.name.parse::<usize>().unwrap()];
        let about = format!("{raw:?}: {}", became.back.text);
        let statuses = became.statuses();
        let Some(key) = key(raw) else {
            assert_eq!(statuses[0], 400, "{about}");
            assert!(became.seen.len() <= 1, "{about}");
            refused += 1;
            continue;
        };
        assert_eq!(statuses[0], 200, "{about}");
        // What is not well formed is no string to us either.
        let is_quoted = raw.trim_start().starts_with('"');
        assert!(!is_quoted || record["must_fail"] != true, "{about}");
        if let Some(text) = string(record) {
            assert_eq!(key.as_str(), text, "{about}");
            // As another client spells it, if that can be told from a string at all.
            if Key::parse(text.as_bytes()).is_some_and(|it| it == key) {
                assert_eq!(statuses, [200, 200], "{about}");
                assert_eq!(became.seen.len(), 1, "{about}");
                named += 1;
            }
        }
    }
    assert!(refused > 50 && named > 10, "{refused} {named}");
    world.finish().await;
}

#[test]
fn the_parser_that_reads_our_limits_reads_the_published_lists() {
    let Some(records) = records() else {
        return;
    };
    let mut read = 0;
    for (raw, record) in records {
        if record["header_type"] != "list" {
            continue;
        }
        let parsed = Parser::new(&raw).parse::<List>();
        if record["must_fail"] == true {
            assert!(parsed.is_err(), "{raw}");
        } else if let Ok(list) = parsed {
            let wanted = record["canonical"][0].as_str().unwrap_or(&raw);
            let written = sfv::FieldType::serialize(&list).unwrap_or_default();
            assert!(wanted == written || list.is_empty(), "{raw}: {written}");
            read += 1;
        } else {
            assert_eq!(record["can_fail"], true, "{raw}");
        }
    }
    assert!(read > 15, "{read}");
}

/// The names and numbers of a list of limits.
fn limits(value: &str, keys: [&str; 2]) -> Vec<(String, [i64; 2])> {
    let list = Parser::new(value).parse::<List>().unwrap();
    let written = sfv::FieldType::serialize(&list);
    assert_eq!(written.as_deref(), Some(value), "it is not canonical");
    let entry = |entry: &ListEntry| {
        let ListEntry::Item(item) = entry else {
            panic!("{value}");
        };
        let BareItem::String(name) = &item.bare_item else {
            panic!("{value}");
        };
        assert_eq!(item.params.len(), keys.len(), "{value}");
        let numbers = keys.map(|key| {
            let number = item.params.get(key).and_then(BareItem::as_integer);
            i64::from(number.unwrap())
        });
        (name.as_str().to_owned(), numbers)
    };
    list.iter().map(entry).collect()
}

#[tokio::test]
async fn what_we_write_of_limits_is_a_structured_field() {
    let policy = r#"
team: t
callers: { one: {} }
allow:
  - { name: self, operations: [self.get], organizations: any }
limits:
  - { name: fast, per: caller, rate: 7/s, burst: 3 }
  - { name: slow, per: caller, rate: 1/h, burst: 2 }
  - { name: "long-name-of-a-limit_that.is-told", per: team, rate: 1000000/h, burst: 100000 }
"#;
    let world = World::with(Setup {
        policy: policy.to_owned(),
        ..Setup::default()
    })
    .await;
    let mut refused = 0;
    for _ in 0..4 {
        let answer = world.get("one", "/v3/self").await;
        let policies = limits(answer.header("ratelimit-policy").unwrap(), ["q", "w"]);
        let standings = limits(answer.header("ratelimit").unwrap(), ["r", "t"]);
        assert_eq!((policies.len(), standings.len()), (3, 3));
        for ((name, [quota, window]), (same, [left, reset])) in policies.iter().zip(&standings) {
            assert_eq!(name, same);
            assert!(*quota > 0 && *window > 0 && (0..=*quota).contains(left));
            assert!((0..=*window).contains(reset), "{answer:?}");
        }
        refused += usize::from(answer.status == 429);
    }
    assert_eq!(refused, 2);
    world.finish().await;
}
