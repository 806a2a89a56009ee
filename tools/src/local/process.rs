//! The processes of a local grid: start, wait until ready, stop.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::LocalGridError;
use super::launch::Life;
use super::node::Node;

/// A daemon that this process started. Dropped, it is killed; see [`Process::leave`].
pub(super) struct Process {
    child: Option<Child>,
    id: u32,
}

impl Process {
    /// Starts the daemon of a node.
    pub(super) fn start(node: &Node, life: Life) -> Result<Self, LocalGridError> {
        let program =
            std::env::current_exe().map_err(LocalGridError::file(Path::new("/proc/self/exe")))?;
        let log_path = node.log_path();
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&log_path)
            .map_err(LocalGridError::file(&log_path))?;
        let mut command = Command::new(&program);
        command.arg("daemon");
        if let Life::With(parent) = life {
            command.arg("--with").arg(parent.to_string());
        }
        let started = command
            // The directory last, also in the arguments of `tahoed run`: see `is_daemon_of`.
            .arg(node.path())
            .current_dir("/")
            // What a service manager waits for is not this daemon.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn();
        let child = started.map_err(|source| LocalGridError::Start { program, source })?;
        Ok(Self {
            id: child.id(),
            child: Some(child),
        })
    }

    /// Waits until the daemon serves, and returns its port.
    pub(super) async fn ready(
        &mut self,
        node: &Node,
        deadline: Instant,
    ) -> Result<u16, LocalGridError> {
        let not_ready = |said: String| LocalGridError::NotReady {
            path: node.path().to_owned(),
            said,
        };
        let stdout = self.child.as_mut().and_then(|child| child.stdout.take());
        let stdout = stdout.expect("it is asked for once");
        let stdout = Receiver::from_owned_fd(OwnedFd::from(stdout))
            .map_err(|error| not_ready(error.to_string()))?;
        let mut lines = BufReader::new(stdout.take(ANNOUNCEMENT_LEN_MAX)).lines();
        match timeout_at(deadline, lines.next_line()).await {
            Ok(Ok(Some(line))) => line
                .strip_prefix("listening on 127.0.0.1:")
                .and_then(|port| port.parse().ok())
                .ok_or_else(|| not_ready(format!("it printed {line:?}"))),
            Ok(Ok(None) | Err(_)) => {
                let said = last_line(&node.log_path());
                Err(not_ready(
                    said.unwrap_or_else(|| "it just ended".to_owned()),
                ))
            }
            Err(_) => Err(not_ready(format!(
                "nothing within {} s; its log is {}",
                READY_PATIENCE.as_secs(),
                node.log_path().display()
            ))),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Lets the daemon run on by itself.
    pub(super) fn leave(mut self) {
        self.child = None;
    }

    fn is_gone(&mut self) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => true,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only for a process that is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Until when a daemon that is started now has to serve.
pub(super) fn ready_deadline() -> Instant {
    Instant::now() + READY_PATIENCE
}

/// Stops processes of ours: asks, waits, and kills what is still there.
pub(super) async fn stop(mut processes: Vec<Process>, patience: Duration) {
    for process in &processes {
        signal(process.id, Signal::TERM);
    }
    let deadline = Instant::now() + patience;
    loop {
        processes.retain_mut(|process| !process.is_gone());
        if processes.is_empty() || Instant::now() >= deadline {
            return;
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Stops daemons that another process started, in the same way; false if one of them stays.
pub(super) async fn stop_daemons(daemons: &[(u32, &Node)], patience: Duration) -> bool {
    for (wanted, patience) in [(Signal::TERM, patience), (Signal::KILL, KILL_PATIENCE)] {
        let remaining = || daemons.iter().filter(|(id, node)| is_daemon_of(*id, node));
        for (id, _) in remaining() {
            signal(*id, wanted);
        }
        let deadline = Instant::now() + patience;
        loop {
            if remaining().next().is_none() {
                return true;
            }
            if Instant::now() >= deadline {
                break;
            }
            sleep(POLL_INTERVAL).await;
        }
    }
    false
}

/// Whether this process serves this node: process numbers are used again.
pub(super) fn is_daemon_of(id: u32, node: &Node) -> bool {
    let Ok(arguments) = fs::read(format!("/proc/{id}/cmdline")) else {
        return false;
    };
    let mut arguments = arguments.split(|byte| *byte == 0).rev().skip(1);
    let is_last = arguments.next() == Some(node.path().as_os_str().as_bytes());
    is_last && arguments.any(|argument| [&b"run"[..], b"daemon"].contains(&argument))
}

/// What a process has in memory now, in bytes.
pub(super) fn resident_size(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // Fails only for a process that is gone.
        let _ = kill_process(pid, signal);
    }
}

/// The last line of a log, which says why its daemon ended.
fn last_line(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let size = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LAST_LINE_LEN_MAX)))
        .ok()?;
    let mut tail = Vec::new();
    file.take(LAST_LINE_LEN_MAX).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let line = tail.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.to_owned())
}

/// Time for a daemon to open its store and listen; a journal may have to be replayed.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Time for a daemon that serves only us to stop.
pub(super) const STOP_PATIENCE_TRIAL: Duration = Duration::from_secs(5);

/// Time for a daemon to finish what is in flight: more than it gives itself.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Time for the kernel to end a process that was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How often we look whether a process is gone; nobody tells us of those that are not our children.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// `listening on ` and the longest address, with room to spare.
const ANNOUNCEMENT_LEN_MAX: u64 = 256;

/// Enough of a log for its last line.
const LAST_LINE_LEN_MAX: u64 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    // The pid file of a daemon that is gone may name any process by now.
    #[test]
    fn a_process_is_not_taken_for_a_daemon() {
        let node = Node::at("/nonexistent/servers/0".into());
        assert!(!is_daemon_of(std::process::id(), &node));
        assert!(!is_daemon_of(u32::MAX, &node));
    }

    #[test]
    fn resident_memory_is_that_of_the_process() {
        let size = resident_size(std::process::id()).unwrap();
        assert!(size > 100_000, "{size}");
        assert_eq!(resident_size(u32::MAX), None);
    }
}
