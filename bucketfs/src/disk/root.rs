//! The store directory: made if it is missing, opened, locked against a second daemon.
//!
//! Every engine on the kernel works below a `Root`, and the lock is held as long as one lives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::OpenError;

/// An open and locked store directory.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    directory: OwnedFd,
    /// Open, hence locked; the kernel unlocks when the process ends, however it ends.
    _lock: OwnedFd,
}

impl Root {
    /// Opens the directory, making it (not those above it) if it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it is no directory, cannot be written, or is in use.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(environment(path, errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| environment(path, errno))?;
        // A share is no more durable than the store directory's own name. Where the directory above
        // cannot be opened, whoever made the store's name had it synced, or nobody can.
        if let Ok(above) = rustix::fs::openat(&directory, "..", flags, Mode::empty()) {
            rustix::fs::fsync(&above).map_err(|errno| environment(path, errno))?;
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = rustix::fs::openat(&directory, LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| environment(path, errno))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(OpenError::Locked { path: path.into() }),
            Err(errno) => return Err(environment(path, errno)),
        }
        Ok(Self {
            path: path.into(),
            directory,
            _lock: lock,
        })
    }

    /// The directory's path, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Names the ways in which a directory cannot be a store's, by what the operator can do.
fn environment(path: &Path, errno: Errno) -> OpenError {
    let path = path.to_path_buf();
    match errno {
        Errno::NOTDIR => OpenError::NotADirectory { path },
        Errno::NOENT => OpenError::NoParent { path },
        Errno::ACCESS | Errno::PERM | Errno::ROFS => OpenError::NotWritable { path, errno },
        errno => OpenError::Directory {
            path,
            error: io::Error::from(errno),
        },
    }
}

/// The lock file's name in the store directory.
const LOCK: &str = "lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_store() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let error = Root::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::NotADirectory { .. }), "{error}");
    }

    #[test]
    fn a_store_below_a_missing_directory_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let error = Root::open(&directory.path().join("missing/store")).unwrap_err();
        assert!(matches!(error, OpenError::NoParent { .. }), "{error}");
    }

    // Two daemons would each believe that nobody else writes into a bucket.
    #[test]
    fn a_store_is_opened_once_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let first = Root::open(&path).unwrap();
        let error = Root::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Locked { .. }), "{error}");
        drop(first);
        Root::open(&path).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named_so() {
        let path = Path::new("/proc/self/no-store-can-be-here");
        let error = Root::open(path).unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::NoParent { .. } | OpenError::NotWritable { .. }
            ),
            "{error}"
        );
        for errno in [Errno::ACCESS, Errno::ROFS] {
            let error = environment(path, errno);
            assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
        }
    }
}
