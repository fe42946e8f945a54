//! What no honest API would answer: single sessions shown wrongly or not at all, and pages that
//! repeat, skip or never end. What the sessions really do and spend stays as it is, and
//! [`FakeDevin::truth`](super::FakeDevin::truth) keeps telling it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::ids::hex;
use super::state::bare;

/// How one session is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Odd {
    /// Members that stand in place of the true ones.
    pub(super) shown: Map<String, Value>,
    /// Members that are left out.
    pub(super) left_out: Vec<String>,
    /// Gone from lists, and 404 by its id.
    pub(super) vanished: bool,
}

impl Odd {
    /// The session as it is to be shown.
    pub(super) fn distort(&self, mut view: Value) -> Value {
        if let Some(members) = view.as_object_mut() {
            members.extend(self.shown.clone());
            members.retain(|name, _| !self.left_out.contains(name));
        }
        view
    }
}

/// What is wrong with a page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OddPage {
    /// The entries stand in the opposite order.
    Shuffled,
    /// Each entry stands there twice.
    Repeated,
    /// Every other entry is left out.
    Skipping,
    /// The cursor leads back to the second entry: the next page repeats most of this one.
    Overlapping,
    /// There is more, and the cursor leads to this same page again, for ever.
    CursorRepeats,
    /// There is more, but no cursor to it.
    NoCursor,
}

impl OddPage {
    /// Spoils a page that was read with this cursor; what is no page stays as it is.
    pub(super) fn spoil(self, mut answer: Answer, after: Option<&str>) -> Answer {
        let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else {
            return answer;
        };
        let Some(members) = body.as_object_mut() else {
            return answer;
        };
        let Some(items) = members.get_mut("items").and_then(Value::as_array_mut) else {
            return answer;
        };
        match self {
            Self::Shuffled => items.reverse(),
            Self::Repeated => {
                *items = items
                    .iter()
                    .flat_map(|it| [it.clone(), it.clone()])
                    .collect();
            }
            Self::Skipping => {
                *items = items.iter().step_by(2).cloned().collect();
            }
            Self::Overlapping => {
                let first = items.first().and_then(|item| item.get("session_id"));
                let first = first.and_then(Value::as_str).map(bare);
                if let Some(cursor) = first.map(|id| hex(id.as_bytes()))
                    && items.len() > 1
                {
                    members.insert("end_cursor".into(), cursor.into());
                    members.insert("has_next_page".into(), true.into());
                }
            }
            Self::CursorRepeats => {
                if let Some(after) = after {
                    members.insert("end_cursor".into(), after.into());
                }
                members.insert("has_next_page".into(), true.into());
            }
            Self::NoCursor => {
                members.insert("end_cursor".into(), Value::Null);
                members.insert("has_next_page".into(), true.into());
            }
        }
        answer.body = body.to_string().into();
        answer
    }
}
