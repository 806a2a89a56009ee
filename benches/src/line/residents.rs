//! The processes that run in the hosts of a line, and their end.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Ends every process in these namespaces: asks first, and does not ask again after two seconds.
pub(super) fn end(namespaces: &[OwnedFd]) {
    let began = Instant::now();
    loop {
        let residents: Vec<_> = namespaces.iter().flat_map(find).collect();
        if residents.is_empty() || began.elapsed() > 2 * PATIENCE {
            return;
        }
        let signal = if began.elapsed() < PATIENCE {
            Signal::TERM
        } else {
            Signal::KILL
        };
        for process in residents {
            // Fails only for a process that has ended meanwhile.
            let _ = pidfd_send_signal(process, signal);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The processes in a namespace. A descriptor names one even if its number is given to another.
fn find(namespace: &OwnedFd) -> Vec<OwnedFd> {
    let Ok(wanted) = fstat(namespace) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let is_inside = |pid: i32| {
        fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|found| found.ino() == wanted.st_ino)
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| is_inside(pid))
        .filter_map(|pid| {
            let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
            is_inside(pid).then_some(process)
        })
        .collect()
}

const PATIENCE: Duration = Duration::from_secs(2);
