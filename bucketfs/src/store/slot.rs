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
use lafs::{ShareNumber, StorageIndex};

mod commit;
mod draft;
mod judge;
mod prepare;
mod request;
mod rewrite;
mod spool;
mod versions;

pub use request::{ReadTestWrite, ShareChange, SlotWrite, Test};

use super::{Answer, Flight as StoreFlight, Limits, RequestId, Store, Task, space};
use crate::container;
use crate::container::mutable::{Header, NodeId};
use crate::disk::{ByteRange, Completion, FileId, OPEN_FILES_MAX, Operation, StorePath};
use crate::durable::{BytesDurable, NameDurable};
use crate::error::Refusal;
use crate::layout::ShareKey;
use commit::Step;
pub(super) use commit::{Following, Settling};
use draft::Budget;
pub(super) use draft::Draft;
use judge::{Authorized, Plan};
use prepare::Prepare;
use spool::Spools;
use versions::Versions;

/// What the store keeps for slots.
#[derive(Debug)]
pub(super) struct Slots {
    /// Recorded in new containers and leases.
    pub(super) node_id: NodeId,
    versions: Versions,
    spools: Spools,
    /// For containers that are written anew.
    free_files: Vec<FileId>,
    /// Changes that wait for one of those.
    line: VecDeque<Task>,
}

/// One request under way; owns the lock of its slot.
#[derive(Debug)]
pub(super) struct Change {
    request: RequestId,
    ask: Box<ReadTestWrite>,
    expiration: u32,
    /// The file of its spool, which goes with it.
    spool: Option<StorePath>,
    /// The shares that are there.
    found: BTreeMap<ShareNumber, Header>,
    passed: bool,
    read: Vec<(ShareNumber, Vec<Bytes>)>,
    promised: u64,
    /// The shares that are still to be prepared.
    left: Vec<ShareNumber>,
    budget: Budget,
    /// What the tree is to do once the batch is durable.
    steps: Vec<Step>,
    /// That the new containers of larger shares are on the disk; then that their names are, too.
    bytes: Option<BytesDurable>,
    name: Option<NameDurable>,
}

#[derive(Debug)]
pub(super) enum Flight {
    List(Box<Change>),
    /// The header of a share; those left to be read.
    Front(Box<Change>, ShareNumber, Vec<ShareNumber>),
    /// What of a share is tested and read; those left to be looked at.
    Parts(Box<Change>, Plan, Authorized, Vec<ShareNumber>),
    /// Nothing seemed free; the file system is asked once more.
    Space(Box<Change>, space::Measurement),
    Prepare(Box<Change>, Prepare),
    /// The directory of a slot that had no share.
    Bucket(Box<Change>),
    /// The names in incoming of larger shares.
    Names(Box<Change>),
    Follow(Following),
    /// The change is done and acknowledged; what it needed until now is cleared away.
    Settle(Settling),
    Spool(spool::Flight),
}

impl Slots {
    pub(super) fn new(node_id: NodeId) -> Self {
        // The journal's slots and those of uploads come first.
        let rewrites = OPEN_FILES_MAX - REWRITES;
        let spools = rewrites - SPOOLS;
        Self {
            node_id,
            versions: Versions::new(),
            spools: Spools::new((spools..rewrites).map(FileId).collect()),
            free_files: (rewrites..OPEN_FILES_MAX).map(FileId).collect(),
            line: VecDeque::new(),
        }
    }

    /// The number of a slot's present state.
    pub(super) fn version(&self, index: StorageIndex) -> u64 {
        self.versions.of(index)
    }
}

// The slot as it is.
impl Store {
    pub(super) fn read_test_write(&mut self, request: RequestId, ask: Box<ReadTestWrite>) {
        let spool = ask.spool;
        if let Err(refusal) = ask.check() {
            self.drop_spool(spool);
            return self.refuse(request, refusal);
        }
        let change = Box::new(Change {
            request,
            expiration: container::expiration(self.now.unix),
            spool: None,
            found: BTreeMap::new(),
            passed: true,
            read: Vec::new(),
            promised: 0,
            left: Vec::new(),
            budget: Budget::new(ask.shares.len()),
            steps: Vec::new(),
            bytes: None,
            name: None,
            ask,
        });
        match (spool, change.ask.check_spool(0)) {
            (Some(spool), _) => self.hand_over(spool, change),
            (None, Ok(())) => self.begin_change(change),
            (None, Err(refusal)) => self.refuse(request, refusal),
        }
    }

    /// Waits for the slot, its spool being whole.
    fn begin_change(&mut self, change: Box<Change>) {
        let index = change.ask.storage_index;
        let ready = self.locks.acquire_slot(index, Task::Change(change));
        self.runnable.extend(ready);
    }

    pub(super) fn change_locked(&mut self, change: Box<Change>) {
        let writes = !change.ask.shares.is_empty();
        if let Some(refusal) = self.write_refusal().filter(|_| writes) {
            return self.change_refused(*change, refusal);
        }
        let path = self.layout.bucket(change.ask.storage_index);
        self.start_change(Flight::List(change), Operation::List { path });
    }

    pub(super) fn change_completed(&mut self, flight: Flight, completion: Completion) {
        match flight {
            Flight::List(change) => self.listed(change, completion),
            Flight::Front(change, share, left) => {
                self.header_read(change, share, left, completion);
            }
            Flight::Parts(change, plan, authorized, left) => {
                self.parts_read(change, &plan, authorized, left, completion);
            }
            Flight::Space(mut change, measurement) => {
                self.space_completed(measurement, &completion);
                match self.space.promise(change.promised) {
                    true => self.prepare(change),
                    false => {
                        change.promised = 0;
                        self.change_refused(*change, Refusal::Full);
                    }
                }
            }
            Flight::Prepare(change, prepare) => self.prepared(change, prepare, completion),
            Flight::Bucket(change) => self.bucket_made(change, &completion),
            Flight::Names(change) => self.incoming_synced(change, &completion),
            Flight::Follow(following) => self.followed(following, &completion),
            Flight::Settle(settling) => self.directories_synced(settling, &completion),
            Flight::Spool(flight) => self.spool_completed(flight, &completion),
        }
    }
}

// What the parts share.
impl Store {
    fn start_change(&mut self, flight: Flight, operation: Operation) {
        self.start(StoreFlight::Change(flight), operation);
    }

    fn read_ranges(&self, key: ShareKey, ranges: Vec<ByteRange>) -> Operation {
        let path = self.layout.share(key);
        Operation::Read { path, ranges }
    }

    /// Ends a request that has nothing to change: a test failed, or there was only to read.
    fn change_unneeded(&mut self, mut change: Change) {
        let answer = change.answer();
        self.answer(change.request, answer);
        self.change_ended(change.ask.storage_index, change.spool);
    }

    /// Ends a request that has changed nothing, and takes back what it has begun.
    fn change_refused(&mut self, change: Change, refusal: Refusal) {
        for step in &change.steps {
            if let Some(path) = step.incoming() {
                self.clean_up(path);
            }
        }
        self.space.cancel(change.promised);
        self.refuse(change.request, refusal);
        self.change_ended(change.ask.storage_index, change.spool);
    }

    fn change_ended(&mut self, index: StorageIndex, spool: Option<StorePath>) {
        if let Some(path) = spool {
            self.clean_up(path);
        }
        self.runnable.extend(self.locks.release_slot(index));
    }
}

impl Change {
    fn key(&self, share: ShareNumber) -> ShareKey {
        ShareKey {
            storage_index: self.ask.storage_index,
            share,
        }
    }

    fn answer(&mut self) -> Answer {
        Answer::TestedAndWritten {
            success: self.passed,
            read: std::mem::take(&mut self.read),
        }
    }
}

/// [`Limits::SPOOLS`] and [`Limits::REWRITES`] among the files that are kept open.
const SPOOLS: u16 = 32;
const REWRITES: u16 = 8;
const _: () = assert!(SPOOLS as usize == Limits::SPOOLS && REWRITES as usize == Limits::REWRITES);
const _: () =
    assert!(2 + Limits::UPLOADS + Limits::SPOOLS + Limits::REWRITES == OPEN_FILES_MAX as usize);
