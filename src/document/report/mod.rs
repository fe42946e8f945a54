//! Mistakes in documents, and what is surely not meant: collected here, shown all at once.
//!
//! However much is wrong, and however long the texts are, a report stays within
//! bounds: of very many mistakes the first are kept and the others counted, and
//! places are looked up in [`lines`].

mod lines;
mod show;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use super::tree::Span;
use crate::redact::redact;
use lines::Lines;

/// The longest word that is compared with the known ones, in bytes.
const MAX_MISSPELT: usize = 256;
/// The longest message, in bytes: it can quote what an author wrote.
const MAX_MESSAGE: usize = 4_096;
/// The most mistakes that are kept, and the most warnings; the others are counted.
const MAX_KEPT: usize = 10_000;

/// A source that diagnostics can point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(usize);

#[derive(Debug)]
struct Source {
    path: String,
    text: Arc<str>,
    /// Found when the first place is asked for: most sources have no mistake.
    lines: OnceLock<Lines>,
}

impl Source {
    fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| Lines::of(&self.text))
    }
}

/// One mistake, or one warning.
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
        } else if !known.is_empty() && known.len() <= 16 {
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
    let length = wrong.chars().count();
    let enough = |word: &str| (word.len().max(wrong.len()) / 3).max(1);
    known
        .into_iter()
        .filter(|word| word.len() <= MAX_MISSPELT)
        // Two words are at least as far apart as their lengths.
        .filter(|word| word.chars().count().abs_diff(length) <= enough(word))
        .map(|word| (strsim::damerau_levenshtein(wrong, word), word))
        .filter(|(distance, word)| *distance <= enough(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    /// The documents are not taken.
    Error,
    /// They are, and something in them is surely not meant.
    Warning,
}

/// All that are equally bad.
#[derive(Debug, Default)]
struct Kept {
    first: Vec<Diagnostic>,
    others: Option<Box<Others>>,
}

/// Those that are not kept.
#[derive(Debug)]
struct Others {
    count: usize,
    last: Diagnostic,
}

impl Kept {
    fn add(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        let at = self.first.len();
        if at == MAX_KEPT {
            let count = self.others.as_ref().map_or(0, |others| others.count) + 1;
            let last = diagnostic;
            return &mut self.others.insert(Box::new(Others { count, last })).last;
        }
        self.first.push(diagnostic);
        #[expect(clippy::indexing_slicing, reason = "pushed in the line above")]
        &mut self.first[at]
    }

    fn len(&self) -> usize {
        self.first.len() + self.others.as_ref().map_or(0, |others| others.count)
    }
}

/// Everything that is wrong with a set of documents, and everything to be warned of.
#[derive(Debug, Default)]
pub struct Report {
    sources: Vec<Source>,
    errors: Kept,
    warnings: Kept,
    secrets: Vec<Span>,
}

impl Report {
    /// Names a source, so that spans can point into it.
    pub fn add_source(&mut self, path: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        self.sources.push(Source {
            path: path.into(),
            text: text.into(),
            lines: OnceLock::new(),
        });
        SourceId(self.sources.len() - 1)
    }

    /// Adds a mistake; the answer takes help and a second place.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.errors.add(diagnostic(span, &message.into()))
    }

    /// Adds what is legal and surely not meant; the answer takes help and a second place.
    pub fn warn(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.warnings.add(diagnostic(span, &message.into()))
    }

    /// Shows nothing of what stands there: it may be a secret in the wrong place.
    pub fn secret(&mut self, span: Span) {
        self.secrets.push(span);
    }

    /// Whether nothing is wrong; there may be warnings.
    pub fn is_clean(&self) -> bool {
        self.errors.len() == 0
    }

    /// How many mistakes there are.
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.warnings.len()
    }

    /// `1 mistake` or `7 mistakes`.
    pub fn count(&self) -> String {
        Severity::Error.count(self.len())
    }

    /// `1 warning` or `7 warnings`.
    pub fn count_warnings(&self) -> String {
        Severity::Warning.count(self.warnings())
    }

    /// Whether there are none (the same as [`Report::is_clean`]).
    pub fn is_empty(&self) -> bool {
        self.is_clean()
    }

    /// The file, line and column of a place, each counted from 1.
    pub fn place(&self, span: Span) -> (&str, usize, usize) {
        let Some(source) = self.source(span.source) else {
            return ("", 1, 1);
        };
        let (line, column) = source.lines().place(&source.text, span.start);
        (&source.path, line, column)
    }

    fn source(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0)
    }

    fn kept(&self, severity: Severity) -> &Kept {
        match severity {
            Severity::Error => &self.errors,
            Severity::Warning => &self.warnings,
        }
    }
}

fn diagnostic(span: Span, message: &str) -> Diagnostic {
    let mut message = redact(message).into_owned();
    if message.len() > MAX_MESSAGE {
        let fits = |at: &usize| message.is_char_boundary(*at);
        message.truncate((0..=MAX_MESSAGE).rev().find(fits).unwrap_or_default());
        message.push('…');
    }
    Diagnostic {
        span,
        message,
        help: None,
        also: None,
    }
}
