//! A local grid that goes on running: `grid up` and `grid down`.
//!
//! Each server's process is noted beside its store, with the time at which it started, so that a
//! process which got the same number later is never taken for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lafs::nurl::Nurl;
use rustix::process::{Pid, Signal, kill_process};

use super::{Bond, server_directory, start_all};
use crate::durable;
use crate::error::LocalGridError;

/// Starts the servers in `directory`, making `count` of them if it has none, and returns their NURLs.
///
/// # Errors
///
/// [`LocalGridError`]; what was started then is stopped again.
pub async fn up(directory: &Path, count: Option<usize>) -> Result<Vec<Nurl>, LocalGridError> {
    if running(directory).next().is_some() {
        return Err(LocalGridError::Running {
            path: directory.to_owned(),
        });
    }
    let file = |source| LocalGridError::File {
        path: directory.to_owned(),
        source,
    };
    durable::create_private_directory(directory).map_err(file)?;
    let present = servers(directory).count();
    let count = count.unwrap_or(if present == 0 { COUNT_DEFAULT } else { present });
    let servers = start_all(directory, count, Bond::Detached).await?;
    let mut nurls = Vec::new();
    for server in servers {
        let process = server.pid().and_then(Process::of);
        let noted = process.map(|process| (process, note_path(&server.directory)));
        if let Some((process, path)) = noted {
            durable::replace_private(&path, process.to_text().as_bytes()).map_err(file)?;
        }
        nurls.push(server.nurl);
    }
    Ok(nurls)
}

/// Stops the servers in `directory` and returns how many ran.
///
/// # Errors
///
/// [`LocalGridError::NotRunning`] if none did.
pub async fn down(directory: &Path) -> Result<usize, LocalGridError> {
    let running: Vec<_> = running(directory).collect();
    if running.is_empty() {
        return Err(LocalGridError::NotRunning {
            path: directory.to_owned(),
        });
    }
    for (process, _) in &running {
        process.signal(Signal::TERM);
    }
    for (process, path) in &running {
        for look in 0.. {
            if !process.is_running() {
                break;
            }
            if look == LOOKS_MAX {
                process.signal(Signal::KILL);
            }
            tokio::time::sleep(LOOK).await;
        }
        // A note without a process is no harm.
        let _ = fs::remove_file(path);
    }
    Ok(running.len())
}

fn servers(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let directory = directory.to_owned();
    (0..)
        .map(move |index| server_directory(&directory, index))
        .take_while(|path| path.is_dir())
}

fn running(directory: &Path) -> impl Iterator<Item = (Process, PathBuf)> {
    servers(directory).filter_map(|server| {
        let path = note_path(&server);
        let process = Process::from_text(&fs::read_to_string(&path).ok()?)?;
        process.is_running().then_some((process, path))
    })
}

fn note_path(server: &Path) -> PathBuf {
    server.join("pid")
}

/// A process that cannot be mistaken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    /// In ticks since the machine started, as the kernel counts.
    started: u64,
}

impl Process {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; the state, and what follows it, comes after.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        if fields.next()? == "Z" {
            return None;
        }
        // Field 22 of proc(5); the state is field 3.
        let started = fields.nth(18)?.parse().ok()?;
        Some(Self { pid, started })
    }

    fn is_running(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    fn signal(self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_running()) {
            // It may have ended this very moment.
            let _ = kill_process(pid, signal);
        }
    }

    fn to_text(self) -> String {
        format!("{} {}\n", self.pid, self.started)
    }

    fn from_text(text: &str) -> Option<Self> {
        let (pid, started) = text.trim_ascii().split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }
}

const COUNT_DEFAULT: usize = 10;
const LOOK: Duration = Duration::from_millis(50);
/// Longer than a daemon gives to what is in flight.
const LOOKS_MAX: u32 = 25_000 / 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let ours = Process::of(std::process::id()).unwrap();
        assert!(ours.is_running());
        assert_eq!(Process::from_text(&ours.to_text()), Some(ours));
        let other = Process {
            started: ours.started + 1,
            ..ours
        };
        assert!(!other.is_running());
    }
}
