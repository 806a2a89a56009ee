//! Acknowledging at once what the client needs acknowledged before it may go on.
//!
//! A client that has not set `TCP_NODELAY` sends a small piece only when everything before it is
//! acknowledged (Nagle). The kernel acknowledges what has no answer yet up to 40 ms late, in the
//! hope of an answer to send it with. There is none to the end of a TLS 1.3 handshake, as no tickets
//! are issued, and none to the first half of a request. So there the kernel is told not to wait.

use rustix::net::sockopt::set_tcp_quickack;
use tokio::net::TcpStream;

/// Acknowledges what has come, and what comes until something is sent.
pub(crate) fn ask(socket: &TcpStream) {
    // Without it the client is served all the same, only later.
    let _ = set_tcp_quickack(socket, true);
}
