//! Who is at the other end of a connection, for the log.

use std::fmt;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// A peer, in a log line.
#[derive(Clone, Copy)]
pub(crate) struct Peer(Option<SocketAddr>);

impl Peer {
    pub(crate) fn of(socket: &TcpStream) -> Self {
        Self(socket.peer_addr().ok())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            // It hung up before we asked.
            None => f.write_str("unknown"),
        }
    }
}
