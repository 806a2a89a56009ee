//! Which buckets and slots are being changed, for readers that ask nobody.
//!
//! A reader outside of the store ([`crate::glance`]) looks at the tree while the store may be
//! changing it, on another thread perhaps. It neither waits nor is waited for: it notes the state of
//! a storage index before its look, and believes what it saw if nothing has begun or ended since.
//!
//! ```text
//! store    begin .. the tree is changed .. end
//! reader           quiet (none under way: a mark) .. looks .. is_still (the same mark)
//! ```
//!
//! Whatever changes the tree is an operation, and each is counted where the store gives it out and
//! where it takes its end: no machine can forget to. What is of one piece and takes several
//! operations is counted by whoever keeps readers away from it.
//!
//! All storage indexes that begin with the same two characters share one place: that another
//! one is being changed costs a reader the way through the store, and is rare; memory does not grow
//! with the store.
//!
//! In which layouts the buckets lie is kept here, too: when that changes, everything does.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};

use lafs::StorageIndex;

use crate::disk::{Operation, StorePath};
use crate::layout::{self, Layouts};

/// What is being changed, and how often it was.
#[derive(Debug)]
pub(crate) struct Changes {
    places: Box<[Place]>,
    layouts: AtomicU8,
    /// The store takes no more requests.
    closed: AtomicBool,
}

/// Some storage indexes.
#[derive(Debug, Default)]
struct Place {
    /// In the lower bits how many changes are under way, above them how many have begun or ended.
    changes: AtomicU64,
    /// By which a reader tells that a slot has another state.
    slot_version: AtomicU64,
}

/// The state of a storage index that nobody was changing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Changes {
    pub(crate) fn new(layouts: Layouts) -> Self {
        Self {
            places: (0..PLACES).map(|_| Place::default()).collect(),
            layouts: AtomicU8::new(layouts.as_number()),
            closed: AtomicBool::new(false),
        }
    }

    /// In which layouts the buckets lie. A reader asks between its mark and its look.
    pub(crate) fn layouts(&self) -> Layouts {
        let number = self.layouts.load(Ordering::SeqCst);
        Layouts::from_number(number).expect("it was made of layouts")
    }

    /// From now on the buckets lie in other layouts. No mark is worth anything any more.
    pub(crate) fn set_layouts(&self, layouts: Layouts) {
        self.places.iter().for_each(Place::begin);
        self.layouts.store(layouts.as_number(), Ordering::SeqCst);
        self.places.iter().for_each(Place::end);
    }

    /// Something of a storage index is about to change.
    pub(crate) fn begin(&self, index: StorageIndex) {
        self.places[place(index)].begin();
    }

    /// It has changed.
    pub(crate) fn end(&self, index: StorageIndex) {
        self.places[place(index)].end();
    }

    /// An operation is given out.
    pub(crate) fn begin_operation(&self, operation: &Operation) {
        operation.changed(|path| {
            if let Some(place) = place_of_path(path) {
                self.places[place].begin();
            }
        });
    }

    /// It has ended.
    pub(crate) fn end_operation(&self, operation: &Operation) {
        operation.changed(|path| {
            if let Some(place) = place_of_path(path) {
                self.places[place].end();
            }
        });
    }

    /// The number of a slot's present state.
    pub(crate) fn slot_version(&self, index: StorageIndex) -> u64 {
        self.places[place(index)]
            .slot_version
            .load(Ordering::Relaxed)
    }

    /// The slot has another state from now on.
    pub(crate) fn slot_changed(&self, index: StorageIndex) {
        self.places[place(index)]
            .slot_version
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Sends every reader to the store, from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether nothing at all is being changed.
    pub(crate) fn are_none(&self) -> bool {
        let changes = self.places.iter();
        { changes }.all(|place| place.changes.load(Ordering::SeqCst) & UNDER_WAY == 0)
    }

    /// A mark of the storage index, if nothing of it is being changed.
    pub(crate) fn quiet(&self, index: StorageIndex) -> Option<Mark> {
        let changes = self.places[place(index)].changes.load(Ordering::SeqCst);
        let is_quiet = changes & UNDER_WAY == 0 && !self.closed.load(Ordering::SeqCst);
        is_quiet.then_some(Mark(changes))
    }

    /// Whether nothing of it has begun to change since.
    pub(crate) fn is_still(&self, index: StorageIndex, mark: Mark) -> bool {
        // What the kernel has copied for the reader was copied before this.
        fence(Ordering::SeqCst);
        self.places[place(index)].changes.load(Ordering::SeqCst) == mark.0
    }
}

impl Place {
    fn begin(&self) {
        let before = self.changes.fetch_add(ONE + 1, Ordering::SeqCst);
        assert!(
            before & UNDER_WAY < UNDER_WAY,
            "the store's work is bounded"
        );
        // What is written from now on is written after this.
        fence(Ordering::SeqCst);
    }

    fn end(&self) {
        let before = self.changes.fetch_add(ONE - 1, Ordering::SeqCst);
        assert!(before & UNDER_WAY > 0, "what ends has begun");
    }
}

/// The place of a storage index: its first two characters of base32.
fn place(index: StorageIndex) -> usize {
    let [first, second, ..] = *index.as_bytes();
    usize::from(u16::from_be_bytes([first, second]) >> (u16::BITS - PLACE_BITS))
}

/// The place of what lies at a path. The name below `shares` begins with those two characters in
/// every layout; what it is else is no reader's business.
fn place_of_path(path: &StorePath) -> Option<usize> {
    let below = layout::below_shares(path)?;
    let [first, second, ..] = *below.as_bytes() else {
        return None;
    };
    Some(digit(first)? << 5 | digit(second)?)
}

/// A digit of base32 in lower case.
fn digit(character: u8) -> Option<usize> {
    match character {
        b'a'..=b'z' => Some(usize::from(character - b'a')),
        b'2'..=b'7' => Some(usize::from(character - b'2') + 26),
        _ => None,
    }
}

const PLACE_BITS: u32 = 10;

/// 16 KiB of numbers.
const PLACES: usize = 1 << PLACE_BITS;

/// Bits for the changes under way: more than the store has operations, requests and shares that
/// it knows to be torn.
const UNDER_WAY: u64 = ONE - 1;
const ONE: u64 = 1 << 24;

#[cfg(test)]
mod tests {
    use lafs::ShareNumber;

    use super::*;
    use crate::layout::{Layout, ShareKey, Tree};

    const LAYOUTS: Layouts = Layouts {
        layout: Layout::TwoLevel,
        from: None,
    };

    fn index(first: u8, second: u8) -> StorageIndex {
        let mut bytes = [7; 16];
        bytes[..2].copy_from_slice(&[first, second]);
        StorageIndex::new(bytes)
    }

    // Were they not the same, a reader would believe what it saw in the middle of a change.
    #[test]
    fn a_path_has_the_place_of_its_storage_index_in_every_layout() {
        for layout in Layout::ALL {
            let tree = Tree::new(layout);
            for first in 0..=255 {
                for second in [0, 0x3f, 0x40, 0x7f, 0x80, 0xff] {
                    let storage_index = index(first, second);
                    let key = ShareKey {
                        storage_index,
                        share_number: ShareNumber::new(3),
                    };
                    let expected = Some(place(storage_index));
                    assert_eq!(place_of_path(&tree.share(key)), expected, "{layout}");
                    let bucket = tree.bucket(storage_index);
                    assert_eq!(place_of_path(&bucket), expected, "{layout}");
                }
            }
        }
        assert_eq!(place_of_path(&layout::incoming(7)), None);
        assert_eq!(place_of_path(&StorePath::new("journal/a")), None);
    }

    #[test]
    fn a_mark_is_worth_nothing_once_something_has_begun() {
        let changes = Changes::new(LAYOUTS);
        let index = index(1, 2);
        let mark = changes.quiet(index).unwrap();
        assert!(changes.is_still(index, mark));
        changes.begin(index);
        assert_eq!(changes.quiet(index), None);
        assert!(!changes.is_still(index, mark));
        changes.begin(index);
        changes.end(index);
        assert_eq!(changes.quiet(index), None, "one of two has ended");
        changes.end(index);
        assert!(!changes.is_still(index, mark), "it is another state");
        assert!(changes.quiet(index).is_some());
    }

    // It would look for a bucket where the store had it before, and not find it.
    #[test]
    fn a_mark_is_worth_nothing_once_the_layouts_are_others() {
        let changes = Changes::new(LAYOUTS);
        let index = index(1, 2);
        let mark = changes.quiet(index).unwrap();
        let migrating = Layouts {
            layout: Layout::Flat,
            from: Some(Layout::TwoLevel),
        };
        changes.set_layouts(migrating);
        assert!(!changes.is_still(index, mark));
        assert!(changes.quiet(index).is_some());
        assert_eq!(changes.layouts(), migrating);
    }

    #[test]
    fn an_operation_is_counted_where_it_changes_the_tree() {
        let changes = Changes::new(LAYOUTS);
        let index = index(1, 2);
        let path = Tree::new(Layout::default()).bucket(index);
        let remove = Operation::Remove { path, prune: 0 };
        changes.begin_operation(&remove);
        assert_eq!(changes.quiet(index), None);
        changes.end_operation(&remove);
        assert!(changes.quiet(index).is_some());
        changes.begin_operation(&Operation::FreeSpace);
        assert!(changes.quiet(index).is_some());
    }

    #[test]
    fn a_closed_store_sends_readers_to_its_door() {
        let changes = Changes::new(LAYOUTS);
        changes.close();
        assert_eq!(changes.quiet(index(1, 2)), None);
    }
}
