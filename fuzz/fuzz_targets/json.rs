//! Bodies: what is read is read as `serde_json` does, what is not JSON is refused by both, changes do what they say.
//!
//! An input is a document, and behind the first NUL byte, which no document has, what to change in it; without one, the
//! document's own bytes say that too.

#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Value, json};
use tollgate::json::{Document, Edits, Invalid, Kind, Node};

#[path = "../../src/json/tests/model.rs"]
mod model;

use model::{Change, Changing};

/// The most changes of one document.
const MAX_CHANGES: usize = 16;
/// `serde_json` takes an object whose first key is this for the value that is spelled in it.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

fuzz_target!(|input: &[u8]| -> Corpus {
    let end = input.iter().position(|byte| *byte == 0);
    let text = &input[..end.unwrap_or(input.len())];
    let changes = end.map_or(input, |end| &input[end + 1..]);
    let read = serde_json::from_slice::<Value>(text);
    let document = match Document::parse(text) {
        Ok(document) => document,
        // That serde_json allows.
        Err(Invalid::TooDeep | Invalid::Duplicate { .. }) => return Corpus::Keep,
        Err(invalid) => {
            assert!(read.is_err(), "{invalid}");
            return Corpus::Keep;
        }
    };
    if has_raw_value(document.root()) {
        return Corpus::Reject;
    }
    let value = read.expect("serde_json reads whatever is a document");
    assert_same(document.root(), &value);
    assert_eq!(document.root().to_value(), value);

    assert_eq!(Edits::new(&document).write().as_bytes(), text);

    let mut changing = Changing::new(&document, value);
    let mut changes = Unstructured::new(changes);
    for _ in 0..MAX_CHANGES {
        let Ok((at, change)) = change(&mut changes, changing.len()) else {
            break;
        };
        changing.change(at, &change);
        if changes.is_empty() {
            break;
        }
    }
    changing.finish();
    Corpus::Keep
});

/// Something to change in one of so many values.
fn change(bytes: &mut Unstructured<'_>, values: usize) -> Result<(usize, Change)> {
    let at = bytes.choose_index(values)?;
    let value = match bytes.int_in_range(0..=6)? {
        0 => json!(null),
        1 => json!([]),
        2 => json!([1, { "a": 1 }]),
        3 => json!({}),
        4 => json!({ "a": [], "": "b" }),
        5 => json!(bytes.arbitrary::<i64>()?),
        _ => json!(bytes.arbitrary::<&str>()?),
    };
    let change = match bytes.int_in_range(0..=3)? {
        0 => Change::Replace(value),
        1 => Change::Append(value),
        // Short, so that it is often there.
        2 => Change::Insert(char::from(b'a' + bytes.int_in_range(0..=3)?).into(), value),
        _ => match bytes.arbitrary::<&str>()? {
            RAW_VALUE => Change::Append(value),
            name => Change::Insert(name.to_owned(), value),
        },
    };
    Ok((at, change))
}

fn has_raw_value(node: Node<'_>) -> bool {
    let members = node.members().unwrap_or_default();
    members.iter().any(|(name, _)| name == RAW_VALUE)
        || members.into_iter().any(|(_, value)| has_raw_value(value))
        || node.items().into_iter().flatten().any(has_raw_value)
}

/// That each way to look at a value shows what `serde_json` reads there.
fn assert_same(node: Node<'_>, value: &Value) {
    assert_eq!(node.raw().trim(), node.raw());
    let kind = match value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Bool,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::Text,
        Value::Array(_) => Kind::List,
        Value::Object(_) => Kind::Object,
    };
    assert_eq!(node.kind(), kind);
    assert_eq!(node.as_bool(), value.as_bool());
    assert_eq!(node.as_text().as_deref(), value.as_str());
    // All that it does not say is whole is `-0`, a fraction, an exponent, or too large.
    match node.as_whole() {
        Some(whole) => assert_eq!(value.as_i64(), Some(whole)),
        None => assert_eq!(value.as_i64(), None),
    }
    let items = node.items();
    assert_eq!(items.as_ref().map(Vec::len), value.as_array().map(Vec::len));
    for (at, item) in items.into_iter().flatten().enumerate() {
        assert_same(item, &value[at]);
    }
    let members = node.members();
    // A duplicate would be one less in the value.
    assert_eq!(
        members.as_ref().map(Vec::len),
        value.as_object().map(serde_json::Map::len)
    );
    for (name, member) in members.into_iter().flatten() {
        assert_eq!(node.member(&name).map(Node::raw), Some(member.raw()));
        assert_same(member, &value[name.as_ref()]);
    }
}
