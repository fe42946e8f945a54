//! What the process gives up before it knows a secret: being looked into by its own user, and leaving core files.
//!
//! The shared token is in its memory (U7). Whoever runs as the same user could read that memory, or start a crash and read
//! what it leaves; root can still.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Gives it up, for the whole life of the process. What the system does not allow is said, and no reason not to start.
pub fn harden() {
    let no_core = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, no_core) {
        tracing::warn!(%error, "core files cannot be switched off: they would hold the token");
    }
    if let Err(error) = not_dumpable() {
        tracing::warn!(%error, "other processes of the same user can read this one's memory");
    }
}

/// `prctl(2)`, `PR_SET_DUMPABLE`.
#[cfg(target_os = "linux")]
fn not_dumpable() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(not(target_os = "linux"))]
fn not_dumpable() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn u7_there_is_no_core_file_and_nobody_of_the_same_user_looks_in() {
        harden();
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        let behavior = dumpable_behavior().unwrap();
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
    }
}
