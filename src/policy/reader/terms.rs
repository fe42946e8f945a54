//! What a rule says about fields: `body:`, `query:`, `unknown:`, `secrets:`, `upload:`.

use serde_json::Value as Json;

use super::super::bounds::{Above, FieldPath, FieldRule, Pattern, Presence, Scalar, Terms, Upload};
use super::rule::{flag, texts};
use crate::document::{Node, Report, Span, Table, Value};

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
}

impl Read {
    /// What grants and guard rails can both say.
    pub(super) fn bounds(&mut self, table: &mut Table<'_>, report: &mut Report) {
        if let Some(node) = table.take("body") {
            for (name, span, rule) in fields("`body:`", node, report) {
                match FieldPath::parse(name) {
                    Some(path) => {
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
            for (name, span, rule) in fields("`query:`", node, report) {
                let name = name.strip_suffix("[]").unwrap_or(name);
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

fn fields<'a>(
    what: &'static str,
    node: &'a Node,
    report: &mut Report,
) -> Vec<(&'a str, Span, FieldRule)> {
    let Some(table) = Table::new(what, node, report) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, key, value) in table.into_entries() {
        if let Some(rule) = field(name, value, report) {
            found.push((name, key.span, rule));
        }
    }
    if found.is_empty() && matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        report
            .error(node.span, format!("{what} names no field"))
            .help("name one, or take it out");
    }
    found
}

fn field(name: &str, node: &Node, report: &mut Report) -> Option<FieldRule> {
    if let Value::Text(text) = &node.value {
        if text == "any" {
            return Some(FieldRule::default());
        }
        report
            .error(
                node.span,
                format!(
                    "the rule for `{}` must be a mapping, or `any`",
                    name.escape_debug()
                ),
            )
            .help("write what it may be, such as { one_of: [a, b] }");
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
    let above = match table.text("above", report) {
        None | Some(("refuse", _)) => Above::Refuse,
        Some(("clamp", _)) => Above::Clamp,
        Some((other, span)) => {
            report
                .error(span, "`above:` is `refuse` or `clamp`")
                .suggest(other, ["refuse", "clamp"]);
            Above::Refuse
        }
    };
    if above == Above::Clamp && max.is_none() && report.len() == before {
        report
            .error(node.span, "`above:` says nothing without `max:`")
            .help("give it a `max:`");
    }
    let one_of = table.list("one_of", report).map(|(items, span)| {
        if items.is_empty() {
            report
                .error(span, "`one_of:` is an empty list")
                .help("for a field that must not be sent, write { absent: true }");
        }
        items
            .iter()
            .filter_map(|it| scalar("one_of", it, report))
            .collect()
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
            report.error(span, "a field cannot be both required and absent");
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
    table.not_yet("no_room", report);
    table.finish(report);
    // The cap of a session is a whole number of ACUs, and at least one: Devin takes no other.
    let min = match name {
        "max_acu_limit" if max.is_some() || default.is_some() => min.or(Some(1)),
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
    };
    if report.len() == before
        && let Some(why) = rule.contradiction()
    {
        report
            .error(node.span, why)
            .help("no request could satisfy this rule, or part of it says nothing");
    }
    Some(rule)
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
        Value::Null | Value::Float(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            report
                .error(
                    node.span,
                    format!(
                        "a value of `{name}:` is text of at most {MAX_TEXT} bytes, a whole number or a boolean, not {}",
                        node.value.kind()
                    ),
                )
                .help("a number with a fraction stands in quotes, if text is meant");
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
    let max_bytes = table.take("max_size").map(|node| size(node, report));
    let max_parts = table
        .take("max_parts")
        .map(|node| node.as_whole("max_parts", 1, 10_000, report));
    if max_bytes.is_none() && max_parts.is_none() {
        table.miss(
            "max_size",
            "`upload:` says nothing".to_owned(),
            Some("write { max_size: 20MiB, max_parts: 1 }"),
        );
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

/// `512KiB`, `20MiB`, `1GiB`, in bytes.
fn size(node: &Node, report: &mut Report) -> Option<u64> {
    let text = match &node.value {
        Value::Text(text) => text.as_str(),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Map(_) => "",
    };
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let found = units.iter().find_map(|(unit, shift)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        (1..=1_024).contains(&count).then_some(count << shift)
    });
    if found.is_none() {
        report
            .error(
                node.span,
                "`max_size:` is a whole number from 1 to 1024 and a unit",
            )
            .help("write 512KiB, 20MiB or 1GiB");
    }
    found
}
