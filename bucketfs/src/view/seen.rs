//! What a walk gives to whoever takes it.

use std::fmt;

use lafs::StorageIndex;

use super::finding::Finding;
use super::share::ShareSeen;
use crate::layout::{Layout, ShareKey};

/// Something that a walk came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A bucket or slot.
    Bucket(BucketSeen),
    /// What is wrong beside the buckets: at least one finding.
    Findings(Vec<Finding>),
}

/// A bucket or slot, as it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSeen {
    /// Which.
    pub storage_index: StorageIndex,
    /// In the place of which layout it is.
    pub place: Layout,
    /// Its shares whose containers are sound, in ascending order.
    pub shares: Vec<ShareSeen>,
    /// Its other shares.
    pub unsound: Vec<UnsoundShare>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// A share whose container is not sound, or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsoundShare {
    /// Which.
    pub key: ShareKey,
    /// Size of its file, in bytes, as far as that could be told.
    pub file_size: u64,
}

impl UnsoundShare {
    pub(super) fn new(key: ShareKey, file_size: u64) -> Self {
        Self { key, file_size }
    }
}

impl Seen {
    /// What is wrong.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Bucket(bucket) => &bucket.findings,
            Self::Findings(findings) => findings,
        }
    }
}

/// The buckets whose names begin with the same two characters: one of [`Prefix::COUNT`] parts of a
/// store, each of about the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix([u8; 2]);

impl Prefix {
    /// How many there are.
    pub const COUNT: usize = 1024;

    /// That of a bucket.
    #[must_use]
    pub fn of(storage_index: StorageIndex) -> Self {
        let [first, second, ..] = storage_index.text();
        Self([first, second])
    }

    /// All of them, in the order of a walk.
    pub fn all() -> impl Iterator<Item = Self> {
        let digits = || (b'2'..=b'7').chain(b'a'..=b'z');
        digits().flat_map(move |first| digits().map(move |second| Self([first, second])))
    }

    /// The two characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("characters of base32")
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefixes_are_those_of_all_storage_indexes_in_their_order() {
        let all: Vec<_> = Prefix::all().collect();
        assert_eq!(all.len(), Prefix::COUNT);
        assert!(all.is_sorted());
        for first in 0..=255 {
            for second in 0..=255 {
                let mut bytes = [0; 16];
                bytes[..2].copy_from_slice(&[first, second]);
                let prefix = Prefix::of(StorageIndex::new(bytes));
                assert!(all.binary_search(&prefix).is_ok(), "{prefix}");
            }
        }
    }
}
