//! TLS as hyper reads and writes it, counted.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use super::watch::Watch;
use crate::quick_ack;
use crate::socket::Socket;

/// A TLS stream that tells a [`Watch`] what passes over it.
pub(super) struct Transport {
    stream: TlsStream<Socket>,
    watch: Arc<Watch>,
}

impl Transport {
    pub(super) fn new(stream: TlsStream<Socket>, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }

    pub(super) fn into_inner(self) -> TlsStream<Socket> {
        self.stream
    }

    fn written(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(len)) = written {
            self.watch.sent(*len);
        }
        self.watch.set_blocked(written.is_pending());
    }
}

impl Read for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let input = match Pin::new(&mut self.stream).poll_fill_buf(context) {
            Poll::Pending => {
                if self.watch.owes_request() {
                    quick_ack::ask(self.stream.get_ref().0.stream());
                }
                return Poll::Pending;
            }
            Poll::Ready(input) => input,
        };
        let input = match input {
            Ok(input) => input,
            // Clients hang up without TLS's close; what they sent in full was answered.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(Ok(()));
            }
            Err(error) => return Poll::Ready(Err(error)),
        };
        let len = input.len().min(buffer.remaining());
        buffer.put_slice(&input[..len]);
        Pin::new(&mut self.stream).consume(len);
        if len > 0 {
            self.watch.received(len);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch.set_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
