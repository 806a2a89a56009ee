//! What a store can be asked, and what it answers.
//!
//! Every request gets exactly one answer, in any order, under the id it came with. All of them but
//! [`Request::ReadTestWrite`], whose tests are there for that, are idempotent: after a lost answer
//! the same request may be sent again.

use std::time::Duration;

use bytes::Bytes;
use lafs::{LeaseSecrets, ShareNumber, StorageIndex, UploadSecret};

use super::slot::ReadTestWrite;
use crate::error::Refusal;
use crate::layout::Layout;

/// Names a request, chosen by the caller; no two that await an answer share one.
///
/// The id of an [`Request::OpenUpload`] names the upload in the requests that follow it, from the
/// moment it is asked: writes need not wait for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The time, as the caller's two clocks have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since any fixed moment; never goes back. Timeouts are reckoned by it.
    pub elapsed: Duration,
    /// Seconds since 1970, as the operator's clock has it, which may go back. Leases are dated by it.
    pub unix: u64,
}

/// What can be asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// Store a whole small share (at most [`Limits::SMALL_SHARE_SIZE`]), with a lease.
    ///
    /// Answered by [`Answer::Stored`] or [`Answer::AlreadyHeld`].
    Put {
        /// The bucket.
        storage_index: StorageIndex,
        /// The share.
        share: ShareNumber,
        /// Its bytes.
        bytes: Bytes,
        /// For its first lease.
        lease: LeaseSecrets,
    },
    /// Begin or resume an upload. Answered by [`Answer::Opened`] or [`Answer::AlreadyHeld`].
    OpenUpload {
        /// The bucket.
        storage_index: StorageIndex,
        /// The share.
        share: ShareNumber,
        /// Who may resume or abort.
        secret: UploadSecret,
        /// For its first lease.
        lease: LeaseSecrets,
        /// Size of the share, if known already.
        size: Option<u64>,
        /// Go on where an upload with the same secret ended, if there is one; else begin anew.
        resume: bool,
    },
    /// Write the next bytes of an upload. Answered by [`Answer::Written`] when the buffer is done with.
    Write {
        /// The id of its `OpenUpload`.
        upload: RequestId,
        /// Where in the share; must be where the last write ended.
        offset: u64,
        /// At most [`Limits::WRITE_LEN`] bytes.
        bytes: Bytes,
    },
    /// Finish an upload. Answered by [`Answer::Stored`].
    Close {
        /// The id of its `OpenUpload`.
        upload: RequestId,
        /// Size of the share.
        size: u64,
    },
    /// Give an upload up and remove what was written. Answered by [`Answer::Aborted`].
    Abort {
        /// The id of its `OpenUpload`.
        upload: RequestId,
    },
    /// The uploader is gone; the upload stays, to be resumed. Answered by [`Answer::Detached`].
    Detach {
        /// The id of its `OpenUpload`.
        upload: RequestId,
    },
    /// Begin uploads of parts, of as many of these shares as there is room for, and add or renew this
    /// client's lease on every share held. Answered by [`Answer::Allocated`].
    ///
    /// Nothing is written before the first part. A share in progress, whoever uploads it, is left to
    /// its uploader; neither that nor a lack of space refuses the request.
    Allocate {
        /// The bucket.
        storage_index: StorageIndex,
        /// The shares.
        shares: Vec<ShareNumber>,
        /// Size of each.
        size: u64,
        /// Who may write or abort them.
        secret: UploadSecret,
        /// For the leases.
        lease: LeaseSecrets,
    },
    /// Write a part of an allocated share. Answered by [`Answer::PartWritten`].
    ///
    /// Parts come in any order and over any connection, and may overlap where they say the same. The
    /// share is finished when nothing is missing any more.
    WritePart {
        /// The bucket.
        storage_index: StorageIndex,
        /// The share.
        share: ShareNumber,
        /// That of its allocation.
        secret: UploadSecret,
        /// Where in the share.
        offset: u64,
        /// At most [`Limits::WRITE_LEN`] bytes; none only asks what is missing.
        bytes: Bytes,
    },
    /// Give an upload of parts up and remove what was written. Answered by [`Answer::Aborted`].
    AbortParts {
        /// The bucket.
        storage_index: StorageIndex,
        /// The share.
        share: ShareNumber,
        /// That of its allocation.
        secret: UploadSecret,
    },
    /// Take a report that a share is corrupt, for the operator. Answered by [`Answer::Advised`].
    Advise {
        /// The bucket or slot.
        storage_index: StorageIndex,
        /// The share.
        share: ShareNumber,
        /// What the reporter takes it for.
        kind: AdvisedKind,
        /// In the reporter's words; at most [`Limits::REASON_LEN`] bytes.
        reason: String,
    },
    /// Read parts of shares. Answered by [`Answer::Read`].
    Read(ReadRequest),
    /// Add or renew this client's lease on every share held. Answered by [`Answer::Leased`].
    Lease {
        /// The bucket.
        storage_index: StorageIndex,
        /// Whose.
        lease: LeaseSecrets,
        /// Recorded in leases that are added.
        owner: LeaseOwner,
    },
    /// Test, read and change the shares of a slot. Answered by [`Answer::TestedAndWritten`].
    ReadTestWrite(Box<ReadTestWrite>),
    /// Begin a spool: a file for what one [`ReadTestWrite`] writes, if that is more than it may
    /// bring itself. Answered by [`Answer::Spooling`]; its id names the spool from the moment it is
    /// asked.
    OpenSpool,
    /// Write the next bytes of a spool. Answered by [`Answer::Written`].
    Spool {
        /// The id of its `OpenSpool`.
        spool: RequestId,
        /// At most [`Limits::WRITE_LEN`] bytes.
        bytes: Bytes,
    },
    /// Give a spool up that no request was made with. Answered by [`Answer::Detached`].
    DropSpool {
        /// The id of its `OpenSpool`.
        spool: RequestId,
    },
    /// Remove a share, whatever its leases. Answered by [`Answer::Removed`].
    Remove {
        /// The bucket.
        storage_index: StorageIndex,
        /// The share.
        share: ShareNumber,
    },
    /// Ask how the store is. Answered by [`Answer::Status`].
    Status,
}

/// What somebody who reports a share as corrupt takes it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvisedKind {
    /// Of a bucket.
    Immutable,
    /// Of a slot.
    Mutable,
}

/// A request for parts of shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// The bucket.
    pub storage_index: StorageIndex,
    /// Which of its shares.
    pub wanted: Wanted,
    /// Which parts of each, clipped to its end; none asks only what is held.
    pub extents: Vec<Extent>,
}

/// Which shares to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Any that are held, lowest numbers first, at most this many.
    Any(usize),
    /// These, as far as they are held.
    These(Vec<ShareNumber>),
    /// This one, if it is held. What else is held is not looked at, nor named in the answer, so that
    /// a large share can be read part by part at the cost of its own parts.
    One(ShareNumber),
}

/// A part of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts.
    pub offset: u64,
    /// Its most bytes.
    pub size: u64,
}

/// Who a lease says it is of; Tahoe's owner numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseOwner {
    /// Came with an upload: owner number 0.
    Upload,
    /// Was asked for by itself: owner number 1.
    Renewal,
}

impl LeaseOwner {
    /// The owner number in the lease record.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Upload => 0,
            Self::Renewal => 1,
        }
    }
}

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The share is held, durably.
    Stored,
    /// The share was held before; this client's lease on it is added or renewed, durably.
    AlreadyHeld,
    /// The upload is open; the next byte is at this offset.
    Opened {
        /// 0, or where the upload resumed goes on.
        offset: u64,
    },
    /// The bytes are taken.
    Written,
    /// The upload is gone.
    Aborted,
    /// The upload waits to be resumed.
    Detached,
    /// What there was room for. Every share held has this client's lease, durably, unless the store
    /// writes no more or the lease cannot be written: that fails no upload.
    Allocated {
        /// Every share held in the bucket that can be read, in ascending order.
        held: Vec<ShareNumber>,
        /// The shares that may be written now, in ascending order.
        allocated: Vec<ShareNumber>,
    },
    /// The bytes are taken.
    PartWritten {
        /// What is still to be written: begin and end, in ascending order. If nothing is, the share
        /// is held, durably.
        missing: Vec<(u64, u64)>,
    },
    /// The report is taken.
    Advised,
    /// Parts of shares.
    Read {
        /// Every share held that can be read; at most the one asked for by [`Wanted::One`].
        held: Vec<Held>,
        /// Shares that are there but cannot be read.
        unreadable: Vec<(ShareNumber, Refusal)>,
        /// The parts read, share by share in ascending order, at most [`Limits::READ_LEN`] bytes.
        pieces: Vec<Piece>,
        /// What did not fit into this answer, to be asked for share by share.
        rest: Vec<Rest>,
        /// Which state of a slot all of it is of. Whoever reads a slot in several parts breaks off
        /// when the number has changed: the parts would be of different states. Of one run of the
        /// store; it may change now and then without a reason, and means nothing for a bucket.
        version: u64,
    },
    /// What came of a [`ReadTestWrite`]; its changes are durable.
    TestedAndWritten {
        /// Whether every test passed. If not, nothing was changed.
        success: bool,
        /// Of every share that was there, the parts asked for, clipped to its end; at most
        /// [`Limits::READ_LEN`] bytes in all.
        read: Vec<(ShareNumber, Vec<Bytes>)>,
    },
    /// The spool takes bytes.
    Spooling,
    /// Every share held, and its size; each now has the lease, durably.
    Leased {
        /// The shares.
        held: Vec<(ShareNumber, u64)>,
        /// Shares whose lease could not be written.
        failed: Vec<(ShareNumber, Refusal)>,
    },
    /// The share is gone, durably.
    Removed,
    /// How the store is.
    Status(Box<Status>),
    /// Nothing was done.
    Refused(Refusal),
}

/// A share that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub share: ShareNumber,
    /// Its size.
    pub size: u64,
    /// What it is.
    pub kind: ShareKind,
}

/// What a share is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareKind {
    /// A share of a bucket: it never changes.
    Immutable,
    /// A share of a slot.
    Mutable,
}

/// A part of a share, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The share.
    pub share: ShareNumber,
    /// Where in it.
    pub offset: u64,
    /// The bytes: what was asked for, up to the end of the share.
    pub bytes: Bytes,
}

/// What of one share is still to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The share.
    pub share: ShareNumber,
    /// The parts, none of them empty or beyond the end.
    pub extents: Vec<Extent>,
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The engine's name.
    pub engine: &'static str,
    /// Where its shares lie.
    pub layout: Layout,
    /// When acknowledgements are sent.
    pub durability: Durability,
    /// Whether the operator takes no new shares.
    pub read_only: bool,
    /// Whether a failed sync has made the store stop writing.
    pub failed: bool,
    /// Free bytes on the file system, less reserved and promised space: what uploads may still use.
    pub available: u64,
    /// Bytes kept free.
    pub reserved: u64,
    /// Bytes promised to uploads in progress and not yet written.
    pub promised: u64,
    /// Uploads in progress, shares that are only allocated included.
    pub uploads: usize,
    /// Journal batches made durable since the store was opened: one sync each.
    pub journal_batches: u64,
    /// Records in them.
    pub journal_records: u64,
    /// Journal files retired.
    pub checkpoints: u64,
    /// Records replayed when the store was opened.
    pub replayed: u64,
}

/// When an acknowledgement is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When what it acknowledges would survive a power cut.
    #[default]
    Full,
    /// When the kernel has it: a crash of the process loses nothing, a power cut may lose what was
    /// acknowledged shortly before, and leave it torn.
    Relaxed,
}

/// The bounds on requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits;

impl Limits {
    /// Largest share that [`Request::Put`] takes. Small shares go through the journal, which
    /// writes them twice; from about here on syncing the file itself costs less.
    pub const SMALL_SHARE_SIZE: u64 = 65_536;
    /// Largest share of all: 12 bytes of header and the leases still fit below `i64::MAX`.
    pub const SHARE_SIZE: u64 = 1 << 62;
    /// Most bytes of one [`Request::Write`].
    pub const WRITE_LEN: usize = 1 << 20;
    /// Most bytes in one [`Answer::Read`] or [`Answer::TestedAndWritten`].
    pub const READ_LEN: usize = 1 << 18;
    /// Most extents in one [`ReadRequest`] or [`ReadTestWrite`], and most tests of one share.
    /// (Tahoe's protocol has at most 30.)
    pub const EXTENTS: usize = 64;
    /// Most bytes that a [`ReadTestWrite`] brings to be written, and likewise to be compared; more
    /// to be written goes into a spool. As much as a small share: it goes through the journal.
    pub const SLOT_LEN: usize = 65_536;
    /// Most writes of a [`ReadTestWrite`]: less than a megabyte of them, and enough for each
    /// segment of a file of 2 GiB.
    pub const SLOT_WRITES: usize = 16_384;
    /// Most spools at a time: each keeps a file open.
    pub const SPOOLS: usize = 32;
    /// Most containers of slots that are written anew at a time; others wait.
    pub const REWRITES: usize = 8;
    /// Most uploads in progress that are written front to back: each keeps a file open.
    pub const UPLOADS: usize = 256;
    /// Most uploads of parts in progress: what is known of each is kept in memory, some 400 bytes.
    pub const ALLOCATIONS: usize = 16_384;
    /// Most separate ranges of a share in progress, each 16 bytes in memory. Tahoe's client writes
    /// front to back and leaves one; whoever writes every other byte gets no further than this.
    pub const RANGES: usize = 64;
    /// Most bytes of the reason in a [`Request::Advise`]: what fits into Tahoe's own limit.
    pub const REASON_LEN: usize = 32_765;
    /// Most reports of corrupt shares that are kept; further ones are only logged.
    pub const ADVISORIES: usize = 1024;
    /// Most requests that await an answer.
    pub const REQUESTS: usize = 1024;
    /// Most bytes of shares in requests that await an answer; one more request is taken below it.
    pub const REQUEST_BYTES: usize = 4 << 20;
    /// How long an upload that nobody writes to is kept.
    pub const UPLOAD_IDLE: Duration = Duration::from_secs(30 * 60);
}
