//! What a disk answers instead of doing what it was asked.

use rustix::io::Errno;

/// The environment failed: a system call on the store's disk did not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {errno}")]
pub struct DiskError {
    /// The system call, as its manual page is named.
    pub call: &'static str,
    /// Why.
    pub errno: Errno,
}
