//! Mistakes in documents: collected, then shown all at once.

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

/// Everything that is wrong with a set of documents.
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
        self.sources.push(Source {
            path: path.into(),
            text: text.into(),
        });
        SourceId(self.sources.len() - 1)
    }

    /// Adds a mistake; the answer takes help and a second place.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.diagnostics.len();
        self.diagnostics.push(Diagnostic {
            span,
            message: redact(&message.into()).into_owned(),
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

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many mistakes there are.
    pub fn len(&self) -> usize {
        self.diagnostics.len()
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
        let mut out = String::new();
        for diagnostic in self.ordered() {
            let mut group = Level::ERROR
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

    fn place(&self, span: Span) -> (&str, usize, usize) {
        let (path, text) = self.source(span.source);
        let before = text.get(..span.start.min(text.len())).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (path, line, column)
    }

    /// In the order of files and places, so that the same mistakes print the same way.
    fn ordered(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.diagnostics.iter().collect();
        all.sort_by_key(|it| (it.span.source.0, it.span.start));
        all
    }

    fn shown(&self) -> Vec<Shown<'_>> {
        let show = |diagnostic: &'_ Diagnostic| {
            let (file, line, column) = self.place(diagnostic.span);
            (file, line, column)
        };
        self.ordered()
            .into_iter()
            .map(|diagnostic| {
                let (file, line, column) = show(diagnostic);
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
            })
            .collect()
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
}
