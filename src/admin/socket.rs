//! The admin socket: a file that its owner and root alone can open, so that whoever gives an order is who he is.
//!
//! The file's mode is set before anybody is listened to. What a process that was killed has left is replaced; a socket
//! that somebody answers on is not.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;
/// How often it is looked whether another process listens still.
const LOOK: Duration = Duration::from_millis(100);
/// Where the system keeps the names of its users.
const USERS: &str = "/etc/passwd";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody listens there.
    #[error("another process listens on {0}: stop it first, or name another path in `admin.unix`")]
    Live(PathBuf),
    /// What is there is no socket.
    #[error("{0} is there and is no socket: name another path in `admin.unix`")]
    NoSocket(PathBuf),
    /// The system says no.
    #[error("cannot listen on {path}, which `admin.unix` names: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The socket, or where it will be once the process that listens there is gone.
#[derive(Debug)]
pub enum Claim {
    /// It is ours.
    Bound(AdminSocket),
    /// Somebody listens there.
    Live(PathBuf),
}

impl Claim {
    /// Listens there, unless somebody else does.
    ///
    /// # Errors
    /// See [`SocketError`]. That somebody listens is none here.
    pub async fn make(path: &Path) -> Result<Self, SocketError> {
        match AdminSocket::bind(path).await {
            Ok(socket) => Ok(Self::Bound(socket)),
            Err(SocketError::Live(path)) => Ok(Self::Live(path)),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody else listens there.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// The socket, as soon as it is ours: until then, orders are for whoever listens there.
    pub async fn honoured(self) -> AdminSocket {
        let path = match self {
            Self::Bound(socket) => return socket,
            Self::Live(path) => path,
        };
        let mut told = false;
        loop {
            match AdminSocket::bind(&path).await {
                Ok(socket) => return socket,
                Err(SocketError::Live(_)) => {}
                // What runs goes on without orders, which is better than not at all.
                Err(error) if !told => {
                    tracing::error!(%error, "no orders are taken yet");
                    told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A user's number, as the system says it of whoever is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uid(u32);

impl Uid {
    /// This process's own.
    ///
    /// # Errors
    /// The system has no sockets.
    pub fn own() -> io::Result<Self> {
        let (one, _other) = UnixStream::pair()?;
        Ok(Self(one.peer_cred()?.uid()))
    }

    /// The user's name and number, for what is written down.
    pub fn shown(self) -> String {
        let users = std::fs::read_to_string(USERS).unwrap_or_default();
        let Self(uid) = self;
        match named(&users, uid) {
            Some(name) => format!("{name} (uid {uid})"),
            None => format!("uid {uid}"),
        }
    }
}

/// The name that a user has in these lines.
fn named(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then_some(name)
    })
}

/// The socket, bound. Its file goes when it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file: another process's is not taken away.
    file: (u64, u64),
}

impl AdminSocket {
    /// Listens there.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub async fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Io {
            path: path.to_owned(),
            source,
        };
        make_room(path).await?;
        let socket = UnixSocket::new_stream().map_err(failed)?;
        socket.bind(path).map_err(failed)?;
        // Nobody can connect before it listens.
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        let file = identity(path).map_err(failed)?;
        let listener = socket.listen(BACKLOG).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file,
        })
    }

    /// The next connection, and who is at its other end.
    ///
    /// # Errors
    /// The system has none, or does not say who.
    pub async fn accept(&self) -> io::Result<(UnixStream, Uid)> {
        let (stream, _) = self.listener.accept().await?;
        let uid = Uid(stream.peer_cred()?.uid());
        Ok((stream, uid))
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|it| it == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = std::fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Takes away the socket of a process that is gone.
async fn make_room(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(SocketError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(SocketError::Live(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a1_the_socket_is_its_owners_alone_and_says_who_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = AdminSocket::bind(&path).await.unwrap();
        assert_eq!(mode(&path), 0o600);
        let (asked, accepted) = tokio::join!(UnixStream::connect(&path), socket.accept());
        asked.unwrap();
        assert_eq!(accepted.unwrap().1, Uid::own().unwrap());
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_of_a_dead_process_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        // As a process leaves it that is killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = AdminSocket::bind(&path).await.unwrap();
        assert_eq!(mode(&path), 0o600);
        let again = AdminSocket::bind(&path).await.unwrap_err();
        assert!(matches!(again, SocketError::Live(_)), "{again}");
        assert!(path.exists());
        // Another process's file is left alone.
        std::fs::remove_file(&path).unwrap();
        let other = AdminSocket::bind(&path).await.unwrap();
        drop(socket);
        assert!(path.exists());
        drop(other);
        std::fs::write(&path, "x").unwrap();
        let file = AdminSocket::bind(&path).await.unwrap_err();
        assert!(matches!(file, SocketError::NoSocket(_)), "{file}");
        let nowhere = AdminSocket::bind(&folder.path().join("no/such.sock")).await;
        assert!(matches!(nowhere, Err(SocketError::Io { .. })));
    }

    #[tokio::test]
    async fn a_socket_that_somebody_listens_on_is_had_when_that_one_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let first = AdminSocket::bind(&path).await.unwrap();
        let claim = Claim::make(&path).await.unwrap();
        assert!(claim.is_live());
        let mut honoured = Box::pin(claim.honoured());
        // It looks, and leaves it alone.
        let looked = tokio::time::timeout(LOOK * 3, &mut honoured).await;
        assert!(looked.is_err());
        let (asked, accepted) = tokio::join!(UnixStream::connect(&path), first.accept());
        assert!(asked.is_ok() && accepted.is_ok());
        drop(first);
        let second = honoured.await;
        assert_eq!(mode(&path), 0o600);
        let (asked, accepted) = tokio::join!(UnixStream::connect(&path), second.accept());
        assert!(asked.is_ok() && accepted.is_ok());
    }

    #[test]
    fn a_user_is_named_where_the_system_knows_the_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\nodd\nops:x:1001:1001::/:/bin/false\n";
        assert_eq!(named(users, 0), Some("root"));
        assert_eq!(named(users, 1001), Some("ops"));
        assert_eq!(named(users, 7), None);
        assert!(Uid(7_777_777).shown().ends_with("uid 7777777"));
    }
}
