//! What goes on in place of the caller's body, and what the answer says beside Devin's. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::acu::Cap;
use crate::json::{Document, Edits};
use crate::ledger::{Held, Remaining};

/// The cap that Devin was told.
pub const ACU_CAP: HeaderName = HeaderName::from_static("tollgate-acu-cap");
/// What is left of the tightest budget.
pub const ACU_REMAINING: HeaderName = HeaderName::from_static("tollgate-acu-remaining");

/// A create's body with the cap that is held, and with our tag. `None` where it is no object.
pub(super) fn with_cap(body: &[u8], cap: Cap, tag: Option<&str>) -> Option<String> {
    let document = Document::parse(body).ok()?;
    let root = document.root();
    root.members()?;
    let mut edits = Edits::new(&document);
    let value = Value::from(cap.get());
    match root.member("max_acu_limit") {
        Some(node) if node.as_whole() == Some(i64::from(cap.get())) => {}
        Some(node) => edits.replace(node, &value),
        None => edits.insert(root, "max_acu_limit", &value),
    }
    if let Some(tag) = tag {
        let tag = Value::from(tag);
        match root.member("tags") {
            Some(tags) if !tags.is_null() => edits.append(tags, &tag),
            Some(tags) => edits.replace(tags, &Value::Array(vec![tag])),
            None => edits.insert(root, "tags", &Value::Array(vec![tag])),
        }
    }
    Some(edits.write())
}

/// Adds to the answer what was held for it.
pub(super) fn tell(headers: &mut HeaderMap, held: &Held) {
    if let Some(cap) = held.cap {
        headers.insert(ACU_CAP, HeaderValue::from(cap.get()));
    }
    let shown = held.remaining.as_ref().map(remaining);
    if let Some(value) = shown.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(ACU_REMAINING, value);
    }
}

/// `12.5;budget="t/month";resets=@1764547200`: a structured field (RFC 9651). Of a budget that others share, only its
/// name and when it resets.
fn remaining(it: &Remaining) -> String {
    let amount = if it.is_own {
        it.acus.to_string()
    } else {
        "shared".to_owned()
    };
    // A budget's name has letters, digits, spaces, `-`, `_`, `.` and `/`.
    let resets = it.resets_at.as_second();
    format!("{amount};budget=\"{}\";resets=@{resets}", it.budget)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acu::Acu;

    #[test]
    fn l3_the_cap_that_devin_gets_is_the_one_that_is_held() {
        let cap = Cap::new(5).unwrap();
        for (body, wanted) in [
            (
                r#"{"prompt":"x"}"#,
                r#"{"prompt":"x","max_acu_limit":5,"tags":["t"]}"#,
            ),
            (
                r#"{"max_acu_limit":5,"tags":null}"#,
                r#"{"max_acu_limit":5,"tags":["t"]}"#,
            ),
            (
                r#"{ "max_acu_limit": 9, "tags": ["a"] }"#,
                r#"{ "max_acu_limit": 5, "tags": ["a","t"] }"#,
            ),
            (
                r#"{"max_acu_limit":null}"#,
                r#"{"max_acu_limit":5,"tags":["t"]}"#,
            ),
        ] {
            assert_eq!(with_cap(body.as_bytes(), cap, Some("t")).unwrap(), wanted);
        }
        assert_eq!(
            with_cap(b"{}", cap, None).unwrap(),
            r#"{"max_acu_limit":5}"#
        );
        assert_eq!(with_cap(b"[]", cap, None), None);
    }

    #[test]
    fn m24_of_budgets_that_others_share_no_number_is_told() {
        let mut it = Remaining {
            budget: "t/month".into(),
            is_own: true,
            acus: Acu::from_milli(12_500),
            resets_at: jiff::Timestamp::from_second(1_764_547_200).unwrap(),
        };
        assert_eq!(remaining(&it), "12.5;budget=\"t/month\";resets=@1764547200");
        it.is_own = false;
        assert_eq!(
            remaining(&it),
            "shared;budget=\"t/month\";resets=@1764547200"
        );
    }
}
