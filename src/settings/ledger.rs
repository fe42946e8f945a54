//! `store:`, `tag_key:`, `restricted_tags:` and `settle:`: where the ledger is, and how what is held is settled.

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};

use crate::document::{Node, Report, Table, USUAL, duration};
use crate::ledger::tag::TagKey;
use crate::ledger::{HAND_OVER, Options};
use crate::settle::Times;

/// The fewest characters of a key.
const KEY: usize = 32;
/// The largest file that is read for a key.
const MAX_KEY: u64 = 4_096;

/// Where the ledger is, and how what is held is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    /// The database file.
    pub path: PathBuf,
    /// Where the key of tags comes from.
    pub tag_key: TagKeySource,
    /// Organizations whose allowed tags leave out ours.
    pub restricted_tags: Arc<HashSet<String>>,
    /// How far apart two readings of a session at rest have to be.
    pub quiet: Duration,
    /// When what is done.
    pub times: Times,
}

/// Where the key of tags comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagKeySource {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A file beside the ledger, made at the first start.
    Beside(PathBuf),
}

/// Why there is no key for tags.
#[derive(Debug, thiserror::Error)]
pub enum TagKeyError {
    /// It cannot be read, or made.
    #[error("the tag key {path} cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The variable is not set.
    #[error("the environment variable `{0}`, which `tag_key` names, is not set")]
    NotSet(String),
    /// It is no key.
    #[error(
        "{0}: a tag key has at least {KEY} characters, such as those of `openssl rand -hex 32`"
    )]
    Short(String),
}

impl LedgerSettings {
    /// How the ledger is opened.
    ///
    /// # Errors
    /// There is no key for tags.
    pub fn options(&self) -> Result<Options, TagKeyError> {
        Ok(Options {
            path: self.path.clone(),
            tag_key: self.tag_key.open()?,
            quiet: self.quiet,
            hand_over: HAND_OVER,
        })
    }
}

impl LedgerSettings {
    /// How the ledger is opened for a command that neither reads nor signs a tag, while no gateway runs.
    pub fn for_orders(&self) -> Option<Options> {
        Some(Options {
            path: self.path.clone(),
            tag_key: TagKey::random()?,
            quiet: self.quiet,
            hand_over: Duration::ZERO,
        })
    }
}

impl TagKeySource {
    fn open(&self) -> Result<TagKey, TagKeyError> {
        let (origin, text) = match self {
            Self::File(path) => (path.display().to_string(), read(path)?),
            Self::Env(name) => {
                #[expect(clippy::disallowed_methods, reason = "the setting names this variable")]
                let value = std::env::var(name).map_err(|_| TagKeyError::NotSet(name.clone()))?;
                (format!("`{name}`"), value.into())
            }
            Self::Beside(path) => {
                make(path)?;
                (path.display().to_string(), read(path)?)
            }
        };
        let text = text.expose_secret().trim();
        TagKey::new(text.as_bytes()).ok_or(TagKeyError::Short(origin))
    }
}

fn read(path: &Path) -> Result<SecretString, TagKeyError> {
    let failed = |source| TagKeyError::File {
        path: path.to_owned(),
        source,
    };
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() || kind.len() > MAX_KEY {
        let source = std::io::Error::other("it is no file of a few dozen characters");
        return Err(failed(source));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(text.into())
}

/// Makes a key, unless there is one.
fn make(path: &Path) -> Result<(), TagKeyError> {
    let failed = |source| TagKeyError::File {
        path: path.to_owned(),
        source,
    };
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = [0_u8; 32];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    filled.map_err(|_| failed(std::io::Error::other("the system gives no random bytes")))?;
    let text = HEXLOWER.encode(&bytes);
    writeln!(file, "{text}").map_err(failed)?;
    file.sync_all().map_err(failed)?;
    tracing::warn!(path = %path.display(), "made a key for the tags on sessions; `tag_key:` names one that is kept apart from the ledger");
    Ok(())
}

pub(super) fn read_settings(
    table: &mut Table<'_>,
    folder: &Path,
    report: &mut Report,
) -> Option<LedgerSettings> {
    let path = match table.text("store", report) {
        None => Some(folder.join("tollgate.db")),
        Some((text, span)) => match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Some(folder.join(path)),
            Some(("postgres" | "postgresql", _)) => {
                report
                    .error(span, "PostgreSQL is not supported yet")
                    .help("write `store: sqlite:tollgate.db`");
                None
            }
            _ => {
                report
                    .error(span, format!("`{}` is no store", text.escape_debug()))
                    .help("write `store: sqlite:tollgate.db`");
                None
            }
        },
    };
    let tag_key = table
        .take("tag_key")
        .map(|node| tag_key(node, folder, report));
    let restricted = match table.list("restricted_tags", report) {
        Some((items, _)) => items
            .iter()
            .filter_map(|it| it.as_text("restricted_tags", report).map(str::to_owned))
            .collect(),
        None => HashSet::new(),
    };
    let mut settled = (Duration::from_secs(60), Times::default());
    if let Some(node) = table.take("settle") {
        settle(node, &mut settled, report);
    }
    let path = path?;
    let tag_key = match tag_key {
        Some(source) => source?,
        None => {
            let mut beside = path.clone().into_os_string();
            beside.push(".tag-key");
            TagKeySource::Beside(beside.into())
        }
    };
    Some(LedgerSettings {
        path,
        tag_key,
        restricted_tags: Arc::new(restricted),
        quiet: settled.0,
        times: settled.1,
    })
}

fn tag_key(node: &Node, folder: &Path, report: &mut Report) -> Option<TagKeySource> {
    let mut table = Table::new("`tag_key:`", node, report)?;
    let file = table.text("file", report);
    let env = table.text("env", report);
    table.finish(report);
    match (file, env) {
        (Some((path, _)), None) => Some(TagKeySource::File(folder.join(path))),
        (None, Some((name, _))) => Some(TagKeySource::Env(name.to_owned())),
        (None, None) | (Some(_), Some(_)) => {
            report
                .error(node.span, "`tag_key:` is one source")
                .help("write { file: path } or { env: NAME }");
            None
        }
    }
}

fn settle(node: &Node, settled: &mut (Duration, Times), report: &mut Report) {
    let Some(mut table) = Table::new("`settle:`", node, report) else {
        return;
    };
    for (name, place) in [
        ("every", &mut settled.1.every),
        ("quiet", &mut settled.0),
        ("unknown_after", &mut settled.1.unknown_after),
        ("pace", &mut settled.1.pace),
    ] {
        if let Some(node) = table.take(name)
            && let Some(it) = duration(name, node, &USUAL, report)
        {
            *place = it;
        }
    }
    table.finish(report);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_nobody_elses_to_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db.tag-key");
        let source = TagKeySource::Beside(path.clone());
        source.open().unwrap();
        let made = std::fs::read(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        source.open().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), made);
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(source.open(), Err(TagKeyError::Short(_))));
        let missing = TagKeySource::File(folder.path().join("none"));
        assert!(matches!(missing.open(), Err(TagKeyError::File { .. })));
        let folder = TagKeySource::File(folder.path().to_owned());
        assert!(matches!(folder.open(), Err(TagKeyError::File { .. })));
    }
}
