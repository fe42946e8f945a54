//! The files of a policy set: read whole, and looked at for changes.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::document::{Budget, Report, SourceId, Span};

/// The most files of one set.
const MAX_FILES: usize = 10_000;
/// The deepest folder.
const MAX_FOLDERS: usize = 8;

/// Every policy file of a folder, sorted by path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    pub(super) files: Vec<TextFile>,
    pub(super) budget: Budget,
}

/// One file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TextFile {
    pub(super) source: SourceId,
    /// Its path below the folder: the same set in another place is the same set.
    pub(super) name: String,
    pub(super) text: Arc<str>,
}

impl TextFile {
    fn new(shown: String, name: String, text: Arc<str>, report: &mut Report) -> Self {
        let source = report.add_source(shown, Arc::clone(&text));
        Self { source, name, text }
    }
}

/// Every test file of a folder, found and read like the policies.
#[derive(Debug, Default)]
pub struct TestFiles {
    files: Vec<TextFile>,
    budget: Budget,
}

/// Which files of a folder are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Policies,
    /// `*.test.yaml`
    Tests,
}

/// What changes when a file of a folder does, and costs no reading. Where the files cannot be looked at: why not.
#[derive(Debug, PartialEq, Eq)]
pub struct Fingerprint(Result<Vec<Mark>, String>);

#[derive(Debug, PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    inode: (u64, u64),
    size: u64,
    /// Of the content, which tools can set to anything.
    modified: (i64, i64),
    /// Of the inode, which none can.
    changed: (i64, i64),
}

impl Mark {
    /// Of what is behind every link.
    fn of(path: PathBuf) -> io::Result<Self> {
        let it = fs::metadata(&path)?;
        Ok(Self {
            path,
            inode: (it.dev(), it.ino()),
            size: it.size(),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
        })
    }
}

impl Fingerprint {
    /// Of the files that [`PolicyFiles::read`] would read.
    pub fn of(folder: &Path) -> Self {
        let look = || {
            let mut paths = Vec::new();
            collect(folder, Kind::Policies, MAX_FOLDERS, &mut paths)?;
            paths.sort();
            paths.into_iter().map(Mark::of).collect::<io::Result<_>>()
        };
        Self(look().map_err(|error| error.to_string()))
    }
}

impl PolicyFiles {
    /// Reads a folder recursively; each file may be as large as `budget` says. Files that cannot be read are
    /// mistakes in `report`, like any other.
    ///
    /// Tests (`*.test.yaml`) are skipped, and so is what begins with a dot: Kubernetes keeps a second
    /// copy of every mounted file below `..data`.
    pub fn read(folder: &Path, budget: Budget, report: &mut Report) -> Self {
        let set = Self {
            files: texts(folder, Kind::Policies, budget, report),
            budget,
        };
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
        Self {
            files: named(texts, report),
            budget: Budget::default(),
        }
    }
}

impl TestFiles {
    /// Reads the tests of a folder of policies, each within `budget`. Files that cannot be read are mistakes in
    /// `report`.
    pub fn read(folder: &Path, budget: Budget, report: &mut Report) -> Self {
        Self {
            files: texts(folder, Kind::Tests, budget, report),
            budget,
        }
    }

    /// Takes texts that are already in memory, under the given names.
    pub fn from_texts<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
        report: &mut Report,
    ) -> Self {
        Self {
            files: named(texts, report),
            budget: Budget::default(),
        }
    }

    /// Each file, for spans and as text.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SourceId, &str)> {
        self.files.iter().map(|file| (file.source, &*file.text))
    }

    /// How large each may be.
    pub fn budget(&self) -> Budget {
        self.budget
    }
}

/// Reads all files of this kind, sorted by path.
fn texts(folder: &Path, kind: Kind, budget: Budget, report: &mut Report) -> Vec<TextFile> {
    let mut paths = Vec::new();
    if let Err(error) = collect(folder, kind, MAX_FOLDERS, &mut paths) {
        let source = report.add_source(folder.display().to_string(), "");
        report.error(
            Span::start_of(source),
            format!("the folder of policies cannot be read: {error}"),
        );
    }
    paths.sort();
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        let shown = path.display().to_string();
        let mistake = match read_at_most(&path, budget.bytes()) {
            Ok(Some(text)) => {
                let below = path.strip_prefix(folder).unwrap_or(&path);
                let name = below.display().to_string();
                texts.push(TextFile::new(shown, name, text.into(), report));
                continue;
            }
            Ok(None) => budget.too_large(),
            Err(error) => format!("the file cannot be read: {error}"),
        };
        let source = report.add_source(shown, "");
        report.error(Span::start_of(source), mistake);
    }
    texts
}

fn named<'a>(
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    report: &mut Report,
) -> Vec<TextFile> {
    let texts = texts.into_iter();
    texts
        .map(|(name, text)| TextFile::new(name.to_owned(), name.to_owned(), text.into(), report))
        .collect()
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

fn collect(folder: &Path, wanted: Kind, depth: usize, paths: &mut Vec<PathBuf>) -> io::Result<()> {
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
            collect(&path, wanted, depth - 1, paths)?;
            continue;
        }
        let Some(found) = yaml(name) else { continue };
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
        if found == wanted {
            if paths.len() == MAX_FILES {
                return Err(io::Error::other(format!("more than {MAX_FILES} files")));
            }
            paths.push(path);
        }
    }
    Ok(())
}

/// Whether a name is one of a policy or of a test, in whatever case.
fn yaml(name: &str) -> Option<Kind> {
    yaml_exactly(&name.to_ascii_lowercase())
}

fn yaml_exactly(name: &str) -> Option<Kind> {
    let stem = name.strip_suffix(".yaml").or(name.strip_suffix(".yml"))?;
    Some(if stem.ends_with(".test") {
        Kind::Tests
    } else {
        Kind::Policies
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a2_every_change_of_a_file_is_seen() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let folder = at("policies");
        for name in ["policies", "policies/sub", "one", "two"] {
            fs::create_dir(at(name)).unwrap();
        }
        for (name, text) in [
            ("policies/a.yaml", "1"),
            ("one/b.yaml", "1"),
            ("two/b.yaml", "1"),
        ] {
            fs::write(at(name), text).unwrap();
        }
        // As Kubernetes mounts a ConfigMap: each file is a link through a link that is swapped.
        symlink(at("one"), at("policies/..data")).unwrap();
        symlink("..data/b.yaml", at("policies/b.yaml")).unwrap();
        let steps: [(&str, &dyn Fn()); 7] = [
            ("another length", &|| {
                fs::write(at("policies/a.yaml"), "22").unwrap()
            }),
            ("a rename over it, with length and time kept", &|| {
                let before = fs::metadata(at("policies/a.yaml")).unwrap();
                fs::write(at("new"), "33").unwrap();
                let new = fs::File::options().write(true).open(at("new")).unwrap();
                new.set_modified(before.modified().unwrap()).unwrap();
                fs::rename(at("new"), at("policies/a.yaml")).unwrap();
            }),
            ("a file more", &|| {
                fs::write(at("policies/c.yaml"), "1").unwrap()
            }),
            ("a file less", &|| {
                fs::remove_file(at("policies/c.yaml")).unwrap()
            }),
            ("a file in a folder", &|| {
                fs::write(at("policies/sub/c.yml"), "1").unwrap()
            }),
            ("the swap of a link", &|| {
                symlink(at("two"), at("policies/..tmp")).unwrap();
                fs::rename(at("policies/..tmp"), at("policies/..data")).unwrap();
            }),
            ("what cannot be read", &|| {
                symlink("nowhere", at("policies/d.yaml")).unwrap()
            }),
        ];
        for (name, step) in steps {
            let before = Fingerprint::of(&folder);
            assert_eq!(Fingerprint::of(&folder), before);
            step();
            assert_ne!(Fingerprint::of(&folder), before, "{name}");
        }
        fs::remove_file(at("policies/d.yaml")).unwrap();
        let before = Fingerprint::of(&folder);
        for name in ["README.md", "a.test.yaml", ".b.yaml"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        assert_eq!(Fingerprint::of(&folder), before, "these are no policies");
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = fs::File::create(folder.path().join("a.yaml")).unwrap();
        file.set_len(1 << 40).unwrap();
        let mut report = Report::default();
        PolicyFiles::read(folder.path(), Budget::default(), &mut report);
        let said = report.plain();
        assert!(said.contains("more than 64000000 bytes"), "{said}");
    }

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
        let mut report = Report::default();
        let tests = TestFiles::read(folder.path(), Budget::of_nodes(1), &mut report);
        let (source, text) = tests.iter().next().unwrap();
        assert_eq!((tests.iter().len(), text), (1, "x"));
        let (file, ..) = report.place(Span::start_of(source));
        assert!(file.ends_with("c.test.yaml"), "{file}");
        for name in ["guard.YAML", "guard.Yml"] {
            fs::write(folder.path().join(name), "x").unwrap();
            assert!(read().1.contains("in lower case"), "{}", read().1);
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("large.yaml"), "x".repeat(65)).unwrap();
        assert!(read().1.contains("more than 64 bytes"), "{}", read().1);
        fs::remove_file(folder.path().join("large.yaml")).unwrap();
        symlink("/dev/null", folder.path().join("guard.yaml")).unwrap();
        assert!(read().1.contains("no regular file"), "{}", read().1);
    }
}
