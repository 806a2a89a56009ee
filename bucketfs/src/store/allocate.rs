//! The beginning of uploads of parts: what the bucket holds, leases on that, promises for the rest.
//!
//! ```text
//! list -> each share held: its lease (as in `lease`) -> for each share asked for: room? -> answered
//! ```
//!
//! The promises are made last and at once, so that a bucket with slots in it has none.

use lafs::{LeaseSecrets, ShareNumber, StorageIndex, UploadSecret};

use super::lease::{Renew, Then};
use super::parts::ticket::SecretHash;
use super::parts::{Allocation, sealed_size};
use super::read::share_numbers;
use super::space::{Measurement, cost};
use super::{Answer, Flight as StoreFlight, LeaseOwner, Limits, RequestId, Store, Task};
use crate::container;
use crate::disk::{Completion, Operation};
use crate::durable::Durable;
use crate::error::Refusal;
use crate::layout::ShareKey;

/// A request for uploads of parts.
#[derive(Debug)]
pub(super) struct Allocating {
    request: RequestId,
    storage_index: StorageIndex,
    /// What may be allocated, in ascending order: what is found to be there is taken out.
    wanted: Vec<ShareNumber>,
    size: u64,
    secret: SecretHash,
    lease: LeaseSecrets,
    expiration: u32,
    /// Leases to come.
    remaining: usize,
    held: Vec<ShareNumber>,
    allocated: Vec<ShareNumber>,
    /// Of the leases; of none there is nothing to prove.
    durable: Option<Durable>,
    has_slots: bool,
    /// The file system was asked for its space, for this request.
    measured: bool,
}

#[derive(Debug)]
pub(super) enum Flight {
    /// What the bucket holds.
    List(usize),
    /// Nothing seemed free; the file system is asked once more.
    Space(usize, Measurement),
}

impl Store {
    pub(super) fn allocate(
        &mut self,
        request: RequestId,
        storage_index: StorageIndex,
        shares: Vec<ShareNumber>,
        size: u64,
        (secret, lease): (&UploadSecret, LeaseSecrets),
    ) {
        if size == 0 {
            return self.refuse(request, Refusal::EmptyShare);
        }
        let mut wanted = shares;
        wanted.sort_unstable();
        wanted.dedup();
        let index = self.allocations.insert(Allocating {
            request,
            storage_index,
            wanted,
            size,
            secret: SecretHash::of(secret),
            lease,
            expiration: container::expiration(self.now.unix),
            remaining: 0,
            held: Vec::new(),
            allocated: Vec::new(),
            durable: None,
            has_slots: false,
            measured: false,
        });
        let path = self.layout.bucket(storage_index);
        let flight = StoreFlight::Allocate(Flight::List(index));
        self.start(flight, Operation::List { path });
    }

    pub(super) fn allocate_completed(&mut self, flight: Flight, completion: Completion) {
        match flight {
            Flight::List(index) => self.bucket_listed(index, completion),
            Flight::Space(index, measurement) => {
                self.space_completed(measurement, &completion);
                self.promise_allocations(index);
            }
        }
    }

    fn bucket_listed(&mut self, index: usize, completion: Completion) {
        let numbers = match share_numbers(completion.result) {
            Ok(numbers) => numbers,
            Err(error) => {
                let allocating = self.allocations.remove(index);
                return self.refuse(allocating.request, Refusal::Disk(error));
            }
        };
        let allocating = &mut self.allocations[index];
        // Also those that turn out to be damaged: their files are left for fsck.
        allocating.wanted.retain(|share| !numbers.contains(share));
        allocating.remaining = numbers.len();
        let storage_index = allocating.storage_index;
        for share in numbers {
            let allocating = &self.allocations[index];
            let key = ShareKey {
                storage_index,
                share,
            };
            let renew = Renew {
                key,
                secrets: Box::new(allocating.lease.clone()),
                owner: LeaseOwner::Upload,
                expiration: allocating.expiration,
                then: Then::Allocating(index),
            };
            self.acquire(key, Task::Renew(renew));
        }
        if self.allocations[index].remaining == 0 {
            self.promise_allocations(index);
        }
    }

    /// The lease on a share that was listed is there, or will not be.
    pub(super) fn allocation_leased(
        &mut self,
        index: usize,
        share: ShareNumber,
        result: Result<Durable, Refusal>,
    ) {
        let allocating = &mut self.allocations[index];
        allocating.remaining -= 1;
        match result {
            Ok(durable) => {
                allocating.held.push(share);
                allocating.durable = Some(match allocating.durable.take() {
                    Some(others) => others.and(durable),
                    None => durable,
                });
            }
            Err(Refusal::NotABucket) => allocating.has_slots = true,
            // Gone between the listing and the lock, or of no use to anybody: neither kept nor
            // written over.
            Err(Refusal::NoShare | Refusal::Damaged(_) | Refusal::Disk(_)) => {}
            // Held all the same; a share without a lease of this client is better than none.
            Err(_) => allocating.held.push(share),
        }
        if allocating.remaining == 0 {
            self.promise_allocations(index);
        }
    }

    /// Promises space to as many shares as it is there for, and answers.
    fn promise_allocations(&mut self, index: usize) {
        let mut allocating = self.allocations.remove(index);
        if allocating.has_slots {
            return self.refuse(allocating.request, Refusal::NotABucket);
        }
        let takes = !self.read_only && !self.shutting_down && self.write_refusal().is_none();
        let wanted = std::mem::take(&mut allocating.wanted);
        let mut wanted = wanted.into_iter().filter(|_| takes).peekable();
        while let Some(share) = wanted.peek().copied() {
            let key = ShareKey {
                storage_index: allocating.storage_index,
                share,
            };
            if self.parts.len() >= Limits::ALLOCATIONS {
                tracing::debug!("as many uploads are allocated as the store keeps");
                break;
            }
            // Whoever owns the lock of a share that was not listed is storing it.
            if self.is_in_progress(key) || self.locks.is_owned(key) {
                wanted.next();
                continue;
            }
            if !self.space.promise(cost(sealed_size(allocating.size))) {
                if allocating.measured {
                    break;
                }
                allocating.measured = true;
                allocating.wanted = wanted.collect();
                let measurement = self.space.begin();
                let flight = Flight::Space(self.allocations.insert(allocating), measurement);
                return self.start(StoreFlight::Allocate(flight), Operation::FreeSpace);
            }
            self.begin_parts(&Allocation {
                key,
                size: allocating.size,
                secret: &allocating.secret,
                lease: &allocating.lease,
                expiration: allocating.expiration,
            });
            allocating.allocated.push(share);
            wanted.next();
        }
        self.measure_space_if_due();
        self.answer_allocating(allocating);
    }

    fn answer_allocating(&mut self, mut allocating: Allocating) {
        allocating.held.sort_unstable();
        let answer = Answer::Allocated {
            held: allocating.held,
            allocated: allocating.allocated,
        };
        match allocating.durable {
            Some(durable) => self.acknowledge(allocating.request, answer, durable),
            None => self.answer(allocating.request, answer),
        }
    }

    /// Whether somebody is uploading the share, in whichever way.
    pub(super) fn is_in_progress(&self, key: ShareKey) -> bool {
        self.uploads.is_in_progress(key) || self.parts.is_in_progress(key)
    }
}
