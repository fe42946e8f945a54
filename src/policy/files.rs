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
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(io::Error::other(format!(
                "{} is not named in UTF-8",
                path.display()
            )));
        };
        if name.starts_with('.') {
            continue;
        }
        // `metadata` follows links: a mounted file is a link.
        let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        let kind = fs::metadata(&path).map_err(named)?;
        if kind.is_dir() {
            collect(&path, depth - 1, paths)?;
            continue;
        }
        let Some(is_test) = yaml(name) else { continue };
        if !kind.is_file() {
            return Err(io::Error::other(format!(
                "{} is no regular file",
                path.display()
            )));
        }
        if name != name.to_ascii_lowercase() && yaml(name) != yaml_exactly(name) {
            let message = format!(
                "{} must end in .yaml or .yml, in lower case",
                path.display()
            );
            return Err(io::Error::other(message));
        }
        if !is_test {
            if paths.len() == MAX_FILES {
                return Err(io::Error::other(format!("more than {MAX_FILES} files")));
            }
            paths.push(path);
        }
    }
    Ok(())
}

/// Whether a name is one of a policy (`false`) or of a test (`true`), in whatever case.
fn yaml(name: &str) -> Option<bool> {
    yaml_exactly(&name.to_ascii_lowercase())
}

fn yaml_exactly(name: &str) -> Option<bool> {
    let stem = name.strip_suffix(".yaml").or(name.strip_suffix(".yml"))?;
    Some(stem.ends_with(".test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_never_skipped_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let read = || {
            let mut report = Report::default();
            let files = PolicyFiles::read(folder.path(), &mut report);
            (files.files.len(), report.plain())
        };
        assert!(read().1.contains("no policy file"));
        for (name, text) in [
            ("a.yaml", "team: a"),
            ("b.yml", "x"),
            ("c.test.yaml", "x"),
            ("README.md", "x"),
            (".d.yaml", "x"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(read(), (2, String::new()));
        for name in ["guard.YAML", "guard.Yml"] {
            fs::write(folder.path().join(name), "x").unwrap();
            assert!(read().1.contains("in lower case"), "{}", read().1);
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink("/dev/null", folder.path().join("guard.yaml")).unwrap();
        assert!(read().1.contains("no regular file"), "{}", read().1);
    }
}
