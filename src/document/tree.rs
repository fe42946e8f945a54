//! The tree: what the YAML says, and where it says it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, Tagged, options::DuplicateKeyPolicy, options::MergeKeyPolicy};

use super::budget::Budget;
use super::report::{Report, SourceId};

/// The deepest nesting of one document.
const MAX_DEPTH: usize = 32;

/// A place in a source, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(super) source: SourceId,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// The very beginning of a source: for what is missing altogether.
    pub fn start_of(source: SourceId) -> Self {
        Self {
            source,
            start: 0,
            end: 0,
        }
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// What stands there.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
}

/// What YAML's core schema can say.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing: an empty value, `null` or `~`.
    Null,
    /// `true` or `false`, and no other spelling.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, an exponent, or out of range. No field of ours takes one: it is for JSON bodies in
    /// tests, and elsewhere only to be refused with its place.
    Float(f64),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file; keys are unique.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// What this value is called in a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// The text that it is, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::List(_)
            | Self::Map(_) => None,
        }
    }
}

/// Reads one document into a tree.
///
/// A document that YAML itself refuses (a syntax error, a duplicate key, an
/// alias, a size over the budget) gives one error in `report` and `None`; a
/// value that other readers take for another one is told, and read all the same.
pub fn parse(source: SourceId, text: &str, budget: Budget, report: &mut Report) -> Option<Node> {
    if text.len() > budget.bytes() {
        report.error(Span::start_of(source), budget.too_large());
        return None;
    }
    if let Some(start) = directive(text) {
        let end = start + 1;
        report
            .error(Span { source, start, end }, "directives are not allowed")
            .help("take the line out: files are YAML 1.2");
        return None;
    }
    match serde_saphyr::from_str_with_options::<Placed>(text, strict(budget)) {
        Ok(raw) => Some(raw_node(raw, source, text, report)),
        Err(error) => {
            let plain = error.without_snippet();
            let start = plain
                .location()
                .map_or(0, |at| byte_of(text, at.line(), at.column()));
            let message = first_line(&plain.render_with_options(message_only()), budget);
            report.error(
                Span {
                    source,
                    start,
                    end: start,
                },
                message,
            );
            None
        }
    }
}

fn message_only() -> serde_saphyr::RenderOptions<'static> {
    let mut options = serde_saphyr::RenderOptions::default();
    options.snippets = serde_saphyr::SnippetMode::Off;
    options
}

fn strict(budget: Budget) -> serde_saphyr::Options {
    let budget = serde_saphyr::budget! {
        max_nodes: budget.nodes(),
        max_events: budget.nodes().saturating_mul(3),
        max_total_scalar_bytes: budget.bytes(),
        max_depth: MAX_DEPTH,
        max_aliases: 0,
        max_anchors: 0,
        max_documents: 1,
    };
    serde_saphyr::options! {
        budget: budget,
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
    }
}

/// The YAML library ends a message with its own idea of the place; ours is shown instead.
fn first_line(message: &str, budget: Budget) -> String {
    let line = message.lines().next().unwrap_or("not valid YAML").trim();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = line
        .rfind(" at line ")
        .and_then(|cut| line.get(..cut))
        .unwrap_or(line);
    let line = line
        .split(", set DuplicateKeyPolicy")
        .next()
        .unwrap_or(line);
    if line.starts_with("budget breached: Nodes") {
        return format!(
            "the file has more than {} nodes, which is the limit",
            budget.nodes()
        );
    }
    let ours = [
        (
            "budget breached: Documents",
            "a file is one document: take out the second `---`",
        ),
        (
            "budget breached: Anchors",
            "anchors and aliases are not allowed: write the value out",
        ),
        (
            "budget breached: Aliases",
            "anchors and aliases are not allowed: write the value out",
        ),
        (
            "budget breached",
            "the file is larger or deeper than any that people write",
        ),
        (
            "while scanning an anchor or alias",
            "`*` and `&` begin aliases and anchors here: put the text in quotes",
        ),
        (
            "alias references unknown anchor",
            "`*` and `&` begin aliases and anchors here: put the text in quotes",
        ),
        (
            "YAML merge keys",
            "merge keys (`<<`) are not allowed: write the fields out",
        ),
        (
            "while parsing a block mapping",
            "this is no part of the mapping above: look at how the lines are indented",
        ),
        (
            "mapping values are not allowed",
            "a `: ` cannot stand here: text that holds one needs quotes",
        ),
        (
            "illegal placement of ':'",
            "a `:` cannot stand here: a bracket is open, or text that holds `: ` needs quotes",
        ),
        ("tabs disallowed", "a tab cannot indent: use spaces"),
    ];
    let found = ours.iter().find(|(theirs, _)| line.starts_with(theirs));
    let line = found.map_or(line, |(_, ours)| ours);
    // It can quote a key, which may hold what moves a terminal's cursor.
    let mut shown = String::with_capacity(line.len());
    for it in line.chars() {
        if it.is_control() {
            shown.extend(it.escape_default());
        } else {
            shown.push(it);
        }
    }
    shown
}

/// The byte that a one-based line and column (in characters) stand at.
fn byte_of(text: &str, line: u64, column: u64) -> usize {
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let start: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let rest = text.get(start..).unwrap_or("");
    start
        + rest
            .chars()
            .take(column - 1)
            .map(char::len_utf8)
            .sum::<usize>()
}

/// Where a line before the document begins with `%`: other readers would then read it as another version's.
fn directive(text: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start_matches('\u{feff}');
        if bare.starts_with('%') {
            return Some(start + line.len() - bare.len());
        }
        if !bare.trim().is_empty() && !bare.starts_with('#') {
            return None;
        }
        start += line.len();
    }
    None
}

/// A value with its place and its tag.
type Placed = Tagged<Spanned<Raw>>;

/// The tree as the YAML library hands it over, before places become byte spans.
enum Raw {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Placed>),
    Map(Vec<(Placed, Placed)>),
}

/// The node with its place. What other readers of YAML read as something else is a mistake.
fn raw_node(Tagged(raw, tag): Placed, source: SourceId, text: &str, report: &mut Report) -> Node {
    let at = raw.referenced;
    let start = at
        .span()
        .byte_offset()
        .and_then(|b| usize::try_from(b).ok());
    let start = start.unwrap_or_else(|| byte_of(text, at.line(), at.column()));
    let length = at
        .span()
        .byte_len()
        .and_then(|b| usize::try_from(b).ok())
        .unwrap_or(0);
    let end = start.saturating_add(length).min(text.len());
    let span = Span { source, start, end };
    let written = text.get(start..end).unwrap_or_default();
    match (&raw.value, tag) {
        (_, Some(_)) => {
            report
                .error(span, "tags are not allowed")
                .help("take it out; text is put in quotes");
        }
        (Raw::Bool(it), None) if written != it.to_string() => {
            report
                .error(span, "a boolean is written `true` or `false`")
                .help("if text is meant, put it in quotes");
        }
        (Raw::Integer(it), None) if written != it.to_string() => {
            report
                .error(span, "a whole number is written in plain digits")
                .help("if text is meant, put it in quotes");
        }
        _ => {}
    }
    let mut child = |raw| raw_node(raw, source, text, report);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(it) => Value::Bool(it),
        Raw::Integer(it) => Value::Integer(it),
        Raw::Float(it) => Value::Float(it),
        Raw::Text(it) => Value::Text(it),
        Raw::List(items) => Value::List(items.into_iter().map(child).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (child(key), child(value)))
                .collect(),
        ),
    };
    Node { value, span }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }
    fn visit_bool<E>(self, it: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(it))
    }
    fn visit_i64<E>(self, it: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(it))
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a number out of range is kept only to be refused"
    )]
    fn visit_u64<E>(self, it: u64) -> Result<Raw, E> {
        Ok(i64::try_from(it).map_or(Raw::Float(it as f64), Raw::Integer))
    }
    fn visit_f64<E>(self, it: f64) -> Result<Raw, E> {
        Ok(Raw::Float(it))
    }
    fn visit_str<E>(self, it: &str) -> Result<Raw, E> {
        Ok(Raw::Text(it.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<Node, String> {
        let mut report = Report::default();
        let source = report.add_source("test.yaml", text);
        let node = parse(source, text, Budget::SETTINGS, &mut report);
        node.filter(|_| report.is_clean())
            .ok_or_else(|| report.plain())
    }

    #[test]
    fn values_keep_their_places() {
        let node = tree("team: ds\nlist:\n  - 5\n  - 'yes'\n").unwrap();
        let Value::Map(entries) = node.value else {
            panic!()
        };
        let (key, value) = &entries[1];
        assert!(matches!(&key.value, Value::Text(text) if text == "list"));
        assert_eq!(key.span.start, 9);
        let Value::List(items) = &value.value else {
            panic!()
        };
        assert!(matches!(items[0].value, Value::Integer(5)));
        assert_eq!((items[1].span.start, items[1].span.end), (25, 30));
    }

    #[test]
    fn a5_booleans_have_one_spelling() {
        let node = tree("a: yes\nb: true\nc: on\nd: 0777\n").unwrap();
        let Value::Map(entries) = node.value else {
            panic!()
        };
        assert!(matches!(&entries[0].1.value, Value::Text(it) if it == "yes"));
        assert!(matches!(entries[1].1.value, Value::Bool(true)));
        assert!(matches!(&entries[2].1.value, Value::Text(it) if it == "on"));
    }

    #[test]
    fn a5_what_another_reader_would_read_otherwise_is_refused() {
        for (text, wants) in [
            ("a: 1\na: 2\n", "duplicate"),
            ("a: &x 1\nb: *x\n", ""),
            ("a: 1\n---\nb: 2\n", ""),
            ("a: !!python/object:os.system x\n", ""),
            ("a: 1\n\tb: 2\n", ""),
            ("a: [1, 2\n", ""),
            ("a: 0x10\n", "plain digits"),
            ("a: 1_000\n", "plain digits"),
            ("a: +5\n", "plain digits"),
            ("a: True\n", "`true` or `false`"),
            ("a: !!str x\n", "tags"),
            ("!!str a: x\n", "tags"),
            ("a: !!seq [x]\n", "tags"),
            ("a: ! x\n", "tags"),
            ("\u{feff}# x\n\n%YAML 1.1\n---\na: x\n", "directives"),
            ("<<: {a: 1}\n", ""),
        ] {
            let error = tree(text).expect_err(text);
            assert!(error.to_lowercase().contains(wants), "{text}: {error}");
        }
    }

    #[test]
    fn r14_a_billion_laughs_is_refused_at_once() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let refs = vec![format!("*a{}", level - 1); 9].join(",");
            text += &format!("a{level}: &a{level} [{refs}]\n");
        }
        assert!(tree(&text).is_err());
        let deep = "[".repeat(5_000);
        assert!(tree(&deep).is_err());
    }

    #[test]
    fn r14_a_document_over_its_budget_is_refused_with_the_limit() {
        let read = |text: &str, nodes| {
            let mut report = Report::default();
            let source = report.add_source("test.yaml", text);
            parse(source, text, Budget::of_nodes(nodes), &mut report)
                .map(|_| ())
                .ok_or_else(|| report.plain())
        };
        // Three scalars and their list.
        assert_eq!(read("[1, 2, 3]", 4), Ok(()));
        let error = read("[1, 2, 3]", 3).unwrap_err();
        assert!(error.contains("more than 3 nodes"), "{error}");
        let error = read(&"# ".repeat(97), 3).unwrap_err();
        assert!(error.contains("more than 192 bytes"), "{error}");
    }
}
