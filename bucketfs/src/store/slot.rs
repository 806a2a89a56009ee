//! Changes of slots: the shares of a storage index are tested, read and changed as one.
//!
//! ```text
//! lock of the slot -> list -> headers -> write enabler -> tests and reads
//!   -> room -> what each share is to be (prepare) -> one batch of the journal (commit)
//!   -> the tree follows, no reader being there -> acknowledged
//! ```
//!
//! One operation is in flight for a change at any time; changes of other slots go side by side.
//! Whatever may fail does so before the batch: then nothing has changed. The batch holds the whole
//! change, so that a crash leaves all of it or nothing.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use lafs::{ShareNumber, num};
use slab::Slab;

mod commit;
mod draft;
mod judge;
mod prepare;
mod rewrite;

use super::context::{Context, Machinery};
use super::event::{Event, Machine, SpoolFailure, Spooled, Unfenced, UseSpool, Waiter};
use super::locks::SlotOwned;
use super::reply::{Asker, Unchanged};
use super::space::Measurement;
use crate::container;
use crate::container::mutable::{Content, Header};
use crate::disk::{ByteRange, Completion, FileId, Operation, StorePath};
use crate::durable::{BytesDurable, Durable, NameDurable};
use crate::journal::log::Hold;
use crate::layout::ShareKey;
use crate::limits;
use crate::refusal::{SlotRefusal, Unwritable};
use crate::request::{ReadTestWrite, SlotWrite};
use commit::{Following, Revision, Settling};
use draft::{Budget, Draft};
use judge::{Authorized, Look};
use prepare::Preparing;
use rewrite::Rewriting;

/// All changes of slots under way.
#[derive(Debug)]
pub(super) struct Slots {
    /// For containers that are written anew.
    free_files: Vec<FileId>,
    /// Changes that wait for one of those.
    in_line: VecDeque<(Box<Change>, Box<Draft>)>,
    /// For their spool.
    spooling: Slab<Asked>,
    /// For the lock of their slot.
    waiting: Slab<Asked>,
    /// For the disk.
    steps: Slab<Step>,
    /// For the journal.
    committing: Slab<Box<Change>>,
    /// For the readers of their slot.
    following: Slab<Following>,
    /// For their fences.
    settling: Slab<Settling>,
}

/// A request that has not begun.
#[derive(Debug)]
struct Asked {
    asker: Asker<ReadTestWrite>,
    ask: Box<ReadTestWrite>,
    expiration: u32,
    /// The file of its spool, which goes with it.
    spool: Option<StorePath>,
}

/// One request under way.
#[derive(Debug)]
struct Change {
    asker: Asker<ReadTestWrite>,
    ask: Box<ReadTestWrite>,
    expiration: u32,
    spool: Option<StorePath>,
    owned: SlotOwned,
    /// The shares that are there.
    found: BTreeMap<ShareNumber, Header>,
    /// The files of those that are small: what is read first is all of them.
    whole: BTreeMap<ShareNumber, Vec<u8>>,
    whole_len: usize,
    passed: bool,
    read: Vec<(ShareNumber, Vec<Bytes>)>,
    promised: u64,
    /// The shares that are still to be prepared.
    left: Vec<ShareNumber>,
    budget: Budget,
    /// What the tree is to do once the batch is durable.
    revisions: Vec<Revision>,
    /// That the new containers of larger shares are on the disk; then that their names are, too.
    bytes: Option<BytesDurable>,
    name: Option<NameDurable>,
}

#[derive(Debug)]
enum Step {
    List(Box<Change>),
    /// The header of a share; those left to be read.
    Front(Box<Change>, ShareNumber, Vec<ShareNumber>),
    /// What of a share is tested and read; those left to be looked at.
    Look(Box<Change>, Look, Authorized, Vec<ShareNumber>),
    /// Nothing seemed free; the file system is asked once more.
    Space(Box<Change>, Measurement),
    Prepare(Box<Change>, Preparing),
    Rewrite(Box<Change>, Rewriting),
    /// The directory of a slot that had no share.
    Bucket(Box<Change>),
    /// The names in incoming of larger shares.
    Names(Box<Change>),
    Follow(Following),
}

// The request.
impl Slots {
    pub(super) fn new() -> Self {
        let before = limits::JOURNAL_FILES + limits::UPLOADS + limits::SPOOLS;
        Self {
            free_files: limits::open_files(before, limits::REWRITES).collect(),
            in_line: VecDeque::new(),
            spooling: Slab::new(),
            waiting: Slab::new(),
            steps: Slab::new(),
            committing: Slab::new(),
            following: Slab::new(),
            settling: Slab::new(),
        }
    }

    pub(super) fn read_test_write(
        &mut self,
        cx: &mut Context,
        asker: Asker<ReadTestWrite>,
        ask: ReadTestWrite,
    ) {
        let spool = ask.spool;
        if let Err(refusal) = check(&ask) {
            cx.refuse(asker, refusal);
            if let Some(spool) = spool {
                cx.send(Event::DropSpool(spool));
            }
            return;
        }
        let asked = Asked {
            asker,
            ask: Box::new(ask),
            expiration: container::expiration(cx.unix()),
            spool: None,
        };
        match spool {
            Some(spool) => {
                let then = waiter(self.spooling.insert(asked));
                cx.send(Event::UseSpool(UseSpool { spool, then }));
            }
            None => self.acquire(cx, asked, 0),
        }
    }

    /// The spool of a request is whole and closed, or is not to be had.
    pub(super) fn spooled(
        &mut self,
        cx: &mut Context,
        index: usize,
        result: Result<Spooled, SpoolFailure>,
    ) {
        let mut asked = self.spooling.remove(index);
        match result {
            Ok(Spooled { path, size }) => {
                asked.spool = Some(path);
                self.acquire(cx, asked, size);
            }
            Err(SpoolFailure::Unknown) => cx.refuse(asked.asker, SlotRefusal::UnknownSpool),
            Err(SpoolFailure::Unwritable(refusal)) => cx.refuse(asked.asker, refusal),
        }
    }

    /// Waits for the slot, so many bytes being in the spool.
    fn acquire(&mut self, cx: &mut Context, asked: Asked, spooled: u64) {
        if !is_spooled(&asked.ask, spooled) {
            let written = spooled;
            cx.refuse(asked.asker, SlotRefusal::SpoolTooShort { written });
            if let Some(path) = asked.spool {
                cx.clean_up(path);
            }
            return;
        }
        let storage_index = asked.ask.storage_index;
        cx.acquire_slot(storage_index, waiter(self.waiting.insert(asked)));
    }
}

impl Machinery for Slots {
    fn slot_granted(&mut self, cx: &mut Context, index: usize, owned: SlotOwned) {
        let asked = self.waiting.remove(index);
        let writes = !asked.ask.shares.is_empty();
        let change = Box::new(Change::new(asked, owned));
        let refusal = match cx.write_refusal() {
            Some(refusal) => Some(refusal).filter(|_| writes),
            // Of a bucket, and not in the list that would show that.
            None => cx.bucket_refusal(change.owned.index()),
        };
        if let Some(refusal) = refusal {
            return refuse(cx, *change, refusal);
        }
        let path = cx.bucket(change.owned.index());
        self.start(cx, Step::List(change), Operation::List { path });
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::List(change) => self.listed(cx, change, completion),
            Step::Front(change, share_number, left) => {
                self.header_read(cx, change, share_number, left, completion);
            }
            Step::Look(change, look, authorized, left) => {
                self.looked(cx, change, &look, authorized, left, completion);
            }
            Step::Space(mut change, measurement) => {
                cx.measured(measurement, &completion);
                if cx.promise(change.promised) {
                    return self.prepare(cx, change);
                }
                change.promised = 0;
                refuse(cx, *change, Unwritable::Full);
            }
            Step::Prepare(change, preparing) => self.prepared(cx, change, preparing, completion),
            Step::Rewrite(change, rewriting) => {
                self.rewritten(cx, change, rewriting, &completion);
            }
            Step::Bucket(change) => self.bucket_made(cx, change, &completion),
            Step::Names(change) => self.incoming_synced(cx, change, &completion),
            Step::Follow(following) => self.followed(cx, following, &completion),
        }
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, durable: Durable, hold: Hold) {
        let change = self.committing.remove(index);
        self.committed(cx, change, durable, hold);
    }

    /// After a failure the batch may have reached the disk all the same, and replay needs what is in
    /// incoming.
    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        let change = *self.committing.remove(index);
        let refusal = cx.record_refusal();
        if !cx.has_failed() {
            return refuse(cx, change, refusal);
        }
        cx.cancel(change.promised);
        cx.refuse(change.asker, refusal);
        end(cx, change.owned, change.spool);
    }

    fn admitted(&mut self, cx: &mut Context, index: usize) {
        let following = self.following.remove(index);
        self.follow(cx, following);
    }
}

// What the parts share.
impl Slots {
    /// The shares that were replaced have their names for good, or the journal keeps what it has.
    pub(super) fn fenced(&mut self, cx: &mut Context, index: usize, result: Result<(), Unfenced>) {
        let settling = self.settling.remove(index);
        settling.end(cx, result);
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }
}

impl Change {
    fn new(asked: Asked, owned: SlotOwned) -> Self {
        Self {
            budget: Budget::new(asked.ask.shares.len()),
            asker: asked.asker,
            ask: asked.ask,
            expiration: asked.expiration,
            spool: asked.spool,
            owned,
            found: BTreeMap::new(),
            whole: BTreeMap::new(),
            whole_len: 0,
            passed: true,
            read: Vec::new(),
            promised: 0,
            left: Vec::new(),
            revisions: Vec::new(),
            bytes: None,
            name: None,
        }
    }

    fn key(&self, share_number: ShareNumber) -> ShareKey {
        ShareKey {
            storage_index: self.owned.index(),
            share_number,
        }
    }

    /// The size of a share's file, as it is so far, if there is one.
    fn file_size(&self, share_number: ShareNumber) -> Option<u64> {
        self.found.get(&share_number).map(Header::file_size)
    }

    fn read_ranges(
        &self,
        cx: &Context,
        share_number: ShareNumber,
        ranges: Vec<ByteRange>,
    ) -> Operation {
        let path = cx.place(self.key(share_number));
        Operation::Read { path, ranges }
    }
}

/// Ends a request that has nothing to change: a test failed, or there was only to read.
fn leave_unchanged(cx: &mut Context, change: Change) {
    let unchanged = Unchanged {
        passed: change.passed,
        read: change.read,
    };
    cx.tell(change.asker, unchanged);
    end(cx, change.owned, change.spool);
}

/// Ends a request that has changed nothing, and takes back what it has begun.
fn refuse(cx: &mut Context, change: Change, refusal: impl Into<SlotRefusal>) {
    for revision in &change.revisions {
        if let Some(path) = revision.incoming() {
            cx.clean_up(path);
        }
    }
    cx.cancel(change.promised);
    cx.refuse(change.asker, refusal);
    end(cx, change.owned, change.spool);
}

fn end(cx: &mut Context, owned: SlotOwned, spool: Option<StorePath>) {
    if let Some(path) = spool {
        cx.clean_up(path);
    }
    cx.release_slot(owned);
}

/// Compares with the bounds that keep a request within memory.
fn check(ask: &ReadTestWrite) -> Result<(), SlotRefusal> {
    let too_many = |limit| Err(SlotRefusal::TooManyExtents { limit });
    let mut tests = ask.shares.values().map(|change| change.tests.len());
    if ask.read.len() > limits::EXTENTS || tests.any(|tests| tests > limits::EXTENTS) {
        return too_many(limits::EXTENTS);
    }
    let writes = ask.shares.values().map(|change| change.writes.len());
    if writes.sum::<usize>() > limits::SLOT_WRITES {
        return too_many(limits::SLOT_WRITES);
    }
    let written: usize = ask.shares.values().map(|it| it.written_len()).sum();
    let tested: usize = ask.shares.values().map(|it| it.tested_len()).sum();
    if written.max(tested) > limits::SLOT_LEN {
        let limit = num::size(limits::SLOT_LEN);
        return Err(SlotRefusal::TooLarge { limit });
    }
    Ok(())
}

/// Whether everything that is said to be in the spool is there, so many bytes being in it.
fn is_spooled(ask: &ReadTestWrite, written: u64) -> bool {
    let mut writes = ask.shares.values().flat_map(|change| &change.writes);
    writes.all(|write: &SlotWrite| match write.content {
        Content::Bytes(_) => true,
        Content::Spooled { offset, size } => {
            offset.checked_add(size).is_some_and(|end| end <= written)
        }
    })
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Slot,
        index,
    }
}
