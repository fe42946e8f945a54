//! Reading a mapping: each field is asked for once, what nobody asked for is a mistake.

use serde_json::{Number, Value as Json};

use super::report::{Report, nearest};
use super::tree::{Node, Span, Value};

/// A mapping being read.
///
/// Fields are taken by name; [`Table::finish`] then reports every field that
/// nobody took, with the nearest of the names that were asked for.
#[derive(Debug)]
pub struct Table<'a> {
    what: &'static str,
    span: Span,
    entries: Vec<(&'a str, &'a Node, &'a Node)>,
    /// The fields without a value: reported already.
    empty: Vec<&'a str>,
    asked: Vec<&'static str>,
    mistyped: Vec<&'static str>,
    /// The fields that had to be there and were not, with what is to be said of each.
    missing: Vec<(&'static str, String, Option<&'static str>)>,
}

impl<'a> Table<'a> {
    /// Reads `node` as a mapping; anything else is reported as "`what` must be a mapping".
    pub fn new(what: &'static str, node: &'a Node, report: &mut Report) -> Option<Self> {
        let Value::Map(pairs) = &node.value else {
            report.error(
                node.span,
                format!("{what} must be a mapping, not {}", node.value.kind()),
            );
            return None;
        };
        let mut entries = Vec::with_capacity(pairs.len());
        let mut empty = Vec::new();
        for (key, value) in pairs {
            match &key.value {
                // Not the same as absent: an empty `callers:` must not come to mean every caller.
                Value::Text(name) if matches!(value.value, Value::Null) => {
                    report
                        .error(key.span, format!("`{}:` has no value", name.escape_debug()))
                        .help("give it one, or take the line out");
                    empty.push(name.as_str());
                }
                Value::Text(name) => entries.push((name.as_str(), key, value)),
                Value::Null
                | Value::Bool(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::List(_)
                | Value::Map(_) => {
                    report
                        .error(
                            key.span,
                            format!("a key of {what} must be text, not {}", key.value.kind()),
                        )
                        .help("put it in quotes");
                }
            }
        }
        Some(Self {
            what,
            span: node.span,
            entries,
            empty,
            asked: Vec::new(),
            mistyped: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// Where the mapping stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// All entries, for a mapping whose keys are names of the author's: nothing is left for `finish`.
    pub fn into_entries(self) -> impl Iterator<Item = (&'a str, &'a Node, &'a Node)> {
        self.entries.into_iter()
    }

    /// The field of this name.
    pub fn take(&mut self, name: &'static str) -> Option<&'a Node> {
        self.take_entry(name).map(|(_, value)| value)
    }

    fn take_entry(&mut self, name: &'static str) -> Option<(&'a Node, &'a Node)> {
        self.asked.push(name);
        let at = self.entries.iter().position(|(key, _, _)| *key == name)?;
        let (_, key, value) = self.entries.remove(at);
        Some((key, value))
    }

    /// The field of this name; [`Table::finish`] reports that it is missing.
    pub fn require(&mut self, name: &'static str) -> Option<&'a Node> {
        let found = self.take(name);
        if found.is_none() {
            self.miss(name, format!("{} needs `{name}:`", self.what), None);
        }
        found
    }

    /// Notes that a field had to be there.
    pub fn miss(&mut self, name: &'static str, message: String, help: Option<&'static str>) {
        self.missing.push((name, message, help));
    }

    /// A field that this version knows of and does not carry out: refused, never ignored.
    pub fn not_yet(&mut self, name: &'static str, report: &mut Report) {
        let found = self.take_entry(name);
        // Not a name to suggest to anyone.
        self.asked.retain(|asked| *asked != name);
        if let Some((key, _)) = found {
            report
                .error(key.span, format!("`{name}:` is not supported yet"))
                .help("take it out: a rule that is not enforced must not look as if it were");
        }
    }

    /// A field that means something elsewhere: what is said helps more than a list of the fields that there are.
    pub fn misplaced(&mut self, name: &'static str, help: &'static str, report: &mut Report) {
        let found = self.take_entry(name);
        self.asked.retain(|asked| *asked != name);
        if let Some((key, _)) = found {
            report
                .error(key.span, format!("{} has no field `{name}`", self.what))
                .help(help);
        }
    }

    /// Text in the field of this name.
    pub fn text(&mut self, name: &'static str, report: &mut Report) -> Option<(&'a str, Span)> {
        let node = self.take(name)?;
        node.as_text(name, report).map(|text| (text, node.span))
    }

    /// Text in the field of this name, or an error that it is missing.
    pub fn require_text(
        &mut self,
        name: &'static str,
        report: &mut Report,
    ) -> Option<(&'a str, Span)> {
        let node = self.require(name)?;
        node.as_text(name, report).map(|text| (text, node.span))
    }

    /// The items of the list in the field of this name.
    pub fn list(&mut self, name: &'static str, report: &mut Report) -> Option<(&'a [Node], Span)> {
        let node = self.take(name)?;
        if let Value::List(items) = &node.value {
            return Some((items, node.span));
        }
        self.mistyped.push(name);
        report
            .error(
                node.span,
                format!("`{name}:` must be a list, not {}", node.value.kind()),
            )
            .help("a list is written [a, b], or with `- ` before each of its elements");
        None
    }

    /// Reports every field that nobody asked for, and every one that is missing: but not where it stands there
    /// without a value, of the wrong type, or misspelt, since that is said already. What is left here is what
    /// nobody asked for, so a field of another name cannot be taken for a misspelt one.
    pub fn finish(self, report: &mut Report) {
        for (name, message, help) in &self.missing {
            let is_misspelt = |(it, _, _): &(&str, &Node, &Node)| nearest(it, [*name]).is_some();
            let is_said = self.empty.contains(name)
                || self.mistyped.contains(name)
                || self.entries.iter().any(is_misspelt);
            if !is_said {
                let found = report.error(self.span, message.as_str());
                if let Some(help) = help {
                    found.help(*help);
                }
            }
        }
        for (name, key, _) in &self.entries {
            report
                .error(
                    key.span,
                    format!("{} has no field `{}`", self.what, name.escape_debug()),
                )
                .suggest(name, self.asked.iter().copied());
        }
    }
}

impl Node {
    /// This node as text; anything else is reported under the name of its field.
    pub fn as_text<'a>(&'a self, name: &str, report: &mut Report) -> Option<&'a str> {
        if let Some(text) = self.value.text() {
            return Some(text);
        }
        report
            .error(
                self.span,
                format!("`{name}:` must be text, not {}", self.value.kind()),
            )
            .help(match self.value {
                Value::List(_) | Value::Map(_) => "write one text",
                Value::Null
                | Value::Bool(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Text(_) => "put it in quotes",
            });
        None
    }

    /// This node as the JSON value that it spells.
    pub fn as_json(&self, report: &mut Report) -> Option<Json> {
        // What has been a whole number out of range is not exact any more.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match &self.value {
            Value::Null => Some(Json::Null),
            Value::Bool(it) => Some(Json::from(*it)),
            Value::Integer(it) => Some(Json::from(*it)),
            Value::Text(text) => Some(Json::from(text.as_str())),
            Value::Float(it) => {
                let number = Number::from_f64(*it).filter(|_| it.abs() < EXACT);
                if number.is_none() {
                    report
                        .error(self.span, "this number cannot be written as JSON exactly")
                        .help("put it in quotes if text is meant");
                }
                number.map(Json::Number)
            }
            // Every mistake is told, so all are read before any is missed.
            Value::List(items) => {
                let items: Vec<Option<Json>> =
                    items.iter().map(|item| item.as_json(report)).collect();
                items.into_iter().collect::<Option<_>>().map(Json::Array)
            }
            Value::Map(entries) => {
                let members: Vec<Option<(String, Json)>> = entries
                    .iter()
                    .map(|(key, value)| {
                        let value = value.as_json(report);
                        if let Value::Text(name) = &key.value {
                            return Some((name.clone(), value?));
                        }
                        let kind = key.value.kind();
                        report
                            .error(
                                key.span,
                                format!("a name in a JSON object must be text, not {kind}"),
                            )
                            .help("put it in quotes");
                        None
                    })
                    .collect();
                members.into_iter().collect::<Option<_>>().map(Json::Object)
            }
        }
    }

    /// This node as a whole number between the bounds.
    pub fn as_whole(&self, name: &str, min: i64, max: i64, report: &mut Report) -> Option<i64> {
        match self.value {
            Value::Integer(it) if (min..=max).contains(&it) => Some(it),
            Value::Integer(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_) => {
                let range = match (min, max) {
                    (i64::MIN, i64::MAX) => String::new(),
                    (min, i64::MAX) => format!(" of {min} or more"),
                    (min, max) => format!(" from {min} to {max}"),
                };
                report.error(
                    self.span,
                    format!("`{name}:` must be a whole number{range}"),
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Budget, Report, parse};
    use super::*;

    fn read(text: &str) -> String {
        let mut report = Report::default();
        let source = report.add_source("t.yaml", text);
        let root = parse(source, text, Budget::SETTINGS, &mut report).unwrap();
        let mut table = Table::new("it", &root, &mut report).unwrap();
        let _ = table.require("name");
        let _ = table.take("names");
        table.finish(&mut report);
        report.plain()
    }

    #[test]
    fn a_missing_field_is_said_once_and_never_swallowed() {
        assert_eq!(read("{ name: x, names: y }"), "");
        // A field with a name like it is another field, however early the first was asked for.
        assert!(read("{ names: y }").contains("it needs `name:`"));
        assert!(read("{ other: y }").contains("it needs `name:`"));
        for said in ["{ nmae: x }", "{ name: }"] {
            let text = read(said);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.contains("needs"), "{text}");
        }
    }
    #[test]
    fn a_value_is_the_json_that_it_spells() {
        let json = |text: &str| {
            let mut report = Report::default();
            let source = report.add_source("t.yaml", text);
            let root = parse(source, text, Budget::SETTINGS, &mut report).unwrap();
            root.as_json(&mut report).ok_or_else(|| report.plain())
        };
        assert_eq!(
            json("{ a: ~, b: [1, 1.5, 'on', true, {}], c: x }"),
            Ok(serde_json::json!({"a": null, "b": [1, 1.5, "on", true, {}], "c": "x"}))
        );
        for (bad, count) in [
            ("[1e300, 18446744073709551615]", 2),
            ("{ 1: a, 2: b }", 2),
            ("{ a: 1e300, 1: b }", 2),
        ] {
            let error = json(bad).unwrap_err();
            assert_eq!(error.lines().count(), count, "{error}");
        }
    }
}
