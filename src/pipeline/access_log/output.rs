//! What a log is written to, and the rotation of files. Only the writer thread comes here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::sink::lock;

/// Where a log is written to.
#[derive(Debug)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error: for the demo, whose standard output is for people.
    Stderr,
    /// A file, which is rotated at `max_bytes`: `keep` old ones stay, as `path.1` and so on.
    File {
        /// Its path.
        path: PathBuf,
        /// The size at which it is rotated.
        max_bytes: u64,
        /// How many old ones are kept.
        keep: u32,
    },
    /// Memory, for tests and the tour.
    Memory(MemoryLog),
}

/// A log in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog(Arc<Mutex<Vec<u8>>>);

impl MemoryLog {
    /// What has been written.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }

    /// What has been written since it was taken last.
    pub fn take(&self) -> String {
        let taken = std::mem::take(&mut *lock(&self.0));
        String::from_utf8_lossy(&taken).into_owned()
    }
}

pub(super) enum Target {
    /// Standard output or error, without the buffer of the standard library: what was written is known exactly.
    Standard(File),
    File(Rotated),
    Memory(MemoryLog),
}

impl Target {
    pub(super) fn open(output: Output) -> io::Result<Self> {
        Ok(match output {
            Output::Stdout => Self::Standard(io::stdout().as_fd().try_clone_to_owned()?.into()),
            Output::Stderr => Self::Standard(io::stderr().as_fd().try_clone_to_owned()?.into()),
            Output::File {
                path,
                max_bytes,
                keep,
            } => {
                let (file, size) = open(&path)?;
                Self::File(Rotated {
                    path,
                    max_bytes,
                    keep,
                    file,
                    size,
                    at_line_end: true,
                })
            }
            Output::Memory(memory) => Self::Memory(memory),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::File(file) => file.write(bytes),
            Self::Memory(memory) => {
                lock(&memory.0).extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.reopen(),
            Self::Standard(_) | Self::Memory(_) => Ok(()),
        }
    }
}

pub(super) struct Rotated {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    file: File,
    size: u64,
    at_line_end: bool,
}

fn open(path: &PathBuf) -> io::Result<(File, u64)> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl Rotated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at_line_end
            && self.size > 0
            && self.size + bytes.len() as u64 > self.max_bytes
            && let Err(error) = self.rotate()
        {
            // The open file takes lines all the same; it is tried again when as much has come once more.
            tracing::error!(%error, "the access log cannot be rotated");
            self.size = 0;
        }
        let written = self.file.write(bytes)?;
        self.size += written as u64;
        self.at_line_end = bytes.get(..written).is_some_and(|it| it.ends_with(b"\n"));
        Ok(written)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let old =
            |name: &dyn std::fmt::Display| PathBuf::from(format!("{}.{name}", self.path.display()));
        let rename = |from: &Path, to: &Path| match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) => Ok(false),
            Ok(()) => Ok(true),
        };
        // The file itself first: if somebody else has taken it away, no old one may be shifted for it.
        let aside = old(&"rotating");
        if rename(&self.path, &aside)? {
            for number in (1..self.keep).rev() {
                rename(&old(&number), &old(&(number + 1)))?;
            }
            if self.keep > 0 {
                rename(&aside, &old(&1))?;
            } else {
                fs::remove_file(&aside)?;
            }
        }
        self.reopen()
    }

    fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.size) = open(&self.path)?;
        self.at_line_end = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sink::Sink;
    use super::*;

    #[tokio::test]
    async fn a_file_is_rotated_between_lines_and_reopened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let sink = Sink::open(Output::File {
            path: path.clone(),
            max_bytes: 100,
            keep: 2,
        })
        .unwrap();
        for number in 0..20 {
            sink.write(|line| {
                line.extend_from_slice(format!("line {number:02} {}\n", "x".repeat(30)).as_bytes())
            })
            .await;
            sink.flush();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("access.log").lines().count(), 2);
        assert_eq!(read("access.log.1").lines().count(), 2);
        assert!(read("access.log.2").starts_with("line 14"));
        assert!(!folder.path().join("access.log.3").exists());
        fs::rename(&path, folder.path().join("taken")).unwrap();
        sink.reopen();
        sink.write(|line| line.extend_from_slice(b"after\n")).await;
        assert!(sink.close());
        assert_eq!(read("access.log"), "after\n");
    }

    #[tokio::test]
    async fn a_file_that_somebody_took_away_costs_no_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let old = |number: u32| folder.path().join(format!("access.log.{number}"));
        for number in 1..=3 {
            fs::write(old(number), format!("old {number}\n")).unwrap();
        }
        let sink = Sink::open(Output::File {
            path: path.clone(),
            max_bytes: 20,
            keep: 3,
        })
        .unwrap();
        let write = async |text: &str| {
            sink.write(|line| line.extend_from_slice(text.as_bytes()))
                .await;
            sink.flush();
        };
        write("a first line\n").await;
        fs::remove_file(&path).unwrap();
        write("a second line\n").await;
        assert_eq!(fs::read_to_string(&path).unwrap(), "a second line\n");
        for number in 1..=3 {
            assert_eq!(
                fs::read_to_string(old(number)).unwrap(),
                format!("old {number}\n")
            );
        }
        assert!(sink.is_healthy());
        let _ = sink.close();
    }
}
