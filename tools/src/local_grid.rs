//! A grid on this machine: real servers over loopback, each a process with a store of its own.
//!
//! For trying things out. The servers are this very executable in its hidden `daemon` mode, and
//! listen on ports that were free; a client is told their NURLs anew each time they start.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use daemon::config::Choices;
use daemon::{Daemon, Directory};
use lafs::nurl::Nurl;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::durable;
use crate::error::LocalGridError;

mod kept;

pub use kept::{down, up};

/// Servers that stop when this is dropped.
#[derive(Debug)]
pub struct LocalGrid {
    servers: Vec<LocalServer>,
}

/// A server on this machine.
#[derive(Debug)]
pub struct LocalServer {
    child: Child,
    directory: PathBuf,
    nurl: Nurl,
}

/// Whether a server outlives the process that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bond {
    /// It stops when its standard input ends, so also when its parent is killed.
    Attached,
    Detached,
}

impl LocalGrid {
    /// Makes servers below `directory` and starts them.
    ///
    /// # Errors
    ///
    /// [`LocalGridError`]; what was started is stopped again.
    pub async fn start(directory: &Path, count: usize) -> Result<Self, LocalGridError> {
        let servers = start_all(directory, count, Bond::Attached).await?;
        Ok(Self { servers })
    }

    /// The servers that were not stopped.
    #[must_use]
    pub fn servers(&self) -> &[LocalServer] {
        &self.servers
    }

    /// Stops the first `count` servers in an orderly way.
    pub async fn stop(&mut self, count: usize) {
        let mut stopping: Vec<_> = self
            .servers
            .drain(..count.min(self.servers.len()))
            .collect();
        for server in &mut stopping {
            // The end of its input asks it to stop.
            drop(server.child.stdin.take());
        }
        for server in &mut stopping {
            // Whoever does not stop is killed when it is dropped.
            let _ = timeout(STOP_TIMEOUT, server.child.wait()).await;
        }
    }
}

impl Drop for LocalGrid {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // It may have ended by itself.
            let _ = server.child.start_kill();
        }
        // Their directory is about to be removed: they must not write there any more.
        for server in &mut self.servers {
            for _ in 0..KILL_LOOKS {
                if !matches!(server.child.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(KILL_LOOK);
            }
        }
    }
}

impl LocalServer {
    /// What lets a client in.
    #[must_use]
    pub fn nurl(&self) -> &Nurl {
        &self.nurl
    }

    /// Where its configuration and its store are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its process, as long as it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Runs the server in `directory` until SIGTERM, or until standard input ends if `attached`.
///
/// # Errors
///
/// [`LocalGridError::Serve`].
pub fn serve(directory: &Path, attached: bool) -> Result<(), LocalGridError> {
    let directory = Directory::new(directory);
    let config = directory.config().map_err(daemon::RunError::from)?;
    daemon::log::start(config.log);
    let daemon = Daemon::start(&directory)?;
    let mut stdout = io::stdout().lock();
    for address in daemon.addresses() {
        // Whoever started us may be gone, which is no reason not to serve.
        let _ = writeln!(stdout, "{LISTENING}{address}");
    }
    let _ = stdout.flush();
    drop(stdout);
    daemon.run(stop_signal(attached))?;
    Ok(())
}

async fn stop_signal(attached: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            // The signal then ends the process at once.
            Err(_) => std::future::pending().await,
        }
    };
    let released = async {
        if !attached {
            std::future::pending::<()>().await;
        }
        // An error is an end as well.
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    };
    tokio::select! {
        () = terminated => {}
        () = released => {}
    }
}

async fn start_all(
    directory: &Path,
    count: usize,
    bond: Bond,
) -> Result<Vec<LocalServer>, LocalGridError> {
    let mut starting = Vec::new();
    for index in 0..count {
        let path = server_directory(directory, index);
        make(&path, index)?;
        starting.push((spawn(&path, bond)?, path));
    }
    let mut servers = Vec::new();
    for (mut child, path) in starting {
        let nurl = ready(&mut child, &path).await?;
        servers.push(LocalServer {
            child,
            directory: path,
            nurl,
        });
    }
    Ok(servers)
}

fn server_directory(directory: &Path, index: usize) -> PathBuf {
    directory.join(format!("server-{index}"))
}

/// Makes the directory of a server, if it is not there yet.
fn make(path: &Path, index: usize) -> Result<(), LocalGridError> {
    let directory = Directory::new(path);
    if directory.config_path().exists() {
        return Ok(());
    }
    let file = |source| LocalGridError::File {
        path: path.to_owned(),
        source,
    };
    durable::create_private_directory(path).map_err(file)?;
    let choices = Choices {
        nickname: format!("server-{index}"),
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        location: vec!["127.0.0.1".parse().expect("it is an address")],
    };
    daemon::init(&directory, &choices)?;
    Ok(())
}

fn spawn(path: &Path, bond: Bond) -> Result<Child, LocalGridError> {
    let log_path = log_path(path);
    let log = File::create(&log_path).map_err(|source| LocalGridError::File {
        path: log_path,
        source,
    })?;
    let program = std::env::current_exe().map_err(|source| LocalGridError::Start {
        program: PathBuf::from("tahoectl"),
        source,
    })?;
    let mut arguments = vec![OsString::from("daemon"), path.as_os_str().to_owned()];
    let stdin = match bond {
        Bond::Attached => {
            arguments.push("--attached".into());
            Stdio::piped()
        }
        Bond::Detached => Stdio::null(),
    };
    Command::new(&program)
        .args(arguments)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C is for us; we tell the servers.
        .process_group(0)
        .kill_on_drop(bond == Bond::Attached)
        .spawn()
        .map_err(|source| LocalGridError::Start { program, source })
}

/// Waits until a server says where it listens.
async fn ready(child: &mut Child, path: &Path) -> Result<Nurl, LocalGridError> {
    let not_ready = || LocalGridError::NotReady {
        path: path.to_owned(),
        said: last_line(&log_path(path)),
    };
    let stdout = child.stdout.take().ok_or_else(not_ready)?;
    let mut line = String::new();
    let read = BufReader::new(stdout.take(LINE_LEN_MAX))
        .read_line(&mut line)
        .await;
    let address: SocketAddr = read
        .ok()
        .and_then(|_| line.trim().strip_prefix(LISTENING)?.parse().ok())
        .ok_or_else(not_ready)?;
    let directory = Directory::new(path);
    let nurls = directory
        .config()
        .and_then(|config| directory.nurls(&config, Some(address.port())))
        .map_err(daemon::RunError::from)?;
    nurls.into_iter().next().ok_or_else(not_ready)
}

fn log_path(path: &Path) -> PathBuf {
    path.join("log")
}

fn last_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().next_back().unwrap_or("it said nothing");
    line.to_owned()
}

/// What a server prints before each address it listens on.
const LISTENING: &str = "listening on ";
const LINE_LEN_MAX: u64 = 256;
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const KILL_LOOK: Duration = Duration::from_millis(5);
const KILL_LOOKS: u32 = 400;
