//! How the bytes of a connection reach a server: over TCP, or over what a test puts in its place.

use std::future::Future;
use std::io;
use std::pin::Pin;

use lafs::nurl::{Network, Nurl};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::gauge::Gauge;

/// Both directions of a connection, below TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A connection that was made.
pub struct Dialed {
    pub(super) stream: Box<dyn Stream>,
    /// What the kernel tells of it, where it is the kernel's.
    pub(super) gauge: Option<Gauge>,
}

/// A connection that is being made.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Dialed>>>>;

/// Makes connections.
pub trait Dial {
    /// Begins to connect to a server.
    fn dial(&self, nurl: &Nurl) -> Dialing;
}

impl Dialed {
    /// A connection of which no kernel knows.
    #[must_use]
    pub fn over(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            gauge: None,
        }
    }
}

/// Connects over TCP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial(&self, nurl: &Nurl) -> Dialing {
        let network = nurl.network();
        let (host, port) = (nurl.host().as_str().to_owned(), nurl.port());
        Box::pin(async move {
            if network != Network::Tcp {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "tahoectl does not reach onion services",
                ));
            }
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            // A frame must not wait for the acknowledgement of the one before it.
            stream.set_nodelay(true)?;
            let gauge = Gauge::of(&stream);
            let stream = Box::new(stream);
            Ok(Dialed { stream, gauge })
        })
    }
}
