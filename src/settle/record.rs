//! Devin's record of a session, as far as the ledger reads it (Devin's API reference, `SessionResponse`). Pure.
//!
//! What it says is another's word: an amount that is none, a status nobody knows, an id that is no id are what they are,
//! and take nothing else with them.

use bytes::Bytes;
use serde_json::Value;

use crate::acu::Acu;
use crate::ledger::SessionId;
use crate::ledger::book::Reading;
use crate::ledger::moment::{Begun, Moment};

/// A session's record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub session: SessionId,
    /// Its organization, if it says so.
    pub organization: Option<String>,
    /// `status`; empty where it has none.
    pub status: String,
    /// `status_detail`.
    pub detail: Option<String>,
    /// `acus_consumed`, if that is an amount.
    pub usage: Option<Acu>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its parent.
    pub parent: Option<SessionId>,
    /// Its children.
    pub children: Vec<SessionId>,
    /// When it was created, in seconds since 1970.
    pub created_at: Option<i64>,
    /// When it last changed, in seconds since 1970.
    pub updated_at: Option<i64>,
    /// The service user that created it.
    pub service_user: Option<String>,
    /// The record as it came.
    pub raw: Bytes,
}

impl Record {
    /// Of a JSON value. `None` of what has no session's id.
    pub fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let list = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let id = |text: &str| SessionId::parse(text);
        Some(Self {
            session: id(&text("session_id").or_else(|| text("devin_id"))?)?,
            organization: text("org_id"),
            status: text("status").unwrap_or_default(),
            detail: text("status_detail"),
            usage: value
                .get("acus_consumed")
                .and_then(Value::as_f64)
                .and_then(Acu::from_reported),
            tags: list("tags")
                .filter_map(|it| it.as_str().map(str::to_owned))
                .collect(),
            parent: text("parent_session_id").as_deref().and_then(id),
            children: list("child_session_ids")
                .filter_map(|it| it.as_str().and_then(id))
                .collect(),
            created_at: value.get("created_at").and_then(Value::as_i64),
            updated_at: value.get("updated_at").and_then(Value::as_i64),
            service_user: text("service_user_id"),
            raw: Bytes::from(value.to_string()),
        })
    }

    /// Of an answer's body.
    pub fn parse(body: &[u8]) -> Option<Self> {
        Self::read(&serde_json::from_slice(body).ok()?)
    }

    /// What it says of the session's spending.
    pub fn reading(&self, begun: Begun, moment: Moment) -> Reading {
        Reading {
            begun,
            moment,
            usage: self.usage,
            status: self.status.as_str().into(),
            detail: self.detail.as_deref().map(Into::into),
            organization: self.organization.as_deref().map(Into::into),
        }
    }
}

/// One page of a list of sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The records that are some.
    pub records: Vec<Record>,
    /// Where it goes on; none at the end.
    pub next: Option<String>,
}

impl Page {
    /// Of an answer's body. `None` of what is no page, or says that there is more and not where.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let items = value.get("items")?.as_array()?;
        let more = match value.get("has_next_page") {
            Some(Value::Bool(more)) => *more,
            None | Some(Value::Null) => false,
            Some(_) => return None,
        };
        let cursor = value.get("end_cursor").and_then(Value::as_str);
        Some(Self {
            records: items.iter().filter_map(Record::read).collect(),
            next: match (more, cursor) {
                (true, Some(cursor)) if !cursor.is_empty() => Some(cursor.to_owned()),
                (true, _) => return None,
                (false, _) => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn m13_an_amount_that_is_none_is_not_read() {
        let id = "devin-00000000000000000000000000000001";
        for (shown, wanted) in [
            (json!(1.5), Some(1_500)),
            (json!(0), Some(0)),
            (json!(2), Some(2_000)),
            (json!(null), None),
            (json!("1.5"), None),
            (json!(-1), None),
            (json!(1e12), None),
            (json!([1]), None),
        ] {
            let record =
                Record::read(&json!({ "session_id": id, "acus_consumed": shown })).unwrap();
            assert_eq!(record.usage.map(Acu::milli), wanted, "{shown}");
        }
        assert_eq!(Record::read(&json!({ "session_id": "../x" })), None);
        assert_eq!(Record::read(&json!({ "status": "exit" })), None);
    }

    #[test]
    fn m14_a_page_that_does_not_say_where_it_goes_on_is_none() {
        let page = |text: Value| Page::parse(text.to_string().as_bytes());
        assert_eq!(page(json!({ "items": [], "has_next_page": true })), None);
        assert_eq!(page(json!({ "items": [], "has_next_page": "no" })), None);
        assert_eq!(page(json!({ "items": {} })), None);
        assert_eq!(page(json!([])), None);
        let last =
            page(json!({ "items": [{}, { "session_id": "a" }], "end_cursor": null })).unwrap();
        assert_eq!((last.records.len(), last.next), (1, None));
        let more = page(json!({ "items": [], "has_next_page": true, "end_cursor": "c" })).unwrap();
        assert_eq!(more.next.as_deref(), Some("c"));
    }
}
