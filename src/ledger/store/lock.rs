//! The lock that keeps a ledger to one process.
//!
//! A file of its own beside the database, locked for as long as the process lives: SQLite's own locks are taken for a
//! transaction, and two processes that take turns would each believe their own sums in memory.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The lock, let go when it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it. `None` if another process has it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn try_take(database: &Path) -> Result<Option<Self>, StoreError> {
        let path = beside(database);
        let open = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let fail =
            |error: std::io::Error| StoreError(format!("{}: {error}", path.display()).into());
        let file = open.map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
