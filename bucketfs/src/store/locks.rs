//! Who may do what with a share, or with a whole slot, while others are at it.
//!
//! A task that changes a share owns its lock from its first look at the share until its
//! acknowledgement, the sync of the journal included; others that want to change it wait in line.
//! Readers do not mind an owner, except while it patches the container in place: half of a patch
//! is no container. So a patch waits for the readers that are there, and later ones wait for it.
//!
//! A change of a slot is of all shares of a storage index at once, those that are not there
//! included. Its owner has the storage index to itself: it waits for the tasks that have or want
//! the lock of one of its shares, and later ones wait for it. Readers are told the same way: while
//! the owner makes its change there are none, neither of one share nor of several.
//!
//! Nothing here runs a task: every method returns the tasks whose turn it is, and with a lock
//! the proof that it is theirs, which they give back when they are done.

use std::collections::VecDeque;

use lafs::StorageIndex;

use crate::durable::HeldLock;
use crate::keys::KeyMap;
use crate::layout::ShareKey;

/// The locks that somebody holds; others cost nothing.
#[derive(Debug)]
pub(super) struct Locks<T> {
    shares: KeyMap<ShareKey, Lock<T>>,
    slots: KeyMap<StorageIndex, SlotLock<T>>,
}

#[derive(Debug)]
struct Lock<T> {
    owned: bool,
    line: VecDeque<T>,
    gate: Gate<T>,
}

#[derive(Debug)]
struct SlotLock<T> {
    /// Tasks that have, or are in line for, the lock of a share.
    sharers: usize,
    /// Whether a task has all of it.
    owned: bool,
    line: VecDeque<InLine<T>>,
    gate: Gate<T>,
}

/// Who waits for a storage index.
#[derive(Debug)]
enum InLine<T> {
    Share(ShareKey, T),
    Slot(T),
}

/// Keeps readers and an owner's change apart.
#[derive(Debug)]
struct Gate<T> {
    readers: usize,
    change: Change<T>,
    waiting_readers: Vec<T>,
}

#[derive(Debug)]
enum Change<T> {
    None,
    /// The owner waits for the readers.
    Waiting(T),
    /// The owner writes.
    Running,
}

/// The lock of a share, which is its owner's alone until [`Locks::release`].
#[must_use]
#[derive(Debug)]
pub(super) struct Owned(ShareKey);

/// The lock of a whole slot, likewise.
#[must_use]
#[derive(Debug)]
pub(super) struct SlotOwned(StorageIndex);

/// A lock for a task that waited for it.
#[derive(Debug)]
pub(super) enum Granted<T> {
    Share(Owned, T),
    Slot(SlotOwned, T),
}

impl Owned {
    pub(super) fn key(&self) -> ShareKey {
        self.0
    }
}

impl SlotOwned {
    pub(super) fn index(&self) -> StorageIndex {
        self.0
    }
}

impl HeldLock for Owned {}
impl HeldLock for SlotOwned {}

// Owners.
impl<T> Locks<T> {
    pub(super) fn new() -> Self {
        Self {
            shares: KeyMap::default(),
            slots: KeyMap::default(),
        }
    }

    /// Takes the lock of a share for a task, or puts the task in line.
    pub(super) fn acquire(&mut self, key: ShareKey, task: T) -> Option<Granted<T>> {
        let slot = self.slots.entry(key.storage_index).or_default();
        if slot.owned || !slot.line.is_empty() {
            slot.line.push_back(InLine::Share(key, task));
            return None;
        }
        slot.sharers += 1;
        self.acquire_share(key, task)
    }

    fn acquire_share(&mut self, key: ShareKey, task: T) -> Option<Granted<T>> {
        let lock = self.shares.entry(key).or_default();
        if lock.owned {
            lock.line.push_back(task);
            return None;
        }
        lock.owned = true;
        Some(Granted::Share(Owned(key), task))
    }

    /// Whether somebody owns the lock of a share, or that of its slot.
    pub(super) fn is_owned(&self, key: ShareKey) -> bool {
        let slot = self.slots.get(&key.storage_index);
        let share = self.shares.get(&key);
        share.is_some_and(|lock| lock.owned) || slot.is_some_and(|slot| slot.owned)
    }

    /// Gives the lock of a share to the next in line, who is returned, or its slot's to those.
    pub(super) fn release(&mut self, Owned(key): Owned) -> Vec<Granted<T>> {
        let lock = self.shares.get_mut(&key).expect("the lock is held");
        assert!(lock.owned && lock.gate.is_open());
        let next = lock.line.pop_front();
        lock.owned = next.is_some();
        self.tidy(key);
        let slot = self.slots.get_mut(&key.storage_index);
        let slot = slot.expect("whoever has a share's lock shares its slot's");
        slot.sharers = slot.sharers.checked_sub(1).expect("it was counted");
        let next = next.map(|task| Granted::Share(Owned(key), task));
        let mut ready: Vec<_> = next.into_iter().collect();
        self.admit(key.storage_index, &mut ready);
        ready
    }

    /// Takes all of a storage index for a task, or puts the task in line.
    pub(super) fn acquire_slot(&mut self, index: StorageIndex, task: T) -> Option<Granted<T>> {
        let slot = self.slots.entry(index).or_default();
        slot.line.push_back(InLine::Slot(task));
        let mut ready = Vec::new();
        self.admit(index, &mut ready);
        ready.pop()
    }

    /// Gives the storage index to those who are next in line.
    pub(super) fn release_slot(&mut self, SlotOwned(index): SlotOwned) -> Vec<Granted<T>> {
        let slot = self.slots.get_mut(&index).expect("the lock is held");
        assert!(slot.owned && slot.gate.is_open());
        slot.owned = false;
        let mut ready = Vec::new();
        self.admit(index, &mut ready);
        ready
    }

    /// Admits those in line whose turn it is: one for all of the slot, or any for its shares.
    fn admit(&mut self, index: StorageIndex, ready: &mut Vec<Granted<T>>) {
        while let Some(slot) = self.slots.get_mut(&index) {
            match slot.line.front() {
                Some(InLine::Slot(_)) if slot.owned || slot.sharers > 0 => break,
                Some(InLine::Share(..)) if slot.owned => break,
                _ => {}
            }
            match slot.line.pop_front() {
                Some(InLine::Slot(task)) => {
                    slot.owned = true;
                    ready.push(Granted::Slot(SlotOwned(index), task));
                }
                Some(InLine::Share(key, task)) => {
                    slot.sharers += 1;
                    ready.extend(self.acquire_share(key, task));
                }
                None => break,
            }
        }
        self.tidy_slot(index);
    }
}

// Readers.
impl<T> Locks<T> {
    /// Begins a read of a share, or has it wait for the patch.
    pub(super) fn begin_read(&mut self, key: ShareKey, task: T) -> Option<T> {
        self.shares.entry(key).or_default().gate.begin_read(task)
    }

    /// Ends a read; returns the patch that waited for it.
    pub(super) fn end_read(&mut self, key: ShareKey) -> Option<T> {
        let lock = self.shares.get_mut(&key).expect("a read was begun");
        let ready = lock.gate.end_read();
        self.tidy(key);
        ready
    }

    /// Begins the owner's patch, or has it wait for the readers.
    pub(super) fn begin_patch(&mut self, Owned(key): &Owned, task: T) -> Option<T> {
        let lock = self.shares.get_mut(key).expect("the lock is held");
        assert!(lock.owned);
        lock.gate.begin_change(task)
    }

    /// Ends the owner's patch; returns the readers that waited, whose reads have begun.
    pub(super) fn end_patch(&mut self, Owned(key): &Owned) -> Vec<T> {
        let lock = self.shares.get_mut(key).expect("the lock is held");
        lock.gate.end_change()
    }

    /// Begins a read of any shares of a storage index, or has it wait for the slot's change.
    pub(super) fn begin_slot_read(&mut self, index: StorageIndex, task: T) -> Option<T> {
        self.slots.entry(index).or_default().gate.begin_read(task)
    }

    /// Ends such a read; returns the change that waited for it.
    pub(super) fn end_slot_read(&mut self, index: StorageIndex) -> Option<T> {
        let slot = self.slots.get_mut(&index).expect("a read was begun");
        let ready = slot.gate.end_read();
        self.tidy_slot(index);
        ready
    }

    /// Begins the owner's change of a slot, or has it wait for the readers.
    pub(super) fn begin_slot_change(&mut self, SlotOwned(index): &SlotOwned, task: T) -> Option<T> {
        let slot = self.slots.get_mut(index).expect("the lock is held");
        assert!(slot.owned);
        slot.gate.begin_change(task)
    }

    /// Ends the owner's change; returns the readers that waited, whose reads have begun.
    pub(super) fn end_slot_change(&mut self, SlotOwned(index): &SlotOwned) -> Vec<T> {
        let slot = self.slots.get_mut(index).expect("the lock is held");
        slot.gate.end_change()
    }

    /// Whether nobody holds, waits for, or reads anything of a storage index.
    pub(super) fn is_free(&self, index: StorageIndex) -> bool {
        !self.slots.contains_key(&index)
    }

    /// The storage indexes of which somebody has a lock, or is in line for one.
    pub(super) fn at_work(&self) -> impl Iterator<Item = StorageIndex> {
        let is_at_work = |slot: &SlotLock<T>| slot.owned || slot.sharers > 0;
        let slots = self.slots.iter();
        slots.filter_map(move |(index, slot)| is_at_work(slot).then_some(*index))
    }

    /// Whether nobody holds or waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.shares.is_empty() && self.slots.is_empty()
    }

    fn tidy(&mut self, key: ShareKey) {
        let idle = |lock: &Lock<T>| !lock.owned && lock.gate.is_idle();
        if self.shares.get(&key).is_some_and(idle) {
            self.shares.remove(&key);
        }
    }

    fn tidy_slot(&mut self, index: StorageIndex) {
        let idle = |slot: &SlotLock<T>| {
            let unowned = !slot.owned && slot.sharers == 0 && slot.line.is_empty();
            unowned && slot.gate.is_idle()
        };
        if self.slots.get(&index).is_some_and(idle) {
            self.slots.remove(&index);
        }
    }
}

impl<T> Gate<T> {
    fn is_open(&self) -> bool {
        matches!(self.change, Change::None)
    }

    fn is_idle(&self) -> bool {
        self.readers == 0 && self.is_open()
    }

    fn begin_read(&mut self, task: T) -> Option<T> {
        if !self.is_open() {
            self.waiting_readers.push(task);
            return None;
        }
        self.readers += 1;
        Some(task)
    }

    fn end_read(&mut self) -> Option<T> {
        self.readers = self.readers.checked_sub(1).expect("a read was begun");
        if self.readers > 0 || !matches!(self.change, Change::Waiting(_)) {
            return None;
        }
        match std::mem::replace(&mut self.change, Change::Running) {
            Change::Waiting(task) => Some(task),
            Change::None | Change::Running => unreachable!("it was compared"),
        }
    }

    fn begin_change(&mut self, task: T) -> Option<T> {
        assert!(self.is_open());
        if self.readers > 0 {
            self.change = Change::Waiting(task);
            return None;
        }
        self.change = Change::Running;
        Some(task)
    }

    fn end_change(&mut self) -> Vec<T> {
        assert!(matches!(self.change, Change::Running));
        self.change = Change::None;
        self.readers = self.waiting_readers.len();
        std::mem::take(&mut self.waiting_readers)
    }
}

impl<T> Default for Gate<T> {
    fn default() -> Self {
        Self {
            readers: 0,
            change: Change::None,
            waiting_readers: Vec::new(),
        }
    }
}

impl<T> Default for Lock<T> {
    fn default() -> Self {
        Self {
            owned: false,
            line: VecDeque::new(),
            gate: Gate::default(),
        }
    }
}

impl<T> Default for SlotLock<T> {
    fn default() -> Self {
        Self {
            sharers: 0,
            owned: false,
            line: VecDeque::new(),
            gate: Gate::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use lafs::ShareNumber;

    use super::*;

    const INDEX: StorageIndex = StorageIndex::new([0; 16]);

    fn key() -> ShareKey {
        share(0)
    }

    fn share(number: u8) -> ShareKey {
        ShareKey {
            storage_index: INDEX,
            share_number: ShareNumber::new(number),
        }
    }

    /// The locks, and what was granted and not given back.
    struct Table {
        locks: Locks<u32>,
        owned: Vec<Owned>,
        slots: Vec<SlotOwned>,
    }

    impl Table {
        fn new() -> Self {
            Self {
                locks: Locks::new(),
                owned: Vec::new(),
                slots: Vec::new(),
            }
        }

        fn keep(&mut self, granted: impl IntoIterator<Item = Granted<u32>>) -> Vec<u32> {
            let keep = |granted| match granted {
                Granted::Share(owned, task) => {
                    self.owned.push(owned);
                    task
                }
                Granted::Slot(owned, task) => {
                    self.slots.push(owned);
                    task
                }
            };
            granted.into_iter().map(keep).collect()
        }

        fn acquire(&mut self, key: ShareKey, task: u32) -> Option<u32> {
            let granted = self.locks.acquire(key, task);
            self.keep(granted).pop()
        }

        fn acquire_slot(&mut self, task: u32) -> Option<u32> {
            let granted = self.locks.acquire_slot(INDEX, task);
            self.keep(granted).pop()
        }

        fn index(&self, key: ShareKey) -> usize {
            let mut owned = self.owned.iter();
            owned.position(|owned| owned.key() == key).unwrap()
        }

        fn release(&mut self, key: ShareKey) -> Vec<u32> {
            let index = self.index(key);
            let granted = self.locks.release(self.owned.swap_remove(index));
            self.keep(granted)
        }

        fn release_slot(&mut self) -> Vec<u32> {
            let granted = self.locks.release_slot(self.slots.pop().unwrap());
            self.keep(granted)
        }

        fn begin_patch(&mut self, key: ShareKey, task: u32) -> Option<u32> {
            let index = self.index(key);
            self.locks.begin_patch(&self.owned[index], task)
        }

        fn end_patch(&mut self, key: ShareKey) -> Vec<u32> {
            let index = self.index(key);
            self.locks.end_patch(&self.owned[index])
        }
    }

    #[test]
    fn owners_go_one_after_the_other_in_the_order_they_came() {
        let mut table = Table::new();
        assert!(!table.locks.is_owned(key()));
        assert_eq!(table.acquire(key(), 1), Some(1));
        assert_eq!(table.acquire(key(), 2), None);
        assert_eq!(table.acquire(key(), 3), None);
        assert_eq!(table.release(key()), [2]);
        assert!(table.locks.is_owned(key()));
        assert_eq!(table.release(key()), [3]);
        assert_eq!(table.release(key()), []);
        assert!(table.locks.is_empty());
    }

    #[test]
    fn readers_go_beside_an_owner_but_not_beside_its_patch() {
        let mut table = Table::new();
        assert_eq!(table.acquire(key(), 1), Some(1));
        assert_eq!(table.locks.begin_read(key(), 2), Some(2));
        assert_eq!(table.locks.begin_read(key(), 3), Some(3));
        assert_eq!(table.begin_patch(key(), 1), None);
        assert_eq!(table.locks.begin_read(key(), 4), None, "behind the patch");
        assert_eq!(table.locks.end_read(key()), None);
        assert_eq!(table.locks.end_read(key()), Some(1));
        assert_eq!(table.locks.begin_read(key(), 5), None);
        assert_eq!(table.end_patch(key()), [4, 5]);
        assert_eq!(table.release(key()), []);
        assert_eq!(table.locks.end_read(key()), None);
        assert_eq!(table.locks.end_read(key()), None);
        assert!(table.locks.is_empty());
    }

    // Shares of one bucket go side by side, or no two of them would ever share a batch.
    #[test]
    fn shares_do_not_mind_each_other_and_a_slot_minds_them_all() {
        let mut table = Table::new();
        assert_eq!(table.acquire(share(1), 1), Some(1));
        assert_eq!(table.acquire(share(2), 2), Some(2));
        assert_eq!(table.acquire(share(2), 3), None, "behind the other");
        assert_eq!(table.acquire_slot(4), None);
        assert_eq!(table.acquire(share(3), 5), None, "behind the slot");
        assert_eq!(table.acquire(share(1), 6), None, "behind the slot");
        assert_eq!(table.acquire_slot(7), None);
        assert_eq!(table.release(share(1)), []);
        assert_eq!(table.release(share(2)), [3]);
        assert_eq!(table.release(share(2)), [4]);
        assert_eq!(table.release_slot(), [5, 6]);
        assert_eq!(table.acquire(share(4), 8), None, "behind the second slot");
        assert_eq!(table.release(share(1)), []);
        assert_eq!(table.release(share(3)), [7]);
        assert_eq!(table.release_slot(), [8]);
        assert_eq!(table.release(share(4)), []);
        assert!(table.locks.is_empty());
    }

    #[test]
    fn no_reader_is_there_while_a_slot_is_changed() {
        let mut table = Table::new();
        assert_eq!(table.locks.begin_slot_read(INDEX, 1), Some(1));
        assert_eq!(table.acquire_slot(2), Some(2));
        assert_eq!(table.locks.begin_slot_read(INDEX, 3), Some(3));
        assert_eq!(table.locks.begin_slot_change(&table.slots[0], 2), None);
        assert_eq!(table.locks.begin_slot_read(INDEX, 4), None);
        assert_eq!(table.locks.end_slot_read(INDEX), None);
        assert_eq!(table.locks.end_slot_read(INDEX), Some(2));
        assert_eq!(table.locks.end_slot_change(&table.slots[0]), [4]);
        assert_eq!(table.release_slot(), []);
        assert_eq!(table.locks.end_slot_read(INDEX), None);
        assert!(table.locks.is_empty());
    }
}
