//! The removal of a share: journaled, done, acknowledged.

use slab::Slab;

use super::context::{Context, Machinery, is_held};
use super::event::{Machine, Waiter};
use super::locks::Owned;
use super::reply::Asker;
use crate::disk::{Completion, Operation};
use crate::durable::Durable;
use crate::journal::format::Record;
use crate::journal::log::Hold;
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
    recording: Slab<(Asker<Remove>, Owned)>,
}

#[derive(Debug)]
enum Step {
    /// Whether there is anything to remove.
    Probe(Asker<Remove>, Owned),
    /// The journal has the removal; the tree follows.
    Gone(Asker<Remove>, Owned, Durable, Hold),
}

impl Removals {
    pub(super) fn remove(&mut self, cx: &mut Context, asker: Asker<Remove>, remove: &Remove) {
        cx.acquire(remove.key, waiter(self.waiting.insert(asker)));
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }
}

impl Machinery for Removals {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        let asker = self.waiting.remove(index);
        if let Some(refusal) = cx.share_refusal(owned.key()) {
            return refuse(cx, asker, owned, refusal.into());
        }
        let operation = cx.probe(owned.key());
        self.start(cx, Step::Probe(asker, owned), operation);
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Probe(asker, owned) => match is_held(&completion) {
                Ok(true) => {
                    let record = Record::Remove { key: owned.key() };
                    let index = self.recording.insert((asker, owned));
                    cx.record(vec![record], waiter(index));
                }
                Ok(false) => refuse(cx, asker, owned, RemoveRefusal::NoShare),
                Err(error) => refuse(cx, asker, owned, Unwritable::Disk(error).into()),
            },
            Step::Gone(asker, owned, durable, hold) => {
                cx.release_hold(hold);
                match completion.result {
                    Ok(_) => {
                        cx.acknowledge(asker, (), durable);
                        cx.release(owned);
                    }
                    Err(error) => {
                        cx.give_up(&cx.place(owned.key()), error);
                        refuse(cx, asker, owned, Unwritable::Disk(error).into());
                    }
                }
            }
        }
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, durable: Durable, hold: Hold) {
        let (asker, owned) = self.recording.remove(index);
        let operation = Operation::Remove {
            path: cx.place(owned.key()),
            prune: cx.prunable(owned.key().storage_index),
        };
        self.start(cx, Step::Gone(asker, owned, durable, hold), operation);
    }

    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        let (asker, owned) = self.recording.remove(index);
        let refusal = cx.record_refusal();
        refuse(cx, asker, owned, refusal.into());
    }
}

fn refuse(cx: &mut Context, asker: Asker<Remove>, owned: Owned, refusal: RemoveRefusal) {
    cx.refuse(asker, refusal);
    cx.release(owned);
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Remove,
        index,
    }
}
