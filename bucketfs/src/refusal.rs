//! Why a request was not carried out: one type a request, with the reasons that it can have.
//!
//! What several requests have in common is a type of its own ([`Unavailable`], [`Unwritable`],
//! [`Unreadable`], [`LeaseRefusal`]), so that a protocol says once what such a reason is to its
//! peer. All texts are for people; none names a path or a secret.

use crate::error::{Damage, DiskError, TooManyLeases};
use crate::layout::Layout;

/// The store takes no request of any kind now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The store is shutting down, or has ended.
    #[error("the store is shutting down")]
    ShuttingDown,
    /// More requests than [`crate::limits::REQUESTS`] allows; the driver asks `has_room` first.
    #[error("too many requests at once")]
    Overloaded,
    /// The store is being migrated, and the disk does not tell where the bucket lies.
    #[error("the disk does not tell where the bucket lies: {0}")]
    Disk(DiskError),
}

/// Nothing could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// Taking the bytes would leave less than the reserved space free, or the shares with more than
    /// they may have.
    #[error("the store is full")]
    Full,
    /// A sync of the journal failed, or what it says could not be done.
    #[error("the store is read-only after a disk failure; restart tahoed and check its log")]
    Failed,
    /// The disk failed on this share; others are not affected.
    #[error("disk error: {0}")]
    Disk(#[from] DiskError),
    /// The disk does not take what was stored before. That is safe in the journal, and tried again.
    #[error("the disk does not take what the journal holds already, which is tried again: {0}")]
    Unplaced(DiskError),
}

/// A share's file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not what it must be.
    #[error("the share's file is damaged: {0}")]
    Damaged(#[from] Damage),
    /// The disk failed on this share; others are not affected.
    #[error("disk error: {0}")]
    Disk(DiskError),
}

impl From<DiskError> for Unreadable {
    fn from(error: DiskError) -> Self {
        if error.is_foreign() {
            Self::Damaged(Damage::NotAFile)
        } else {
            Self::Disk(error)
        }
    }
}

/// A share is held, and the client's lease on it could not be added or renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseRefusal {
    /// Somebody removed the share meanwhile.
    #[error("no such share")]
    Gone,
    /// The share has as many leases as the store gives one.
    #[error(transparent)]
    TooMany(#[from] TooManyLeases),
    /// The share cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The lease cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::BeginMigration`], [`crate::MigrateNext`] or [`crate::EndMigration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrateRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Buckets are being moved between two other layouts: that has to be finished or turned round.
    #[error("the store is being moved from {from} to {layout}; finish that, or turn it round")]
    Elsewhere {
        /// To this layout.
        layout: Layout,
        /// From this one.
        from: Layout,
    },
    /// Nothing is being moved.
    #[error("no migration is under way")]
    NotMigrating,
    /// The last walk through the old places has found something, or there was none.
    #[error("buckets are left that have not been moved")]
    NotDone,
    /// Another of these requests is under way.
    #[error("somebody else is at work on the migration")]
    Busy,
    /// The disk fails, or is full.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::Put`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The share is no small one.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The share is being uploaded by somebody else.
    #[error("the share is being uploaded by somebody else")]
    InProgress,
    /// The operator takes no new shares here; reads, renewals and removals still work.
    #[error("the store is read-only")]
    ReadOnly,
    /// There are shares of a slot under this storage index.
    #[error("the storage index is of a slot")]
    NotABucket,
    /// The share cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// The share is held, and its lease cannot be renewed.
    #[error(transparent)]
    Lease(LeaseRefusal),
}

/// A refusal of [`crate::OpenUpload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// No share can be that large.
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
    /// The operator takes no new shares here; reads, renewals and removals still work.
    #[error("the store is read-only")]
    ReadOnly,
    /// There are shares of a slot under this storage index.
    #[error("the storage index is of a slot")]
    NotABucket,
    /// The share cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// The share is held, and its lease cannot be renewed.
    #[error(transparent)]
    Lease(LeaseRefusal),
}

/// A refusal of [`crate::WriteUpload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The upload is not there: never opened, or ended.
    #[error("no such upload is in progress")]
    UnknownUpload,
    /// The write does not start where the last one ended.
    #[error("the next byte of the share is {expected}")]
    Gap {
        /// Where it must start.
        expected: u64,
    },
    /// More bytes than one write may have, or than the share was to have.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The bytes, or earlier ones, cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::CloseUpload`]. The upload is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The upload is not there: never opened, or ended.
    #[error("no such upload is in progress")]
    UnknownUpload,
    /// The share is not of the size that was written or announced.
    #[error("{written} bytes were written")]
    WrongSize {
        /// What the store holds.
        written: u64,
    },
    /// The share cannot be written, or its name not be made.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::AbortUpload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbortRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The upload is not there: never opened, or ended.
    #[error("no such upload is in progress")]
    UnknownUpload,
}

/// A refusal of [`crate::Allocate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A share without any bytes, of which no byte can ever come.
    #[error("a share must have at least one byte")]
    EmptyShare,
    /// There are shares of a slot under this storage index.
    #[error("the storage index is of a slot")]
    NotABucket,
    /// The bucket cannot be listed.
    #[error("disk error: {0}")]
    Disk(#[from] DiskError),
}

/// A refusal of [`crate::WriteRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteRangeRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The upload is not there: never allocated, or ended.
    #[error("no such upload is in progress")]
    UnknownUpload,
    /// The upload is there, and somebody else's.
    #[error("not the upload secret")]
    WrongSecret,
    /// More bytes than one write may have.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The range reaches beyond the size that was allocated.
    #[error("beyond the {size} bytes that were allocated")]
    BeyondEnd {
        /// As allocated.
        size: u64,
    },
    /// The range would leave more separate ranges written than the store keeps account of.
    #[error("more than {limit} separate ranges of a share in progress")]
    TooManyRanges {
        /// The limit.
        limit: usize,
    },
    /// The range overlaps others and does not say the same. Nothing of it was written.
    #[error("other bytes were written there before")]
    Conflict,
    /// The bytes cannot be written, or the finished share not be named.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// Somebody else has stored the share meanwhile, and its lease cannot be renewed.
    #[error(transparent)]
    Lease(LeaseRefusal),
}

/// A refusal of [`crate::AbortRanged`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbortRangedRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The upload is not there: never allocated, or ended.
    #[error("no such upload is in progress")]
    UnknownUpload,
    /// The upload is there, and somebody else's.
    #[error("not the upload secret")]
    WrongSecret,
    /// The share is finished.
    #[error("the share is held already")]
    AlreadyHeld,
    /// Whether the share is held cannot be told.
    #[error("disk error: {0}")]
    Disk(#[from] DiskError),
}

/// A refusal of [`crate::Advise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdviseRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The reason is longer than the store keeps.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// No such share is held.
    #[error("no such share")]
    NoShare,
    /// Whether the share is held cannot be told.
    #[error("disk error: {0}")]
    Disk(#[from] DiskError),
}

/// A refusal of [`crate::Read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// More extents than the store reads for one request.
    #[error("more than {limit} extents in one request")]
    TooManyExtents {
        /// The limit.
        limit: usize,
    },
    /// The bucket cannot be listed.
    #[error("disk error: {0}")]
    Disk(#[from] DiskError),
}

/// A refusal of [`crate::RenewLeases`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The bucket cannot be listed.
    #[error("disk error: {0}")]
    Disk(#[from] DiskError),
}

/// A refusal of [`crate::ReadTestWrite`]. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// More tests, reads or writes than the store takes in one request.
    #[error("more than {limit} extents in one request")]
    TooManyExtents {
        /// The limit.
        limit: usize,
    },
    /// More bytes than the store takes in one request, or than a share may have.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// More bytes are to be read than the store gives in one answer.
    #[error("the answer would be larger than the limit of {limit} bytes")]
    AnswerTooLarge {
        /// The limit.
        limit: u64,
    },
    /// The spool is not there: never opened, or ended.
    #[error("no such spool")]
    UnknownSpool,
    /// A write names more than is in the spool.
    #[error("{written} bytes were written")]
    SpoolTooShort {
        /// What the spool holds.
        written: u64,
    },
    /// There is an immutable share under this storage index.
    #[error("the storage index is of immutable shares")]
    NotASlot,
    /// The write enabler is not that of every share of the slot.
    #[error("the write enabler is not that of the slot")]
    WrongWriteEnabler,
    /// The operator lets nothing grow here; reads and changes in place still work.
    #[error("the store is read-only")]
    ReadOnly,
    /// A share has as many leases as the store gives one.
    #[error(transparent)]
    TooManyLeases(#[from] TooManyLeases),
    /// A share of the slot cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The change cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::OpenSpool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenSpoolRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// As many spools are open as the store keeps.
    #[error("too many spools are open")]
    TooManySpools,
    /// The spool's file cannot be made.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::WriteSpool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteSpoolRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The spool is not there: never opened, or ended.
    #[error("no such spool")]
    UnknownSpool,
    /// More bytes than one write may have.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The bytes, or earlier ones, cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::Remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoveRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// No such share is held.
    #[error("no such share")]
    NoShare,
    /// The removal cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::Expire`]. The share stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpireRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// No such share is held.
    #[error("no such share")]
    NoShare,
    /// It has more leases than the store looks at.
    #[error(transparent)]
    TooManyLeases(#[from] TooManyLeases),
    /// The share cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The removal cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::Count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The count does not stand where the part begins: somebody else has begun one, or none is begun.
    #[error("another count was begun; this one is given up")]
    Elsewhere,
    /// What was counted cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// A refusal of [`crate::Mend`]. Nothing was changed, unless the disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MendRefusal {
    /// Nothing is taken now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The path is none of the tree of shares, or too long.
    #[error("no path in the tree of shares")]
    NotInTree,
    /// What is there is as it should be, or not what the repair is for.
    #[error("what is there is nothing that this repair is for")]
    NotFitting,
    /// Nothing is there.
    #[error("nothing is there")]
    NotThere,
    /// The place that it is to be moved to is taken.
    #[error("something else is in its place")]
    Taken,
    /// The directory is not empty.
    #[error("something is in the directory")]
    NotEmpty,
    /// It cannot be done.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// That the lease of a share cannot be written is no other refusal than that the share cannot.
macro_rules! from_lease_refusal {
    ($($refusal:ident),*) => {$(
        impl From<LeaseRefusal> for $refusal {
            fn from(refusal: LeaseRefusal) -> Self {
                match refusal {
                    LeaseRefusal::Unwritable(refusal) => Self::Unwritable(refusal),
                    refusal => Self::Lease(refusal),
                }
            }
        }
    )*};
}

from_lease_refusal!(PutRefusal, OpenRefusal, WriteRangeRefusal);
