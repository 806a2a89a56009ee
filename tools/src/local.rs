//! A grid on this machine: real daemons on loopback, each with a store of its own.
//!
//! ```text
//! DIR/lock              held while a command changes the grid
//! DIR/servers/N/        the directory of one daemon, as `tahoed init` makes it
//! DIR/servers/N/pid     the process that serves it, or once served it
//! DIR/servers/N/log     what its daemon says
//! DIR/client/           a configuration directory of tahoectl
//! ```
//!
//! [`LocalGrid`] lives as long as its value, in a temporary directory; its daemons do not outlive
//! this process, even if it is killed. [`up`] and [`down`] keep one that runs on its own.
//!
//! Only here does the client link the server in, so that one program is enough to try things:
//! `tahoectl try` works where no `tahoed` is installed. This executable then becomes the daemon by
//! the code linked in ([`launch()`]), and the directories of servers are made and read by the code
//! that owns their format instead of by a second description of it. The rest of the client knows
//! servers by their protocol alone.

mod error;
mod keep;
mod launch;
mod node;
mod process;

use std::path::{Path, PathBuf};

use lafs::nurl::Nurl;
use tempfile::TempDir;

use crate::durable;

pub use error::LocalGridError;
pub use keep::{Up, down, up};
pub use launch::{Life, Program, launch};

use node::Node;
use process::Process;

/// Servers of a grid unless told otherwise: as many as a file has shares.
pub const SERVERS_DEFAULT: u16 = 10;

/// A grid in a temporary directory, gone when this is dropped.
pub struct LocalGrid {
    // Before the directory: a daemon that is killed first leaves no files behind.
    servers: Vec<(Node, Option<Process>)>,
    nurls: Vec<Nurl>,
    directory: TempDir,
}

impl LocalGrid {
    /// Starts `count` daemons, and returns when all of them serve.
    ///
    /// # Errors
    ///
    /// [`LocalGridError`], with the last line that a daemon wrote which did not start.
    pub async fn start(count: u16) -> Result<Self, LocalGridError> {
        let directory = tempfile::Builder::new()
            .prefix("tahoectl-try-")
            .tempdir()
            .map_err(LocalGridError::file(&std::env::temp_dir()))?;
        let servers = servers_path(directory.path());
        durable::create_private_directory(&servers).map_err(LocalGridError::file(&servers))?;
        let mut grid = Self {
            servers: Vec::new(),
            nurls: Vec::new(),
            directory,
        };
        for number in 0..count {
            let node = Node::make(&servers, number)?;
            let process = Process::start(&node, Life::with_this_process())?;
            grid.servers.push((node, Some(process)));
        }
        let deadline = process::ready_deadline();
        for (node, process) in &mut grid.servers {
            if let Some(process) = process {
                let port = process.ready(node, deadline).await?;
                grid.nurls.push(node.nurl(port)?);
            }
        }
        Ok(grid)
    }

    /// The temporary directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The servers, also those that were stopped.
    #[must_use]
    pub fn nurls(&self) -> &[Nurl] {
        &self.nurls
    }

    /// Which servers run.
    #[must_use]
    pub fn running(&self) -> Vec<usize> {
        let is_running = |index: &usize| self.servers[*index].1.is_some();
        (0..self.servers.len()).filter(is_running).collect()
    }

    /// The process of a server that runs.
    #[must_use]
    pub fn process_id(&self, index: usize) -> Option<u32> {
        Some(self.servers.get(index)?.1.as_ref()?.id())
    }

    /// Stops servers as an operator does, and kills those that do not stop in time.
    pub async fn stop(&mut self, indices: &[usize]) {
        let stopping: Vec<_> = indices
            .iter()
            .filter_map(|index| self.servers.get_mut(*index)?.1.take())
            .collect();
        process::stop(stopping, process::STOP_PATIENCE_TRIAL).await;
    }

    /// Stops all servers and removes the directory.
    ///
    /// # Errors
    ///
    /// [`LocalGridError::File`] if something cannot be removed.
    pub async fn end(mut self) -> Result<(), LocalGridError> {
        let all = self.running();
        self.stop(&all).await;
        let path = self.path().to_owned();
        self.directory.close().map_err(LocalGridError::file(&path))
    }

    /// The resident memory of each daemon that runs, in bytes.
    #[must_use]
    pub fn resident_sizes(&self) -> Vec<u64> {
        self.servers
            .iter()
            .filter_map(|(_, process)| process::resident_size(process.as_ref()?.id()))
            .collect()
    }

    /// A few of the share files that a server keeps, relative to its directory, with their sizes.
    #[must_use]
    pub fn layout(&self, index: usize, most: usize) -> Vec<(PathBuf, u64)> {
        match self.servers.get(index) {
            Some((node, _)) => node.containers(most),
            None => Vec::new(),
        }
    }
}

fn servers_path(grid: &Path) -> PathBuf {
    grid.join("servers")
}
