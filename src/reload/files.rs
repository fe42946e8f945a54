//! Files other than policies that are read again when they change: the token, key sets, certificates.
//!
//! An edge, beside the request path. Each is small, and looked at every second by reading it: links that are swapped,
//! and files with the time of another, are seen for what they hold. What cannot be used changes nothing, and is said
//! once until it can.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Something that is read from files, and read again.
pub trait Renew: Send + Sync {
    /// What it is, and where it is read: "the key set in keys.json".
    fn name(&self) -> String;

    /// Reads it, and takes it if it is another. Whether it was.
    ///
    /// # Errors
    /// It cannot be used, and what was in use stays: why, without any secret.
    fn renew(&mut self) -> Result<bool, String>;
}

/// Opens a file of which at most so many bytes are read. A pipe or a device, which would never end, is none.
///
/// # Errors
/// It cannot be opened, or is no regular file.
pub(crate) fn bounded(path: &Path, most: u64) -> io::Result<io::Take<File>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(File::open(path)?.take(most))
}

/// All of them.
#[derive(Default)]
pub struct Files(Vec<Followed>);

struct Followed {
    file: Box<dyn Renew>,
    /// What was said of it last, while it cannot be used.
    failing: Option<String>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Files").field(&self.0.len()).finish()
    }
}

impl Files {
    /// Follows another.
    pub fn add(&mut self, file: impl Renew + 'static) {
        self.0.push(Followed {
            file: Box::new(file),
            failing: None,
        });
    }

    /// Reads all of them. What was said of one that cannot be used is said again if somebody has asked.
    pub(super) fn look(&mut self, is_asked: bool) {
        for Followed { file, failing } in &mut self.0 {
            match file.renew() {
                Ok(is_new) => {
                    let was_failing = failing.take().is_some();
                    if is_new || was_failing {
                        let what = file.name();
                        tracing::info!("{what} was read again and is in use");
                    }
                }
                Err(why) => {
                    if is_asked || failing.as_ref() != Some(&why) {
                        let what = file.name();
                        tracing::error!("{what} cannot be used, and what was in use stays: {why}");
                    }
                    *failing = Some(why);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    struct Scripted(Arc<Mutex<VecDeque<Result<bool, String>>>>);

    impl Renew for Scripted {
        fn name(&self) -> String {
            "it".to_owned()
        }

        fn renew(&mut self) -> Result<bool, String> {
            self.0.lock().unwrap().pop_front().unwrap()
        }
    }

    #[test]
    fn a2_one_file_that_cannot_be_used_keeps_no_other_from_being_read() {
        let bad = Arc::new(Mutex::new(VecDeque::from([
            Err("bad".to_owned()),
            Err("bad".to_owned()),
            Ok(false),
        ])));
        let good = Arc::new(Mutex::new(VecDeque::from([Ok(true), Ok(false), Ok(true)])));
        let mut files = Files::default();
        files.add(Scripted(Arc::clone(&bad)));
        files.add(Scripted(Arc::clone(&good)));
        for left in [2, 1, 0] {
            files.look(false);
            assert_eq!(bad.lock().unwrap().len(), left);
            assert_eq!(good.lock().unwrap().len(), left);
            assert_eq!(files.0[0].failing.is_some(), left > 0);
        }
    }
}
