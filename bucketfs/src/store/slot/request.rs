//! What can be asked of a slot: test some of it, read some, and write if the tests pass.

use std::collections::BTreeMap;

use bytes::Bytes;
use lafs::{LeaseSecrets, ShareNumber, StorageIndex, WriteEnabler, num};

use crate::container::mutable::Content;
use crate::error::Refusal;
use crate::store::{Extent, Limits, RequestId};

/// Tests, reads and changes of the shares of one slot, done as one.
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
    /// Which parts of every share of the slot to read, named or not.
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

/// Passes if these bytes, and no more, are in a part of a share clipped to its end.
#[derive(Clone, Debug)]
pub struct Test {
    /// Where the part starts.
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

impl ReadTestWrite {
    /// How many bytes of shares the request brings in memory.
    pub(in crate::store) fn len(&self) -> usize {
        let tested: usize = self.shares.values().map(ShareChange::tested_len).sum();
        tested + self.shares.values().map(ShareChange::len).sum::<usize>()
    }

    /// Compares with the bounds that keep a request within memory.
    pub(in crate::store) fn check(&self) -> Result<(), Refusal> {
        let too_many = |limit| Err(Refusal::TooManyExtents { limit });
        let mut tests = self.shares.values().map(|change| change.tests.len());
        if self.read.len() > Limits::EXTENTS || tests.any(|tests| tests > Limits::EXTENTS) {
            return too_many(Limits::EXTENTS);
        }
        let writes = self.shares.values().map(|change| change.writes.len());
        if writes.sum::<usize>() > Limits::SLOT_WRITES {
            return too_many(Limits::SLOT_WRITES);
        }
        let len: usize = self.shares.values().map(ShareChange::len).sum();
        let tested: usize = self.shares.values().map(ShareChange::tested_len).sum();
        if len.max(tested) > Limits::SLOT_LEN {
            let limit = num::size(Limits::SLOT_LEN);
            return Err(Refusal::TooLarge { limit });
        }
        Ok(())
    }

    /// Whether everything that is said to be in the spool is there.
    pub(in crate::store) fn check_spool(&self, written: u64) -> Result<(), Refusal> {
        let mut writes = self.shares.values().flat_map(|change| &change.writes);
        let within = |write: &SlotWrite| match write.content {
            Content::Bytes(_) => true,
            Content::Spooled { offset, size } => {
                offset.checked_add(size).is_some_and(|end| end <= written)
            }
        };
        match writes.all(within) {
            true => Ok(()),
            false => Err(Refusal::WrongSize { written }),
        }
    }
}

impl ShareChange {
    /// Whether the share is to be gone afterwards.
    pub(in crate::store) fn removes(&self) -> bool {
        self.new_length == Some(0)
    }

    fn len(&self) -> usize {
        let in_memory = |write: &SlotWrite| match &write.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Spooled { .. } => 0,
        };
        self.writes.iter().map(in_memory).sum()
    }

    fn tested_len(&self) -> usize {
        self.tests.iter().map(|test| test.specimen.len()).sum()
    }
}
