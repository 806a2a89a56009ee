//! Files opened beneath the store directory, and never outside it.
//!
//! No symbolic link is followed: not in the last name of a path, nor in any before it. Nothing is
//! waited for either: a FIFO has no other end here. The directory itself may be reached by whatever
//! path the operator gave.
//!
//! `openat2` (Linux 5.6) does this in one call. Where it is missing, or a filter denies it, a path
//! is walked name by name, which comes to the same.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{EntryKind, StorePath};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// To be read; it exists.
    Read,
    /// To be written in place; it exists.
    Write,
    /// The same, past the page cache.
    WriteDirect,
    /// To be written; it does not exist.
    New,
    /// The same, past the page cache.
    NewDirect,
    /// To be written from the start, what it held being dropped if it exists.
    Anew,
    /// To be listed or synced: a directory.
    Directory,
    /// To find names in it, and for nothing else: a directory.
    Enter,
    /// To see what it is, and for nothing else; it may be anything.
    Look,
}

/// A directory to resolve paths beneath.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beneath<'a> {
    pub(crate) directory: BorrowedFd<'a>,
    /// Whether `openat2` works here.
    pub(crate) has_openat2: bool,
}

impl How {
    pub(crate) const ALL: [Self; 9] = [
        Self::Read,
        Self::Write,
        Self::WriteDirect,
        Self::New,
        Self::NewDirect,
        Self::Anew,
        Self::Directory,
        Self::Enter,
        Self::Look,
    ];

    const NEW: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL);

    /// The flags of the open. Those of `O_PATH` bear no others beside them.
    pub(crate) const fn flags(self) -> OFlags {
        let flags = match self {
            Self::Read => OFlags::RDONLY,
            Self::Write => OFlags::WRONLY,
            Self::WriteDirect => OFlags::WRONLY.union(OFlags::DIRECT),
            Self::New => Self::NEW,
            Self::NewDirect => Self::NEW.union(OFlags::DIRECT),
            Self::Anew => OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::TRUNC),
            Self::Directory => OFlags::RDONLY.union(OFlags::DIRECTORY),
            Self::Enter => return OFlags::PATH.union(OFlags::DIRECTORY),
            Self::Look => return OFlags::PATH.union(OFlags::NOFOLLOW),
        };
        // What exists may be a FIFO without another end, which would be waited for.
        let waits = match self {
            Self::Read | Self::Write | Self::WriteDirect | Self::Anew => OFlags::NONBLOCK,
            _ => OFlags::empty(),
        };
        // The kernel adds `O_LARGEFILE` by itself only for programs of 64 bits.
        let always = OFlags::LARGEFILE.union(OFlags::NOCTTY);
        flags.union(waits).union(always)
    }

    /// The permissions of a file that is made. Share containers may hold lease secrets in the clear
    /// (version 1), so others get nothing.
    pub(crate) const fn mode(self) -> u32 {
        match self {
            Self::New | Self::NewDirect | Self::Anew => 0o640,
            _ => 0,
        }
    }

    /// Whether the open neither makes nor changes anything.
    const fn only_looks(self) -> bool {
        !matches!(self, Self::New | Self::NewDirect | Self::Anew)
    }
}

impl Beneath<'_> {
    /// Finds out whether `openat2` works.
    pub(crate) fn probe(directory: BorrowedFd<'_>) -> bool {
        let flags = How::Enter.flags() | OFlags::CLOEXEC;
        rustix::fs::openat2(directory, c".", flags, Mode::empty(), RESOLVE).is_ok()
    }

    /// Opens what a path leads to.
    pub(crate) fn open(self, path: &StorePath, how: How) -> Result<OwnedFd, Errno> {
        match self.has_openat2 {
            true => self.open_at_once(path.as_c_str(), how, RESOLVE),
            false => self.open_by_names(path, how),
        }
    }

    /// Opens what a path leads to, if every name of it is in memory and the open changes nothing;
    /// fails, with whatever errno but `NOENT`, if not.
    pub(crate) fn open_cached(self, path: &CStr, how: How) -> Result<OwnedFd, Errno> {
        match self.has_openat2 && how.only_looks() {
            true => self.open_at_once(path, how, RESOLVE.union(ResolveFlags::CACHED)),
            false => Err(Errno::AGAIN),
        }
    }

    fn open_at_once(self, path: &CStr, how: How, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        let flags = how.flags() | OFlags::CLOEXEC;
        let mode = Mode::from(how.mode());
        rustix::fs::openat2(self.directory, path, flags, mode, resolve)
    }

    fn open_by_names(self, path: &StorePath, how: How) -> Result<OwnedFd, Errno> {
        let mut names = path.as_str().split('/').peekable();
        let mut directory: Option<OwnedFd> = None;
        loop {
            let name = names.next().expect("the last name ends the loop");
            let name = CString::new(name).expect("a store path holds no NUL");
            let how = match names.peek() {
                Some(_) => How::Enter,
                None => how,
            };
            let above = directory
                .as_ref()
                .map_or(self.directory, |found| found.as_fd());
            let flags = how.flags() | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let opened = rustix::fs::openat(above, &name, flags, Mode::from(how.mode()));
            let found = match opened {
                // What `openat2` calls a link, `O_DIRECTORY` calls no directory.
                Err(Errno::NOTDIR) if is_link(above, &name) => return Err(Errno::LOOP),
                opened => opened?,
            };
            match names.peek() {
                Some(_) => directory = Some(found),
                None => return Ok(found),
            }
        }
    }
}

fn is_link(directory: BorrowedFd<'_>, name: &CString) -> bool {
    let status = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    status.is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Symlink)
}

/// The size of a file that was opened to be read or written, which must be a regular one.
///
/// From then on it waits as any file does: before Linux 6.5 the ring would otherwise fail reads and
/// writes that have to, on block devices of some kinds. It is written past the page cache if that is
/// asked for, and through it if not. Never blocks itself, as the inode of an open file is in memory.
pub(crate) fn size(file: BorrowedFd<'_>, is_direct: bool) -> Result<u64, Errno> {
    let status = rustix::fs::fstat(file)?;
    EntryKind::from(FileType::from_raw_mode(status.st_mode)).must_be_file()?;
    let flags = match is_direct {
        true => OFlags::DIRECT,
        false => OFlags::empty(),
    };
    rustix::fs::fcntl_setfl(file, flags)?;
    u64::try_from(status.st_size).map_err(|_| Errno::OVERFLOW)
}

/// What an open file is; never blocks.
pub(crate) fn kind(file: BorrowedFd<'_>) -> Result<EntryKind, Errno> {
    let status = rustix::fs::fstat(file)?;
    Ok(FileType::from_raw_mode(status.st_mode).into())
}

impl EntryKind {
    /// Refuses what cannot be used as a file, by an errno that [`super::DiskError`] has words for.
    pub(crate) fn must_be_file(self) -> Result<(), Errno> {
        match self {
            Self::File => Ok(()),
            Self::Directory => Err(Errno::ISDIR),
            Self::Other => Err(Errno::NXIO),
        }
    }
}

impl From<FileType> for EntryKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            _ => Self::Other,
        }
    }
}

/// How the names of a path are looked up.
pub(crate) const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

#[cfg(test)]
mod tests {
    use super::super::Root;
    use super::*;

    // Some kernels fail what would have to wait on such a file, instead of waiting.
    #[test]
    fn only_opens_do_not_wait() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let path = StorePath::new("file");
        for how in [How::New, How::Read, How::Write, How::Anew] {
            let file = root.beneath().open(&path, how).unwrap();
            size(file.as_fd(), false).unwrap();
            let flags = rustix::fs::fcntl_getfl(&file).unwrap();
            assert!(!flags.contains(OFlags::NONBLOCK), "{how:?}");
            assert!(how == How::Read || flags.contains(OFlags::WRONLY));
        }
    }
}
