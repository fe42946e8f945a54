//! What changes make of a document, and what they leave as it was.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::model::{Change, Changing};
use super::*;

/// The text after changes.
fn changed(text: &str, change: impl for<'t> FnOnce(&mut Edits<'t>, Node<'t>)) -> String {
    let document = Document::parse(text.as_bytes()).expect(text);
    let mut edits = Edits::new(&document);
    change(&mut edits, document.root());
    let written = edits.write();
    Document::parse(written.as_bytes()).expect(&written);
    written
}

#[test]
fn what_nobody_touches_is_copied_byte_for_byte() {
    let text = "\t{ \"keep\" : 1.10 ,\r\n \"big\":1208925819614629174706176,\"t\\u0061gs\" : [ 1 , 2 ] , \"e\": 1E2,\"s\":\"\\/\\u00e9\",\"n\":-0 }\n";
    assert_eq!(changed(text, |_, _| {}), text);
    let written = changed(text, |edits, root| {
        edits.insert(root, "added", &json!("x\n"));
        edits.append(root.member("tags").unwrap(), &json!({"a": [1]}));
        edits.replace(root.member("e").unwrap(), &json!(5));
    });
    assert_eq!(
        written,
        "\t{ \"keep\" : 1.10 ,\r\n \"big\":1208925819614629174706176,\"t\\u0061gs\" : [ 1 , 2,{\"a\":[1]} ] , \"e\": 5,\"s\":\"\\/\\u00e9\",\"n\":-0,\"added\":\"x\\n\" }\n"
    );
}

#[test]
fn additions_keep_their_order_and_empty_ones_get_no_stray_comma() {
    let add = |text: &str| {
        changed(text, |edits, root| {
            edits.insert(root, "z", &json!(1));
            edits.insert(root, "a", &json!(2));
            edits.insert(root, "\"m", &json!(3));
        })
    };
    assert_eq!(add("{}"), r#"{"z":1,"a":2,"\"m":3}"#);
    assert_eq!(add("{ \n}"), "{\"z\":1,\"a\":2,\"\\\"m\":3 \n}");
    assert_eq!(add(r#"{"q":{}}"#), r#"{"q":{},"z":1,"a":2,"\"m":3}"#);
    let append = |text: &str| {
        changed(text, |edits, root| {
            edits.append(root, &json!("]"));
            edits.append(root, &json!(null));
        })
    };
    assert_eq!(append("[]"), r#"["]",null]"#);
    assert_eq!(append(" [\t] "), " [\"]\",null\t] ");
    assert_eq!(append(r#"[[[]]]"#), r#"[[[]],"]",null]"#);
    assert_eq!(append(r#"["] "]"#), r#"["] ","]",null]"#);
    // At every level of one document.
    let written = changed("[[[]]]", |edits, root| {
        let middle = root.items().unwrap()[0];
        edits.append(root, &json!(1));
        edits.append(middle.items().unwrap()[0], &json!(3));
        edits.append(middle, &json!(2));
    });
    assert_eq!(written, "[[[3],2],1]");
}

#[test]
fn the_last_change_of_a_value_counts_and_the_whole_goes_before_its_parts() {
    let text = r#"{"a":{"b":1},"c":2}"#;
    let replace = |first: &str, second: &str| {
        changed(text, |edits, root| {
            for (name, value) in [(first, 10), (second, 20)] {
                let node = name
                    .split_terminator('/')
                    .fold(root, |node, name| node.member(name).unwrap());
                edits.replace(node, &json!(value));
            }
        })
    };
    assert_eq!(replace("c", "c"), r#"{"a":{"b":1},"c":20}"#);
    assert_eq!(replace("a", "c"), r#"{"a":10,"c":20}"#);
    assert_eq!(replace("c", "a"), r#"{"a":20,"c":10}"#);
    assert_eq!(replace("a", "a/b"), r#"{"a":10,"c":2}"#);
    assert_eq!(replace("a/b", "a"), r#"{"a":20,"c":2}"#);
    assert_eq!(replace("a/b", ""), "20");
    assert_eq!(replace("", "c"), "10");
}

#[test]
fn b1_changes_put_no_key_in_twice() {
    let written = changed(r#"{"\u0061":1,"b":2}"#, |edits, root| {
        edits.insert(root, "a", &json!(3));
        edits.insert(root, "c", &json!(4));
        edits.insert(root, "d", &json!(5));
        edits.insert(root, "c", &json!(6));
    });
    assert_eq!(written, r#"{"\u0061":3,"b":2,"c":6,"d":5}"#);
    let written = changed(r#"{"a":{"b":1}}"#, |edits, root| {
        let a = root.member("a").unwrap();
        edits.replace(a, &json!({"b": 2, "c": 3}));
        edits.insert(a, "b", &json!(4));
        edits.insert(a, "d", &json!(5));
    });
    assert_eq!(written, r#"{"a":{"b":4,"c":3,"d":5}}"#);
}

#[test]
fn what_is_no_object_or_no_list_becomes_one() {
    for text in ["null", "5", "\"x\"", "[1,2]"] {
        let written = changed(text, |edits, root| {
            edits.insert(root, "a", &json!(1));
            edits.insert(root, "b", &json!(2));
        });
        assert_eq!(written, r#"{"a":1,"b":2}"#);
    }
    for text in ["null", "true", "\"x\"", "{\"a\":[]}"] {
        let written = changed(text, |edits, root| {
            edits.append(root, &json!(1));
            edits.append(root, &json!(2));
        });
        assert_eq!(written, "[1,2]");
    }
    // Also after an addition of the other sort, and after a replacement.
    let written = changed("[]", |edits, root| {
        edits.append(root, &json!(1));
        edits.insert(root, "a", &json!(2));
        edits.append(root, &json!(3));
    });
    assert_eq!(written, "[3]");
}

#[test]
fn a_node_of_another_document_changes_nothing() {
    let bytes = br#"[{"a":[1]}]"#;
    let (outer, inner) = (
        Document::parse(bytes).unwrap(),
        // The same bytes in memory, and all the same another document.
        Document::parse(&bytes[1..bytes.len() - 1]).unwrap(),
    );
    let copy = bytes.to_vec();
    let copy = Document::parse(&copy).unwrap();
    for other in [inner.root(), copy.root()] {
        let mut edits = Edits::new(&outer);
        edits.replace(other, &json!(5));
        edits.insert(other, "a", &json!(5));
        edits.insert(other, "b", &json!(5));
        edits.append(other, &json!(5));
        assert!(edits.is_empty());
        assert_eq!(edits.write().as_bytes(), bytes);
    }
    let mut edits = Edits::new(&outer);
    edits.append(outer.root(), &json!(5));
    assert!(!edits.is_empty());
}

/// A value as it might be spelled, with the white space around it.
#[derive(Clone, Debug)]
struct Spelled {
    before: &'static str,
    after: &'static str,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Scalar(String),
    List(Vec<Spelled>),
    /// Names, and whether they are escaped.
    Object(Vec<((String, bool), Spelled)>),
}

impl Spelled {
    fn write(&self, text: &mut String) {
        let Self {
            before,
            after,
            what,
        } = self;
        text.push_str(before);
        match what {
            What::Scalar(scalar) => text.push_str(scalar),
            What::List(items) => {
                text.push('[');
                for (at, item) in items.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    item.write(text);
                }
                text.push_str(if items.is_empty() { after } else { "" });
                text.push(']');
            }
            What::Object(members) => {
                text.push('{');
                for (at, ((name, escaped), value)) in members.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    text.push_str(value.after);
                    text.push_str(&spell(name, *escaped));
                    text.push_str(value.before);
                    text.push(':');
                    value.write(text);
                }
                text.push_str(if members.is_empty() { before } else { "" });
                text.push('}');
            }
        }
        text.push_str(after);
    }
}

fn spell(name: &str, escaped: bool) -> String {
    if !escaped {
        return json!(name).to_string();
    }
    let units = name.encode_utf16();
    let escapes: String = units.map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{escapes}\"")
}

fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", " ", "\n\t", "\r\n  "])
}

/// Few, so that what is put in is often there.
fn name() -> impl Strategy<Value = String> {
    "[ab\"é\u{1F600}]{0,2}"
}

fn spelled() -> impl Strategy<Value = Spelled> {
    let scalar = prop_oneof![
        select(vec![
            "null",
            "true",
            "false",
            "1.10",
            "1E2",
            "-0",
            "1e-999",
            "1208925819614629174706176",
            "18446744073709551615",
            "\"\\u0041\\/\"",
            "\"\\ud83d\\ude00\"",
            "\"]}\\\"\"",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|it| it.to_string()),
        any::<String>().prop_map(|it| json!(it).to_string()),
    ];
    let leaf = scalar.prop_map(What::Scalar);
    let around = |what| {
        (space(), space(), what).prop_map(|(before, after, what)| Spelled {
            before,
            after,
            what,
        })
    };
    around(leaf.boxed()).prop_recursive(4, 40, 6, move |inner| {
        let members = prop::collection::btree_map(name(), (any::<bool>(), inner.clone()), 0..6)
            .prop_map(|all| Vec::from_iter(all).into_iter())
            .prop_map(|all| all.map(|(name, (escaped, value))| ((name, escaped), value)))
            .prop_map(|all| all.collect::<Vec<_>>())
            .prop_shuffle();
        around(
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(What::List),
                members.prop_map(What::Object),
            ]
            .boxed(),
        )
    })
}

fn change() -> impl Strategy<Value = Change> {
    let value = select(vec![
        json!(null),
        json!(5),
        json!("x\"\n"),
        json!([]),
        json!([1, {}]),
        json!({}),
        json!({"a": 1, "": [2]}),
    ]);
    prop_oneof![
        value.clone().prop_map(Change::Replace),
        (name(), value.clone()).prop_map(|(name, value)| Change::Insert(name, value)),
        value.prop_map(Change::Append),
    ]
}

proptest! {
    #[test]
    fn b1_a_changed_document_says_what_was_asked_for_and_the_rest_is_as_it_was(
        spelled in spelled(),
        changes in prop::collection::vec((any::<Index>(), change()), 0..6),
    ) {
        let mut text = String::new();
        spelled.write(&mut text);
        let document = Document::parse(text.as_bytes()).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&document.root().to_value(), &read);
        let mut changing = Changing::new(&document, read);
        for (at, change) in &changes {
            changing.change(at.index(changing.len()), change);
        }
        let written = changing.finish();
        if changes.is_empty() {
            prop_assert_eq!(written, text);
        }
    }
}
