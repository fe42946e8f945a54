//! Which sessions a request names beside its path, and what becomes of its tags. Pure.

use serde_json::Value;

use crate::catalogue::{Field, Operation};
use crate::json::{Document, Edits, Kind, Node};
use crate::ledger::SessionId;
use crate::policy::bounds::{Place, Why};
use crate::target::decode_form;

/// The most sessions that one field may name.
pub(super) const MAX_NAMED: usize = 100;
/// The most tags that Devin lets a session have.
const MOST_TAGS: usize = 50;

/// What a key or field names: an id, or nothing that could be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) place: Place,
    pub(super) field: &'static str,
    pub(super) id: Option<SessionId>,
}

/// What is wrong with a field of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) field: &'static str,
    pub(super) why: Why,
    pub(super) said: String,
}

/// The sessions that the query names.
pub(super) fn in_query(operation: &Operation, query: Option<&str>) -> Vec<Named> {
    let mut found = Vec::new();
    for pair in query.unwrap_or_default().split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(key) = decode_form(key) else {
            continue;
        };
        let mut fields = operation.session_keys();
        if let Some(field) = fields.find(|field| field.key() == key) {
            let id = decode_form(value).and_then(|it| SessionId::parse(&it));
            found.push(Named {
                place: Place::Query,
                field: field.key(),
                id,
            });
        }
    }
    found
}

/// The sessions that the body names: as ids, or as links to them.
pub(super) fn in_body(operation: &Operation, document: &Document<'_>) -> Result<Vec<Named>, Wrong> {
    let mut found = Vec::new();
    for field in operation.session_fields() {
        let Some(node) = present(document, field) else {
            continue;
        };
        let each = node.items().unwrap_or_else(|| vec![node]);
        if each.len() > MAX_NAMED {
            return Err(Wrong {
                field: field.path,
                why: Why::Denied,
                said: format!("it may name {MAX_NAMED} sessions at most"),
            });
        }
        found.extend(each.into_iter().map(|node| Named {
            place: Place::Body,
            field: field.path,
            id: node.as_text().and_then(|text| linked(&text)),
        }));
    }
    Ok(found)
}

/// The session of an id, or of a link in the one form that Devin gives: `https://app.devin.ai/sessions/ID`.
fn linked(text: &str) -> Option<SessionId> {
    let Some(rest) = text.strip_prefix("https://") else {
        return SessionId::parse(text);
    };
    let (host, id) = rest.split_once("/sessions/")?;
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b".-".contains(&it));
    is_host.then(|| SessionId::parse(id)).flatten()
}

/// What becomes of the tags that a session gets in place of those that it has, or at its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tags<'k> {
    /// The gateway will add one of its own.
    Create,
    /// Ours is among those that are replaced: it stays.
    Replace(&'k str),
}

/// The body with our tag, if it is to be put in.
pub(super) fn keep_tag(
    operation: &Operation,
    document: &Document<'_>,
    tags: Tags<'_>,
) -> Result<Option<String>, Wrong> {
    let Some(field) = operation.tag_fields().next() else {
        return Ok(None);
    };
    let wrong = |why, said: String| {
        Err(Wrong {
            field: field.path,
            why,
            said,
        })
    };
    let list = present(document, field);
    let items = list.and_then(Node::items);
    if items.as_ref().is_some_and(|it| it.len() >= MOST_TAGS) {
        let most = MOST_TAGS - 1;
        return wrong(
            Why::Denied,
            format!("it may have {most} tags at most: the gateway adds one of its own"),
        );
    }
    match (tags, list, items) {
        (Tags::Create, ..) => Ok(None),
        (Tags::Replace(tag), Some(list), Some(_)) => {
            let mut edits = Edits::new(document);
            edits.append(list, &Value::from(tag));
            Ok(Some(edits.write()))
        }
        // Whatever Devin made of it, our tag would be gone or the request refused.
        (Tags::Replace(_), ..) => wrong(Why::Malformed, "it must be a list".to_owned()),
    }
}

fn present<'t>(document: &Document<'t>, field: &Field) -> Option<Node<'t>> {
    let node = document.root().member(field.path);
    node.filter(|it| it.kind() != Kind::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::OperationIx;

    fn row(id: &str) -> &'static Operation {
        let mut rows = OperationIx::served().map(OperationIx::row);
        rows.find(|row| row.id == id).unwrap()
    }

    fn bare(named: &[Named]) -> Vec<(&str, Option<&str>)> {
        let id = |it: &'_ Named| it.field;
        named
            .iter()
            .map(|it| (id(it), it.id.as_ref().map(SessionId::bare)))
            .collect()
    }

    #[test]
    fn p13_a_query_names_its_sessions_however_they_are_spelled() {
        let create = row("sessions.create");
        for (query, wanted) in [
            (None, vec![]),
            (Some(""), vec![]),
            (Some("x=1&devin=2&parent_session_id=a"), vec![]),
            (Some("devin_id=devin-a1"), vec![("devin_id", Some("a1"))]),
            (
                Some("%64evin_id=a1&devin%5Fid=devin%2Db"),
                vec![("devin_id", Some("a1")), ("devin_id", Some("b"))],
            ),
            (
                Some("devin_id&devin_id=&devin_id=a/b&devin_id=%ff&devin_id=a,b"),
                vec![("devin_id", None); 5],
            ),
        ] {
            assert_eq!(bare(&in_query(create, query)), wanted, "{query:?}");
        }
        let list = in_query(row("sessions.list"), Some("parent_session_id=a&devin_id=b"));
        assert_eq!(bare(&list), [("parent_session_id", Some("a"))]);
    }

    #[test]
    fn p13_a_body_names_its_sessions_by_id_or_link() {
        let link = "session_links";
        for (body, wanted) in [
            ("{}", vec![]),
            (r#"{"session_links":null,"target_devin_id":"x"}"#, vec![]),
            (r#"{"session_links":[]}"#, vec![]),
            (
                r#"{"session_links":["a","devin-b","https://app.devin.ai/sessions/c","https://acme.devin.ai/sessions/devin-d"]}"#,
                ["a", "b", "c", "d"].map(|it| (link, Some(it))).into(),
            ),
            (
                r#"{"session_links":["","http://app.devin.ai/sessions/a","https://x/sessions/a?b=/sessions/c","https:///sessions/a","https://app.devin.ai/sessions/a/","https://u@app.devin.ai/sessions/a",7,null,["a"]]}"#,
                vec![(link, None); 9],
            ),
            (r#"{"session_links":"devin-a"}"#, vec![(link, Some("a"))]),
            (r#"{"session_links":{"a":"b"}}"#, vec![(link, None)]),
        ] {
            let document = Document::parse(body.as_bytes()).unwrap();
            let named = in_body(row("sessions.create"), &document).unwrap();
            assert_eq!(bare(&named), wanted, "{body}");
        }
        let document = Document::parse(br#"{"target_devin_id":"devin-a"}"#).unwrap();
        for id in ["schedules.create", "schedules.update"] {
            let named = in_body(row(id), &document).unwrap();
            assert_eq!(bare(&named), [("target_devin_id", Some("a"))], "{id}");
        }
        let many = serde_json::json!({ "session_links": vec!["a"; MAX_NAMED + 1] }).to_string();
        let document = Document::parse(many.as_bytes()).unwrap();
        assert!(in_body(row("sessions.create"), &document).is_err());
    }

    #[test]
    fn b12_a_replacement_keeps_our_tag_and_room_for_it() {
        let replace = |body: &str| {
            let document = Document::parse(body.as_bytes()).unwrap();
            let row = row("sessions.tags.replace");
            keep_tag(row, &document, Tags::Replace("tollgate.x")).map_err(|it| it.why)
        };
        for (body, wanted) in [
            (r#"{"tags":[]}"#, r#"{"tags":["tollgate.x"]}"#),
            (
                r#"{ "tags" : [ "a" ], "n":1.10}"#,
                r#"{ "tags" : [ "a","tollgate.x" ], "n":1.10}"#,
            ),
        ] {
            assert_eq!(replace(body).unwrap().as_deref(), Some(wanted), "{body}");
        }
        for body in [
            "{}",
            r#"{"tags":null}"#,
            r#"{"tags":"a"}"#,
            r#"{"tags":{}}"#,
        ] {
            assert_eq!(replace(body), Err(Why::Malformed), "{body}");
        }
        let of = |count| serde_json::json!({ "tags": vec!["a"; count] }).to_string();
        assert!(replace(&of(MOST_TAGS - 1)).is_ok());
        assert_eq!(replace(&of(MOST_TAGS)), Err(Why::Denied));
        let create = |body: &str| {
            let document = Document::parse(body.as_bytes()).unwrap();
            keep_tag(row("sessions.create"), &document, Tags::Create)
        };
        assert_eq!(create(&of(MOST_TAGS - 1)), Ok(None));
        assert_eq!(create("{}"), Ok(None));
        let said = create(&of(MOST_TAGS)).unwrap_err().said;
        assert!(said.contains("49 tags"), "{said}");
    }
}
