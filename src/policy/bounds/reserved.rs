//! Tags that are the gateway's own: no caller's body may have one, whatever a grant says.
//!
//! A session's creator, cap and hold stand in a tag. One that a caller wrote would be an imitation, or somebody
//! else's, taken along.

use serde_json::Value;

use super::body::{Root, resolve};
use super::facts::{Fact, Facts, cut};
use super::weigh::Why;
use super::{Applied, FieldPath, Judged, Place, Refused};
use crate::json::{Kind, Node};

/// What the gateway's own tags begin with.
pub const RESERVED: &str = "tollgate.";

/// Refuses a body with a reserved tag. The tag itself is a fact, so that the same can be decided of the log.
pub(super) fn judge_reserved(applied: &Applied<'_>, root: &Root<'_>, judged: &mut Judged) {
    for field in applied.operation.tag_fields() {
        let Some(path) = FieldPath::parse(field.path) else {
            continue;
        };
        // What has another shape than it should is Devin's to refuse: no tag can be made of it.
        let slots = resolve(root, &path).unwrap_or_default();
        let Some(tag) = slots
            .iter()
            .filter_map(|slot| slot.node)
            .find_map(|node| reserved(node))
        else {
            continue;
        };
        judged.facts.push(key(field.path), Fact::Value(tag.into()));
        judged
            .refused
            .get_or_insert_with(|| refusal(applied, field.path));
    }
}

/// The same of what a log has kept.
pub(super) fn judge_reserved_facts(applied: &Applied<'_>, facts: &Facts) -> Option<Refused> {
    applied.operation.tag_fields().find_map(|field| {
        let key = key(field.path);
        let is_there = |(name, fact): &(String, Fact)| {
            *name == key && matches!(fact, Fact::Value(Value::String(_)))
        };
        let found = facts.fields.iter().any(is_there);
        found.then(|| refusal(applied, field.path))
    })
}

/// What a reserved tag is noted under. A rule's field is never called so: `tags[]` is `tags` there.
fn key(path: &str) -> String {
    format!("body.{path}[]")
}

fn refusal(applied: &Applied<'_>, path: &str) -> Refused {
    let said = format!("tags that begin with `{RESERVED}` are the gateway's own");
    applied.refusal(Place::Body, 0, Some(path), Why::Denied, said)
}

/// The beginning of the first reserved tag of a list, or the text that stands in a list's place.
fn reserved(node: Node<'_>) -> Option<String> {
    match node.kind() {
        Kind::Text => {
            let text = node.as_text()?;
            is_reserved(&text).then(|| cut(&text).to_owned())
        }
        Kind::List => node.items()?.into_iter().find_map(reserved),
        Kind::Null | Kind::Bool | Kind::Number | Kind::Object => None,
    }
}

/// Also where a reader that trims or folds case would take it for one.
fn is_reserved(tag: &str) -> bool {
    let start = tag.trim_start().get(..RESERVED.len());
    start.is_some_and(|it| it.eq_ignore_ascii_case(RESERVED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b12_a_tag_that_some_reader_takes_for_ours_is_reserved() {
        for tag in [
            "tollgate.",
            "tollgate.x",
            "Tollgate.caller",
            "TOLLGATE.X",
            " tollgate.x",
            "\u{a0}\ttollgate.x",
        ] {
            assert!(is_reserved(tag), "{tag}");
        }
        for tag in [
            "",
            "tollgate",
            "tollgate-x",
            "tollgate:x",
            "x.tollgate.y",
            "tollgat\u{ff45}.x",
            "ключ",
        ] {
            assert!(!is_reserved(tag), "{tag}");
        }
    }
}
