//! What a rule says about fields: `body:`, `query:`, `unknown:`, `secrets:`, `upload:`.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value as Json;

use super::super::bounds::{
    Above, FieldPath, FieldRule, Pattern, Place, Presence, Scalar, Terms, Upload,
};
use super::rule::{flag, texts};
use super::spending::no_room;
use crate::document::{Node, Report, Span, Table, Value, duration, size};

/// How long an answer can be kept: nobody waits for more than a poll or two to see what has changed.
const CACHE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
/// The longest text in a field's rule, in bytes.
const MAX_TEXT: usize = 1_024;

/// What was read, and where.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) terms: Terms,
    pub(super) body_spans: Vec<Span>,
    pub(super) query_spans: Vec<Span>,
    pub(super) reveals: Option<Span>,
    pub(super) upload: Option<Span>,
    pub(super) sessions: Option<Span>,
    pub(super) uncapped: Option<Span>,
    pub(super) cache: Option<Span>,
}

/// Whose bounds are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A grant's: `any` grants a guarded field.
    Grant,
    /// A guard rail's: it grants nothing, so `any` would say nothing.
    Rail,
}

impl Read {
    /// What grants and guard rails can both say.
    pub(super) fn bounds(&mut self, whose: Whose, table: &mut Table<'_>, report: &mut Report) {
        if let Some(node) = table.take("body") {
            for (name, span, rule) in fields(Place::Body, whose, node, report) {
                match FieldPath::parse(name) {
                    Some(path) => {
                        let mut before = self.terms.body.iter().zip(&self.body_spans);
                        if let Some((_, first)) = before.find(|((it, _), _)| *it == path) {
                            report
                                .error(span, format!("the field `{}` stands twice", path.as_str()))
                                .also(*first, "first here")
                                .help("`tags` and `tags[]` are the same field");
                            continue;
                        }
                        self.terms.body.push((path, rule));
                        self.body_spans.push(span);
                    }
                    None => {
                        report
                            .error(span, format!("`{}` is no way to a field", name.escape_debug()))
                            .help("write names with `.` between, and `[]` behind a list whose elements are meant: `session_secrets[].key`");
                    }
                }
            }
        }
        if let Some(node) = table.take("query") {
            for (name, span, rule) in fields(Place::Query, whose, node, report) {
                let name = name.strip_suffix("[]").unwrap_or(name);
                let mut before = self.terms.query.iter().zip(&self.query_spans);
                if let Some((_, first)) = before.find(|((it, _), _)| it == name) {
                    report
                        .error(
                            span,
                            format!("the query key `{}` stands twice", name.escape_debug()),
                        )
                        .also(*first, "first here")
                        .help("`tags` and `tags[]` are the same key");
                    continue;
                }
                self.terms.query.push((name.to_owned(), rule));
                self.query_spans.push(span);
            }
        }
        if let Some((text, span)) = table.text("unknown", report) {
            match text {
                "refuse" => self.terms.refuses_unknown = true,
                "pass" => {}
                other => {
                    report
                        .error(span, "`unknown:` is `pass` or `refuse`")
                        .suggest(other, ["pass", "refuse"]);
                }
            }
        }
        if let Some(node) = table.take("upload") {
            self.terms.upload = upload(node, report);
            self.upload = Some(node.span);
        }
    }

    /// What only a grant can say.
    pub(super) fn secrets(&mut self, table: &mut Table<'_>, report: &mut Report) {
        let Some((text, span)) = table.text("secrets", report) else {
            return;
        };
        if text == "reveal" {
            self.terms.reveals = true;
            self.reveals = Some(span);
        } else {
            report
                .error(span, "`secrets:` can only be `reveal`")
                .help("left out, operations whose answer holds a one-time secret are refused");
        }
    }
}

impl Read {
    /// `cache: 2s`
    pub(super) fn cache(&mut self, table: &mut Table<'_>, report: &mut Report) {
        if let Some(node) = table.take("cache") {
            self.terms.cache = duration("cache", node, &CACHE, report);
            self.cache = Some(node.span);
        }
    }
}

fn fields<'a>(
    place: Place,
    whose: Whose,
    node: &'a Node,
    report: &mut Report,
) -> Vec<(&'a str, Span, FieldRule)> {
    let what = match place {
        Place::Body => "`body:`",
        Place::Query => "`query:`",
    };
    let Some(table) = Table::new(what, node, report) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, key, value) in table.into_entries() {
        // What is no rule is told, and the name is looked at all the same.
        let rule = field(place, whose, name, value, report).unwrap_or_default();
        found.push((name, key.span, rule));
    }
    if found.is_empty() && matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        report
            .error(node.span, format!("{what} names no field"))
            .help("name one, or take it out");
    }
    found
}

fn field(
    place: Place,
    whose: Whose,
    name: &str,
    node: &Node,
    report: &mut Report,
) -> Option<FieldRule> {
    let Value::Map(entries) = &node.value else {
        return any(whose, name, node, report);
    };
    if entries.is_empty() {
        report
            .error(
                node.span,
                format!("the rule for `{}` says nothing", name.escape_debug()),
            )
            .help(match whose {
                Whose::Grant => "write `any` if it may be anything",
                Whose::Rail => "say what it may be, or take it out",
            });
        return None;
    }
    let before = report.len();
    let mut table = Table::new("a field's rule", node, report)?;
    let whole = |table: &mut Table<'_>, name: &'static str, min, report: &mut Report| {
        let node = table.take(name)?;
        node.as_whole(name, min, i64::MAX, report)
    };
    let default = table
        .take("default")
        .and_then(|node| json("default", node, report));
    let min = whole(&mut table, "min", i64::MIN, report);
    let max = whole(&mut table, "max", i64::MIN, report);
    let above = above(&mut table, max.is_none() && report.len() == before, report);
    let one_of = table.list("one_of", report).map(|(items, span)| {
        if items.is_empty() {
            report
                .error(span, "`one_of:` is an empty list")
                .help("for a field that must not be sent, write { absent: true }");
        }
        let mut seen = HashSet::new();
        let mut values = Vec::new();
        for item in items {
            let Some(value) = scalar("one_of", item, report) else {
                continue;
            };
            if !seen.insert(value.json().to_string()) {
                report
                    .error(
                        item.span,
                        format!("`{}` stands twice in `one_of:`", value.shown()),
                    )
                    .help("take one of them out");
            }
            values.push(value);
        }
        values
    });
    let matches = table.take("matches").map(|node| patterns(node, report));
    let mut present = |name: &'static str, report: &mut Report| {
        let node = table.take(name)?;
        if !flag(name, node, report) && matches!(node.value, Value::Bool(false)) {
            report
                .error(node.span, format!("`{name}: false` says nothing"))
                .help("take it out");
        }
        Some(node.span)
    };
    let required = present("required", report);
    let absent = present("absent", report);
    let presence = match (required, absent) {
        (Some(_), Some(span)) => {
            report
                .error(span, "a field cannot be both required and absent")
                .help("take one of them out");
            Presence::Absent
        }
        (Some(_), None) => Presence::Required,
        (None, Some(_)) => Presence::Absent,
        (None, None) => Presence::Free,
    };
    let add = table
        .list("add", report)
        .map(|(items, span)| {
            texts("add", items, span, report)
                .into_iter()
                .map(|it| it.value)
                .collect()
        })
        .unwrap_or_default();
    let count = |it: Option<i64>| it.and_then(|it| u64::try_from(it).ok());
    let max_items = count(whole(&mut table, "max_items", 0, report));
    let max_length = count(whole(&mut table, "max_length", 0, report));
    // The cap of a session is a whole number of ACUs, and at least one: Devin takes no other.
    let is_cap = name == "max_acu_limit" && place == Place::Body;
    let no_room = no_room(is_cap && whose == Whose::Grant, &mut table, report);
    table.finish(report);
    if is_cap && [min, max].into_iter().flatten().any(|it| it < 1) {
        report
            .error(node.span, "a session's cap is one ACU at least")
            .help("to forbid sessions, deny sessions.create");
    }
    let min = match min {
        None if is_cap && (max.is_some() || default.is_some() || no_room.is_some()) => Some(1),
        _ => min,
    };
    let rule = FieldRule {
        default,
        min,
        max,
        above,
        one_of,
        matches,
        presence,
        add,
        max_items,
        max_length,
        no_room: no_room.unwrap_or_default(),
    };
    let asks_for_elements = rule.presence != Presence::Free || rule.default.is_some();
    if name.ends_with("[]") && place == Place::Body && asks_for_elements {
        report
            .error(
                node.span,
                "`[]` names the elements of a list, and an element is never missing",
            )
            .help("write `default:`, `required:` and `absent:` for the list itself, without `[]`");
    }
    if report.len() == before
        && let Some(why) = rule.contradiction(place)
    {
        report
            .error(node.span, why)
            .help("no request could satisfy this rule, or part of it says nothing");
    }
    Some(rule)
}

/// The rule that is no mapping: `any`, or a mistake.
fn any(whose: Whose, name: &str, node: &Node, report: &mut Report) -> Option<FieldRule> {
    let name = name.escape_debug();
    match (&node.value, whose) {
        (Value::Text(text), Whose::Grant) if text == "any" => return Some(FieldRule::default()),
        (Value::Text(text), Whose::Rail) if text == "any" => {
            report
                .error(
                    node.span,
                    format!("`{name}: any` bounds nothing in a guard rail"),
                )
                .help("a guarded field is granted by the team's allow rule; say here what it may be, or take it out");
        }
        (Value::Integer(it), _) => {
            report
                .error(
                    node.span,
                    format!("the rule for `{name}` must be a mapping, or `any`"),
                )
                .help(format!(
                    "write {{ max: {it} }}, or {{ one_of: [{it}] }} for this value alone"
                ));
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_),
            _,
        ) => {
            report
                .error(
                    node.span,
                    format!("the rule for `{name}` must be a mapping, or `any`"),
                )
                .help("write what it may be, such as { one_of: [a, b] }");
        }
    }
    None
}

fn above(table: &mut Table<'_>, has_no_max: bool, report: &mut Report) -> Above {
    let Some((text, span)) = table.text("above", report) else {
        return Above::Refuse;
    };
    let found = match text {
        "refuse" => Above::Refuse,
        "clamp" => Above::Clamp,
        other => {
            report
                .error(span, "`above:` is `refuse` or `clamp`")
                .suggest(other, ["refuse", "clamp"]);
            return Above::Refuse;
        }
    };
    if has_no_max {
        report
            .error(span, "`above:` says nothing without `max:`")
            .help("give it a `max:`, or take it out");
    }
    found
}

fn patterns(node: &Node, report: &mut Report) -> Vec<Pattern> {
    let one = |node: &Node, report: &mut Report| {
        let text = node.as_text("matches", report)?;
        if text.is_empty() || text.len() > MAX_TEXT {
            report
                .error(node.span, "a pattern has 1 to 1024 bytes")
                .help("`*` stands for any text: write acme/*");
            return None;
        }
        Some(Pattern::new(text))
    };
    match &node.value {
        Value::List(items) if !items.is_empty() => {
            items.iter().filter_map(|it| one(it, report)).collect()
        }
        Value::List(_) => {
            report
                .error(node.span, "`matches:` is an empty list")
                .help("for a field that must not be sent, write { absent: true }");
            Vec::new()
        }
        Value::Text(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Map(_) => one(node, report).into_iter().collect(),
    }
}

fn scalar(name: &str, node: &Node, report: &mut Report) -> Option<Scalar> {
    match &node.value {
        Value::Text(text) if text.len() <= MAX_TEXT => Some(Scalar::Text(text.clone())),
        Value::Integer(it) => Some(Scalar::Whole(*it)),
        Value::Bool(it) => Some(Scalar::Bool(*it)),
        Value::Text(_) => {
            report
                .error(
                    node.span,
                    format!("a value of `{name}:` has {MAX_TEXT} bytes at most"),
                )
                .help("for longer text, write `matches:` with its beginning and `*`");
            None
        }
        Value::Null | Value::Float(_) | Value::List(_) | Value::Map(_) => {
            let found = report.error(
                node.span,
                format!(
                    "a value of `{name}:` is text, a whole number or a boolean, not {}",
                    node.value.kind()
                ),
            );
            if matches!(node.value, Value::Float(_)) {
                found.help("if text is meant, put it in quotes");
            }
            None
        }
    }
}

/// A default: a scalar, or a list of them.
fn json(name: &str, node: &Node, report: &mut Report) -> Option<Json> {
    if let Value::List(items) = &node.value {
        let all: Option<Vec<Json>> = items
            .iter()
            .map(|it| scalar(name, it, report).map(|it| it.json()))
            .collect();
        return all.map(Json::Array);
    }
    scalar(name, node, report).map(|it| it.json())
}

/// `{ max_size: 20MiB, max_parts: 1 }`
fn upload(node: &Node, report: &mut Report) -> Option<Upload> {
    let mut table = Table::new("`upload:`", node, report)?;
    let max_bytes = table
        .take("max_size")
        .map(|node| size("max_size", node, report));
    let max_parts = table
        .take("max_parts")
        .map(|node| node.as_whole("max_parts", 1, 10_000, report));
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        report
            .error(node.span, "`upload:` says nothing")
            .help("write { max_size: 20MiB, max_parts: 1 }");
    }
    table.finish(report);
    let max_parts = max_parts
        .flatten()
        .and_then(|parts| u64::try_from(parts).ok());
    Some(Upload {
        max_bytes: max_bytes.flatten(),
        max_parts,
    })
}
