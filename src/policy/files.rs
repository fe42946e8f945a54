//! The files of a policy set, read once.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::document::{Budget, Report, SourceId, Span};

/// The most files of one set.
const MAX_FILES: usize = 10_000;
/// The deepest folder.
const MAX_FOLDERS: usize = 8;

/// Every policy file of a folder, sorted by path.
#[derive(Debug, Default)]
pub struct PolicyFiles {
    pub(super) files: Vec<PolicyFile>,
    pub(super) budget: Budget,
}

/// One of them.
#[derive(Debug)]
pub(super) struct PolicyFile {
    pub(super) source: SourceId,
    /// Its path below the folder: the same set in another place is the same set.
    pub(super) name: String,
    pub(super) text: Arc<str>,
}

impl PolicyFiles {
    /// Reads a folder recursively; each file may be as large as `budget` says. Files that cannot be read are
    /// mistakes in `report`, like any other.
    ///
    /// Tests (`*.test.yaml`) are skipped, and so is what begins with a dot: Kubernetes keeps a second
    /// copy of every mounted file below `..data`.
    pub fn read(folder: &Path, budget: Budget, report: &mut Report) -> Self {
        let mut paths = Vec::new();
        if let Err(error) = collect(folder, MAX_FOLDERS, &mut paths) {
            let source = report.add_source(folder.display().to_string(), "");
            report.error(
                Span::start_of(source),
                format!("the folder of policies cannot be read: {error}"),
            );
        }
        paths.sort();
        let mut set = Self {
            files: Vec::new(),
            budget,
        };
        for path in paths {
            let name = path.display().to_string();
            let mistake = match read_at_most(&path, budget.bytes()) {
                Ok(Some(text)) => {
                    let below = path.strip_prefix(folder).unwrap_or(&path);
                    set.add(name, below.display().to_string(), text.into(), report);
                    continue;
                }
                Ok(None) => budget.too_large(),
                Err(error) => format!("the file cannot be read: {error}"),
            };
            let source = report.add_source(name, "");
            report.error(Span::start_of(source), mistake);
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
            set.add(name.to_owned(), name.to_owned(), text.into(), report);
        }
        set
    }

    fn add(&mut self, shown: String, name: String, text: Arc<str>, report: &mut Report) {
        let source = report.add_source(shown, Arc::clone(&text));
        self.files.push(PolicyFile { source, name, text });
    }
}

/// The text of a file; none where it is longer than this many bytes.
fn read_at_most(path: &Path, bytes: usize) -> io::Result<Option<String>> {
    let file = fs::File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length > bytes {
        return Ok(None);
    }
    let mut text = String::with_capacity(length);
    // It may have grown since.
    let one_more = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(1);
    file.take(one_more).read_to_string(&mut text)?;
    Ok((text.len() <= bytes).then_some(text))
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
    fn the_hash_is_the_same_wherever_the_folder_is() {
        let hash = |below: &str| {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join(below);
            fs::create_dir_all(folder.join("teams")).unwrap();
            fs::write(folder.join("teams/a.yaml"), "team: a\n").unwrap();
            let mut report = Report::default();
            let files = PolicyFiles::read(&folder, Budget::default(), &mut report);
            let policy = crate::policy::compile(&files, &[], &mut report).unwrap();
            policy.hash().to_owned()
        };
        assert_eq!(hash("policies"), hash("of/yesterday/"));
    }

    #[test]
    fn a_policy_is_never_skipped_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let read = || {
            let mut report = Report::default();
            let files = PolicyFiles::read(folder.path(), Budget::of_nodes(1), &mut report);
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
        fs::write(folder.path().join("large.yaml"), "x".repeat(65)).unwrap();
        assert!(read().1.contains("more than 64 bytes"), "{}", read().1);
        fs::remove_file(folder.path().join("large.yaml")).unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("guard.yaml")).unwrap();
        assert!(read().1.contains("no regular file"), "{}", read().1);
    }
}
