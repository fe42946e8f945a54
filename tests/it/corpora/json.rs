//! The JSON test suite: by our reader, and as bodies.

use serde_json::Value;
use tollgate::json::{Document, Invalid, Node};

use super::{corpus, files};

#[test]
fn b6_the_json_test_suite_is_read_as_it_says() {
    let Some(folder) = corpus("json/JSONTestSuite/test_parsing") else {
        return;
    };
    let (mut refused, mut read, mut either) = (0, 0, 0);
    for path in files(folder) {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let document = Document::parse(&bytes);
        if let Ok(document) = &document {
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(document.root().to_value(), value, "{name}");
            assert_same(document.root(), &value);
        }
        match name.split('_').next().unwrap() {
            "n" => {
                refused += 1;
                assert!(document.is_err(), "{name}");
            }
            // The suite takes the last of duplicates.
            "y" if name.contains("duplicated_key") => {
                refused += 1;
                assert!(
                    matches!(document, Err(Invalid::Duplicate { .. })),
                    "{name}: {document:?}"
                );
            }
            "y" => {
                read += 1;
                assert!(document.is_ok(), "{name}: {document:?}");
            }
            "i" => either += 1,
            other => panic!("{other} is no sort of test"),
        }
    }
    assert!(
        refused > 90 && read > 40 && either > 10,
        "{refused} {read} {either}"
    );
}

/// That each way to look at a value shows what `serde_json` reads there.
fn assert_same(node: Node<'_>, value: &Value) {
    assert_eq!(node.is_null(), value.is_null());
    assert_eq!(node.as_bool(), value.as_bool());
    assert_eq!(node.as_text().as_deref(), value.as_str());
    if let Some(whole) = node.as_whole() {
        assert_eq!(Some(whole), value.as_i64());
    }
    let items = node.items();
    assert_eq!(items.as_ref().map(Vec::len), value.as_array().map(Vec::len));
    for (at, item) in items.into_iter().flatten().enumerate() {
        assert_same(item, &value[at]);
    }
    let members = node.members();
    assert_eq!(
        members.as_ref().map(Vec::len),
        value.as_object().map(serde_json::Map::len)
    );
    for (name, member) in members.into_iter().flatten() {
        assert_same(member, &value[name.as_ref()]);
    }
}
