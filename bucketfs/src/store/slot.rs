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

use std::collections::BTreeMap;

use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, WriteEnabler, num};
use rustix::io::Errno;

mod commit;
mod prepare;
mod request;
mod spool;
mod versions;

pub use request::{ReadTestWrite, ShareChange, SlotWrite, Test};

use super::read::share_numbers;
use super::{Answer, Flight as StoreFlight, Limits, RequestId, Store, Task, space};
use crate::container::mutable::{self, HEADER_LEN, HEADER_SIZE, Header, NodeId, Sizes};
use crate::container::{self, UncheckedHeader};
use crate::disk::{ByteRange, Completion, FileId, OPEN_FILES_MAX, Operation, Outcome, StorePath};
use crate::durable::{BytesDurable, NameDurable};
use crate::error::{Damage, DiskError, Refusal};
use crate::layout::ShareKey;
use commit::Step;
pub(super) use commit::{Following, Settling};
pub(super) use prepare::Draft;
use prepare::{Budget, Prepare};
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
    line: std::collections::VecDeque<Task>,
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
    /// The names in incoming of larger shares.
    Names(Box<Change>),
    Follow(Following),
    /// The change is done and acknowledged; what it needed until now is cleared away.
    Settle(Settling),
    Spool(spool::Flight),
}

/// Proof that the write enabler is that of every share of the slot.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(super) struct Authorized(());

impl Authorized {
    /// Compares with all of them, whichever differs first.
    fn compare(shown: &WriteEnabler, shares: &BTreeMap<ShareNumber, Header>) -> Option<Self> {
        let differ = shares
            .values()
            .filter(|header| header.write_enabler() != shown)
            .count();
        (differ == 0).then_some(Self(()))
    }
}

/// What of a share is to be looked at.
#[derive(Debug)]
pub(super) struct Plan {
    share: ShareNumber,
    ranges: Vec<ByteRange>,
    /// Of the ranges, how many are of tests.
    tests: usize,
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
            line: std::collections::VecDeque::new(),
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
            Flight::List(change) => match share_numbers(completion.result) {
                Ok(numbers) => self.next_front(change, numbers),
                Err(error) => self.change_refused(*change, Refusal::Disk(error)),
            },
            Flight::Front(mut change, share, left) => {
                let key = change.key(share);
                match front(completion.result) {
                    Ok(_) if self.torn.contains(&key) => {
                        let refusal = Refusal::Damaged(Damage::HalfChanged);
                        self.change_refused(*change, refusal);
                    }
                    Ok(header) => {
                        change.found.extend(header.map(|header| (share, header)));
                        self.next_front(change, left);
                    }
                    Err(refusal) => self.change_refused(*change, refusal),
                }
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
            Flight::Names(change) => self.incoming_synced(change, &completion),
            Flight::Follow(following) => self.followed(following, &completion),
            Flight::Settle(settling) => self.directories_synced(settling, &completion),
            Flight::Spool(flight) => self.spool_completed(flight, &completion),
        }
    }

    fn next_front(&mut self, change: Box<Change>, mut left: Vec<ShareNumber>) {
        let Some(share) = left.pop() else {
            return self.fronts_read(change);
        };
        let range = ByteRange {
            offset: 0,
            len: HEADER_LEN,
        };
        let operation = self.read_ranges(change.key(share), vec![range]);
        self.start_change(Flight::Front(change, share, left), operation);
    }

    fn fronts_read(&mut self, change: Box<Change>) {
        let ask = &change.ask;
        let Some(authorized) = Authorized::compare(&ask.write_enabler, &change.found) else {
            return self.change_refused(*change, Refusal::WrongWriteEnabler);
        };
        let read: u64 = change
            .found
            .values()
            .flat_map(|header| {
                ask.read
                    .iter()
                    .map(|extent| within(header, extent.offset, extent.size).1)
            })
            .fold(0, u64::saturating_add);
        let limit = num::size(Limits::READ_LEN);
        if read > limit {
            return self.change_refused(*change, Refusal::TooLarge { limit });
        }
        let left = change.found.keys().rev().copied().collect();
        self.next_parts(change, authorized, left);
    }

    fn next_parts(
        &mut self,
        mut change: Box<Change>,
        authorized: Authorized,
        mut left: Vec<ShareNumber>,
    ) {
        let Some(share) = left.pop() else {
            return self.judge(change, authorized);
        };
        let plan = change.plan(share);
        let operation = self.read_ranges(change.key(share), plan.ranges.clone());
        self.start_change(Flight::Parts(change, plan, authorized, left), operation);
    }

    fn parts_read(
        &mut self,
        mut change: Box<Change>,
        plan: &Plan,
        authorized: Authorized,
        left: Vec<ShareNumber>,
        completion: Completion,
    ) {
        let mut pieces = match completion.result {
            Ok(Outcome::Read { pieces, .. }) => pieces,
            Ok(outcome) => panic!("a read gave {outcome:?}"),
            Err(error) => return self.change_refused(*change, Refusal::Disk(error)),
        };
        let whole = |(piece, range): (&Vec<u8>, &ByteRange)| piece.len() == range.len;
        if !pieces.iter().zip(&plan.ranges).all(whole) {
            // Nobody but the owner of the lock changes the file.
            return self.change_refused(*change, Refusal::Damaged(Damage::Truncated));
        }
        let read = pieces.split_off(plan.tests);
        change.compare(plan, &pieces);
        let read = read.into_iter().map(Bytes::from).collect();
        change.read.push((plan.share, read));
        self.next_parts(change, authorized, left);
    }

    /// All tests are made: without one that failed, the change goes on.
    fn judge(&mut self, mut change: Box<Change>, _: Authorized) {
        let absent = change.ask.shares.iter();
        let mut absent = absent.filter(|(share, _)| !change.found.contains_key(share));
        // A share that is not there is empty, and so must what is looked for be.
        let passes =
            absent.all(|(_, wanted)| wanted.tests.iter().all(|test| test.specimen.is_empty()));
        change.passed &= passes;
        if !change.passed || change.ask.shares.is_empty() {
            return self.change_unneeded(*change);
        }
        match self.growth(&change) {
            Err(refusal) => self.change_refused(*change, refusal),
            Ok(0) => self.prepare(change),
            Ok(_) if self.read_only => self.change_refused(*change, Refusal::ReadOnly),
            Ok(growth) => {
                change.promised = growth;
                self.measure_space_if_due();
                if self.space.promise(growth) {
                    return self.prepare(change);
                }
                let measurement = self.space.begin();
                self.start_change(Flight::Space(change, measurement), Operation::FreeSpace);
            }
        }
    }

    /// How much more room the shares will take: 0 for changes within what they have, which are
    /// made however full the disk is, and where the operator takes no new shares.
    fn growth(&self, change: &Change) -> Result<u64, Refusal> {
        let mut growth = 0_u64;
        for (share, wanted) in &change.ask.shares {
            if wanted.removes() {
                continue;
            }
            let found = change.found.get(share).map(Header::sizes);
            let mut sizes = found.unwrap_or(Sizes::EMPTY);
            for write in &wanted.writes {
                sizes.write(write.offset, write.content.size())?;
            }
            let more = match found {
                Some(found) => sizes.extra - found.extra,
                None => space::cost(sizes.extra),
            };
            growth = growth.saturating_add(more);
        }
        Ok(growth)
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

    /// What of a share is to be looked at. Tests that lengths alone fail are not.
    fn plan(&mut self, share: ShareNumber) -> Plan {
        let header = &self.found[&share];
        let mut ranges = Vec::new();
        let tests = self.ask.shares.get(&share).map(|wanted| &wanted.tests[..]);
        for test in tests.unwrap_or_default() {
            let (start, size) = within(header, test.offset, test.size);
            let len = test.specimen.len();
            self.passed &= size == num::size(len);
            ranges.push(ByteRange {
                offset: HEADER_SIZE + start,
                len: if self.passed { len } else { 0 },
            });
        }
        let tests = ranges.len();
        ranges.extend(self.ask.read.iter().map(|extent| {
            let (start, size) = within(header, extent.offset, extent.size);
            ByteRange {
                offset: HEADER_SIZE + start,
                len: num::len(size).expect("the sum was compared with READ_LEN"),
            }
        }));
        Plan {
            share,
            ranges,
            tests,
        }
    }

    /// Compares what was read with what is looked for.
    fn compare(&mut self, plan: &Plan, pieces: &[Vec<u8>]) {
        let tests = self.ask.shares.get(&plan.share);
        let tests = tests.map(|wanted| &wanted.tests[..]).unwrap_or_default();
        for (test, piece) in tests.iter().zip(pieces) {
            self.passed &= test.specimen == piece;
        }
    }
}

/// The part of a share that a range comes to: where it starts in it, and its size.
fn within(header: &Header, offset: u64, size: u64) -> (u64, u64) {
    let start = offset.min(header.share_size());
    let end = offset.saturating_add(size).min(header.share_size());
    (start, end - start)
}

/// Reads the header of a share of a slot; `None` if the share has gone.
fn front(read: Result<Outcome, DiskError>) -> Result<Option<Header>, Refusal> {
    let (size, front) = match read {
        Ok(Outcome::Read { size, mut pieces }) => {
            (size, pieces.pop().expect("one range was asked for"))
        }
        Ok(outcome) => panic!("a read gave {outcome:?}"),
        Err(error) if error.errno == Errno::NOENT => return Ok(None),
        Err(error) => return Err(Refusal::Disk(error)),
    };
    if !mutable::is_mutable(&front) {
        UncheckedHeader::parse(&front)?;
        return Err(Refusal::NotASlot);
    }
    Ok(Some(mutable::UncheckedHeader::parse(&front)?.check(size)?))
}

/// [`Limits::SPOOLS`] and [`Limits::REWRITES`] among the files that are kept open.
const SPOOLS: u16 = 32;
const REWRITES: u16 = 8;
const _: () = assert!(SPOOLS as usize == Limits::SPOOLS && REWRITES as usize == Limits::REWRITES);
const _: () =
    assert!(2 + Limits::UPLOADS + Limits::SPOOLS + Limits::REWRITES == OPEN_FILES_MAX as usize);
