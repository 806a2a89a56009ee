//! The read-only view of a whole store, and the walk over it.
//!
//! Whatever looks at all of a store (`fsck`, scrub, expiry, accounting, migration) takes what
//! [`View::walk`] gives: bucket after bucket, in the order of their names, in any layout and in the
//! middle of a migration. A view opens nothing for writing and takes no lock. It may be used beside a
//! daemon, of this process or another: what is changed while it is looked at, and what the journal
//! holds and the tree does not yet have, is no finding.
//!
//! It is plain blocking code on threads, so that those who take what it gives are straight-line code.
//! What is to be done about a finding is asked of the store ([`crate::Mend`]).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::disk::{Beneath, How, RootError, StorePath};
use crate::error::OpenError;
use crate::layout::{INCOMING, Layout, Layouts, SHARES, ShareKey, VERSION};
use crate::version;

mod deep;
mod finding;
mod frame;
mod incoming;
mod journal;
mod look;
mod names;
mod pace;
mod range;
mod seen;
mod share;
mod status;
mod tree;
mod walk;
mod words;

pub use deep::{Deep, Fault};
pub use finding::{Finding, Kind, Repair, Severity};
pub use pace::{Budget, Stop};
pub use seen::{BucketSeen, Prefix, Seen, UnsoundShare};
pub use share::{ShareBytes, ShareSeen};
pub use walk::Walk;

use status::Status;

/// A view of the store in a directory.
#[derive(Debug)]
pub struct View {
    path: PathBuf,
    directory: OwnedFd,
    has_openat2: bool,
    /// Whose the store is.
    owner: u32,
    /// As of the last look at the version file.
    layouts: RwLock<Layouts>,
}

impl View {
    /// Opens a view of a store. Changes nothing, and keeps nobody else from anything.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if there is no store there, or none that this program knows.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| unreadable(path, errno))?;
        let has_openat2 = Beneath::probe(directory.as_fd());
        let beneath = Beneath {
            directory: directory.as_fd(),
            has_openat2,
        };
        let layouts = read_version(beneath)?;
        let shares = beneath
            .open(&StorePath::new(SHARES), How::Directory)
            .map_err(|errno| match errno {
                Errno::NOENT => OpenError::Missing { name: SHARES },
                errno => unreadable(&path.join(SHARES), errno),
            })?;
        let status = Status::of(&shares).map_err(|errno| unreadable(path, errno))?;
        Ok(Self {
            path: path.into(),
            directory,
            has_openat2,
            owner: status.owner,
            layouts: RwLock::new(layouts),
        })
    }

    /// The store directory, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store's layout.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layouts().layout
    }

    /// The layout from which the store is being migrated, if it is.
    #[must_use]
    pub fn from(&self) -> Option<Layout> {
        self.layouts().from
    }

    /// Whether some process, perhaps this one, has the store open to change it.
    ///
    /// Nobody is told beforehand: the answer is of the moment.
    ///
    /// # Errors
    ///
    /// The disk's, if the lock file cannot be opened.
    pub fn is_in_use(&self) -> io::Result<bool> {
        let lock = match self.beneath().open(&StorePath::new("lock"), How::Read) {
            Ok(lock) => lock,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        // Beside this, a store that is opened in the same microseconds finds the lock taken; the lock
        // is gone with the descriptor.
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    fn layouts(&self) -> Layouts {
        *self.layouts.read().expect("nobody panics with the lock")
    }

    /// Reads the version file again: a migration may have begun or ended.
    fn refresh(&self) {
        if let Ok(layouts) = read_version(self.beneath()) {
            *self.layouts.write().expect("nobody panics with the lock") = layouts;
        }
    }

    fn beneath(&self) -> Beneath<'_> {
        Beneath {
            directory: self.directory.as_fd(),
            has_openat2: self.has_openat2,
        }
    }

    fn open_directory(&self, path: &StorePath) -> Result<OwnedFd, Errno> {
        self.beneath().open(path, How::Directory)
    }

    /// Opens a regular file.
    fn open_file(&self, path: &StorePath) -> Result<OwnedFd, Errno> {
        let file = self.beneath().open(path, How::Read)?;
        match Status::of(&file)?.kind {
            FileType::RegularFile => Ok(file),
            FileType::Directory => Err(Errno::ISDIR),
            _ => Err(Errno::NXIO),
        }
    }

    /// Whether a file has a name in incoming too: then it is on its way to its place.
    fn is_on_its_way(&self, inode: u64) -> bool {
        let mut is_there = false;
        if let Ok(incoming) = self.open_directory(&StorePath::new(INCOMING)) {
            let _ = names::each_inode(&incoming, |found| is_there |= found == inode);
        }
        is_there
    }

    fn is_odd_directory(&self, directory: &OwnedFd) -> bool {
        let status = Status::of(directory);
        status.is_ok_and(|status| self.odd(&status, Path::new(""), None).is_some())
    }

    /// What is odd about the owner or the permissions of a file or directory.
    fn odd(&self, status: &Status, at: &Path, share: Option<ShareKey>) -> Option<Finding> {
        let finding = |kind, expected, found| Finding {
            at: at.to_path_buf(),
            share,
            kind,
            expected,
            found,
            repair: Repair::ByHand,
        };
        if status.owner != self.owner {
            let expected = format!("user {}, as of the directory `{SHARES}`", self.owner);
            let found = format!("user {}", status.owner);
            return Some(finding(Kind::Owner, expected, found));
        }
        let (needed, expected) = match status.kind {
            FileType::Directory => (0o700, "rwx for its user, and no w for others"),
            _ => (0o600, "rw for its user, and no w for others"),
        };
        let is_as_it_should = status.mode & needed == needed && status.mode & 0o002 == 0;
        let found = || format!("{:04o}", status.mode);
        (!is_as_it_should).then(|| finding(Kind::Permissions, expected.to_owned(), found()))
    }
}

fn read_version(beneath: Beneath<'_>) -> Result<Layouts, OpenError> {
    let path = StorePath::new(VERSION);
    let file = match beneath.open(&path, How::Read) {
        Ok(file) => file,
        Err(Errno::NOENT) => {
            let has_shares = beneath.open(&StorePath::new(SHARES), How::Look).is_ok();
            return Err(match has_shares {
                true => OpenError::NotAStore { found: SHARES },
                false => OpenError::Missing { name: VERSION },
            });
        }
        Err(errno) => return Err(disk(&path, "open", errno)),
    };
    let mut text = vec![0; version::LEN_MAX];
    let len =
        rustix::io::pread(&file, &mut text, 0).map_err(|errno| disk(&path, "pread", errno))?;
    version::parse(&text[..len])
}

fn disk(path: &StorePath, call: &'static str, errno: Errno) -> OpenError {
    OpenError::Disk {
        path: path.clone(),
        error: crate::disk::DiskError { call, errno },
    }
}

fn unreadable(path: &Path, errno: Errno) -> OpenError {
    let path = path.to_path_buf();
    match errno {
        Errno::NOTDIR => RootError::NotADirectory { path },
        errno => RootError::Directory {
            path,
            error: errno.into(),
        },
    }
    .into()
}
