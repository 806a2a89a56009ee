//! How a share gets its name whose bytes were synced, and which the journal does not have.
//!
//! ```text
//! a new one                 rename -> directory syncs -> fence -> done
//! it replaced another                 directory syncs -> fence -> done
//! ```
//!
//! Each step waits for the one before. The share is named for good before the fence, which makes
//! void what the journal still says about an earlier share of that name: a fence that came first
//! would also void the removal of that one, and a crash could bring it back. A failed sync gives the
//! share up: asked again the kernel would say that all is well.

use rustix::io::Errno;
use slab::Slab;

use super::context::{Context, Machinery, cleaned_up, unwritable};
use super::event::{Event, Fence, Machine, NotPublished, Publish, Unfenced, Waiter};
use super::locks::Owned;
use crate::disk::{Completion, Operation};
use crate::durable::{BytesDurable, Durable, NameDurable};
use crate::error::DiskError;
use crate::journal::format::Record;
use crate::journal::log::Hold;
use crate::refusal::Unwritable;

/// All shares that are being named.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// For the disk.
    steps: Slab<Step>,
    /// For the journal to have their fences.
    fencing: Slab<Whom>,
}

#[derive(Debug)]
enum Step {
    /// The rename of a share.
    Name(Owned, BytesDurable, Waiter),
    /// The directories above shares, whose names and bytes are these.
    Directories(Directories),
    /// The share given up is being removed again; its lock is held until it has gone.
    Gone(Owned, DiskError, Waiter),
}

/// Names that are being synced.
#[derive(Debug)]
struct Directories {
    bytes: BytesDurable,
    fences: Vec<Record>,
    whom: Whom,
}

/// Whom to tell.
#[derive(Debug)]
enum Whom {
    /// Who publishes a share.
    Share(Owned, Waiter),
    /// Who has replaced shares of a slot, whose lock it has.
    Slot(Waiter),
}

impl Publishing {
    pub(super) fn publish(&mut self, cx: &mut Context, publish: Publish) {
        let operation = Operation::Publish {
            source: publish.source,
            target: cx.place(publish.owned.key()),
        };
        let step = Step::Name(publish.owned, publish.bytes, publish.then);
        self.start(cx, step, operation);
    }

    pub(super) fn fence(&mut self, cx: &mut Context, fence: Fence) {
        let fences = fence.keys.into_iter().map(|key| Record::Fence { key });
        let directories = Directories {
            bytes: fence.bytes,
            fences: fences.collect(),
            whom: Whom::Slot(fence.then),
        };
        self.sync_directories(cx, directories, fence.storage_index);
    }

    fn named(
        &mut self,
        cx: &mut Context,
        owned: Owned,
        bytes: BytesDurable,
        then: Waiter,
        completion: &Completion,
    ) {
        let Err(error) = completion.result else {
            let key = owned.key();
            let directories = Directories {
                bytes,
                fences: vec![Record::Fence { key }],
                whom: Whom::Share(owned, then),
            };
            return self.sync_directories(cx, directories, key.storage_index);
        };
        if let Operation::Publish { source, target } = &completion.operation {
            tracing::warn!(path = %target, %error, "cannot publish a share");
            cx.clean_up(source.clone());
        }
        let why = match error.errno {
            Errno::EXIST => NotPublished::AlreadyHeld(error),
            _ => NotPublished::Refused(unwritable(error)),
        };
        cx.send(Event::Published(then, owned, Err(why)));
    }

    fn sync_directories(
        &mut self,
        cx: &mut Context,
        directories: Directories,
        storage_index: lafs::StorageIndex,
    ) {
        if let Some(waiver) = cx.waiver() {
            let name = NameDurable::waived(waiver, directories.bytes);
            return self.record_fences(cx, directories.fences, directories.whom, name);
        }
        let paths = cx.above(storage_index);
        let operation = Operation::SyncDirectories { paths };
        self.start(cx, Step::Directories(directories), operation);
    }

    fn directories_synced(
        &mut self,
        cx: &mut Context,
        directories: Directories,
        completion: &Completion,
    ) {
        let Directories {
            bytes,
            fences,
            whom,
        } = directories;
        match (NameDurable::synced(completion, bytes), whom) {
            (Ok(name), whom) => self.record_fences(cx, fences, whom, name),
            (Err(error), Whom::Share(owned, then)) => {
                let path = cx.place(owned.key());
                tracing::warn!(%path, %error, "cannot sync the directories above a share");
                let prune = cx.prunable(owned.key().storage_index);
                let step = Step::Gone(owned, error, then);
                self.start(cx, step, Operation::Remove { path, prune });
            }
            (Err(error), Whom::Slot(then)) => {
                cx.send(Event::Fenced(then, Err(Unfenced::Names(error))));
            }
        }
    }

    fn record_fences(&mut self, cx: &mut Context, fences: Vec<Record>, whom: Whom, _: NameDurable) {
        let waiter = waiter(self.fencing.insert(whom));
        cx.record(fences, waiter);
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }
}

impl Machinery for Publishing {
    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Name(owned, bytes, then) => self.named(cx, owned, bytes, then, &completion),
            Step::Directories(directories) => self.directories_synced(cx, directories, &completion),
            Step::Gone(owned, error, then) => {
                cleaned_up(&completion);
                let why = NotPublished::Refused(Unwritable::Disk(error));
                cx.send(Event::Published(then, owned, Err(why)));
            }
        }
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, durable: Durable, hold: Hold) {
        // The tree has what the fence says already.
        cx.release_hold(hold);
        match self.fencing.remove(index) {
            Whom::Share(owned, then) => cx.send(Event::Published(then, owned, Ok(durable))),
            Whom::Slot(then) => cx.send(Event::Fenced(then, Ok(()))),
        }
    }

    /// Without its fence the share is there, and may go again when the journal is replayed.
    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        match self.fencing.remove(index) {
            Whom::Share(owned, then) => {
                let why = NotPublished::Refused(cx.record_refusal());
                cx.send(Event::Published(then, owned, Err(why)));
            }
            Whom::Slot(then) => cx.send(Event::Fenced(then, Err(Unfenced::Unrecorded))),
        }
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Publish,
        index,
    }
}
