//! The control socket: what the operator's programs ask a running daemon.
//!
//! The protocol is [`protocol::control`], and `docs/control.md` to the letter. Each connection is a
//! task; everything that peers of it may use is bounded here, although they are the operator's own.

mod client;
mod desk;
mod migrate;
mod socket;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use protocol::control::{CONNECTIONS_MAX, LineReader, Reason, Refused, Reply, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

pub use client::{ControlError, ask};
pub(crate) use desk::Desk;
pub(crate) use migrate::Migrator;
pub(crate) use socket::Listening;

/// Answers whoever connects. Without a socket there is nobody to answer.
pub(crate) async fn serve(listening: Option<&mut Listening>, desk: Arc<Desk>) -> Infallible {
    let listener = listening.and_then(Listening::take);
    let Some(listener) = listener.and_then(watched) else {
        return std::future::pending().await;
    };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_ended) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(converse(stream, Arc::clone(&desk)));
            }
            Ok((stream, _)) => turn_away(&stream),
            Err(error) => {
                warn!(%error, "cannot accept a connection to the control socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn watched(listener: std::os::unix::net::UnixListener) -> Option<UnixListener> {
    match UnixListener::from_std(listener) {
        Ok(listener) => Some(listener),
        Err(error) => {
            warn!(%error, "cannot watch the control socket: `tahoed status` will get no answer");
            None
        }
    }
}

/// Says that there are too many, if that can be said at once.
fn turn_away(stream: &UnixStream) {
    let refused = Refused::new(Reason::TooMany, "there are as many connections as may be");
    let _ = stream.try_write(&Reply::Refused(refused).line());
}

/// Answers one request after the other until the other side has no more, or breaks a rule.
async fn converse(stream: UnixStream, desk: Arc<Desk>) {
    let mut talk = Talk {
        stream,
        reader: LineReader::default(),
    };
    match talk.run(&desk).await {
        Ok(()) => {}
        Err(error) => debug!(%error, "a connection to the control socket ended"),
    }
}

struct Talk {
    stream: UnixStream,
    reader: LineReader,
}

impl Talk {
    async fn run(&mut self, desk: &Desk) -> io::Result<()> {
        let mut buffer = [0; READ_LEN];
        loop {
            let len = timeout(IDLE_TIMEOUT, self.stream.read(&mut buffer)).await??;
            let mut input = &buffer[..len];
            if len == 0 {
                return Ok(());
            }
            loop {
                match self.reader.read(&mut input) {
                    Ok(Some(line)) => match Request::parse(&line) {
                        Ok(request) => self.answer(desk, request).await?,
                        Err(refused) => self.say(&Reply::Refused(refused)).await?,
                    },
                    Ok(None) => break,
                    Err(error) => {
                        let refused = Refused::new(Reason::Malformed, error.to_string());
                        self.say(&Reply::Refused(refused)).await?;
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn answer(&mut self, desk: &Desk, request: Request) -> io::Result<()> {
        debug!(?request, "asked over the control socket");
        let mut answer = desk.answer(request).await;
        loop {
            let reply = answer.next().await;
            self.say(&reply).await?;
            if !reply.goes_on() {
                return Ok(());
            }
        }
    }

    async fn say(&mut self, reply: &Reply) -> io::Result<()> {
        timeout(WRITE_TIMEOUT, self.stream.write_all(&reply.line())).await?
    }
}

/// How long a connection may be without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the other side may take to take a line.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nothing is accepted after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes taken at once.
const READ_LEN: usize = 1024;
