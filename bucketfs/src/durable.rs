//! Proofs that something is on stable storage.
//!
//! Each is made here alone, from what made it true: the completion of a sync, a lock that is held,
//! or an earlier proof that it uses up. None can be copied, and each is taken by value by what
//! relies on it: no path can acknowledge first and sync later, and none can acknowledge twice on
//! one sync of something else.
//!
//! In a store of relaxed durability the operator has waived the syncs: there the same proofs are
//! made without them, from [`Waiver`].

use crate::disk::{Completion, Operation};
use crate::error::DiskError;

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

/// Proof that what a request did would survive a power cut.
///
/// Every acknowledgement takes one by value.
#[must_use]
#[derive(Debug)]
pub(crate) struct Durable(());

impl Durable {
    /// For a request that found done what it wants, on a share or slot whose lock it holds.
    ///
    /// Nothing appears in the tree before its record is durable, and the lock is held until then.
    pub(crate) fn found_under(_: &impl HeldLock) -> Self {
        Self(())
    }

    /// From the sync of the directories in which names were made or taken away; the bytes behind them
    /// are durable, or nobody's promise.
    ///
    /// # Errors
    ///
    /// What the disk said: then nothing is known of the names.
    pub(crate) fn named(completion: &Completion) -> Result<Self, DiskError> {
        assert!(
            matches!(completion.operation, Operation::SyncDirectories { .. }),
            "only a sync of the directories proves names durable"
        );
        completion.result.as_ref().map_err(|error| *error)?;
        Ok(Self(()))
    }

    /// Without a sync.
    pub(crate) fn waived(Waiver(()): Waiver) -> Self {
        Self(())
    }

    /// One proof of two things.
    pub(crate) fn and(self, Self(()): Self) -> Self {
        self
    }
}

/// What only the owner of a lock has.
pub(crate) trait HeldLock {}

/// Proof that all records of one append to the journal are on stable storage.
#[must_use]
#[derive(Debug)]
pub(crate) struct BatchDurable(());

impl BatchDurable {
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

    /// A proof for each of those who waited for the batch.
    pub(crate) fn each<T>(self, waiters: Vec<T>) -> impl Iterator<Item = (T, Durable)> {
        waiters.into_iter().map(|waiter| (waiter, Durable(())))
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
                Operation::SyncFile { .. }
                    | Operation::Seal { .. }
                    | Operation::Finish { sync: true, .. }
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

    /// What it was made of, for the file's next name.
    pub(crate) fn into_bytes(self) -> BytesDurable {
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
