//! Why a store cannot be checked.

use std::io;
use std::path::{Path, PathBuf};

use bucketfs::{OpenError, StartError};

use crate::wording::quoted_path;

/// Why a store cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// There is no store, or none that can be looked at.
    #[error("cannot check {}: {source}", .path.display())]
    Look {
        /// What was given.
        path: PathBuf,
        /// Why.
        source: OpenError,
        /// The directory in it that is a store, if one is.
        inner: Option<PathBuf>,
    },
    /// Whether a daemon is at work there cannot be told.
    #[error("cannot look at the lock file of {}: {source}", .path.display())]
    Lock {
        /// The store.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Repairs were asked for, and a process has the store open that does not answer.
    #[error(
        "the store {} is in use by another process, which alone may change it and does not answer: {source}",
        .path.display()
    )]
    InUse {
        /// The store.
        path: PathBuf,
        /// Why it cannot be asked.
        source: io::Error,
    },
    /// It cannot be opened for repairs.
    #[error("cannot open {} for repairs: {source}", .path.display())]
    Open {
        /// The store.
        path: PathBuf,
        /// Why.
        source: StartError,
    },
    /// The system gives no thread, or no random bytes.
    #[error("cannot make repairs: {0}")]
    System(io::Error),
    /// The file that keeps the place.
    #[error("cannot use {}: {source}", .path.display())]
    Cursor {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// That file keeps the place of something else.
    #[error("{} does not keep a place in this store: it {found}", .path.display())]
    OtherCursor {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
}

impl FsckError {
    pub(super) fn look(path: &Path, source: OpenError) -> Self {
        let inner = path.join("storage");
        let inner = inner.join("version").is_file().then_some(inner);
        Self::Look {
            path: path.to_owned(),
            source,
            inner,
        }
    }

    /// What to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Look {
                inner: Some(inner), ..
            } => format!("the store is in it: `tahoectl fsck {}`", quoted_path(inner)),
            Self::Look { inner: None, .. } => {
                "name the directory of the store: the one with the file `version`".to_owned()
            }
            Self::InUse { path, .. } => format!(
                "stop the daemon first; without repairs it may run: `tahoectl fsck {}`",
                quoted_path(path)
            ),
            Self::OtherCursor { .. } => "name a file of its own for each store".to_owned(),
            Self::Lock { .. } | Self::Open { .. } | Self::System(_) | Self::Cursor { .. } => {
                return None;
            }
        })
    }
}
