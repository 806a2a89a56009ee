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

use std::collections::BTreeMap;

use bytes::Bytes;
use lafs::num;

use super::{Change, Slots, Step, end, refuse, waiter};
use crate::disk::{Completion, Operation, StorePath};
use crate::durable::{Durable, NameDurable};
use crate::journal::account::Entry;
use crate::journal::format::Record;
use crate::journal::log::{Group, Hold};
use crate::kind::ShareKind;
use crate::layout::{self, INCOMING, ShareKey};
use crate::refusal::Unwritable;
use crate::store::context::{Context, unwritable};
use crate::store::event::{Event, Fence, Unfenced};
use crate::store::locks::SlotOwned;
use crate::store::reply::Changed;

/// What becomes of one share.
#[derive(Debug)]
pub(super) enum Revision {
    /// It is changed in place.
    Patch {
        key: ShareKey,
        writes: Vec<(u64, Bytes)>,
    },
    /// It has this container from now on, which is in incoming.
    Create {
        key: ShareKey,
        /// The size of its file so far, if there is one.
        before: Option<u64>,
        container: Bytes,
        incoming: StorePath,
    },
    /// It has the container that is in incoming under this number.
    Replace {
        key: ShareKey,
        before: Option<u64>,
        /// The size of that container.
        after: u64,
        serial: u64,
    },
    /// It is gone.
    Remove {
        key: ShareKey,
        /// The size that its file had.
        before: u64,
    },
}

/// A change whose batch is durable; the tree follows it, one share after the other.
#[derive(Debug)]
pub(super) struct Following {
    change: Box<Change>,
    durable: Durable,
    hold: Hold,
    done: usize,
}

/// A change that is done, but for what it needed in incoming.
#[derive(Debug)]
pub(super) struct Settling {
    owned: SlotOwned,
    spool: Option<StorePath>,
    /// The serial numbers in incoming.
    replaced: Vec<u64>,
}

impl Revision {
    fn key(&self) -> ShareKey {
        match self {
            Self::Patch { key, .. }
            | Self::Create { key, .. }
            | Self::Replace { key, .. }
            | Self::Remove { key, .. } => *key,
        }
    }

    /// What it changes of the totals.
    fn entry(&self) -> Option<Entry> {
        let (before, after) = match self {
            // It stays within the file that there is.
            Self::Patch { .. } => return None,
            Self::Create {
                before, container, ..
            } => (*before, Some(num::size(container.len()))),
            Self::Replace { before, after, .. } => (*before, Some(*after)),
            Self::Remove { before, .. } => (Some(*before), None),
        };
        let kind = ShareKind::Mutable;
        Some(Entry::resized(self.key(), kind, before, after))
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
            Self::Replace { key, serial, .. } => Record::Replace {
                key: *key,
                serial: *serial,
            },
            Self::Remove { key, .. } => Record::Remove { key: *key },
        }
    }

    fn operation(&self, cx: &Context) -> Operation {
        let path = cx.place(self.key());
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
                prune: cx.prunable(self.key().storage_index),
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
impl Slots {
    pub(super) fn all_prepared(&mut self, cx: &mut Context, mut change: Box<Change>) {
        change.whole = BTreeMap::new();
        if change.revisions.is_empty() {
            cx.cancel(change.promised);
            let durable = Durable::found_under(&change.owned);
            let read = std::mem::take(&mut change.read);
            let change = *change;
            cx.acknowledge(change.asker, Changed { read }, durable);
            return end(cx, change.owned, change.spool);
        }
        // Those that go last: then no directory goes that another share needs.
        let goes = |revision: &Revision| matches!(revision, Revision::Remove { .. });
        change.revisions.sort_by_key(goes);
        if !change.found.is_empty() {
            return self.sync_incoming(cx, change);
        }
        // A full disk has room for a name in a directory, but perhaps not for the directory.
        let path = cx.bucket(change.owned.index());
        self.start(
            cx,
            Step::Bucket(change),
            Operation::MakeDirectories { path },
        );
    }

    pub(super) fn bucket_made(
        &mut self,
        cx: &mut Context,
        change: Box<Change>,
        completion: &Completion,
    ) {
        match completion.result {
            Ok(_) => self.sync_incoming(cx, change),
            Err(error) => refuse(cx, *change, unwritable(error)),
        }
    }

    fn sync_incoming(&mut self, cx: &mut Context, mut change: Box<Change>) {
        match (change.bytes.take(), cx.waiver()) {
            (None, _) => self.commit(cx, change, None),
            (Some(bytes), Some(waiver)) => {
                self.commit(cx, change, Some(NameDurable::waived(waiver, bytes)));
            }
            (Some(bytes), None) => {
                change.bytes = Some(bytes);
                let paths = vec![StorePath::new(INCOMING)];
                self.start(
                    cx,
                    Step::Names(change),
                    Operation::SyncDirectories { paths },
                );
            }
        }
    }

    pub(super) fn incoming_synced(
        &mut self,
        cx: &mut Context,
        mut change: Box<Change>,
        completion: &Completion,
    ) {
        let bytes = change.bytes.take().expect("their names were synced");
        match NameDurable::synced(completion, bytes) {
            Ok(name) => self.commit(cx, change, Some(name)),
            Err(error) => {
                tracing::warn!(%error, "cannot sync the directory of incoming files");
                refuse(cx, *change, Unwritable::Disk(error));
            }
        }
    }

    fn commit(&mut self, cx: &mut Context, mut change: Box<Change>, name: Option<NameDurable>) {
        let replaces = |revision: &Revision| matches!(revision, Revision::Replace { .. });
        assert_eq!(name.is_some(), change.revisions.iter().any(replaces));
        change.name = name;
        let group = Group {
            records: change.revisions.iter().map(Revision::record).collect(),
            entries: change
                .revisions
                .iter()
                .filter_map(Revision::entry)
                .collect(),
            is_done: false,
        };
        cx.record(group, waiter(self.committing.insert(change)));
    }

    pub(super) fn committed(
        &mut self,
        cx: &mut Context,
        change: Box<Change>,
        durable: Durable,
        hold: Hold,
    ) {
        let index = self.following.insert(Following {
            change,
            durable,
            hold,
            done: 0,
        });
        cx.begin_slot_change(&self.following[index].change.owned, waiter(index));
    }
}

// The tree.
impl Slots {
    pub(super) fn follow(&mut self, cx: &mut Context, following: Following) {
        match following.change.revisions.get(following.done) {
            Some(revision) => {
                let operation = revision.operation(cx);
                self.start(cx, Step::Follow(following), operation);
            }
            None => self.done(cx, following),
        }
    }

    pub(super) fn followed(
        &mut self,
        cx: &mut Context,
        mut following: Following,
        completion: &Completion,
    ) {
        match completion.result {
            Ok(_) => {
                following.done += 1;
                self.follow(cx, following);
            }
            Err(error) => {
                let keys: Vec<_> = following
                    .change
                    .revisions
                    .iter()
                    .map(Revision::key)
                    .collect();
                let path = cx.place(keys[following.done]);
                // Some shares are changed and some are not: opening the store again completes it.
                cx.tear(keys);
                cx.give_up(&path, error);
                let change = *following.change;
                followed_up(cx, &change, following.hold);
                cx.refuse(change.asker, Unwritable::Disk(error));
                end(cx, change.owned, change.spool);
            }
        }
    }

    fn done(&mut self, cx: &mut Context, following: Following) {
        let change = *following.change;
        followed_up(cx, &change, following.hold);
        let read = change.read;
        cx.acknowledge(change.asker, Changed { read }, following.durable);
        let Some(name) = change.name else {
            return end(cx, change.owned, change.spool);
        };
        let replaced = change
            .revisions
            .iter()
            .filter_map(|revision| match revision {
                Revision::Replace { key, serial, .. } => Some((*key, *serial)),
                _ => None,
            });
        let (keys, replaced) = replaced.unzip();
        let storage_index = change.owned.index();
        let settling = Settling {
            owned: change.owned,
            spool: change.spool,
            replaced,
        };
        let fence = Fence {
            storage_index,
            keys,
            bytes: name.into_bytes(),
            then: waiter(self.settling.insert(settling)),
        };
        cx.send(Event::Fence(fence));
    }
}

impl Settling {
    /// Ends the change, whose fences are recorded or are not.
    pub(super) fn end(self, cx: &mut Context, fenced: Result<(), Unfenced>) {
        match fenced {
            Ok(()) => {
                for serial in self.replaced {
                    cx.clean_up(layout::incoming(serial));
                }
            }
            // The journal has the change, and incoming the containers, until the next start.
            Err(Unfenced::Names(error)) => {
                let path = cx.bucket(self.owned.index());
                tracing::warn!(%path, %error, "cannot sync the directories above a slot");
            }
            Err(Unfenced::Unrecorded) => {}
        }
        end(cx, self.owned, self.spool);
    }
}

/// The tree has followed a change, or never will.
fn followed_up(cx: &mut Context, change: &Change, hold: Hold) {
    cx.release_hold(hold);
    cx.keep(change.promised);
    cx.end_slot_change(&change.owned);
}
