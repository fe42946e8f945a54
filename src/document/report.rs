//! Mistakes in documents: collected, then shown all at once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::tree::Span;
use crate::redact::{mask, redact};

/// The longest word that is compared with the known ones, in bytes.
const MAX_MISSPELT: usize = 256;
/// The longest message, in bytes: it can quote what an author wrote.
const MAX_MESSAGE: usize = 4_096;
/// The longest line that is shown, in bytes.
const MAX_LINE: usize = 4_096;
/// The most mistakes that are kept; the others are counted.
const MAX_KEPT: usize = 10_000;

/// A source that diagnostics can point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(usize);

#[derive(Debug)]
struct Source {
    path: String,
    text: Arc<str>,
}

/// One mistake.
#[derive(Debug)]
pub struct Diagnostic {
    span: Span,
    message: String,
    help: Option<String>,
    also: Option<(Span, String)>,
}

impl Diagnostic {
    /// Says what to do about it.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Points at the other place that has a part in it.
    pub fn also(&mut self, span: Span, label: impl Into<String>) -> &mut Self {
        self.also = Some((span, label.into()));
        self
    }

    /// Offers the nearest of the known words, where one is near, else all of them where they are few.
    pub fn suggest<'a>(
        &mut self,
        wrong: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> &mut Self {
        let known: Vec<&str> = known.into_iter().collect();
        if let Some(near) = nearest(wrong, known.iter().copied()) {
            self.help = Some(format!("did you mean `{near}`?"));
        } else if !known.is_empty() && known.len() <= 12 {
            self.help = Some(format!("known here: {}", known.join(", ")));
        }
        self
    }
}

/// The known word that is most like `wrong`, if one is like it at all.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What is that long is no misspelt name, and comparing it would cost its length times theirs.
    if wrong.len() > MAX_MISSPELT {
        return None;
    }
    known
        .into_iter()
        .filter(|word| word.len() <= MAX_MISSPELT)
        .map(|word| (strsim::damerau_levenshtein(wrong, word), word))
        .filter(|(distance, word)| *distance <= (word.len().max(wrong.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Everything that is wrong with a set of documents.
#[derive(Debug, Default)]
pub struct Report {
    sources: Vec<Source>,
    diagnostics: Vec<Diagnostic>,
    /// How many more there were, and the last of them.
    more: usize,
    last: Option<Diagnostic>,
    secrets: Vec<Span>,
}

/// A mistake as JSON shows it.
#[derive(Serialize)]
struct Shown<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    also: Option<Also<'a>>,
}

#[derive(Serialize)]
struct Also<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    label: &'a str,
}

impl Report {
    /// Names a source, so that spans can point into it.
    pub fn add_source(&mut self, path: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        self.sources.push(Source {
            path: path.into(),
            text: text.into(),
        });
        SourceId(self.sources.len() - 1)
    }

    /// Adds a mistake; the answer takes help and a second place.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.diagnostics.len();
        let mut message = redact(&message.into()).into_owned();
        if message.len() > MAX_MESSAGE {
            let fits = |at: &usize| message.is_char_boundary(*at);
            message.truncate((0..=MAX_MESSAGE).rev().find(fits).unwrap_or_default());
            message.push('…');
        }
        let diagnostic = Diagnostic {
            span,
            message,
            help: None,
            also: None,
        };
        if at == MAX_KEPT {
            self.more += 1;
            return self.last.insert(diagnostic);
        }
        self.diagnostics.push(diagnostic);
        #[expect(clippy::indexing_slicing, reason = "pushed in the line above")]
        &mut self.diagnostics[at]
    }

    /// Shows nothing of what stands there: it may be a secret in the wrong place.
    pub fn secret(&mut self, span: Span) {
        self.secrets.push(span);
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many mistakes there are.
    pub fn len(&self) -> usize {
        self.diagnostics.len() + self.more
    }

    /// `1 mistake` or `7 mistakes`.
    pub fn count(&self) -> String {
        match self.len() {
            1 => "1 mistake".to_owned(),
            several => format!("{several} mistakes"),
        }
    }

    /// Whether there are none (the same as [`Report::is_clean`]).
    pub fn is_empty(&self) -> bool {
        self.is_clean()
    }

    /// `file:line:column: message` per mistake, without snippets: for logs.
    pub fn plain(&self) -> String {
        let mut out = String::new();
        for shown in self.shown() {
            let _ = write!(
                out,
                "{}:{}:{}: {}",
                shown.file, shown.line, shown.column, shown.message
            );
            if let Some(help) = shown.help {
                let _ = write!(out, " ({help})");
            }
            out.push('\n');
        }
        out
    }

    /// All mistakes as a JSON array.
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self.shown()).unwrap_or_default()
    }

    /// All mistakes with snippets, for people; `color` for terminals.
    pub fn human(&self, color: bool) -> String {
        let masked: Vec<String> = (0..self.sources.len())
            .map(|ix| self.masked(SourceId(ix)))
            .collect();
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut lines = Lines::default();
        let mut out = String::new();
        for diagnostic in self.ordered() {
            let (span, kind) = (diagnostic.span, AnnotationKind::Primary);
            let mut group = Level::ERROR
                .primary_title(diagnostic.message.as_str())
                .element(self.snippet(&masked, &mut lines, span, kind, ""));
            if let Some((span, label)) = &diagnostic.also {
                let kind = AnnotationKind::Context;
                group = group.element(self.snippet(&masked, &mut lines, *span, kind, label));
            }
            if let Some(help) = &diagnostic.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            out += &renderer.render(&[group]);
            out += "\n\n";
        }
        if self.more > 0 {
            out += &format!("{}\n\n", self.and_more());
        }
        out
    }

    /// The line of a place, or only its number where the line is longer than any that people write.
    fn snippet<'a>(
        &'a self,
        masked: &'a [String],
        lines: &mut Lines,
        span: Span,
        kind: AnnotationKind,
        label: &'a str,
    ) -> Element<'a> {
        let (path, line, column) = lines.place(self, span);
        let text = masked.get(span.source.0).map_or("", String::as_str);
        // A mapping's span can run over many lines: its first line says enough.
        let shown = lines.line(span, line, text.len());
        let start = span.start.clamp(shown.start, shown.end) - shown.start;
        let end = span.end.clamp(shown.start + start, shown.end) - shown.start;
        let shown = text.get(shown).unwrap_or("").trim_end_matches('\n');
        if shown.len() > MAX_LINE {
            return Origin::path(path).line(line).char_column(column).into();
        }
        let mut annotation = kind.span(start.min(shown.len())..end.min(shown.len()));
        if !label.is_empty() {
            annotation = annotation.label(label);
        }
        let snippet = Snippet::source(shown).path(path).line_start(line);
        snippet.annotation(annotation).into()
    }

    /// A source's text as it may be shown: of the same length, with `*` for what may be secret.
    fn masked(&self, id: SourceId) -> String {
        let (_, text) = self.source(id);
        let mut text = mask(text).into_owned();
        for span in self.secrets.iter().filter(|span| span.source == id) {
            let (start, end) = (span.start.min(text.len()), span.end.min(text.len()));
            if let Some(secret) = text.get(start..end) {
                let hidden: String = secret
                    .chars()
                    .map(|it| {
                        if it == '\n' {
                            "\n".into()
                        } else {
                            "*".repeat(it.len_utf8())
                        }
                    })
                    .collect();
                text.replace_range(start..end, &hidden);
            }
        }
        text
    }

    fn source(&self, id: SourceId) -> (&str, &str) {
        self.sources
            .get(id.0)
            .map_or(("", ""), |source| (source.path.as_str(), &*source.text))
    }

    fn and_more(&self) -> String {
        format!("and {} more mistakes", self.more)
    }

    /// In the order of files and places, so that the same mistakes print the same way.
    fn ordered(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.diagnostics.iter().collect();
        all.sort_by_key(|it| (it.span.source.0, it.span.start));
        all
    }

    fn shown(&self) -> Vec<Shown<'_>> {
        let mut lines = Lines::default();
        let mut others = Lines::default();
        let more = self.last.as_ref().map(|last| {
            let (file, line, column) = others.place(self, last.span);
            Shown {
                file,
                line,
                column,
                message: self.and_more().into(),
                help: None,
                also: None,
            }
        });
        self.ordered()
            .into_iter()
            .map(|diagnostic| {
                let (file, line, column) = lines.place(self, diagnostic.span);
                Shown {
                    file,
                    line,
                    column,
                    message: diagnostic.message.as_str().into(),
                    help: diagnostic.help.as_deref(),
                    also: diagnostic.also.as_ref().map(|(span, label)| {
                        let (file, line, column) = others.place(self, *span);
                        Also {
                            file,
                            line,
                            column,
                            label,
                        }
                    }),
                }
            })
            .chain(more)
            .collect()
    }
}

/// Where the lines of each source begin, found once for all of its mistakes.
#[derive(Default)]
struct Lines {
    starts: HashMap<usize, Vec<usize>>,
    /// The last place, with its column: the next is often behind it in the same line.
    last: Option<(Span, usize)>,
}

impl Lines {
    /// The path, the line and the column (in characters) of a place, both from one.
    fn place<'r>(&mut self, report: &'r Report, span: Span) -> (&'r str, usize, usize) {
        let (path, text) = report.source(span.source);
        let at = span.start.min(text.len());
        let starts = self.starts.entry(span.source.0).or_insert_with(|| {
            let behind = text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(behind).collect()
        });
        let line = starts.partition_point(|start| *start <= at);
        let start = starts.get(line - 1).copied().unwrap_or_default();
        let known = self
            .last
            .filter(|(last, _)| last.source == span.source && (start..=at).contains(&last.start));
        let (from, column) = known.map_or((start, 1), |(last, column)| (last.start, column));
        let between = text.get(from..at).unwrap_or("");
        let column = column + between.chars().count();
        self.last = Some((Span { start: at, ..span }, column));
        (path, line, column)
    }

    /// A line of a source of this length in which a place has been looked for, with its end.
    fn line(&self, span: Span, line: usize, length: usize) -> Range<usize> {
        let starts = self
            .starts
            .get(&span.source.0)
            .map_or(&[][..], Vec::as_slice);
        let start = |line: usize| starts.get(line).copied();
        let first = start(line - 1).unwrap_or_default();
        first..start(line).unwrap_or(length).max(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_and_a_far_one_is_not() {
        let known = ["operations", "organizations", "callers"];
        assert_eq!(nearest("operatons", known), Some("operations"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", ["y"]), Some("y"));
        let long = "x".repeat(1 << 20);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let text = "ä: b, ö: c\nd: ß, e\n";
        let mut report = Report::default();
        let source = report.add_source("t", text);
        for at in ["d", "ö", "e", "ä", "ß"] {
            let start = text.find(at).unwrap();
            let span = Span {
                source,
                start,
                end: start + at.len(),
            };
            report.error(span, at).also(Span::start_of(source), "there");
        }
        assert_eq!(
            report.plain(),
            "t:1:1: ä\nt:1:7: ö\nt:2:1: d\nt:2:4: ß\nt:2:7: e\n"
        );
        let human = report.human(false);
        assert!(
            human.contains("t:2:4\n  |\n2 | d: ß, e\n  |    ^"),
            "{human}"
        );
    }

    #[test]
    fn r14_mistakes_without_end_are_counted_and_not_kept() {
        let text = "x".repeat(2 * MAX_KEPT);
        let mut report = Report::default();
        let source = report.add_source("t", text.as_str());
        for start in 0..text.len() {
            let span = Span {
                source,
                start,
                end: start + 1,
            };
            report.error(span, "no").help("none");
        }
        assert_eq!(report.len(), text.len());
        let human = report.human(false);
        assert!(human.contains("and 10000 more mistakes"), "{}", human.len());
        let json = report.json();
        let all = json.as_array().unwrap();
        assert_eq!(all.len(), MAX_KEPT + 1);
        assert_eq!(all[9].get("column"), Some(&10.into()));
    }
}
