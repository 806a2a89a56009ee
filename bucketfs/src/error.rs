//! What can go wrong in a store, by what the caller can do about it.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::disk::StorePath;

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
    /// A sync of the journal failed, or what it says could not be done; the store only reads.
    #[error("the store has failed and only reads until it is opened again")]
    Failed,
    /// More bytes than the store takes in one request or share.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// More extents than the store reads for one request.
    #[error("more than {limit} extents in one request")]
    TooManyExtents {
        /// The limit.
        limit: usize,
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
    /// A part that overlaps others and does not say the same. Nothing of it was written.
    #[error("other bytes were written there before")]
    Conflict,
    /// A part that reaches beyond the size that was allocated.
    #[error("beyond the {size} bytes that were allocated")]
    BeyondEnd {
        /// As allocated.
        size: u64,
    },
    /// A part that would leave more separate ranges written than the store keeps account of.
    #[error("more than {limit} separate ranges of a share in progress")]
    TooManyRanges {
        /// The limit.
        limit: usize,
    },
    /// The upload is there, and somebody else's.
    #[error("not the upload secret")]
    WrongSecret,
    /// The share to be given up is finished.
    #[error("the share is held already")]
    AlreadyHeld,
    /// A share without any bytes, of which no part can ever come.
    #[error("a share must have at least one byte")]
    EmptyShare,
    /// No such share is held.
    #[error("no such share")]
    NoShare,
    /// The write enabler is not that of every share of the slot.
    #[error("the write enabler is not that of the slot")]
    WrongWriteEnabler,
    /// There is an immutable share where a slot was asked for.
    #[error("the storage index is of immutable shares")]
    NotASlot,
    /// There are shares of a slot where immutable ones were asked for.
    #[error("the storage index is of a slot")]
    NotABucket,
    /// The share has as many leases as the store gives one.
    #[error("the share has too many leases")]
    TooManyLeases,
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
    /// A change of the container was half written; opening the store again completes it.
    #[error("a change of the container is half done; open the store again")]
    HalfChanged,
    /// A container of a version or kind this store does not know, or no container.
    #[error("not a share container")]
    UnknownContainer,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
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
    /// The store is of a format that came after this program.
    #[error(
        "the store has format version {found}, this program knows up to {known}; use a newer one"
    )]
    NewerVersion {
        /// In the version file.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// The version file is not one.
    #[error(
        "the store's file `version` is not of this program; restore it from another store of the same format"
    )]
    MalformedVersion,
    /// There is no store, or only part of one. One is made by [`crate::create()`] alone.
    #[error("there is no store, or only part of one: `{name}` is missing")]
    Missing {
        /// What is missing.
        name: &'static str,
    },
    /// The identifier file is not one.
    #[error("{} does not hold a store's identifier; restore it from a backup", path.display())]
    MalformedIdentifier {
        /// The file.
        path: PathBuf,
    },
    /// The directory has shares or a journal, and no version file.
    #[error(
        "the directory has `{found}` and no file `version`: not a store of this program; adopt it if it is one of Tahoe-LAFS"
    )]
    NotAStore {
        /// The name that speaks against it.
        found: &'static str,
    },
    /// A store with shares has lost a journal file, and with it perhaps acknowledged shares.
    #[error("the store's `{path}` is missing; restore it if you can")]
    JournalMissing {
        /// The file.
        path: StorePath,
    },
    /// A journal file is damaged in a place that no crash touches.
    #[error("the store's `{path}` is damaged at byte {offset}: {damage}")]
    JournalDamaged {
        /// The file.
        path: StorePath,
        /// Where.
        offset: u64,
        /// How.
        damage: JournalDamage,
    },
    /// The journal cannot be made that small, or that large.
    #[error("a journal of {size} bytes cannot be; choose {min} to {max}")]
    JournalSize {
        /// As configured.
        size: u64,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// The disk failed. What the journal holds is still there: opening may be tried again.
    #[error("cannot use the store's `{path}`: {error}")]
    Disk {
        /// What was worked on.
        path: StorePath,
        /// What happened.
        error: DiskError,
    },
}

/// What is wrong with a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalDamage {
    /// The file does not begin with a journal header.
    #[error("no journal header")]
    Header,
    /// The header is of a version that came later.
    #[error("a journal of version {0}")]
    NewerVersion(u32),
    /// The file is not of the size its header has.
    #[error("the file has another size than its header says")]
    Size,
    /// A batch does not match its checksum, though a later one is there.
    #[error("a batch is damaged")]
    Batch,
    /// A batch matches its checksum and its records make no sense.
    #[error("a record is malformed")]
    Record,
}
