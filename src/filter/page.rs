//! One page of a list, without what its reader may not see.

use std::borrow::Cow;

use crate::json::{Document, Invalid, Kind, Node};

/// What is left of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The page that goes out.
    pub body: String,
    /// How many elements stand in it.
    pub kept: usize,
    /// How many elements were left out.
    pub dropped: usize,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// Why a page cannot be filtered. Nothing of its content is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilterable {
    /// Not JSON, or JSON that can be read in two ways.
    #[error("the list is not JSON with one meaning: {0}")]
    Json(String),
    /// Neither shape of a list is a bare array or a scalar.
    #[error("the list is no object")]
    NotAnObject,
    /// No member is a list that is known.
    #[error("the answer holds no list")]
    NoList,
    /// A member is of a kind that it has in no list.
    #[error("the member `{name}` of the list is of the kind {kind}", kind = .kind.as_str())]
    Member {
        /// Which one.
        name: &'static str,
        /// What it is.
        kind: Kind,
    },
    /// There is more, and nobody can ask for it.
    #[error("the list has a next page and no cursor for it")]
    NoCursor,
}

/// Takes out of a page what `shows` does not name.
///
/// A page is `{items, end_cursor, has_next_page, total}`, the early `{organizations}`, or both in one object. Of an
/// element that stays every byte stays, and so of the cursor of a next page. `total` becomes null, since it counts what
/// is hidden, and so does a cursor that leads nowhere: it can name what is hidden.
///
/// # Errors
/// Whatever is not such a page: see [`Unfilterable`].
pub fn filter(page: &[u8], shows: impl Fn(&str) -> bool) -> Result<Filtered, Unfilterable> {
    let document = Document::parse(page).map_err(|invalid| Unfilterable::Json(told(&invalid)))?;
    let members = document.root().members();
    let members = members.ok_or(Unfilterable::NotAnObject)?;

    let mut lists = Lists::default();
    let next = next(&members)?;
    let mut body = String::with_capacity(page.len().min(4096));
    for (name, value) in &members {
        let written = match &**name {
            "items" => lists.write("items", *value, &shows)?.into(),
            "organizations" => lists.write("organizations", *value, &shows)?.into(),
            "end_cursor" if next.is_some() => Cow::Borrowed(value.raw()),
            "end_cursor" | "total" => Cow::Borrowed("null"),
            "has_next_page" => Cow::Borrowed(value.raw()),
            _ => continue,
        };
        body.push(if body.is_empty() { '{' } else { ',' });
        // The names that are known need no escapes.
        body.push('"');
        body.push_str(name);
        body.push_str("\":");
        body.push_str(&written);
    }
    body.push('}');
    Ok(Filtered {
        body,
        kept: lists.kept.ok_or(Unfilterable::NoList)?,
        dropped: lists.dropped,
        next,
    })
}

/// Where the next page begins, if the page says that there is one.
pub(super) fn next(members: &[(Cow<'_, str>, Node<'_>)]) -> Result<Option<String>, Unfilterable> {
    let member = |name| {
        let mut found = members.iter().filter(|(other, _)| other == name);
        found.next().map(|(_, value)| *value)
    };
    let odd = |name, value: Node<'_>| Unfilterable::Member {
        name,
        kind: value.kind(),
    };
    // As everywhere, null is absent.
    let continues = match member("has_next_page").filter(|it| !it.is_null()) {
        Some(value) => value.as_bool().ok_or(odd("has_next_page", value))?,
        None => false,
    };
    let cursor = match member("end_cursor").filter(|it| !it.is_null()) {
        Some(value) => Some(value.as_text().ok_or(odd("end_cursor", value))?),
        None => None,
    };
    match cursor.filter(|it| !it.is_empty()) {
        _ if !continues => Ok(None),
        Some(cursor) => Ok(Some(cursor.into_owned())),
        None => Err(Unfilterable::NoCursor),
    }
}

/// What has become of a page's lists. The early one stands beside today's with the same elements: none counts twice.
#[derive(Default)]
struct Lists {
    /// None while none was found.
    kept: Option<usize>,
    dropped: usize,
}

impl Lists {
    fn write(
        &mut self,
        name: &'static str,
        list: Node<'_>,
        shows: &impl Fn(&str) -> bool,
    ) -> Result<String, Unfilterable> {
        let kind = list.kind();
        let elements = list.items().ok_or(Unfilterable::Member { name, kind })?;
        let visible: Vec<&str> = elements
            .iter()
            .filter(|element| is_visible(**element, shows))
            .map(|element| element.raw())
            .collect();
        self.kept = Some(self.kept.unwrap_or(0).max(visible.len()));
        self.dropped = self.dropped.max(elements.len() - visible.len());
        Ok(format!("[{}]", visible.join(",")))
    }
}

/// Whether an element says which organization it is, and says nothing but visible ones.
fn is_visible(element: Node<'_>, shows: &impl Fn(&str) -> bool) -> bool {
    let members = element.members().unwrap_or_default();
    let mut ids = members
        .iter()
        .filter(|(name, _)| name == "org_id" || name == "id")
        .map(|(_, value)| value.as_text())
        .peekable();
    ids.peek().is_some() && ids.all(|id| id.is_some_and(|id| shows(&id)))
}

/// What is wrong with a text, without the key that may stand in it.
pub(super) fn told(invalid: &Invalid) -> String {
    match invalid {
        Invalid::Duplicate { line, column, .. } => {
            format!("a key stands twice in one object, at line {line} column {column}")
        }
        Invalid::NotUtf8
        | Invalid::ByteOrderMark
        | Invalid::TooDeep
        | Invalid::Number { .. }
        | Invalid::Syntax { .. } => invalid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn shows(id: &str) -> bool {
        matches!(id, "org-a" | "org-c")
    }

    #[track_caller]
    fn filtered(page: &str) -> Filtered {
        filter(page.as_bytes(), shows).unwrap()
    }

    #[track_caller]
    fn refused(page: &str) -> Unfilterable {
        filter(page.as_bytes(), shows).unwrap_err()
    }

    #[test]
    fn u10_both_shapes_are_filtered_and_what_stays_keeps_its_bytes() {
        let today = r#"{ "items" : [ {"org_id":"org-a", "name":"\u0041", "n":1.10} , {"org_id":"org-b"},{"org_id" : "org-c"}],
            "end_cursor":"\u0061b", "has_next_page" : true, "total":3}"#;
        assert_eq!(
            filtered(today),
            Filtered {
                body: r#"{"items":[{"org_id":"org-a", "name":"\u0041", "n":1.10},{"org_id" : "org-c"}],"end_cursor":"\u0061b","has_next_page":true,"total":null}"#.to_owned(),
                kept: 2,
                dropped: 1,
                next: Some("ab".to_owned()),
            }
        );
        let early = r#"{"organizations":[{"id":"org-b","name":"b"},{"id":"org-a","name":"a"}]}"#;
        assert_eq!(
            filtered(early).body,
            r#"{"organizations":[{"id":"org-a","name":"a"}]}"#
        );
        let both = r#"{"organizations":[{"id":"org-b"}],"items":[{"org_id":"org-b"}]}"#;
        let both = filtered(both);
        assert_eq!(both.body, r#"{"organizations":[],"items":[]}"#);
        assert_eq!((both.kept, both.dropped), (0, 1));
        // Lists that differ are each filtered for itself.
        let differ = filtered(r#"{"items":[],"organizations":[{"id":"org-b"},{"id":"org-a"}]}"#);
        assert_eq!(
            differ.body,
            r#"{"items":[],"organizations":[{"id":"org-a"}]}"#
        );
        assert_eq!((differ.kept, differ.dropped), (1, 1));
    }

    #[test]
    fn u12_an_element_that_does_not_say_which_organization_it_is_stays_out() {
        for element in [
            r#"null"#,
            r#"7"#,
            r#""org-a""#,
            r#"["org-a"]"#,
            r#"{}"#,
            r#"[{"org_id":"org-a"}]"#,
            r#"{"name":"org-a"}"#,
            r#"{"org_id":null,"id":"org-a"}"#,
            r#"{"org_id":["org-a"]}"#,
            r#"{"org_id":"org-a","id":7}"#,
            r#"{"org_id":"org-a","id":"org-b"}"#,
            r#"{"org_id":"org-b","id":"org-a"}"#,
            r#"{"org_id":"ORG-A"}"#,
            r#"{"org_id":"org-a "}"#,
            r#"{"org_id":""}"#,
            // What stands deeper names nothing.
            r#"{"parent":{"org_id":"org-a"}}"#,
            r#"{"org_id":"org-b","parent":{"org_id":"org-a"}}"#,
        ] {
            let page = format!(r#"{{"items":[{element},{{"id":"org-c"}}]}}"#);
            let filtered = filtered(&page);
            assert_eq!(filtered.body, r#"{"items":[{"id":"org-c"}]}"#, "{element}");
            assert_eq!((filtered.kept, filtered.dropped), (1, 1));
        }
        // Ids are compared after their escapes are undone, and shown as they came.
        let escaped =
            r#"{"items":[{"\u006frg_id":"org\u002da","id":"org-a"},{"org_id":"org\u002db"}]}"#;
        assert_eq!(
            filtered(escaped).body,
            r#"{"items":[{"\u006frg_id":"org\u002da","id":"org-a"}]}"#
        );
    }

    #[test]
    fn u12_what_cannot_be_filtered_is_an_error() {
        for (page, wanted) in [
            (r#"[{"org_id":"org-a"}]"#, Unfilterable::NotAnObject),
            ("null", Unfilterable::NotAnObject),
            (r#""items""#, Unfilterable::NotAnObject),
            ("{}", Unfilterable::NoList),
            (r#"{"data":[{"org_id":"org-a"}]}"#, Unfilterable::NoList),
            (r#"{"Items":[]}"#, Unfilterable::NoList),
            (r#"{"items":{"items":[]}}"#, member("items", Kind::Object)),
            (r#"{"items":null}"#, member("items", Kind::Null)),
            (
                r#"{"items":[],"organizations":"x"}"#,
                member("organizations", Kind::Text),
            ),
            (
                r#"{"items":[],"end_cursor":["org-b"]}"#,
                member("end_cursor", Kind::List),
            ),
            (
                r#"{"items":[],"has_next_page":"false"}"#,
                member("has_next_page", Kind::Text),
            ),
            (
                r#"{"items":[],"has_next_page":true}"#,
                Unfilterable::NoCursor,
            ),
            (
                r#"{"items":[],"has_next_page":true,"end_cursor":null}"#,
                Unfilterable::NoCursor,
            ),
            (
                r#"{"items":[],"has_next_page":true,"end_cursor":""}"#,
                Unfilterable::NoCursor,
            ),
        ] {
            assert_eq!(refused(page), wanted, "{page}");
        }
        for page in [
            "",
            "<html>org-b</html>",
            r#"{"items":[]"#,
            r#"{"items":[]}{"items":[]}"#,
            r#"{"items":[{"org_id":"org-b"}],"items":[]}"#,
            r#"{"items":[],"item\u0073":[{"org_id":"org-b"}]}"#,
            r#"{"items":[{"org_id":"org-a","org_id":"org-b"}]}"#,
            r#"{"items":[{"org_id":"org-a","org\u005fid":"org-b"}]}"#,
            r#"{"items":[{"org_id":"org-a","secret-of-org-b":1,"secret-of-org-b":2}]}"#,
            "\u{feff}{\"items\":[]}",
        ] {
            let refused = refused(page);
            assert!(matches!(refused, Unfilterable::Json(_)), "{page}");
            assert!(!refused.to_string().contains("org-b"), "{refused}");
        }
        assert!(matches!(
            filter(b"{\"items\":[{\"org_id\":\"\xff\"}]}", shows),
            Err(Unfilterable::Json(_))
        ));
    }

    fn member(name: &'static str, kind: Kind) -> Unfilterable {
        Unfilterable::Member { name, kind }
    }

    #[test]
    fn u12_what_is_not_known_beside_the_lists_stays_out() {
        let page = r#"{"org-b":1,"meta":{"hidden":["org-b"]},"items":[],"first":"org-b","count":9,"total":{"org-b":1}}"#;
        assert_eq!(filtered(page).body, r#"{"items":[],"total":null}"#);
    }

    #[test]
    fn the_next_page_is_known_without_the_escapes_of_its_cursor() {
        let page = r#"{"end_cursor":"a\u0062\/c","items":[],"has_next_page":true}"#;
        assert_eq!(filtered(page).next.as_deref(), Some("ab/c"));
        for end in ["false", "null"] {
            let page = format!(r#"{{"end_cursor":"x","items":[],"has_next_page":{end}}}"#);
            let filtered = filtered(&page);
            assert_eq!(filtered.next, None);
            // It may well be made of the id of the last element.
            let wanted = page.replace(r#""x""#, "null");
            assert_eq!(filtered.body, wanted);
        }
        assert_eq!(filtered(r#"{"end_cursor":"x","items":[]}"#).next, None);
    }

    fn element() -> impl Strategy<Value = Value> {
        let id = prop_oneof![
            Just(json!("org-a")),
            Just(json!("org-b")),
            Just(json!("org-c")),
            Just(json!("hidden")),
            Just(json!(null)),
            Just(json!({ "id": "org-a" })),
            "[a-d-]{0,6}".prop_map(Value::from),
        ];
        let more = prop_oneof![
            Just(json!(1.5)),
            Just(json!([null, {"org_id": "org-a"}])),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        let key = prop_oneof![Just("org_id"), Just("id"), Just("name"), Just("parent")];
        let object = proptest::collection::btree_map(
            key.prop_map(str::to_owned),
            prop_oneof![3 => id, 1 => more.clone()],
            0..4,
        );
        prop_oneof![
            9 => object.prop_map(|members| Value::Object(members.into_iter().collect())),
            1 => more,
        ]
    }

    proptest! {
        #[test]
        fn g11_nothing_hidden_stays_and_nothing_visible_goes(
            elements in proptest::collection::vec(element(), 0..12),
            early in any::<bool>(),
            pretty in any::<bool>(),
        ) {
            let write = |value: &Value| match pretty {
                true => serde_json::to_string_pretty(value).unwrap(),
                false => value.to_string(),
            };
            let name = if early { "organizations" } else { "items" };
            let texts: Vec<String> = elements.iter().map(write).collect();
            let page = format!("{{\"{name}\": [{}], \"total\": {}}}", texts.join(" ,\n"), elements.len());
            let result = filter(page.as_bytes(), shows).unwrap();
            // The same rule, in other words.
            let is_visible = |element: &&(Value, String)| {
                let ids: Vec<&Value> = ["org_id", "id"].iter().filter_map(|key| element.0.get(key)).collect();
                !ids.is_empty() && ids.iter().all(|id| **id == "org-a" || **id == "org-c")
            };
            let pairs: Vec<(Value, String)> = elements.into_iter().zip(texts).collect();
            let wanted: Vec<&str> = pairs.iter().filter(is_visible).map(|(_, text)| text.as_str()).collect();
            prop_assert_eq!(&result.body, &format!("{{\"{name}\":[{}],\"total\":null}}", wanted.join(",")));
            prop_assert_eq!((result.kept, result.dropped), (wanted.len(), pairs.len() - wanted.len()));
            // Filtering again changes nothing.
            let again = filter(result.body.as_bytes(), shows).unwrap();
            prop_assert_eq!((&again.body, again.dropped), (&result.body, 0));
        }

        #[test]
        fn u12_whatever_comes_is_filtered_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            cut in 0..120usize,
        ) {
            let _ = filter(&bytes, shows);
            let page = r#"{"items":[{"org_id":"org-b","x":[1]},{"org_id":"org-a"}],"end_cursor":"é","has_next_page":true}"#;
            // Half an answer is none.
            if cut < page.len() {
                prop_assert!(filter(&page.as_bytes()[..cut], shows).is_err());
            }
        }
    }
}
