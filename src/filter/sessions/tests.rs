//! Queries, pages and cursors of lists of sessions.

use proptest::prelude::*;

use super::*;

fn session(id: &str) -> SessionId {
    SessionId::parse(id).unwrap()
}

#[test]
fn a_query_is_taken_apart_and_put_together_again() {
    let asked = Asked::parse(Some(
        "a=%41+b&first=10&session_ids=devin-x%2Cy&&session_ids=x&z",
    ))
    .unwrap();
    assert_eq!(asked.first, 10);
    assert_eq!(asked.only, Some(vec![session("x"), session("y")]));
    let ids = [session("x"), session("y")];
    assert_eq!(
        asked.query(&ids, None),
        "a=%41+b&z&first=2&session_ids=devin-x%2Cdevin-y"
    );
    assert_eq!(
        asked.query(&ids[..1], Some("c=&")),
        "a=%41+b&z&first=1&session_ids=devin-x&after=c%3D%26"
    );
    let asked = Asked::parse(None).unwrap();
    assert_eq!((asked.first, asked.only, asked.after), (100, None, None));
}

#[test]
fn no_more_ids_are_asked_for_than_fit() {
    let ids: Vec<SessionId> = (10..20).map(|n| session(&n.to_string())).collect();
    let asked = Asked::parse(Some("a=b")).unwrap();
    let around = asked.query(&[], None).len();
    for (room, wanted) in [(0, 0), (10, 0), (11, 1), (21, 1), (22, 2), (1_000, 10)] {
        let count = fitting(&ids, room);
        assert_eq!(count, wanted, "{room}");
        // A little is left over: the last id has no comma behind it, and the size of the page has two digits.
        assert!(asked.query(&ids[..count], None).len() <= around + room.max(3));
    }
}

#[test]
fn who_names_nothing_that_can_be_a_session_asks_for_none() {
    for (query, wanted) in [
        ("session_ids=a/b,c+d", Some(vec![])),
        ("session_ids=", None),
        ("session_ids=,", None),
        ("session_ids=*", Some(vec![])),
        ("session%5Fids=a", Some(vec![session("a")])),
    ] {
        assert_eq!(Asked::parse(Some(query)).unwrap().only, wanted, "{query}");
    }
    let many = format!("session_ids={}", vec!["a"; MOST_NAMED + 1].join(","));
    assert_eq!(Asked::parse(Some(&many)).unwrap_err().key, "session_ids");
}

#[test]
fn what_is_no_size_and_no_cursor_of_ours_is_refused() {
    for query in [
        "first=0",
        "first=201",
        "first=x",
        "first=",
        "first=1&first=1",
        "f%69rst=-1",
    ] {
        assert_eq!(
            Asked::parse(Some(query)).unwrap_err().key,
            "first",
            "{query}"
        );
    }
    let good = cursor(&session("devin-ab1"));
    let of = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let query = format!("after={good}");
    let asked = Asked::parse(Some(&query)).unwrap();
    assert_eq!(asked.after, Some(session("ab1")));
    assert_eq!(Asked::parse(Some("after=")).unwrap().after, None);
    for cursor in [
        // Devin's own.
        "6162".to_owned(),
        format!("{good}="),
        format!("{good}!"),
        good.get(1..).unwrap().to_owned(),
        of("2.ab1"),
        of("1."),
        of("1.devin-ab1"),
        of("1.a/b"),
        of(&format!("1.{}", "a".repeat(129))),
        "A".repeat(MAX_CURSOR + 1),
        format!("{good}&after={good}"),
    ] {
        let query = format!("after={cursor}");
        assert_eq!(
            Asked::parse(Some(&query)).unwrap_err().key,
            "after",
            "{cursor}"
        );
    }
}

#[test]
fn u10_only_what_was_asked_for_is_taken_and_only_once() {
    let page = r#"{"items":[
        {"session_id":"devin-a", "n":1.10, "parent_session_id":"p", "child_session_ids":["devin-c","x"]},
        {"session_id":"devin-b"}, {"session_id":"a"}, {"session_id":"devin-a","id":"devin-b"},
        {"id":"devin-c","session_id":"c"}, {}, 7, null, {"session_id":null}, {"n":{"session_id":"a"}}],
        "has_next_page":true,"end_cursor":"x","total":99}"#;
    let page = read(page.as_bytes(), |id| ["a", "c"].contains(&id.bare())).unwrap();
    let ids: Vec<&str> = page.elements.iter().map(|it| it.id.bare()).collect();
    assert_eq!((ids, page.dropped), (vec!["a", "c"], 8));
    assert_eq!(page.next.as_deref(), Some("x"));
    assert_eq!(page.elements[0].relatives, ["p", "c", "x"].map(session));
    for (sees, wanted) in [
        (
            &["p", "c", "x"][..],
            r#"{"session_id":"devin-a", "n":1.10, "parent_session_id":"p", "child_session_ids":["devin-c","x"]}"#,
        ),
        (
            &["p", "x"],
            r#"{"session_id":"devin-a", "n":1.10, "parent_session_id":"p", "child_session_ids":["x"]}"#,
        ),
        (
            &[],
            r#"{"session_id":"devin-a", "n":1.10, "parent_session_id":null, "child_session_ids":[]}"#,
        ),
    ] {
        let shown = page.elements[0].shown(|id| sees.contains(&id.bare()));
        assert_eq!(shown, wanted);
    }
}

#[test]
fn u12_relatives_of_another_shape_are_not_shown() {
    let page =
        r#"{"items":[{"session_id":"a","parent_session_id":["b"],"child_session_ids":"b"}]}"#;
    let page = read(page.as_bytes(), |_| true).unwrap();
    assert_eq!(
        page.elements[0].shown(|_| true),
        r#"{"session_id":"a","parent_session_id":null,"child_session_ids":[]}"#
    );
}

#[test]
fn u12_what_is_no_page_of_sessions_is_an_error() {
    for page in [
        "",
        "[]",
        "{}",
        r#"{"items":null}"#,
        r#"{"sessions":[]}"#,
        r#"{"items":[],"items":[]}"#,
        r#"{"items":[],"has_next_page":true}"#,
        r#"{"items":[{"session_id":"a","session_id":"b"}]}"#,
    ] {
        assert!(read(page.as_bytes(), |_| true).is_err(), "{page}");
    }
}

#[test]
fn a_page_says_where_the_next_begins_only_if_there_is_one() {
    assert_eq!(
        write(&[], None),
        r#"{"items":[],"end_cursor":null,"has_next_page":false,"total":null}"#
    );
    let page = write(&["{}".to_owned(), "{}".to_owned()], Some(&session("a")));
    let cursor = cursor(&session("a"));
    assert_eq!(
        page,
        format!(
            r#"{{"items":[{{}},{{}}],"end_cursor":"{cursor}","has_next_page":true,"total":null}}"#
        )
    );
}

proptest! {
    #[test]
    fn p12_ids_and_cursor_are_one_value_each_whatever_came_beside_them(
        query in "([ab=&%5]{0,4}|session_ids=x|after=|first=3|&){0,4}",
        ids in proptest::collection::vec("[a-z0-9_-]{1,8}", 1..4),
        after in "\\PC{1,8}",
    ) {
        let ids: Vec<SessionId> = ids.iter().filter_map(|it| SessionId::parse(it)).collect();
        if let Ok(asked) = Asked::parse(Some(&query)) {
            let next = asked.query(&ids, Some(&after));
            let written: Vec<String> = ids.iter().map(ToString::to_string).collect();
            prop_assert_eq!(values(&next, "session_ids"), vec![written.join(",")]);
            prop_assert_eq!(values(&next, "after"), vec![after]);
        }
    }

    #[test]
    fn u12_whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = read(&bytes, |_| true);
    }

    #[test]
    fn cursors_come_back(id in "[A-Za-z0-9_]{1,128}") {
        let id = session(&id);
        prop_assert!(cursor(&id).len() <= MAX_CURSOR);
        prop_assert_eq!(cursor_session(&cursor(&id)), Some(id));
    }
}
