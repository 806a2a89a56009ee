//! Spools: what a request is to write, in a file of its own, before the request is made.
//!
//! A spool is a file in incoming that grows at its end. The request that names it uses it up; so
//! does whoever began it and leaves. It is synced before anything is copied out of it: bytes whose
//! write-back failed would otherwise be copied as whatever the disk has in their place.

use bytes::Bytes;
use lafs::num;
use slab::Slab;

use super::context::{Context, Machinery, unwritable};
use super::event::{Event, Machine, SpoolFailure, Spooled, UseSpool, Waiter};
use super::reply::Asker;
use crate::disk::{Completion, FileId, OpenMode, Operation, StorePath};
use crate::keys::KeyMap;
use crate::limits;
use crate::refusal::{OpenSpoolRefusal, Unwritable, WriteSpoolRefusal};
use crate::request::{DropSpool, OpenSpool, RequestId, WriteSpool};

/// All spools that no request has used up.
#[derive(Debug)]
pub(super) struct Spools {
    by_id: KeyMap<RequestId, Spool>,
    free_files: Vec<FileId>,
    /// For the disk.
    steps: Slab<Step>,
}

/// A spool.
#[derive(Debug)]
struct Spool {
    file: FileId,
    path: StorePath,
    /// Bytes taken.
    accepted: u64,
    /// Operations that the disk has not ended.
    working: usize,
    /// Not open yet; these came meanwhile.
    queue: Option<Vec<(Asker<WriteSpool>, Bytes)>>,
    failure: Option<Unwritable>,
    then: Then,
}

/// What becomes of a spool when nothing more is written to it.
#[derive(Debug)]
enum Then {
    /// More may come.
    Nothing,
    /// A request begins.
    Use(Waiter),
    /// It goes.
    Removal,
}

#[derive(Debug)]
enum Step {
    Open(RequestId, Asker<OpenSpool>),
    /// So many bytes, for a request.
    Write(RequestId, Asker<WriteSpool>, u64),
    Sync(RequestId),
    Closed(RequestId),
}

impl Spools {
    pub(super) fn new() -> Self {
        let before = limits::JOURNAL_FILES + limits::UPLOADS;
        Self {
            by_id: KeyMap::default(),
            free_files: limits::open_files(before, limits::SPOOLS).collect(),
            steps: Slab::new(),
        }
    }

    pub(super) fn open(&mut self, cx: &mut Context, asker: Asker<OpenSpool>) {
        if let Some(refusal) = cx.write_refusal() {
            return cx.refuse(asker, refusal);
        }
        let Some(file) = self.free_files.pop() else {
            return cx.refuse(asker, OpenSpoolRefusal::TooManySpools);
        };
        let path = cx.next_incoming();
        let spool = Spool {
            file,
            path: path.clone(),
            accepted: 0,
            working: 1,
            queue: Some(Vec::new()),
            failure: None,
            then: Then::Nothing,
        };
        let id = asker.id();
        self.by_id.insert(id, spool);
        let mode = OpenMode::New;
        let operation = Operation::Open { file, path, mode };
        self.start(cx, Step::Open(id, asker), operation);
    }

    pub(super) fn write(&mut self, cx: &mut Context, asker: Asker<WriteSpool>, write: WriteSpool) {
        let id = write.spool;
        match self.by_id.get_mut(&id) {
            Some(spool) if matches!(spool.then, Then::Nothing) => match &mut spool.queue {
                Some(queue) => queue.push((asker, write.bytes)),
                None => self.append(cx, id, asker, write.bytes),
            },
            _ => cx.refuse(asker, WriteSpoolRefusal::UnknownSpool),
        }
    }

    fn append(&mut self, cx: &mut Context, id: RequestId, asker: Asker<WriteSpool>, bytes: Bytes) {
        let spool = self.spool_mut(id);
        if let Some(failure) = spool.failure {
            return cx.refuse(asker, failure);
        }
        if bytes.len() > limits::WRITE_LEN {
            let limit = limits::write_size();
            return cx.refuse(asker, WriteSpoolRefusal::TooLarge { limit });
        }
        let size = num::size(bytes.len());
        if size == 0 {
            return cx.tell(asker, ());
        }
        if !cx.promise(size) {
            spool.failure = Some(Unwritable::Full);
            return cx.refuse(asker, Unwritable::Full);
        }
        let operation = Operation::WriteAt {
            file: spool.file,
            offset: spool.accepted,
            bytes,
        };
        spool.accepted += size;
        spool.working += 1;
        self.start(cx, Step::Write(id, asker, size), operation);
        cx.measure_space_if_due();
    }

    /// Gives the spool to the request that is made with it, which begins when it is written.
    pub(super) fn use_up(&mut self, cx: &mut Context, wish: UseSpool) {
        match self.by_id.get_mut(&wish.spool) {
            Some(spool) if matches!(spool.then, Then::Nothing) => {
                spool.then = Then::Use(wish.then);
                self.continue_if_written(cx, wish.spool);
            }
            _ => cx.send(Event::Spooled(wish.then, Err(SpoolFailure::Unknown))),
        }
    }

    pub(super) fn drop_for(&mut self, cx: &mut Context, asker: Asker<DropSpool>, id: RequestId) {
        self.drop(cx, id);
        cx.tell(asker, ());
    }

    /// Removes a spool that nobody will make a request with.
    pub(super) fn drop(&mut self, cx: &mut Context, id: RequestId) {
        let Some(spool) = self.by_id.get_mut(&id) else {
            return;
        };
        if matches!(spool.then, Then::Nothing) {
            spool.then = Then::Removal;
            self.continue_if_written(cx, id);
        }
    }

    pub(super) fn drop_all(&mut self, cx: &mut Context) {
        let ids: Vec<_> = self.by_id.keys().copied().collect();
        for id in ids {
            self.drop(cx, id);
        }
    }

    fn opened(
        &mut self,
        cx: &mut Context,
        id: RequestId,
        asker: Asker<OpenSpool>,
        completion: &Completion,
    ) {
        let spool = self.spool_mut(id);
        spool.working -= 1;
        let queue = spool.queue.take().expect("a spool is opened once");
        if let Err(error) = completion.result {
            let refusal = unwritable(error);
            cx.refuse(asker, refusal);
            for (asker, _) in queue {
                cx.refuse(asker, refusal);
            }
            return self.end(cx, id, Some(refusal));
        }
        cx.tell(asker, ());
        // What came meanwhile was asked before the spool was given to a request or dropped.
        for (asker, bytes) in queue {
            self.append(cx, id, asker, bytes);
        }
        self.continue_if_written(cx, id);
    }

    /// Takes up what waited for the last write to end.
    fn continue_if_written(&mut self, cx: &mut Context, id: RequestId) {
        let spool = self.spool_mut(id);
        if spool.working > 0 {
            return;
        }
        match &spool.then {
            Then::Nothing => {}
            Then::Use(_) if spool.failure.is_none() && cx.waiver().is_none() => {
                let operation = Operation::SyncFile { file: spool.file };
                spool.working += 1;
                self.start(cx, Step::Sync(id), operation);
            }
            Then::Use(_) | Then::Removal => self.close(cx, id),
        }
    }

    fn close(&mut self, cx: &mut Context, id: RequestId) {
        let file = self.spool_mut(id).file;
        self.start(cx, Step::Closed(id), Operation::Close { file });
    }

    fn closed(&mut self, cx: &mut Context, id: RequestId) {
        let spool = self.spool_mut(id);
        let failure = spool.failure.take();
        let is_used = failure.is_none() && matches!(spool.then, Then::Use(_));
        if !is_used {
            let path = spool.path.clone();
            cx.clean_up(path);
        }
        self.end(cx, id, failure);
    }

    /// The spool's file is closed, or was never open.
    fn end(&mut self, cx: &mut Context, id: RequestId, failure: Option<Unwritable>) {
        let spool = self.by_id.remove(&id).expect("it is ended once");
        self.free_files.push(spool.file);
        let Then::Use(then) = spool.then else {
            return;
        };
        let result = match failure {
            Some(failure) => Err(SpoolFailure::Unwritable(failure)),
            None => Ok(Spooled {
                path: spool.path,
                size: spool.accepted,
            }),
        };
        cx.send(Event::Spooled(then, result));
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        let index = self.steps.insert(step);
        let machine = Machine::Spool;
        cx.start(Waiter { machine, index }, operation);
    }

    fn spool_mut(&mut self, id: RequestId) -> &mut Spool {
        let spool = self.by_id.get_mut(&id);
        spool.expect("a spool outlives its operations")
    }
}

impl Machinery for Spools {
    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Open(id, asker) => self.opened(cx, id, asker, &completion),
            Step::Write(id, asker, size) => {
                cx.keep(size);
                let spool = self.spool_mut(id);
                spool.working -= 1;
                match completion.result {
                    Ok(_) => cx.tell(asker, ()),
                    Err(error) => {
                        tracing::warn!(path = %spool.path, %error, "cannot write to a spool");
                        let refusal = unwritable(error);
                        spool.failure = Some(refusal);
                        cx.refuse(asker, refusal);
                    }
                }
                self.continue_if_written(cx, id);
            }
            Step::Sync(id) => {
                let spool = self.spool_mut(id);
                if let Err(error) = completion.result {
                    tracing::warn!(path = %spool.path, %error, "cannot sync a spool");
                    spool.failure = Some(Unwritable::Disk(error));
                }
                self.close(cx, id);
            }
            Step::Closed(id) => self.closed(cx, id),
        }
    }
}
