//! Where each bucket lies.
//!
//! In a store that is not migrated that is one layout's business. In one that is, a bucket is *settled*
//! before anything is done with it ([`door`](super::door)): it is moved to where it is to be, all at
//! once, and from then on lies there. A bucket that cannot be moved is *unsettled*: all that is done
//! with it is done in the old place, until it is tried again while nobody is at it. So each bucket is
//! in one place at a time, and everybody who asks is told the same.

use lafs::StorageIndex;

use crate::disk::{DiskError, StorePath};
use crate::keys::{KeyMap, KeySet};
use crate::layout::{self, Layout, Layouts, Located, Tree};
use crate::request::RequestId;

/// Which layout, bucket by bucket.
#[derive(Debug)]
pub(crate) struct Places {
    layouts: Layouts,
    /// Buckets that are not in the old place, as far as they are remembered.
    settled: KeySet<StorageIndex>,
    /// Buckets that are in the old place, and stay there for now.
    unsettled: KeyMap<StorageIndex, Unsettled>,
    /// Requests under way for those.
    visits: KeyMap<RequestId, StorageIndex>,
    /// Some that were unsettled are not remembered.
    has_forgotten: bool,
}

#[derive(Debug)]
struct Unsettled {
    /// Why it could not be moved.
    error: DiskError,
    /// How many requests are under way for it.
    visits: usize,
}

impl Places {
    pub(crate) fn new(layouts: Layouts) -> Self {
        Self {
            layouts,
            settled: KeySet::default(),
            unsettled: KeyMap::default(),
            visits: KeyMap::default(),
            has_forgotten: false,
        }
    }

    pub(crate) fn layouts(&self) -> Layouts {
        self.layouts
    }

    /// From now on the buckets lie in other layouts. Nobody is at any of them, and what was changed
    /// in them is durable.
    pub(crate) fn set_layouts(&mut self, layouts: Layouts) {
        assert!(self.visits.is_empty(), "nobody is at a bucket");
        *self = Self::new(layouts);
    }

    /// Where the buckets are being moved from, if they are.
    pub(crate) fn from(&self) -> Option<Layout> {
        self.layouts.from
    }

    /// The tree that a bucket is in.
    pub(crate) fn tree(&self, index: StorageIndex) -> Tree {
        let layout = match self.layouts.from {
            Some(from) if self.unsettled.contains_key(&index) => from,
            _ => self.layouts.layout,
        };
        Tree::new(layout)
    }

    /// What a path is of: of a bucket in the tree that it is in, and above buckets in either.
    pub(crate) fn locate(&self, path: &StorePath) -> Located {
        if let Some(index) = layout::bucket_in(path.as_str()) {
            return self.tree(index).locate(path);
        }
        let mut trees = self.layouts.iter().map(Tree::new);
        let located = trees.find_map(|tree| match tree.locate(path) {
            Located::Foreign => None,
            located => Some(located),
        });
        located.unwrap_or(Located::Foreign)
    }

    /// The old and the new place of a bucket that is to be moved.
    pub(crate) fn ends(&self, index: StorageIndex) -> (StorePath, StorePath) {
        let from = self.layouts.from.expect("the store is migrated");
        let [old, new] = [from, self.layouts.layout].map(Tree::new);
        (old.bucket(index), new.bucket(index))
    }

    /// How many directories above an old place may go when they are empty.
    pub(crate) fn prunable(&self) -> u8 {
        let from = self.layouts.from.map(Tree::new);
        from.map_or(0, |from| from.levels() - 1)
    }

    /// What a move may take of the disk: a block for each directory that may have to be made.
    pub(crate) fn move_cost(&self) -> u64 {
        let levels = |layout| Tree::new(layout).levels();
        let from = self.layouts.from.map_or(0, levels);
        // From further down those above are there.
        4096 * u64::from(levels(self.layouts.layout).saturating_sub(from))
    }

    /// Whether nothing may be done with a bucket before it is settled.
    pub(crate) fn must_settle(&self, index: StorageIndex) -> bool {
        self.layouts.from.is_some()
            && !self.settled.contains(&index)
            && !self.unsettled.contains_key(&index)
    }

    /// Whether a bucket is known not to be in the old place.
    pub(crate) fn is_settled(&self, index: StorageIndex) -> bool {
        self.settled.contains(&index)
    }

    /// Why a bucket stays in the old place for now, if somebody is at it.
    pub(crate) fn why_busy(&self, index: StorageIndex) -> Option<DiskError> {
        let unsettled = self.unsettled.get(&index)?;
        (unsettled.visits > 0).then_some(unsettled.error)
    }

    /// Whether what was done in the old place must be durable before a bucket is moved.
    ///
    /// A share that was removed there, and is stored anew in the new place, would be there twice after
    /// a power cut that brings the old one back.
    pub(crate) fn must_sync(&self, index: StorageIndex) -> bool {
        self.has_forgotten || self.unsettled.contains_key(&index)
    }

    /// A bucket is not in the old place, or not any more.
    pub(crate) fn settle(&mut self, index: StorageIndex) {
        let before = self.unsettled.remove(&index);
        assert!(before.is_none_or(|it| it.visits == 0), "nobody is at it");
        if self.settled.len() >= SETTLED_MAX {
            // Settled once more it is where it was: there is nothing left to move.
            self.settled = KeySet::default();
        }
        self.settled.insert(index);
    }

    /// A bucket stays in the old place for now.
    pub(crate) fn unsettle(&mut self, index: StorageIndex, error: DiskError) {
        let entry = self.unsettled.entry(index);
        let unsettled = entry.or_insert(Unsettled { error, visits: 0 });
        unsettled.error = error;
    }

    /// How many buckets are known to stay in the old place.
    pub(crate) fn unsettled_count(&self) -> usize {
        self.unsettled.len()
    }

    /// Whether so many are known that some should be forgotten.
    pub(crate) fn is_crowded(&self) -> bool {
        self.unsettled.len() >= UNSETTLED_MAX
    }

    /// Forgets the unsettled buckets that nobody is at: they are tried again when somebody comes.
    pub(crate) fn forget(&mut self, is_free: impl Fn(StorageIndex) -> bool) {
        self.unsettled
            .retain(|index, unsettled| unsettled.visits > 0 || !is_free(*index));
        self.has_forgotten = true;
    }

    /// Whether no request is under way for an unsettled bucket.
    pub(crate) fn are_left(&self) -> bool {
        self.visits.is_empty()
    }

    /// A request for a bucket begins.
    pub(crate) fn enter(&mut self, id: RequestId, index: StorageIndex) {
        if let Some(unsettled) = self.unsettled.get_mut(&index) {
            unsettled.visits += 1;
            self.visits.insert(id, index);
        }
    }

    /// A request is answered.
    pub(crate) fn leave(&mut self, id: RequestId) {
        if self.visits.is_empty() {
            return;
        }
        if let Some(index) = self.visits.remove(&id) {
            let unsettled = self.unsettled.get_mut(&index);
            unsettled.expect("nobody settles it meanwhile").visits -= 1;
        }
    }
}

/// How many settled buckets are remembered: each of them saves a look at the old place.
const SETTLED_MAX: usize = 16_384;

/// How many unsettled buckets are remembered that nobody is at.
const UNSETTLED_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    const ERROR: DiskError = DiskError {
        call: "rename",
        errno: Errno::NOSPC,
    };

    fn index(number: u32) -> StorageIndex {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        StorageIndex::new(bytes)
    }

    fn migrating() -> Places {
        Places::new(Layouts {
            layout: Layout::TwoLevel,
            from: Some(Layout::OneLevel),
        })
    }

    #[test]
    fn a_bucket_has_one_place_at_every_moment() {
        let (old, new) = (Tree::new(Layout::OneLevel), Tree::new(Layout::TwoLevel));
        let mut places = migrating();
        let it = index(1);
        assert!(places.must_settle(it));
        places.unsettle(it, ERROR);
        assert!(!places.must_settle(it) && places.must_sync(it));
        assert_eq!(places.tree(it), old);
        places.enter(RequestId(1), it);
        assert_eq!(places.why_busy(it), Some(ERROR));
        places.leave(RequestId(1));
        assert_eq!(places.why_busy(it), None);
        places.settle(it);
        assert_eq!(places.tree(it), new);
        assert!(!places.must_settle(it) && !places.must_sync(it));
        assert_eq!(places.unsettled_count(), 0);
    }

    #[test]
    fn a_store_that_is_not_migrated_has_nothing_to_settle() {
        let places = Places::new(Layouts::settled(Layout::Flat));
        assert!(!places.must_settle(index(1)));
        assert_eq!(places.tree(index(1)), Tree::new(Layout::Flat));
    }

    // On a full disk that would be every bucket that anybody asks for.
    #[test]
    fn what_is_remembered_has_bounds() {
        let mut places = migrating();
        for number in 0..u32::try_from(2 * SETTLED_MAX).unwrap() {
            places.settle(index(number));
        }
        assert!(places.settled.len() <= SETTLED_MAX);
        for number in 0..u32::try_from(UNSETTLED_MAX).unwrap() {
            assert!(!places.is_crowded());
            places.unsettle(index(number), ERROR);
        }
        assert!(places.is_crowded());
        places.enter(RequestId(1), index(1));
        places.forget(|it| it != index(2));
        assert_eq!(places.unsettled_count(), 2, "somebody is at these");
        assert!(places.must_sync(index(3)) && places.must_settle(index(7)));
    }
}
