//! What can go wrong in a store, by what the caller can do about it.

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

/// Why the store did not do what a request asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Taking the share would leave less than the reserved space free.
    #[error("the store is full")]
    Full,
    /// The operator takes no new shares here; reads, renewals and removals go on.
    #[error("the store is read-only")]
    ReadOnly,
    /// A sync of the journal failed; until the store is opened again it only reads.
    #[error("the store has failed and only reads until it is opened again")]
    Failed,
    /// More bytes than the store takes in one request or share.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The share is being uploaded by somebody else.
    #[error("the share is being uploaded by somebody else")]
    InProgress,
    /// As many uploads are in progress as the store keeps.
    #[error("too many uploads are in progress")]
    TooManyUploads,
    /// More requests than [`crate::Limits`] allows; the driver asks `has_room` first.
    #[error("too many requests at once")]
    Overloaded,
    /// The upload named by a write, close or abort is not there: never opened, or ended.
    #[error("no such upload is in progress")]
    UnknownUpload,
    /// A write that does not start where the last one ended.
    #[error("the next byte of the share is {expected}")]
    Gap {
        /// Where it must start.
        expected: u64,
    },
    /// The share closed is not of the size that was written or announced. The upload is given up.
    #[error("{written} bytes were written")]
    WrongSize {
        /// What the store holds.
        written: u64,
    },
    /// No such share is held.
    #[error("no such share")]
    NoShare,
    /// The share's file on disk cannot be used.
    #[error("the share's file is damaged: {0}")]
    Damaged(#[from] Damage),
    /// The disk failed on this share; others are not affected.
    #[error("disk error: {0}")]
    Disk(#[from] DiskError),
    /// The store is shutting down.
    #[error("the store is shutting down")]
    ShuttingDown,
}

/// The bytes on disk are not what they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A container shorter than its header says.
    #[error("the container ends early")]
    Truncated,
    /// A container of a version or kind this store does not know, or no container.
    #[error("not an immutable container")]
    UnknownContainer,
}
