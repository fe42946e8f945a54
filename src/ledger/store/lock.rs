//! The lock that keeps a ledger to one process.
//!
//! A file of its own beside the database, locked for as long as the process lives: SQLite's own locks are taken for a
//! transaction, and two processes that take turns would each believe their own sums in memory. The file says who has
//! it, for whoever finds it locked; the lock itself is the system's, and ends with the process.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The longest number of a process that is read.
const MAX_PID: u64 = 20;

/// The lock, let go when it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Who has a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The ledger.
    pub path: PathBuf,
    /// The number that the process has on its machine, or in its container.
    pub pid: Option<u32>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.pid {
            Some(pid) => write!(f, "another process ({pid}) has the ledger {path}"),
            None => write!(f, "another process has the ledger {path}"),
        }
    }
}

/// What came of an attempt at the lock.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is ours.
    Taken(Lock),
    /// It is another process's.
    Held(Holder),
}

impl Lock {
    /// Takes it, unless another process has it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn try_take(database: &Path) -> Result<Attempt, StoreError> {
        let path = beside(database);
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let fail =
            |error: std::io::Error| StoreError(format!("{}: {error}", path.display()).into());
        let mut file = open.map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {
                // Only told to people: a full disk is no reason not to start.
                let _ = file
                    .set_len(0)
                    .and_then(|()| write!(file, "{}", std::process::id()));
                Ok(Attempt::Taken(Self { _file: file }))
            }
            Err(TryLockError::WouldBlock) => Ok(Attempt::Held(Holder {
                path: database.to_owned(),
                pid: pid(file),
            })),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }
}

fn pid(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_PID).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
