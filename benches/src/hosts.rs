//! Where programs that are measured run: on this machine's loopback, or at the two ends of a line.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::process::{Child, Command};

use crate::line::{Line, Side, server_address};

/// A client and its servers.
#[derive(Debug)]
pub enum Hosts {
    /// All on this machine; the servers differ in their ports.
    Loopback,
    /// The client at one end and the servers at the other; they differ in their addresses.
    Line(Line),
}

impl Hosts {
    /// An address and port for each of so many servers.
    ///
    /// # Errors
    ///
    /// When this machine has no free ports.
    pub fn server_sockets(&self, count: u8) -> io::Result<Vec<SocketAddrV4>> {
        if let Self::Line(_) = self {
            return Ok((0..count)
                .map(|index| SocketAddrV4::new(server_address(index), PORT))
                .collect());
        }
        // All are held until all are found, so that they differ.
        let held: io::Result<Vec<_>> = (0..count)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect();
        held?
            .iter()
            .map(|listener| {
                Ok(SocketAddrV4::new(
                    Ipv4Addr::LOCALHOST,
                    listener.local_addr()?.port(),
                ))
            })
            .collect()
    }

    /// A port on the client's own loopback, for a program that serves only its own machine.
    ///
    /// # Errors
    ///
    /// When this machine has no free ports.
    pub fn client_socket(&self) -> io::Result<SocketAddrV4> {
        match self {
            Self::Line(_) => Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT)),
            Self::Loopback => Ok(self.server_sockets(1)?.remove(0)),
        }
    }

    /// Starts a program.
    ///
    /// # Errors
    ///
    /// As [`Command::spawn`].
    pub fn spawn(&self, side: Side, command: &mut Command) -> io::Result<Child> {
        match self {
            Self::Loopback => command.spawn(),
            Self::Line(line) => line.spawn(side, command),
        }
    }

    /// Calls a function on a thread whose sockets are at this side.
    ///
    /// # Errors
    ///
    /// As [`Line::within`].
    pub fn within<T: Send>(&self, side: Side, call: impl FnOnce() -> T + Send) -> io::Result<T> {
        match self {
            Self::Loopback => Ok(call()),
            Self::Line(line) => line.within(side, call),
        }
    }
}

/// Of every server on the line: nothing else listens there.
const PORT: u16 = 4000;
