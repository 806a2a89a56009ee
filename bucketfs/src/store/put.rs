//! A small share, whole: into incoming, into the journal, to its name, acknowledged.

use bytes::Bytes;
use lafs::{LeaseSecrets, num};
use rustix::io::Errno;
use slab::Slab;

use super::context::{Context, Machinery, is_held, unwritable};
use super::event::{
    Event, Machine, NotPublished, NotRenewed, Publish, PublishProof, PutOutcome, PutRanged, Renew,
    Renewed, Waiter,
};
use super::locks::Owned;
use super::reply::Asker;
use super::space::{Measurement, cost};
use crate::container::{self, Lease};
use crate::disk::{Completion, Existing, Operation, Outcome, StorePath};
use crate::durable::Durable;
use crate::journal::format::Record;
use crate::journal::log::Hold;
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
    /// For the journal.
    recording: Slab<(Task, Owned)>,
    /// For their name.
    publishing: Slab<Origin>,
    /// For the lease on a share that is held.
    renewing: Slab<Asker<Put>>,
}

/// A share on its way.
#[derive(Debug)]
struct Task {
    key: ShareKey,
    container: Bytes,
    incoming: StorePath,
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
    /// The share is refused for this reason, unless it is held already.
    Probe(Task, Owned, PutRefusal),
    /// The file in incoming is being written.
    File(Task, Owned),
}

impl Task {
    fn cost(&self) -> u64 {
        cost(num::size(self.container.len()))
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
        let incoming = cx.next_incoming();
        self.acquire(
            cx,
            Task {
                key: put.key,
                container: container::encode(version, &put.share, &first),
                incoming,
                origin: Origin::Put {
                    asker,
                    lease: Box::new(put.lease),
                    expiration,
                },
            },
        );
    }

    pub(super) fn put_ranged(&mut self, cx: &mut Context, ranged: PutRanged) {
        let incoming = cx.next_incoming();
        self.acquire(
            cx,
            Task {
                key: ranged.key,
                container: ranged.container,
                incoming,
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

    /// The file first and the journal after it: a share that the disk has no room for never
    /// enters the journal, and neither does one that is held already.
    fn make_file(&mut self, cx: &mut Context, task: Task, owned: Owned) {
        let operation = Operation::CreateFile {
            path: task.incoming.clone(),
            bytes: task.container.clone(),
            existing: Existing::Refuse,
            unless: Some(cx.place(task.key)),
        };
        self.start(cx, Step::File(task, owned), operation);
    }

    fn file_made(&mut self, cx: &mut Context, task: Task, owned: Owned, completion: Completion) {
        match completion.result {
            Ok(Outcome::Done) => {
                cx.keep(task.cost());
                let record = Record::Create {
                    key: task.key,
                    container: task.container.clone(),
                };
                let index = self.recording.insert((task, owned));
                cx.record(vec![record], waiter(index));
            }
            Ok(outcome) => panic!("a file was made, and gave {outcome:?}"),
            Err(error) if error.errno == Errno::EXIST => {
                cx.cancel(task.cost());
                self.held(cx, task, owned);
            }
            Err(error) => {
                cx.cancel(task.cost());
                tracing::warn!(path = %task.incoming, %error, "cannot write a share");
                failed(cx, task.origin, owned, unwritable(error));
            }
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
                cx.send(Event::RangedPut(then, owned, PutOutcome::AlreadyHeld));
            }
        }
    }
}

impl Machinery for Puts {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        let task = self.waiting.remove(index);
        let refusal = cx.write_refusal();
        if let Origin::Ranged(_) = task.origin {
            return match refusal {
                None => self.make_file(cx, task, owned),
                Some(refusal) => {
                    cx.cancel(task.cost());
                    failed(cx, task.origin, owned, refusal);
                }
            };
        }
        if let Some(refusal) = refusal {
            return failed(cx, task.origin, owned, refusal);
        }
        if cx.is_in_progress(task.key) {
            return refuse(cx, task.origin, owned, PutRefusal::InProgress);
        }
        if cx.settings.read_only {
            return self.unless_held(cx, task, owned, PutRefusal::ReadOnly);
        }
        cx.measure_space_if_due();
        if cx.promise(task.cost()) {
            return self.make_file(cx, task, owned);
        }
        let measurement = cx.begin_measurement();
        let step = Step::Space(task, owned, measurement);
        self.start(cx, step, Operation::FreeSpace);
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Space(task, owned, measurement) => {
                cx.measured(measurement, &completion);
                if cx.promise(task.cost()) {
                    self.make_file(cx, task, owned);
                } else {
                    self.unless_held(cx, task, owned, Unwritable::Full.into());
                }
            }
            Step::Probe(task, owned, refusal) => match is_held(&completion) {
                Ok(true) => self.held(cx, task, owned),
                Ok(false) => refuse(cx, task.origin, owned, refusal),
                Err(error) => failed(cx, task.origin, owned, error.into()),
            },
            Step::File(task, owned) => self.file_made(cx, task, owned, completion),
        }
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, durable: Durable, hold: Hold) {
        let (task, owned) = self.recording.remove(index);
        let publish = Publish {
            owned,
            source: task.incoming,
            proof: PublishProof::Journaled(durable, hold),
            then: waiter(self.publishing.insert(task.origin)),
        };
        cx.send(Event::Publish(publish));
    }

    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        let (task, owned) = self.recording.remove(index);
        cx.clean_up(task.incoming);
        failed(cx, task.origin, owned, Unwritable::Failed);
    }

    fn published(
        &mut self,
        cx: &mut Context,
        index: usize,
        owned: Owned,
        result: Result<Durable, NotPublished>,
    ) {
        match (self.publishing.remove(index), result) {
            (Origin::Put { asker, .. }, Ok(durable)) => {
                cx.acknowledge(asker, Stored::New, durable);
                cx.release(owned);
            }
            (Origin::Ranged(then), Ok(durable)) => {
                cx.send(Event::RangedPut(then, owned, PutOutcome::Stored(durable)));
            }
            (origin, Err(NotPublished::Refused(refusal))) => failed(cx, origin, owned, refusal),
            // The lock was held since it was seen that there is none: somebody else's hands.
            (origin, Err(NotPublished::AlreadyHeld(error))) => {
                failed(cx, origin, owned, error.into());
            }
        }
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

fn refuse(cx: &mut Context, origin: Origin, owned: Owned, refusal: PutRefusal) {
    let Origin::Put { asker, .. } = origin else {
        unreachable!("a ranged upload was admitted when it was allocated");
    };
    cx.refuse(asker, refusal);
    cx.release(owned);
}

fn failed(cx: &mut Context, origin: Origin, owned: Owned, refusal: Unwritable) {
    match origin {
        Origin::Put { .. } => refuse(cx, origin, owned, refusal.into()),
        Origin::Ranged(then) => {
            cx.send(Event::RangedPut(then, owned, PutOutcome::Refused(refusal)));
        }
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Put,
        index,
    }
}
