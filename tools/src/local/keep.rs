//! A grid that runs on its own: `grid up` and `grid down`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::LocalGridError;
use super::launch::Life;
use super::node::Node;
use super::process::{self, Process, is_daemon_of};
use super::{SERVERS_DEFAULT, servers_path};
use crate::durable;
use crate::home::{Home, HomeError, Settings};

/// What `up` found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// The configuration directory for clients.
    pub client: PathBuf,
    /// Servers of the grid; all of them run.
    pub servers: usize,
    /// Those that were made now.
    pub made: usize,
    /// Those that were started now.
    pub started: usize,
}

/// Makes what is missing of a grid and starts what is down; returns when all servers serve.
///
/// With `count` a grid grows to that many servers; it never shrinks. If a server does not start,
/// those that this call started are stopped again.
///
/// # Errors
///
/// [`LocalGridError`], or what is wrong with the client's configuration directory.
pub async fn up(grid: &Path, count: Option<u16>) -> Result<Up, LocalGridError> {
    durable::create_private_directory(grid).map_err(LocalGridError::file(grid))?;
    let grid = grid.canonicalize().map_err(LocalGridError::file(grid))?;
    let _lock = lock(&grid)?;
    let servers = servers_path(&grid);
    durable::create_private_directory(&servers).map_err(LocalGridError::file(&servers))?;

    let mut nodes = Node::all(&servers)?;
    let before = nodes.len();
    let count = match count {
        Some(count) => usize::from(count),
        None if nodes.is_empty() => usize::from(SERVERS_DEFAULT),
        None => nodes.len(),
    };
    for number in 0..u16::MAX {
        if nodes.len() >= count {
            break;
        }
        if nodes.iter().all(|(taken, _)| *taken != number) {
            nodes.push((number, Node::make(&servers, number)?));
        }
    }
    nodes.sort_unstable_by_key(|(number, _)| *number);

    let mut starting = Vec::new();
    for (number, node) in &nodes {
        if process_of(node).is_none() {
            let process = Process::start(node, Life::Alone)?;
            let path = node.process_path();
            fs::write(&path, format!("{}\n", process.id())).map_err(LocalGridError::file(&path))?;
            starting.push((*number, node, process));
        }
    }
    let deadline = process::ready_deadline();
    for (number, node, process) in &mut starting {
        let port = process.ready(node, deadline).await?;
        node.keep_port(*number, port)?;
    }
    let client = configure_client(&grid, &nodes)?;
    let started = starting.len();
    for (_, _, process) in starting {
        process.leave();
    }
    Ok(Up {
        client,
        servers: nodes.len(),
        made: nodes.len() - before,
        started,
    })
}

/// Stops the servers of a grid and returns how many that were; their shares stay.
///
/// # Errors
///
/// [`LocalGridError::NotRunning`] if there was nothing to stop.
pub async fn down(grid: &Path) -> Result<usize, LocalGridError> {
    let not_running = || LocalGridError::NotRunning {
        path: grid.to_owned(),
    };
    let path = grid.canonicalize().map_err(|_| not_running())?;
    let nodes = Node::all(&servers_path(&path))?;
    if nodes.is_empty() {
        return Err(not_running());
    }
    let _lock = lock(&path)?;
    let running: Vec<_> = nodes
        .iter()
        .filter_map(|(_, node)| Some((process_of(node)?, node)))
        .collect();
    if running.is_empty() {
        return Err(not_running());
    }
    if !process::stop_daemons(&running, process::STOP_PATIENCE).await {
        return Err(LocalGridError::Unstoppable { path });
    }
    for (_, node) in &running {
        // A number that is left behind is checked before it is used.
        let _ = fs::remove_file(node.process_path());
    }
    Ok(running.len())
}

/// The process that serves a node now.
fn process_of(node: &Node) -> Option<u32> {
    let text = fs::read_to_string(node.process_path()).ok()?;
    let id = text.trim().parse().ok()?;
    is_daemon_of(id, node).then_some(id)
}

/// Makes the client's configuration directory, or brings its list of servers up to date.
fn configure_client(grid: &Path, nodes: &[(u16, Node)]) -> Result<PathBuf, LocalGridError> {
    let mut nurls = Vec::new();
    for (_, node) in nodes {
        let port = node
            .port()?
            .expect("the port of a node that served is kept");
        nurls.push(node.nurl(port)?);
    }
    let home = Home::at(grid.join("client"));
    match home.create(&Settings::default()) {
        Ok(_) | Err(HomeError::AlreadyThere { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    home.set_servers(&nurls)?;
    Ok(home.path().to_owned())
}

/// Keeps other commands from changing the grid until it is dropped.
fn lock(grid: &Path) -> Result<File, LocalGridError> {
    let path = grid.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(LocalGridError::file(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(LocalGridError::Busy {
            path: grid.to_owned(),
        }),
        Err(error) => Err(LocalGridError::file(&path)(error.into())),
    }
}
