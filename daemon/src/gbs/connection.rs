//! One connection that speaks GBS: the loop around hyper.
//!
//! hyper reads requests and writes answers; what it must not decide is here: how long to wait for a
//! client, and how to end. An idle connection holds what TLS and hyper hold, and no timer of
//! hyper's.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::server::conn::http1::{Builder, Connection};
use protocol::Farewell;
use protocol::limits::GOODBYE_TIMEOUT;
use tokio::io::AsyncWriteExt;
use tokio::time::{Sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::service::Service;
use super::transport::Transport;
use super::watch::Watch;
use crate::goodbye;
use crate::patience::Patience;
use crate::peer::Peer;
use crate::shared::{Shared, StopSignal};
use crate::socket::Socket;

/// Serves a connection on which TLS is done, until it ends. The first request that presents the
/// swissnum is due at some time. `turned_away`: only to say that there are too many.
pub(crate) async fn serve(
    stream: TlsStream<Socket>,
    shared: Arc<Shared>,
    stop: StopSignal,
    admission_due: Instant,
    turned_away: bool,
) {
    let peer = Peer::of(stream.get_ref().0.stream());
    let watch = Arc::new(Watch::default());
    let patience = Patience::new(shared.limits(), admission_due, Instant::now());
    let transport = Transport::new(stream, Arc::clone(&watch));
    let service = Service::new(Arc::clone(&shared), peer, Arc::clone(&watch), turned_away);
    let mut gbs = Gbs {
        connection: builder().serve_connection(transport, service),
        timer: Box::pin(sleep_until(patience.deadline().into())),
        patience,
        watch,
        stopped: Some(Box::pin(stop.stopped())),
    };
    let ended = poll_fn(|context| gbs.poll_serve(context)).await;
    let (moved, requests) = (gbs.watch.sight().moved, gbs.watch.requests());
    match &ended {
        Ok(End::Done) => debug!(%peer, requests, moved, "closed"),
        Ok(End::Impatient(farewell)) => debug!(%peer, %farewell, requests, moved, "hung up on"),
        Err(error) if error.is_parse() => shared.notices().malformed(peer, error),
        Err(error) => debug!(%peer, %error, requests, moved, "broken"),
    }
    let tell = matches!(ended, Ok(End::Impatient(Farewell::TooSlow))) && gbs.watch.owes_body();
    let mut stream = gbs.connection.into_parts().io.into_inner();
    if tell {
        // Around hyper, which cannot answer yet: the request's handler waits for the body.
        let told = stream.write_all(TOO_SLOW);
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, told).await;
    }
    goodbye::say(&mut stream).await;
}

/// A connection and what watches over it.
struct Gbs {
    connection: Connection<Transport, Service>,
    patience: Patience,
    timer: Pin<Box<Sleep>>,
    watch: Arc<Watch>,
    /// Until it has come.
    stopped: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// One of the two had no more to say.
    Done,
    /// The client was too slow, or idle for too long.
    Impatient(Farewell),
}

impl Gbs {
    fn poll_serve(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<End>> {
        if let Some(stopped) = &mut self.stopped {
            if stopped.as_mut().poll(context).is_ready() {
                self.stopped = None;
                // What has been asked for is answered.
                Pin::new(&mut self.connection).graceful_shutdown();
            }
        }
        if let Poll::Ready(ended) = self.connection.poll_without_shutdown(context) {
            return Poll::Ready(ended.map(|()| End::Done));
        }
        let now = Instant::now();
        self.patience.observe(now, self.watch.sight());
        let deadline = self.patience.deadline().into();
        if deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(context).is_ready() {
            if let Some(farewell) = self.patience.verdict(now) {
                return Poll::Ready(Ok(End::Impatient(farewell)));
            }
            // The deadline has moved on since the timer was set.
            self.timer.as_mut().reset(self.patience.deadline().into());
        }
        Poll::Pending
    }
}

/// hyper as it is used here.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        // The head of a request is in memory as a whole; bodies pass in pieces of this size.
        .max_buf_size(HEAD_LEN_MAX)
        // `Patience` tells a slow head from idleness, which hyper does not.
        .header_read_timeout(None);
    builder
}

/// Longest head of a request, the least that hyper can be told. Tahoe's client sends 600 bytes.
const HEAD_LEN_MAX: usize = 8192;

/// The answer to a request whose body does not come.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
