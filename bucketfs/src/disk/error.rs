//! What a disk answers instead of doing what it was asked.

use std::fmt;

use rustix::io::Errno;

/// The environment failed: a system call on the store's disk did not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// The system call, as its manual page is named.
    pub call: &'static str,
    /// Why.
    pub errno: Errno,
}

impl DiskError {
    /// Whether something stands in the way that the store did not put there: a symbolic link, FIFO,
    /// socket or device, a directory in the place of a file, or a file in that of a directory.
    ///
    /// It was left as it is, and neither followed nor waited for. The disk itself is well: asking
    /// again is of no use until somebody has taken the thing away.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(
            self.errno,
            Errno::LOOP | Errno::NXIO | Errno::NOTDIR | Errno::ISDIR
        )
    }

    /// Whether this process, or the system, has just run out of what it needs to ask a disk:
    /// descriptors, memory. The disk itself is well.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        matches!(self.errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, errno } = self;
        match *errno {
            // The system's own words are of loops and of devices.
            Errno::LOOP => write!(
                f,
                "{call}: a symbolic link is there, or on the way there; none is followed in a store"
            ),
            Errno::NXIO => write!(
                f,
                "{call}: no regular file is there, but a FIFO, socket, device or link"
            ),
            Errno::ISDIR => write!(f, "{call}: a directory is in the place of a file"),
            Errno::NOTDIR => write!(
                f,
                "{call}: a directory is wanted, and something else is there"
            ),
            errno => write!(f, "{call}: {errno}"),
        }
    }
}

impl std::error::Error for DiskError {}
