//! How many pieces a conversation has, by the bytes on the socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::http::Http;
use crate::client::tls_over;
use crate::node::{Node, Running};

/// What one side sent before the other did, as TLS records.
#[derive(Debug, PartialEq, Eq)]
enum Flight {
    Ours,
    Theirs(usize),
}

/// A socket that keeps what passes over it.
struct Recorded {
    socket: TcpStream,
    /// Whose bytes they are, and the bytes; two neighbours are of different sides.
    passed: Vec<(bool, Vec<u8>)>,
}

impl Recorded {
    fn keep(&mut self, is_ours: bool, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.passed.last_mut() {
            Some((last, kept)) if *last == is_ours => kept.extend_from_slice(bytes),
            _ => self.passed.push((is_ours, bytes.to_vec())),
        }
    }

    fn flights(&self) -> Vec<Flight> {
        let flight = |(is_ours, bytes): &(bool, Vec<u8>)| match is_ours {
            true => Flight::Ours,
            false => Flight::Theirs(records(bytes)),
        };
        self.passed.iter().map(flight).collect()
    }
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.keep(false, &buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        if let Poll::Ready(Ok(len)) = written {
            self.keep(true, &bytes[..len]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// How many TLS records there are: type, version, length of the rest.
fn records(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [_, _, _, high, low, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        bytes = &rest[len..];
        count += 1;
    }
    assert!(bytes.is_empty(), "half a record");
    count
}

/// A first request on a new connection, and one more.
async fn conversation(running: &Running, version: &'static SupportedProtocolVersion) -> Recorded {
    let socket = TcpStream::connect(running.address).await.unwrap();
    let recorded = Recorded {
        socket,
        passed: Vec::new(),
    };
    let stream = tls_over(recorded, version, &running.nurl, &[]).await;
    let mut http = Http::over(&running.nurl, stream.unwrap());
    for _ in 0..2 {
        let heard = http.answer(&http.ask("GET", "/storage/v1/version")).await;
        assert_eq!(heard.status, 200);
    }
    http.stream.into_inner().0
}

// A flight more is one that a client may have to acknowledge before it can go on: tickets would be
// one, or an answer whose head and body are written by themselves.
#[tokio::test]
async fn between_the_handshake_and_the_first_answer_nothing_is_sent() {
    let node = Node::new("");
    let running = node.start();
    let flights = conversation(&running, &TLS13).await.flights();
    let [
        Flight::Ours,
        Flight::Theirs(_),
        Flight::Ours,
        Flight::Theirs(first),
        Flight::Ours,
        Flight::Theirs(second),
    ] = flights[..]
    else {
        panic!("{flights:?}");
    };
    assert_eq!((first, second), (1, 1), "{flights:?}");

    // One round trip more, as the protocol has it: the server's Finished is awaited.
    let flights = conversation(&running, &TLS12).await.flights();
    assert_eq!(flights.len(), 8, "{flights:?}");
    assert_eq!(
        [&flights[5], &flights[7]],
        [&Flight::Theirs(1), &Flight::Theirs(1)],
        "{flights:?}"
    );
}
