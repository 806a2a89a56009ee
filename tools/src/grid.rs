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
use tokio::time::{Instant, sleep_until};

use crate::placement::permuted;

mod answer;
mod awaited;
mod brake;
mod budget;
mod dial;
mod flow;
mod gauge;
mod joined;
mod link;
mod pin;
mod samples;
mod server;
mod stall;
mod trips;

pub use answer::{Answer, Held, Reading, Stored};
pub use awaited::{Awaited, Sight};
pub use brake::Brake;
pub use dial::{Dial, Dialed, Dialing, Stream, Tcp};
pub use server::{Server, Upload, name_of};
pub use trips::Trips;

use flow::Flow;

/// The servers of a grid, in the order in which they were configured.
#[derive(Clone)]
pub struct Grid {
    servers: Vec<Rc<Server>>,
    patience: Patience,
    room: Rc<Notify>,
}

/// How long a client waits for a server, where what it has measured does not say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The least silence after which an answer counts as late, and another server is asked.
    pub late: Duration,
    /// The same for a server of which nothing is known yet, and for one that moves too slowly.
    pub slow: Duration,
    /// Until a server that owes something, and on whose connection nothing moves, is given up.
    /// Connecting is part of it.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            late: Duration::from_millis(500),
            slow: Duration::from_secs(2),
            stall: Duration::from_secs(10),
        }
    }
}

impl Grid {
    /// Takes servers without talking to them; `master` is the client's own secret.
    #[must_use]
    pub fn new(nurls: &[Nurl], master: &[u8; 32], patience: Patience) -> Self {
        Self::over(Rc::new(Tcp), nurls, master, patience)
    }

    /// The same, with connections that are made in a way of the caller's own.
    #[must_use]
    pub fn over(dial: Rc<dyn Dial>, nurls: &[Nurl], master: &[u8; 32], patience: Patience) -> Self {
        let room = Rc::new(Notify::new());
        let flow = Rc::new(Flow::new());
        let server = |nurl: &Nurl| {
            let (dial, flow, room) = (dial.clone(), flow.clone(), room.clone());
            Server::new(nurl.clone(), master, patience, dial, flow, room)
        };
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

/// Waits until then, or for ever; and until the connections have had a look at what has come.
///
/// If this process was stopped for a while, time has passed for us and not for the servers.
pub async fn until(time: Option<Instant>) {
    match time {
        Some(time) => {
            sleep_until(time).await;
            tokio::task::yield_now().await;
        }
        None => std::future::pending().await,
    }
}
