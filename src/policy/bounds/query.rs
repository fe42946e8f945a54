//! A query against all terms. What no rule changes is forwarded byte for byte.
//!
//! Keys are compared after decoding, so `org%5Fid` is `org_id`; a key that a
//! rule or a guard looks at may stand once.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::body::guarded;
use super::facts::{Fact, Facts, cut};
use super::seen::Seen;
use super::weigh::{Weighed, Why, weigh};
use super::{Applied, Judged, Place, Refused};
use crate::catalogue::{self, Guard, Shown};
use crate::target::decode_form;

/// What stays bare in a value that a rule has changed.
const BARE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b',');

/// One `key=value` of a query, as received and as meant.
struct Pair<'q> {
    raw: &'q str,
    key: Cow<'q, str>,
    /// None where it is not UTF-8: nobody can say what Devin would read.
    value: Option<Cow<'q, str>>,
}

/// Judges a query, without its `?`.
pub fn judge_query(applied: &Applied<'_>, query: Option<&str>) -> Judged {
    let mut judged = Judged::default();
    judged.facts.query_read = true;
    let pairs = query.map_or(Vec::new(), read);
    if let Some(refused) = two_readings(applied, query, &pairs) {
        judged.refused = Some(refused);
    }
    let mut changes: Vec<(&str, String)> = Vec::new();
    for (key, rulings) in applied.query_rulings() {
        let (is_list, shown) = kind(applied, key);
        let found = match find(&pairs, key) {
            Ok(found) => found,
            Err(said) => {
                let refused = applied.refusal(Place::Query, 0, Some(key), Why::Malformed, said);
                judged.refused.get_or_insert(refused);
                continue;
            }
        };
        let values = found.map(|value| values(value, is_list));
        let fact = Fact::of_query(values.as_deref(), is_list, shown);
        judged.facts.push(format!("query.{key}"), fact);
        match weigh(&rulings, &seen(values.as_deref(), is_list)) {
            Weighed::Keep => {}
            Weighed::Replace(value) => changes.push((key, written(&value))),
            Weighed::Append(more) => {
                let mut all: Vec<String> = values
                    .unwrap_or_default()
                    .into_iter()
                    .map(Cow::into_owned)
                    .collect();
                all.extend(more);
                changes.push((key, all.join(",")));
            }
            Weighed::Refuse { why, said, source } => {
                let refused = applied.refusal(Place::Query, source, Some(key), why, said);
                judged.refused.get_or_insert(refused);
            }
            Weighed::Undecidable => {
                let said = "it cannot be judged".to_owned();
                let refused = applied.refusal(Place::Query, 0, Some(key), Why::Malformed, said);
                judged.refused.get_or_insert(refused);
            }
        }
    }
    judge_guards(applied, &pairs, &mut judged);
    for pair in &pairs {
        if applied.operation.query_field(&pair.key).is_none() {
            judged.facts.note_unknown("query", &pair.key);
            if catalogue::is_guarded_anywhere(&pair.key) {
                let refused = guarded(applied, Place::Query, cut(&pair.key));
                judged.refused.get_or_insert(refused);
            }
            if let Some(refused) = applied.unknown(Place::Query, Some(&pair.key)) {
                judged.refused.get_or_insert(refused);
            }
        }
    }
    if judged.refused.is_none() && !changes.is_empty() {
        judged.forwarded = Some(write(&pairs, &changes));
    }
    judged
}

/// Refuses what some readers take for a key that a rule or a guard looks at, and others do not: `a=1;devin_id=x`,
/// `devin_id[]=x`, ` devin_id=x`, `DEVIN_ID=x`.
fn two_readings(applied: &Applied<'_>, query: Option<&str>, pairs: &[Pair<'_>]) -> Option<Refused> {
    let ruled = applied.query_rulings().into_iter().map(|(key, _)| key);
    let guarded = applied.guards().filter_map(|guard| match guard {
        Guard::Query(key) => Some(*key),
        Guard::Body(_) | Guard::BodyOrElse(..) => None,
    });
    let keys: Vec<&str> = ruled.chain(guarded).collect();
    let refuse = |key: Option<&str>, said: &str| {
        Some(applied.refusal(Place::Query, 0, key, Why::Malformed, said.to_owned()))
    };
    if keys.is_empty() {
        return None;
    }
    if query.is_some_and(|query| query.contains(';')) {
        return refuse(
            None,
            "it has a bare `;`, at which some readers divide keys; encode it as %3B",
        );
    }
    for pair in pairs {
        let plain = pair.key.split(['[', '\0', '?']).find(|it| !it.is_empty());
        let plain = plain.unwrap_or_default().trim();
        let meant = keys.iter().find(|key| plain.eq_ignore_ascii_case(key));
        if let Some(key) = meant
            && pair.key != **key
        {
            return refuse(
                Some(key),
                "it is spelled in a way that some readers take for it",
            );
        }
    }
    None
}

fn judge_guards(applied: &Applied<'_>, pairs: &[Pair<'_>], judged: &mut Judged) {
    for guard in applied.guards() {
        let Guard::Query(key) = guard else { continue };
        let (is_list, shown) = kind(applied, key);
        let name = format!("query.{key}");
        let found = match find(pairs, key) {
            Ok(found) => found,
            Err(said) => {
                let refused = applied.refusal(Place::Query, 0, Some(key), Why::Malformed, said);
                judged.refused.get_or_insert(refused);
                continue;
            }
        };
        if !judged.facts.fields.iter().any(|(it, _)| *it == name) {
            let values = found.map(|value| values(value, is_list));
            let fact = Fact::of_query(values.as_deref(), is_list, shown);
            judged.facts.push(name, fact);
        }
        if found.is_some() && !applied.grants_query(key) {
            judged
                .refused
                .get_or_insert_with(|| guarded(applied, Place::Query, key));
        }
    }
}

/// Judges what a log has kept of a query.
///
/// # Errors
/// The fact that the log has not kept.
pub fn judge_query_facts(applied: &Applied<'_>, facts: &Facts) -> Result<Option<Refused>, String> {
    let fact = |key: &str| {
        let name = format!("query.{key}");
        facts.fields.iter().find(|(it, _)| *it == name)
    };
    let mut undecidable = None;
    for (key, rulings) in applied.query_rulings() {
        let Some((name, fact)) = fact(key) else {
            undecidable.get_or_insert(format!("query.{key}"));
            continue;
        };
        let seen = match fact.seen() {
            // A query's values have no type.
            Some(Seen::Text(text)) => Seen::Raw(text),
            Some(Seen::List(items)) => Seen::List(items.into_iter().map(raw).collect()),
            Some(other) => other,
            None => {
                undecidable.get_or_insert(format!("{name} in full"));
                continue;
            }
        };
        match weigh(&rulings, &seen) {
            Weighed::Keep | Weighed::Replace(_) | Weighed::Append(_) => {}
            Weighed::Refuse { why, said, source } => {
                return Ok(Some(applied.refusal(
                    Place::Query,
                    source,
                    Some(key),
                    why,
                    said,
                )));
            }
            Weighed::Undecidable => {
                undecidable.get_or_insert(format!("{name} in clear"));
            }
        }
    }
    for guard in applied.guards() {
        let Guard::Query(key) = guard else { continue };
        if applied.grants_query(key) {
            continue;
        }
        match fact(key) {
            Some((_, fact)) if fact.is_nothing() => {}
            Some(_) => return Ok(Some(guarded(applied, Place::Query, key))),
            None => {
                undecidable.get_or_insert(format!("query.{key}"));
            }
        }
    }
    let guarded_elsewhere = facts.unknown.iter().find_map(|name| {
        let name = name.strip_prefix("query.")?;
        catalogue::is_guarded_anywhere(name).then(|| guarded(applied, Place::Query, name))
    });
    if guarded_elsewhere.is_some() {
        return Ok(guarded_elsewhere);
    }
    if facts.more_unknown {
        undecidable.get_or_insert("the names of all unknown query keys".to_owned());
    }
    if let Some(refused) = applied.unknown(Place::Query, None) {
        if facts.unknown.iter().any(|it| it.starts_with("query.")) {
            return Ok(Some(refused));
        }
        if !facts.query_read {
            undecidable.get_or_insert("the unknown keys of the query".to_owned());
        }
    }
    match undecidable {
        Some(missing) => Err(missing),
        None => Ok(None),
    }
}

fn raw(seen: Seen<'_>) -> Seen<'_> {
    match seen {
        Seen::Text(text) => Seen::Raw(text),
        other @ (Seen::Absent
        | Seen::Null
        | Seen::Bool(_)
        | Seen::Whole(_)
        | Seen::Number
        | Seen::Raw(_)
        | Seen::List(_)
        | Seen::Object
        | Seen::Hidden { .. }) => other,
    }
}

fn read(query: &str) -> Vec<Pair<'_>> {
    let pairs = query.split('&').filter(|it| !it.is_empty());
    let pair = |raw| {
        let (key, value) = str::split_once(raw, '=').unwrap_or((raw, ""));
        Pair {
            raw,
            // A key that is not UTF-8 is none that anyone governs.
            key: decode_form(key).unwrap_or(Cow::Borrowed(key)),
            value: decode_form(value),
        }
    };
    pairs.map(pair).collect()
}

/// The value of this key. Several could be read in several ways.
fn find<'a>(pairs: &'a [Pair<'_>], key: &str) -> Result<Option<&'a str>, String> {
    let mut found = pairs.iter().filter(|pair| pair.key == key);
    let first = found.next();
    if found.next().is_some() {
        return Err(
            "it stands more than once in the query; several values are one, with commas between"
                .to_owned(),
        );
    }
    match first.map(|pair| pair.value.as_deref()) {
        None => Ok(None),
        Some(Some(value)) => Ok(Some(value)),
        Some(None) => Err("its value is not UTF-8".to_owned()),
    }
}

fn kind(applied: &Applied<'_>, key: &str) -> (bool, Shown) {
    let field = applied.operation.query_field(key);
    let is_list = field.is_some_and(|it| it.path.ends_with("[]"));
    (is_list, field.map_or(Shown::Nothing, |it| it.shown))
}

fn values<'v>(value: &'v str, is_list: bool) -> Vec<Cow<'v, str>> {
    if is_list {
        value.split(',').map(Cow::Borrowed).collect()
    } else {
        vec![Cow::Borrowed(value)]
    }
}

fn seen<'v>(values: Option<&'v [Cow<'v, str>]>, is_list: bool) -> Seen<'v> {
    let one = |it: &'v Cow<'v, str>| Seen::Raw(Cow::Borrowed(it));
    match (values, is_list) {
        (None, _) => Seen::Absent,
        (Some(values), true) => Seen::List(values.iter().map(one).collect()),
        (Some(values), false) => values.first().map_or(Seen::Absent, one),
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(written).collect::<Vec<_>>().join(","),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn write(pairs: &[Pair<'_>], changes: &[(&str, String)]) -> String {
    let pair = |key: &str, value: &str| {
        let encode = |text| utf8_percent_encode(text, BARE).to_string();
        let key = encode(key);
        format!("{key}={}", encode(value))
    };
    let mut parts: Vec<String> = pairs
        .iter()
        .map(|it| match changes.iter().find(|(key, _)| it.key == *key) {
            Some((key, value)) => pair(key, value),
            None => it.raw.to_owned(),
        })
        .collect();
    for (key, value) in changes {
        if !pairs.iter().any(|it| it.key == *key) {
            parts.push(pair(key, value));
        }
    }
    parts.join("&")
}
