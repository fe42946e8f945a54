//! What is a document, and what its values are.

mod changes;
mod model;

use std::borrow::Cow;

use serde_json::{Value, json};

use super::*;

fn refused(text: impl AsRef<[u8]>) -> Invalid {
    let text = text.as_ref();
    Document::parse(text).expect_err(&String::from_utf8_lossy(text))
}

fn root(text: &str) -> Node<'_> {
    Document::parse(text.as_bytes()).expect(text).root()
}

#[test]
fn b1_a_key_that_stands_twice_is_refused_however_it_is_spelled() {
    for text in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u0061":1,"a":2}"#,
        r#"{"a":1,"b":2,"a":1}"#,
        r#"{"x":{"a":1,"a":1}}"#,
        r#"{"x":[[{"a":1,"a":1}]]}"#,
        r#"[{},{"a":{},"a":[]}]"#,
    ] {
        let invalid = refused(text);
        assert!(
            matches!(&invalid, Invalid::Duplicate { key, .. } if key == "a"),
            "{text}: {invalid}"
        );
    }
    assert_eq!(
        refused(r#"{"max_acu_limit":5, "max\u005facu_limit":500}"#).to_string(),
        r#"the key "max_acu_limit" stands twice in one object, at line 1 column 40"#
    );
    for (text, key) in [
        (r#"{"":1,"":2}"#, ""),
        (r#"{"é":1,"\u00e9":2}"#, "é"),
        (r#"{"😀":1,"\ud83d\ude00":2}"#, "😀"),
        (r#"{"\n":1,"\u000a":2}"#, "\n"),
    ] {
        let invalid = refused(text);
        assert!(
            matches!(&invalid, Invalid::Duplicate { key: it, .. } if it == key),
            "{invalid}"
        );
    }
    // Other objects may have the key, and other keys may look alike.
    for text in [
        r#"[{"a":1},{"a":1}]"#,
        r#"{"a":{"a":{"a":1}}}"#,
        r#"{"a":1,"A":2,"a ":3,"а":4,"a\u0000":5,"":6}"#,
        // Unicode has two spellings of this one; JSON compares code points.
        "{\"\u{e9}\":1,\"e\u{301}\":2}",
    ] {
        root(text);
    }
}

#[test]
fn b1_a_duplicate_is_named_and_nothing_else_is() {
    let long = "é".repeat(100);
    let text = format!("{{\"{long}\":\"secret\",\n\"{long}\":\"secret\"}}");
    let invalid = refused(&text);
    let Invalid::Duplicate { key, line, .. } = &invalid else {
        panic!("{invalid}");
    };
    assert_eq!((key, *line), (&"é".repeat(64), 2));
    for text in [
        r#"{"password":"hunter2""#,
        r#"{"a":"hunter2" "b"}"#,
        r#"["hunter2\ud800"]"#,
        r#"["hunter2", 1e999]"#,
        r#"{"a":"hunter2","a":"hunter2"}"#,
        r#"["hunter2]"#,
    ] {
        let said = format!("{0} {0:?}", refused(text));
        assert!(!said.contains("hunter"), "{said}");
    }
    let document = Document::parse(b"{\"a\":\"hunter2\"}").unwrap();
    let mut edits = Edits::new(&document);
    edits.replace(document.root(), &json!("hunter2"));
    assert_eq!(
        format!("{document:?} {:?} {edits:?}", document.root()),
        "Document(15 bytes) Node(object, 15 bytes) Edits(1 values)"
    );
}

#[test]
fn b3_a_number_is_whole_only_if_it_is_spelled_so() {
    for (text, whole) in [
        ("0", Some(0)),
        ("7", Some(7)),
        ("-1", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("18446744073709551615", None),
        ("18446744073709551616", None),
        ("1208925819614629174706176", None),
        ("111111111111111111111111111111", None),
        ("-0", None),
        ("5.0", None),
        ("0.5", None),
        ("5e0", None),
        ("1e2", None),
        ("1E2", None),
        ("1e-999", None),
        ("-0.0", None),
        ("1e308", None),
    ] {
        let node = root(text);
        assert_eq!(
            (node.kind(), node.as_whole(), node.raw()),
            (Kind::Number, whole, text)
        );
        assert_eq!((node.as_bool(), node.as_text()), (None, None), "{text}");
    }
    for text in [
        "\"5\"", "true", "null", "[]", "[5]", "{}", "\"\"", "\"+5\"", "\" 5\"",
    ] {
        assert_eq!(root(text).as_whole(), None, "{text}");
    }
}

#[test]
fn b3_a_number_out_of_range_is_refused_as_one() {
    for text in [
        "1e999",
        "-1e999",
        "1E400",
        "1e309",
        "1e99999999999999999999",
        &"9".repeat(400),
        "[1, {\"a\": 1e999}]",
    ] {
        assert!(matches!(refused(text), Invalid::Number { .. }), "{text}");
    }
    assert_eq!(
        refused("[1,\n 1e999]").to_string(),
        "a number is out of range, at line 2 column 6"
    );
    for text in ["0e999", "1e-99999999999999999999", &"9".repeat(300)] {
        assert_eq!(root(text).kind(), Kind::Number);
    }
}

#[test]
fn b4_64_levels_are_read_and_65_are_not() {
    let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let mixed = |pairs: usize| format!("{}1{}", "[{\"a\":".repeat(pairs), "}]".repeat(pairs));
    for text in [lists(64), objects(64), mixed(32)] {
        root(&text);
        assert_eq!(refused(format!("[{text}]")), Invalid::TooDeep);
        assert_eq!(refused(format!("[{text}")), Invalid::TooDeep);
        assert_eq!(refused(format!("{{\"x\":{text}}}")), Invalid::TooDeep);
        assert_eq!(refused(format!("[1,{{}},{text}]")), Invalid::TooDeep);
    }
    // Beside one another is not inside one another.
    root(&format!("[{}1]", "[[]],".repeat(1_000)));
    for text in [
        lists(100_000),
        objects(100_000),
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
    ] {
        assert_eq!(refused(text), Invalid::TooDeep);
    }
    assert_eq!(
        Invalid::TooDeep.to_string(),
        "lists and objects are nested more than 64 deep"
    );
}

#[test]
fn b4_the_deepest_value_is_reached_level_by_level() {
    let text = format!("{}7{}", "[{\"a\":".repeat(32), "}]".repeat(32));
    let mut node = root(&text);
    for _ in 0..32 {
        node = node.items().unwrap()[0].member("a").unwrap();
    }
    assert_eq!(node.as_whole(), Some(7));
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(root(&text).to_value(), read);
}

#[test]
fn b5_only_utf_8_without_a_mark_is_read() {
    assert_eq!(refused("\u{feff}{}"), Invalid::ByteOrderMark);
    assert_eq!(refused("\u{feff}"), Invalid::ByteOrderMark);
    for bytes in [
        b"\xff\xfe{\0}\0".as_slice(),
        b"\xfe\xff\0{\0}",
        b"\"caf\xe9\"",
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xe2\x82\"",
        b"{\"a\xff\":1}",
        b"{} \xff",
    ] {
        assert_eq!(refused(bytes), Invalid::NotUtf8, "{bytes:?}");
    }
    // UTF-16 and UTF-32 without a mark, and UTF-7.
    for bytes in [
        b"{\0}\0".as_slice(),
        b"\0{\0}",
        b"{\0\0\0}\0\0\0",
        b"+AHsAfQ-",
        b"{+ACI-a+ACI-:1}",
        b" \xef\xbb\xbf{}",
    ] {
        assert!(
            matches!(refused(bytes), Invalid::Syntax { .. }),
            "{bytes:?}"
        );
    }
    assert_eq!(
        root("\"\u{feff}é😀\u{ffff}\"").as_text().unwrap(),
        "\u{feff}é😀\u{ffff}"
    );
}

#[test]
fn b5_half_a_surrogate_pair_is_refused_wherever_it_stands() {
    for half in [
        r"\ud800",
        r"\udbff",
        r"\uDC00",
        r"\udfff",
        r"\ud800x",
        r"\ud800\n",
        r"\ud800\u0061",
        r"\ud800\ud800",
        r"\udc00\ud800",
        r"\ude00\ud83d",
        r"\ud83d\ude00\ud83d",
    ] {
        for text in [
            format!("\"{half}\""),
            format!("{{\"{half}\":1}}"),
            format!("{{\"a\":\"{half}\"}}"),
            format!("[[{{\"a\":[\"x{half}\"]}}]]"),
        ] {
            assert!(matches!(refused(&text), Invalid::Syntax { .. }), "{text}");
        }
    }
    assert_eq!(
        root(r#""\ud83d\ude00\uD83D\uDE00""#).as_text().unwrap(),
        "😀😀"
    );
}

#[test]
fn b6_what_is_not_one_value_of_json_is_refused() {
    for text in [
        "",
        " ",
        "\n\t",
        "{}{}",
        "{} {}",
        "{}\n[]",
        "{} x",
        "{},",
        "x{}",
        "{}]",
        "{}\0",
        "\u{c}{}",
        "\u{a0}{}",
        "{}\u{2028}",
        "{}//",
        "{}#c",
        "/* */{}",
        "[1,/* */2]",
        "{'a':1}",
        "{a:1}",
        "{1:1}",
        "{null:1}",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\" 1}",
        "{\"a\"}",
        "[NaN]",
        "[Infinity]",
        "[-Infinity]",
        "[nan]",
        "[01]",
        "[-01]",
        "[00]",
        "[0x1]",
        "[+1]",
        "[.5]",
        "[5.]",
        "[1e]",
        "[1e+]",
        "[-]",
        "[1_000]",
        "True",
        "nul",
        "undefined",
        "\"",
        "\"a",
        "\"\n\"",
        "\"\t\"",
        "\"\0\"",
        r#""\x61""#,
        r#""\'""#,
        r#""\u12""#,
        r#""\u{61}""#,
        r#"")]}'"{}"#,
    ] {
        assert!(matches!(refused(text), Invalid::Syntax { .. }), "{text:?}");
    }
    assert_eq!(
        refused("{}\n x").to_string(),
        "trailing characters at line 2 column 2"
    );
}

#[test]
fn a_value_says_what_it_is_and_how_it_was_spelled() {
    let text = " [ null , true,false , 1.10 ,\"a\\n\\u00e9\" , [ ] , { \"b\" : 1 } ]\r\n";
    let all = root(text);
    let seen: Vec<_> = all
        .items()
        .unwrap()
        .into_iter()
        .map(|it| (it.kind().as_str(), it.raw()))
        .collect();
    assert_eq!(
        seen,
        [
            ("null", "null"),
            ("boolean", "true"),
            ("boolean", "false"),
            ("number", "1.10"),
            ("text", "\"a\\n\\u00e9\""),
            ("list", "[ ]"),
            ("object", "{ \"b\" : 1 }"),
        ]
    );
    assert_eq!((all.kind(), all.raw()), (Kind::List, text.trim()));
    let items = all.items().unwrap();
    assert_eq!(
        items.iter().map(|it| it.is_null()).collect::<Vec<_>>(),
        [true, false, false, false, false, false, false]
    );
    assert_eq!(
        items.iter().map(|it| it.as_bool()).collect::<Vec<_>>(),
        [None, Some(true), Some(false), None, None, None, None]
    );
    assert_eq!(items[4].as_text().unwrap(), "a\né");
    for (at, item) in items.iter().enumerate() {
        assert_eq!(item.as_text().is_some(), at == 4);
        assert_eq!(item.items().is_some(), at == 5);
        assert_eq!(item.members().is_some(), at == 6);
        assert_eq!(item.member("b").is_some(), at == 6);
    }
    // What has no escapes is not copied.
    assert!(matches!(
        root("\"plain\"").as_text(),
        Some(Cow::Borrowed("plain"))
    ));
    assert_eq!(Document::parse(text.as_bytes()).unwrap().text(), text);
}

#[test]
fn a_member_is_found_by_what_its_name_says() {
    let object = root(r#"{"z":1, "a\u002fb":2, "":3, "\"":{"z":4}}"#);
    for (name, raw) in [("z", "1"), ("a/b", "2"), ("", "3"), ("\"", "{\"z\":4}")] {
        assert_eq!(object.member(name).map(Node::raw), Some(raw));
    }
    for name in ["a\\u002fb", "Z", "z ", "b"] {
        assert!(object.member(name).is_none());
    }
    let names: Vec<_> = object.members().unwrap();
    let names: Vec<_> = names.iter().map(|(name, _)| name.as_ref()).collect();
    assert_eq!(names, ["z", "a/b", "", "\""]);
    assert_eq!(
        object.member("\"").unwrap().member("z").unwrap().as_whole(),
        Some(4)
    );
}
