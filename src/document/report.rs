//! Mistakes in documents, and what is surely not meant: collected, then shown all at once.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use super::tree::Span;
use crate::redact::{mask, redact};

/// A source that diagnostics can point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(usize);

#[derive(Debug)]
struct Source {
    path: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// How bad it is; the worse comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    /// The documents are not taken.
    Error,
    /// They are, and something in them is surely not meant.
    Warning,
}

/// One mistake, or one warning.
#[derive(Debug)]
pub struct Diagnostic {
    severity: Severity,
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
    let length = wrong.chars().count();
    let enough = |word: &str| (word.len().max(wrong.len()) / 3).max(1);
    known
        .into_iter()
        // Two words are at least as far apart as their lengths, and a long one's distance takes long to find.
        .filter(|word| word.chars().count().abs_diff(length) <= enough(word))
        .map(|word| (strsim::damerau_levenshtein(wrong, word), word))
        .filter(|(distance, word)| *distance <= enough(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The most warnings that are shown to people at once; JSON has all of them.
const MAX_SHOWN: usize = 50;

/// Everything that is wrong with a set of documents, and everything to be warned of.
#[derive(Debug, Default)]
pub struct Report {
    sources: Vec<Source>,
    diagnostics: Vec<Diagnostic>,
    secrets: Vec<Span>,
}

/// A mistake as JSON shows it.
#[derive(Serialize)]
struct Shown<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
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
    pub fn add_source(&mut self, path: impl Into<String>, text: impl Into<String>) -> SourceId {
        let text = text.into();
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        self.sources.push(Source {
            path: path.into(),
            lines: std::iter::once(0).chain(ends).collect(),
            text,
        });
        SourceId(self.sources.len() - 1)
    }

    /// Adds a mistake; the answer takes help and a second place.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, span, message.into())
    }

    /// Adds what is legal and surely not meant; the answer takes help and a second place.
    pub fn warn(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, span, message.into())
    }

    fn add(&mut self, severity: Severity, span: Span, message: String) -> &mut Diagnostic {
        let at = self.diagnostics.len();
        self.diagnostics.push(Diagnostic {
            severity,
            span,
            message: redact(&message).into_owned(),
            help: None,
            also: None,
        });
        #[expect(clippy::indexing_slicing, reason = "pushed in the line above")]
        &mut self.diagnostics[at]
    }

    /// Shows nothing of what stands there: it may be a secret in the wrong place.
    pub fn secret(&mut self, span: Span) {
        self.secrets.push(span);
    }

    /// Whether nothing is wrong; there may be warnings.
    pub fn is_clean(&self) -> bool {
        self.of(Severity::Error).next().is_none()
    }

    /// How many mistakes there are.
    pub fn len(&self) -> usize {
        self.of(Severity::Error).count()
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.of(Severity::Warning).count()
    }

    fn of(&self, severity: Severity) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics
            .iter()
            .filter(move |it| it.severity == severity)
    }

    /// `1 mistake` or `7 mistakes`.
    pub fn count(&self) -> String {
        match self.len() {
            1 => "1 mistake".to_owned(),
            several => format!("{several} mistakes"),
        }
    }

    /// `1 warning` or `7 warnings`.
    pub fn count_warnings(&self) -> String {
        match self.warnings() {
            1 => "1 warning".to_owned(),
            several => format!("{several} warnings"),
        }
    }

    /// Whether there are none (the same as [`Report::is_clean`]).
    pub fn is_empty(&self) -> bool {
        self.is_clean()
    }

    /// `file:line:column: message` per mistake, then per warning, without snippets: for logs.
    pub fn plain(&self) -> String {
        let mut out = String::new();
        for diagnostic in self.ordered() {
            let shown = self.show(diagnostic);
            let mark = match diagnostic.severity {
                Severity::Error => "",
                Severity::Warning => "warning: ",
            };
            let _ = write!(
                out,
                "{}:{}:{}: {mark}{}",
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
        self.json_of(Severity::Error)
    }

    /// All warnings as a JSON array.
    pub fn json_warnings(&self) -> serde_json::Value {
        self.json_of(Severity::Warning)
    }

    fn json_of(&self, severity: Severity) -> serde_json::Value {
        let ordered = self.ordered().into_iter();
        let shown: Vec<Shown<'_>> = ordered
            .filter(|it| it.severity == severity)
            .map(|it| self.show(it))
            .collect();
        serde_json::to_value(shown).unwrap_or_default()
    }

    /// All mistakes with snippets, then the warnings (of very many, the first), for people; `color` for terminals.
    pub fn human(&self, color: bool) -> String {
        let masked: Vec<String> = (0..self.sources.len())
            .map(|ix| self.masked(SourceId(ix)))
            .collect();
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out = String::new();
        let mut warnings = 0;
        for diagnostic in self.ordered() {
            let level = match diagnostic.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            warnings += usize::from(diagnostic.severity == Severity::Warning);
            if warnings > MAX_SHOWN {
                let _ = writeln!(
                    out,
                    "… and {} more warnings; `--output json` has all of them\n",
                    self.warnings() - MAX_SHOWN
                );
                break;
            }
            let mut group = level
                .primary_title(diagnostic.message.as_str())
                .element(self.snippet(&masked, diagnostic.span, AnnotationKind::Primary, ""));
            if let Some((span, label)) = &diagnostic.also {
                group = group.element(self.snippet(&masked, *span, AnnotationKind::Context, label));
            }
            if let Some(help) = &diagnostic.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            out += &renderer.render(&[group]);
            out += "\n\n";
        }
        out
    }

    fn snippet<'a>(
        &'a self,
        masked: &'a [String],
        span: Span,
        kind: AnnotationKind,
        label: &'a str,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let (path, _) = self.source(span.source);
        let text = masked.get(span.source.0).map_or("", String::as_str);
        let start = span.start.min(text.len());
        // A mapping's span can run over many lines: its first line says enough.
        let line_end = text.get(start..).and_then(|rest| rest.find('\n'));
        let line_end = line_end.map_or(text.len(), |length| start + length);
        let end = span.end.clamp(start, line_end);
        let mut annotation = kind.span(start..end);
        if !label.is_empty() {
            annotation = annotation.label(label);
        }
        Snippet::source(text).path(path).annotation(annotation)
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
        self.sources.get(id.0).map_or(("", ""), |source| {
            (source.path.as_str(), source.text.as_str())
        })
    }

    /// The file, line and column of a place, each counted from 1.
    pub fn place(&self, span: Span) -> (&str, usize, usize) {
        let Some(source) = self.sources.get(span.source.0) else {
            return ("", 1, 1);
        };
        let start = span.start.min(source.text.len());
        let line = source.lines.partition_point(|begin| *begin <= start).max(1);
        let begin = source.lines.get(line - 1).copied().unwrap_or_default();
        let before = source.text.get(begin..start).unwrap_or("");
        (&source.path, line, before.chars().count() + 1)
    }

    /// The worse first, then in the order of files and places, so that the same mistakes print the same way.
    fn ordered(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.diagnostics.iter().collect();
        all.sort_by_key(|it| (it.severity, it.span.source.0, it.span.start));
        all
    }

    fn show<'a>(&'a self, diagnostic: &'a Diagnostic) -> Shown<'a> {
        let (file, line, column) = self.place(diagnostic.span);
        Shown {
            file,
            line,
            column,
            message: &diagnostic.message,
            help: diagnostic.help.as_deref(),
            also: diagnostic.also.as_ref().map(|(span, label)| {
                let (file, line, column) = self.place(*span);
                Also {
                    file,
                    line,
                    column,
                    label,
                }
            }),
        }
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
    }
    #[test]
    fn a_warning_is_no_mistake_and_comes_behind_them() {
        let mut report = Report::default();
        let source = report.add_source("a.yaml", "one\nüb two\n");
        let at = |start, end| Span { source, start, end };
        report.warn(at(0, 3), "odd").help("look");
        assert!(report.is_clean() && report.json() == serde_json::json!([]));
        report.error(at(8, 11), "bad");
        assert_eq!((report.len(), report.warnings()), (1, 1));
        assert_eq!(
            report.plain(),
            "a.yaml:2:4: bad\na.yaml:1:1: warning: odd (look)\n"
        );
        assert_eq!(report.json()[0]["message"], "bad");
        assert_eq!(report.json_warnings()[0]["help"], "look");
        let shown = report.human(false);
        let (bad, odd) = (shown.find("error: bad"), shown.find("warning: odd"));
        assert!(bad.is_some() && bad < odd, "{shown}");
    }

    #[test]
    fn of_very_many_warnings_people_see_the_first() {
        let mut report = Report::default();
        let source = report.add_source("a.yaml", "x\n".repeat(100));
        for line in 0..100 {
            let start = line * 2;
            let end = start + 1;
            report.warn(Span { source, start, end }, "odd");
        }
        let shown = report.human(false);
        assert_eq!(shown.matches("warning: odd").count(), MAX_SHOWN);
        assert!(shown.contains("and 50 more warnings"), "{shown}");
        assert_eq!(report.json_warnings().as_array().unwrap().len(), 100);
        assert_eq!(report.json_warnings()[99]["line"], 100);
    }
}
