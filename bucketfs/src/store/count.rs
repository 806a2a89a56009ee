//! A count of the tree, beside whatever else is done: somebody walks it and tells what was found.
//!
//! The walk goes through the tree in its order, and tells of it part by part. A part is taken if
//! nobody had the lock of any share in it from before it was looked at until now; otherwise it is to
//! be looked at again. Behind what is taken the sum follows every change. With the last part the sum
//! is what the store holds, exactly, and goes into the journal.

use slab::Slab;

use super::context::{Context, Machinery};
use super::event::{Machine, Waiter};
use super::reply::{Asker, PartCounted};
use crate::disk::Completion;
use crate::durable::Durable;
use crate::journal::books::Part;
use crate::journal::log::{Group, Hold};
use crate::refusal::CountRefusal;
use crate::request::{Count, Counted};

/// Counts that are to be written down.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// For the journal.
    recording: Slab<(Asker<Count>, Counted)>,
}

impl Counts {
    pub(super) fn count(&mut self, cx: &mut Context, asker: Asker<Count>, count: &Count) {
        let part = match count {
            Count::Begin => {
                cx.begin_count();
                Part::Taken
            }
            Count::Part { after, upto, found } => cx.count_part(*after, *upto, found),
        };
        match part {
            Part::Taken => cx.tell(asker, PartCounted(Counted::GoOn)),
            Part::Touched => cx.tell(asker, PartCounted(Counted::Again)),
            Part::Elsewhere => cx.refuse(asker, CountRefusal::Elsewhere),
            Part::Whole(before) => {
                let now = cx.held().expect("it was counted");
                let counted = Counted::Whole { before, now };
                let index = self.recording.insert((asker, counted));
                // The account is in every batch; this one has nothing else.
                cx.record(Group::default(), waiter(index));
            }
        }
    }
}

impl Machinery for Counts {
    fn completed(&mut self, _: &mut Context, index: usize, completion: Completion) {
        unreachable!("{index} asked nothing of the disk, and not {completion:?}");
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, _: Durable, hold: Hold) {
        cx.release_hold(hold);
        let (asker, counted) = self.recording.remove(index);
        cx.tell(asker, PartCounted(counted));
    }

    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        let (asker, _) = self.recording.remove(index);
        let refusal = cx.record_refusal();
        cx.refuse(asker, refusal);
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Count,
        index,
    }
}
