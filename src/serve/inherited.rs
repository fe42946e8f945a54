//! Sockets that whoever started this process has opened for it: systemd's socket activation, `sd_listen_fds(3)`.
//!
//! Such a socket outlives the process, so that no connection is refused between one process and the next. Each goes to
//! the listener whose address it has; one that no listener names stops the start, since nobody would ever answer there.

use std::io;
use std::net::SocketAddr;

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// Sockets that were passed, with their addresses.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(SocketAddr, std::net::TcpListener)>);

/// Why what was passed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// Not a TCP socket that listens.
    #[error("the socket number {number} that was passed (LISTEN_FDS) is of no use here: {source}")]
    Unusable {
        /// Which, from 0.
        number: usize,
        /// Why.
        source: io::Error,
    },
    /// Nothing here is listened on at its address.
    #[error(
        "a socket was passed (LISTEN_FDS) that listens on {0}, and neither `listen:` nor `admin:` names that address: \
         write `tcp: \"{0}\"` there, or do not pass it"
    )]
    Unnamed(SocketAddr),
}

impl Inherited {
    /// What the environment says was passed: none in most cases.
    ///
    /// # Errors
    /// See [`InheritedError`].
    pub fn from_env() -> Result<Self, InheritedError> {
        let mut passed = ListenFd::from_env();
        let mut all = Vec::new();
        for number in 0..passed.len() {
            let unusable = |source| InheritedError::Unusable { number, source };
            let socket = passed.take_tcp_listener(number).map_err(unusable)?;
            let Some(socket) = socket else { continue };
            all.push((ready(&socket).map_err(unusable)?, socket));
        }
        Ok(Self(all))
    }

    /// Takes the one at this address, if there is one.
    pub(super) fn take_at(
        &mut self,
        address: SocketAddr,
    ) -> Option<Result<TcpListener, InheritedError>> {
        let number = self.0.iter().position(|(at, _)| *at == address)?;
        let (_, socket) = self.0.remove(number);
        let unusable = |source| InheritedError::Unusable { number, source };
        Some(TcpListener::from_std(socket).map_err(unusable))
    }

    /// That all were taken.
    pub(super) fn none_is_left(&self) -> Result<(), InheritedError> {
        match self.0.first() {
            Some((address, _)) => Err(InheritedError::Unnamed(*address)),
            None => Ok(()),
        }
    }
}

/// Makes one ready to accept, and says where it listens. One that does not, such as a connection (systemd's
/// `Accept=yes`), would be tried for ever, behind a process that says it is ready.
fn ready(socket: &std::net::TcpListener) -> io::Result<SocketAddr> {
    if !rustix::net::sockopt::socket_acceptconn(socket)? {
        return Err(io::Error::other("it does not listen"));
    }
    socket.set_nonblocking(true)?;
    socket.local_addr()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a11_a_connection_is_no_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(ready(&listener).unwrap(), address);
        let connection = TcpStream::connect(address).unwrap();
        let refused = ready(&TcpListener::from(OwnedFd::from(connection)));
        assert_eq!(refused.unwrap_err().to_string(), "it does not listen");
    }
}
