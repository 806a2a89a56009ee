//! The migration of a store: buckets are moved from one layout to another while all is served.
//!
//! ```text
//! begin   requests wait -> what is under way ends -> syncfs -> version file: layout, from -> requests
//! next    the old places are walked, what is found there is settled (door); again until a walk finds
//!         nothing
//! end     requests wait -> what is under way ends -> syncfs -> version file: layout -> requests
//! ```
//!
//! The version file is durable before the first bucket is moved, and every move before the version
//! file says that there are none: so whoever opens the store knows where to look. Should the version
//! file be written and that not be known (the disk failed in between), nothing is lost either: a store
//! that is said to be migrated and of which no bucket was moved is one that is served as well.

use std::collections::VecDeque;

use bytes::Bytes;
use lafs::{StorageIndex, num};
use rustix::io::Errno;
use slab::Slab;

mod walk;

use super::context::{Context, Machinery, unplaced};
use super::event::{Event, Machine, Settled, Waiter};
use super::reply::Asker;
use crate::disk::{Completion, Existing, Operation, StorePath};
use crate::error::DiskError;
use crate::layout::{Layouts, VERSION, VERSION_NEW};
use crate::limits;
use crate::refusal::{MigrateRefusal, Unwritable};
use crate::request::{
    BeginMigration, EndMigration, MigrateNext, Migrated, Request, RequestId, WalkEnd,
};
use crate::version;
use walk::{Step as WalkStep, Walk};

/// The migration, if there is one.
#[derive(Debug, Default)]
pub(super) struct Migration {
    /// The layouts are about to be others.
    turn: Option<Turn>,
    /// Who came meanwhile, in that order.
    line: VecDeque<(RequestId, Request)>,
    /// For the disk.
    steps: Slab<Step>,
    /// Through the old places.
    walk: Option<Walk>,
    /// Who has buckets moved.
    moving: Option<Moving>,
    /// The last walk through all old places has found nothing.
    is_done: bool,
}

/// A change of the layouts.
#[derive(Debug)]
struct Turn {
    asker: TurnAsker,
    to: Layouts,
    /// Nothing else is under way any more, and its steps are.
    has_begun: bool,
}

#[derive(Debug)]
enum TurnAsker {
    Begin(Asker<BeginMigration>),
    End(Asker<EndMigration>),
}

/// A request to move some buckets.
#[derive(Debug)]
struct Moving {
    asker: Asker<MigrateNext>,
    /// How many are to be found yet, at most.
    wanted: usize,
    /// How many were found and are not settled yet.
    remaining: usize,
    moved: u64,
    stayed: Vec<(StorageIndex, DiskError)>,
    walk_ended: bool,
    failed: Option<DiskError>,
}

#[derive(Debug)]
enum Step {
    /// A change of the layouts: how far it is.
    Turn(TurnStep),
    /// A part of a directory of the old places.
    Page,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TurnStep {
    Everything,
    /// What an attempt that failed has left: its file may still have a loss to tell of.
    Left,
    File,
    Bytes,
    Name,
    Directory,
}

// Begin and end.
impl Migration {
    pub(super) fn begin(
        &mut self,
        cx: &mut Context,
        asker: Asker<BeginMigration>,
        begin: &BeginMigration,
    ) {
        let now = cx.places.layouts();
        let to = match (now.layout, now.from) {
            // Done, or under way.
            (layout, _) if layout == begin.to => return cx.tell(asker, now),
            (layout, None) => Layouts {
                layout: begin.to,
                from: Some(layout),
            },
            (layout, Some(from)) if from == begin.to => Layouts {
                layout: from,
                from: Some(layout),
            },
            (layout, Some(from)) => {
                return cx.refuse(asker, MigrateRefusal::Elsewhere { layout, from });
            }
        };
        match self.refusal(cx) {
            Some(refusal) => cx.refuse(asker, refusal),
            None => self.turn(TurnAsker::Begin(asker), to),
        }
    }

    pub(super) fn end(&mut self, cx: &mut Context, asker: Asker<EndMigration>) {
        let now = cx.places.layouts();
        if now.from.is_none() {
            return cx.tell(asker, ());
        }
        match self.refusal(cx).or_else(|| self.why_not_done(cx)) {
            Some(refusal) => cx.refuse(asker, refusal),
            None => self.turn(TurnAsker::End(asker), Layouts::settled(now.layout)),
        }
    }

    /// Why the layouts cannot be changed now, if so.
    fn refusal(&self, cx: &Context) -> Option<MigrateRefusal> {
        if self.turn.is_some() || self.moving.is_some() {
            return Some(MigrateRefusal::Busy);
        }
        cx.write_refusal().map(MigrateRefusal::Unwritable)
    }

    fn why_not_done(&self, cx: &Context) -> Option<MigrateRefusal> {
        let is_done = self.is_done && cx.places.unsettled_count() == 0;
        (!is_done).then_some(MigrateRefusal::NotDone)
    }

    fn turn(&mut self, asker: TurnAsker, to: Layouts) {
        self.turn = Some(Turn {
            asker,
            to,
            has_begun: false,
        });
    }

    /// Whether a request has to wait until the layouts are others.
    pub(super) fn is_shut(&self) -> bool {
        self.turn.is_some()
    }

    /// Has a request wait.
    pub(super) fn wait(&mut self, id: RequestId, request: Request) {
        self.line.push_back((id, request));
    }

    /// Changes the layouts as soon as nothing else is under way.
    pub(super) fn poll(&mut self, cx: &mut Context) {
        let Some(turn) = &self.turn else {
            return;
        };
        if turn.has_begun || cx.replies().pending_count() > self.line.len() + 1 {
            return;
        }
        let is_begin = matches!(turn.asker, TurnAsker::Begin(_));
        if is_begin && cx.pending_count() > 0 {
            // In the old layout they may be there in part.
            if let Some(error) = cx.why_stuck().filter(|_| cx.pending_is_settled()) {
                let refusal = MigrateRefusal::Unwritable(unplaced(error));
                self.turned(cx, Err(refusal));
            }
            return;
        }
        if !cx.is_at_rest() {
            return;
        }
        if let Some(refusal) = cx.write_refusal() {
            return self.turned(cx, Err(refusal.into()));
        }
        if let (false, Some(refusal)) = (is_begin, self.why_not_done(cx)) {
            return self.turned(cx, Err(refusal));
        }
        if let Some(turn) = &mut self.turn {
            turn.has_begun = true;
        }
        self.start_turn(cx, TurnStep::Everything, Operation::SyncFileSystem);
    }

    fn turn_step(&mut self, cx: &mut Context, step: TurnStep, result: Result<(), DiskError>) {
        let turn = self.turn.as_ref().expect("it is under way");
        let is_none = |error: &DiskError| step == TurnStep::Left && error.errno == Errno::NOENT;
        if let Some(error) = result.err().filter(|error| !is_none(error)) {
            if step == TurnStep::Everything {
                // It has told of writes that are lost, and will not tell again.
                cx.give_up(&StorePath::root(), error);
            }
            return self.turned(cx, Err(Unwritable::Disk(error).into()));
        }
        let text = Bytes::from(version::print(turn.to));
        let (version, new) = (StorePath::new(VERSION), StorePath::new(VERSION_NEW));
        match step {
            TurnStep::Everything => {
                let (path, prune) = (new, 0);
                self.start_turn(cx, TurnStep::Left, Operation::Remove { path, prune });
            }
            TurnStep::Left => {
                let create = Operation::CreateFile {
                    path: new,
                    bytes: text,
                    existing: Existing::Refuse,
                    unless: None,
                };
                self.start_turn(cx, TurnStep::File, create);
            }
            TurnStep::File => {
                let seal = Operation::Seal {
                    path: new,
                    size: num::size(text.len()),
                    writes: vec![(0, text)],
                };
                self.start_turn(cx, TurnStep::Bytes, seal);
            }
            TurnStep::Bytes => {
                let replace = Operation::Replace {
                    source: new,
                    spare: None,
                    target: version,
                };
                self.start_turn(cx, TurnStep::Name, replace);
            }
            TurnStep::Name => {
                let paths = vec![StorePath::root()];
                let sync = Operation::SyncDirectories { paths };
                self.start_turn(cx, TurnStep::Directory, sync);
            }
            TurnStep::Directory => {
                let to = turn.to;
                cx.set_layouts(to);
                match to.from {
                    Some(from) => {
                        tracing::info!(layout = %to.layout, %from, "buckets are being moved");
                    }
                    None => tracing::info!(layout = %to.layout, "all buckets are moved"),
                }
                self.walk = None;
                self.is_done = false;
                self.turned(cx, Ok(to));
            }
        }
    }

    fn start_turn(&mut self, cx: &mut Context, step: TurnStep, operation: Operation) {
        let step = self.steps.insert(Step::Turn(step));
        cx.start(waiter(step), operation);
    }

    /// The layouts are others, or never will be; who has waited may come in.
    fn turned(&mut self, cx: &mut Context, result: Result<Layouts, MigrateRefusal>) {
        let turn = self.turn.take().expect("it was under way");
        match (turn.asker, result) {
            (TurnAsker::Begin(asker), Ok(layouts)) => cx.tell(asker, layouts),
            (TurnAsker::End(asker), Ok(_)) => cx.tell(asker, ()),
            (TurnAsker::Begin(asker), Err(refusal)) => cx.refuse(asker, refusal),
            (TurnAsker::End(asker), Err(refusal)) => cx.refuse(asker, refusal),
        }
        for (id, request) in std::mem::take(&mut self.line) {
            cx.send(Event::Arrive(id, request));
        }
    }
}

// In between.
impl Migration {
    pub(super) fn next(&mut self, cx: &mut Context, asker: Asker<MigrateNext>, next: &MigrateNext) {
        let Some(from) = cx.places.from() else {
            return cx.refuse(asker, MigrateRefusal::NotMigrating);
        };
        if self.turn.is_some() || self.moving.is_some() {
            return cx.refuse(asker, MigrateRefusal::Busy);
        }
        if let Some(refusal) = cx.write_refusal() {
            return cx.refuse(asker, refusal);
        }
        if self.walk.is_none() {
            self.walk = Some(Walk::new(from));
        }
        self.moving = Some(Moving {
            asker,
            wanted: next.buckets.clamp(1, limits::MIGRATED),
            remaining: 0,
            moved: 0,
            stayed: Vec::new(),
            walk_ended: false,
            failed: None,
        });
        self.go_on(cx);
    }

    /// Goes on with the walk until enough is found, or it has to wait for the disk.
    fn go_on(&mut self, cx: &mut Context) {
        let (Some(walk), Some(moving)) = (&mut self.walk, &mut self.moving) else {
            return;
        };
        while moving.wanted > 0 {
            match walk.next() {
                WalkStep::Bucket(index) => {
                    moving.wanted -= 1;
                    moving.remaining += 1;
                    cx.send(Event::Settle(index));
                }
                WalkStep::Page(path, after) => {
                    let step = self.steps.insert(Step::Page);
                    return cx.start(waiter(step), Operation::ListPage { path, after });
                }
                WalkStep::End => {
                    moving.walk_ended = true;
                    moving.wanted = 0;
                }
            }
        }
        self.answer_if_complete(cx);
    }

    fn listed(&mut self, cx: &mut Context, completion: Completion) {
        let (Some(walk), Some(moving)) = (&mut self.walk, &mut self.moving) else {
            unreachable!("whoever lists has buckets moved");
        };
        if let Err(error) = walk.listed(completion.result) {
            moving.failed = Some(error);
            moving.wanted = 0;
        }
        self.go_on(cx);
    }

    /// What came of a bucket that was found.
    pub(super) fn settled(&mut self, cx: &mut Context, index: StorageIndex, settled: Settled) {
        let moving = self.moving.as_mut().expect("it waits for its buckets");
        let walk = self.walk.as_mut().expect("it found the bucket");
        moving.remaining -= 1;
        match settled {
            Settled::Elsewhere => {}
            Settled::Moved => {
                moving.moved += 1;
                walk.found();
            }
            Settled::Stays(error) => {
                moving.stayed.push((index, error));
                walk.found();
            }
        }
        self.answer_if_complete(cx);
    }

    fn answer_if_complete(&mut self, cx: &mut Context) {
        let is_complete = |moving: &Moving| moving.wanted == 0 && moving.remaining == 0;
        let Some(moving) = self.moving.take_if(|moving| is_complete(moving)) else {
            return;
        };
        if let Some(error) = moving.failed {
            return cx.refuse(moving.asker, Unwritable::Disk(error));
        }
        let mut walk_end = None;
        if moving.walk_ended {
            let walk = self.walk.take().expect("it has ended just now");
            self.is_done = walk.has_found_nothing();
            walk_end = Some(match self.is_done {
                true => WalkEnd::NothingLeft,
                false => WalkEnd::Again,
            });
        }
        let migrated = Migrated {
            moved: moving.moved,
            stayed: moving.stayed,
            walk_end,
        };
        cx.tell(moving.asker, migrated);
    }
}

impl Machinery for Migration {
    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Turn(step) => self.turn_step(cx, step, completion.result.map(|_| ())),
            Step::Page => self.listed(cx, completion),
        }
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Migrate,
        index,
    }
}
