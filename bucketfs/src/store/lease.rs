//! Leases on shares that are held: found, journaled, patched in place, acknowledged.
//!
//! A renewal goes share by share, each under its own lock, all of them sharing one batch of the
//! journal. A share that is damaged or gone does not keep the others from their leases. Whoever
//! stores a share that is held already comes here with that share's lock ([`Renew`]).

use bytes::Bytes;
use lafs::{LeaseSecrets, ShareNumber, StorageIndex, num};
use rustix::io::Errno;
use slab::Slab;

use super::context::{Context, Machinery, unwritable};
use super::event::{Event, Machine, NotRenewed, Renew, Renewed, Waiter};
use super::listing::share_numbers;
use super::locks::Owned;
use super::reply::{Asker, LeaseProofs};
use crate::container::{
    self, Header, LEASE_SIZE, LEASES_MAX, Lease, LeaseSearch, UncheckedHeader, mutable,
};
use crate::disk::{ByteRange, Completion, Operation, Outcome};
use crate::durable::Durable;
use crate::error::{Damage, TooManyLeases};
use crate::journal::account::Entry;
use crate::journal::format::Record;
use crate::journal::log::{Group, Hold};
use crate::kind::ShareKind;
use crate::layout::ShareKey;
use crate::refusal::{LeaseRefusal, Unreadable, Unwritable};
use crate::request::{LeaseOwner, Leased, RenewLeases};

/// All leases that are being added or renewed.
#[derive(Debug, Default)]
pub(super) struct Leases {
    requests: Slab<Request>,
    /// For the lock of a share.
    waiting: Slab<Waiting>,
    /// For the disk.
    steps: Slab<Step>,
    /// For the journal.
    recording: Slab<ToRecord>,
    /// For the readers of a share.
    patching: Slab<Patch>,
}

/// A request for leases on all shares of a bucket.
#[derive(Debug)]
struct Request {
    asker: Asker<RenewLeases>,
    storage_index: StorageIndex,
    secrets: LeaseSecrets,
    owner: LeaseOwner,
    expiration: u32,
    remaining: usize,
    held: Vec<(ShareNumber, u64)>,
    failed: Vec<(ShareNumber, LeaseRefusal)>,
    proofs: LeaseProofs,
}

/// A share of a request that waits for its lock.
#[derive(Debug)]
struct Waiting {
    secrets: Box<LeaseSecrets>,
    owner: LeaseOwner,
    expiration: u32,
    request: usize,
}

/// One client's lease on one share, whose lock is owned.
#[derive(Debug)]
struct Renewal {
    owned: Owned,
    secrets: Box<LeaseSecrets>,
    owner: LeaseOwner,
    expiration: u32,
    only_buckets: bool,
    then: Then,
}

/// Whom to tell.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The request that this share is part of.
    Request(usize),
    /// Another machine, which gets the lock back.
    Waiter(Waiter),
}

/// A renewal that knows what it writes.
#[derive(Debug)]
struct Recording {
    renewal: Renewal,
    share_size: u64,
    edit: Edit,
}

/// What a lease changes in a container.
#[derive(Debug)]
struct Edit {
    kind: ShareKind,
    /// The size of the file, without the change.
    file_size: u64,
    writes: Vec<(u64, Bytes)>,
    /// The writes, and the size to set, that take it back.
    undo: (Vec<(u64, Bytes)>, Option<u64>),
}

impl Edit {
    /// The size of the file with the change.
    fn size_after(&self) -> u64 {
        let ends = self.writes.iter();
        let ends = ends.map(|(offset, bytes)| offset.saturating_add(num::size(bytes.len())));
        ends.fold(self.file_size, u64::max)
    }

    /// The record that makes the change, or the one that takes it back.
    fn group(&self, key: ShareKey, takes_back: bool) -> Group {
        let (before, after) = (self.file_size, self.size_after());
        let ((writes, size), (from, to)) = match takes_back {
            false => ((self.writes.clone(), None), (before, after)),
            true => (self.undo.clone(), (after, before)),
        };
        let record = Record::Patch { key, writes, size };
        let entry = Entry::resized(key, self.kind, Some(from), Some(to));
        Group {
            records: vec![record],
            entries: (from != to).then_some(entry).into_iter().collect(),
            is_done: takes_back,
        }
    }
}

/// What the journal is to have.
#[derive(Debug)]
enum ToRecord {
    /// A change that is then made.
    Change(Recording),
    /// That a change was taken back, after this refusal.
    Undone(Recording, Unwritable),
}

/// A renewal whose record is durable.
#[derive(Debug)]
struct Patch {
    recording: Recording,
    durable: Durable,
    hold: Hold,
}

#[derive(Debug)]
enum Step {
    /// What the bucket holds beside these.
    List(usize, Vec<ShareNumber>),
    /// The front of the container; all of it, if it is small.
    Front(Renewal),
    /// The leases of a larger one.
    Leases(Renewal, Header),
    /// The extra leases of a slot's.
    SlotLeases(Renewal, Box<mutable::Header>),
    /// The change in place.
    Patch(Patch),
    /// The change taken back, after this refusal.
    Undo(Patch, Unwritable),
}

/// How much of a container is read at first; most small shares are read whole with it.
const FRONT_LEN: usize = 4096;

// Requests.
impl Leases {
    pub(super) fn renew_all(
        &mut self,
        cx: &mut Context,
        asker: Asker<RenewLeases>,
        renew: RenewLeases,
    ) {
        let path = cx.bucket(renew.storage_index);
        let index = self.requests.insert(Request {
            asker,
            storage_index: renew.storage_index,
            secrets: renew.lease,
            owner: renew.owner,
            expiration: container::expiration(cx.unix()),
            remaining: 0,
            held: Vec::new(),
            failed: Vec::new(),
            proofs: LeaseProofs::default(),
        });
        let pending = cx.pending_numbers(renew.storage_index);
        self.start(cx, Step::List(index, pending), Operation::List { path });
    }

    fn listed(
        &mut self,
        cx: &mut Context,
        index: usize,
        pending: Vec<ShareNumber>,
        completion: Completion,
    ) {
        let numbers = match share_numbers(completion.result, pending) {
            Ok(numbers) => numbers,
            Err(error) => {
                let request = self.requests.remove(index);
                return cx.refuse(request.asker, error);
            }
        };
        let request = &mut self.requests[index];
        request.remaining = numbers.len();
        for share_number in numbers {
            let waiting = Waiting {
                secrets: Box::new(request.secrets.clone()),
                owner: request.owner,
                expiration: request.expiration,
                request: index,
            };
            let key = ShareKey {
                storage_index: request.storage_index,
                share_number,
            };
            cx.acquire(key, waiter(self.waiting.insert(waiting)));
        }
        self.answer_if_complete(cx, index);
    }

    fn answer_if_complete(&mut self, cx: &mut Context, index: usize) {
        if self.requests[index].remaining > 0 {
            return;
        }
        let Request {
            asker,
            mut held,
            mut failed,
            proofs,
            ..
        } = self.requests.remove(index);
        held.sort_unstable_by_key(|(share_number, _)| *share_number);
        failed.sort_unstable_by_key(|(share_number, _)| *share_number);
        cx.acknowledge_leases(asker, Leased { held, failed }, proofs);
    }
}

// One share.
impl Leases {
    /// Renews a lease for another machine, whose lock this is until it is told.
    pub(super) fn renew(&mut self, cx: &mut Context, renew: Renew) {
        let renewal = Renewal {
            owned: renew.owned,
            secrets: renew.secrets,
            owner: renew.owner,
            expiration: renew.expiration,
            only_buckets: renew.only_buckets,
            then: Then::Waiter(renew.then),
        };
        self.begin(cx, renewal);
    }

    fn begin(&mut self, cx: &mut Context, renewal: Renewal) {
        if let Some(refusal) = cx.share_refusal(renewal.owned.key()) {
            return self.refused(cx, renewal, refusal);
        }
        let operation = renewal.read(cx, 0, FRONT_LEN);
        self.start(cx, Step::Front(renewal), operation);
    }

    fn front_read(&mut self, cx: &mut Context, renewal: Renewal, completion: Completion) {
        let (size, front) = match read_outcome(completion) {
            Ok(read) => read,
            Err(refusal) => return self.refused(cx, renewal, refusal),
        };
        if mutable::is_mutable(&front) {
            return self.slot_front_read(cx, renewal, size, &front);
        }
        let header = match UncheckedHeader::parse(&front).and_then(|header| header.check(size)) {
            Ok(header) => header,
            Err(damage) => return self.refused(cx, renewal, damage),
        };
        if header.leases() > LEASES_MAX {
            return self.refused(cx, renewal, TooManyLeases);
        }
        let leases = num::len(header.leases_offset()).and_then(|start| front.get(start..));
        if size == num::size(front.len()) {
            let leases = leases.expect("the file is as its header says, check compared");
            return self.leases_found(cx, renewal, &header, leases);
        }
        let len = usize::try_from(LEASE_SIZE * u64::from(header.leases()))
            .expect("LEASES_MAX leases fit into memory");
        let operation = renewal.read(cx, header.leases_offset(), len);
        self.start(cx, Step::Leases(renewal, header), operation);
    }

    fn leases_read(
        &mut self,
        cx: &mut Context,
        renewal: Renewal,
        header: &Header,
        completion: Completion,
    ) {
        match read_outcome(completion) {
            Ok((size, leases)) if size == header.file_size() => {
                self.leases_found(cx, renewal, header, &leases);
            }
            // Nobody but the owner of the lock changes the file, and that is this renewal.
            Ok(_) => self.refused(cx, renewal, Damage::Truncated),
            Err(refusal) => self.refused(cx, renewal, refusal),
        }
    }

    fn slot_front_read(&mut self, cx: &mut Context, renewal: Renewal, size: u64, front: &[u8]) {
        if renewal.only_buckets {
            return self.end(cx, renewal, Err(NotRenewed::NotABucket));
        }
        let header = mutable::UncheckedHeader::parse(front).and_then(|header| header.check(size));
        let header = match header {
            Ok(header) => header,
            Err(damage) => return self.refused(cx, renewal, damage),
        };
        let extra = num::len(header.sizes().extra).and_then(|start| front.get(start..));
        if let Some(extra) = extra.filter(|_| size == num::size(front.len())) {
            return self.slot_leases_found(cx, renewal, &header, extra);
        }
        let operation = renewal.read(cx, header.sizes().extra, mutable::EXTRA_LEN_MAX);
        let step = Step::SlotLeases(renewal, Box::new(header));
        self.start(cx, step, operation);
    }

    fn slot_leases_found(
        &mut self,
        cx: &mut Context,
        renewal: Renewal,
        header: &mutable::Header,
        extra: &[u8],
    ) {
        let search = mutable::LeaseSearch {
            secrets: &renewal.secrets,
            owner: LeaseOwner::Renewal.number(),
            expiration: renewal.expiration,
            node_id: cx.settings.node_id,
        };
        let edit = header.leases(extra).and_then(|leases| {
            let change = search.run(header.version(), &leases)?;
            Ok(Edit {
                kind: ShareKind::Mutable,
                file_size: header.file_size(),
                writes: change.writes(header, &leases),
                undo: change.undo(header, &leases),
            })
        });
        match edit {
            Ok(edit) => self.found(cx, renewal, header.share_size(), edit),
            Err(error) => self.refused(cx, renewal, error),
        }
    }

    fn leases_found(&mut self, cx: &mut Context, renewal: Renewal, header: &Header, leases: &[u8]) {
        let search = LeaseSearch {
            secrets: &renewal.secrets,
            owner: renewal.owner.number(),
            expiration: renewal.expiration,
        };
        let change = Lease::parse_all(leases)
            .map_err(LeaseRefusal::from)
            .and_then(|leases| Ok(search.run(header, &leases)?));
        match change {
            Err(refusal) => self.refused(cx, renewal, refusal),
            Ok(change) => {
                let edit = Edit {
                    kind: ShareKind::Immutable,
                    file_size: header.file_size(),
                    writes: change.writes(),
                    undo: change.undo(),
                };
                self.found(cx, renewal, header.share_size(), edit);
            }
        }
    }

    fn found(&mut self, cx: &mut Context, renewal: Renewal, share_size: u64, edit: Edit) {
        if edit.writes.is_empty() {
            let durable = Durable::found_under(&renewal.owned);
            let renewed = Renewed {
                share_size,
                durable,
            };
            return self.end(cx, renewal, Ok(renewed));
        }
        let group = edit.group(renewal.owned.key(), false);
        let index = self.recording.insert(ToRecord::Change(Recording {
            renewal,
            share_size,
            edit,
        }));
        cx.record(group, waiter(index));
    }

    fn patched(&mut self, cx: &mut Context, patch: Patch, completion: &Completion) {
        match completion.result {
            Ok(_) => self.patch_ended(cx, patch),
            Err(error) => {
                // Half a lease at the end of the file would count as share bytes.
                let (writes, size) = patch.recording.edit.undo.clone();
                let path = cx.place(patch.recording.renewal.owned.key());
                tracing::warn!(%path, %error, "cannot write a lease");
                let step = Step::Undo(patch, unwritable(error));
                self.start(cx, step, Operation::Patch { path, writes, size });
            }
        }
    }

    fn undone(
        &mut self,
        cx: &mut Context,
        patch: Patch,
        refusal: Unwritable,
        completion: &Completion,
    ) {
        let Patch {
            recording, hold, ..
        } = patch;
        let key = recording.renewal.owned.key();
        if let Err(error) = completion.result {
            cx.tear([key]);
            cx.give_up(&cx.place(key), error);
        }
        cx.release_hold(hold);
        cx.end_patch(&recording.renewal.owned);
        // Else a replay would make the change after all, and the account not know it.
        let group = recording.edit.group(key, true);
        let index = self.recording.insert(ToRecord::Undone(recording, refusal));
        cx.record(group, waiter(index));
    }

    fn patch_ended(&mut self, cx: &mut Context, patch: Patch) {
        let Patch {
            recording,
            durable,
            hold,
        } = patch;
        cx.release_hold(hold);
        cx.end_patch(&recording.renewal.owned);
        let share_size = recording.share_size;
        let renewed = Renewed {
            share_size,
            durable,
        };
        self.end(cx, recording.renewal, Ok(renewed));
    }

    fn refused(&mut self, cx: &mut Context, renewal: Renewal, refusal: impl Into<LeaseRefusal>) {
        self.end(cx, renewal, Err(NotRenewed::Refused(refusal.into())));
    }

    /// The end of every renewal.
    fn end(&mut self, cx: &mut Context, renewal: Renewal, result: Result<Renewed, NotRenewed>) {
        let index = match renewal.then {
            Then::Waiter(then) => {
                return cx.send(Event::Renewed(then, renewal.owned, result));
            }
            Then::Request(index) => index,
        };
        let request = &mut self.requests[index];
        let share_number = renewal.owned.key().share_number;
        request.remaining -= 1;
        match result {
            Ok(renewed) => {
                request.held.push((share_number, renewed.share_size));
                request.proofs.add(renewed.durable);
            }
            // Gone between the listing and the lock.
            Err(NotRenewed::Refused(LeaseRefusal::Gone)) => {}
            Err(NotRenewed::Refused(refusal)) => request.failed.push((share_number, refusal)),
            Err(NotRenewed::NotABucket) => unreachable!("leases are of slots, too"),
        }
        self.answer_if_complete(cx, index);
        cx.release(renewal.owned);
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }
}

impl Machinery for Leases {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        let waiting = self.waiting.remove(index);
        let renewal = Renewal {
            owned,
            secrets: waiting.secrets,
            owner: waiting.owner,
            expiration: waiting.expiration,
            only_buckets: false,
            then: Then::Request(waiting.request),
        };
        self.begin(cx, renewal);
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::List(request, pending) => self.listed(cx, request, pending, completion),
            Step::Front(renewal) => self.front_read(cx, renewal, completion),
            Step::Leases(renewal, header) => self.leases_read(cx, renewal, &header, completion),
            Step::SlotLeases(renewal, header) => match read_outcome(completion) {
                Ok((_, extra)) => self.slot_leases_found(cx, renewal, &header, &extra),
                Err(refusal) => self.refused(cx, renewal, refusal),
            },
            Step::Patch(patch) => self.patched(cx, patch, &completion),
            Step::Undo(patch, refusal) => self.undone(cx, patch, refusal, &completion),
        }
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, durable: Durable, hold: Hold) {
        let recording = match self.recording.remove(index) {
            ToRecord::Change(recording) => recording,
            ToRecord::Undone(recording, refusal) => {
                cx.release_hold(hold);
                return self.refused(cx, recording.renewal, refusal);
            }
        };
        let index = self.patching.insert(Patch {
            recording,
            durable,
            hold,
        });
        let owned = &self.patching[index].recording.renewal.owned;
        cx.begin_patch(owned, waiter(index));
    }

    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        let (recording, refusal) = match self.recording.remove(index) {
            ToRecord::Change(recording) => (recording, cx.record_refusal()),
            ToRecord::Undone(recording, refusal) => (recording, refusal),
        };
        self.refused(cx, recording.renewal, refusal);
    }

    fn admitted(&mut self, cx: &mut Context, index: usize) {
        let patch = self.patching.remove(index);
        let operation = Operation::Patch {
            path: cx.place(patch.recording.renewal.owned.key()),
            writes: patch.recording.edit.writes.clone(),
            size: None,
        };
        self.start(cx, Step::Patch(patch), operation);
    }
}

impl Renewal {
    fn read(&self, cx: &Context, offset: u64, len: usize) -> Operation {
        Operation::Read {
            path: cx.place(self.owned.key()),
            ranges: vec![ByteRange { offset, len }],
        }
    }
}

/// The file's size and the one piece that was asked for.
fn read_outcome(completion: Completion) -> Result<(u64, Vec<u8>), LeaseRefusal> {
    match completion.result {
        Ok(Outcome::Read { size, mut pieces }) => {
            Ok((size, pieces.pop().expect("one range was asked for")))
        }
        Ok(outcome) => panic!("a read gave {outcome:?}"),
        Err(error) if error.errno == Errno::NOENT => Err(LeaseRefusal::Gone),
        Err(error) => Err(Unreadable::from(error).into()),
    }
}

impl From<mutable::LeasesError> for LeaseRefusal {
    fn from(error: mutable::LeasesError) -> Self {
        match error {
            mutable::LeasesError::Damaged(damage) => Unreadable::from(damage).into(),
            mutable::LeasesError::TooMany(error) => error.into(),
        }
    }
}

impl From<Damage> for LeaseRefusal {
    fn from(damage: Damage) -> Self {
        Unreadable::from(damage).into()
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Lease,
        index,
    }
}
