//! Readers of a path as others write them: each forgives something else. Of a path that is served, all have to read
//! the same.

use percent_encoding::percent_decode_str;

type Reader = fn(&str) -> String;

/// By what each of them does that ours does not.
pub(super) const READERS: [(&str, Reader); 9] = [
    ("decodes twice", |path| decoded(&decoded(path))),
    ("resolves dots", |path| dots(&decoded(path))),
    ("resolves dots, then decodes", |path| decoded(&dots(path))),
    ("merges slashes", |path| merged(&decoded(path))),
    ("takes backslashes for slashes", |path| {
        decoded(path).replace('\\', "/")
    }),
    ("cuts parameters off", |path| cut(&decoded(path), ';')),
    ("cuts at NUL", |path| cut(&decoded(path), '\0')),
    ("cuts queries and fragments off after decoding", |path| {
        cut(&cut(&decoded(path), '?'), '#')
    }),
    ("folds look-alikes and drops what is not seen", |path| {
        let seen = |it: &char| {
            !it.is_control()
                && !matches!(it, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
        };
        let folded = decoded(path)
            .replace(['\u{ff0f}', '\u{2044}', '\u{2215}'], "/")
            .replace(['\u{ff0e}', '\u{2024}'], ".");
        folded.chars().filter(seen).collect()
    }),
];

/// Percent-encoding undone, once.
pub(super) fn decoded(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

fn merged(path: &str) -> String {
    let kept: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
    format!("/{}", kept.join("/"))
}

fn cut(path: &str, at: char) -> String {
    let segments = path.split('/').map(|it| it.split(at).next().unwrap_or(""));
    segments.collect::<Vec<_>>().join("/")
}
