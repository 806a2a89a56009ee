//! Whoever walks a store to count it: gathers buckets into parts, and tells the store of each.
//!
//! ```text
//! begin -> walk from the start -> bucket, bucket, .. a part -> the store: go on, or again from ..
//! ```
//!
//! A part that the store does not take is looked at again, and parts get smaller then: in a store
//! that is written to all the time there are always some buckets that nobody is at work on.

use lafs::StorageIndex;

use crate::request::{Count, Counted};
use crate::totals::Totals;

/// A count under way, without the walk and without the store.
///
/// The walk gives every bucket and slot of the tree once, in the order of the texts of their
/// storage indexes, from behind [`Counter::at`] on.
#[derive(Debug)]
pub struct Counter {
    /// What the store has taken.
    at: Option<StorageIndex>,
    /// What was found since.
    found: Totals,
    last: Option<StorageIndex>,
    buckets: usize,
    /// Most buckets of a part.
    buckets_max: usize,
}

/// What to do after an answer of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on with the walk.
    GoOn,
    /// Begin a walk behind this storage index, or at the start of the tree: the buckets since then
    /// are looked at again.
    WalkFrom(Option<StorageIndex>),
    /// The store is counted.
    Done,
}

impl Counter {
    /// Begins a count. Ask the store [`Count::Begin`] first.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a count is begun, not had by default"
    )]
    pub fn new() -> Self {
        Self {
            at: None,
            found: Totals::default(),
            last: None,
            buckets: 0,
            buckets_max: BUCKETS_MAX,
        }
    }

    /// Behind what the walk is to begin.
    #[must_use]
    pub fn at(&self) -> Option<StorageIndex> {
        self.at
    }

    /// Takes a bucket or slot, and what is in it. Returns what to ask the store, when it is time.
    #[must_use]
    pub fn bucket(&mut self, index: StorageIndex, found: &Totals) -> Option<Count> {
        self.found.merge(found);
        self.last = Some(index);
        self.buckets += 1;
        (self.buckets >= self.buckets_max).then(|| self.part(self.last))
    }

    /// Takes the end of the tree. Returns what to ask the store.
    #[must_use]
    pub fn end(&self) -> Count {
        self.part(None)
    }

    fn part(&self, upto: Option<StorageIndex>) -> Count {
        Count::Part {
            after: self.at,
            upto,
            found: self.found,
        }
    }

    /// Takes the store's answer to what was asked last.
    pub fn answered(&mut self, answer: &Counted) -> Next {
        let next = match answer {
            Counted::Whole { .. } => Next::Done,
            Counted::GoOn => {
                self.at = self.last;
                self.buckets_max = (self.buckets_max * 2).min(BUCKETS_MAX);
                Next::GoOn
            }
            Counted::Again => {
                self.buckets_max = (self.buckets / 2).max(1);
                Next::WalkFrom(self.at)
            }
        };
        self.found = Totals::default();
        self.buckets = 0;
        self.last = self.at;
        next
    }
}

/// Most buckets of a part: some seconds of a walk that is not in a hurry.
const BUCKETS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::ShareKind;

    fn index(byte: u8) -> StorageIndex {
        StorageIndex::new([byte << 3; 16])
    }

    fn one() -> Totals {
        let mut one = Totals::default();
        one.add(ShareKind::Immutable, 100);
        one
    }

    #[test]
    fn a_part_that_is_not_taken_is_walked_again_and_smaller() {
        let mut counter = Counter::new();
        for byte in 1..=4 {
            assert!(counter.bucket(index(byte), &one()).is_none());
        }
        let Count::Part { after, upto, found } = counter.end() else {
            panic!("a part");
        };
        assert_eq!((after, upto, found.shares()), (None, None, 4));
        let next = counter.answered(&Counted::Again);
        assert_eq!(next, Next::WalkFrom(None));
        assert!(counter.bucket(index(1), &one()).is_none());
        let Some(Count::Part { after, upto, found }) = counter.bucket(index(2), &one()) else {
            panic!("half of it");
        };
        assert_eq!((after, upto), (None, Some(index(2))));
        assert_eq!(found.immutable.bytes, 200);
        assert_eq!(counter.answered(&Counted::GoOn), Next::GoOn);
        assert_eq!(counter.at(), Some(index(2)));
        assert!(counter.bucket(index(3), &one()).is_none(), "larger again");
        let Count::Part { after, found, .. } = counter.end() else {
            panic!("a part");
        };
        assert_eq!((after, found.shares()), (Some(index(2)), 1));
    }
}
