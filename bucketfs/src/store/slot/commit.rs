//! A change that is prepared becomes what the slot is.
//!
//! ```text
//! directory of a new slot -> names in incoming synced -> one batch of the journal -> the tree follows -> acknowledged
//! and if containers were made in incoming:
//! directories above the shares synced -> fences, one batch -> names in incoming removed
//! ```
//!
//! Until its fence a container has two names, the share's and the one in incoming: that of the
//! share may be lost with the power, and then replay gives it again. The lock is held until the
//! end, so that no record of another change can come between the batch and its fences.

use bytes::Bytes;
use lafs::StorageIndex;

use super::{Change, Flight};
use crate::disk::{Completion, Operation, StorePath};
use crate::durable::{Durable, NameDurable};
use crate::error::Refusal;
use crate::journal::format::Record;
use crate::journal::log::Hold;
use crate::layout::{self, INCOMING, Layout, ShareKey};
use crate::store::{Recorded, Store, Task, refusal};

/// What becomes of one share.
#[derive(Debug)]
pub(in crate::store) enum Step {
    /// It is changed in place.
    Patch {
        key: ShareKey,
        writes: Vec<(u64, Bytes)>,
    },
    /// It has this container from now on, which is in incoming.
    Create {
        key: ShareKey,
        container: Bytes,
        incoming: StorePath,
    },
    /// It has the container that is in incoming under this number.
    Replace { key: ShareKey, serial: u64 },
    /// It is gone.
    Remove { key: ShareKey },
}

/// A change whose batch is durable; the tree follows it step by step.
#[derive(Debug)]
pub(in crate::store) struct Following {
    change: Box<Change>,
    durable: Durable,
    hold: Hold,
    done: usize,
}

/// A change that is done, but for what it needed in incoming.
#[derive(Debug)]
pub(in crate::store) struct Settling {
    storage_index: StorageIndex,
    spool: Option<StorePath>,
    replaced: Vec<(ShareKey, u64)>,
    /// Of the names in incoming.
    name: NameDurable,
}

impl Step {
    fn key(&self) -> ShareKey {
        match self {
            Self::Patch { key, .. }
            | Self::Create { key, .. }
            | Self::Replace { key, .. }
            | Self::Remove { key } => *key,
        }
    }

    fn record(&self) -> Record {
        match self {
            Self::Patch { key, writes } => Record::Patch {
                key: *key,
                writes: writes.clone(),
                size: None,
            },
            Self::Create { key, container, .. } => Record::Create {
                key: *key,
                container: container.clone(),
            },
            Self::Replace { key, serial } => Record::Replace {
                key: *key,
                serial: *serial,
            },
            Self::Remove { key } => Record::Remove { key: *key },
        }
    }

    fn operation(&self, layout: Layout) -> Operation {
        let path = layout.share(self.key());
        match self {
            Self::Patch { writes, .. } => Operation::Patch {
                path,
                writes: writes.clone(),
                size: None,
            },
            Self::Create { incoming, .. } => Operation::Replace {
                source: incoming.clone(),
                spare: None,
                target: path,
            },
            Self::Replace { serial, .. } => Operation::Replace {
                source: layout::incoming(*serial),
                spare: Some(layout::spare(*serial)),
                target: path,
            },
            Self::Remove { .. } => Operation::Remove {
                path,
                prune: layout.levels(),
            },
        }
    }

    /// The file in incoming that was made for it.
    pub(super) fn incoming(&self) -> Option<StorePath> {
        match self {
            Self::Create { incoming, .. } => Some(incoming.clone()),
            Self::Replace { serial, .. } => Some(layout::incoming(*serial)),
            Self::Patch { .. } | Self::Remove { .. } => None,
        }
    }
}

// The batch.
impl Store {
    pub(super) fn all_prepared(&mut self, mut change: Box<Change>) {
        if change.steps.is_empty() {
            self.space.cancel(change.promised);
            let answer = change.answer();
            self.acknowledge(change.request, answer, Durable::found_under_lock());
            return self.change_ended(change.ask.storage_index, change.spool);
        }
        // Those that go last: then no directory goes that another share needs.
        change
            .steps
            .sort_by_key(|step| matches!(step, Step::Remove { .. }));
        if !change.found.is_empty() {
            return self.sync_incoming(change);
        }
        // A full disk has room for a name in a directory, but perhaps not for the directory.
        let path = self.layout.bucket(change.ask.storage_index);
        self.start_change(Flight::Bucket(change), Operation::MakeDirectories { path });
    }

    pub(super) fn bucket_made(&mut self, change: Box<Change>, completion: &Completion) {
        match completion.result {
            Ok(_) => self.sync_incoming(change),
            Err(error) => self.change_refused(*change, refusal(error)),
        }
    }

    fn sync_incoming(&mut self, mut change: Box<Change>) {
        match (change.bytes.take(), self.waiver()) {
            (None, _) => self.commit(change, None),
            (Some(bytes), Some(waiver)) => {
                self.commit(change, Some(NameDurable::waived(waiver, bytes)));
            }
            (Some(bytes), None) => {
                change.bytes = Some(bytes);
                let paths = vec![StorePath::new(INCOMING)];
                self.start_change(Flight::Names(change), Operation::SyncDirectories { paths });
            }
        }
    }

    pub(super) fn incoming_synced(&mut self, mut change: Box<Change>, completion: &Completion) {
        let bytes = change.bytes.take().expect("their names were synced");
        match NameDurable::synced(completion, bytes) {
            Ok(name) => self.commit(change, Some(name)),
            Err(error) => {
                tracing::warn!(%error, "cannot sync the directory of incoming files");
                self.change_refused(*change, Refusal::Disk(error));
            }
        }
    }

    fn commit(&mut self, mut change: Box<Change>, name: Option<NameDurable>) {
        let replaces = |step: &Step| matches!(step, Step::Replace { .. });
        assert_eq!(name.is_some(), change.steps.iter().any(replaces));
        change.name = name;
        let records = change.steps.iter().map(Step::record).collect();
        self.record_all(records, Recorded::Change(change));
    }

    pub(in crate::store) fn change_recorded(
        &mut self,
        change: Box<Change>,
        durable: Durable,
        hold: Hold,
    ) {
        let index = change.ask.storage_index;
        let following = Following {
            change,
            durable,
            hold,
            done: 0,
        };
        let ready = self.locks.begin_slot_change(index, Task::Follow(following));
        self.runnable.extend(ready);
    }

    /// The batch may have reached the disk all the same, and replay needs what is in incoming.
    pub(in crate::store) fn change_record_failed(&mut self, change: Change) {
        self.space.cancel(change.promised);
        self.refuse(change.request, Refusal::Failed);
        self.change_ended(change.ask.storage_index, change.spool);
    }
}

// The tree.
impl Store {
    pub(in crate::store) fn follow(&mut self, following: Following) {
        match following.change.steps.get(following.done) {
            Some(step) => {
                let operation = step.operation(self.layout);
                self.start_change(Flight::Follow(following), operation);
            }
            None => self.change_done(following),
        }
    }

    pub(super) fn followed(&mut self, mut following: Following, completion: &Completion) {
        match completion.result {
            Ok(_) => {
                following.done += 1;
                self.follow(following);
            }
            Err(error) => {
                let keys: Vec<_> = following.change.steps.iter().map(Step::key).collect();
                let path = self.layout.share(keys[following.done]);
                // Some shares are changed and some are not: opening the store again completes it.
                self.torn.extend(keys);
                self.give_up(&path, error);
                let change = self.end_following(following.change, following.hold);
                self.refuse(change.request, Refusal::Disk(error));
                self.change_ended(change.ask.storage_index, change.spool);
            }
        }
    }

    fn end_following(&mut self, change: Box<Change>, hold: Hold) -> Box<Change> {
        self.log.release(hold);
        self.space.keep(change.promised);
        let index = change.ask.storage_index;
        self.slots.versions.change(index);
        self.runnable.extend(self.locks.end_slot_change(index));
        change
    }

    fn change_done(&mut self, following: Following) {
        let Following {
            change,
            durable,
            hold,
            ..
        } = following;
        let mut change = self.end_following(change, hold);
        let answer = change.answer();
        self.acknowledge(change.request, answer, durable);
        let replaced = change.steps.iter().filter_map(|step| match step {
            Step::Replace { key, serial } => Some((*key, *serial)),
            _ => None,
        });
        match change.name.take() {
            None => self.change_ended(change.ask.storage_index, change.spool),
            Some(name) => self.settle(Settling {
                storage_index: change.ask.storage_index,
                spool: change.spool.clone(),
                replaced: replaced.collect(),
                name,
            }),
        }
    }
}

// What is left in incoming.
impl Store {
    fn settle(&mut self, settling: Settling) {
        if let Some(waiver) = self.waiver() {
            let bytes = settling.name.of_bytes();
            return self.fence(settling, NameDurable::waived(waiver, bytes));
        }
        let paths = self.layout.above(settling.storage_index);
        let flight = Flight::Settle(settling);
        self.start_change(flight, Operation::SyncDirectories { paths });
    }

    pub(super) fn directories_synced(&mut self, settling: Settling, completion: &Completion) {
        match NameDurable::synced(completion, settling.name.of_bytes()) {
            Ok(name) => self.fence(settling, name),
            Err(error) => {
                // The journal has the change, and incoming the containers, until the next start.
                let path = self.layout.bucket(settling.storage_index);
                tracing::warn!(%path, %error, "cannot sync the directories above a slot");
                self.change_ended(settling.storage_index, settling.spool);
            }
        }
    }

    fn fence(&mut self, settling: Settling, _: NameDurable) {
        let fence = |(key, _): &(ShareKey, u64)| Record::Fence { key: *key };
        let fences = settling.replaced.iter().map(fence).collect();
        self.record_all(fences, Recorded::Fences(settling));
    }

    pub(in crate::store) fn fences_recorded(&mut self, settling: Settling, hold: Hold) {
        self.log.release(hold);
        for (_, serial) in &settling.replaced {
            self.clean_up(layout::incoming(*serial));
        }
        self.change_ended(settling.storage_index, settling.spool);
    }

    pub(in crate::store) fn fences_failed(&mut self, settling: Settling) {
        self.change_ended(settling.storage_index, settling.spool);
    }
}
