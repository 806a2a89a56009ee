//! A TCP socket that is read in large pieces.
//!
//! rustls asks for 4 KiB at a time. Each of them would be a system call, five for a record and 20
//! for a frame; from here they are copies within the processor's cache. What was received and not
//! yet taken is at most [`RECEIVE_LEN_MAX`] bytes, and a socket with nothing to read owns no memory.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use protocol::limits::RECEIVE_LEN_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection below TLS.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    received: BytesMut,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            received: BytesMut::new(),
        }
    }

    /// The socket itself, for its addresses.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Bytes that were received and are not taken.
    pub(crate) fn received_len(&self) -> usize {
        self.received.len()
    }

    /// Takes what the kernel has.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stream.poll_read_ready(context)?.is_pending() {
            // Idle connections are many; their memory goes back.
            self.received = BytesMut::new();
            return Poll::Pending;
        }
        self.received.reserve(RECEIVE_LEN_MAX);
        // Dropped unfinished, it has taken nothing.
        let receiving = pin!(self.stream.read_buf(&mut self.received));
        let len = ready!(receiving.poll(context))?;
        if len == 0 {
            self.received = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received.is_empty() {
            ready!(self.poll_receive(context))?;
        }
        let len = self.received.len().min(buffer.remaining());
        buffer.put_slice(&self.received[..len]);
        self.received.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
