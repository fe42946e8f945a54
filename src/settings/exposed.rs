//! Whom the modes of files let in that should be kept out.
//!
//! An edge of the start, and only a warning: secrets that an orchestrator mounts are often readable by everyone in the
//! container, who is the gateway alone. What the gateway makes itself (the ledger, its lock, the tag key) has mode 0600.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::ledger::TagKeySource;
use super::{Settings, TokenSource};

/// A file or folder that lets others in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Which setting names it.
    pub setting: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// Its permissions, as `chmod` has them.
    pub mode: u32,
    /// Whether it is that others may read it; else, that they may write it.
    pub is_read: bool,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let may = if self.is_read { "read" } else { "change" };
        let (setting, path, mode) = (self.setting, self.path.display(), self.mode);
        write!(f, "others may {may} {path} (`{setting}`, mode {mode:04o})")
    }
}

/// Secrets are for their owner, and a group that reads; what decides is written by its owner alone.
fn look(setting: &'static str, path: &Path, is_secret: bool) -> Option<Exposed> {
    // What is not there or cannot be looked at is an error of whoever reads it.
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let is_read = is_secret && mode & 0o004 != 0;
    let is_written = mode & 0o022 != 0;
    (is_read || is_written).then(|| Exposed {
        setting,
        path: path.to_owned(),
        mode,
        is_read,
    })
}

impl Settings {
    /// The files and the folder of these settings that let others in, as they are now.
    pub fn exposed(&self) -> Vec<Exposed> {
        let token = match &self.token {
            TokenSource::File(path) => look("upstream.token", path, true),
            TokenSource::Env(_) => None,
        };
        let tag_key = match &self.ledger.tag_key {
            TagKeySource::File(path) | TagKeySource::Beside(path) => look("tag_key", path, true),
            TagKeySource::Env(_) => None,
        };
        let alerts = self.alerts.as_ref().and_then(|it| it.key_file());
        let webhook_key = alerts.and_then(|path| look("alerts.key", path, true));
        let policies = look("policies", &self.policies.folder, false);
        [token, tag_key, webhook_key, policies]
            .into_iter()
            .flatten()
            .collect()
    }
}
