//! A JSON body against all terms: read once, judged, changed, written once.

use std::borrow::Cow;

use super::facts::{Fact, Facts, cut};
use super::field::{FieldPath, Presence, Step};
use super::reserved::{judge_reserved, judge_reserved_facts};
use super::seen::{Seen, seen_node};
use super::weigh::{Weighed, Why, weigh};
use super::{Applied, Judged, Place, Refused, Ruling};
use crate::catalogue::{self, Guard, Shown};
use crate::json::{Document, Edits, Kind, Node};

/// Where a value stands, or would.
#[derive(Clone, Copy)]
pub(super) struct Slot<'t, 'p> {
    /// The object or list that has it.
    parent: Node<'t>,
    /// Its name, in an object.
    name: Option<&'p str>,
    pub(super) node: Option<Node<'t>>,
}

/// The body's own object, read once.
pub(super) struct Root<'t> {
    node: Node<'t>,
    members: Vec<(Cow<'t, str>, Node<'t>)>,
}

impl<'t> Root<'t> {
    fn member(&self, name: &str) -> Option<Node<'t>> {
        let found = self.members.iter().find(|(it, _)| it == name);
        found.map(|(_, node)| *node)
    }
}

/// The most members of a body, and the most elements of a list that a rule is about: far more than Devin takes.
const MAX_ELEMENTS: usize = 1_000;

/// Judges a body. What is not an object is nobody's idea of one.
///
/// What is made of it is read and judged once more: whatever two rules make of each other's changes, nothing goes on
/// that would have been refused if it had come, or that would be changed again.
pub fn judge_body(applied: &Applied<'_>, document: &Document<'_>) -> Judged {
    let mut judged = judge_once(applied, document);
    let Some(forwarded) = &judged.forwarded else {
        return judged;
    };
    let again = Document::parse(forwarded.as_bytes()).map(|it| judge_once(applied, &it));
    let refused = match again {
        Ok(again) if again.refused.is_some() => again.refused,
        Ok(again) if again.forwarded.is_none() => None,
        Ok(_) | Err(_) => {
            let said = "its rules change each other's changes".to_owned();
            Some(applied.refusal(Place::Body, 0, None, Why::Malformed, said))
        }
    };
    if refused.is_some() {
        judged.forwarded = None;
        judged.refused = refused;
    }
    judged
}

fn judge_once(applied: &Applied<'_>, document: &Document<'_>) -> Judged {
    let node = document.root();
    let mut judged = Judged::default();
    let Some(members) = node.members() else {
        let said = format!("it must be an object, not {}", article(node.kind()));
        judged.refused = Some(applied.refusal(Place::Body, 0, None, Why::Malformed, said));
        return judged;
    };
    if members.len() > MAX_ELEMENTS {
        let said = format!("it may have {MAX_ELEMENTS} members at most");
        judged.refused = Some(applied.refusal(Place::Body, 0, None, Why::Malformed, said));
        return judged;
    }
    judged.facts.body_read = true;
    let root = &Root { node, members };
    let mut edits = Edits::new(document);
    let mut replaced: Vec<&str> = Vec::new();
    for (path, rulings) in applied.body_rulings() {
        let (fact, outcome) = judge_field(applied, root, path, &rulings, &mut edits);
        judged.facts.push(format!("body.{}", path.as_str()), fact);
        match outcome {
            Ok(true) => replaced.push(path.as_str()),
            Ok(false) => {}
            Err(refused) => {
                judged.refused.get_or_insert(refused);
            }
        }
    }
    judge_guards(applied, root, &replaced, &mut edits, &mut judged);
    judge_reserved(applied, root, &mut judged);
    judge_unknown(applied, root, &mut judged);
    if judged.refused.is_none() && !edits.is_empty() {
        judged.forwarded = Some(edits.write());
    }
    judged
}

/// Judges every value that a path leads to. The answer is whether an absent field was given a value.
fn judge_field<'t>(
    applied: &Applied<'_>,
    root: &Root<'t>,
    path: &FieldPath,
    rulings: &[Ruling<'_>],
    edits: &mut Edits<'t>,
) -> (Fact, Result<bool, Refused>) {
    let shown = shown(applied, path.as_str());
    let slots = match resolve(root, path) {
        Ok(slots) => slots,
        Err(said) => {
            let refused = applied.refusal(
                Place::Body,
                rulings.first().map_or(0, |it| it.source),
                Some(path.as_str()),
                Why::Malformed,
                said,
            );
            return (Fact::Misshapen, Err(refused));
        }
    };
    let fact = match (path.is_single(), slots.first()) {
        (true, first) => first.map_or(Fact::Absent, |slot| Fact::of_node(slot.node, shown)),
        (false, _) => Fact::each(slots.iter().map(|slot| slot.node), shown),
    };
    let mut given = false;
    for slot in slots {
        let seen = seen_node(slot.node);
        if seen.elements().is_some_and(|it| it > MAX_ELEMENTS as u64) {
            let said = format!("it may have {MAX_ELEMENTS} elements at most");
            let source = rulings.first().map_or(0, |it| it.source);
            let refused = applied.refusal(
                Place::Body,
                source,
                Some(path.as_str()),
                Why::Malformed,
                said,
            );
            return (fact, Err(refused));
        }
        match weigh(rulings, &seen) {
            Weighed::Keep => {}
            Weighed::Replace(value) => match (slot.node, slot.name) {
                (Some(node), _) => {
                    given |= node.is_null();
                    edits.replace(node, &value);
                }
                (None, Some(name)) => {
                    given = true;
                    edits.insert(slot.parent, name, &value);
                }
                (None, None) => {}
            },
            Weighed::Append(more) => {
                if let Some(list) = slot.node {
                    for value in more {
                        edits.append(list, &value.into());
                    }
                }
            }
            Weighed::Refuse { why, said, source } => {
                let refused = applied.refusal(Place::Body, source, Some(path.as_str()), why, said);
                return (fact, Err(refused));
            }
            // A body that is here hides nothing.
            Weighed::Undecidable => {
                let said = "it cannot be judged".to_owned();
                return (
                    fact,
                    Err(applied.refusal(Place::Body, 0, Some(path.as_str()), Why::Malformed, said)),
                );
            }
        }
    }
    (fact, Ok(given))
}

/// The places that a path leads to. A parent that is absent or null has none; one of another kind is an error.
pub(super) fn resolve<'t, 'p>(
    root: &Root<'t>,
    path: &'p FieldPath,
) -> Result<Vec<Slot<'t, 'p>>, String> {
    let mut steps = path.steps().iter();
    let Some(Step::Member(first)) = steps.next() else {
        return Err("it is no way to a field".to_owned());
    };
    let mut slots = vec![Slot {
        parent: root.node,
        name: Some(first),
        node: root.member(first),
    }];
    for step in steps {
        let mut next = Vec::with_capacity(slots.len());
        for slot in slots {
            let Some(node) = slot.node.filter(|it| !it.is_null()) else {
                continue;
            };
            match step {
                Step::Member(name) => {
                    if node.kind() != Kind::Object {
                        return Err(format!(
                            "what holds it must be an object, not {}",
                            article(node.kind())
                        ));
                    }
                    next.push(Slot {
                        parent: node,
                        name: Some(name),
                        node: node.member(name),
                    });
                }
                Step::Each => {
                    let Some(items) = node.items() else {
                        return Err(format!(
                            "what holds it must be a list, not {}",
                            article(node.kind())
                        ));
                    };
                    next.extend(items.into_iter().map(|item| Slot {
                        parent: node,
                        name: None,
                        node: Some(item),
                    }));
                }
            }
        }
        if next.len() > MAX_ELEMENTS {
            return Err(format!("there may be {MAX_ELEMENTS} of them at most"));
        }
        slots = next;
    }
    Ok(slots)
}

/// Guarded fields: refused unless the grant names them, and sent as something harmless where their absence is not.
fn judge_guards<'t>(
    applied: &Applied<'_>,
    root: &Root<'t>,
    given: &[&str],
    edits: &mut Edits<'t>,
    judged: &mut Judged,
) {
    for guard in applied.guards() {
        let (name, or_else) = match guard {
            Guard::Body(name) => (*name, None),
            Guard::BodyOrElse(name, absent) => (*name, Some(absent.value())),
            Guard::Query(_) => continue,
        };
        let rule = applied.granted_body(name);
        let (fact, is_there) = find_guarded(applied, root, name);
        // Who sends what would be sent in its absence asks for nothing.
        let is_harmless = is_harmless(&fact, or_else.as_ref());
        let key = format!("body.{name}");
        if !judged.facts.fields.iter().any(|(it, _)| *it == key) {
            judged.facts.push(key, fact);
        }
        if is_there && !is_harmless && rule.is_none() {
            let refused = guarded(applied, Place::Body, name);
            judged.refused.get_or_insert(refused);
        }
        let absence_is_granted =
            rule.is_some_and(|it| it.is_any() || it.presence == Presence::Required);
        if let Some(value) = or_else
            && !is_there
            && !absence_is_granted
            && !given.contains(&name)
        {
            match root.member(name) {
                Some(null) => edits.replace(null, &value),
                None => edits.insert(root.node, name, &value),
            }
        }
    }
}

fn is_harmless(fact: &Fact, or_else: Option<&serde_json::Value>) -> bool {
    matches!((fact, or_else), (Fact::Value(value), Some(harmless)) if value == harmless)
}

/// What a guarded field is, and whether any is there. Of what has another shape than it should, nobody can say
/// that it is not.
fn find_guarded(applied: &Applied<'_>, root: &Root<'_>, name: &str) -> (Fact, bool) {
    let shown = shown(applied, name);
    if !name.contains(['.', '[']) {
        let node = root.member(name);
        return (
            Fact::of_node(node, shown),
            node.is_some_and(|it| !it.is_null()),
        );
    }
    let Some(path) = FieldPath::parse(name) else {
        return (Fact::Misshapen, true);
    };
    let Ok(slots) = resolve(root, &path) else {
        return (Fact::Misshapen, true);
    };
    let is_there = slots
        .iter()
        .any(|slot| slot.node.is_some_and(|it| !it.is_null()));
    let fact = Fact::each(slots.iter().map(|slot| slot.node), shown);
    (fact, is_there)
}

/// The refusal of a guarded field that no grant names.
pub(super) fn guarded(applied: &Applied<'_>, place: Place, name: &str) -> Refused {
    let said = "it is guarded, and the grant does not name it".to_owned();
    applied.refusal(place, 0, Some(name), Why::Denied, said)
}

fn judge_unknown(applied: &Applied<'_>, root: &Root<'_>, judged: &mut Judged) {
    for (name, _) in &root.members {
        if is_known(applied, name) {
            continue;
        }
        judged.facts.note_unknown("body", name);
        if catalogue::is_guarded_anywhere(name) {
            let refused = guarded(applied, Place::Body, cut(name));
            judged.refused.get_or_insert(refused);
        }
        if let Some(refused) = applied.unknown(Place::Body, Some(name)) {
            judged.refused.get_or_insert(refused);
        }
    }
}

fn is_known(applied: &Applied<'_>, name: &str) -> bool {
    applied
        .operation
        .body_fields()
        .any(|field| field.path.split(['.', '[']).next() == Some(name))
}

/// What a log may show of this field: what the catalogue says of it, or of the nearest field above it.
fn shown(applied: &Applied<'_>, path: &str) -> Shown {
    let mut path = path.trim_end_matches("[]");
    loop {
        if let Some(field) = applied.operation.body_field(path) {
            return field.shown;
        }
        let Some(at) = path.rfind(['.', '[']) else {
            return Shown::Nothing;
        };
        path = path.get(..at).unwrap_or_default();
    }
}

fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Bool => "a boolean",
        Kind::Number => "a number",
        Kind::Text => "text",
        Kind::List => "a list",
        Kind::Object => "an object",
    }
}

/// Judges what a log has kept of a body.
///
/// # Errors
/// The fact that the log has not kept.
pub fn judge_facts(applied: &Applied<'_>, facts: &Facts) -> Result<Option<Refused>, String> {
    let fact = |name: &str| {
        let key = format!("body.{name}");
        facts.fields.iter().find(|(it, _)| *it == key)
    };
    let mut undecidable = None;
    for (path, rulings) in applied.body_rulings() {
        let Some((key, fact)) = fact(path.as_str()) else {
            undecidable.get_or_insert(format!("body.{}", path.as_str()));
            continue;
        };
        let each = match fact {
            Fact::Misshapen => {
                let said = "what holds it is of another kind".to_owned();
                return Ok(Some(applied.refusal(
                    Place::Body,
                    rulings.first().map_or(0, |it| it.source),
                    Some(path.as_str()),
                    Why::Malformed,
                    said,
                )));
            }
            Fact::Each(all) => all
                .iter()
                .map(Fact::seen)
                .collect::<Option<Vec<Seen<'_>>>>(),
            Fact::Scalar | Fact::Many(_) => None,
            single @ (Fact::Absent | Fact::Value(_) | Fact::Other { .. } | Fact::Hidden { .. }) => {
                single.seen().map(|it| vec![it])
            }
        };
        for seen in each.as_deref().unwrap_or_default() {
            match weigh(&rulings, seen) {
                Weighed::Keep | Weighed::Replace(_) | Weighed::Append(_) => {}
                Weighed::Refuse { why, said, source } => {
                    return Ok(Some(applied.refusal(
                        Place::Body,
                        source,
                        Some(path.as_str()),
                        why,
                        said,
                    )));
                }
                Weighed::Undecidable => {
                    undecidable.get_or_insert(format!("{key} in clear"));
                }
            }
        }
        if each.is_none() {
            undecidable.get_or_insert(format!("{key} in full"));
        }
    }
    for guard in applied.guards() {
        let (name, or_else) = match guard {
            Guard::Body(name) => (*name, None),
            Guard::BodyOrElse(name, absent) => (*name, Some(absent.value())),
            Guard::Query(_) => continue,
        };
        if applied.granted_body(name).is_some() {
            continue;
        }
        match fact(name) {
            Some((_, fact)) if fact.is_nothing() || is_harmless(fact, or_else.as_ref()) => {}
            Some(_) => return Ok(Some(guarded(applied, Place::Body, name))),
            None => {
                undecidable.get_or_insert(format!("body.{name}"));
            }
        }
    }
    if let Some(refused) = judge_reserved_facts(applied, facts) {
        return Ok(Some(refused));
    }
    let guarded_elsewhere = facts.unknown.iter().find_map(|name| {
        let name = name.strip_prefix("body.")?;
        catalogue::is_guarded_anywhere(name).then(|| guarded(applied, Place::Body, name))
    });
    if guarded_elsewhere.is_some() {
        return Ok(guarded_elsewhere);
    }
    if facts.more_unknown {
        undecidable.get_or_insert("the names of all unknown fields".to_owned());
    }
    if let Some(refused) = applied.unknown(Place::Body, None) {
        if facts.unknown.iter().any(|it| it.starts_with("body.")) {
            return Ok(Some(refused));
        }
        if !facts.body_read {
            undecidable.get_or_insert("the unknown fields of the body".to_owned());
        }
    }
    match undecidable {
        Some(missing) => Err(missing),
        None => Ok(None),
    }
}
