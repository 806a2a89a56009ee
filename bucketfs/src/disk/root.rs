//! The store directory: made if it is missing, opened, locked against a second daemon.
//!
//! Every engine on the kernel works below a `Root`, and the lock is held as long as one lives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::Beneath;
use super::direct::{self, NotDirect};

/// An open and locked store directory.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    directory: OwnedFd,
    has_openat2: bool,
    direct: Result<(), NotDirect>,
    /// Open, hence locked; the kernel unlocks when the process ends, however it ends.
    _lock: OwnedFd,
}

impl Root {
    /// Opens the directory, making it (not those above it) if it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// [`RootError`] if it is no directory, cannot be written, or is in use.
    pub fn open(path: &Path) -> Result<Self, RootError> {
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
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let lock = rustix::fs::openat(&directory, LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| environment(path, errno))?;
        match lock_for_us(&lock, || std::thread::sleep(LOCK_PAUSE)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(RootError::Locked { path: path.into() }),
            Err(errno) => return Err(environment(path, errno)),
        }
        let has_openat2 = Beneath::probe(directory.as_fd());
        if !has_openat2 {
            tracing::info!("no openat2 here: paths in the store are walked name by name");
        }
        let direct = direct::probe(directory.as_fd());
        match direct {
            Ok(()) => tracing::debug!("journal and large shares are written past the page cache"),
            Err(why) => tracing::info!(
                "journal and large shares are written through the page cache, with the same \
                 promises: {why}"
            ),
        }
        Ok(Self {
            path: path.into(),
            directory,
            has_openat2,
            direct,
            _lock: lock,
        })
    }

    /// The directory, to open files beneath it.
    pub(crate) fn beneath(&self) -> Beneath<'_> {
        Beneath {
            directory: self.as_fd(),
            has_openat2: self.has_openat2,
        }
    }

    /// Whether files can be written past the page cache here.
    pub(crate) fn writes_directly(&self) -> bool {
        self.direct.is_ok()
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

/// Takes the lock. Whoever looks whether it is taken has it for some microseconds: that is waited for.
fn lock_for_us(lock: &OwnedFd, mut pause: impl FnMut()) -> Result<(), Errno> {
    for _ in 1..LOCK_ATTEMPTS {
        match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => pause(),
            result => return result,
        }
    }
    rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive)
}

/// Names the ways in which a directory cannot be a store's, by what the operator can do.
fn environment(path: &Path, errno: Errno) -> RootError {
    let path = path.to_path_buf();
    match errno {
        Errno::NOTDIR => RootError::NotADirectory { path },
        Errno::NOENT => RootError::NoParent { path },
        Errno::ACCESS | Errno::PERM | Errno::ROFS => RootError::NotWritable { path, errno },
        errno => RootError::Directory {
            path,
            error: io::Error::from(errno),
        },
    }
}

/// Why a directory cannot be a store's.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The path is of something else.
    #[error("{} is not a directory; name one for the store, or a path where one can be made", path.display())]
    NotADirectory {
        /// The path given.
        path: PathBuf,
    },
    /// The directory above does not exist.
    #[error("the directory above {} does not exist; make it first", path.display())]
    NoParent {
        /// The path given.
        path: PathBuf,
    },
    /// The directory cannot be written.
    #[error("cannot write in {}: {errno}; check its owner and how its file system is mounted", path.display())]
    NotWritable {
        /// The path given.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// Another process has the store open.
    #[error("the store {} is in use by another process; stop that one first", path.display())]
    Locked {
        /// The path given.
        path: PathBuf,
    },
    /// The directory cannot be opened.
    #[error("cannot open the store directory {}: {error}", path.display())]
    Directory {
        /// The path given.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The lock file's name in the store directory.
const LOCK: &str = "lock";

/// How often the lock is tried.
const LOCK_ATTEMPTS: u32 = 5;

/// How long it is waited for between two attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_store() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let error = Root::open(&path).unwrap_err();
        assert!(matches!(error, RootError::NotADirectory { .. }), "{error}");
    }

    #[test]
    fn a_store_below_a_missing_directory_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let error = Root::open(&directory.path().join("missing/store")).unwrap_err();
        assert!(matches!(error, RootError::NoParent { .. }), "{error}");
    }

    // Two daemons would each believe that nobody else writes into a bucket.
    #[test]
    fn a_store_is_opened_once_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let first = Root::open(&path).unwrap();
        let error = Root::open(&path).unwrap_err();
        assert!(matches!(error, RootError::Locked { .. }), "{error}");
        drop(first);
        Root::open(&path).unwrap();
    }

    // `tahoed status` of a stopped store, just when its daemon is started.
    #[test]
    fn who_only_looks_whether_a_store_is_open_keeps_nobody_from_opening_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        drop(Root::open(&path).unwrap());
        let open = || OwnedFd::from(std::fs::File::open(path.join(LOCK)).unwrap());
        let looking = open();
        rustix::fs::flock(&looking, FlockOperation::NonBlockingLockShared).unwrap();
        let mut pauses = 0;
        let locked = lock_for_us(&open(), || pauses += 1);
        assert_eq!(
            (locked, pauses),
            (Err(Errno::WOULDBLOCK), LOCK_ATTEMPTS - 1)
        );
        let mut looking = Some(looking);
        assert_eq!(lock_for_us(&open(), || drop(looking.take())), Ok(()));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named_so() {
        let path = Path::new("/proc/self/no-store-can-be-here");
        let error = Root::open(path).unwrap_err();
        assert!(
            matches!(
                error,
                RootError::NoParent { .. } | RootError::NotWritable { .. }
            ),
            "{error}"
        );
        for errno in [Errno::ACCESS, Errno::ROFS] {
            let error = environment(path, errno);
            assert!(matches!(error, RootError::NotWritable { .. }), "{error}");
        }
    }
}
