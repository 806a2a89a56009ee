//! What the file system says of a file or directory; the same on every target.

use std::ffi::CString;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

/// The status of a file or directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    pub(super) kind: FileType,
    /// The permission bits.
    pub(super) mode: u32,
    pub(super) owner: u32,
    pub(super) links: u64,
    pub(super) size: u64,
    /// What it takes of the disk, in bytes.
    pub(super) disk_size: u64,
    /// Seconds since 1970.
    pub(super) modified: i64,
    pub(super) stamp: Stamp,
}

/// Tells a file or directory from another, and from what it was before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    size: u64,
    /// Seconds since 1970, and nanoseconds.
    changed: (i64, u64),
}

impl Status {
    /// Of something that is open.
    pub(super) fn of(file: impl AsFd) -> Result<Self, Errno> {
        rustix::fs::fstat(file).map(|status| Self::from(&status))
    }

    /// Of a name in a directory, be it a symbolic link.
    pub(super) fn of_name(directory: impl AsFd, name: &[u8]) -> Result<Self, Errno> {
        let name = CString::new(name).map_err(|_| Errno::NOENT)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::statat(directory, name, flags).map(|status| Self::from(&status))
    }
}

impl From<&Stat> for Status {
    fn from(status: &Stat) -> Self {
        // The types of the fields differ by target; what they hold does not.
        let wide = |number: i128| u64::try_from(number).unwrap_or(0);
        let size = wide(i128::from(status.st_size));
        Self {
            kind: FileType::from_raw_mode(status.st_mode),
            mode: status.st_mode & 0o7777,
            owner: status.st_uid,
            links: wide(i128::from(status.st_nlink)),
            size,
            disk_size: wide(i128::from(status.st_blocks)).saturating_mul(BLOCK),
            modified: status.st_mtime,
            stamp: Stamp {
                inode: status.st_ino,
                size,
                changed: (status.st_ctime, wide(i128::from(status.st_ctime_nsec))),
            },
        }
    }
}

/// What `st_blocks` counts.
const BLOCK: u64 = 512;
