//! What is listened on, before anything is served: all of it, or nothing.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpListener, TcpSocket};

use super::inherited::{Inherited, InheritedError};
use super::tls::Tls;
use crate::admin::{Claim, SocketError};

/// Connections that the system has met and that are not accepted yet; it may allow less (`net.core.somaxconn`). Beyond
/// them it lets new ones wait for a second or more, before they try again.
pub(super) const BACKLOG: u32 = 4_096;
/// What the system takes of what is written to one connection before its client has it, in bytes. It would let that grow
/// to several MiB, for whoever takes nothing too.
const UNSENT: u32 = 512 * 1024;

/// Where callers connect, and how.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// What they are met with there; none for plain HTTP.
    pub tls: Option<Tls>,
}

/// A listener of callers that is bound.
#[derive(Debug)]
pub struct BoundListener {
    /// Its socket.
    pub socket: TcpListener,
    /// What is spoken on it.
    pub tls: Option<Tls>,
}

impl From<TcpListener> for BoundListener {
    fn from(socket: TcpListener) -> Self {
        Self { socket, tls: None }
    }
}

/// The operator's listener that is bound.
#[derive(Debug)]
pub struct BoundAdmin {
    /// Its socket.
    pub socket: TcpListener,
    /// Whether somebody else listens on the same socket, or will: then it is left to them when this process is told to
    /// stop, and otherwise kept until it has stopped.
    pub is_shared: bool,
}

impl From<TcpListener> for BoundAdmin {
    fn from(socket: TcpListener) -> Self {
        Self {
            socket,
            is_shared: false,
        }
    }
}

/// Listeners that are bound.
#[derive(Debug)]
pub struct Bound {
    /// For callers.
    pub callers: Vec<BoundListener>,
    /// For the operator.
    pub admin: BoundAdmin,
    /// For the operator's orders.
    pub socket: Option<Claim>,
}

impl Bound {
    /// That nobody else listens anywhere: for a process that waits for no other to end.
    ///
    /// # Errors
    /// Another process listens on the admin socket.
    pub fn is_whole(&self) -> Result<(), BindError> {
        match &self.socket {
            Some(Claim::Live(path)) => Err(SocketError::Live(path.clone()).into()),
            Some(Claim::Bound(_)) | None => Ok(()),
        }
    }
}

/// What cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address.
    #[error(
        "cannot listen on {address}: {source} (`listen:` and `admin:` in the configuration say where)"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The admin socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// What whoever started the process has opened.
    #[error(transparent)]
    Inherited(#[from] InheritedError),
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As the standard library does: a port that was just left can be taken again.
    socket.set_reuseaddr(true)?;
    // Its connections have the same.
    socket.set_send_buffer_size(UNSENT)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes of the `inherited` sockets what is listened on, and binds the rest: every listener or none. But the admin
/// socket, if another process listens there, can be bound later.
///
/// # Errors
/// The first address that cannot be bound, or a socket that was passed and that nothing here names.
pub async fn bind(
    callers: &[Listener],
    admin: SocketAddr,
    socket: Option<&Path>,
    mut inherited: Inherited,
) -> Result<Bound, BindError> {
    let mut bind = async |address: SocketAddr| {
        if let Some(passed) = inherited.take_at(address) {
            return Ok((passed?, true));
        }
        let bound = listen(address).map_err(|source| BindError::Address { address, source })?;
        Ok::<_, BindError>((bound, false))
    };
    let (admin, is_shared) = bind(admin).await?;
    let mut bound = Vec::new();
    for listener in callers {
        let (socket, _) = bind(listener.address).await?;
        let tls = listener.tls.clone();
        bound.push(BoundListener { socket, tls });
    }
    inherited.none_is_left()?;
    let socket = match socket {
        Some(path) => Some(Claim::make(path).await?),
        None => None,
    };
    Ok(Bound {
        callers: bound,
        admin: BoundAdmin {
            socket: admin,
            is_shared,
        },
        socket,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn r5_who_comes_with_many_others_is_met_at_once() {
        let bound = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = bound.local_addr().unwrap();
        // Nothing is accepted; what the system may not keep is its operator's to say.
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let many = allowed.trim().parse::<usize>().unwrap().min(600);
        let mut open = Vec::new();
        let all = async {
            for _ in 0..many {
                open.push(TcpStream::connect(address).await.unwrap());
            }
        };
        let met = tokio::time::timeout(Duration::from_secs(30), all).await;
        assert!(met.is_ok(), "only {} of {many} are met", open.len());
    }

    #[tokio::test]
    async fn r2_the_system_takes_little_for_a_client_that_takes_nothing() {
        let bound = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = bound.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = bound.accept().await.unwrap();
        let (piece, mut taken) = (vec![b'x'; 64 * 1024], 0);
        let pause = Duration::from_millis(500);
        while let Ok(ready) = tokio::time::timeout(pause, stream.writable()).await {
            ready.unwrap();
            taken += stream.try_write(&piece).unwrap_or(0);
        }
        // With what the client's own side takes. Without a bound it is 3.7 MiB.
        assert!(taken < 3 << 19, "{taken} bytes");
    }
}
