//! The threads that serve connections: the one that accepts them, and more if configured.
//!
//! Connections are handed out in turn. Each stays on its thread, which has a runtime of its own.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tracing::{error, warn};

use crate::connection;
use crate::shared::{Shared, StopSignal};

/// A connection to be served.
pub(crate) struct Job {
    pub(crate) socket: TcpStream,
    /// Held as long as the connection lasts.
    pub(crate) permit: OwnedSemaphorePermit,
    /// Only to be told that there are too many.
    pub(crate) is_turned_away: bool,
}

/// All threads that serve connections.
pub(crate) struct Crews {
    here: Crew,
    others: Vec<mpsc::UnboundedSender<HandedOver>>,
    /// Whose turn it is: 0 is this thread.
    turn: usize,
    stop: watch::Sender<bool>,
    /// Ends when all other threads have.
    ended: mpsc::Receiver<()>,
}

/// A job on its way to another thread, off its first runtime.
struct HandedOver {
    socket: std::net::TcpStream,
    permit: OwnedSemaphorePermit,
    is_turned_away: bool,
}

impl Crews {
    /// Starts as many threads as are missing to have `threads`, with this one.
    pub(crate) fn start(threads: usize, shared: &Arc<Shared>) -> io::Result<Self> {
        let (stop, signal) = StopSignal::new();
        let (end_sender, ended) = mpsc::channel(1);
        let mut others = Vec::new();
        for number in 1..threads {
            let (jobs, receiver) = mpsc::unbounded_channel();
            let crew = Crew::new(Arc::clone(shared), signal.clone());
            let runtime = runtime()?;
            let end_sender = end_sender.clone();
            thread::Builder::new()
                .name(format!("serve-{number}"))
                .stack_size(STACK_SIZE)
                .spawn(move || {
                    runtime.block_on(crew.serve(receiver));
                    drop(end_sender);
                })?;
            others.push(jobs);
        }
        Ok(Self {
            here: Crew::new(Arc::clone(shared), signal),
            others,
            turn: 0,
            stop,
            ended,
        })
    }

    /// Gives a connection to the thread whose turn it is.
    pub(crate) fn take(&mut self, job: Job) {
        let turn = self.turn;
        self.turn = (turn + 1) % (self.others.len() + 1);
        let Some(other) = turn.checked_sub(1).map(|index| &self.others[index]) else {
            return self.here.begin(job);
        };
        // A socket that cannot be handed over is closed.
        if let Ok(socket) = job.socket.into_std() {
            let handed = HandedOver {
                socket,
                permit: job.permit,
                is_turned_away: job.is_turned_away,
            };
            if other.send(handed).is_err() {
                error!("a thread that serves connections has ended");
            }
        }
    }

    /// Waits until a connection of this thread has ended; forever if there is none.
    pub(crate) async fn reap(&mut self) {
        match self.here.connections.join_next().await {
            Some(ended) => report(ended),
            None => std::future::pending().await,
        }
    }

    /// Tells all connections to finish, and waits for them, but not for long.
    pub(crate) async fn finish(mut self, timeout: Duration) {
        let _ = self.stop.send(true);
        self.others.clear();
        self.here.finish(timeout).await;
        let _ended = self.ended.recv().await;
    }
}

/// The connections of one thread.
struct Crew {
    shared: Arc<Shared>,
    signal: StopSignal,
    connections: JoinSet<()>,
}

impl Crew {
    fn new(shared: Arc<Shared>, signal: StopSignal) -> Self {
        Self {
            shared,
            signal,
            connections: JoinSet::new(),
        }
    }

    /// The life of another thread.
    async fn serve(mut self, mut jobs: mpsc::UnboundedReceiver<HandedOver>) {
        loop {
            let handed = tokio::select! {
                Some(ended) = self.connections.join_next() => {
                    report(ended);
                    continue;
                }
                handed = jobs.recv() => handed,
            };
            let Some(handed) = handed else {
                break;
            };
            if let Ok(socket) = TcpStream::from_std(handed.socket) {
                self.begin(Job {
                    socket,
                    permit: handed.permit,
                    is_turned_away: handed.is_turned_away,
                });
            }
        }
        let timeout = self.shared.limits().stop_timeout;
        self.finish(timeout).await;
    }

    fn begin(&mut self, job: Job) {
        let (shared, signal) = (Arc::clone(&self.shared), self.signal.clone());
        self.connections.spawn(async move {
            connection::serve(job.socket, shared, signal, job.is_turned_away).await;
            drop(job.permit);
        });
    }

    async fn finish(&mut self, timeout: Duration) {
        let all = async {
            while let Some(ended) = self.connections.join_next().await {
                report(ended);
            }
        };
        if tokio::time::timeout(timeout, all).await.is_err() {
            warn!(
                connections = self.connections.len(),
                "gave up on connections that did not end"
            );
            self.connections.shutdown().await;
        }
    }
}

/// The runtime of one thread.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        // The connection is lost; the others, and the store, are not touched by it.
        error!(%error, "a connection ended by a bug of ours; please report it");
    }
}

/// TLS handshakes need the most: about 40 KiB in a release build, several times that in others.
const STACK_SIZE: usize = 1 << 20;
