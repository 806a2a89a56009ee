//! What can go wrong with a grid on this machine.

use std::io;
use std::path::{Path, PathBuf};

use crate::home::HomeError;
use crate::wording::quoted_path;

/// What went wrong with a grid on this machine.
#[derive(Debug, thiserror::Error)]
pub enum LocalGridError {
    /// A file of it could not be made or read.
    #[error("cannot use {}: {source}", .path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A daemon could not be started.
    #[error("cannot start {}: {source}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A daemon ended or did not say that it is ready.
    #[error("the daemon in {} did not become ready: {said}", .path.display())]
    NotReady {
        /// Its directory.
        path: PathBuf,
        /// The last line that it wrote, or how it ended.
        said: String,
    },
    /// The directory of a daemon could not be made.
    #[error(transparent)]
    Init(#[from] daemon::InitError),
    /// The directory of a daemon cannot be used.
    #[error(transparent)]
    Directory(#[from] daemon::DirectoryError),
    /// A daemon could not run.
    #[error(transparent)]
    Daemon(#[from] daemon::RunError),
    /// The client's configuration of the grid.
    #[error(transparent)]
    Client(#[from] HomeError),
    /// Another command is at work there.
    #[error("another `tahoectl grid up` or `grid down` is at work in {}", .path.display())]
    Busy {
        /// The grid's directory.
        path: PathBuf,
    },
    /// A daemon is still there after it was killed.
    #[error("a daemon of {} does not end: its disk may be stuck", .path.display())]
    Unstoppable {
        /// The grid's directory.
        path: PathBuf,
    },
    /// `grid down` where no grid is running.
    #[error("no grid is running in {}", .path.display())]
    NotRunning {
        /// The grid's directory.
        path: PathBuf,
    },
}

impl LocalGridError {
    /// Makes the error of using the file or directory `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// What to try, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Client(error) => return error.hint(),
            Self::NotReady { path, .. } => {
                format!(
                    "its log says more: `tail {}`",
                    quoted_path(&path.join("log"))
                )
            }
            Self::NotRunning { path } => {
                format!("`tahoectl grid up {}` starts one there", quoted_path(path))
            }
            Self::Busy { .. } => "wait until it is done, then try again".to_owned(),
            Self::Unstoppable { .. } => {
                "look at the disk (`dmesg` names one that fails); a process that waits for a disk \
                 ends when the disk answers"
                    .to_owned()
            }
            Self::File { .. }
            | Self::Start { .. }
            | Self::Init(_)
            | Self::Directory(_)
            | Self::Daemon(_) => return None,
        };
        Some(hint)
    }
}
