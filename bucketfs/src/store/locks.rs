//! Who may do what with a share while others are at it.
//!
//! A task that changes a share owns its lock from its first look at the share until its
//! acknowledgement, the sync of the journal included; others that want to change it wait in line.
//! Readers do not mind an owner, except while it patches the container in place: half of a patch
//! is no container. So a patch waits for the readers that are there, and later ones wait for it.
//!
//! Nothing here runs a task: every method returns the tasks that may go on.

use std::collections::{HashMap, VecDeque};

use crate::layout::ShareKey;

/// The locks that somebody holds; others cost nothing.
#[derive(Debug)]
pub(super) struct Locks<T> {
    shares: HashMap<ShareKey, Lock<T>>,
}

#[derive(Debug)]
struct Lock<T> {
    owned: bool,
    line: VecDeque<T>,
    readers: usize,
    patch: Patch<T>,
    waiting_readers: Vec<T>,
}

#[derive(Debug)]
enum Patch<T> {
    None,
    /// The owner waits for the readers.
    Waiting(T),
    /// The owner writes.
    Running,
}

impl<T> Locks<T> {
    pub(super) fn new() -> Self {
        Self {
            shares: HashMap::new(),
        }
    }

    /// Takes the lock for a task, or puts the task in line.
    pub(super) fn acquire(&mut self, key: ShareKey, task: T) -> Option<T> {
        let lock = self.shares.entry(key).or_insert_with(Lock::new);
        if lock.owned {
            lock.line.push_back(task);
            return None;
        }
        lock.owned = true;
        Some(task)
    }

    /// Whether somebody owns the lock.
    pub(super) fn is_owned(&self, key: ShareKey) -> bool {
        self.shares.get(&key).is_some_and(|lock| lock.owned)
    }

    /// Gives the lock to the next in line, who is returned.
    pub(super) fn release(&mut self, key: ShareKey) -> Option<T> {
        let lock = self.shares.get_mut(&key).expect("the lock is held");
        assert!(lock.owned && matches!(lock.patch, Patch::None));
        let next = lock.line.pop_front();
        lock.owned = next.is_some();
        self.tidy(key);
        next
    }

    /// Begins a read, or has it wait for the patch.
    pub(super) fn begin_read(&mut self, key: ShareKey, task: T) -> Option<T> {
        let lock = self.shares.entry(key).or_insert_with(Lock::new);
        if !matches!(lock.patch, Patch::None) {
            lock.waiting_readers.push(task);
            return None;
        }
        lock.readers += 1;
        Some(task)
    }

    /// Ends a read; returns the patch that waited for it.
    pub(super) fn end_read(&mut self, key: ShareKey) -> Option<T> {
        let lock = self.shares.get_mut(&key).expect("a read was begun");
        lock.readers = lock.readers.checked_sub(1).expect("a read was begun");
        let mut ready = None;
        if lock.readers == 0 {
            if let Patch::Waiting(_) = lock.patch {
                if let Patch::Waiting(task) = std::mem::replace(&mut lock.patch, Patch::Running) {
                    ready = Some(task);
                }
            }
        }
        self.tidy(key);
        ready
    }

    /// Begins the owner's patch, or has it wait for the readers.
    pub(super) fn begin_patch(&mut self, key: ShareKey, task: T) -> Option<T> {
        let lock = self.shares.get_mut(&key).expect("the lock is held");
        assert!(lock.owned && matches!(lock.patch, Patch::None));
        if lock.readers > 0 {
            lock.patch = Patch::Waiting(task);
            return None;
        }
        lock.patch = Patch::Running;
        Some(task)
    }

    /// Ends the owner's patch; returns the readers that waited, whose reads have begun.
    pub(super) fn end_patch(&mut self, key: ShareKey) -> Vec<T> {
        let lock = self.shares.get_mut(&key).expect("the lock is held");
        assert!(matches!(lock.patch, Patch::Running));
        lock.patch = Patch::None;
        lock.readers = lock.waiting_readers.len();
        std::mem::take(&mut lock.waiting_readers)
    }

    /// Whether nobody holds or waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    fn tidy(&mut self, key: ShareKey) {
        let idle = |lock: &Lock<T>| !lock.owned && lock.readers == 0;
        if self.shares.get(&key).is_some_and(idle) {
            self.shares.remove(&key);
        }
    }
}

impl<T> Lock<T> {
    fn new() -> Self {
        Self {
            owned: false,
            line: VecDeque::new(),
            readers: 0,
            patch: Patch::None,
            waiting_readers: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use lafs::{ShareNumber, StorageIndex};

    use super::*;

    fn key() -> ShareKey {
        ShareKey {
            storage_index: StorageIndex::new([0; 16]),
            share: ShareNumber::new(0),
        }
    }

    #[test]
    fn owners_go_one_after_the_other_in_the_order_they_came() {
        let mut locks = Locks::new();
        assert!(!locks.is_owned(key()));
        assert_eq!(locks.acquire(key(), 1), Some(1));
        assert_eq!(locks.acquire(key(), 2), None);
        assert_eq!(locks.acquire(key(), 3), None);
        assert_eq!(locks.release(key()), Some(2));
        assert!(locks.is_owned(key()));
        assert_eq!(locks.release(key()), Some(3));
        assert_eq!(locks.release(key()), None);
        assert!(locks.is_empty());
    }

    #[test]
    fn readers_go_beside_an_owner_but_not_beside_its_patch() {
        let mut locks = Locks::new();
        assert_eq!(locks.acquire(key(), 1), Some(1));
        assert_eq!(locks.begin_read(key(), 2), Some(2));
        assert_eq!(locks.begin_read(key(), 3), Some(3));
        assert_eq!(locks.begin_patch(key(), 1), None);
        assert_eq!(locks.begin_read(key(), 4), None, "behind the patch");
        assert_eq!(locks.end_read(key()), None);
        assert_eq!(locks.end_read(key()), Some(1));
        assert_eq!(locks.begin_read(key(), 5), None);
        assert_eq!(locks.end_patch(key()), [4, 5]);
        assert_eq!(locks.release(key()), None);
        assert_eq!(locks.end_read(key()), None);
        assert_eq!(locks.end_read(key()), None);
        assert!(locks.is_empty());
    }
}
