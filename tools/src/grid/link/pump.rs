//! The task behind a connection: connects, moves bytes both ways, notices when nothing moves.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Buf;
use lafs::num;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Link, Reach, pin};
use crate::failure::{Doing, ServerError};
use crate::grid::flow::Metered;
use crate::grid::joined::Joined;
use crate::grid::stall::{PROGRESS_SIZE_MIN, StallWatch};

/// What is read from the socket at once: a TLS record.
const READ_LEN: usize = 16 << 10;

/// Keeps the connection as long as there is something to do on it.
pub(super) async fn run(link: Rc<Link>) {
    loop {
        let error = tokio::select! {
            error = serve(&link) => error,
            error = abandoned(&link) => error,
        };
        if !link.recover(error) {
            break;
        }
    }
}

/// One connection, from TCP to its end.
async fn serve(link: &Link) -> ServerError {
    let (stream, metered) = match connect(link).await {
        Ok(connected) => connected,
        Err(error) => return error,
    };
    link.state.borrow_mut().reach = Reach::Open;
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::select! {
        error = write(link, &metered, &mut writer) => ServerError::Broken(error),
        error = read(link, &metered, &mut reader) => error,
        error = watch(link) => error,
    }
}

async fn connect(link: &Link) -> Result<(TlsStream<Joined>, Metered), ServerError> {
    let address = &link.address;
    let begun = Instant::now();
    let connecting = async {
        let dialed = address
            .dial
            .dial(&address.nurl)
            .await
            .map_err(ServerError::Unreachable)?;
        let metered = link.flow.meter(dialed.gauge, link.reached(begun.elapsed()));
        let mut stream = TlsConnector::from(address.config.clone())
            .connect(pin::server_name(), Joined::new(dialed.stream))
            .await
            .map_err(pin::handshake_error)?;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() == Some(protocol::ALPN) {
            // HELLO waits in the output.
            stream.get_mut().0.let_go();
            metered.greeted();
            Ok((stream, metered))
        } else {
            Err(ServerError::OtherProtocol)
        }
    };
    let limit = address.patience.stall;
    tokio::select! {
        biased;
        connected = connecting => connected,
        () = stall(limit, || (0, true)) => Err(ServerError::TooSlow {
            doing: Doing::Connecting,
            limit,
        }),
    }
}

/// Takes what the server sends, until the connection ends.
async fn read(
    link: &Link,
    metered: &Metered,
    reader: &mut (impl AsyncRead + Unpin),
) -> ServerError {
    let mut buffer = vec![0; READ_LEN];
    loop {
        let len = match reader.read(&mut buffer).await {
            Ok(0) => return ServerError::Broken(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => len,
            Err(error) => return ServerError::Broken(error),
        };
        {
            let mut state = link.state.borrow_mut();
            state.heard = Some(Instant::now());
            state.is_late = false;
        }
        metered.heard();
        let mut input = &buffer[..len];
        loop {
            let event = link.state.borrow_mut().connection.read(&mut input);
            match event {
                Ok(None) => break,
                Ok(Some(event)) => {
                    if let Err(error) = link.handle(event) {
                        return error;
                    }
                }
                Err(violation) => return violation.into(),
            }
        }
    }
}

/// Sends what is queued, until the connection breaks or this side ends it.
async fn write(
    link: &Link,
    metered: &Metered,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Error {
    loop {
        if let Err(error) = write_queue(link, metered, writer).await {
            return error;
        }
        if link.state.borrow().is_closing {
            // The server learns that this is the end and no accident; it is not waited for.
            let _ = writer.shutdown().await;
            return io::ErrorKind::ConnectionAborted.into();
        }
        link.work.notified().await;
    }
}

async fn write_queue(
    link: &Link,
    metered: &Metered,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    // What the budget lets go, until it has gone.
    let mut leave = 0;
    while !poll_fn(|context| {
        let mut state = link.state.borrow_mut();
        let output = state.connection.output();
        if !output.has_remaining() {
            return Poll::Ready(Ok(true));
        }
        if leave == 0 {
            leave = ready!(metered.poll_leave(context, output.remaining()));
        }
        let mut allowed = output.take(leave);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = allowed.chunks_vectored(&mut slices);
        let len = ready!(Pin::new(&mut *writer).poll_write_vectored(context, &slices[..filled])?);
        allowed.advance(len);
        leave -= len;
        metered.wrote(len);
        Poll::Ready(Ok::<_, io::Error>(false))
    })
    .await?
    {
        link.room.notify_waiters();
    }
    writer.flush().await
}

/// Pieces of frames handed to TLS at once, so that short ones share a record, which costs 22 bytes. A
/// share of 1 kB at 3-of-10 is two pieces of 465 bytes together: so many of them fill a record.
const SLICES: usize = 64;

/// Ends when nothing has moved for too long although the server owes a move.
async fn watch(link: &Link) -> ServerError {
    let limit = link.address.patience.stall;
    stall(limit, || {
        let state = link.state.borrow();
        let traffic = state.connection.traffic();
        let queued = num::size(state.connection.output_len());
        // A whole frame counts, however short; a byte now and then does not.
        let moved = (traffic.bytes_sent - queued)
            + traffic.bytes_received
            + traffic.frames_received * PROGRESS_SIZE_MIN;
        (moved, state.is_owed())
    })
    .await;
    ServerError::TooSlow {
        doing: Doing::Answering,
        limit,
    }
}

/// Ends when nothing has moved for so long; `look` says how much has moved so far, and whether the
/// server owes a move.
async fn stall(limit: Duration, look: impl Fn() -> (u64, bool)) {
    let mut watch = StallWatch::new(limit, Instant::now());
    loop {
        sleep_until(watch.next_look()).await;
        let (moved, is_owed) = look();
        if watch.is_stalled(Instant::now(), moved, is_owed) {
            return;
        }
    }
}

/// Ends when the server is given up.
async fn abandoned(link: &Link) -> ServerError {
    loop {
        link.abandon.notified().await;
        if let Some(error) = link.state.borrow_mut().abandoned.take() {
            return error;
        }
    }
}
