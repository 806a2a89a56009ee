//! Leases on shares that are held: found, journaled, patched in place, acknowledged.
//!
//! A renewal goes share by share, each under its own lock, all of them sharing one batch of the
//! journal. A share that is damaged or gone does not keep the others from their leases.

use bytes::Bytes;
use lafs::{LeaseSecrets, ShareNumber, StorageIndex, num};
use rustix::io::Errno;

use super::read::share_numbers;
use super::{Answer, Flight as StoreFlight, LeaseOwner, Recorded, RequestId, Store, Task, refusal};
use crate::container::{
    self, Header, LEASE_SIZE, LEASES_MAX, Lease, LeaseSearch, UncheckedHeader, mutable,
};
use crate::disk::{ByteRange, Completion, Operation, Outcome};
use crate::durable::Durable;
use crate::error::{Damage, Refusal};
use crate::journal::format::Record;
use crate::journal::log::Hold;
use crate::layout::ShareKey;

/// One client's lease on one share.
#[derive(Debug)]
pub(super) struct Renew {
    pub(super) key: ShareKey,
    pub(super) secrets: Box<LeaseSecrets>,
    pub(super) owner: LeaseOwner,
    pub(super) expiration: u32,
    pub(super) then: Then,
}

/// Whom to tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// A put or an upload of a share that is held.
    AlreadyHeld(RequestId),
    /// The request that this share is part of.
    Leasing(usize),
    /// The allocation that found this share held.
    Allocating(usize),
    /// The part of an upload whose share is held.
    Parts(RequestId),
}

/// A renewal that knows what it writes.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) renew: Renew,
    share_size: u64,
    edit: Edit,
}

/// What a lease changes in a container, of either kind.
#[derive(Debug)]
struct Edit {
    writes: Vec<(u64, Bytes)>,
    /// The writes, and the size to set, that take it back.
    undo: (Vec<(u64, Bytes)>, Option<u64>),
}

/// A renewal whose record is durable.
#[derive(Debug)]
pub(super) struct Patch {
    recording: Recording,
    durable: Durable,
    hold: Hold,
}

/// A request for leases on all shares of a bucket.
#[derive(Debug)]
pub(super) struct Leasing {
    request: RequestId,
    remaining: usize,
    held: Vec<(ShareNumber, u64)>,
    failed: Vec<(ShareNumber, Refusal)>,
    /// Of all those held so far; of none there is nothing to prove.
    durable: Option<Durable>,
}

#[derive(Debug)]
pub(super) enum Flight {
    /// What the bucket holds.
    List {
        request: RequestId,
        storage_index: StorageIndex,
        secrets: LeaseSecrets,
        owner: LeaseOwner,
        expiration: u32,
    },
    /// The front of the container; all of it, if it is small.
    Front(Renew),
    /// The leases of a larger one.
    Leases(Renew, Header),
    /// The extra leases of a slot's.
    SlotLeases(Renew, Box<mutable::Header>),
    /// The change in place.
    Patch(Patch),
    /// The change taken back, after this refusal.
    Undo(Patch, Refusal),
}

/// How much of a container is read at first; most small shares are read whole with it.
const FRONT_LEN: usize = 4096;

impl Store {
    pub(super) fn lease(
        &mut self,
        request: RequestId,
        storage_index: StorageIndex,
        secrets: LeaseSecrets,
        owner: LeaseOwner,
    ) {
        let flight = Flight::List {
            request,
            storage_index,
            secrets,
            owner,
            expiration: container::expiration(self.now.unix),
        };
        let path = self.layout.bucket(storage_index);
        self.start(StoreFlight::Lease(flight), Operation::List { path });
    }

    pub(super) fn lease_completed(&mut self, flight: Flight, completion: Completion) {
        match flight {
            Flight::List {
                request,
                storage_index,
                secrets,
                owner,
                expiration,
            } => {
                let numbers = match share_numbers(completion.result) {
                    Ok(numbers) => numbers,
                    Err(error) => return self.refuse(request, Refusal::Disk(error)),
                };
                let leasing = self.leasings.insert(Leasing {
                    request,
                    remaining: numbers.len(),
                    held: Vec::new(),
                    failed: Vec::new(),
                    durable: None,
                });
                for share in numbers {
                    let renew = Renew {
                        key: ShareKey {
                            storage_index,
                            share,
                        },
                        secrets: Box::new(secrets.clone()),
                        owner,
                        expiration,
                        then: Then::Leasing(leasing),
                    };
                    self.acquire(renew.key, Task::Renew(renew));
                }
                self.answer_leasing_if_complete(leasing);
            }
            Flight::Front(renew) => self.front_read(renew, completion),
            Flight::Leases(renew, header) => self.leases_read(renew, &header, completion),
            Flight::SlotLeases(renew, header) => match read_outcome(completion) {
                Ok((_, extra)) => self.slot_leases_found(renew, &header, &extra),
                Err(refusal) => self.renew_ended(renew, Err(refusal)),
            },
            Flight::Patch(patch) => self.patched(patch, &completion),
            Flight::Undo(patch, refusal) => self.undone(patch, refusal, &completion),
        }
    }

    pub(super) fn renew_locked(&mut self, renew: Renew) {
        if let Some(refusal) = self.write_refusal() {
            return self.renew_ended(renew, Err(refusal));
        }
        let operation = self.read_container(&renew, 0, FRONT_LEN);
        self.start(StoreFlight::Lease(Flight::Front(renew)), operation);
    }

    fn front_read(&mut self, renew: Renew, completion: Completion) {
        let (size, front) = match read_outcome(completion) {
            Ok(read) => read,
            Err(refusal) => return self.renew_ended(renew, Err(refusal)),
        };
        if mutable::is_mutable(&front) {
            return self.slot_front_read(renew, size, &front);
        }
        let header = match UncheckedHeader::parse(&front).and_then(|header| header.check(size)) {
            Ok(header) => header,
            Err(damage) => return self.renew_ended(renew, Err(Refusal::Damaged(damage))),
        };
        if header.leases() > LEASES_MAX {
            return self.renew_ended(renew, Err(Refusal::TooManyLeases));
        }
        let leases = num::len(header.leases_offset()).and_then(|start| front.get(start..));
        if size == num::size(front.len()) {
            let leases = leases.expect("the file is as its header says, check compared");
            return self.leases_found(renew, &header, leases);
        }
        let len = usize::try_from(LEASE_SIZE * u64::from(header.leases()))
            .expect("LEASES_MAX leases fit into memory");
        let operation = self.read_container(&renew, header.leases_offset(), len);
        let flight = Flight::Leases(renew, header);
        self.start(StoreFlight::Lease(flight), operation);
    }

    fn leases_read(&mut self, renew: Renew, header: &Header, completion: Completion) {
        match read_outcome(completion) {
            Ok((size, leases)) if size == header.file_size() => {
                self.leases_found(renew, header, &leases);
            }
            // Nobody but the owner of the lock changes the file, and that is this renewal.
            Ok(_) => self.renew_ended(renew, Err(Refusal::Damaged(Damage::Truncated))),
            Err(refusal) => self.renew_ended(renew, Err(refusal)),
        }
    }

    fn slot_front_read(&mut self, renew: Renew, size: u64, front: &[u8]) {
        if let Then::AlreadyHeld(_) | Then::Allocating(_) = renew.then {
            return self.renew_ended(renew, Err(Refusal::NotABucket));
        }
        let header = mutable::UncheckedHeader::parse(front).and_then(|header| header.check(size));
        let header = match header {
            Ok(header) => header,
            Err(damage) => return self.renew_ended(renew, Err(Refusal::Damaged(damage))),
        };
        let extra = num::len(header.sizes().extra).and_then(|start| front.get(start..));
        if let Some(extra) = extra.filter(|_| size == num::size(front.len())) {
            return self.slot_leases_found(renew, &header, extra);
        }
        let operation = self.read_container(&renew, header.sizes().extra, mutable::EXTRA_LEN_MAX);
        let flight = Flight::SlotLeases(renew, Box::new(header));
        self.start(StoreFlight::Lease(flight), operation);
    }

    fn slot_leases_found(&mut self, renew: Renew, header: &mutable::Header, extra: &[u8]) {
        let search = mutable::LeaseSearch {
            secrets: &renew.secrets,
            owner: LeaseOwner::Renewal.number(),
            expiration: renew.expiration,
            node_id: self.slots.node_id,
        };
        let edit = header.leases(extra).and_then(|leases| {
            let change = search.run(header.version(), &leases)?;
            Ok(Edit {
                writes: change.writes(header, &leases),
                undo: change.undo(header, &leases),
            })
        });
        match edit {
            Ok(edit) => self.lease_found(renew, header.share_size(), edit),
            Err(refusal) => self.renew_ended(renew, Err(refusal)),
        }
    }

    fn leases_found(&mut self, renew: Renew, header: &Header, leases: &[u8]) {
        let search = LeaseSearch {
            secrets: &renew.secrets,
            owner: renew.owner.number(),
            expiration: renew.expiration,
        };
        let change = Lease::parse_all(leases)
            .map_err(Refusal::Damaged)
            .and_then(|leases| search.run(header, &leases));
        match change {
            Err(refusal) => self.renew_ended(renew, Err(refusal)),
            Ok(change) => {
                let edit = Edit {
                    writes: change.writes(),
                    undo: change.undo(),
                };
                self.lease_found(renew, header.share_size(), edit);
            }
        }
    }

    fn lease_found(&mut self, renew: Renew, share_size: u64, edit: Edit) {
        if edit.writes.is_empty() {
            let found = (share_size, Durable::found_under_lock());
            return self.renew_ended(renew, Ok(found));
        }
        let record = Record::Patch {
            key: renew.key,
            writes: edit.writes.clone(),
            size: None,
        };
        let recording = Recording {
            renew,
            share_size,
            edit,
        };
        self.record(record, Recorded::Renew(recording));
    }

    pub(super) fn renew_recorded(&mut self, recording: Recording, durable: Durable, hold: Hold) {
        let key = recording.renew.key;
        let patch = Patch {
            recording,
            durable,
            hold,
        };
        let ready = self.locks.begin_patch(key, Task::Patch(patch));
        self.runnable.extend(ready);
    }

    pub(super) fn patch_locked(&mut self, patch: Patch) {
        let operation = Operation::Patch {
            path: self.layout.share(patch.recording.renew.key),
            writes: patch.recording.edit.writes.clone(),
            size: None,
        };
        self.start(StoreFlight::Lease(Flight::Patch(patch)), operation);
    }

    fn patched(&mut self, patch: Patch, completion: &Completion) {
        match completion.result {
            Ok(_) => self.patch_ended(patch, None),
            Err(error) => {
                // Half a lease at the end of the file would count as share bytes.
                let (writes, size) = patch.recording.edit.undo.clone();
                let path = self.layout.share(patch.recording.renew.key);
                tracing::warn!(%path, %error, "cannot write a lease");
                let flight = Flight::Undo(patch, refusal(error));
                let operation = Operation::Patch { path, writes, size };
                self.start(StoreFlight::Lease(flight), operation);
            }
        }
    }

    fn undone(&mut self, patch: Patch, refusal: Refusal, completion: &Completion) {
        if let Err(error) = completion.result {
            let key = patch.recording.renew.key;
            self.torn.insert(key);
            self.give_up(&self.layout.share(key), error);
        }
        self.patch_ended(patch, Some(refusal));
    }

    fn patch_ended(&mut self, patch: Patch, refusal: Option<Refusal>) {
        let Patch {
            recording,
            durable,
            hold,
        } = patch;
        self.log.release(hold);
        let readers = self.locks.end_patch(recording.renew.key);
        self.runnable.extend(readers);
        let result = match refusal {
            None => Ok((recording.share_size, durable)),
            Some(refusal) => Err(refusal),
        };
        self.renew_ended(recording.renew, result);
    }

    /// The end of every renewal: with the share's size, if the lease is there for good.
    pub(super) fn renew_ended(&mut self, renew: Renew, result: Result<(u64, Durable), Refusal>) {
        match (renew.then, result) {
            (Then::AlreadyHeld(request), Ok((_, durable))) => {
                self.acknowledge(request, Answer::AlreadyHeld, durable);
                self.forget_handle(request);
            }
            (Then::AlreadyHeld(request), Err(refusal)) => {
                self.refuse(request, refusal);
                self.forget_handle(request);
            }
            (Then::Allocating(index), result) => {
                let share = renew.key.share;
                self.allocation_leased(index, share, result.map(|(_, durable)| durable));
            }
            (Then::Parts(request), result) => {
                self.parts_ended(request, renew.key, result.map(|(_, durable)| durable));
            }
            (Then::Leasing(index), result) => {
                let leasing = &mut self.leasings[index];
                leasing.remaining -= 1;
                match result {
                    Ok((size, durable)) => {
                        leasing.held.push((renew.key.share, size));
                        leasing.durable = Some(match leasing.durable.take() {
                            Some(others) => others.and(durable),
                            None => durable,
                        });
                    }
                    // Gone between the listing and the lock.
                    Err(Refusal::NoShare) => {}
                    Err(refusal) => leasing.failed.push((renew.key.share, refusal)),
                }
                self.answer_leasing_if_complete(index);
            }
        }
        self.release(renew.key);
    }

    fn answer_leasing_if_complete(&mut self, index: usize) {
        if self.leasings[index].remaining > 0 {
            return;
        }
        let mut leasing = self.leasings.remove(index);
        leasing.held.sort_unstable_by_key(|(share, _)| *share);
        leasing.failed.sort_unstable_by_key(|(share, _)| *share);
        let answer = Answer::Leased {
            held: leasing.held,
            failed: leasing.failed,
        };
        match leasing.durable {
            Some(durable) => self.acknowledge(leasing.request, answer, durable),
            None => self.answer(leasing.request, answer),
        }
    }

    fn read_container(&self, renew: &Renew, offset: u64, len: usize) -> Operation {
        Operation::Read {
            path: self.layout.share(renew.key),
            ranges: vec![ByteRange { offset, len }],
        }
    }
}

/// The file's size and the one piece that was asked for.
fn read_outcome(completion: Completion) -> Result<(u64, Vec<u8>), Refusal> {
    match completion.result {
        Ok(Outcome::Read { size, mut pieces }) => {
            Ok((size, pieces.pop().expect("one range was asked for")))
        }
        Ok(outcome) => panic!("a read gave {outcome:?}"),
        Err(error) if error.errno == Errno::NOENT => Err(Refusal::NoShare),
        Err(error) => Err(Refusal::Disk(error)),
    }
}
