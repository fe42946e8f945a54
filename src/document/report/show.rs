//! How a report is shown: to people, in a log, and as JSON. Of the same mistakes always the same way.

use std::borrow::Cow;
use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::{Diagnostic, Kept, Report, Severity, SourceId};
use crate::document::tree::Span;
use crate::redact::mask;

/// The longest line that is shown, in bytes.
const MAX_LINE: usize = 4_096;
/// The most warnings that are shown to people at once; JSON has more.
pub(super) const MAX_SHOWN: usize = 50;

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

impl Severity {
    pub(super) fn count(self, number: usize) -> String {
        let noun = match self {
            Self::Error => "mistake",
            Self::Warning => "warning",
        };
        match number {
            1 => format!("1 {noun}"),
            several => format!("{several} {noun}s"),
        }
    }

    fn more(self, number: usize) -> String {
        let noun = match self {
            Self::Error => "mistakes",
            Self::Warning => "warnings",
        };
        format!("and {number} more {noun}")
    }
}

impl Kept {
    /// In the order of files and places.
    fn ordered(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.first.iter().collect();
        all.sort_by_key(|it| (it.span.source.0, it.span.start));
        all
    }
}

impl Report {
    /// `file:line:column: message` per mistake, then per warning, without snippets: for logs.
    pub fn plain(&self) -> String {
        let mut out = String::new();
        for (severity, mark) in [(Severity::Error, ""), (Severity::Warning, "warning: ")] {
            for shown in self.shown(severity) {
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
        }
        out
    }

    /// All mistakes as a JSON array.
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self.shown(Severity::Error)).unwrap_or_default()
    }

    /// All warnings as a JSON array.
    pub fn json_warnings(&self) -> serde_json::Value {
        serde_json::to_value(self.shown(Severity::Warning)).unwrap_or_default()
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
        let all = [
            (Severity::Error, Level::ERROR, usize::MAX),
            (Severity::Warning, Level::WARNING, MAX_SHOWN),
        ];
        for (severity, level, most) in all {
            let kept = self.kept(severity);
            for diagnostic in kept.ordered().into_iter().take(most) {
                let mut group = level
                    .clone()
                    .primary_title(diagnostic.message.as_str())
                    .element(self.snippet(&masked, diagnostic.span, AnnotationKind::Primary, ""));
                if let Some((span, label)) = &diagnostic.also {
                    let kind = AnnotationKind::Context;
                    group = group.element(self.snippet(&masked, *span, kind, label));
                }
                if let Some(help) = &diagnostic.help {
                    group = group.element(Level::HELP.message(help.as_str()));
                }
                out += &renderer.render(&[group]);
                out += "\n\n";
            }
            let more = kept.len() - kept.first.len().min(most);
            if more > 0 {
                let hint = match severity {
                    Severity::Error => "",
                    Severity::Warning => "; `--output json` lists more",
                };
                let _ = writeln!(out, "… {}{hint}\n", severity.more(more));
            }
        }
        out
    }

    /// The line of a place, or only its number where the line is longer than any that people write.
    fn snippet<'a>(
        &'a self,
        masked: &'a [String],
        span: Span,
        kind: AnnotationKind,
        label: &'a str,
    ) -> Element<'a> {
        let (path, line, column) = self.place(span);
        let text = masked.get(span.source.0).map_or("", String::as_str);
        // A mapping's span can run over many lines: its first line says enough.
        let range = self
            .source(span.source)
            .map_or(0..0, |source| source.lines().range(&source.text, line));
        let begin = range.start;
        let shown = text.get(range).unwrap_or("").trim_end_matches('\n');
        if shown.len() > MAX_LINE {
            return Origin::path(path).line(line).char_column(column).into();
        }
        let start = span.start.saturating_sub(begin).min(shown.len());
        let end = span.end.saturating_sub(begin).clamp(start, shown.len());
        let mut annotation = kind.span(start..end);
        if !label.is_empty() {
            annotation = annotation.label(label);
        }
        let snippet = Snippet::source(shown).path(path).line_start(line);
        snippet.annotation(annotation).into()
    }

    /// A source's text as it may be shown: of the same length, with `*` for what may be secret.
    fn masked(&self, id: SourceId) -> String {
        let text = self.source(id).map_or("", |source| &*source.text);
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

    /// Those that are kept, and then how many more there are, at the last of them.
    fn shown(&self, severity: Severity) -> Vec<Shown<'_>> {
        let kept = self.kept(severity);
        let more = kept.others.as_ref().map(|others| Shown {
            message: severity.more(others.count).into(),
            help: None,
            also: None,
            ..self.show(&others.last)
        });
        let ordered = kept.ordered().into_iter();
        ordered.map(|it| self.show(it)).chain(more).collect()
    }

    fn show<'a>(&'a self, diagnostic: &'a Diagnostic) -> Shown<'a> {
        let (file, line, column) = self.place(diagnostic.span);
        Shown {
            file,
            line,
            column,
            message: diagnostic.message.as_str().into(),
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
