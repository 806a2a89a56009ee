//! Whether files are written past the page cache (`O_DIRECT`): found out by trying, once a start.
//!
//! Two things are asked of a file system. That it takes such writes, which a trial tells. And that a
//! write with `RWF_DSYNC` is durable when it returns, which no trial tells: FUSE, for one, passes the
//! flag on to nobody. So only those file systems are written directly whose code says so: ext2, ext3,
//! ext4 and XFS. (On btrfs such a write makes new extents, hence waits for more than its own bytes.)

use std::fmt;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::list::{EXT, XFS, file_system};
use super::{ALIGN, Aligned};

/// Why files are written through the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotDirect {
    /// What durable direct writes mean there is not known.
    FileSystem {
        /// Its number in `linux/magic.h`.
        magic: u32,
    },
    /// The kernel is older than 4.7, or has a filter in front of it.
    NoDurableWrites(Errno),
    /// The file system cannot be asked, or does not take them.
    Refused(Errno),
}

/// Tries a direct write in a file without a name.
pub(crate) fn probe(directory: BorrowedFd<'_>) -> Result<(), NotDirect> {
    let magic = file_system(directory).map_err(NotDirect::Refused)?;
    if ![EXT, XFS].contains(&magic) {
        return Err(NotDirect::FileSystem { magic });
    }
    durable_writes().map_err(NotDirect::NoDurableWrites)?;
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let mut bytes = Aligned::default();
    bytes.resize(ALIGN, 0);
    let file = rustix::fs::openat(directory, c".", flags, Mode::RUSR | Mode::WUSR);
    let written = file.and_then(|file| rustix::io::pwrite(file, &bytes, 0));
    match written {
        Ok(ALIGN) => Ok(()),
        Ok(_) => Err(NotDirect::Refused(Errno::IO)),
        Err(errno) => Err(NotDirect::Refused(errno)),
    }
}

/// Whether the kernel knows the flag, asked of a device that takes everything.
fn durable_writes() -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let null = rustix::fs::open(c"/dev/null", flags, Mode::empty())?;
    let byte = &[IoSlice::new(&[0])];
    rustix::io::pwritev2(null, byte, 0, ReadWriteFlags::DSYNC).map(|_| ())
}

impl fmt::Display for NotDirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileSystem { magic } => write!(
                f,
                "the file system (of magic number {magic:#x}) is not ext2, ext3, ext4 or XFS"
            ),
            Self::NoDurableWrites(errno) => {
                write!(f, "the kernel has no durable writes here: {errno}")
            }
            Self::Refused(errno) => write!(f, "the file system refuses direct writes: {errno}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    // On tmpfs an `O_DIRECT` is taken since Linux 6.6, and means nothing.
    #[test]
    fn only_file_systems_whose_durable_writes_are_known_are_written_directly() {
        for (place, magic) in [("/proc", 0x9fa0), ("/dev/shm", 0x0102_1994)] {
            let Ok(directory) = std::fs::File::open(place) else {
                continue;
            };
            if file_system(&directory) == Ok(magic) {
                let refused = Err(NotDirect::FileSystem { magic });
                assert_eq!(probe(directory.as_fd()), refused);
            }
        }
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let opened = std::fs::File::open(directory.path()).unwrap();
        let _ = probe(opened.as_fd());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
