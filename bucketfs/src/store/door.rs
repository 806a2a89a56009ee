//! The door of each bucket while the store is migrated: who comes waits there until it is settled.
//!
//! ```text
//! lock of all of the bucket -> its readers end -> (what was done in the old place is made durable)
//!   -> the bucket's directory is moved, many to an operation -> those at the door enter
//! ```
//!
//! The move is one rename, which a power cut undoes or leaves, and which nothing else waits to see
//! durable: wherever the bucket is found, it is all there. A request that comes to a bucket of which
//! nobody can tell where it is (the disk failed) is turned away; if it is known to be where it was, the
//! request is carried out there.

use std::collections::VecDeque;

use lafs::{StorageIndex, num};
use slab::Slab;

use super::context::{Context, Machinery};
use super::event::{Event, Machine, Settled, Waiter};
use super::locks::SlotOwned;
use crate::disk::{Completion, Move, Moved, Operation, Outcome, PLACES_MAX};
use crate::error::DiskError;
use crate::keys::KeyMap;
use crate::refusal::Unavailable;
use crate::request::{Request, RequestId};

/// All buckets that are being settled.
#[derive(Debug, Default)]
pub(super) struct Doors {
    doors: KeyMap<StorageIndex, Door>,
    /// Uploads that somebody at a door wants to begin or end, and where: what follows has to wait, too.
    uploads: KeyMap<RequestId, StorageIndex>,
    /// For the lock of a bucket; then for its readers; then in the queue, then on the disk.
    tasks: Slab<Task>,
    /// To be moved next.
    queue: VecDeque<usize>,
    /// For the disk: which tasks an operation is of.
    steps: Slab<Step>,
}

/// Who waits for a bucket.
#[derive(Debug, Default)]
struct Door {
    line: Vec<(RequestId, Request)>,
    /// The migration waits, too.
    is_found: bool,
}

#[derive(Debug)]
struct Task {
    index: StorageIndex,
    owned: Option<SlotOwned>,
}

#[derive(Debug)]
enum Step {
    /// What was done in the old places is being made durable.
    Sync(Vec<usize>),
    /// Buckets are being moved; so much space was promised for it.
    Move(Vec<usize>, u64),
}

// At the door.
impl Doors {
    /// Whether somebody who comes to this bucket has to wait.
    pub(super) fn is_shut(&self, cx: &Context, index: StorageIndex) -> bool {
        cx.places.from().is_some()
            && (self.doors.contains_key(&index) || cx.places.must_settle(index))
    }

    /// The bucket at whose door the beginning or the end of an upload waits.
    pub(super) fn of_upload(&self, upload: RequestId) -> Option<StorageIndex> {
        self.uploads.get(&upload).copied()
    }

    /// Has a request wait until the bucket is settled.
    pub(super) fn wait(
        &mut self,
        cx: &mut Context,
        index: StorageIndex,
        (id, request): (RequestId, Request),
    ) {
        match &request {
            Request::OpenUpload(_) => _ = self.uploads.insert(id, index),
            Request::CloseUpload(close) => _ = self.uploads.insert(close.upload, index),
            _ => {}
        }
        self.door(cx, index).line.push((id, request));
    }

    /// Settles a bucket that was found in the old place.
    pub(super) fn settle(&mut self, cx: &mut Context, index: StorageIndex) {
        if cx.places.is_settled(index) {
            // Moved since it was listed.
            return cx.send(Event::Settled(index, Settled::Elsewhere));
        }
        if let Some(error) = cx.places.why_busy(index) {
            return cx.send(Event::Settled(index, Settled::Stays(error)));
        }
        self.door(cx, index).is_found = true;
    }

    fn door(&mut self, cx: &mut Context, index: StorageIndex) -> &mut Door {
        let is_new = !self.doors.contains_key(&index);
        if is_new {
            let owned = None;
            let task = self.tasks.insert(Task { index, owned });
            cx.acquire_slot(index, waiter(task));
        }
        self.doors.entry(index).or_default()
    }

    /// Hands the disk what has gathered.
    pub(super) fn poll(&mut self, cx: &mut Context) {
        while self.steps.len() < PLACES_MAX && !self.queue.is_empty() {
            let idle = PLACES_MAX - self.steps.len();
            let count = self.queue.len().div_ceil(idle).min(MOVES);
            let tasks: Vec<_> = self.queue.drain(..count).collect();
            let must_sync = |task: &usize| cx.places.must_sync(self.tasks[*task].index);
            if tasks.iter().any(must_sync) {
                let step = self.steps.insert(Step::Sync(tasks));
                cx.start(waiter(step), Operation::SyncFileSystem);
            } else {
                self.begin_moves(cx, tasks);
            }
        }
    }

    fn begin_moves(&mut self, cx: &mut Context, tasks: Vec<usize>) {
        cx.measure_space_if_due();
        let cost = cx.places.move_cost().saturating_mul(num::size(tasks.len()));
        let has_room = cx.promise(cost);
        let moves = tasks.iter().map(|task| {
            let (source, target) = cx.places.ends(self.tasks[*task].index);
            Move { source, target }
        });
        let operation = Operation::MoveDirectories {
            moves: moves.collect(),
            prune: cx.places.prunable(),
            has_room,
        };
        let promised = if has_room { cost } else { 0 };
        let step = self.steps.insert(Step::Move(tasks, promised));
        cx.start(waiter(step), operation);
    }

    fn synced(&mut self, cx: &mut Context, tasks: Vec<usize>, completion: &Completion) {
        match completion.result {
            Ok(_) => self.begin_moves(cx, tasks),
            Err(error) => {
                // It has told of writes that are lost, and will not tell again.
                cx.give_up(&crate::disk::StorePath::root(), error);
                for task in tasks {
                    self.ended(cx, task, Ok(Moved::Stays(error)));
                }
            }
        }
    }

    fn ended(&mut self, cx: &mut Context, task: usize, result: Result<Moved, DiskError>) {
        let Task { index, owned } = self.tasks.remove(task);
        let door = self.doors.remove(&index).expect("it was being settled");
        let settled = match result {
            Ok(moved @ (Moved::Moved | Moved::NotThere)) => {
                cx.places.settle(index);
                match moved {
                    Moved::Moved => Settled::Moved,
                    _ => Settled::Elsewhere,
                }
            }
            Ok(Moved::Stays(error)) => {
                cx.unsettle(index, error);
                Settled::Stays(error)
            }
            Err(error) => {
                tracing::warn!(bucket = %index, %error, "cannot tell in which layout a bucket is");
                Settled::Stays(error)
            }
        };
        if door.is_found {
            cx.send(Event::Settled(index, settled));
        }
        for (id, request) in door.line {
            match &request {
                Request::OpenUpload(_) => _ = self.uploads.remove(&id),
                Request::CloseUpload(close) => _ = self.uploads.remove(&close.upload),
                _ => {}
            }
            cx.send(match result {
                Ok(_) => Event::Enter(id, request),
                Err(error) => Event::TurnAway(id, request, Unavailable::Disk(error)),
            });
        }
        let owned = owned.expect("it has the lock");
        cx.end_slot_change(&owned);
        cx.release_slot(owned);
    }
}

impl Machinery for Doors {
    fn slot_granted(&mut self, cx: &mut Context, index: usize, owned: SlotOwned) {
        cx.begin_slot_change(&owned, waiter(index));
        self.tasks[index].owned = Some(owned);
    }

    fn admitted(&mut self, _: &mut Context, index: usize) {
        self.queue.push_back(index);
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        let (tasks, promised) = match self.steps.remove(index) {
            Step::Sync(tasks) => return self.synced(cx, tasks, &completion),
            Step::Move(tasks, promised) => (tasks, promised),
        };
        cx.keep(promised);
        let results = match completion.result {
            Ok(Outcome::Moved(results)) => results,
            Ok(outcome) => panic!("buckets were moved, and gave {outcome:?}"),
            Err(error) => vec![Err(error); tasks.len()],
        };
        assert_eq!(results.len(), tasks.len(), "each bucket has a result");
        for (task, result) in tasks.into_iter().zip(results) {
            self.ended(cx, task, result);
        }
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Door,
        index,
    }
}

/// Most buckets to an operation: enough that what an operation costs by itself does not show.
const MOVES: usize = 32;
