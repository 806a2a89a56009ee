//! Proofs that something is on stable storage.
//!
//! Each is made here alone, from the completion that made it true, and is taken by value by what
//! relies on it: no path can acknowledge first and sync later, and none can acknowledge twice on
//! one sync of something else.
//!
//! In a store of relaxed durability the operator has waived the syncs: there the same proofs are
//! made without them, from [`Waiver`].

use crate::disk::{Completion, Operation};
use crate::error::DiskError;
use crate::store::Durability;

/// Proof that what a request did would survive a power cut.
///
/// Every acknowledgement takes one by value.
#[must_use]
#[derive(Debug)]
pub(crate) struct Durable(());

impl Durable {
    /// From an append to the journal, which is one write and one sync.
    ///
    /// # Errors
    ///
    /// What the disk said, if it failed: then nothing is known about the append, for good.
    pub(crate) fn appended(
        completion: &Completion,
        waiver: Option<Waiver>,
    ) -> Result<Self, DiskError> {
        let synced = match completion.operation {
            Operation::Append { sync, .. } => sync,
            _ => panic!("only an append to the journal proves its records durable"),
        };
        assert!(synced || waiver.is_some(), "the append was not synced");
        completion.result.as_ref().map_err(|error| *error)?;
        Ok(Self(()))
    }

    /// For a request that found done what it wants, on a share whose lock it holds.
    ///
    /// Nothing appears in the tree before its record is durable, and the lock is held until then.
    pub(crate) fn found_under_lock() -> Self {
        Self(())
    }

    /// One proof of two things.
    pub(crate) fn and(self, Self(()): Self) -> Self {
        self
    }

    /// The same proof for another record of the batch.
    pub(crate) fn of_same_batch(&self) -> Self {
        Self(())
    }
}

/// Proof that a file's bytes and size are on stable storage, under whatever name.
#[must_use]
#[derive(Debug)]
pub(crate) struct BytesDurable(());

impl BytesDurable {
    /// From the file's own sync, by whichever operation.
    ///
    /// # Errors
    ///
    /// What the disk said. Asking again would be answered "all is well": the kernel has marked the
    /// lost pages clean. So the file is given up.
    pub(crate) fn synced(completion: &Completion) -> Result<Self, DiskError> {
        assert!(
            matches!(
                completion.operation,
                Operation::SyncFile { .. } | Operation::Seal { .. }
            ),
            "only a sync of the file proves its bytes durable"
        );
        completion.result.as_ref().map_err(|error| *error)?;
        Ok(Self(()))
    }

    /// Without a sync.
    pub(crate) fn waived(Waiver(()): Waiver) -> Self {
        Self(())
    }

    /// One proof of two files.
    pub(crate) fn and(self, Self(()): Self) -> Self {
        self
    }
}

/// Proof that a file and every name on the way to it are on stable storage.
///
/// Only the journal's fence is missing for an acknowledgement.
#[must_use]
#[derive(Debug)]
pub(crate) struct NameDurable(());

impl NameDurable {
    /// From the sync of the directories above the file.
    ///
    /// # Errors
    ///
    /// What the disk said; the file is given up.
    pub(crate) fn synced(completion: &Completion, _: BytesDurable) -> Result<Self, DiskError> {
        assert!(
            matches!(completion.operation, Operation::SyncDirectories { .. }),
            "only a sync of the directories proves a name durable"
        );
        completion.result.as_ref().map_err(|error| *error)?;
        Ok(Self(()))
    }

    /// Without a sync.
    pub(crate) fn waived(Waiver(()): Waiver, _: BytesDurable) -> Self {
        Self(())
    }

    /// The proof that it was made of; for the next name of the file.
    pub(crate) fn of_bytes(&self) -> BytesDurable {
        BytesDurable(())
    }
}

/// The operator's word that acknowledgements need not survive a power cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiver(());

impl Durability {
    /// Returns the waiver, if the operator has given it.
    pub(crate) fn waiver(self) -> Option<Waiver> {
        match self {
            Self::Full => None,
            Self::Relaxed => Some(Waiver(())),
        }
    }
}
