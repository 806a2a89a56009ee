//! How a daemon of a local grid comes into its process.
//!
//! This executable starts itself, settles how long the process is to live, and then becomes the
//! daemon: the `tahoed` beside it where there is one, otherwise by the same code linked in.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use daemon::Directory;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setsid};

use super::error::LocalGridError;

/// How long a daemon is to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Not longer than this process, its parent.
    With(u32),
    /// Until it is stopped.
    Alone,
}

impl Life {
    pub(super) fn with_this_process() -> Self {
        Self::With(std::process::id())
    }
}

/// What serves a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// The `tahoed` beside this executable.
    Tahoed(PathBuf),
    /// This executable.
    Ours(PathBuf),
}

impl Program {
    /// Finds it.
    ///
    /// # Errors
    ///
    /// [`LocalGridError::File`] if the system does not say what is running.
    pub fn find() -> Result<Self, LocalGridError> {
        let ours =
            std::env::current_exe().map_err(LocalGridError::file(Path::new("/proc/self/exe")))?;
        let tahoed = ours.with_file_name("tahoed");
        Ok(match tahoed.is_file() {
            true => Self::Tahoed(tahoed),
            false => Self::Ours(ours),
        })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Tahoed(path) | Self::Ours(path) => path,
        }
    }
}

/// Becomes the daemon of `directory`; returns when it was told to stop.
///
/// # Errors
///
/// [`LocalGridError`] if the daemon could not start or could not go on.
pub fn launch(directory: &Path, life: Life) -> Result<(), LocalGridError> {
    match life {
        Life::With(parent) => {
            // Kept through exec: what becomes of us also dies with our parent.
            let set = set_parent_process_death_signal(Some(Signal::KILL));
            set.map_err(|error| LocalGridError::file(Path::new("/proc/self"))(error.into()))?;
            let parent = i32::try_from(parent).ok().and_then(Pid::from_raw);
            if getppid() != parent {
                // It died before the line above, and nobody would tell us any more.
                return Ok(());
            }
        }
        // Fails only for the leader of a process group, which a terminal's signals do not reach anyway.
        Life::Alone => drop(setsid()),
    }
    match Program::find()? {
        Program::Tahoed(path) => become_tahoed(path, directory).map(|never| match never {}),
        Program::Ours(_) => Ok(daemon::serve(&Directory::new(directory))?),
    }
}

fn become_tahoed(program: PathBuf, directory: &Path) -> Result<Infallible, LocalGridError> {
    let source = Command::new(&program).arg("run").arg(directory).exec();
    Err(LocalGridError::Start { program, source })
}
