//! How much a store holds: its shares, and the bytes of their files, by kind.
//!
//! A share counts from the moment that it is held, whether the tree has it already or the journal
//! alone. Its bytes are those of its file, header and leases included: what it takes of the disk but
//! for the rest of its last block. What is in incoming, and what is not the store's, is not counted.

use crate::kind::ShareKind;

/// How much a store, or a part of it, holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Of buckets.
    pub immutable: Tally,
    /// Of slots.
    pub mutable: Tally,
}

/// How much there is of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many shares.
    pub shares: u64,
    /// The bytes of their files.
    pub bytes: u64,
}

impl Totals {
    /// The shares of both kinds.
    #[must_use]
    pub fn shares(&self) -> u64 {
        self.immutable.shares.saturating_add(self.mutable.shares)
    }

    /// The bytes of both kinds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.immutable.bytes.saturating_add(self.mutable.bytes)
    }

    /// Counts a share with a file of this size.
    pub fn add(&mut self, kind: ShareKind, size: u64) {
        self.change(kind, None, Some(size));
    }

    /// Counts a share whose file had one size, `None` for not being there, and has another now.
    pub(crate) fn change(&mut self, kind: ShareKind, before: Option<u64>, after: Option<u64>) {
        let tally = match kind {
            ShareKind::Immutable => &mut self.immutable,
            ShareKind::Mutable => &mut self.mutable,
        };
        // Only what somebody else did to the files can bring a number below zero, and counting the
        // tree puts that right.
        if let Some(size) = before {
            tally.shares = tally.shares.saturating_sub(1);
            tally.bytes = tally.bytes.saturating_sub(size);
        }
        if let Some(size) = after {
            tally.shares = tally.shares.saturating_add(1);
            tally.bytes = tally.bytes.saturating_add(size);
        }
    }

    /// Counts what another part of the store holds.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in [
            (&mut self.immutable, &other.immutable),
            (&mut self.mutable, &other.mutable),
        ] {
            own.shares = own.shares.saturating_add(other.shares);
            own.bytes = own.bytes.saturating_add(other.bytes);
        }
    }
}
