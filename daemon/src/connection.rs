//! A new connection: TLS, then whichever protocol the client named.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::gbs;
use crate::peer::Peer;
use crate::pipeline::Pipeline;
use crate::quick_ack;
use crate::shared::{Shared, StopSignal};
use crate::socket::Socket;
use crate::tls::Protocol;

/// Serves one connection until it ends. `turned_away`: only to say that there are too many.
pub(crate) async fn serve(
    socket: TcpStream,
    shared: Arc<Shared>,
    stop: StopSignal,
    turned_away: bool,
) {
    let peer = Peer::of(&socket);
    // Every write of ours is a whole flight; waiting for more would cost a round trip.
    let _ = socket.set_nodelay(true);
    let due = Instant::now() + shared.limits().handshake_timeout;
    // Boxed: what a handshake needs is given back before the connection's long idle life.
    let handshake = Box::pin(timeout_at(due.into(), handshake(socket, &shared)));
    let (protocol, stream) = tokio::select! {
        shaken = handshake => match shaken {
            Ok(Ok(Some(shaken))) => shaken,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return shared.notices().handshake_failed(peer, &error),
            Err(_) => return shared.notices().handshake_failed(peer, &"it took too long"),
        },
        () = stop.clone().stopped() => return,
    };
    debug!(%peer, protocol = protocol.name(), "connected");
    // Boxed for the same reason: this future is only as large as the larger of the two.
    match protocol {
        Protocol::Gbs => {
            // The client's last word of the handshake has no answer that would acknowledge it.
            quick_ack::ask(stream.get_ref().0.stream());
            Box::pin(gbs::serve(stream, shared, stop, due, turned_away)).await;
        }
        Protocol::Pipeline => {
            Box::pin(Pipeline::serve(stream, shared, stop, due, turned_away)).await;
        }
    }
}

/// TLS for the protocol that the client names; `None` if it is not served.
async fn handshake(
    socket: TcpStream,
    shared: &Shared,
) -> io::Result<Option<(Protocol, TlsStream<Socket>)>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), Socket::new(socket)).await?;
    let Some(protocol) = Protocol::of(&start.client_hello()) else {
        let peer = Peer::of(start.io.stream());
        let error = "the client speaks no protocol of ours (ALPN)";
        shared.notices().handshake_failed(peer, &error);
        return Ok(None);
    };
    let config = match protocol {
        Protocol::Pipeline => shared.pipeline_tls(),
        Protocol::Gbs => shared.gbs_tls(),
    };
    let stream = start.into_stream(Arc::clone(config)).await?;
    Ok(Some((protocol, stream)))
}

#[cfg(test)]
mod tests;
