//! Where the lines of a text begin: found once, for all of its places.

use std::ops::Range;

/// In a longer line, so many characters lie between two marks.
const APART: usize = 4_096;

/// The lines of one text.
#[derive(Debug)]
pub(super) struct Lines {
    /// Where each begins.
    starts: Vec<usize>,
    /// In long lines, places with their columns: a program can write everything in one line.
    marks: Vec<(usize, usize)>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let mut lines = Self {
            starts: vec![0],
            marks: Vec::new(),
        };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            if line.len() > APART {
                let columns = line.char_indices().zip(1..);
                let marks = columns.step_by(APART).skip(1);
                lines
                    .marks
                    .extend(marks.map(|((at, _), column)| (start + at, column)));
            }
            start += line.len();
            if line.ends_with('\n') {
                lines.starts.push(start);
            }
        }
        lines
    }

    /// The line and the column (in characters) of a place in this text, both from one.
    pub(super) fn place(&self, text: &str, at: usize) -> (usize, usize) {
        let at = at.min(text.len());
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.start(line).unwrap_or_default();
        let behind = self.marks.partition_point(|(mark, _)| *mark <= at);
        let mark = behind.checked_sub(1).and_then(|ix| self.marks.get(ix));
        let (from, column) = mark
            .filter(|(mark, _)| *mark >= start)
            .copied()
            .unwrap_or((start, 1));
        let between = text.get(from..at).unwrap_or("");
        (line, column + between.chars().count())
    }

    /// A line of this text, with its end.
    pub(super) fn range(&self, text: &str, line: usize) -> Range<usize> {
        let start = self.start(line).unwrap_or(text.len());
        start..self.start(line + 1).unwrap_or(text.len())
    }

    fn start(&self, line: usize) -> Option<usize> {
        self.starts.get(line.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_long_line_is_the_one_that_counting_gives() {
        let text = format!("a\n{}\nb{}c\n", "ßx".repeat(APART), "ä".repeat(APART));
        let lines = Lines::of(&text);
        assert_eq!(lines.marks.len(), 3);
        let mut wanted = (1, 1);
        for (at, it) in text.char_indices() {
            assert_eq!(lines.place(&text, at), wanted, "{at}");
            wanted = match it {
                '\n' => (wanted.0 + 1, 1),
                _ => (wanted.0, wanted.1 + 1),
            };
        }
        assert_eq!(lines.place(&text, text.len() + 9), wanted);
        assert_eq!(text.get(lines.range(&text, 1)), Some("a\n"));
        assert!(lines.range(&text, wanted.0).is_empty());
    }
}
