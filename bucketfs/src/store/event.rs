//! What the machines of the store wait for, and what they ask of each other.
//!
//! A machine never calls another. It leaves an [`Event`] with the [`Context`](super::context), and the
//! store takes it to whom it is for, one after the other: a long line of tasks that each end at
//! once is a loop and no deep stack.

use bytes::Bytes;
use lafs::{LeaseSecrets, StorageIndex};

use super::locks::{Owned, SlotOwned};
use crate::disk::StorePath;
use crate::durable::{BytesDurable, Durable};
use crate::error::DiskError;
use crate::journal::log::Hold;
use crate::kind::ShareKind;
use crate::layout::ShareKey;
use crate::refusal::{LeaseRefusal, Unavailable, Unwritable};
use crate::request::{LeaseOwner, Request, RequestId};

/// The machines, each of which does one kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    Put,
    Upload,
    Ranged,
    Publish,
    Lease,
    Read,
    Remove,
    Advise,
    Slot,
    Spool,
    Follow,
    Count,
    Door,
    Expire,
    Mend,
    Migrate,
}

/// Who waits: an entry in a table of a machine's own. Which of its tables follows from what it
/// waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) machine: Machine,
    pub(super) index: usize,
}

/// What happened, for the machine that it is for.
#[derive(Debug)]
pub(super) enum Event {
    /// The lock of a share is the waiter's.
    Granted(Waiter, Owned),
    /// The lock of a slot is the waiter's.
    SlotGranted(Waiter, SlotOwned),
    /// The waiter's read or change may begin.
    Admitted(Waiter),
    /// The waiter's record is durable.
    Recorded(Waiter, Durable, Hold),
    /// The waiter's record never will be durable.
    Unrecorded(Waiter),

    /// For the machine of leases.
    Renew(Renew),
    /// What came of a [`Renew`], for who asked.
    Renewed(Waiter, Owned, Result<Renewed, NotRenewed>),
    /// For the machine of removals.
    TakeAway(TakeAway),
    /// What came of a [`TakeAway`], for who asked.
    TakenAway(Waiter, Owned, Result<Durable, Unwritable>),
    /// For the machine that publishes.
    Publish(Publish),
    /// What came of a [`Publish`], for who asked.
    Published(Waiter, Owned, Result<Durable, NotPublished>),
    /// For the machine that publishes.
    Fence(Fence),
    /// What came of a [`Fence`], for who asked.
    Fenced(Waiter, Result<(), Unfenced>),
    /// For the machine of puts.
    PutRanged(PutRanged),
    /// What came of a [`PutRanged`], for who asked.
    RangedPut(Waiter, PutOutcome),
    /// For the machine that has the tree follow: a share is pending, of which this is the lock.
    Follow(Owned),
    /// For the machine of puts: there may be room for further shares to be pending.
    Room,
    /// For the machine of slots: the spool of a request is whole and closed, or is not to be had.
    Spooled(Waiter, Result<Spooled, SpoolFailure>),
    /// For the machine of spools.
    UseSpool(UseSpool),
    /// For the machine of spools: no request will be made with this one.
    DropSpool(RequestId),

    /// A request is taken once more, as if it had just come.
    Arrive(RequestId, Request),
    /// The bucket of a request is settled: it is carried out.
    Enter(RequestId, Request),
    /// Nobody can tell where the bucket of a request is.
    TurnAway(RequestId, Request, Unavailable),
    /// For the doors: a bucket was found in the old place.
    Settle(StorageIndex),
    /// For the migration: what came of an [`Event::Settle`].
    Settled(StorageIndex, Settled),
}

/// Where a bucket is that was found in the old place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Settled {
    /// In the new place, since now.
    Moved,
    /// Not in the old place, since before.
    Elsewhere,
    /// In the old place, or nobody knows.
    Stays(DiskError),
}

/// Add or renew one client's lease on a share that is held, under its lock.
#[derive(Debug)]
pub(super) struct Renew {
    pub(super) owned: Owned,
    pub(super) secrets: Box<LeaseSecrets>,
    pub(super) owner: LeaseOwner,
    pub(super) expiration: u32,
    /// Whether a share of a slot is refused.
    pub(super) only_buckets: bool,
    pub(super) then: Waiter,
}

/// The lease is there.
#[derive(Debug)]
pub(super) struct Renewed {
    pub(super) share_size: u64,
    pub(super) durable: Durable,
}

/// Why a lease is not there.
#[derive(Clone, Copy, Debug)]
pub(super) enum NotRenewed {
    /// The share is one of a slot.
    NotABucket,
    Refused(LeaseRefusal),
}

/// Remove a share that is there, of this kind and with a file of this size, under its lock.
#[derive(Debug)]
pub(super) struct TakeAway {
    pub(super) owned: Owned,
    pub(super) kind: ShareKind,
    pub(super) size: u64,
    pub(super) then: Waiter,
}

/// Give a share its name, which was synced itself.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) owned: Owned,
    /// The size of its file.
    pub(super) size: u64,
    /// The share's file in incoming, complete and closed.
    pub(super) source: StorePath,
    /// Its name is to be as durable, and what the journal says of an earlier share of this name is to
    /// be made void.
    pub(super) bytes: BytesDurable,
    pub(super) then: Waiter,
}

/// Why a share does not have its name.
#[derive(Clone, Copy, Debug)]
pub(super) enum NotPublished {
    /// There is such a share already, as the disk said. Its own file is gone.
    AlreadyHeld(DiskError),
    /// Its file is gone.
    Refused(Unwritable),
}

/// Sync the names of these shares of one slot, whose files' bytes and earlier names are durable, and
/// make void what the journal says of them.
#[derive(Debug)]
pub(super) struct Fence {
    pub(super) storage_index: StorageIndex,
    pub(super) keys: Vec<ShareKey>,
    pub(super) bytes: BytesDurable,
    pub(super) then: Waiter,
}

/// Why shares are not fenced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unfenced {
    /// Their names could not be synced.
    Names(DiskError),
    /// The fences could not be recorded.
    Unrecorded,
}

/// Store a share, which a ranged upload brought in one write, as a put.
#[derive(Debug)]
pub(super) struct PutRanged {
    pub(super) key: ShareKey,
    /// The cost of a file of it is promised, and this machine's from now on.
    pub(super) container: Bytes,
    pub(super) then: Waiter,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum PutOutcome {
    Stored(ShareKey, Durable),
    /// There is such a share already; nothing was done about its leases.
    AlreadyHeld(Owned),
    Refused(ShareKey, Unwritable),
}

/// A request is made with a spool, which is to be whole and closed first.
#[derive(Debug)]
pub(super) struct UseSpool {
    pub(super) spool: RequestId,
    pub(super) then: Waiter,
}

/// A spool that is whole, synced and closed.
#[derive(Debug)]
pub(super) struct Spooled {
    pub(super) path: StorePath,
    pub(super) size: u64,
}

/// Why there is no spool.
#[derive(Clone, Copy, Debug)]
pub(super) enum SpoolFailure {
    Unknown,
    Unwritable(Unwritable),
}
