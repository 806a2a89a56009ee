//! The grid as a client sees it: its servers, and one connection to each that is needed.
//!
//! Everything runs on one thread: a [`Grid`] lives inside a `tokio` `LocalSet`. A server is
//! connected to when something is first asked of it, and what is asked leaves with the first flight.
//! Asking never waits: the methods of [`Server`] queue a request at once and return a handle on its
//! answer.

use std::rc::Rc;
use std::time::Duration;

use lafs::StorageIndex;
use lafs::nurl::Nurl;
use protocol::Traffic;
use tokio::sync::Notify;

use crate::placement::permuted;

mod answer;
mod link;
mod pace;
mod pin;
mod server;
mod trips;

pub use answer::{Answer, Held, Reading, Stored};
pub use pace::Pace;
pub use server::{Server, Upload, name_of};
pub use trips::Trips;

/// The servers of a grid, in the order in which they were configured.
#[derive(Clone)]
pub struct Grid {
    servers: Vec<Rc<Server>>,
    patience: Patience,
    room: Rc<Notify>,
}

/// How long a client waits for what, before it turns elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For TCP and TLS.
    pub connect: Duration,
    /// For anything at all from a server that owes an answer; see [`PROGRESS_SIZE_MIN`].
    pub answer: Duration,
    /// Until what a late server was asked is asked of another as well.
    pub hedge: Duration,
    /// For the servers that are still missing, once enough have acknowledged to be happy.
    pub grace: Duration,
    /// For a server that alone holds all others back; beyond it, at most half of the time.
    pub hold_back: Duration,
}

/// Bytes that a server must take or send within [`Patience::answer`] to count as alive.
pub const PROGRESS_SIZE_MIN: u64 = 4096;

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            hedge: Duration::from_secs(4),
            grace: Duration::from_secs(10),
            hold_back: Duration::from_secs(10),
        }
    }
}

impl Grid {
    /// Takes servers without talking to them; `master` is the client's own secret.
    #[must_use]
    pub fn new(nurls: &[Nurl], master: &[u8; 32], patience: Patience) -> Self {
        let room = Rc::new(Notify::new());
        let server = |nurl: &Nurl| Server::new(nurl.clone(), master, patience, room.clone());
        Self {
            servers: nurls.iter().map(server).map(Rc::new).collect(),
            patience,
            room,
        }
    }

    /// How long it waits for what.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// The servers, as configured.
    #[must_use]
    pub fn servers(&self) -> &[Rc<Server>] {
        &self.servers
    }

    /// The servers in the order in which this file meets them.
    #[must_use]
    pub fn ring(&self, storage_index: StorageIndex) -> Vec<Rc<Server>> {
        permuted(
            storage_index,
            self.servers.iter().map(|server| server.seed()),
        )
        .into_iter()
        .map(|index| self.servers[index].clone())
        .collect()
    }

    /// Ends when some connection has taken bytes, or is gone.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// What has passed over all connections, before TLS.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.servers
            .iter()
            .map(|server| server.traffic())
            .fold(Traffic::default(), link::sum)
    }

    /// Ends the connections in an orderly way, as far as that is possible at once.
    pub async fn close(&self) {
        for server in &self.servers {
            server.close();
        }
        // Each connection's task sends its last bytes when it next runs.
        tokio::task::yield_now().await;
    }
}
