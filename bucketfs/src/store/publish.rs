//! How a share gets its name whose bytes were synced, and which the journal does not have.
//!
//! ```text
//! a new one                 looked for -> entered -> rename -> directory syncs -> fence -> done
//! it replaced another                                          directory syncs -> fence -> done
//! ```
//!
//! Each step waits for the one before. A new share is entered into the account as one *being named*
//! before it may be there: then a crash at any later moment leaves an account that says where to
//! look. The share is named for good before the fence, which makes void what the journal still says
//! about an earlier share of that name: a fence that came first would also void the removal of that
//! one, and a crash could bring it back. A failed sync gives the share up: asked again the kernel
//! would say that all is well.

use std::collections::VecDeque;

use rustix::io::Errno;
use slab::Slab;

use super::context::{Context, Machinery, cleaned_up, is_held, unwritable};
use super::event::{Event, Fence, Machine, NotPublished, Publish, Unfenced, Waiter};
use super::locks::Owned;
use crate::disk::{Completion, Operation, StorePath};
use crate::durable::{BytesDurable, Durable, NameDurable};
use crate::error::DiskError;
use crate::journal::account::{Entry, NAMING_MAX};
use crate::journal::format::Record;
use crate::journal::log::{Group, Hold};
use crate::layout::ShareKey;
use crate::refusal::Unwritable;

/// All shares that are being named.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// How many are being named, or about to be: at most [`NAMING_MAX`].
    naming: usize,
    /// Until others have their names.
    in_line: VecDeque<Publish>,
    /// For the disk.
    steps: Slab<Step>,
    /// For the journal.
    recording: Slab<Recording>,
}

#[derive(Debug)]
enum Step {
    /// Whether there is such a share already.
    Probe(Publish),
    /// The rename of a share.
    Name(Publish),
    /// The directories above shares, whose names and bytes are these.
    Directories(Directories),
    /// The share given up is being removed again; its lock is held until it has gone.
    Gone(Owned, DiskError, Waiter),
}

/// Names that are being synced.
#[derive(Debug)]
struct Directories {
    bytes: BytesDurable,
    fences: Vec<ShareKey>,
    whom: Whom,
}

/// What the journal is to have.
#[derive(Debug)]
enum Recording {
    /// That a share is being named.
    Naming(Publish),
    /// That names last.
    Fence(Whom),
    /// That a share has no name after all, and why; with its file, if that is still there.
    NotNamed(Owned, NotPublished, Option<StorePath>, Waiter),
}

/// Whom to tell.
#[derive(Debug)]
enum Whom {
    /// Who publishes a share.
    Share(Owned, Waiter),
    /// Who has replaced shares of a slot, whose lock it has.
    Slot(Waiter),
}

// A new share.
impl Publishing {
    pub(super) fn publish(&mut self, cx: &mut Context, publish: Publish) {
        self.in_line.push_back(publish);
        self.next(cx);
    }

    /// Takes up those in line, as far as there is room in the account.
    fn next(&mut self, cx: &mut Context) {
        while self.naming < NAMING_MAX {
            let Some(publish) = self.in_line.pop_front() else {
                return self.in_line.shrink_to(NAMING_MAX);
            };
            self.naming += 1;
            let operation = cx.probe(publish.owned.key());
            self.start(cx, Step::Probe(publish), operation);
        }
    }

    fn probed(&mut self, cx: &mut Context, publish: Publish, completion: &Completion) {
        match is_held(completion) {
            Ok(false) => {
                let entry = Entry::Naming {
                    key: publish.owned.key(),
                    size: publish.size,
                };
                self.record(cx, Group::entry(entry), Recording::Naming(publish));
            }
            Ok(true) => {
                let call = "renameat2";
                let errno = Errno::EXIST;
                let why = NotPublished::AlreadyHeld(DiskError { call, errno });
                self.not_entered(cx, publish, why);
            }
            Err(error) => {
                self.not_entered(cx, publish, NotPublished::Refused(unwritable(error)));
            }
        }
    }

    fn not_entered(&mut self, cx: &mut Context, publish: Publish, why: NotPublished) {
        cx.clean_up(publish.source);
        self.ended(cx, publish.owned, publish.then, Err(why));
    }

    fn named(&mut self, cx: &mut Context, publish: Publish, completion: &Completion) {
        let Err(error) = completion.result else {
            let key = publish.owned.key();
            let directories = Directories {
                bytes: publish.bytes,
                fences: vec![key],
                whom: Whom::Share(publish.owned, publish.then),
            };
            return self.sync_directories(cx, directories, key.storage_index);
        };
        let path = cx.place(publish.owned.key());
        tracing::warn!(%path, %error, "cannot publish a share");
        let why = match error.errno {
            Errno::EXIST => NotPublished::AlreadyHeld(error),
            _ => NotPublished::Refused(unwritable(error)),
        };
        let mut group = Group::entry(Entry::NotNamed {
            key: publish.owned.key(),
        });
        group.is_done = true;
        // Its file goes once nobody looks for it any more.
        let source = Some(publish.source);
        let recording = Recording::NotNamed(publish.owned, why, source, publish.then);
        self.record(cx, group, recording);
    }

    /// A share whose name could not be synced is removed again, or could not be.
    fn taken_back(
        &mut self,
        cx: &mut Context,
        (owned, error, then): (Owned, DiskError, Waiter),
        completion: &Completion,
    ) {
        let key = owned.key();
        let group = match completion.result {
            // The removal is not synced either: whoever replays the journal removes it again.
            Ok(_) => Group::one(Record::Remove { key }, Entry::NotNamed { key }),
            Err(_) => {
                cleaned_up(completion);
                Group::entry(Entry::Named { key })
            }
        };
        let group = Group {
            is_done: true,
            ..group
        };
        let why = NotPublished::Refused(Unwritable::Disk(error));
        self.record(cx, group, Recording::NotNamed(owned, why, None, then));
    }

    /// The end of every share that was to be named.
    fn ended(
        &mut self,
        cx: &mut Context,
        owned: Owned,
        then: Waiter,
        result: Result<Durable, NotPublished>,
    ) {
        cx.send(Event::Published(then, owned, result));
        self.naming -= 1;
        self.next(cx);
    }
}

// Names, of new shares and of slots'.
impl Publishing {
    pub(super) fn fence(&mut self, cx: &mut Context, fence: Fence) {
        let directories = Directories {
            bytes: fence.bytes,
            fences: fence.keys,
            whom: Whom::Slot(fence.then),
        };
        self.sync_directories(cx, directories, fence.storage_index);
    }

    fn sync_directories(
        &mut self,
        cx: &mut Context,
        directories: Directories,
        storage_index: lafs::StorageIndex,
    ) {
        if let Some(waiver) = cx.waiver() {
            let name = NameDurable::waived(waiver, directories.bytes);
            return self.record_fences(cx, &directories.fences, directories.whom, name);
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
            (Ok(name), whom) => self.record_fences(cx, &fences, whom, name),
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

    fn record_fences(&mut self, cx: &mut Context, keys: &[ShareKey], whom: Whom, _: NameDurable) {
        let entries = match &whom {
            Whom::Share(owned, _) => vec![Entry::Named { key: owned.key() }],
            // What they replaced was exchanged in the account by the batch that has their records.
            Whom::Slot(_) => Vec::new(),
        };
        let group = Group {
            records: keys.iter().map(|key| Record::Fence { key: *key }).collect(),
            entries,
            is_done: true,
        };
        self.record(cx, group, Recording::Fence(whom));
    }

    fn record(&mut self, cx: &mut Context, group: Group, recording: Recording) {
        let waiter = waiter(self.recording.insert(recording));
        cx.record(group, waiter);
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }
}

impl Machinery for Publishing {
    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Probe(publish) => self.probed(cx, publish, &completion),
            Step::Name(publish) => self.named(cx, publish, &completion),
            Step::Directories(directories) => self.directories_synced(cx, directories, &completion),
            Step::Gone(owned, error, then) => {
                self.taken_back(cx, (owned, error, then), &completion);
            }
        }
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, durable: Durable, hold: Hold) {
        // Of an entry the tree is to have nothing; what a fence or a removal says it has already.
        cx.release_hold(hold);
        match self.recording.remove(index) {
            Recording::Naming(publish) => {
                let operation = Operation::Publish {
                    source: publish.source.clone(),
                    target: cx.place(publish.owned.key()),
                };
                self.start(cx, Step::Name(publish), operation);
            }
            Recording::Fence(Whom::Share(owned, then)) => {
                self.ended(cx, owned, then, Ok(durable));
            }
            Recording::Fence(Whom::Slot(then)) => cx.send(Event::Fenced(then, Ok(()))),
            Recording::NotNamed(owned, why, source, then) => {
                source.into_iter().for_each(|source| cx.clean_up(source));
                self.ended(cx, owned, then, Err(why));
            }
        }
    }

    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        match self.recording.remove(index) {
            Recording::Naming(publish) => {
                let why = NotPublished::Refused(cx.record_refusal());
                self.not_entered(cx, publish, why);
            }
            // Without its fence the share is there, and may go again when the journal is replayed.
            Recording::Fence(Whom::Share(owned, then)) => {
                let why = NotPublished::Refused(cx.record_refusal());
                self.ended(cx, owned, then, Err(why));
            }
            Recording::Fence(Whom::Slot(then)) => {
                cx.send(Event::Fenced(then, Err(Unfenced::Unrecorded)));
            }
            // Whoever replays the journal looks for the share.
            Recording::NotNamed(owned, why, source, then) => {
                source.into_iter().for_each(|source| cx.clean_up(source));
                self.ended(cx, owned, then, Err(why));
            }
        }
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Publish,
        index,
    }
}
