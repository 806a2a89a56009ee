//! Shares that the journal has and the tree has not: until it has, they are served from here.
//!
//! Such a share is held, whatever the tree shows: it may have no name yet, or one that leads to half
//! of its bytes. Whoever looks asks here first. Whoever writes has its lock, which the
//! [follower](super::follow) keeps while it places the share; only where the disk has refused it,
//! and until it is tried again, is the lock free, and then writers are refused for that reason.

use std::collections::BTreeMap;

use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex};

use crate::error::DiskError;
use crate::journal::log::Hold;
use crate::layout::ShareKey;
use crate::limits;

/// All such shares, and the room for those to come.
#[derive(Debug, Default)]
pub(super) struct PendingShares {
    shares: BTreeMap<ShareKey, Pending>,
    /// What they take of the memory that there is for them, those included that are about to come.
    len: usize,
    /// How many are being placed, or about to be.
    moving: usize,
    /// How many the disk has refused.
    stuck: usize,
}

#[derive(Debug)]
struct Pending {
    container: Bytes,
    hold: Hold,
    /// Why it was not placed, when that was last tried.
    refused: Option<DiskError>,
}

/// What a share takes of the memory that there is for them.
fn cost(container: &Bytes) -> usize {
    container.len() + OVERHEAD
}

impl PendingShares {
    /// Takes room for a share that is about to be recorded, if there is some.
    #[must_use]
    pub(super) fn reserve(&mut self, container: &Bytes) -> bool {
        let fits = self.len + cost(container) <= limits::PENDING_LEN;
        if fits {
            self.len += cost(container);
        }
        fits
    }

    /// Gives the room back of a share that was not recorded.
    pub(super) fn cancel(&mut self, container: &Bytes) {
        self.len -= cost(container);
    }

    /// Takes a share, for which room was reserved, now that its record is durable.
    pub(super) fn insert(&mut self, key: ShareKey, container: Bytes, hold: Hold) {
        let pending = Pending {
            container,
            hold,
            refused: None,
        };
        let before = self.shares.insert(key, pending);
        assert!(before.is_none(), "a share that is pending is held");
        self.moving += 1;
    }

    /// The container of a share, if the tree does not have it yet.
    pub(super) fn get(&self, key: ShareKey) -> Option<&Bytes> {
        self.shares.get(&key).map(|pending| &pending.container)
    }

    /// Which shares of a bucket the tree does not have yet, in ascending order.
    pub(super) fn numbers(&self, storage_index: StorageIndex) -> Vec<ShareNumber> {
        let shares = self.of(storage_index);
        shares.map(|(key, _)| key.share_number).collect()
    }

    fn of(&self, storage_index: StorageIndex) -> impl Iterator<Item = (&ShareKey, &Pending)> {
        let key = |share_number| ShareKey {
            storage_index,
            share_number: ShareNumber::new(share_number),
        };
        self.shares.range(key(u8::MIN)..=key(u8::MAX))
    }

    /// The tree has the share. Returns its container, and the hold to be given back.
    pub(super) fn placed(&mut self, key: ShareKey) -> (Bytes, Hold) {
        let pending = self.shares.remove(&key).expect("it was pending");
        self.stuck -= usize::from(pending.refused.is_some());
        self.moving -= 1;
        self.len -= cost(&pending.container);
        if self.shares.is_empty() {
            // A burst is over; idle, the store takes little memory.
            self.shares = BTreeMap::new();
        }
        (pending.container, pending.hold)
    }

    /// The disk has refused the share.
    pub(super) fn refused(&mut self, key: ShareKey, error: DiskError) {
        let pending = self.shares.get_mut(&key).expect("it was pending");
        let before = pending.refused.replace(error);
        self.stuck += usize::from(before.is_none());
        self.moving -= 1;
    }

    /// The share is about to be placed once more, if the disk has refused it before.
    #[must_use]
    pub(super) fn retry(&mut self, key: ShareKey) -> bool {
        let stuck = self.why_stuck(key).is_some();
        self.moving += usize::from(stuck);
        stuck
    }

    /// The shares that the disk has refused.
    pub(super) fn stuck(&self) -> impl Iterator<Item = (ShareKey, DiskError, &Hold)> {
        let shares = self.shares.iter().filter(|_| self.stuck > 0);
        shares.filter_map(|(key, pending)| Some((*key, pending.refused?, &pending.hold)))
    }

    /// Why the disk refused the share, if it did.
    pub(super) fn why_stuck(&self, key: ShareKey) -> Option<DiskError> {
        self.shares.get(&key)?.refused
    }

    /// Why the disk refused a share of this bucket, if it did.
    pub(super) fn why_stuck_of(&self, storage_index: StorageIndex) -> Option<DiskError> {
        let mut shares = self.of(storage_index).filter(|_| self.stuck > 0);
        shares.find_map(|(_, pending)| pending.refused)
    }

    pub(super) fn len(&self) -> usize {
        self.shares.len()
    }

    pub(super) fn stuck_count(&self) -> usize {
        self.stuck
    }

    /// Whether none is being placed, nor about to be.
    pub(super) fn is_settled(&self) -> bool {
        self.moving == 0
    }
}

/// What a share takes of memory beside its container: its entry here, and that of its lock.
const OVERHEAD: usize = 256;
