//! The files of a policy set, read once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::document::{Report, SourceId, Span};

/// The most files of one set.
const MAX_FILES: usize = 1_000;
/// The deepest folder.
const MAX_FOLDERS: usize = 8;

/// Every policy file of a folder: path and text, sorted by path.
#[derive(Debug, Default)]
pub struct PolicyFiles {
    pub(super) files: Vec<(SourceId, String, String)>,
}

impl PolicyFiles {
    /// Reads a folder recursively. Files that cannot be read are mistakes in `report`, like any other.
    ///
    /// Tests (`*.test.yaml`) are skipped, and so is what begins with a dot: Kubernetes keeps a second
    /// copy of every mounted file below `..data`.
    pub fn read(folder: &Path, report: &mut Report) -> Self {
        let mut paths = Vec::new();
        if let Err(error) = collect(folder, MAX_FOLDERS, &mut paths) {
            let source = report.add_source(folder.display().to_string(), "");
            report.error(
                Span::start_of(source),
                format!("the folder of policies cannot be read: {error}"),
            );
        }
        paths.sort();
        let mut set = Self::default();
        for path in paths {
            let name = path.display().to_string();
            match fs::read_to_string(&path) {
                Ok(text) => set.add(name, text, report),
                Err(error) => {
                    let source = report.add_source(name, "");
                    report.error(
                        Span::start_of(source),
                        format!("the file cannot be read: {error}"),
                    );
                }
            }
        }
        if set.files.is_empty() && report.is_clean() {
            let source = report.add_source(folder.display().to_string(), "");
            report
                .error(
                    Span::start_of(source),
                    "there is no policy file in this folder",
                )
                .help(
                    "a set without policies would deny every request; add a file such as team.yaml",
                );
        }
        set
    }

    /// Takes texts that are already in memory, under the given names.
    pub fn from_texts<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
        report: &mut Report,
    ) -> Self {
        let mut set = Self::default();
        for (name, text) in texts {
            set.add(name.to_owned(), text.to_owned(), report);
        }
        set
    }

    fn add(&mut self, name: String, text: String, report: &mut Report) {
        let source = report.add_source(name.as_str(), text.as_str());
        self.files.push((source, name, text));
    }
}

fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other(format!(
            "more than {MAX_FOLDERS} folders deep"
        )));
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if name.starts_with('.') {
            continue;
        }
        // `metadata` follows links: a mounted file is a link.
        let kind = fs::metadata(&path)?;
        if kind.is_dir() {
            collect(&path, depth - 1, paths)?;
        } else if kind.is_file() && is_policy(name) {
            if paths.len() == MAX_FILES {
                return Err(io::Error::other(format!("more than {MAX_FILES} files")));
            }
            paths.push(path);
        }
    }
    Ok(())
}

fn is_policy(name: &str) -> bool {
    let yaml = |ending: &str| {
        name.ends_with(&format!("{ending}yaml")) || name.ends_with(&format!("{ending}yml"))
    };
    yaml(".") && !yaml(".test.")
}
