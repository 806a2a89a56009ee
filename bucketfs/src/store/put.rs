//! A small share, whole: looked for, into the journal, acknowledged. The tree follows.
//!
//! Before it enters the journal a share is promised space and inodes, and is known not to be held:
//! replay would have its record undo the leases that others have on the one that is there. From its
//! record on it is pending, which is held for everybody who asks ([`pending`](super::pending)).

use std::collections::VecDeque;

use bytes::Bytes;
use lafs::{LeaseSecrets, num};
use slab::Slab;

use super::context::{Context, Machinery, is_held, unwritable};
use super::event::{Event, Machine, NotRenewed, PutOutcome, PutRanged, Renew, Renewed, Waiter};
use super::locks::Owned;
use super::reply::Asker;
use super::space::{Measurement, cost};
use crate::container::{self, Lease};
use crate::disk::{Completion, Operation};
use crate::durable::Durable;
use crate::journal::account::Entry;
use crate::journal::format::Record;
use crate::journal::log::{Group, Hold};
use crate::kind::ShareKind;
use crate::layout::ShareKey;
use crate::limits;
use crate::refusal::{PutRefusal, Unwritable};
use crate::request::{LeaseOwner, Put, Stored};

/// All puts under way.
#[derive(Debug, Default)]
pub(super) struct Puts {
    /// For the lock of their share.
    waiting: Slab<Task>,
    /// For the disk.
    steps: Slab<Step>,
    /// For room among the shares that the journal has and the tree has not.
    in_line: VecDeque<(Task, Owned)>,
    /// For the journal.
    recording: Slab<(Task, Owned)>,
    /// For the lease on a share that is held.
    renewing: Slab<Asker<Put>>,
}

/// A share on its way.
#[derive(Debug)]
struct Task {
    key: ShareKey,
    container: Bytes,
    origin: Origin,
}

/// What the share came by.
#[derive(Debug)]
enum Origin {
    /// A request; if the share is held, its lease remains to be renewed.
    Put {
        asker: Asker<Put>,
        lease: Box<LeaseSecrets>,
        expiration: u32,
    },
    /// A ranged upload, all of it in one write.
    Ranged(Waiter),
}

#[derive(Debug)]
enum Step {
    /// Nothing seemed free; the file system is asked once more.
    Space(Task, Owned, Measurement),
    /// The share is stored, for which space was promised, unless it is held already.
    Look(Task, Owned),
    /// The share is refused for this reason, unless it is held already.
    Probe(Task, Owned, PutRefusal),
}

impl Task {
    fn size(&self) -> u64 {
        num::size(self.container.len())
    }
}

impl Puts {
    pub(super) fn put(&mut self, cx: &mut Context, asker: Asker<Put>, put: Put) {
        let limit = limits::SMALL_SHARE_SIZE;
        if num::size(put.share.len()) > limit {
            return cx.refuse(asker, PutRefusal::TooLarge { limit });
        }
        let expiration = container::expiration(cx.unix());
        let version = cx.settings.container_version;
        let owner = LeaseOwner::Upload.number();
        let first = Lease::new(version, &put.lease, owner, expiration);
        self.acquire(
            cx,
            Task {
                key: put.key,
                container: container::encode(version, &put.share, &first),
                origin: Origin::Put {
                    asker,
                    lease: Box::new(put.lease),
                    expiration,
                },
            },
        );
    }

    pub(super) fn put_ranged(&mut self, cx: &mut Context, ranged: PutRanged) {
        // What was promised was for a file alone, and is exchanged for what it takes this way.
        cx.cancel(cost(num::size(ranged.container.len())));
        self.acquire(
            cx,
            Task {
                key: ranged.key,
                container: ranged.container,
                origin: Origin::Ranged(ranged.then),
            },
        );
    }

    fn acquire(&mut self, cx: &mut Context, task: Task) {
        let key = task.key;
        cx.acquire(key, waiter(self.waiting.insert(task)));
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }

    fn look(&mut self, cx: &mut Context, task: Task, owned: Owned) {
        let operation = cx.probe(task.key);
        self.start(cx, Step::Look(task, owned), operation);
    }

    fn looked(&mut self, cx: &mut Context, task: Task, owned: Owned, completion: &Completion) {
        match is_held(completion) {
            Ok(false) => {
                self.in_line.push_back((task, owned));
                self.room(cx);
            }
            Ok(true) => {
                cx.cancel_share(task.size());
                self.held(cx, task, owned);
            }
            Err(error) => {
                let path = cx.place(task.key);
                tracing::warn!(%path, %error, "cannot look for a share");
                give_up(cx, task, owned, unwritable(error));
            }
        }
    }

    /// Records those next in line for whom there is room.
    pub(super) fn room(&mut self, cx: &mut Context) {
        while let Some((task, owned)) = self.in_line.pop_front() {
            if cx.reserve_pending(&task.container) {
                let record = Record::Create {
                    key: task.key,
                    container: task.container.clone(),
                };
                let entry = Entry::made(task.key, ShareKind::Immutable, task.size());
                let index = self.recording.insert((task, owned));
                cx.record(Group::one(record, entry), waiter(index));
                continue;
            }
            // Room is made by the shares that get their places, if any still may.
            if self.recording.is_empty() && cx.pending_is_settled() {
                let refusal = cx.record_refusal();
                give_up(cx, task, owned, refusal);
                continue;
            }
            return self.in_line.push_front((task, owned));
        }
        if self.in_line.capacity() > KEPT_IN_LINE {
            self.in_line = VecDeque::new();
        }
    }

    fn unless_held(&mut self, cx: &mut Context, task: Task, owned: Owned, refusal: PutRefusal) {
        let operation = cx.probe(task.key);
        self.start(cx, Step::Probe(task, owned, refusal), operation);
    }

    /// The share is held: what remains of the put is its lease. The lock goes with it.
    fn held(&mut self, cx: &mut Context, task: Task, owned: Owned) {
        match task.origin {
            Origin::Put {
                asker,
                lease,
                expiration,
            } => {
                let renew = Renew {
                    owned,
                    secrets: lease,
                    owner: LeaseOwner::Upload,
                    expiration,
                    only_buckets: true,
                    then: waiter(self.renewing.insert(asker)),
                };
                cx.send(Event::Renew(renew));
            }
            Origin::Ranged(then) => {
                cx.send(Event::RangedPut(then, PutOutcome::AlreadyHeld(owned)));
            }
        }
    }
}

impl Machinery for Puts {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        let task = self.waiting.remove(index);
        if let Some(refusal) = cx.share_refusal(task.key) {
            return failed(cx, task.origin, owned, refusal);
        }
        if let Origin::Put { .. } = task.origin {
            if cx.is_in_progress(task.key) {
                return refuse(cx, task.origin, owned, PutRefusal::InProgress);
            }
            if cx.settings.read_only {
                return self.unless_held(cx, task, owned, PutRefusal::ReadOnly);
            }
        }
        if let Some(refusal) = cx.new_share_refusal() {
            return self.unless_held(cx, task, owned, refusal.into());
        }
        cx.measure_space_if_due();
        if cx.promise_share(task.size()) {
            return self.look(cx, task, owned);
        }
        let measurement = cx.begin_measurement();
        let step = Step::Space(task, owned, measurement);
        self.start(cx, step, Operation::FreeSpace);
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Space(task, owned, measurement) => {
                cx.measured(measurement, &completion);
                if cx.promise_share(task.size()) {
                    self.look(cx, task, owned);
                } else {
                    self.unless_held(cx, task, owned, Unwritable::Full.into());
                }
            }
            Step::Probe(task, owned, refusal) => match is_held(&completion) {
                Ok(true) => self.held(cx, task, owned),
                Ok(false) => refuse(cx, task.origin, owned, refusal),
                Err(error) => failed(cx, task.origin, owned, error.into()),
            },
            Step::Look(task, owned) => self.looked(cx, task, owned, &completion),
        }
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, durable: Durable, hold: Hold) {
        let (task, owned) = self.recording.remove(index);
        cx.insert_pending(owned, task.container, hold);
        match task.origin {
            Origin::Put { asker, .. } => cx.acknowledge(asker, Stored::New, durable),
            Origin::Ranged(then) => {
                cx.send(Event::RangedPut(
                    then,
                    PutOutcome::Stored(task.key, durable),
                ));
            }
        }
    }

    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        let (task, owned) = self.recording.remove(index);
        cx.cancel_pending(&task.container);
        let refusal = cx.record_refusal();
        give_up(cx, task, owned, refusal);
        cx.send(Event::Room);
    }

    fn renewed(
        &mut self,
        cx: &mut Context,
        index: usize,
        owned: Owned,
        result: Result<Renewed, NotRenewed>,
    ) {
        let asker = self.renewing.remove(index);
        match result {
            Ok(renewed) => cx.acknowledge(asker, Stored::AlreadyHeld, renewed.durable),
            Err(NotRenewed::NotABucket) => cx.refuse(asker, PutRefusal::NotABucket),
            Err(NotRenewed::Refused(refusal)) => cx.refuse(asker, refusal),
        }
        cx.release(owned);
    }
}

/// Refuses a share for a reason that only a request can have, or for one that any share can.
fn refuse(cx: &mut Context, origin: Origin, owned: Owned, refusal: PutRefusal) {
    match (origin, refusal) {
        (origin, PutRefusal::Unwritable(refusal)) => failed(cx, origin, owned, refusal),
        (Origin::Put { asker, .. }, refusal) => {
            cx.refuse(asker, refusal);
            cx.release(owned);
        }
        (Origin::Ranged(_), _) => unreachable!("it was admitted when it was allocated"),
    }
}

/// Refuses a share that space was promised for.
fn give_up(cx: &mut Context, task: Task, owned: Owned, refusal: Unwritable) {
    cx.cancel_share(task.size());
    failed(cx, task.origin, owned, refusal);
}

fn failed(cx: &mut Context, origin: Origin, owned: Owned, refusal: Unwritable) {
    match origin {
        Origin::Put { asker, .. } => cx.refuse(asker, refusal),
        Origin::Ranged(then) => {
            let refused = PutOutcome::Refused(owned.key(), refusal);
            cx.send(Event::RangedPut(then, refused));
        }
    }
    cx.release(owned);
}

/// How long a line is kept in memory while it is empty.
const KEPT_IN_LINE: usize = 64;

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Put,
        index,
    }
}
