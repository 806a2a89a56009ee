//! The last flight of TLS's handshake leaves in one packet with the first requests.
//!
//! TLS writes its Finished when it has read the server's flight, and the requests follow at once. As
//! two packets they are a header more, and TCP sends the second one again as soon as twice the round
//! trip of a line without a queue has passed; of a lone packet it waits longer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::Stream;

/// A stream that holds back what is written after the first bytes were read, until it is let go or
/// more is read.
pub(super) struct Joined {
    stream: Box<dyn Stream>,
    has_read: bool,
    /// Whoever writes next completes what is held.
    is_let_go: bool,
    held: Vec<u8>,
}

impl Joined {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            has_read: false,
            is_let_go: false,
            held: Vec::new(),
        }
    }

    /// The handshake is over: what is held leaves with the next write, which is to follow.
    pub(super) fn let_go(&mut self) {
        self.is_let_go = true;
    }

    fn poll_write_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let len = ready!(Pin::new(&mut self.stream).poll_write(context, &self.held))?;
            self.held.drain(..len);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Joined {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Who reads within the handshake waits for an answer to what is held.
        if !self.is_let_go {
            ready!(self.poll_write_held(context))?;
        }
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.has_read = true;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Joined {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.has_read && !self.is_let_go && self.held.len() < HELD_LEN_MAX {
            self.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.held.is_empty() {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        let held = std::mem::take(&mut self.held);
        let slices = [IoSlice::new(&held), IoSlice::new(bytes)];
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, &slices);
        let len = match &written {
            Poll::Ready(Ok(len)) => *len,
            _ => 0,
        };
        let of_held = len.min(held.len());
        self.held.extend_from_slice(&held[of_held..]);
        ready!(written)?;
        // None of `bytes` may have gone: then the rest of what is held goes first.
        if len <= held.len() {
            ready!(self.poll_write_held(context))?;
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        Poll::Ready(Ok(len - of_held))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.held.is_empty() && (self.is_let_go || !self.has_read) {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(context, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_let_go {
            ready!(self.poll_write_held(context))?;
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_held(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// More than the client's last flight of TLS.
const HELD_LEN_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What arrives at the other end with one read.
    async fn arrived(far: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
        let mut buffer = [0; 100];
        let len = far.read(&mut buffer).await.unwrap();
        buffer[..len].to_vec()
    }

    #[tokio::test]
    async fn what_is_written_last_in_the_handshake_leaves_with_what_follows() {
        let (near, mut far) = duplex(100);
        let mut joined = Joined::new(Box::new(near));
        joined.write_all(b"hello").await.unwrap();
        assert_eq!(arrived(&mut far).await, b"hello");
        far.write_all(b"server").await.unwrap();
        joined.read_exact(&mut [0; 6]).await.unwrap();
        joined.write_all(b"finished ").await.unwrap();
        joined.flush().await.unwrap();
        joined.let_go();
        joined.write_all(b"request").await.unwrap();
        assert!(arrived(&mut far).await.starts_with(b"finished "));
    }

    // A server that asks for another hello would never get it.
    #[tokio::test]
    async fn what_is_held_leaves_when_more_is_awaited() {
        let (near, mut far) = duplex(100);
        let mut joined = Joined::new(Box::new(near));
        far.write_all(b"again").await.unwrap();
        joined.read_exact(&mut [0; 5]).await.unwrap();
        joined.write_all(b"hello").await.unwrap();
        far.write_all(b"server").await.unwrap();
        joined.read_exact(&mut [0; 6]).await.unwrap();
        assert_eq!(arrived(&mut far).await, b"hello");
    }

    #[tokio::test]
    async fn a_narrow_stream_gets_all_bytes_in_order() {
        let (near, mut far) = duplex(3);
        let mut joined = Joined::new(Box::new(near));
        far.write_all(b"s").await.unwrap();
        joined.read_exact(&mut [0; 1]).await.unwrap();
        joined.write_all(b"finished ").await.unwrap();
        joined.let_go();
        let writing = async {
            joined.write_all(b"request").await.unwrap();
            joined.shutdown().await.unwrap();
        };
        let mut all = String::new();
        let (_, read) = tokio::join!(writing, far.read_to_string(&mut all));
        read.unwrap();
        assert_eq!(all, "finished request");
    }
}
