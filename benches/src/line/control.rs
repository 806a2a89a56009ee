//! A line that outlives the command that made it: one process, the keeper, holds it; others talk to that one.
//!
//! They meet at a socket whose name is not in the file system, so that nothing is left behind. One
//! connection is one request and one answer, in JSON.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};

use super::{Line, Settings, Side, Statistics};

/// A request to the process that keeps a line.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// The file that names a host's namespace.
    Namespace(Side),
    /// Change the line.
    Set(Change),
    /// Tell what has passed.
    Statistics {
        /// Whether to count from zero afterwards.
        reset: bool,
    },
    /// End the line and what runs in its hosts.
    Down,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The file that names the namespace.
    Namespace(PathBuf),
    /// What holds now.
    Settings(Settings),
    /// What has passed.
    Statistics(Statistics),
    /// The line is down.
    Down,
}

/// Settings to change; what is not given stays.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Change {
    /// See [`Settings::rtt`].
    pub rtt: Option<Duration>,
    /// See [`Settings::up_rate`].
    pub up_rate: Option<u64>,
    /// See [`Settings::down_rate`].
    pub down_rate: Option<u64>,
    /// See [`Settings::queue_size`].
    pub queue_size: Option<u64>,
}

impl Change {
    /// The settings after the change.
    #[must_use]
    pub fn applied_to(self, settings: Settings) -> Settings {
        Settings {
            rtt: self.rtt.unwrap_or(settings.rtt),
            up_rate: self.up_rate.unwrap_or(settings.up_rate),
            down_rate: self.down_rate.unwrap_or(settings.down_rate),
            queue_size: self.queue_size.unwrap_or(settings.queue_size),
        }
    }
}

/// Keeps a line until someone asks for its end or its time is over.
///
/// `ready` is called once requests are answered.
///
/// # Errors
///
/// [`io::ErrorKind::AddrInUse`] when a line of this name is up.
pub fn keep(
    name: &str,
    line: &Line,
    mut settings: Settings,
    ttl: Duration,
    ready: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let listener = UnixListener::bind_addr(&address(name)?)?;
    ready()?;
    let end = Instant::now() + ttl;
    while line.is_up() {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = left.try_into().expect("a time to live is short");
        let mut fds = [PollFd::new(&listener, PollFlags::IN)];
        if poll(&mut fds, Some(&timeout))? == 0 {
            return Ok(());
        }
        let (connection, _) = listener.accept()?;
        // A client that fails to ask or to listen harms only itself.
        if let Ok(Request::Down) = handle(&connection, line, &mut settings) {
            return Ok(());
        }
    }
    Ok(())
}

/// Asks the keeper of a line.
///
/// # Errors
///
/// [`io::ErrorKind::ConnectionRefused`] when no line of this name is up.
pub fn ask(name: &str, request: &Request) -> io::Result<Answer> {
    let connection = UnixStream::connect_addr(&address(name)?)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    serde_json::to_writer(&connection, request)?;
    connection.shutdown(Shutdown::Write)?;
    Ok(serde_json::from_reader(&connection)?)
}

/// Whether a line of this name is up.
#[must_use]
pub fn is_up(name: &str) -> bool {
    address(name).is_ok_and(|address| UnixStream::connect_addr(&address).is_ok())
}

fn handle(connection: &UnixStream, line: &Line, settings: &mut Settings) -> io::Result<Request> {
    connection.set_read_timeout(Some(TIMEOUT))?;
    let request = serde_json::from_reader(connection.take(REQUEST_SIZE_MAX))?;
    let answer = match request {
        Request::Namespace(side) => {
            let descriptor = line.namespace(side).as_raw_fd();
            Answer::Namespace(format!("/proc/{}/fd/{descriptor}", process::id()).into())
        }
        Request::Set(change) => {
            *settings = change.applied_to(*settings);
            line.set(*settings);
            Answer::Settings(*settings)
        }
        Request::Statistics { reset } => {
            let statistics = line.statistics();
            if reset {
                line.reset_statistics();
            }
            Answer::Statistics(statistics)
        }
        Request::Down => {
            line.end_residents();
            Answer::Down
        }
    };
    serde_json::to_writer(connection, &answer)?;
    Ok(request)
}

fn address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("storage-grid-line/{name}"))
}

/// A request is far shorter.
const REQUEST_SIZE_MAX: u64 = 4096;

/// Longer than ending a stubborn process takes.
const TIMEOUT: Duration = Duration::from_secs(10);
