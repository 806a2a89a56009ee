//! Numbers by which a reader tells that a slot has changed.

use lafs::StorageIndex;

/// One number for all slots that fall into a place: a change of one of them raises it.
///
/// That a slot's number changes without the slot costs a reader a second try, and is rare; memory
/// does not grow with the slots that were ever changed.
#[derive(Debug)]
pub(super) struct SlotVersions(Vec<u64>);

impl SlotVersions {
    pub(super) fn new() -> Self {
        Self(vec![0; PLACES])
    }

    pub(super) fn of(&self, index: StorageIndex) -> u64 {
        self.0[place(index)]
    }

    /// The slot has another state from now on.
    pub(super) fn change(&mut self, index: StorageIndex) {
        self.0[place(index)] += 1;
    }
}

/// Storage indexes are hashes: their first bytes are as good as random.
fn place(index: StorageIndex) -> usize {
    let [first, second, ..] = *index.as_bytes();
    usize::from(u16::from_be_bytes([first, second])) % PLACES
}

/// 8 KiB of numbers.
const PLACES: usize = 1024;
