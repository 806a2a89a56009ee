//! The removal of a share: journaled, done, acknowledged.
//!
//! A request removes a share whatever its leases. Another machine that has the share's lock, and
//! has judged it by then, has it removed here ([`TakeAway`]).

use slab::Slab;

use super::context::{Context, Machinery, kind_and_size};
use super::event::{Event, Machine, TakeAway, Waiter};
use super::locks::Owned;
use super::reply::Asker;
use crate::disk::{Completion, Operation};
use crate::durable::Durable;
use crate::journal::account::Entry;
use crate::journal::format::Record;
use crate::journal::log::{Group, Hold};
use crate::refusal::{RemoveRefusal, Unwritable};
use crate::request::Remove;

/// All removals under way.
#[derive(Debug, Default)]
pub(super) struct Removals {
    /// For the lock of their share.
    waiting: Slab<Asker<Remove>>,
    /// For the disk.
    steps: Slab<Step>,
    /// For the journal.
    recording: Slab<(Whom, Owned)>,
}

#[derive(Debug)]
enum Step {
    /// What there is to remove.
    Examine(Asker<Remove>, Owned),
    /// The journal has the removal; the tree follows.
    Gone(Whom, Owned, Durable, Hold),
}

/// Whom to tell.
#[derive(Debug)]
enum Whom {
    Asker(Asker<Remove>),
    /// Another machine, which gets the lock back.
    Waiter(Waiter),
}

impl Removals {
    pub(super) fn remove(&mut self, cx: &mut Context, asker: Asker<Remove>, remove: &Remove) {
        cx.acquire(remove.key, waiter(self.waiting.insert(asker)));
    }

    /// Removes a share for another machine, whose lock this is until it is told.
    pub(super) fn take_away(&mut self, cx: &mut Context, it: TakeAway) {
        let entry = Entry::gone(it.owned.key(), it.kind, it.size);
        self.record(cx, Whom::Waiter(it.then), it.owned, entry);
    }

    fn record(&mut self, cx: &mut Context, whom: Whom, owned: Owned, entry: Entry) {
        let record = Record::Remove { key: owned.key() };
        let index = self.recording.insert((whom, owned));
        cx.record(Group::one(record, entry), waiter(index));
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }
}

impl Machinery for Removals {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        let asker = self.waiting.remove(index);
        if let Some(refusal) = cx.share_refusal(owned.key()) {
            return refuse(cx, asker, owned, refusal);
        }
        let operation = cx.examine(owned.key());
        self.start(cx, Step::Examine(asker, owned), operation);
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Examine(asker, owned) => match kind_and_size(&completion) {
                Ok(Some((kind, size))) => {
                    let entry = Entry::gone(owned.key(), kind, size);
                    self.record(cx, Whom::Asker(asker), owned, entry);
                }
                Ok(None) => refuse(cx, asker, owned, RemoveRefusal::NoShare),
                Err(error) => refuse(cx, asker, owned, Unwritable::Disk(error)),
            },
            Step::Gone(whom, owned, durable, hold) => {
                cx.release_hold(hold);
                match completion.result {
                    Ok(_) => end(cx, whom, owned, Ok(durable)),
                    Err(error) => {
                        cx.give_up(&cx.place(owned.key()), error);
                        end(cx, whom, owned, Err(Unwritable::Disk(error)));
                    }
                }
            }
        }
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, durable: Durable, hold: Hold) {
        let (whom, owned) = self.recording.remove(index);
        let operation = Operation::Remove {
            path: cx.place(owned.key()),
            prune: cx.prunable(owned.key().storage_index),
        };
        self.start(cx, Step::Gone(whom, owned, durable, hold), operation);
    }

    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        let (whom, owned) = self.recording.remove(index);
        let refusal = cx.record_refusal();
        end(cx, whom, owned, Err(refusal));
    }
}

fn end(cx: &mut Context, whom: Whom, owned: Owned, result: Result<Durable, Unwritable>) {
    match (whom, result) {
        (Whom::Waiter(then), result) => cx.send(Event::TakenAway(then, owned, result)),
        (Whom::Asker(asker), Ok(durable)) => {
            cx.acknowledge(asker, (), durable);
            cx.release(owned);
        }
        (Whom::Asker(asker), Err(refusal)) => refuse(cx, asker, owned, refusal),
    }
}

fn refuse(cx: &mut Context, asker: Asker<Remove>, owned: Owned, refusal: impl Into<RemoveRefusal>) {
    cx.refuse(asker, refusal);
    cx.release(owned);
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Remove,
        index,
    }
}
