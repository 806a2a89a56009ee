//! What can be asked of a store, and what it is answered with: one type each.
//!
//! [`Ask`] ties a request to its answer, so that whoever asks is given that answer and no other.
//! [`Request`] and [`Answer`] are all of them as one type each, which is what [`crate::Store`] takes and gives.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use lafs::{LeaseSecrets, ShareNumber, StorageIndex, UploadSecret, WriteEnabler};

use crate::container::mutable::Content;
use crate::durable::Durability;
use crate::error::DiskError;
use crate::expiry::ExpiryRule;
use crate::kind::ShareKind;
use crate::layout::{self, Layout, Layouts, ShareKey};
use crate::refusal::{
    AbortRangedRefusal, AbortRefusal, AdviseRefusal, AllocateRefusal, CloseRefusal, CountRefusal,
    ExpireRefusal, LeaseRefusal, MendRefusal, MigrateRefusal, OpenRefusal, OpenSpoolRefusal,
    PutRefusal, ReadRefusal, RemoveRefusal, RenewRefusal, SlotRefusal, Unavailable, Unreadable,
    WriteRangeRefusal, WriteRefusal, WriteSpoolRefusal,
};
use crate::totals::Totals;

/// Names a request from [`crate::Store::handle_request`] to its answer; chosen by the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The time, as the store is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since any fixed moment; never goes back. Timeouts are reckoned by it.
    pub elapsed: Duration,
    /// Seconds since 1970, as the operator's clock has it, which may go back. Leases are dated by it.
    pub unix: u64,
}

/// Something that can be asked of a store, and what it is answered with.
pub trait Ask: Into<Request> {
    /// What was done.
    type Success;
    /// Why it was not.
    type Refusal: From<Unavailable>;

    /// Makes an answer to a request of this kind.
    #[doc(hidden)]
    fn answer(result: Result<Self::Success, Self::Refusal>) -> Answer;

    /// Takes an answer to a request of this kind apart; `None` if it is one to another kind.
    #[doc(hidden)]
    fn result(answer: Answer) -> Option<Result<Self::Success, Self::Refusal>>;
}

/// Makes [`Request`] and [`Answer`] of every request, with what it is answered with.
macro_rules! requests {
    ($($ask:ident: $success:ty, $refusal:ty;)*) => {
        /// Anything that can be asked.
        #[derive(Clone, Debug)]
        pub enum Request {
            $(#[doc = concat!("See [`", stringify!($ask), "`].")] $ask($ask),)*
        }

        /// What a request comes to.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Answer {
            $(#[doc = concat!("To [`", stringify!($ask), "`].")] $ask(Result<$success, $refusal>),)*
        }

        impl Answer {
            /// Why what was asked was not done, if it was not.
            #[must_use]
            pub fn refusal(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    $(Self::$ask(result) => match result {
                        Ok(_) => None,
                        Err(refusal) => Some(refusal),
                    },)*
                }
            }
        }

        impl Request {
            /// The answer that nothing is taken now.
            pub(crate) fn unavailable(&self, why: Unavailable) -> Answer {
                match self {
                    $(Self::$ask(_) => $ask::answer(Err(why.into())),)*
                }
            }
        }

        $(
            impl From<$ask> for Request {
                fn from(ask: $ask) -> Self {
                    Self::$ask(ask)
                }
            }

            impl Ask for $ask {
                type Success = $success;
                type Refusal = $refusal;

                fn answer(result: Result<$success, $refusal>) -> Answer {
                    Answer::$ask(result)
                }

                fn result(answer: Answer) -> Option<Result<$success, $refusal>> {
                    match answer {
                        Answer::$ask(result) => Some(result),
                        _ => None,
                    }
                }
            }
        )*
    };
}

requests! {
    Put: Stored, PutRefusal;
    OpenUpload: Opened, OpenRefusal;
    WriteUpload: (), WriteRefusal;
    CloseUpload: (), CloseRefusal;
    AbortUpload: (), AbortRefusal;
    DetachUpload: (), Unavailable;
    Allocate: Allocated, AllocateRefusal;
    WriteRange: RangeWritten, WriteRangeRefusal;
    AbortRanged: (), AbortRangedRefusal;
    Advise: (), AdviseRefusal;
    Read: SharesRead, ReadRefusal;
    RenewLeases: Leased, RenewRefusal;
    ReadTestWrite: TestedAndWritten, SlotRefusal;
    OpenSpool: (), OpenSpoolRefusal;
    WriteSpool: (), WriteSpoolRefusal;
    DropSpool: (), Unavailable;
    Remove: (), RemoveRefusal;
    Expire: Expired, ExpireRefusal;
    Count: Counted, CountRefusal;
    Mend: Mended, MendRefusal;
    AskStatus: Box<Status>, Unavailable;
    BeginMigration: Layouts, MigrateRefusal;
    MigrateNext: Migrated, MigrateRefusal;
    EndMigration: (), MigrateRefusal;
}

// A share in one request.

/// Store a whole small share (at most [`crate::limits::SMALL_SHARE_SIZE`]), with a lease.
#[derive(Clone, Debug)]
pub struct Put {
    /// The share.
    pub key: ShareKey,
    /// Its bytes.
    pub share: Bytes,
    /// For its first lease.
    pub lease: LeaseSecrets,
}

/// The share is held, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was stored by this request.
    New,
    /// It was held before; this client's lease on it is added or renewed, durably.
    AlreadyHeld,
}

/// Remove a share, whatever its leases. Answered when it is gone, durably.
#[derive(Clone, Debug)]
pub struct Remove {
    /// The share.
    pub key: ShareKey,
}

/// Remove a share whose leases have all ended, as the operator's rule has it.
#[derive(Clone, Copy, Debug)]
pub struct Expire {
    /// The share.
    pub key: ShareKey,
    /// Which shares may go.
    pub rule: ExpiryRule,
    /// Only tell what would become of it.
    pub dry_run: bool,
}

/// What came of an [`Expire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The share is gone, durably.
    Removed(ExpiredShare),
    /// It would be gone, had this not been a dry run.
    WouldRemove(ExpiredShare),
    /// It stays.
    Kept(Kept),
}

/// A share that went, or would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiredShare {
    /// What it was.
    pub kind: ShareKind,
    /// The size of its file: what is free now.
    pub size: u64,
    /// How many leases it had.
    pub leases: usize,
    /// When the last of them ended by its own word, in seconds since 1970.
    pub last_end: u32,
}

/// Why a share stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A lease has not ended.
    Leased,
    /// It never had a lease.
    NoLease,
    /// The rule exempts its kind.
    Exempt,
}

// Repairs.

/// Put something in the tree right, by a path below the store directory. Answered when that is durable.
///
/// Nothing is ever deleted but an empty directory. Asked again, it is answered that nothing is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mend {
    /// Where it is.
    pub path: String,
    /// What is to be done.
    pub how: Mending,
}

/// What can be done about something in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mending {
    /// It is moved into the quarantine, under its path: a share, whatever is in its place; any other
    /// name, unless it is a directory of the store's in its place.
    Quarantine,
    /// A bucket that lies where nobody looks for it is moved to its place, if nothing is there.
    PutInPlace,
    /// A directory with nothing in it is removed.
    RemoveEmpty,
}

/// It is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Where it is now, below the store directory; a directory that was empty is nowhere.
    pub to: Option<String>,
}

// An upload, written front to back.

/// Begin or resume an upload that is written front to back. Its id names the upload from the moment it is asked.
#[derive(Clone, Debug)]
pub struct OpenUpload {
    /// The share.
    pub key: ShareKey,
    /// Who may resume or abort.
    pub secret: UploadSecret,
    /// For its first lease.
    pub lease: LeaseSecrets,
    /// Size of the share, if known already.
    pub size: Option<u64>,
    /// Resume where an upload with the same secret ended, if there is one; else begin anew.
    pub resume: bool,
}

/// What came of an [`OpenUpload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The upload is open.
    At {
        /// Where the next byte goes: 0, or where the upload that is resumed ended.
        offset: u64,
    },
    /// The share was held before; this client's lease on it is added or renewed, durably.
    AlreadyHeld,
}

/// Write the next bytes of an upload. Answered when the buffer is done with.
#[derive(Clone, Debug)]
pub struct WriteUpload {
    /// The id of its [`OpenUpload`].
    pub upload: RequestId,
    /// Where in the share; must be where the last write ended.
    pub offset: u64,
    /// At most [`crate::limits::WRITE_LEN`] bytes.
    pub bytes: Bytes,
}

/// Finish an upload. Answered when the share is held, durably.
#[derive(Clone, Debug)]
pub struct CloseUpload {
    /// The id of its [`OpenUpload`].
    pub upload: RequestId,
    /// Size of the share.
    pub size: u64,
}

/// Give an upload up. Answered when what was written is removed.
#[derive(Clone, Debug)]
pub struct AbortUpload {
    /// The id of its [`OpenUpload`].
    pub upload: RequestId,
}

/// The uploader is gone; the upload stays, to be resumed.
#[derive(Clone, Debug)]
pub struct DetachUpload {
    /// The id of its [`OpenUpload`].
    pub upload: RequestId,
}

// Ranged uploads.

/// Begin ranged uploads of as many of these shares as there is room for, and add or renew this
/// client's lease on every share held.
///
/// Nothing is written before the first range. A share in progress, whoever uploads it, is left to
/// its uploader; neither that nor a lack of space refuses the request.
#[derive(Clone, Debug)]
pub struct Allocate {
    /// The bucket.
    pub storage_index: StorageIndex,
    /// The shares.
    pub share_numbers: Vec<ShareNumber>,
    /// Size of each.
    pub size: u64,
    /// Who may write or abort them.
    pub secret: UploadSecret,
    /// For the leases.
    pub lease: LeaseSecrets,
}

/// What there was room for. Every share held has this client's lease, durably, unless the store
/// is read-only after a failure or the lease cannot be written: that fails no upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Every share held in the bucket that can be read, in ascending order.
    pub held: Vec<ShareNumber>,
    /// The shares that may be written now, in ascending order.
    pub allocated: Vec<ShareNumber>,
}

/// Write a range of an allocated share.
///
/// Ranges come in any order and over any connection, and may overlap where they say the same. The
/// share is finished when nothing is missing any more.
#[derive(Clone, Debug)]
pub struct WriteRange {
    /// The share.
    pub key: ShareKey,
    /// That of its allocation.
    pub secret: UploadSecret,
    /// Where in the share.
    pub offset: u64,
    /// At most [`crate::limits::WRITE_LEN`] bytes; none only asks what is missing.
    pub bytes: Bytes,
}

/// What came of a [`WriteRange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeWritten {
    /// The bytes are taken.
    Missing(
        /// What is still to be written: begin and end, in ascending order, never none.
        Vec<(u64, u64)>,
    ),
    /// Nothing is missing any more: the share is held, durably.
    Complete,
}

/// Give a ranged upload up. Answered when what was written is removed.
#[derive(Clone, Debug)]
pub struct AbortRanged {
    /// The share.
    pub key: ShareKey,
    /// That of its allocation.
    pub secret: UploadSecret,
}

// Reports.

/// Take a report that a share is corrupt, for the operator.
#[derive(Clone, Debug)]
pub struct Advise {
    /// The share.
    pub key: ShareKey,
    /// What the reporter takes it for.
    pub kind: ShareKind,
    /// In the reporter's words; at most [`crate::limits::REASON_LEN`] bytes.
    pub reason: String,
}

// Reads.

/// Read parts of shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The bucket or slot.
    pub storage_index: StorageIndex,
    /// Which of its shares.
    pub wanted: Wanted,
    /// Which extents of each, clipped to its end; none asks only what is held.
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
    /// a large share can be read piece by piece at the cost of its own pieces.
    One(ShareNumber),
}

/// A range of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts.
    pub offset: u64,
    /// Its most bytes.
    pub size: u64,
}

/// What a [`Read`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharesRead {
    /// Every share held that can be read; at most the one asked for by [`Wanted::One`].
    pub held: Vec<Held>,
    /// Shares that are there but cannot be read.
    pub unreadable: Vec<(ShareNumber, Unreadable)>,
    /// What was read, share by share in ascending order, at most [`crate::limits::READ_LEN`] bytes.
    pub pieces: Vec<Piece>,
    /// What did not fit into this answer, to be asked for share by share.
    pub rest: Vec<Rest>,
    /// Which state of a slot all of it is of. Whoever reads a slot in several pieces breaks off
    /// when the number has changed: the pieces would be of different states. Of one run of the
    /// store; it may change now and then without a reason, and means nothing for a bucket.
    pub version: u64,
}

/// A share that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub share_number: ShareNumber,
    /// Its size.
    pub size: u64,
    /// What it is.
    pub kind: ShareKind,
}

/// What was read of one extent of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The share.
    pub share_number: ShareNumber,
    /// Where in it.
    pub offset: u64,
    /// The bytes: what was asked for, up to the end of the share.
    pub bytes: Bytes,
}

/// What of one share is still to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The share.
    pub share_number: ShareNumber,
    /// The extents, none of them empty or beyond the end.
    pub extents: Vec<Extent>,
}

// Leases.

/// Add or renew this client's lease on every share held.
#[derive(Clone, Debug)]
pub struct RenewLeases {
    /// The bucket or slot.
    pub storage_index: StorageIndex,
    /// Whose.
    pub lease: LeaseSecrets,
    /// Recorded in leases that are added.
    pub owner: LeaseOwner,
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
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Upload => 0,
            Self::Renewal => 1,
        }
    }
}

/// What came of [`RenewLeases`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Every share held, and its size; each now has the lease, durably.
    pub held: Vec<(ShareNumber, u64)>,
    /// Shares whose lease could not be written.
    pub failed: Vec<(ShareNumber, LeaseRefusal)>,
}

// Slots.

/// Test, read and change the shares of one slot, as one.
///
/// The write enabler is compared with that of every share of the slot before anything else, and a
/// slot without shares takes any. Then all tests are made and all reads, on the slot as it is; if
/// every test passes, all changes. A crash leaves the whole slot as it was or as it is to be.
#[derive(Clone, Debug)]
pub struct ReadTestWrite {
    /// The slot.
    pub storage_index: StorageIndex,
    /// Lets the client change its shares.
    pub write_enabler: WriteEnabler,
    /// For a lease on every share that is named and still there afterwards.
    pub lease: LeaseSecrets,
    /// What is to become of which share.
    pub shares: BTreeMap<ShareNumber, ShareChange>,
    /// Which extents of every share of the slot to read, named or not.
    pub read: Vec<Extent>,
    /// The spool that [`Content::Spooled`] is of. It is used up, whatever comes of the request.
    pub spool: Option<RequestId>,
}

/// What is to become of a share.
#[derive(Clone, Debug, Default)]
pub struct ShareChange {
    /// All must pass, those of the other shares included, or nothing is changed.
    pub tests: Vec<Test>,
    /// Made one after the other. The share is made if it is not there, even without any.
    pub writes: Vec<SlotWrite>,
    /// A size to cut the share to, if it is longer after the writes; 0 removes the share.
    pub new_length: Option<u64>,
}

/// Passes if these bytes, and no more, are in a range of a share clipped to its end.
#[derive(Clone, Debug)]
pub struct Test {
    /// Where the range starts.
    pub offset: u64,
    /// How long it is, unless the share ends before. A share that is not there is empty.
    pub size: u64,
    /// What must be there.
    pub specimen: Bytes,
}

/// Bytes to write into a share. A gap between its end and them becomes zeros.
#[derive(Clone, Debug)]
pub struct SlotWrite {
    /// Where in the share.
    pub offset: u64,
    /// What.
    pub content: Content,
}

/// What came of a [`ReadTestWrite`]; its changes are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestedAndWritten {
    /// Whether every test passed. If not, nothing was changed.
    pub success: bool,
    /// Of every share that was there, the extents asked for, clipped to its end; at most
    /// [`crate::limits::READ_LEN`] bytes in all.
    pub read: Vec<(ShareNumber, Vec<Bytes>)>,
}

/// Begin a spool: a file for what one [`ReadTestWrite`] writes, if that is more than it may bring
/// itself. Its id names the spool from the moment it is asked.
#[derive(Clone, Debug)]
pub struct OpenSpool;

/// Write the next bytes of a spool.
#[derive(Clone, Debug)]
pub struct WriteSpool {
    /// The id of its [`OpenSpool`].
    pub spool: RequestId,
    /// At most [`crate::limits::WRITE_LEN`] bytes.
    pub bytes: Bytes,
}

/// Give a spool up that no request was made with.
#[derive(Clone, Debug)]
pub struct DropSpool {
    /// The id of its [`OpenSpool`].
    pub spool: RequestId,
}

// The store itself.

/// Count what the store holds: whoever walks the tree tells of it, part by part.
///
/// [`crate::Counter`] knows what to ask when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Begin at the start of the tree. A count that is under way is given up.
    Begin,
    /// A part of the tree was looked at since the last answer.
    Part {
        /// Where the last part that was taken ended; `None` at the start.
        after: Option<StorageIndex>,
        /// The last bucket or slot of the part; `None` for the end of the tree.
        upto: Option<StorageIndex>,
        /// All that was found in it.
        found: Totals,
    },
}

/// What came of a [`Count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The part is taken: go on behind it.
    GoOn,
    /// Somebody was at work on it: look at it again, or at less of it.
    Again,
    /// The tree is counted, and the journal has it.
    Whole {
        /// What the store thought to hold; `None` if nobody had ever counted.
        before: Option<Totals>,
        /// What it holds.
        now: Totals,
    },
}

/// Ask how the store is.
#[derive(Clone, Debug)]
pub struct AskStatus;

// Migration.

/// Begin to move the buckets to another layout, while everything else goes on. Answered when the
/// version file says so, durably, with what it says.
///
/// A store that has the layout, or is being moved to it, stays as it is. One that is being moved from
/// it is turned round. [`crate::migrate()`] does all of a migration.
#[derive(Clone, Debug)]
pub struct BeginMigration {
    /// The layout that the store is to have.
    pub to: Layout,
}

/// Move some of the buckets that are still in the old places. Answered when they are moved, which is
/// not durable: a power cut may find them in either place.
#[derive(Clone, Debug)]
pub struct MigrateNext {
    /// How many at most; at least one, and not more than [`crate::limits::MIGRATED`].
    pub buckets: usize,
}

/// What came of [`MigrateNext`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// How many buckets were moved.
    pub moved: u64,
    /// Buckets that are in the old place for now, and are served there.
    pub stayed: Vec<(StorageIndex, DiskError)>,
    /// Whether the walk through the old places is over; the next request begins another.
    pub walk_end: Option<WalkEnd>,
}

/// How a walk through the old places has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkEnd {
    /// It has found something. Another one has to be made.
    Again,
    /// It has found nothing: the migration may be ended.
    NothingLeft,
}

/// End the migration: every move is made durable, and then the version file says that there are no
/// more. Refused unless the last walk through the old places has found nothing.
#[derive(Clone, Debug)]
pub struct EndMigration;

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The engine's name.
    pub engine: &'static str,
    /// Whether the journal and large shares are written past the page cache.
    pub writes_directly: bool,
    /// Where its shares lie, or are being moved to.
    pub layout: Layout,
    /// The layout that they are being moved from, if they are.
    pub migrating_from: Option<Layout>,
    /// Buckets that were asked for and could not be moved; they are served where they are.
    pub unmoved: usize,
    /// When acknowledgements are sent.
    pub durability: Durability,
    /// Whether the operator takes no new shares.
    pub read_only: bool,
    /// Whether a disk failure has made the store stop writing.
    pub failed: bool,
    /// Free bytes on the file system, less reserved and promised space: what uploads may still use.
    pub available: u64,
    /// Bytes kept free.
    pub reserved: u64,
    /// Most bytes that the files of all shares may have.
    pub size_max: Option<u64>,
    /// What the store holds, by kind; `None` if nobody has ever counted.
    pub held: Option<Totals>,
    /// Bytes promised to uploads in progress and not yet written.
    pub promised: u64,
    /// Small shares that the journal has and the tree has not yet: served from memory.
    pub pending: usize,
    /// Those of them that the disk did not take when it was last asked to.
    pub unplaced: usize,
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

impl Request {
    /// How many bytes of shares the request brings.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Put(put) => put.share.len(),
            Self::WriteUpload(write) => write.bytes.len(),
            Self::WriteRange(write) => write.bytes.len(),
            Self::WriteSpool(write) => write.bytes.len(),
            Self::Advise(advise) => advise.reason.len(),
            Self::ReadTestWrite(ask) => ask.len(),
            _ => 0,
        }
    }

    /// The bucket or slot that the request is about, if it names one.
    pub(crate) fn storage_index(&self) -> Option<StorageIndex> {
        match self {
            Self::Put(Put { key, .. })
            | Self::OpenUpload(OpenUpload { key, .. })
            | Self::WriteRange(WriteRange { key, .. })
            | Self::AbortRanged(AbortRanged { key, .. })
            | Self::Advise(Advise { key, .. })
            | Self::Expire(Expire { key, .. })
            | Self::Remove(Remove { key }) => Some(key.storage_index),
            Self::Allocate(Allocate { storage_index, .. })
            | Self::Read(Read { storage_index, .. })
            | Self::RenewLeases(RenewLeases { storage_index, .. })
            | Self::ReadTestWrite(ReadTestWrite { storage_index, .. }) => Some(*storage_index),
            Self::Mend(Mend { path, .. }) => layout::bucket_in(path),
            Self::WriteUpload(_)
            | Self::Count(_)
            | Self::CloseUpload(_)
            | Self::AbortUpload(_)
            | Self::DetachUpload(_)
            | Self::OpenSpool(_)
            | Self::WriteSpool(_)
            | Self::DropSpool(_)
            | Self::AskStatus(_)
            | Self::BeginMigration(_)
            | Self::MigrateNext(_)
            | Self::EndMigration(_) => None,
        }
    }

    /// The upload that the request is about, if it names one by its id.
    pub(crate) fn upload(&self) -> Option<RequestId> {
        match self {
            Self::WriteUpload(write) => Some(write.upload),
            Self::CloseUpload(close) => Some(close.upload),
            Self::AbortUpload(abort) => Some(abort.upload),
            Self::DetachUpload(detach) => Some(detach.upload),
            _ => None,
        }
    }

    /// Whether the request only ends something, and is taken however much there is to do.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(
            self,
            Self::CloseUpload(_)
                | Self::AbortUpload(_)
                | Self::AbortRanged(_)
                | Self::DetachUpload(_)
                | Self::DropSpool(_)
                | Self::AskStatus(_)
        )
    }
}

impl ReadTestWrite {
    /// How many bytes of shares the request brings in memory.
    pub(crate) fn len(&self) -> usize {
        let shares = self.shares.values();
        shares
            .map(|change| change.tested_len() + change.written_len())
            .sum()
    }
}

impl ShareChange {
    /// Whether the share is to be gone afterwards.
    pub(crate) fn removes(&self) -> bool {
        self.new_length == Some(0)
    }

    /// How many bytes it brings to be written, in memory.
    pub(crate) fn written_len(&self) -> usize {
        let in_memory = |write: &SlotWrite| match &write.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Spooled { .. } => 0,
        };
        self.writes.iter().map(in_memory).sum()
    }

    /// How many bytes it brings to be compared.
    pub(crate) fn tested_len(&self) -> usize {
        self.tests.iter().map(|test| test.specimen.len()).sum()
    }
}
