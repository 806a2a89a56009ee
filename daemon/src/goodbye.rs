//! The end of a connection: what was written last must arrive.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use protocol::limits::{GOODBYE_LEN_MAX, GOODBYE_TIMEOUT};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::socket::Socket;

/// Sends TLS's close and TCP's, then waits for the peer's, so that our last bytes are not lost to a
/// reset for bytes that it sent meanwhile. A peer that does not hang up is hung up on.
pub(crate) async fn say(stream: &mut TlsStream<Socket>) {
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, close(stream)).await;
}

async fn close(stream: &mut TlsStream<Socket>) -> io::Result<()> {
    stream.shutdown().await?;
    let (socket, _) = stream.get_mut();
    let mut left = GOODBYE_LEN_MAX;
    poll_fn(|context| {
        loop {
            let mut buffer = [0; 4096];
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut *socket).poll_read(context, &mut buffer))?;
            let len = buffer.filled().len();
            if len == 0 || len > left {
                return Poll::Ready(Ok(()));
            }
            left -= len;
        }
    })
    .await
}
