//! A list of sessions, asked for by the ids that its reader may see.
//!
//! Nobody can be shown a page of all sessions without what is hidden: it may be any number of pages before one of them
//! holds anything. So the ids come from the ledger, [`Asked::query`] asks Devin for some of them by `session_ids`
//! beside the caller's own filters, and [`read`] takes from the answer those that were asked for.

use std::collections::HashSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::page::{Unfilterable, next, told};
use super::paging::{LARGEST, USUAL, key, pairs, values};
use crate::json::{Document, Edits, Kind, Node};
use crate::ledger::SessionId;

/// The most ids that one request to Devin asks for.
pub const MOST_IDS: usize = 100;
/// The most ids that a caller may name.
pub const MOST_NAMED: usize = 200;
/// The longest cursor that is read, in bytes.
const MAX_CURSOR: usize = 256;
/// What a cursor begins with: the version of its form.
const CURSOR: &str = "1.";
/// Under which names an element says which session it is.
const IDS: [&str; 3] = ["session_id", "devin_id", "id"];

/// What is wrong with the query of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadQuery {
    /// Which key.
    pub key: &'static str,
    /// A sentence.
    pub said: &'static str,
}

/// A cursor that none of this list's pages has given.
pub const NO_CURSOR: BadQuery = BadQuery {
    key: "after",
    said: "it is no cursor of this list",
};

/// What a caller asks of a list of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The most elements of the page.
    pub first: usize,
    /// The session behind which it begins.
    pub after: Option<SessionId>,
    /// The only sessions that are asked for; none where all are.
    pub only: Option<Vec<SessionId>>,
    /// The other pairs of the query, as they came.
    rest: Vec<String>,
}

impl Asked {
    /// Reads the query of a list.
    ///
    /// # Errors
    /// A key that stands twice, a size that is none, a cursor that is not one of ours.
    pub fn parse(query: Option<&str>) -> Result<Self, BadQuery> {
        let query = query.unwrap_or_default();
        let bad = |key, said| Err(BadQuery { key, said });
        let first = match values(query, "first").as_slice() {
            [] => USUAL,
            [one] => match one.parse() {
                Ok(size) if (1..=LARGEST).contains(&size) => size,
                Ok(_) | Err(_) => return bad("first", "it must be a whole number from 1 to 200"),
            },
            [..] => return bad("first", "it stands more than once"),
        };
        let after = match values(query, "after").as_slice() {
            [] => None,
            [one] if one.is_empty() => None,
            [one] => match cursor_session(one) {
                Some(session) => Some(session),
                None => return Err(NO_CURSOR),
            },
            [..] => return bad("after", "it stands more than once"),
        };
        let named = values(query, "session_ids");
        let named: Vec<&str> = named
            .iter()
            .flat_map(|it| it.split(','))
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        if named.len() > MOST_NAMED {
            return bad("session_ids", "it may name 200 sessions at most");
        }
        let mut seen = HashSet::new();
        let only: Vec<SessionId> = named
            .iter()
            .filter_map(|it| SessionId::parse(it))
            .filter(|it| seen.insert(it.clone()))
            .collect();
        let ours = ["first", "after", "session_ids"];
        let rest = pairs(query)
            .filter(|pair| key(pair).is_none_or(|key| !ours.contains(&key.as_str())))
            .map(str::to_owned)
            .collect();
        Ok(Self {
            first,
            after,
            // Who names only what can be no session asks for none, not for all.
            only: (!named.is_empty()).then_some(only),
            rest,
        })
    }

    /// The query that asks for these, and for the page behind a cursor of Devin's.
    pub fn query(&self, ids: &[SessionId], after: Option<&str>) -> String {
        let mut query = String::new();
        for pair in &self.rest {
            query.push_str(pair);
            query.push('&');
        }
        let _ = write!(query, "first={}&session_ids=", ids.len().max(1));
        for (ix, id) in ids.iter().enumerate() {
            if ix > 0 {
                query.push_str("%2C");
            }
            // It needs no escapes.
            let _ = write!(query, "{id}");
        }
        if let Some(cursor) = after {
            let cursor = utf8_percent_encode(cursor, NON_ALPHANUMERIC);
            let _ = write!(query, "&after={cursor}");
        }
        query
    }
}

/// How many of these ids, from the first on, fit into a query of so many bytes.
pub fn fitting(ids: &[SessionId], room: usize) -> usize {
    let sizes = ids.iter().map(|id| id.to_string().len() + "%2C".len());
    let sums = sizes.scan(0_usize, |sum, size| {
        *sum = sum.saturating_add(size);
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= room).count()
}

/// The cursor of what comes behind a session: nothing but its id, which whoever gets the cursor may see.
pub fn cursor(session: &SessionId) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR}{}", session.bare()))
}

fn cursor_session(cursor: &str) -> Option<SessionId> {
    if cursor.len() > MAX_CURSOR {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let bare = text.strip_prefix(CURSOR)?;
    SessionId::parse(bare).filter(|it| it.bare() == bare)
}

/// One session of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Which one.
    pub id: SessionId,
    /// As it came.
    text: String,
    /// The other sessions that it names.
    pub relatives: Vec<SessionId>,
}

/// One page of Devin's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Those that were asked for, each once, in the order in which they came.
    pub elements: Vec<Element>,
    /// How many more there were.
    pub dropped: usize,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// Reads a page. What was not asked for is left out, whatever Devin thinks that it was asked.
///
/// # Errors
/// Whatever is no such page.
pub fn read(page: &[u8], is_asked: impl Fn(&SessionId) -> bool) -> Result<Page, Unfilterable> {
    let document = Document::parse(page).map_err(|invalid| Unfilterable::Json(told(&invalid)))?;
    let members = document.root().members();
    let members = members.ok_or(Unfilterable::NotAnObject)?;
    let next = next(&members)?;
    let list = members.iter().find(|(name, _)| name == "items");
    let list = list.ok_or(Unfilterable::NoList)?.1;
    let items = list.items().ok_or(Unfilterable::Member {
        name: "items",
        kind: list.kind(),
    })?;
    let (mut elements, mut dropped) = (Vec::new(), 0);
    let mut seen = HashSet::new();
    for item in items {
        let id = id(item).filter(|id| is_asked(id) && seen.insert(id.clone()));
        let Some(id) = id else {
            dropped += 1;
            continue;
        };
        let relatives = relatives(item).filter_map(|text| SessionId::parse(&text));
        elements.push(Element {
            id,
            relatives: relatives.collect(),
            text: item.raw().to_owned(),
        });
    }
    Ok(Page {
        elements,
        dropped,
        next,
    })
}

/// Which session an element says that it is, if it says that once or always the same.
fn id(element: Node<'_>) -> Option<SessionId> {
    let members = element.members()?;
    let mut ids = members
        .iter()
        .filter(|(name, _)| IDS.contains(&&**name))
        .map(|(_, value)| value.as_text().and_then(|it| SessionId::parse(&it)));
    let first = ids.next()??;
    ids.all(|it| it.as_ref() == Some(&first)).then_some(first)
}

/// The sessions that an element names beside itself, as they are written.
fn relatives(element: Node<'_>) -> impl Iterator<Item = String> {
    let parent = element.member("parent_session_id");
    let children = element.member("child_session_ids");
    let children = children.and_then(Node::items).unwrap_or_default();
    let texts = parent.into_iter().chain(children);
    texts.filter_map(|node| Some(node.as_text()?.into_owned()))
}

impl Element {
    /// As its reader may see it: without the parent and the children that it may not.
    pub fn shown(&self, may_see: impl Fn(&SessionId) -> bool) -> String {
        // It was read before.
        let Ok(document) = Document::parse(self.text.as_bytes()) else {
            return "{}".to_owned();
        };
        let sees = |node: Node<'_>| {
            let id = node.as_text().and_then(|it| SessionId::parse(&it));
            id.is_some_and(|id| may_see(&id))
        };
        let mut edits = Edits::new(&document);
        if let Some(parent) = document.root().member("parent_session_id")
            && !parent.is_null()
            && !sees(parent)
        {
            edits.replace(parent, &Value::Null);
        }
        if let Some(children) = document.root().member("child_session_ids")
            && !children.is_null()
        {
            let items = children.items().unwrap_or_default();
            let visible: Vec<Value> = items
                .iter()
                .filter(|it| sees(**it))
                .map(|it| it.to_value())
                .collect();
            if children.kind() != Kind::List || visible.len() < items.len() {
                edits.replace(children, &Value::Array(visible));
            }
        }
        if edits.is_empty() {
            self.text.clone()
        } else {
            edits.write()
        }
    }
}

/// The page that goes out. `total` is not said: it would count what Devin has, not what the reader may see.
pub fn write(elements: &[String], next: Option<&SessionId>) -> String {
    let items = elements.join(",");
    let (cursor, has_next) = match next {
        Some(session) => (format!("\"{}\"", cursor(session)), true),
        None => ("null".to_owned(), false),
    };
    format!(
        "{{\"items\":[{items}],\"end_cursor\":{cursor},\"has_next_page\":{has_next},\"total\":null}}"
    )
}

#[cfg(test)]
mod tests;
