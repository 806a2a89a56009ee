//! Spools: what a request is to write, in a file of its own, before the request is made.
//!
//! A spool is a file in incoming that grows at its end. The request that names it uses it up; so
//! does whoever began it and leaves. It is synced before anything is copied out of it: bytes whose
//! write-back failed would otherwise be copied as whatever the disk has in their place.

use std::collections::HashMap;

use bytes::Bytes;
use lafs::num;

use super::{Change, Flight as ChangeFlight};
use crate::disk::{Completion, FileId, OpenMode, Operation, StorePath};
use crate::error::Refusal;
use crate::store::{Answer, Limits, RequestId, Store, refusal};

/// All spools that no request has used up.
#[derive(Debug)]
pub(super) struct Spools {
    by_id: HashMap<RequestId, Spool>,
    free_files: Vec<FileId>,
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
    queue: Option<Vec<(RequestId, Bytes)>>,
    failure: Option<Refusal>,
    then: Then,
}

/// What becomes of a spool when nothing more is written to it.
#[derive(Debug)]
enum Then {
    /// More may come.
    Nothing,
    /// The request begins.
    Change(Box<Change>),
    /// It goes.
    Removal,
}

#[derive(Debug)]
pub(in crate::store) enum Flight {
    Open(RequestId),
    /// So many bytes, for a request.
    Write(RequestId, RequestId, u64),
    Sync(RequestId),
    Closed(RequestId),
}

impl Spools {
    pub(super) fn new(free_files: Vec<FileId>) -> Self {
        Self {
            by_id: HashMap::new(),
            free_files,
        }
    }
}

impl Store {
    pub(in crate::store) fn open_spool(&mut self, request: RequestId) {
        if let Some(refusal) = self.write_refusal() {
            return self.refuse(request, refusal);
        }
        let Some(file) = self.slots.spools.free_files.pop() else {
            return self.refuse(request, Refusal::TooManyUploads);
        };
        let path = self.next_incoming();
        let spool = Spool {
            file,
            path: path.clone(),
            accepted: 0,
            working: 1,
            queue: Some(Vec::new()),
            failure: None,
            then: Then::Nothing,
        };
        self.slots.spools.by_id.insert(request, spool);
        let mode = OpenMode::New;
        let operation = Operation::Open { file, path, mode };
        self.start_spool(Flight::Open(request), operation);
    }

    pub(in crate::store) fn spool(&mut self, id: RequestId, request: RequestId, bytes: Bytes) {
        let Some(spool) = self.slots.spools.by_id.get_mut(&id) else {
            return self.refuse(request, Refusal::UnknownUpload);
        };
        if !matches!(spool.then, Then::Nothing) {
            return self.refuse(request, Refusal::UnknownUpload);
        }
        if let Some(queue) = &mut spool.queue {
            return queue.push((request, bytes));
        }
        if let Some(failure) = spool.failure.clone() {
            return self.refuse(request, failure);
        }
        if bytes.len() > Limits::WRITE_LEN {
            let limit = num::size(Limits::WRITE_LEN);
            return self.refuse(request, Refusal::TooLarge { limit });
        }
        let size = num::size(bytes.len());
        if size == 0 {
            return self.answer(request, Answer::Written);
        }
        if !self.space.promise(size) {
            spool.failure = Some(Refusal::Full);
            return self.refuse(request, Refusal::Full);
        }
        let operation = Operation::WriteAt {
            file: spool.file,
            offset: spool.accepted,
            bytes,
        };
        spool.accepted += size;
        spool.working += 1;
        self.start_spool(Flight::Write(id, request, size), operation);
        self.measure_space_if_due();
    }

    /// Gives the spool to the request that is made with it, which begins when it is written.
    pub(super) fn hand_over(&mut self, id: RequestId, change: Box<Change>) {
        match self.slots.spools.by_id.get_mut(&id) {
            Some(spool) if matches!(spool.then, Then::Nothing) => {
                spool.then = Then::Change(change);
                self.go_on_if_spooled(id);
            }
            _ => self.refuse(change.request, Refusal::UnknownUpload),
        }
    }

    /// Removes a spool that nobody will make a request with.
    pub(in crate::store) fn drop_spool(&mut self, id: Option<RequestId>) {
        let Some((id, spool)) = id.and_then(|id| {
            let spool = self.slots.spools.by_id.get_mut(&id)?;
            Some((id, spool))
        }) else {
            return;
        };
        if matches!(spool.then, Then::Nothing) {
            spool.then = Then::Removal;
            self.go_on_if_spooled(id);
        }
    }

    pub(in crate::store) fn drop_all_spools(&mut self) {
        let ids: Vec<_> = self.slots.spools.by_id.keys().copied().collect();
        for id in ids {
            self.drop_spool(Some(id));
        }
    }

    pub(super) fn spool_completed(&mut self, flight: Flight, completion: &Completion) {
        match flight {
            Flight::Open(id) => self.spool_opened(id, completion),
            Flight::Write(id, request, size) => {
                self.space.keep(size);
                let spool = self.spool_mut(id);
                spool.working -= 1;
                match completion.result {
                    Ok(_) => self.answer(request, Answer::Written),
                    Err(error) => {
                        tracing::warn!(path = %spool.path, %error, "cannot write to a spool");
                        let refusal = refusal(error);
                        spool.failure = Some(refusal.clone());
                        self.refuse(request, refusal);
                    }
                }
                self.go_on_if_spooled(id);
            }
            Flight::Sync(id) => {
                let spool = self.spool_mut(id);
                if let Err(error) = completion.result {
                    tracing::warn!(path = %spool.path, %error, "cannot sync a spool");
                    spool.failure = Some(Refusal::Disk(error));
                }
                self.close_spool(id);
            }
            Flight::Closed(id) => self.spool_closed(id),
        }
    }

    fn spool_opened(&mut self, id: RequestId, completion: &Completion) {
        let spool = self.spool_mut(id);
        spool.working -= 1;
        let queue = spool.queue.take().expect("a spool is opened once");
        if let Err(error) = completion.result {
            let refusal = refusal(error);
            self.refuse(id, refusal.clone());
            for (request, _) in queue {
                self.refuse(request, refusal.clone());
            }
            return self.end_spool(id, Some(refusal));
        }
        self.answer(id, Answer::Spooling);
        // What came meanwhile was written before the spool was handed over or dropped.
        let spool = self.spool_mut(id);
        let then = std::mem::replace(&mut spool.then, Then::Nothing);
        for (request, bytes) in queue {
            self.spool(id, request, bytes);
        }
        self.spool_mut(id).then = then;
        self.go_on_if_spooled(id);
    }

    /// Takes up what waited for the last write to end.
    fn go_on_if_spooled(&mut self, id: RequestId) {
        let waiver = self.waiver();
        let spool = self.spool_mut(id);
        if spool.working > 0 {
            return;
        }
        match &spool.then {
            Then::Nothing => {}
            Then::Change(_) if spool.failure.is_none() && waiver.is_none() => {
                let operation = Operation::SyncFile { file: spool.file };
                spool.working += 1;
                self.start_spool(Flight::Sync(id), operation);
            }
            Then::Change(_) | Then::Removal => self.close_spool(id),
        }
    }

    fn close_spool(&mut self, id: RequestId) {
        let file = self.spool_mut(id).file;
        self.start_spool(Flight::Closed(id), Operation::Close { file });
    }

    fn spool_closed(&mut self, id: RequestId) {
        let spool = self.spool_mut(id);
        let failure = spool.failure.take();
        let path = spool.path.clone();
        match &failure {
            None if matches!(spool.then, Then::Change(_)) => {}
            _ => self.clean_up(path),
        }
        self.end_spool(id, failure);
    }

    /// The spool's file is closed, or was never open.
    fn end_spool(&mut self, id: RequestId, failure: Option<Refusal>) {
        let spool = self.slots.spools.by_id.remove(&id);
        let spool = spool.expect("it is ended once");
        self.slots.spools.free_files.push(spool.file);
        let Then::Change(mut change) = spool.then else {
            return;
        };
        if let Some(refusal) = failure {
            return self.refuse(change.request, refusal);
        }
        match change.ask.check_spool(spool.accepted) {
            Ok(()) => {
                change.spool = Some(spool.path);
                self.begin_change(change);
            }
            Err(refusal) => {
                self.clean_up(spool.path);
                self.refuse(change.request, refusal);
            }
        }
    }

    fn start_spool(&mut self, flight: Flight, operation: Operation) {
        self.start_change(ChangeFlight::Spool(flight), operation);
    }

    fn spool_mut(&mut self, id: RequestId) -> &mut Spool {
        let spool = self.slots.spools.by_id.get_mut(&id);
        spool.expect("a spool outlives its operations")
    }
}
