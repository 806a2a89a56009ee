//! Whether a Tahoe-LAFS process works in a node directory.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// A process that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInTheWay {
    /// Its process id.
    pub process: i32,
    /// The file that names it.
    pub path: PathBuf,
}

/// Finds a living process that a file of Tahoe's in this directory names.
///
/// Tahoe's own rule: any process with that id counts, since nothing tells for sure that it is
/// another program that has got the number of a dead one.
pub(crate) fn find(directory: &Path) -> Option<ProcessInTheWay> {
    // Of 1.18 and later, with the time of start; of before, written by twistd.
    ["running.process", "twistd.pid"].iter().find_map(|name| {
        let path = directory.join(name);
        let text = fs::read_to_string(&path).ok()?;
        let process = text.split_whitespace().next()?.parse().ok()?;
        is_alive(process).then_some(ProcessInTheWay { process, path })
    })
}

fn is_alive(process: i32) -> bool {
    let positive = Some(process).filter(|process| *process > 0);
    let Some(pid) = positive.and_then(Pid::from_raw) else {
        return false;
    };
    // Permission denied: somebody else's, and alive.
    !matches!(test_kill_process(pid), Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_living_process_stands_in_the_way() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path();
        assert_eq!(find(directory), None);
        let path = directory.join("running.process");
        for stale in ["", "x", "-1 5", "0 1.5", "2147483647 1795741534.41"] {
            fs::write(&path, stale).unwrap();
            assert_eq!(find(directory), None, "{stale}");
        }
        let process = i32::try_from(std::process::id()).unwrap();
        fs::write(&path, format!("{process} 1795741534.41\n")).unwrap();
        let found = ProcessInTheWay { process, path };
        assert_eq!(find(directory), Some(found));
    }
}
