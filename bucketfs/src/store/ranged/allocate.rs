//! The beginning of ranged uploads: what the bucket holds, leases on that, promises for the rest.
//!
//! ```text
//! list -> each share held: its lease (as in `lease`) -> for each share asked for: room? -> answered
//! ```
//!
//! The promises are made last and at once, so that a bucket with slots in it has none.

use std::collections::VecDeque;

use lafs::{LeaseSecrets, ShareNumber, StorageIndex};

use super::seal::sealed_size;
use super::{FirstLease, RangedUploads, Renewing, Step, Upload, Waiting, waiter};
use crate::container::{self, Lease};
use crate::disk::{Completion, Operation};
use crate::layout::ShareKey;
use crate::limits;
use crate::refusal::{AllocateRefusal, LeaseRefusal};
use crate::request::{Allocate, Allocated, LeaseOwner};
use crate::store::context::Context;
use crate::store::event::{Event, NotRenewed, Renew, Renewed};
use crate::store::listing::share_numbers;
use crate::store::locks::Owned;
use crate::store::reply::{Asker, LeaseProofs};
use crate::store::space::cost;
use crate::ticket::SecretHash;

/// A request for ranged uploads.
#[derive(Debug)]
pub(super) struct Allocating {
    asker: Asker<Allocate>,
    storage_index: StorageIndex,
    /// What may be allocated, in ascending order: what is found to be there is taken out.
    wanted: Vec<ShareNumber>,
    /// Which shares the journal has and the tree may lack.
    pending: Vec<ShareNumber>,
    size: u64,
    secret: SecretHash,
    lease: LeaseSecrets,
    expiration: u32,
    /// Leases to come.
    remaining: usize,
    held: Vec<ShareNumber>,
    allocated: Vec<ShareNumber>,
    proofs: LeaseProofs,
    has_slots: bool,
    /// The file system was asked for its space, for this request.
    measured: bool,
}

/// A share found held, which is to have this allocation's lease.
#[derive(Debug)]
pub(super) struct Leasing {
    allocation: usize,
    secrets: Box<LeaseSecrets>,
    expiration: u32,
}

impl RangedUploads {
    pub(in crate::store) fn allocate(
        &mut self,
        cx: &mut Context,
        asker: Asker<Allocate>,
        allocate: Allocate,
    ) {
        if allocate.size == 0 {
            return cx.refuse(asker, AllocateRefusal::EmptyShare);
        }
        let mut wanted = allocate.share_numbers;
        wanted.sort_unstable();
        wanted.dedup();
        let path = cx.bucket(allocate.storage_index);
        let index = self.allocations.insert(Allocating {
            asker,
            storage_index: allocate.storage_index,
            wanted,
            pending: cx.pending_numbers(allocate.storage_index),
            size: allocate.size,
            secret: SecretHash::of(&allocate.secret),
            lease: allocate.lease,
            expiration: container::expiration(cx.unix()),
            remaining: 0,
            held: Vec::new(),
            allocated: Vec::new(),
            proofs: LeaseProofs::default(),
            has_slots: false,
            measured: false,
        });
        self.start(cx, Step::List(index), Operation::List { path });
    }

    pub(super) fn bucket_listed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        let pending = std::mem::take(&mut self.allocations[index].pending);
        let numbers = match share_numbers(completion.result, pending) {
            Ok(numbers) => numbers,
            Err(error) => {
                let allocating = self.allocations.remove(index);
                return cx.refuse(allocating.asker, error);
            }
        };
        let allocating = &mut self.allocations[index];
        // Also those that turn out to be damaged: their files are left for fsck.
        allocating.wanted.retain(|share| !numbers.contains(share));
        allocating.remaining = numbers.len();
        let storage_index = allocating.storage_index;
        if numbers.is_empty() {
            return self.promise(cx, index);
        }
        for share_number in numbers {
            let leasing = Leasing {
                allocation: index,
                secrets: Box::new(allocating.lease.clone()),
                expiration: allocating.expiration,
            };
            let key = ShareKey {
                storage_index,
                share_number,
            };
            cx.acquire(key, waiter(self.waiting.insert(Waiting::Lease(leasing))));
        }
    }

    pub(super) fn renew_held(&mut self, cx: &mut Context, leasing: Leasing, owned: Owned) {
        let renewing = Renewing::Allocation(leasing.allocation);
        let renew = Renew {
            owned,
            secrets: leasing.secrets,
            owner: LeaseOwner::Upload,
            expiration: leasing.expiration,
            only_buckets: true,
            then: waiter(self.renewing.insert(renewing)),
        };
        cx.send(Event::Renew(renew));
    }

    /// The lease on a share that was listed is there, or will not be.
    pub(super) fn allocation_leased(
        &mut self,
        cx: &mut Context,
        index: usize,
        share_number: ShareNumber,
        result: Result<Renewed, NotRenewed>,
    ) {
        let allocating = &mut self.allocations[index];
        allocating.remaining -= 1;
        match result {
            Ok(renewed) => {
                allocating.held.push(share_number);
                allocating.proofs.add(renewed.durable);
            }
            Err(NotRenewed::NotABucket) => allocating.has_slots = true,
            // Gone between the listing and the lock, or of no use to anybody: neither kept nor
            // written over.
            Err(NotRenewed::Refused(LeaseRefusal::Gone | LeaseRefusal::Unreadable(_))) => {}
            // Held all the same; a share without a lease of this client is better than none.
            Err(NotRenewed::Refused(LeaseRefusal::TooMany(_) | LeaseRefusal::Unwritable(_))) => {
                allocating.held.push(share_number);
            }
        }
        if allocating.remaining == 0 {
            self.promise(cx, index);
        }
    }

    /// Promises space to as many shares as it is there for, and answers.
    pub(super) fn promise(&mut self, cx: &mut Context, index: usize) {
        let mut allocating = self.allocations.remove(index);
        if allocating.has_slots {
            return cx.refuse(allocating.asker, AllocateRefusal::NotABucket);
        }
        let takes = !cx.settings.read_only && !cx.is_shutting_down() && !cx.has_failed();
        let wanted = std::mem::take(&mut allocating.wanted);
        let mut wanted = wanted.into_iter().filter(|_| takes).peekable();
        while let Some(share_number) = wanted.peek().copied() {
            let key = ShareKey {
                storage_index: allocating.storage_index,
                share_number,
            };
            if self.len() >= limits::ALLOCATIONS {
                tracing::debug!("as many uploads are allocated as the store keeps");
                break;
            }
            self.give_way(cx, key, &allocating.secret);
            // Whoever owns the lock of a share that was not listed is storing it.
            if cx.is_in_progress(key) || cx.is_owned(key) {
                wanted.next();
                continue;
            }
            if !cx.promise(cost(sealed_size(allocating.size))) {
                if allocating.measured {
                    break;
                }
                allocating.measured = true;
                allocating.wanted = wanted.collect();
                let measurement = cx.begin_measurement();
                let step = Step::Space(self.allocations.insert(allocating), measurement);
                return self.start(cx, step, Operation::FreeSpace);
            }
            self.begin(cx, key, &allocating);
            allocating.allocated.push(share_number);
            wanted.next();
        }
        cx.measure_space_if_due();
        let Allocating {
            asker,
            mut held,
            allocated,
            proofs,
            ..
        } = allocating;
        held.sort_unstable();
        cx.acknowledge_leases(asker, Allocated { held, allocated }, proofs);
    }

    /// Begins an upload, for which [`cost`] of its [`sealed_size`] was promised.
    fn begin(&mut self, cx: &mut Context, key: ShareKey, allocating: &Allocating) {
        let version = cx.settings.container_version;
        let owner = LeaseOwner::Upload.number();
        let secrets = &allocating.lease;
        let upload = Upload {
            secret: allocating.secret.clone(),
            lease: FirstLease {
                version,
                record: Lease::new(version, secrets, owner, allocating.expiration),
                secrets: Some(Box::new(secrets.clone())),
            },
            size: allocating.size,
            promised: cost(sealed_size(allocating.size)),
            touched: cx.elapsed(),
            deadline: cx.elapsed() + limits::UPLOAD_IDLE,
            growing: None,
            orphaned: false,
            busy: false,
            line: VecDeque::new(),
        };
        self.uploads.insert(key, upload);
        cx.begin_progress(key);
    }
}
